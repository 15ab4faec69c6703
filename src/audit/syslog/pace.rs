//! When the forwarder waits, and how long: for the end of the daemon, between two tries, for a silent collector.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::secret::random;

/// Longest pause between two tries, and to a collector on the same machine, which costs nothing to ask.
const LONGEST: Duration = Duration::from_secs(30);
const LONGEST_HERE: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(100);

/// Told from outside that it is time to end.
#[derive(Default)]
pub(super) struct Bell {
    rung: Mutex<Option<Instant>>,
    changed: Condvar,
}

impl Bell {
    /// Everything is to be done by `by`.
    pub(super) fn ring(&self, by: Instant) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
        self.changed.notify_all();
    }

    /// By when everything is to be done, once it was told.
    pub(super) fn rung(&self) -> Option<Instant> {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until it is told.
    pub(super) fn wait(&self, long: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if rung.is_none() {
            drop(self.changed.wait_timeout(rung, long).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// What is left of the time to end; `most` while nobody has told.
    pub(super) fn left(&self, clock: &Clock, most: Duration) -> Duration {
        self.rung().map_or(most, |by| by.saturating_duration_since(clock.instant()).min(most))
    }
}

/// Pauses that grow from try to try, each a little by chance, so that many who lost one collector do not come back at once.
pub(super) struct Backoff {
    tries: u32,
    longest: Duration,
}

impl Backoff {
    /// From the first try; `here` for a collector on the same machine.
    pub(super) fn new(here: bool) -> Self {
        Self { tries: 0, longest: if here { LONGEST_HERE } else { LONGEST } }
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let longest = SHORTEST.saturating_mul(2_u32.saturating_pow(self.tries)).min(self.longest);
        self.tries = self.tries.saturating_add(1);
        let half = longest.checked_div(2).unwrap_or(longest);
        let [chance] = random::<1>().unwrap_or([255]);
        half.saturating_add(half.saturating_mul(u32::from(chance)).checked_div(255).unwrap_or_default())
    }

    /// All is well again.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_begin_anew() {
        let mut backoff = Backoff::new(false);
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= SHORTEST && pauses[0] >= SHORTEST / 2, "{pauses:?}");
        assert!(pauses[10..].iter().all(|pause| *pause <= LONGEST && *pause >= LONGEST / 2), "{pauses:?}");
        assert!(pauses[10..].iter().any(|pause| *pause != pauses[10]), "not by chance: {pauses:?}");
        backoff.reset();
        assert!(backoff.next() <= SHORTEST);
    }

    #[test]
    fn who_waits_is_woken() {
        let (bell, clock) = (Bell::default(), Clock::system());
        let begin = clock.instant();
        assert_eq!(bell.left(&clock, LONGEST), LONGEST);
        std::thread::scope(|scope| {
            scope.spawn(|| bell.wait(LONGEST));
            bell.ring(begin);
        });
        assert!(clock.instant().duration_since(begin) < LONGEST / 2);
        assert_eq!((bell.rung(), bell.left(&clock, LONGEST)), (Some(begin), Duration::ZERO));
    }
}
