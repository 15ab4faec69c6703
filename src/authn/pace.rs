//! When the issuer's keys are fetched.

use std::time::Duration;

use super::JwtSection;

/// The first pause after a failure; it doubles up to `jwks_min_refresh`.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How often, and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From one fetch to the next.
    pub(super) interval: Duration,
    /// From one fetch that a token caused to the next.
    pub(super) min_refresh: Duration,
    /// The greatest age of keys that are still used.
    pub(super) max_stale: Duration,
    /// The pause after a first failure.
    pub(super) first_retry: Duration,
    /// How long a request waits for a fetch.
    pub(super) patience: Duration,
}

impl Pace {
    /// As configured; nothing is shorter than a second.
    pub(super) fn new(section: &JwtSection) -> Self {
        let seconds = |seconds: u64| Duration::from_secs(seconds.max(1));
        Self {
            interval: seconds(section.jwks_refresh_interval),
            min_refresh: seconds(section.jwks_min_refresh),
            max_stale: seconds(section.jwks_max_stale),
            first_retry: FIRST_RETRY,
            patience: seconds(section.jwks_timeout),
        }
    }

    /// From the end of one fetch to the next, after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => self.interval,
            Some(doublings) => {
                let longest = self.min_refresh.min(self.interval);
                self.first_retry.saturating_mul(2_u32.saturating_pow(doublings)).min(longest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_after_failures_double_up_to_the_shortest_interval() {
        let pace = Pace::new(&JwtSection::default());
        let pauses = [0, 1, 2, 9, 10, 99, u32::MAX].map(|failures| pace.pause(failures).as_secs());
        assert_eq!(pauses, [3600, 1, 2, 256, 300, 300, 300]);
    }
}
