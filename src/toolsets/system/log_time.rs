//! The times that log lines begin with, in the forms that are met in the field, and the host's own time zone for those
//! that name none. A time that no calendar has is no time.

use tz::TimeZone;
use tz::datetime::DateTime;

use super::Host;
use super::host::beginning;
use crate::clock::Timestamp;

/// The largest file of time zone rules that is read, in bytes; the largest of the tz database has some 4000.
const ZONE_BYTES: u64 = 64 << 10;

/// How far into a line its time may stand: after an address, a level, or the first members of a JSON object.
const REACH: usize = 200;

/// How far ahead of now a time without a year may lie before it is taken for last year's, in milliseconds: a day.
const AHEAD: i64 = 86_400_000;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What is needed to understand the times in a host's logs.
pub(super) struct Stamps {
    zone: TimeZone,
    now: Timestamp,
}

/// A reading of clock and calendar.
#[derive(Clone, Copy, Default)]
struct Civil {
    year: Option<i32>,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    millisecond: i64,
    /// Seconds east of UTC, where the text says.
    offset: Option<i64>,
}

impl Stamps {
    /// Those of `host`: its zone is that of `/etc/localtime`, or UTC.
    pub(super) fn of(host: &Host) -> Self {
        let rules = || {
            let (file, _) = host.file("etc/localtime").ok()?;
            TimeZone::from_tz_data(&beginning(file, ZONE_BYTES).ok()?).ok()
        };
        Self { zone: rules().unwrap_or_else(TimeZone::utc), now: host.now() }
    }

    /// The time at the very beginning of a line, and the rest of the line.
    pub(super) fn leading<'a>(&self, line: &'a str) -> Option<(Timestamp, &'a str)> {
        let mut rest = line;
        let civil = bsd(&mut rest).or_else(|| {
            rest = line;
            iso(&mut rest)
        })?;
        Some((self.timestamp(civil)?, rest))
    }

    /// The first time near the beginning of a line of unknown form: at its start, or after a quote, a bracket or a blank.
    pub(super) fn first(&self, line: &str) -> Option<Timestamp> {
        let opens = |c: char| matches!(c, '[' | '"' | '(' | '=' | ' ' | '\t' | '|');
        let starts = line.char_indices().take_while(|(at, _)| *at < REACH).filter(|(_, c)| opens(*c));
        std::iter::once(0).chain(starts.map(|(at, _)| at.saturating_add(1))).find_map(|at| {
            let text = line.get(at..)?;
            let forms: [fn(&mut &str) -> Option<Civil>; 4] = [iso, bsd, clf, asctime];
            let civil = forms.iter().find_map(|form| form(&mut { text }))?;
            self.timestamp(civil)
        })
    }

    /// A time without a year is the latest one that has not yet come.
    fn timestamp(&self, civil: Civil) -> Option<Timestamp> {
        let Some(year) = civil.year else {
            let this_year = DateTime::from_timespec(self.now.seconds(), 0, self.zone.as_ref()).ok()?.year();
            let of = |year| self.timestamp(Civil { year: Some(year), ..civil });
            let latest = self.now.millis().saturating_add(AHEAD);
            // The next year too: on its eve a clock may already be ahead.
            let years = [this_year.checked_add(1)?, this_year, this_year.checked_sub(1)?];
            return years.into_iter().filter_map(of).find(|found| found.millis() <= latest);
        };
        let Civil { month, day, hour, minute, second, millisecond, offset, .. } = civil;
        let zone = match offset {
            Some(_) => TimeZone::utc(),
            None => self.zone.clone(),
        };
        let found = DateTime::find(year, month, day, hour, minute, second, 0, zone.as_ref()).ok()?;
        // An hour that comes twice in autumn is taken for the first one; one that spring leaves out, for when it would be.
        let seconds = found.earliest()?.unix_time().checked_sub(offset.unwrap_or(0))?;
        Some(Timestamp::from_millis(seconds.checked_mul(1000)?.checked_add(millisecond)?))
    }
}

/// What a caller writes in `since` and `until`: RFC 3339.
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    let mut rest = text;
    let civil = iso(&mut rest).filter(|civil| civil.offset.is_some() && rest.is_empty())?;
    Stamps { zone: TimeZone::utc(), now: Timestamp::from_seconds(0) }.timestamp(civil)
}

/// `2025-11-03T06:12:56.123+01:00`, also with `/` for `-`, a blank for `T`, a comma for the point, and no offset.
fn iso(rest: &mut &str) -> Option<Civil> {
    let year = i32::try_from(number(rest, 4)?).ok()?;
    let separator = one_of(rest, &['-', '/'])?;
    let month = small(rest, 2)?;
    one_of(rest, &[separator])?;
    let day = small(rest, 2)?;
    one_of(rest, &['T', 't', ' '])?;
    let civil = clock(rest, Civil { year: Some(year), month, day, ..Civil::default() })?;
    let mut after = *rest;
    if after.starts_with(' ') {
        // A zone after a blank is one only with its sign, as in `+0100`.
        after = after.trim_start_matches(' ');
        if !after.starts_with(['+', '-']) {
            return Some(civil);
        }
    }
    Some(match offset(&mut after) {
        Some(offset) => {
            *rest = after;
            Civil { offset: Some(offset), ..civil }
        }
        None => civil,
    })
}

/// RFC 3164: `Nov  3 06:12:56`, which some write with a year.
fn bsd(rest: &mut &str) -> Option<Civil> {
    let month = month(rest)?;
    one_of(rest, &[' '])?;
    let day = if one_of(rest, &[' ']).is_some() { small(rest, 1)? } else { small(rest, 2)? };
    one_of(rest, &[' '])?;
    let mut ahead = *rest;
    let year = number(&mut ahead, 4).filter(|_| one_of(&mut ahead, &[' ']).is_some());
    let year = year.and_then(|year| i32::try_from(year).ok());
    if year.is_some() {
        *rest = ahead;
    }
    clock(rest, Civil { year, month, day, ..Civil::default() })
}

/// The common log format: `03/Nov/2025:06:12:56 +0100`.
fn clf(rest: &mut &str) -> Option<Civil> {
    let day = small(rest, 2)?;
    one_of(rest, &['/'])?;
    let month = month(rest)?;
    one_of(rest, &['/'])?;
    let year = i32::try_from(number(rest, 4)?).ok();
    one_of(rest, &[':'])?;
    let civil = clock(rest, Civil { year, month, day, ..Civil::default() })?;
    one_of(rest, &[' '])?;
    Some(Civil { offset: Some(offset(rest)?), ..civil })
}

/// asctime(3), as Apache's error log has it: `Mon Nov 03 06:12:56.123456 2025`.
fn asctime(rest: &mut &str) -> Option<Civil> {
    let (weekday, after) = rest.split_at_checked(3)?;
    if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday) {
        return None;
    }
    *rest = after;
    one_of(rest, &[' '])?;
    let civil = bsd(rest)?;
    one_of(rest, &[' '])?;
    Some(Civil { year: Some(i32::try_from(number(rest, 4)?).ok()?), ..civil })
}

fn clock(rest: &mut &str, date: Civil) -> Option<Civil> {
    let hour = small(rest, 2)?;
    one_of(rest, &[':'])?;
    let minute = small(rest, 2)?;
    one_of(rest, &[':'])?;
    let second = small(rest, 2)?;
    let mut millisecond = 0;
    let mut after = *rest;
    if one_of(&mut after, &['.', ',']).is_some() {
        let end = after.bytes().take_while(u8::is_ascii_digit).count();
        if let Some((digits, tail)) = after.split_at_checked(end).filter(|(digits, _)| !digits.is_empty()) {
            millisecond = format!("{digits:0<3.3}").parse().ok()?;
            *rest = tail;
        }
    }
    Some(Civil { hour, minute, second, millisecond, ..date })
}

/// `Z`, `+01:00` or `+0100`, in seconds.
fn offset(rest: &mut &str) -> Option<i64> {
    let sign = one_of(rest, &['Z', 'z', '+', '-'])?;
    if sign.eq_ignore_ascii_case(&'z') {
        return Some(0);
    }
    let hours = i64::from(number(rest, 2)?);
    let _ = one_of(rest, &[':']);
    let minutes = i64::from(number(rest, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60));
    Some(if sign == '-' { seconds.saturating_neg() } else { seconds })
}

fn month(rest: &mut &str) -> Option<u8> {
    let (name, after) = rest.split_at_checked(3)?;
    let at = MONTHS.iter().position(|month| *month == name)?;
    *rest = after;
    u8::try_from(at.saturating_add(1)).ok()
}

fn number(rest: &mut &str, digits: usize) -> Option<u32> {
    let (text, after) = rest.split_at_checked(digits)?;
    let found = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    *rest = after;
    found
}

fn small(rest: &mut &str, digits: usize) -> Option<u8> {
    number(rest, digits).and_then(|number| u8::try_from(number).ok())
}

fn one_of(rest: &mut &str, wanted: &[char]) -> Option<char> {
    let mut chars = rest.chars();
    let found = chars.next().filter(|c| wanted.contains(c))?;
    *rest = chars.as_str();
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamps(zone: &str, now: &str) -> Stamps {
        Stamps { zone: TimeZone::from_posix_tz(zone).unwrap(), now: rfc3339(now).unwrap() }
    }

    fn leading(line: &str) -> Option<(String, String)> {
        let found = stamps("CET-1CEST,M3.5.0,M10.5.0/3", "2025-11-10T00:00:00Z").leading(line);
        found.map(|(at, rest)| (at.to_string(), rest.to_owned()))
    }

    fn first(line: &str) -> Option<String> {
        stamps("CET-1CEST,M3.5.0,M10.5.0/3", "2025-11-10T00:00:00Z").first(line).map(|at| at.to_string())
    }

    #[test]
    fn a_line_begins_with_a_time_of_either_form() {
        let at = |time: &str, rest: &str| Some((time.to_owned(), rest.to_owned()));
        assert_eq!(leading("Nov  3 06:12:56 host a"), at("2025-11-03T05:12:56.000Z", " host a"));
        assert_eq!(leading("Jul 13 06:12:56 host a"), at("2025-07-13T04:12:56.000Z", " host a"));
        assert_eq!(leading("Jul 13 2023 06:12:56 x"), at("2023-07-13T04:12:56.000Z", " x"));
        assert_eq!(leading("2025-11-03T06:12:56.987654+01:00 h"), at("2025-11-03T05:12:56.987Z", " h"));
        assert_eq!(leading("2025-11-03T06:12:56.5Z h"), at("2025-11-03T06:12:56.500Z", " h"));
        assert_eq!(leading("2025-11-03 06:12:56,123 INFO"), at("2025-11-03T05:12:56.123Z", " INFO"));
        assert_eq!(leading("2025-11-03 06:12:56 -0500 x"), at("2025-11-03T11:12:56.000Z", " x"));
        for text in ["", "Nov", "Nov 33 06:12:56", "2025-13-01 00:00:00", "x 2025-11-03 06:12:56", "Nov  3 6:12:56"] {
            assert_eq!(leading(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_without_a_year_is_the_latest_that_has_come() {
        let stamps = stamps("UTC0", "2026-01-02T12:00:00Z");
        let at = |line| stamps.leading(line).unwrap().0.to_string();
        assert_eq!(at("Dec 31 23:59:59 x"), "2025-12-31T23:59:59.000Z");
        assert_eq!(at("Jan  2 11:00:00 x"), "2026-01-02T11:00:00.000Z");
        assert_eq!(at("Jan  3 11:00:00 x"), "2026-01-03T11:00:00.000Z", "a clock may be ahead");
        assert_eq!(at("Jan  4 11:00:00 x"), "2025-01-04T11:00:00.000Z");
        let eve = Stamps { now: rfc3339("2025-12-31T23:59:00Z").unwrap(), ..stamps };
        assert_eq!(eve.leading("Jan  1 00:00:01 x").unwrap().0.to_string(), "2026-01-01T00:00:01.000Z");
    }

    #[test]
    fn the_hour_that_comes_twice_is_the_first_one() {
        assert_eq!(first("2025-10-26 02:30:00 x").as_deref(), Some("2025-10-26T00:30:00.000Z"));
        assert!(first("2025-03-30 02:30:00 x").is_some());
    }

    #[test]
    fn other_programs_write_their_times_elsewhere() {
        for line in [
            "192.0.2.7 - - [03/Nov/2025:06:12:56 +0100] \"GET / HTTP/1.1\" 200",
            "[Mon Nov 03 06:12:56.000123 2025] [core:notice]",
            "{\"level\":\"info\",\"time\":\"2025-11-03T05:12:56Z\"}",
            "level=info ts=2025-11-03T05:12:56.000Z msg=x",
            "2025/11/03 06:12:56 [error] 7#7: x",
            "[2025-11-03 06:12:56] production.ERROR: x",
        ] {
            assert_eq!(first(line).as_deref(), Some("2025-11-03T05:12:56.000Z"), "{line}");
        }
        assert_eq!(first("no time in here: 12:34"), None);
        assert_eq!(first(&format!("{} 2025-11-03 06:12:56", "x".repeat(REACH))), None);
    }

    #[test]
    fn a_caller_names_the_zone() {
        assert_eq!(rfc3339("2025-11-03T06:12:56+01:00").unwrap().to_string(), "2025-11-03T05:12:56.000Z");
        for text in ["2025-11-03T06:12:56", "2025-11-03", "yesterday", "2025-11-03T06:12:56Z and"] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|[0-9]{4}[-/][0-9é]{2}[-/][0-9]{2}[T ][0-9:]{8}[.,][0-9]{0,12}[Z+-]?[0-9:]{0,5}|[JFN][aeo][nbv] [ 0-9]{2} [0-9:]{8}") {
            let _ = (leading(&text), first(&text), rfc3339(&text));
        }
    }
}
