//! `get_kernel_modules`: what was loaded into the kernel, and what makes the kernel one that its makers would not vouch for.

use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::{self, Extent};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// Modules that are kept at most before they are cut to the limit asked for.
const MODULES: usize = 16_384;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only modules with this in their name.
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    /// Most modules to list.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { name: None, limit: extent::USUAL }
    }
}

/// The kernel and what was loaded into it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The kernel's release, such as 6.12.9-amd64.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_release: Option<String>,
    /// Whether the kernel can load modules at all; one that cannot has none.
    loadable: bool,
    /// Whether the loading of further modules was switched off until the next start.
    #[serde(skip_serializing_if = "Option::is_none")]
    loading_disabled: Option<bool>,
    /// Whether only signed modules are loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures_enforced: Option<bool>,
    /// How far the kernel is locked down against root: none, integrity or confidentiality.
    #[serde(skip_serializing_if = "Option::is_none")]
    lockdown: Option<String>,
    /// What taints the kernel; none of an untainted one.
    taints: Vec<String>,
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The modules, by name.
    modules: Vec<Module>,
}

/// One module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Module {
    /// Its name.
    name: String,
    /// Bytes of memory it takes.
    size_bytes: u64,
    /// How often it is in use, by modules and otherwise; absent where the kernel does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u64>,
    /// The modules that need it.
    used_by: Vec<String>,
    /// Live, loading or unloading.
    state: String,
    /// What it taints the kernel with: such as proprietary, out_of_tree, unsigned.
    taints: Vec<String>,
    /// Its version, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_kernel_modules",
            "Kernel modules",
            "The modules that are loaded into the kernel with size, use and taints, what taints the kernel itself, and \
             whether signatures and lockdown are in force.",
            Impact::Low,
        )
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let tainted: Option<u64> = ask.host.number("proc/sys/kernel/tainted");
        let kernel_release = ask.host.line("proc/sys/kernel/osrelease");
        if tainted.is_none() && kernel_release.is_none() && !ask.host.has("proc/modules") {
            return Err(Failure::new(Code::ToolFailed, "this host does not show its kernel"));
        }
        let (mut modules, total, loadable) = read(ask, args.name.as_deref())?;
        let extent = Extent::cut(&mut modules, total, args.limit.min(ask.limits.max_array_items))
            .narrow("raise limit, or narrow with name");
        for module in &mut modules {
            module.version = ask.host.line(&format!("sys/module/{}/version", module.name));
        }
        Ok(Answer {
            kernel_release,
            loadable,
            loading_disabled: ask.host.number("proc/sys/kernel/modules_disabled").map(|on: u8| on == 1),
            signatures_enforced: ask.host.line("sys/module/module/parameters/sig_enforce").map(|word| word == "Y"),
            lockdown: ask.host.line("sys/kernel/security/lockdown").and_then(|line| chosen(&line)),
            taints: taints(tainted.unwrap_or(0)),
            extent,
            modules,
        })
    }
}

/// Those that fit, by name; how many there are; and whether the kernel has such a list.
fn read(ask: &Ask<'_>, name: Option<&str>) -> Result<(Vec<Module>, usize, bool), Failure> {
    let (mut modules, mut total, mut stopped) = (Vec::new(), 0_usize, Ok(()));
    let read = ask.host.each_line("proc/modules", |line| {
        stopped = ask.go_on();
        if stopped.is_err() {
            return ControlFlow::Break(());
        }
        if let Some(module) = Module::parse(line) {
            total = total.saturating_add(1);
            if name.is_none_or(|part| module.name.contains(part)) && modules.len() < MODULES {
                modules.push(module);
            }
        }
        ControlFlow::Continue(())
    });
    stopped?;
    modules.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((modules, total, read.is_ok()))
}

impl Module {
    /// Columns: name, size, uses, those that need it, state, address, taints. The address stays here.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|name| !name.contains('/'))?.to_owned();
        let size_bytes = words.next()?.parse().ok()?;
        let uses = words.next()?;
        let used_by = words.next()?.split(',').filter(|name| !matches!(*name, "" | "-" | "[permanent]"));
        let used_by = used_by.map(str::to_owned).collect();
        let state = words.next()?.to_lowercase();
        let letters = words.nth(1).and_then(|word| word.strip_prefix('(')?.strip_suffix(')')).unwrap_or_default();
        let taints = letters.chars().filter_map(|letter| TAINTS.iter().find(|(known, _)| *known == letter));
        let taints = taints.map(|(_, name)| (*name).to_owned()).collect();
        Some(Self { name, size_bytes, uses: uses.parse().ok(), used_by, state, taints, version: None })
    }
}

/// The kernel's Documentation/admin-guide/tainted-kernels.rst: by bit, with the letter.
const TAINTS: [(char, &str); 20] = [
    ('P', "proprietary"),
    ('F', "forced_load"),
    ('S', "out_of_specification"),
    ('R', "forced_unload"),
    ('M', "machine_check"),
    ('B', "bad_page"),
    ('U', "user"),
    ('D', "died"),
    ('A', "acpi_table_overridden"),
    ('W', "warning"),
    ('C', "staging"),
    ('I', "firmware_workaround"),
    ('O', "out_of_tree"),
    ('E', "unsigned"),
    ('L', "soft_lockup"),
    ('K', "live_patch"),
    ('X', "auxiliary"),
    ('T', "randomised_structures"),
    ('N', "test"),
    ('J', "foreign_firmware_control"),
];

fn taints(mask: u64) -> Vec<String> {
    let known = (0_u32..).zip(TAINTS).filter(|(bit, _)| mask.checked_shr(*bit).is_some_and(|rest| rest & 1 == 1));
    let mut names: Vec<String> = known.map(|(_, (_, name))| name.to_owned()).collect();
    let unknown = mask.checked_shr(20).unwrap_or(0);
    if unknown != 0 {
        names.push(format!("unknown ({unknown:#x} from bit 20 on)"));
    }
    names
}

/// The word in brackets of a line such as `none [integrity] confidentiality`.
fn chosen(line: &str) -> Option<String> {
    Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_shows_its_modules_and_its_taints() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap(),
            json!({
                "kernel_release": "6.12.48+deb13-amd64", "loadable": true, "loading_disabled": false,
                "signatures_enforced": false, "lockdown": "integrity", "taints": ["out_of_tree", "unsigned"],
                "total": 3, "matching": 3, "returned": 3, "left_out": 0,
                "modules": [
                    {
                        "name": "ext4", "size_bytes": 1_122_304, "uses": 2, "used_by": [], "state": "live", "taints": [],
                    },
                    {
                        "name": "mbcache", "size_bytes": 16_384, "uses": 1, "used_by": ["ext4"], "state": "live",
                        "taints": [],
                    },
                    {
                        "name": "zfs", "size_bytes": 4_919_296, "uses": 0, "used_by": [], "state": "live",
                        "taints": ["proprietary", "out_of_tree", "unsigned"], "version": "2.3.2-2",
                    },
                ],
            })
        );
        let answer = ask::<Query>(&Host::fixture("debian-vm"), json!({"name": "cache"})).unwrap();
        assert_eq!((&answer["total"], &answer["matching"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn a_kernel_without_modules_says_so() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        assert_eq!(
            (&answer["loadable"], &answer["modules"], &answer["taints"]),
            (&json!(false), &json!([]), &json!([]))
        );
    }

    #[test]
    fn taints_are_named_by_their_bits() {
        assert_eq!(taints(1 | 1 << 9 | 1 << 18), ["proprietary", "warning", "test"]);
        assert_eq!(taints(1 << 21), ["unknown (0x2 from bit 20 on)"]);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(line in "\\PC*|[a-z/]{1,5} [0-9]{0,21} [0-9-]{1,3} [a-z,-]{1,6} Live 0x0( [(][A-Z]{0,3}[)])?", mask: u64) {
            let _ = (Module::parse(&line), taints(mask), chosen(&line));
        }
    }
}
