//! The only reader of the clocks. Everything else is told what time it is, so a test can choose it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From whole seconds since the epoch (a JWT NumericDate, an X.509 time).
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From milliseconds since the epoch.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0
    }

    /// This point and `duration` more, held at the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This point less `duration`, held at the start of the range.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How much later this is than `earlier`; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// RFC 3339 in UTC with milliseconds. Written out by hand, because every audit record has one and a general formatter takes
/// longer than the rest of the record.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = OffsetDateTime::from_unix_timestamp(self.seconds()).ok().filter(|at| at.year() >= 0) else {
            return write!(f, "@{}ms", self.0);
        };
        let year = at.year().unsigned_abs();
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let parts = [
            (0..4, year),
            (5..7, u32::from(u8::from(at.month()))),
            (8..10, u32::from(at.day())),
            (11..13, u32::from(at.hour())),
            (14..16, u32::from(at.minute())),
            (17..19, u32::from(at.second())),
            (20..23, u32::try_from(self.0.rem_euclid(1000)).unwrap_or(0)),
        ];
        for (place, mut number) in parts {
            for digit in text.get_mut(place).into_iter().flatten().rev() {
                *digit = u8::try_from(number.checked_rem(10).unwrap_or(0)).unwrap_or(0).saturating_add(b'0');
                number = number.checked_div(10).unwrap_or(0);
            }
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// When the machine that this process runs on was started, as its kernel counts it: by the clock as it is set now.
#[must_use]
pub fn booted() -> Timestamp {
    let seconds = |clock| {
        let read = clock_gettime(clock);
        (read.tv_sec, read.tv_nsec)
    };
    let (now, since) = (seconds(ClockId::Realtime), seconds(ClockId::Boottime));
    let borrowed = i64::from(now.1 < since.1);
    Timestamp::from_seconds(now.0.saturating_sub(since.0).saturating_sub(borrowed))
}

/// Tells the time: the system's, or one that a test moves by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual { wall: Arc<AtomicI64>, origin: Instant, start: i64 },
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `at` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(at: Timestamp) -> Self {
        #[expect(clippy::disallowed_methods, reason = "this module is the reader of the clock")]
        let origin = Instant::now();
        Self(Source::Manual { wall: Arc::new(AtomicI64::new(at.0)), origin, start: at.0 })
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this module is the reader of the clock")]
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual { wall, .. } => Timestamp(wall.load(Ordering::Relaxed)),
        }
    }

    /// A point on the clock that never goes backwards, for measuring durations.
    #[must_use]
    pub fn instant(&self) -> Instant {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this module is the reader of the clock")]
            Source::System => Instant::now(),
            Source::Manual { wall, origin, start } => {
                let moved = Timestamp(wall.load(Ordering::Relaxed)).since(Timestamp(*start));
                origin.checked_add(moved).unwrap_or(*origin)
            }
        }
    }

    /// Moves a manual clock on; the system's clock does not move for anybody.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { wall, .. } = &self.0 {
            wall.store(Timestamp(wall.load(Ordering::Relaxed)).plus(by).0, Ordering::Relaxed);
        }
    }
}

/// The processor time that the calling thread has used since it began.
#[must_use]
pub fn thread_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "the numbers are small")]

    use proptest::prelude::*;
    use time::macros::format_description;

    use super::*;

    #[test]
    fn prints_rfc3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_042).to_string(), "2023-11-14T22:13:20.042Z");
        assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), format!("@{}ms", i64::MAX));
        let year_zero = -62_167_219_200;
        assert_eq!(Timestamp::from_seconds(year_zero).to_string(), "0000-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_seconds(year_zero - 1).to_string(), format!("@{}ms", (year_zero - 1) * 1000));
    }

    proptest! {
        #[test]
        fn prints_what_a_general_formatter_prints(millis in -62_167_219_200_000_i64..253_402_300_800_000) {
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap();
            let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
            prop_assert_eq!(Timestamp::from_millis(millis).to_string(), at.format(form).unwrap());
        }
    }

    #[test]
    fn a_manual_clock_moves_both_readings_together() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        let before = clock.instant();
        clock.advance(Duration::from_secs(7));
        assert_eq!(clock.now().seconds(), 107);
        assert_eq!(clock.instant().duration_since(before), Duration::from_secs(7));
    }
}
