//! Watching counters for a while: a query that asks twice says so, sleeps, and stops when nobody waits any more.

use std::time::Duration;

use super::query::Ask;
use crate::clock::Clock;
use crate::error::Failure;

/// How long is slept between looks at whether anybody still waits.
const NAP: Duration = Duration::from_millis(50);

/// Sleeps for about `millis` milliseconds; gives back how long it was in truth.
///
/// # Errors
/// When nobody waits for the answer any more.
pub(super) fn watch(ask: &Ask<'_>, millis: u64, what: &str) -> Result<Duration, Failure> {
    ask.progress.report(0.0, Some(1.0), format!("sampling {what} for {millis} ms"));
    let clock = Clock::system();
    let (start, whole) = (clock.instant(), Duration::from_millis(millis));
    loop {
        let passed = clock.instant().saturating_duration_since(start);
        if passed >= whole {
            ask.progress.report(1.0, Some(1.0), format!("sampled {what}"));
            return Ok(passed);
        }
        std::thread::sleep(NAP.min(whole.saturating_sub(passed)));
        ask.go_on()?;
    }
}
