//! `/proc/cpuinfo`, which every architecture writes in its own words.

use std::collections::{BTreeMap, BTreeSet};

use super::quantity::fixed;

/// What kind of processors a host has.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Processors {
    /// Such as `AMD EPYC 7763` or `Cortex-A72`.
    pub(super) model: Option<String>,
    /// Such as `GenuineIntel` or `ARM`.
    pub(super) vendor: Option<String>,
    /// The board, where the kernel names it.
    pub(super) machine: Option<String>,
    /// The logical processors by their numbers.
    pub(super) list: BTreeMap<u32, Processor>,
}

/// One logical processor.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Processor {
    /// The socket it is in.
    pub(super) package: Option<i64>,
    /// The core of that socket it is a thread of.
    pub(super) core: Option<i64>,
    /// How fast it runs now, in hertz.
    pub(super) hertz: Option<u64>,
}

impl Processors {
    /// Reads what it knows; other words are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let (mut implementer, mut part) = (None, None);
        let mut current = None;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim(), value.trim());
            if key == "processor" {
                current = value.parse().ok();
                found.list.extend(current.map(|number: u32| (number, Processor::default())));
            } else if value.is_empty() {
                continue;
            }
            let processor = current.and_then(|number| found.list.get_mut(&number));
            match (key, processor) {
                ("physical id", Some(processor)) => processor.package = value.parse().ok(),
                ("core id", Some(processor)) => processor.core = value.parse().ok(),
                ("cpu MHz", Some(processor)) => processor.hertz = fixed(value, 6),
                ("clock", Some(processor)) => processor.hertz = fixed(value.trim_end_matches("MHz"), 6),
                ("model name" | "cpu model" | "cpu" | "uarch", _) => keep(&mut found.model, value),
                ("vendor_id", _) => keep(&mut found.vendor, value),
                ("Model" | "machine", _) => keep(&mut found.machine, value),
                ("CPU implementer", _) => keep(&mut implementer, value),
                ("CPU part", _) => keep(&mut part, value),
                _ => {}
            }
        }
        if let Some(implementer) = implementer {
            let model = part.map(|part| arm_part(&implementer, &part));
            found.model = found.model.or(model);
            found.vendor = found.vendor.or_else(|| Some(arm_implementer(&implementer)));
        }
        found
    }

    /// How many sockets hold processors; `None` where the host does not say.
    pub(super) fn sockets(&self) -> Option<u32> {
        count(self.list.values().map(|processor| processor.package))
    }

    /// How many cores there are, however many threads each has; `None` where the host does not say.
    pub(super) fn cores(&self) -> Option<u32> {
        count(self.list.values().map(|processor| processor.package.zip(processor.core)))
    }
}

fn keep(slot: &mut Option<String>, value: &str) {
    slot.get_or_insert_with(|| value.to_owned());
}

/// How many different ones; `None` when one is unknown or there are none.
fn count<T: Ord>(items: impl Iterator<Item = Option<T>>) -> Option<u32> {
    let different: BTreeSet<T> = items.collect::<Option<_>>()?;
    u32::try_from(different.len()).ok().filter(|count| *count > 0)
}

/// Arm, "Main ID Register": the implementer's code.
fn arm_implementer(code: &str) -> String {
    let name = match code {
        "0x41" => "ARM",
        "0x42" => "Broadcom",
        "0x43" => "Cavium",
        "0x46" => "Fujitsu",
        "0x48" => "HiSilicon",
        "0x4e" => "NVIDIA",
        "0x50" => "Ampere (APM)",
        "0x51" => "Qualcomm",
        "0x53" => "Samsung",
        "0x56" => "Marvell",
        "0x61" => "Apple",
        "0xc0" => "Ampere",
        _ => return format!("implementer {code}"),
    };
    name.to_owned()
}

/// Arm, the part numbers in the technical reference manuals of its own cores.
fn arm_part(implementer: &str, part: &str) -> String {
    let name = match (implementer, part) {
        ("0x41", "0xc07") => "Cortex-A7",
        ("0x41", "0xc08") => "Cortex-A8",
        ("0x41", "0xc09") => "Cortex-A9",
        ("0x41", "0xc0f") => "Cortex-A15",
        ("0x41", "0xd03") => "Cortex-A53",
        ("0x41", "0xd04") => "Cortex-A35",
        ("0x41", "0xd05") => "Cortex-A55",
        ("0x41", "0xd07") => "Cortex-A57",
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd09") => "Cortex-A73",
        ("0x41", "0xd0a") => "Cortex-A75",
        ("0x41", "0xd0b") => "Cortex-A76",
        ("0x41", "0xd0c") => "Neoverse-N1",
        ("0x41", "0xd40") => "Neoverse-V1",
        ("0x41", "0xd49") => "Neoverse-N2",
        ("0x41", "0xd4f") => "Neoverse-V2",
        _ => return format!("part {part} of {}", arm_implementer(implementer)),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn threads_of_one_core_are_counted_once() {
        let text = (0..8).map(|n| format!("processor\t: {n}\nphysical id\t: {}\ncore id\t\t: {}\n\n", n / 4, n % 2));
        let found = Processors::parse(&text.collect::<String>());
        assert_eq!((found.list.len(), found.sockets(), found.cores()), (8, Some(2), Some(4)));
    }

    #[test]
    fn what_a_kernel_does_not_say_is_absent() {
        assert_eq!(Processors::parse(""), Processors::default());
        let found = Processors::parse("processor : 0\nprocessor : 1\nphysical id : 0\n");
        assert_eq!((found.list.len(), found.sockets(), found.cores()), (2, None, None));
    }

    #[test]
    fn other_architectures_are_read_in_their_own_words() {
        let power = Processors::parse(
            "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 2300.5MHz\n\nmachine\t: PowerNV\n",
        );
        assert_eq!(power.model.as_deref(), Some("POWER9, altivec supported"));
        assert_eq!(power.machine.as_deref(), Some("PowerNV"));
        assert_eq!(power.list.get(&0).unwrap().hertz, Some(2_300_500_000));
        let other = Processors::parse("processor: 0\nCPU implementer : 0xc0\nCPU part : 0xac3\n");
        assert_eq!(other.model.as_deref(), Some("part 0xac3 of Ampere"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|((processor|physical id|core id|cpu MHz|clock) *: *[0-9.]{0,22}\n){0,6}") {
            let found = Processors::parse(&text);
            let _ = (found.sockets(), found.cores());
        }
    }
}
