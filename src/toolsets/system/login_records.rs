//! wtmp, btmp and lastlog: records of one size (utmp(5)). The size depends on the architecture that wrote them, so it is
//! found out from the records themselves.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::FileExt as _;

use super::budget;
use super::host::beginning;
use crate::clock::Timestamp;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// The host started.
    Boot,
    /// It stopped.
    Shutdown,
    /// A user came in; in btmp, did not.
    Login,
    /// A line was left.
    Logout,
}

/// A record of wtmp or btmp.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) event: Event,
    pub(super) time: Timestamp,
    pub(super) user: Option<String>,
    pub(super) line: Option<String>,
    /// The name or address it came from, as it was written.
    pub(super) host: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) pid: Option<u32>,
}

/// Where fields lie; all before the session is the same everywhere.
#[derive(Clone, Copy)]
struct Layout {
    size: usize,
    wide: bool,
    time: usize,
    address: usize,
}

/// glibc, bits/utmp.h: with 32-bit times where 32-bit programs run beside 64-bit ones (x86-64, 32-bit Arm), and without.
const LAYOUTS: [Layout; 2] = [
    Layout { size: 384, wide: false, time: 340, address: 348 },
    Layout { size: 400, wide: true, time: 344, address: 360 },
];

impl Layout {
    fn record<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(..self.size)
    }

    /// `None` for a record that says nothing, `Err` for one that cannot be one.
    fn read(&self, bytes: &[u8]) -> Result<Option<Record>, ()> {
        let kind = i32_at(bytes, 0).map(|kind| kind & 0xffff).ok_or(())?;
        let seconds = if self.wide { i64_at(bytes, self.time) } else { i32_at(bytes, self.time).map(i64::from) };
        let seconds = seconds.filter(|seconds| (0..=253_402_300_799).contains(seconds)).ok_or(())?;
        let fraction_at = self.time.saturating_add(if self.wide { 8 } else { 4 });
        let micros = if self.wide { i64_at(bytes, fraction_at) } else { i32_at(bytes, fraction_at).map(i64::from) };
        let micros = micros.filter(|micros| (0..1_000_000).contains(micros)).ok_or(())?;
        let (user, line) = (text(bytes, 44, 32), text(bytes, 8, 32));
        let event = match (kind, user.as_deref()) {
            (2, _) => Event::Boot,
            (1, Some("shutdown")) => Event::Shutdown,
            (6 | 7, _) => Event::Login,
            (8, _) => Event::Logout,
            (0..=9, _) => return Ok(None),
            _ => return Err(()),
        };
        let time = Timestamp::from_millis(seconds.saturating_mul(1000).saturating_add(micros / 1000));
        Ok(Some(Record {
            event,
            time,
            user,
            line,
            host: text(bytes, 76, 256),
            address: bytes.get(self.address..).and_then(|rest| rest.first_chunk()).and_then(address),
            pid: i32_at(bytes, 4).and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0),
        }))
    }
}

/// The records in the last `cap` bytes of a file, and whether there are more before them; `None` when they make no sense.
pub(super) fn records(mut file: File, size: u64, cap: u64) -> std::io::Result<Option<(Vec<Record>, bool)>> {
    // Beside the bytes there will be what is made of them: records, then events.
    let cap = cap.min(budget::room() / 4);
    // A place where records of either size begin.
    let step = 9600;
    let start = size.saturating_sub(cap).div_ceil(step).saturating_mul(step).min(size);
    file.seek(SeekFrom::Start(start))?;
    let bytes = beginning(file, cap)?;
    budget::hold(bytes.len().saturating_mul(2))?;
    for layout in LAYOUTS {
        let found: Result<Vec<Option<Record>>, ()> = bytes
            .chunks(layout.size)
            .filter_map(|chunk| layout.record(chunk))
            .map(|chunk| layout.read(chunk))
            .collect();
        // Half a record at the end is one that is being written.
        if let Ok(found) = found
            && (bytes.is_empty() || bytes.len() >= layout.size)
        {
            return Ok(Some((found.into_iter().flatten().collect(), start > 0)));
        }
    }
    Ok(None)
}

/// The last login of each of these users, by lastlog; a file of 292-byte records, or of 296.
pub(super) fn last_logins(file: &File, size: u64, uids: &[u32]) -> Vec<(u32, Record)> {
    let wide = size > 0 && size.checked_rem(292) != Some(0) && size.checked_rem(296) == Some(0);
    let (length, after_time) = if wide { (296_u64, 8) } else { (292, 4) };
    let mut found = Vec::new();
    for uid in uids {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(296)];
        let place = u64::from(*uid).saturating_mul(length);
        if place.saturating_add(length) > size || file.read_exact_at(&mut bytes, place).is_err() {
            continue;
        }
        let seconds = if wide { i64_at(&bytes, 0) } else { i32_at(&bytes, 0).map(i64::from) };
        // A user who never came in has a record of zeros, or none.
        let Some(seconds) = seconds.filter(|seconds| (1..=253_402_300_799).contains(seconds)) else { continue };
        let (line, host) = (text(&bytes, after_time, 32), text(&bytes, after_time.saturating_add(32), 256));
        let time = Timestamp::from_seconds(seconds);
        found.push((*uid, Record { event: Event::Login, time, user: None, line, host, address: None, pid: None }));
    }
    found
}

fn text(bytes: &[u8], at: usize, length: usize) -> Option<String> {
    let field = bytes.get(at..)?.get(..length)?;
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
    let text = String::from_utf8_lossy(field.get(..end)?).into_owned();
    (!text.is_empty()).then_some(text)
}

/// Four words; an IPv4 address is the first alone.
fn address(bytes: &[u8; 16]) -> Option<IpAddr> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    if bytes.iter().all(|byte| *byte == 0) {
        return None;
    }
    if rest.iter().all(|byte| *byte == 0) {
        return Some(Ipv4Addr::from(*first).into());
    }
    Some(Ipv6Addr::from(*bytes).to_canonical())
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> (File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        (file, u64::try_from(bytes.len()).unwrap())
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..][..value.len()].copy_from_slice(value);
    }

    fn record(layout: &Layout, kind: u8, user: &str, seconds: i32) -> Vec<u8> {
        let mut bytes = vec![0; layout.size];
        bytes[0] = kind;
        put(&mut bytes, 4, &7_i32.to_le_bytes());
        put(&mut bytes, 8, b"pts/0");
        put(&mut bytes, 44, user.as_bytes());
        put(&mut bytes, 76, b"192.0.2.7");
        put(&mut bytes, layout.time, &seconds.to_le_bytes());
        put(&mut bytes, layout.address, &[192, 0, 2, 7]);
        bytes
    }

    #[test]
    fn records_of_either_size_are_read() {
        for layout in LAYOUTS {
            let mut bytes = record(&layout, 2, "reboot", 1_762_150_364);
            bytes.extend(record(&layout, 7, "alice", 1_762_150_400));
            bytes.extend(record(&layout, 5, "", 1_762_150_400));
            bytes.extend(record(&layout, 8, "", 1_762_150_500));
            bytes.extend([7, 0, 0]);
            let (file, size) = file(&bytes);
            let (found, more) = records(file, size, 1 << 20).unwrap().unwrap();
            let events: Vec<Event> = found.iter().map(|record| record.event).collect();
            assert_eq!((events, more), (vec![Event::Boot, Event::Login, Event::Logout], false));
            let login = &found[1];
            assert_eq!(
                (login.user.as_deref(), login.line.as_deref(), login.pid),
                (Some("alice"), Some("pts/0"), Some(7))
            );
            assert_eq!(login.address, Some(IpAddr::from([192, 0, 2, 7])));
            assert_eq!(login.time.to_string(), "2025-11-03T06:13:20.000Z");
        }
    }

    #[test]
    fn of_a_long_file_the_end_is_read_at_a_record() {
        let one = record(&LAYOUTS[0], 7, "alice", 1_762_150_400);
        let (file, size) = file(&one.repeat(100));
        let (found, more) = records(file, size, 10_000).unwrap().unwrap();
        assert!(more && !found.is_empty() && found.len() <= 26, "{}", found.len());
    }

    #[test]
    fn nonsense_is_told_from_an_empty_file() {
        let (text, size) = file("this is no record ".repeat(60).as_bytes());
        assert!(records(text, size, 1 << 20).unwrap().is_none());
        let (nothing, size) = file(b"");
        assert_eq!(records(nothing, size, 1 << 20).unwrap().unwrap().0.len(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1300), cap in 0_u64..1500) {
            let (whole, size) = file(&bytes);
            let _ = last_logins(&whole, size, &[0, 1, 4, u32::MAX]);
            let _ = records(whole, size, cap);
        }
    }
}
