//! `/proc/loadavg`.

use schemars::JsonSchema;
use serde::Serialize;

use super::quantity::decimal;

/// How busy the host was: tasks that ran, waited for a processor or waited for a disk, on average.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct Load {
    /// Average number of tasks over the last minute.
    one_minute: f64,
    /// Average number of tasks over the last 5 minutes.
    five_minutes: f64,
    /// Average number of tasks over the last 15 minutes.
    fifteen_minutes: f64,
    /// Number of tasks (processes and threads) that run or could run now.
    running_tasks: u64,
    /// Number of tasks (processes and threads) there are.
    total_tasks: u64,
}

impl Load {
    /// From a line such as `0.20 0.18 0.12 1/80 11206`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut average = || words.next().and_then(decimal);
        let (one_minute, five_minutes, fifteen_minutes) = (average()?, average()?, average()?);
        let (running, total) = words.next()?.split_once('/')?;
        Some(Self {
            one_minute,
            five_minutes,
            fifteen_minutes,
            running_tasks: running.parse().ok()?,
            total_tasks: total.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whole_or_not_at_all() {
        let load = Load::parse("0.20 0.18 12.05 1/80 11206\n").unwrap();
        assert_eq!((load.one_minute, load.five_minutes, load.fifteen_minutes), (0.2, 0.18, 12.05));
        assert_eq!((load.running_tasks, load.total_tasks), (1, 80));
        for text in ["", "0.2 0.1", "0.2 0.1 0.1 5 7", "NaN 0 0 1/2 3", "0 0 0 -1/2 3"] {
            assert_eq!(Load::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([0-9./ -]{0,9} ){0,6}") {
            let _ = Load::parse(&text);
        }
    }
}
