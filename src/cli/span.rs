//! How far away a time is, in words: the largest unit that fits, rounded down.

use crate::clock::Timestamp;

/// `29 days`, `3 hours`, `42 seconds`.
pub(super) fn between(one: Timestamp, other: Timestamp) -> String {
    // Certificates and tokens count in whole seconds; a fraction would make 30 days 29.
    let seconds = one.seconds().abs_diff(other.seconds());
    let units = [("day", 86_400), ("hour", 3600), ("minute", 60)];
    let fits = units.into_iter().filter_map(|(unit, length)| Some((unit, seconds.checked_div(length)?)));
    let (unit, count) = fits.into_iter().find(|(_, count)| *count >= 2).unwrap_or(("second", seconds));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_unit_that_fits_is_used() {
        let words = |seconds| between(Timestamp::from_seconds(seconds), Timestamp::from_seconds(0));
        for (seconds, expected) in [
            (0, "0 seconds"),
            (-1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7199, "119 minutes"),
            (86_400, "24 hours"),
            (172_800, "2 days"),
            (-172_800, "2 days"),
        ] {
            assert_eq!(words(seconds), expected);
        }
    }
}
