//! What the one who is stopped is told: which limit, and for how long.

use std::time::Duration;

use super::places::NoPlace;
use super::rules::Rule;
use crate::cluster::Rate;
use crate::error::{Code, Failure};

/// A rate is used up.
pub(super) fn used_up(rule: &Rule, rate: usize, wait: Duration) -> Failure {
    let calls = rule.said.get(rate).copied().flatten().unwrap_or_default();
    let burst = rule.rates.get(rate).copied().flatten().map_or(calls, Rate::burst);
    // By the hour they are the same.
    let calls = match (rate, burst == calls) {
        (0, true) => format!("{calls} calls a minute"),
        (0, false) => format!("{calls} calls a minute, {burst} at once,"),
        _ => format!("{calls} calls an hour"),
    };
    let (name, wait_told) = (&rule.name, told(wait));
    let text = format!("{calls} are used up (rule: {name}); the next is possible in {wait_told}");
    Failure::new(Code::RateLimited, text).until(wait)
}

/// There is no room to remember one more.
pub(super) fn full(code: Code) -> Failure {
    Failure::new(code, "too many callers at a time; try again later").until(Duration::from_secs(10))
}

/// There is no place.
pub(super) fn no_place(NoPlace { kind, most }: NoPlace) -> Failure {
    let text = format!("{most} calls are running {kind}, which is the limit; try again");
    Failure::new(Code::TooManyCalls, text).until(Duration::from_secs(1))
}

/// A time to wait in words: `3 s`, never less than that of a call that would pass.
pub(super) fn told(wait: Duration) -> String {
    format!("{} s", seconds(wait))
}

/// Whole seconds after which it is over.
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
