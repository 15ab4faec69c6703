//! How often: requests a minute and an hour with a burst, by the generic cell rate algorithm.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::RateLimitSection;
use crate::error::{Code, Failure};

/// The two rates of one caller.
pub(super) struct Rates {
    minute: DefaultKeyedRateLimiter<String>,
    hour: DefaultKeyedRateLimiter<String>,
    section: RateLimitSection,
    clock: DefaultClock,
}

impl Rates {
    pub(super) fn new(section: &RateLimitSection) -> Self {
        let per = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let burst = per(section.burst);
        Self {
            minute: RateLimiter::keyed(Quota::per_minute(per(section.requests_per_minute)).allow_burst(burst)),
            hour: RateLimiter::keyed(Quota::per_hour(per(section.requests_per_hour))),
            section: section.clone(),
            clock: DefaultClock::default(),
        }
    }

    pub(super) fn check(&self, key: &String) -> Result<(), Failure> {
        let now = self.clock.now();
        if let Err(until) = self.minute.check_key(key) {
            return Err(refusal(self.section.requests_per_minute, "minute", until.wait_time_from(now)));
        }
        if let Err(until) = self.hour.check_key(key) {
            return Err(refusal(self.section.requests_per_hour, "hour", until.wait_time_from(now)));
        }
        Ok(())
    }

    pub(super) fn sweep(&self) {
        for limiter in [&self.minute, &self.hour] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

fn refusal(calls: u32, period: &str, wait: Duration) -> Failure {
    let seconds = wait.as_secs().saturating_add(1);
    Failure::new(
        Code::RateLimited,
        format!("{calls} calls a {period} are used up; the next is possible in {seconds} s"),
    )
}
