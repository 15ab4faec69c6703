//! How often: requests a minute and an hour with a burst, by the generic cell rate algorithm.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::RateLimitSection;
use crate::error::{Code, Failure};

/// Callers that are remembered at a time. A caller is forgotten when its hour's share is whole again.
const MOST_CALLERS: usize = 100_000;
/// Their number is looked at once in so many calls.
const LOOK: u32 = 256;

type Limiter<C> = RateLimiter<String, DefaultKeyedStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The two rates of every caller.
pub(super) struct Rates<C: Clock + Clone = DefaultClock> {
    minute: Limiter<C>,
    hour: Limiter<C>,
    section: RateLimitSection,
    clock: C,
    most: usize,
    checks: AtomicU32,
    full: AtomicBool,
}

impl Rates {
    pub(super) fn new(section: &RateLimitSection) -> Self {
        Self::at(section, DefaultClock::default(), MOST_CALLERS)
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn at(section: &RateLimitSection, clock: C, most: usize) -> Self {
        let per = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let minute = Quota::per_minute(per(section.requests_per_minute)).allow_burst(per(section.burst));
        let hour = Quota::per_hour(per(section.requests_per_hour));
        Self {
            minute: RateLimiter::new(minute, DefaultKeyedStateStore::default(), clock.clone()),
            hour: RateLimiter::new(hour, DefaultKeyedStateStore::default(), clock.clone()),
            section: section.clone(),
            clock,
            most,
            checks: AtomicU32::new(0),
            full: AtomicBool::new(false),
        }
    }

    /// Takes one call from both shares.
    pub(super) fn check(&self, key: &String) -> Result<(), Failure> {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK) {
            self.look();
        }
        if self.full.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::RateLimited, "too many callers at a time; try again later"));
        }
        let now = self.clock.now();
        if let Err(until) = self.minute.check_key(key) {
            return Err(refusal(self.section.requests_per_minute, "minute", until.wait_time_from(now)));
        }
        if let Err(until) = self.hour.check_key(key) {
            return Err(refusal(self.section.requests_per_hour, "hour", until.wait_time_from(now)));
        }
        Ok(())
    }

    /// Forgets callers whose shares are whole again.
    pub(super) fn sweep(&self) {
        for limiter in [&self.minute, &self.hour] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
        self.look();
    }

    fn look(&self) {
        self.full.store(self.minute.len().max(self.hour.len()) >= self.most, Ordering::Relaxed);
    }
}

fn refusal(calls: u32, period: &str, wait: Duration) -> Failure {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    Failure::new(
        Code::RateLimited,
        format!("{calls} calls a {period} are used up; the next is possible in {seconds} s"),
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "sums of a few small numbers")]

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    fn rates(per_minute: u32, per_hour: u32, burst: u32, most: usize) -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let section = RateLimitSection { requests_per_minute: per_minute, requests_per_hour: per_hour, burst };
        (Rates::at(&section, clock.clone(), most), clock)
    }

    fn passed(rates: &Rates<FakeRelativeClock>, key: &str, calls: usize) -> usize {
        (0..calls).filter(|_| rates.check(&key.to_owned()).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rates, clock) = rates(60, 1000, 10, 100);
        assert_eq!(passed(&rates, "alice", 50), 10);
        clock.advance(Duration::from_secs(3));
        assert_eq!(passed(&rates, "alice", 50), 3);
    }

    #[test]
    fn callers_do_not_share_a_rate() {
        let (rates, _) = rates(60, 1000, 2, 100);
        assert_eq!(passed(&rates, "alice", 5), 2);
        assert_eq!(passed(&rates, "bob", 5), 2);
    }

    #[test]
    fn the_hour_holds_where_the_minute_would_let_pass() {
        let (rates, clock) = rates(60, 20, 10, 100);
        let mut all = 0;
        for _ in 0..10 {
            all += passed(&rates, "alice", 10);
            clock.advance(Duration::from_secs(10));
        }
        assert_eq!(all, 20, "and the hour gives one back after three minutes only");
        let failure = rates.check(&"alice".to_owned()).unwrap_err();
        assert!(failure.code() == Code::RateLimited && failure.public().contains("a hour"), "{failure}");
    }

    #[test]
    fn after_the_time_that_the_refusal_names_a_call_passes() {
        let (rates, clock) = rates(7, 1000, 1, 100);
        assert_eq!(passed(&rates, "alice", 2), 1);
        let text = rates.check(&"alice".to_owned()).unwrap_err().to_string();
        let seconds: u64 = text.split("possible in ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(passed(&rates, "alice", 2), 1);
    }

    #[test]
    fn callers_are_bounded_and_forgotten_when_their_share_is_whole() {
        let (rates, clock) = rates(60, 60, 10, 300);
        assert_eq!((0..2000).filter(|number| rates.check(&number.to_string()).is_ok()).count(), 512);
        assert!(rates.check(&"one more".to_owned()).unwrap_err().to_string().contains("too many callers"));
        clock.advance(Duration::from_secs(120));
        rates.sweep();
        assert_eq!(rates.hour.len(), 0);
        assert!(rates.check(&"one more".to_owned()).is_ok());
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_its_rate_and_the_burst(
            per_minute in 1_u32..200, burst in 1_u32..30, steps in proptest::collection::vec((0_u64..5000, 0_usize..40), 1..60)
        ) {
            let (rates, clock) = rates(per_minute, 1_000_000, burst, 100);
            let (mut millis, mut all) = (0, 0);
            for (wait, calls) in steps {
                clock.advance(Duration::from_millis(wait));
                millis += wait;
                all += passed(&rates, "alice", calls);
                let most = u64::from(burst) + u64::from(per_minute) * millis / 60_000 + 1;
                prop_assert!(u64::try_from(all).unwrap() <= most);
            }
        }
    }
}
