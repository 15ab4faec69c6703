//! Pressure stall information: how much time was lost for want of processors, memory, or input and output.

use schemars::JsonSchema;
use serde::Serialize;

use super::Host;
use super::quantity::{decimal, seconds_of_micros};

/// Time that tasks stood still for want of something.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct Pressure {
    /// While at least one task stood still.
    some: Stalled,
    /// While all tasks that had work to do stood still.
    #[serde(skip_serializing_if = "Option::is_none")]
    full: Option<Stalled>,
}

/// How much of the time was lost.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
struct Stalled {
    /// Percent of the last 10 seconds.
    last_10s_percent: f64,
    /// Percent of the last minute.
    last_60s_percent: f64,
    /// Percent of the last 5 minutes.
    last_300s_percent: f64,
    /// Seconds since the counting began: the start of the host, or of the control group.
    total_seconds: f64,
}

impl Pressure {
    /// Of the file at `path`, where the kernel measures it.
    pub(super) fn read(host: &Host, path: &str) -> Option<Self> {
        Self::parse(&host.find(path)?)
    }

    /// From lines such as `some avg10=0.00 avg60=0.12 avg300=0.05 total=391926`.
    fn parse(text: &str) -> Option<Self> {
        let line = |kind: &str| text.lines().find_map(|line| Stalled::parse(line.strip_prefix(kind)?));
        Some(Self { some: line("some ")?, full: line("full ") })
    }
}

impl Stalled {
    fn parse(text: &str) -> Option<Self> {
        let word = |name: &str| text.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        Some(Self {
            last_10s_percent: decimal(word("avg10")?)?,
            last_60s_percent: decimal(word("avg60")?)?,
            last_300s_percent: decimal(word("avg300")?)?,
            total_seconds: seconds_of_micros(word("total")?.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_a_line_of_pressure_is_none() {
        assert!(Pressure::parse("some avg10=1.00 avg60=1.00 avg300=1.00 total=1").is_some());
        for text in ["", "some", "full avg10=0 avg60=0 avg300=0 total=0", "some avg10=x avg60=0 avg300=0 total=0"] {
            assert!(Pressure::parse(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|some( avg[0-9=.]*){0,5}") {
            let _ = Pressure::parse(&text);
        }
    }
}
