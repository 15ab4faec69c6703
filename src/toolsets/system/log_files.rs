//! Text logs and their rotated forms, read from the newest line back. Of each file no more than the configured bytes are
//! looked at: the last ones. What could not be read is said.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::Host;
use super::budget;
use super::host::beginning;
use super::log_filter::{Newest, Wanted};
use super::query::Ask;
use crate::clock::Timestamp;
use crate::error::Failure;

/// How many rotated forms of one log are looked at.
const ROTATED: usize = 64;

/// A packed file may become so many times the bytes that a plain one may have, before it is given up.
const EXPANSION: u64 = 8;

/// The largest window of a zstd frame, in bytes; zstd(1) without `--ultra` stays below.
const WINDOW: u64 = 8 << 20;

/// Lines between two looks at whether anybody still waits.
const STRIDE: usize = 4096;

/// How to understand the lines of a log.
pub(super) trait Format {
    /// What becomes of a line.
    type Entry;

    /// The time that a line begins with; one that has none belongs to the time of the line before.
    fn time(&self, line: &str) -> Option<Timestamp>;

    /// The line in its parts; `None` when it does not fit what was asked for.
    fn entry(&self, line: &str) -> Option<Self::Entry>;
}

/// What was found in the files of a log.
pub(super) struct Found<E> {
    /// The newest that fit, the oldest of them first.
    pub(super) entries: Vec<E>,
    /// The files that were read, the newest first.
    pub(super) files: Vec<String>,
    /// What the answer lacks.
    pub(super) left_out: Vec<String>,
}

/// Where to read a log.
pub(super) struct Log<'a> {
    /// Opens one of its files.
    pub(super) open: &'a dyn Fn(&str) -> io::Result<(File, std::fs::Metadata)>,
    /// Its files, the newest first.
    pub(super) files: Vec<String>,
}

/// The newest entries of a log that fit.
///
/// # Errors
/// When nobody waits any more.
pub(super) fn read<F: Format>(
    ask: &Ask<'_>,
    log: &Log<'_>,
    wanted: &Wanted,
    format: &F,
) -> Result<Found<F::Entry>, Failure> {
    let mut entries: Vec<F::Entry> = Vec::new();
    let (mut files, mut notes, mut left) = (Vec::new(), Vec::new(), 0_usize);
    for path in &log.files {
        ask.go_on()?;
        let room = wanted.lines.saturating_sub(entries.len());
        if room == 0 {
            notes.push(format!("older lines, in /{path} and before, were not looked at: there was enough"));
            break;
        }
        // Text that is not UTF-8 becomes three times as long before its bytes are gone.
        let most = ask.limits.logs.max_bytes_per_file.min(budget::room() / 4);
        let passing = ask.passing();
        let tail = (log.open)(path).and_then(|(file, about)| {
            let modified = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let modified = modified.and_then(|since| i64::try_from(since.as_millis()).ok());
            // What was last written before the time in question has nothing from after it; a folder of files that were
            // copied is newer than what they hold, never older.
            if modified.is_some_and(|at| Timestamp::from_millis(at) < wanted.from) {
                return Ok(None);
            }
            tail(ask, file, about.len(), path, most).map(Some)
        });
        match tail {
            Ok(Some((text, cut))) => {
                let mut newest = Newest::new(room);
                let reached = scan(ask, &text, wanted, format, &mut newest)?;
                left = left.saturating_add(newest.dropped);
                drop((text, passing));
                let kept = newest.into_vec();
                ask.keep(kept.iter().map(|(bytes, _)| *bytes).sum())?;
                let newer = std::mem::replace(&mut entries, kept.into_iter().map(|(_, entry)| entry).collect());
                entries.extend(newer);
                files.push(format!("/{path}"));
                if reached {
                    break;
                }
                if cut {
                    let capped = most == ask.limits.logs.max_bytes_per_file;
                    let by = if capped { "limits.logs.max_bytes_per_file" } else { "resources.query_memory_mb" };
                    notes.push(format!("only the last {most} bytes of /{path} were read ({by})"));
                }
            }
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => notes.push(format!("/{path} could not be read: {}", why(&error))),
        }
    }
    Ok(Found { entries, files, left_out: wanted.left_out(left, notes) })
}

/// Goes through a text, and keeps entries each with the bytes it takes; whether it reaches back before the time in question.
fn scan<F: Format>(
    ask: &Ask<'_>,
    text: &str,
    wanted: &Wanted,
    format: &F,
    newest: &mut Newest<(usize, F::Entry)>,
) -> Result<bool, Failure> {
    let mut reached = false;
    let mut last = None;
    for (at, line) in text.lines().enumerate() {
        if at.checked_rem(STRIDE) == Some(0) {
            ask.go_on()?;
        }
        let time = format.time(line).or(last);
        last = time;
        match time {
            Some(time) if time < wanted.from => reached = true,
            Some(time) if !wanted.covers(time) => {}
            _ if wanted.fits(line) => {
                if let Some(entry) = format.entry(line) {
                    newest.push((size_of::<F::Entry>().saturating_add(line.len()), entry));
                }
            }
            _ => {}
        }
    }
    Ok(reached)
}

/// Whether a log is there, be it in rotated form only or not to be read.
pub(super) fn exists(host: &Host, path: &str) -> bool {
    host.file(path).is_ok() || rotated(host, path).len() > 1 || {
        let named = |(folder, name): (&str, &str)| host.list(folder).iter().any(|other| other == name);
        path.rsplit_once('/').is_some_and(named)
    }
}

/// `path` and the forms that rotation gives it (`.1`, `-20251103`, and packed), the newest first.
pub(super) fn rotated(host: &Host, path: &str) -> Vec<String> {
    let Some((folder, name)) = path.rsplit_once('/') else { return vec![path.to_owned()] };
    let mut older: Vec<(Age, String)> = host
        .list(folder)
        .into_iter()
        .filter_map(|other| Some((Age::of(other.strip_prefix(name)?)?, format!("{folder}/{other}"))))
        .collect();
    older.sort();
    std::iter::once(path.to_owned()).chain(older.into_iter().take(ROTATED).map(|(_, path)| path)).collect()
}

/// How old a rotated form is, by its name, the newest first. The time of a file says less: packing it anew or copying it
/// changes that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// `.1` is newer than `.2`.
    Number(u64),
    /// `-20251103` is newer than `-20251102`.
    Date(Reverse<u64>),
}

impl Age {
    fn of(rest: &str) -> Option<Self> {
        let plain = ["gz", "zst", "xz", "bz2"].iter().find_map(|packed| rest.strip_suffix(packed)?.strip_suffix('.'));
        let digits = plain.unwrap_or(rest).strip_prefix(['.', '-'])?.replace('-', "");
        let number = Some(digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        Some(if number < 1_000_000 { Self::Number(number) } else { Self::Date(Reverse(number)) })
    }
}

/// The last `cap` bytes of a file as text, from the beginning of a line, and whether there is more before them.
fn tail(ask: &Ask<'_>, mut file: File, size: u64, path: &str, cap: u64) -> io::Result<(String, bool)> {
    let packed = path.rsplit_once('.').map(|(_, ending)| ending);
    let (bytes, cut) = match packed {
        Some("gz") => last(ask, MultiGzDecoder::new(file), cap)?,
        Some("zst") => {
            let decoder = StreamingDecoder::<_, FrameDecoder>::new_with_max_window_size(file, WINDOW);
            last(ask, decoder.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?, cap)?
        }
        Some("xz" | "bz2") => return Err(io::ErrorKind::Unsupported.into()),
        _ => {
            let start = size.saturating_sub(cap);
            file.seek(SeekFrom::Start(start))?;
            (beginning(file, cap)?, start > 0)
        }
    };
    let mut text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if !cut {
        return Ok((text, false));
    }
    text.drain(..text.find('\n').map_or(text.len(), |end| end.saturating_add(1)));
    Ok((text, true))
}

/// The last `cap` bytes of what a decoder gives.
fn last(ask: &Ask<'_>, mut decoder: impl Read, cap: u64) -> io::Result<(Vec<u8>, bool)> {
    let keep = usize::try_from(cap).unwrap_or(usize::MAX);
    let mut kept = VecDeque::new();
    let mut chunk = vec![0; 64 << 10];
    let (mut total, mut cut) = (0_u64, false);
    loop {
        ask.go_on().map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let count = decoder.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if total > cap.saturating_mul(EXPANSION) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        kept.extend(chunk.get(..count).unwrap_or_default());
        let over = kept.len().saturating_sub(keep);
        kept.drain(..over);
        cut |= over > 0;
    }
    budget::hold(kept.len())?;
    Ok((kept.into(), cut))
}

/// Why a file could not be read, in words without paths.
pub(super) fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "the daemon may not read it",
        io::ErrorKind::NotFound => "it is not there",
        io::ErrorKind::Unsupported => "it is packed in a way that is not understood (gz and zst are)",
        io::ErrorKind::FileTooLarge => "it is too large once it is unpacked",
        io::ErrorKind::InvalidInput => "it is no regular file",
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => "it is damaged",
        _ => "the system gave an error",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;

    use super::super::budget::Allowance;
    use super::super::syslog::Query as Syslog;
    use super::*;
    use crate::admission::ResourcesSection;
    use crate::call::Impact;
    use crate::clock::Clock;

    #[test]
    fn rotated_forms_are_told_from_other_logs() {
        for rest in [".1", ".2.gz", "-20251103", "-20251103.zst", ".10.xz", "-2025-11-03"] {
            assert!(Age::of(rest).is_some(), "{rest}");
        }
        for rest in ["", ".gz", ".old", "-debug", ".1.bak", "ng", ".", "-", ".99999999999999999999999"] {
            assert!(Age::of(rest).is_none(), "{rest}");
        }
    }

    #[test]
    fn the_newest_form_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("var/log");
        std::fs::create_dir_all(&log).unwrap();
        let names = ["syslog", "syslog.1", "syslog.2.gz", "syslog.10.gz", "syslog-20251103", "syslog-20251102.zst"];
        for name in names.iter().chain(&["syslog.conf"]) {
            std::fs::write(log.join(name), "").unwrap();
        }
        let host = Host::folder(folder.path());
        assert_eq!(rotated(&host, "var/log/syslog"), names.map(|name| format!("var/log/{name}")));
    }

    #[test]
    fn of_a_log_larger_than_its_memory_a_query_reads_the_end_whatever_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("var/log")).unwrap();
        let now = Clock::system().now();
        let mut lines = Vec::new();
        for number in 0..40_000 {
            lines.extend(format!("{now} host program: {number} ").bytes().chain([0xff; 40]).chain([b'\n']));
        }
        let packed = File::create(folder.path().join("var/log/syslog.1.gz")).unwrap();
        let mut packed = GzEncoder::new(packed, Compression::fast());
        packed.write_all(&lines[..1 << 20]).unwrap();
        packed.finish().unwrap();
        std::fs::write(folder.path().join("var/log/syslog"), lines).unwrap();
        let host = Host::folder(folder.path());
        let section = ResourcesSection { query_memory_mb: 1, ..ResourcesSection::default() };
        let allowance = Allowance::of(Impact::Medium, &section);
        let read = |arguments: serde_json::Value| {
            budget::within(allowance, &Arc::default(), || super::super::query::ask::<Syslog>(&host, arguments))
        };
        let answer = read(json!({"lines": 1000})).unwrap();
        let entries = answer["entries"].as_array().unwrap();
        assert!(entries.len() == 1000 && entries[999]["message"].as_str().unwrap().starts_with("39999 "), "{answer}");
        let answer = read(json!({"pattern": " 0 "})).unwrap();
        assert_eq!(answer["entries"], json!([]));
        assert_eq!(answer["files"], json!(["/var/log/syslog", "/var/log/syslog.1.gz"]));
        let said = answer["left_out"].to_string();
        assert!(said.contains(" bytes of /var/log/syslog were read (resources.query_memory_mb)"), "{said}");
    }
}
