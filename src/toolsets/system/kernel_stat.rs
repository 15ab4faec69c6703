//! `/proc/stat`: what the processors spent their time on, and when the host started.

use schemars::JsonSchema;
use serde::Serialize;

use super::quantity::percent;

/// The part of `/proc/stat` that queries use.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct KernelStat {
    /// All processors together.
    pub(super) total: Ticks,
    /// Each processor that is on, by its number.
    pub(super) processors: Vec<(u32, Ticks)>,
    /// When the host started, in seconds since the Unix epoch.
    pub(super) boot_seconds: Option<u64>,
    /// Tasks that wait for input or output.
    pub(super) blocked_tasks: Option<u64>,
}

/// Time by what it was spent on: user, nice, system, idle, iowait, irq, softirq, steal, guest, guest nice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Ticks([u64; 10]);

/// What processors spent their time on, in percent of the time.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct Utilisation {
    /// Percent of the time not idle and not waiting for input or output.
    busy_percent: f64,
    /// Percent spent in user mode; includes guests of this host.
    user_percent: f64,
    /// Percent spent in user mode at a lowered priority.
    nice_percent: f64,
    /// Percent spent in the kernel.
    system_percent: f64,
    /// Percent spent idle.
    idle_percent: f64,
    /// Percent spent idle while input or output was outstanding.
    iowait_percent: f64,
    /// Percent spent serving hardware interrupts.
    irq_percent: f64,
    /// Percent spent serving software interrupts.
    softirq_percent: f64,
    /// Percent taken by the hypervisor for others.
    steal_percent: f64,
}

impl KernelStat {
    /// Needs the line for all processors together; what else is missing is absent.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut total = None;
        let mut found =
            Self { total: Ticks::default(), processors: Vec::new(), boot_seconds: None, blocked_tasks: None };
        for line in text.lines() {
            let Some((key, rest)) = line.split_once(' ') else { continue };
            match key {
                "cpu" => total = Some(Ticks::parse(rest)?),
                "btime" => found.boot_seconds = rest.trim().parse().ok(),
                "procs_blocked" => found.blocked_tasks = rest.trim().parse().ok(),
                _ => {
                    let number = key.strip_prefix("cpu").and_then(|number| number.parse().ok());
                    found.processors.extend(number.zip(Ticks::parse(rest)));
                }
            }
        }
        total.map(|total| Self { total, ..found })
    }

    /// The time of one processor.
    pub(super) fn processor(&self, number: u32) -> Option<Ticks> {
        self.processors.iter().find(|(found, _)| *found == number).map(|(_, ticks)| *ticks)
    }
}

impl Ticks {
    /// Kernels before 2.6.33 write fewer columns; four there have always been.
    fn parse(text: &str) -> Option<Self> {
        let mut ticks = Self::default();
        let mut words = text.split_whitespace();
        for (at, slot) in ticks.0.iter_mut().enumerate() {
            *slot = match words.next() {
                Some(word) => word.parse().ok()?,
                None if at < 4 => return None,
                None => 0,
            };
        }
        Some(ticks)
    }

    /// What was spent since `earlier`. Some counters go back a little now and then: that is no time at all.
    pub(super) fn since(self, earlier: Self) -> Self {
        let mut spent = self;
        for (spent, earlier) in spent.0.iter_mut().zip(earlier.0) {
            *spent = spent.saturating_sub(earlier);
        }
        spent
    }

    /// The shares; `None` of no time. The kernel counts the time of guests in user and nice already.
    pub(super) fn shares(self) -> Option<Utilisation> {
        let [user, nice, system, idle, iowait, irq, softirq, steal, _, _] = self.0;
        let busy = [user, nice, system, irq, softirq, steal].into_iter().fold(0, u64::saturating_add);
        let all = busy.saturating_add(idle).saturating_add(iowait);
        Some(Utilisation {
            busy_percent: percent(busy, all)?,
            user_percent: percent(user, all)?,
            nice_percent: percent(nice, all)?,
            system_percent: percent(system, all)?,
            idle_percent: percent(idle, all)?,
            iowait_percent: percent(iowait, all)?,
            irq_percent: percent(irq, all)?,
            softirq_percent: percent(softirq, all)?,
            steal_percent: percent(steal, all)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn processors_keep_their_numbers_and_old_kernels_are_read() {
        let stat =
            KernelStat::parse("cpu  10 0 30 60\ncpu0 1 2 3 4 5\ncpu7 9 9 9 9\nbtime 1700000000\nctxt 5\n").unwrap();
        assert_eq!(stat.total, Ticks([10, 0, 30, 60, 0, 0, 0, 0, 0, 0]));
        assert_eq!(stat.processors.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(stat.processor(0), Some(Ticks([1, 2, 3, 4, 5, 0, 0, 0, 0, 0])));
        assert_eq!((stat.processor(1), stat.boot_seconds, stat.blocked_tasks), (None, Some(1_700_000_000), None));
        let shares = stat.total.shares().unwrap();
        assert_eq!((shares.busy_percent, shares.system_percent, shares.idle_percent), (40.0, 30.0, 60.0));
    }

    #[test]
    fn without_the_line_for_all_there_is_nothing() {
        for text in ["", "cpu0 1 2 3 4", "cpu 1 2 3", "cpu one 2 3 4"] {
            assert_eq!(KernelStat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_counter_that_went_back_counts_as_no_time() {
        let earlier = Ticks([5, 0, 0, 10, 7, 0, 0, 0, 0, 0]);
        let later = Ticks([8, 0, 0, 11, 6, 0, 0, 0, 0, 0]);
        assert_eq!(later.since(earlier).shares().unwrap().busy_percent, 75.0);
        assert_eq!(later.since(later).shares(), None);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|((cpu|cpu1|btime)( [0-9]{1,21}){0,12}\n){0,4}") {
            if let Some(stat) = KernelStat::parse(&text) {
                let _ = stat.total.shares();
            }
        }
    }
}
