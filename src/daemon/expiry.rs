//! Says in time what runs out: certificates and revocation lists end on a day that is known, and then nobody gets in.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::telemetry::RunsOut;
use crate::transport::trust::Life;

/// How often what runs out soon is spoken of.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What has been said of each file, and when.
#[derive(Default)]
pub(super) struct Expiry(Mutex<HashMap<&'static str, (Timestamp, Timestamp)>>);

impl Expiry {
    /// Warns of every file that ends soon or has ended, once a day, and anew when the file is another.
    pub(super) fn warn(&self, endings: &[Life], now: Timestamp) {
        for ending in self.due(endings, now) {
            RunsOut { key: ending.key, what: &ending.what, at: ending.until, over: ending.until <= now }.emit();
        }
    }

    fn due<'a>(&self, endings: &'a [Life], now: Timestamp) -> Vec<&'a Life> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        for ending in endings.iter().filter(|ending| ending.ends_soon(now)) {
            let recently = |(at, when): &(Timestamp, Timestamp)| *at == ending.until && now < when.plus(AGAIN);
            if !said.get(ending.key).is_some_and(recently) {
                said.insert(ending.key, (ending.until, now));
                due.push(ending);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(count: u64) -> Duration {
        Duration::from_secs(count.saturating_mul(86_400))
    }

    #[test]
    fn a_file_is_spoken_of_once_a_day_from_two_weeks_before_its_end() {
        let start = Timestamp::from_seconds(1_800_000_000);
        let from = start.minus(day(90));
        let ending = |until| [Life { key: "tls.cert", what: "server.crt".to_owned(), from, until }];
        let (expiry, first) = (Expiry::default(), ending(start.plus(day(20))));
        let spoken = |endings: &[Life], days: u64| expiry.due(endings, start.plus(day(days))).len();
        assert_eq!((spoken(&first, 0), spoken(&first, 5)), (0, 0));
        assert_eq!((spoken(&first, 6), spoken(&first, 6)), (1, 0));
        assert_eq!((spoken(&first, 8), spoken(&first, 21), spoken(&first, 21)), (1, 1, 0));
        // Another file that ends soon as well is another matter; one that lasts is none.
        assert_eq!(spoken(&ending(start.plus(day(22))), 21), 1);
        assert_eq!(spoken(&ending(start.plus(day(400))), 22), 0);
    }
}
