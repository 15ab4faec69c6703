//! From the kernel's counters to figures with units: nothing overflows, and what is not a number is absent.

use std::time::Duration;

use crate::clock::Timestamp;

/// What the kernel counts times in, for user space: `USER_HZ` is 100 on every architecture this program is built for.
const TICKS_PER_SECOND: u64 = 100;

/// 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can say.
const LAST_MOMENT_MS: i64 = 253_402_300_799_999;

/// `part` of `whole` in percent, to two decimals; `None` of nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (float(part) / float(whole) * 10_000.0).round() / 100.0)
}

/// Seconds in `ticks`.
pub(super) fn seconds(ticks: u64) -> f64 {
    float(ticks) / float(TICKS_PER_SECOND)
}

/// Milliseconds in `ticks`.
pub(super) fn milliseconds(ticks: u64) -> u64 {
    ticks.saturating_mul(1000 / TICKS_PER_SECOND)
}

/// Seconds in `micros` microseconds.
pub(super) fn seconds_of_micros(micros: u64) -> f64 {
    float(micros) / 1_000_000.0
}

/// Seconds in `millis` milliseconds.
pub(super) fn seconds_of_millis(millis: u64) -> f64 {
    float(millis) / 1000.0
}

/// How many a second, to two decimals, of `count` within `elapsed`; `None` of no time.
pub(super) fn per_second(count: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| (float(count) / seconds * 100.0).round() / 100.0)
}

/// A number such as `0.35`, if it is finite and not negative.
pub(super) fn decimal(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// A number such as `2596.122` in units of its last kept decimal: with 2 decimals, 259612.
pub(super) fn fixed(text: &str, decimals: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<decimals$.decimals$}");
    let unit = 10_u64.checked_pow(u32::try_from(decimals).ok()?)?;
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(fraction.parse().ok()?)
}

/// A point in time as RFC 3339 in UTC, unless it lies outside the years 1970 to 9999.
pub(super) fn moment(millis: u64) -> Option<String> {
    let millis = i64::try_from(millis).ok().filter(|millis| *millis <= LAST_MOMENT_MS)?;
    Some(Timestamp::from_millis(millis).to_string())
}

/// The nearest float; exact up to 2^53.
fn float(number: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(number >> 32) * 4_294_967_296.0 + half(number & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn figures_are_rounded_and_nothing_is_a_share_of_nothing() {
        assert_eq!(percent(1, 3), Some(33.33));
        assert_eq!(percent(2, 3), Some(66.67));
        assert_eq!(percent(5, 2), Some(250.0));
        assert_eq!(percent(0, 0), None);
        assert_eq!(seconds(12_345), 123.45);
        assert_eq!(milliseconds(7), 70);
        assert_eq!(seconds_of_micros(391_926), 0.391_926);
        assert_eq!(seconds_of_millis(1500), 1.5);
        assert_eq!(per_second(1, Duration::from_millis(300)), Some(3.33));
        assert_eq!(per_second(1, Duration::ZERO), None);
    }

    #[test]
    fn what_is_not_a_plain_number_is_absent() {
        assert_eq!(decimal("0.35"), Some(0.35));
        for text in ["", "NaN", "inf", "-1", "1,5", "1e999"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn decimals_become_whole_units_exactly() {
        assert_eq!(fixed("2596.122", 6), Some(2_596_122_000));
        assert_eq!(fixed("1500", 6), Some(1_500_000_000));
        assert_eq!(fixed("93784.5299", 2), Some(9_378_452));
        for text in ["99999999999999999999", "fast", "", ".5", "1.x", "1.-1"] {
            assert_eq!(fixed(text, 6), None, "{text}");
        }
    }

    #[test]
    fn a_moment_past_the_year_9999_is_absent() {
        assert_eq!(moment(1_700_000_000_042).as_deref(), Some("2023-11-14T22:13:20.042Z"));
        assert_eq!(moment(253_402_300_799_999).as_deref(), Some("9999-12-31T23:59:59.999Z"));
        assert_eq!(moment(253_402_300_800_000), None);
        assert_eq!(moment(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn no_counter_is_too_large(part in any::<u64>(), whole in any::<u64>()) {
            prop_assert_eq!(float(part), part.to_string().parse::<f64>().unwrap());
            prop_assert!(percent(part, whole).is_none_or(f64::is_finite));
            prop_assert!(seconds(part).is_finite());
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC*|[0-9]{0,22}[.][0-9é]{0,9}") {
            let _ = (fixed(&text, 2), decimal(&text));
        }
    }
}
