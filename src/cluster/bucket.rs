//! A rate as a bucket, by the generic cell rate algorithm (ITU-T I.371, annex A): a time until which it is in use, and
//! nothing else. Whatever the schedule, a window of length `w` lets through no more than the burst and `w` at the rate.

use std::time::Duration;

/// So many at a rate, and so many at once. Times are nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// From one to the next at the rate; rounded up, so that it is never more than was said.
    interval: u64,
    /// What a full bucket stands for.
    whole: u64,
    burst: u32,
}

/// How a bucket stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// How many would pass now.
    pub left: u32,
    /// When all would, if none comes until then.
    pub whole_in: Duration,
    /// When one would.
    pub next_in: Duration,
}

/// The state of one bucket. The interval is that of the rate it was filled under: under another one it stands for as many.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    until: u64,
    interval: u64,
}

impl Rate {
    /// `calls` in each `period`, and `burst` of them at once; 0 counts as 1.
    #[must_use]
    pub fn new(calls: u32, period: Duration, burst: u32) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval = period.div_ceil(u64::from(calls.max(1))).max(1);
        let burst = burst.max(1);
        Self { interval, whole: interval.saturating_mul(u64::from(burst)), burst }
    }

    /// How many may come at once.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The window of whole seconds for which this holds: whoever never asks for more than the burst in any such window is never
    /// refused. It is the time after which an empty bucket is whole.
    #[must_use]
    pub fn window(self) -> Duration {
        // An interval is rounded up to a nanosecond; a whole second is not to come of that.
        let rounding = 1_000_000;
        Duration::from_secs(self.whole.saturating_sub(rounding).div_ceil(1_000_000_000).max(1))
    }

    /// The bucket with one more taken out of it.
    pub(super) fn take(self, cell: Cell, now: u64) -> Result<Cell, Duration> {
        let until = self.backlog(cell, now).saturating_add(self.interval);
        let over = until.saturating_sub(self.whole);
        if over > 0 {
            return Err(Duration::from_nanos(over));
        }
        Ok(Cell { until: now.saturating_add(until), interval: self.interval })
    }

    pub(super) fn standing(self, cell: Cell, now: u64) -> Standing {
        let backlog = self.backlog(cell, now);
        let left = self.whole.saturating_sub(backlog).checked_div(self.interval).unwrap_or(0);
        Standing {
            left: u32::try_from(left).unwrap_or(u32::MAX).min(self.burst),
            whole_in: Duration::from_nanos(backlog),
            next_in: Duration::from_nanos(backlog.saturating_add(self.interval).saturating_sub(self.whole)),
        }
    }

    /// How long until the bucket is whole. What was taken at another rate stands for as many at this one, but for no more
    /// than the whole bucket.
    fn backlog(self, cell: Cell, now: u64) -> u64 {
        let left = cell.until.saturating_sub(now);
        if cell.interval == self.interval || cell.interval == 0 {
            return left;
        }
        let scaled = u128::from(left).saturating_mul(u128::from(self.interval)).div_ceil(u128::from(cell.interval));
        u64::try_from(scaled).unwrap_or(u64::MAX).min(self.whole)
    }
}

impl Cell {
    pub(super) fn until(self) -> u64 {
        self.until
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "the model's numbers are small")]

    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;
    use governor::{Quota, RateLimiter};
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn pass(rate: Rate, cell: &mut Cell, now: u64) -> bool {
        rate.take(*cell, now).map(|next| *cell = next).is_ok()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rate, mut cell) = (Rate::new(60, MINUTE, 10), Cell::default());
        assert_eq!((0..50).filter(|_| pass(rate, &mut cell, 5)).count(), 10);
        assert_eq!(rate.take(cell, 5).unwrap_err(), Duration::from_secs(1));
        assert_eq!((0..50).filter(|_| pass(rate, &mut cell, 3_000_000_005)).count(), 3);
        let standing = rate.standing(cell, 4_500_000_005);
        assert_eq!((standing.left, standing.next_in), (1, Duration::ZERO));
        assert_eq!(standing.whole_in, Duration::from_millis(8500));
    }

    #[test]
    fn the_largest_numbers_there_are_neither_overflow_nor_pass_more_than_they_say() {
        for (calls, burst) in [(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 1), (0, 0)] {
            let (rate, mut cell) = (Rate::new(calls, MINUTE, burst), Cell::default());
            for now in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                pass(rate, &mut cell, now);
                assert!(rate.standing(cell, now).left <= burst.max(1));
            }
        }
    }

    #[test]
    fn what_was_used_at_one_rate_is_used_at_another() {
        let (slow, fast, mut cell) = (Rate::new(60, MINUTE, 10), Rate::new(600, MINUTE, 20), Cell::default());
        assert!((0..8).all(|_| pass(slow, &mut cell, 0)));
        assert_eq!((slow.standing(cell, 0).left, fast.standing(cell, 0).left), (2, 12));
        let narrow = Rate::new(6, MINUTE, 3);
        assert_eq!(narrow.standing(cell, 0).left, 0);
        assert_eq!(narrow.take(cell, 0).unwrap_err(), Duration::from_secs(10), "never longer than for an empty one");
    }

    proptest! {
        /// Governor is the measure: over any schedule it decides the same.
        #[test]
        fn it_decides_as_governor_does(
            calls in 1_u32..500, burst in 1_u32..40, steps in proptest::collection::vec((0_u64..3_000_000_000, 1_usize..20), 1..60)
        ) {
            let clock = FakeRelativeClock::default();
            // Its interval is rounded down, ours up: the same where there is nothing to round.
            let period = Duration::from_nanos(60_000_000_000 / u64::from(calls) * u64::from(calls));
            let quota = Quota::with_period(period / calls).unwrap().allow_burst(NonZeroU32::new(burst).unwrap());
            let theirs = RateLimiter::direct_with_clock(quota, clock.clone());
            let (ours, mut cell, mut now) = (Rate::new(calls, period, burst), Cell::default(), 0);
            for (wait, tries) in steps {
                clock.advance(Duration::from_nanos(wait));
                now += wait;
                for _ in 0..tries {
                    prop_assert_eq!(pass(ours, &mut cell, now), theirs.check().is_ok());
                }
            }
        }

        #[test]
        fn no_window_holds_more_than_its_rate_and_the_burst(
            calls in 1_u32..200, burst in 1_u32..30, steps in proptest::collection::vec((0_u64..5_000_000_000, 0_usize..40), 1..60)
        ) {
            let (rate, mut cell, mut now) = (Rate::new(calls, MINUTE, burst), Cell::default(), 0_u64);
            let mut passed: Vec<u64> = Vec::new();
            for (wait, tries) in steps {
                now += wait;
                for _ in 0..tries {
                    if pass(rate, &mut cell, now) {
                        passed.push(now);
                    }
                }
            }
            for (first, from) in passed.iter().enumerate() {
                for (last, to) in passed.iter().enumerate().skip(first) {
                    let most = u128::from(burst) + u128::from(to - from) * u128::from(calls) / 60_000_000_000;
                    prop_assert!(u128::try_from(last - first + 1).unwrap() <= most, "{first}..={last}");
                }
            }
        }

        /// What callers are told of a rate: the burst for each of its windows is never too much, wherever the windows begin, be
        /// the burst more than what a period gives or less. And no such window lets through more than twice that.
        #[test]
        fn who_keeps_to_the_burst_in_any_window_is_never_refused(
            calls in 1_u32..200, burst in 1_u32..400, hour in any::<bool>(),
            steps in proptest::collection::vec((0_u64..1000, 0_usize..500), 1..60)
        ) {
            let rate = Rate::new(calls, if hour { MINUTE * 60 } else { MINUTE }, burst);
            let window = u64::try_from(rate.window().as_nanos()).unwrap();
            let slack = 1_000_000;
            let (mut modest, mut greedy, mut now) = (Cell::default(), Cell::default(), 0_u64);
            let (mut asked, mut passed): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
            let within = |times: &[u64], now: u64| times.iter().filter(|at| **at + window + slack > now).count();
            for (wait, tries) in steps {
                now += wait * window / 700;
                for _ in 0..tries {
                    if within(&asked, now) < usize::try_from(burst).unwrap() {
                        asked.push(now);
                        prop_assert!(pass(rate, &mut modest, now));
                    }
                    if pass(rate, &mut greedy, now) {
                        passed.push(now);
                    }
                }
                let most = usize::try_from(burst).unwrap() * 2 + usize::try_from(1_000_000_000 / rate.interval).unwrap() + 1;
                prop_assert!(within(&passed, now) <= most);
            }
        }

        #[test]
        fn after_an_idle_time_the_whole_share_is_there_and_after_the_time_that_is_told_one(
            calls in 1_u32..5000, burst in 1_u32..100, steps in proptest::collection::vec(0_u64..1_000_000_000, 0..200)
        ) {
            let (rate, mut cell, mut now) = (Rate::new(calls, MINUTE, burst), Cell::default(), 0);
            for wait in steps {
                now += wait;
                let standing = rate.standing(cell, now);
                let before = cell;
                let passed = pass(rate, &mut cell, now);
                prop_assert_eq!(passed, standing.left > 0);
                prop_assert_eq!(passed, standing.next_in.is_zero());
                if !passed {
                    let wait = rate.take(before, now).unwrap_err();
                    prop_assert_eq!(wait, standing.next_in);
                    let after = now + u64::try_from(wait.as_nanos()).unwrap();
                    prop_assert!(rate.take(before, after).is_ok() && rate.take(before, after - 1).is_err());
                }
            }
            let whole = now + u64::try_from(rate.standing(cell, now).whole_in.as_nanos()).unwrap();
            prop_assert_eq!(rate.standing(cell, whole).left, burst);
            prop_assert_eq!((0..1000).filter(|_| pass(rate, &mut cell, whole)).count(), usize::try_from(burst).unwrap());
        }
    }
}
