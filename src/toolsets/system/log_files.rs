//! Text logs and their rotated forms, read from the newest line back. Of each file no more than the configured bytes are
//! looked at: the last ones. What could not be read is said.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::Host;
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
        let tail = (log.open)(path).and_then(|(file, about)| {
            let modified = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
            let modified = modified.and_then(|since| i64::try_from(since.as_millis()).ok());
            // What was last written before the time in question has nothing from after it; a folder of files that were
            // copied is newer than what they hold, never older.
            if modified.is_some_and(|at| Timestamp::from_millis(at) < wanted.from) {
                return Ok(None);
            }
            tail(ask, file, about.len(), path).map(Some)
        });
        match tail {
            Ok(Some((text, cut))) => {
                let mut newest = Newest::new(room);
                let reached = scan(ask, &text, wanted, format, &mut newest)?;
                left = left.saturating_add(newest.dropped);
                let newer = std::mem::replace(&mut entries, newest.into_vec());
                entries.extend(newer);
                files.push(format!("/{path}"));
                if reached {
                    break;
                }
                if cut {
                    let bytes = ask.limits.logs.max_bytes_per_file;
                    notes.push(format!(
                        "only the last {bytes} bytes of /{path} were read (limits.logs.max_bytes_per_file)"
                    ));
                }
            }
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => notes.push(format!("/{path} could not be read: {}", why(&error))),
        }
    }
    Ok(Found { entries, files, left_out: wanted.left_out(left, notes) })
}

/// Goes through a text; whether it reaches back before the time in question.
fn scan<F: Format>(
    ask: &Ask<'_>,
    text: &str,
    wanted: &Wanted,
    format: &F,
    newest: &mut Newest<F::Entry>,
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
                    newest.push(entry);
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

/// The last bytes of a file as text, from the beginning of a line, and whether there is more before them.
fn tail(ask: &Ask<'_>, mut file: File, size: u64, path: &str) -> io::Result<(String, bool)> {
    let cap = ask.limits.logs.max_bytes_per_file;
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
            let mut bytes = Vec::new();
            file.take(cap).read_to_end(&mut bytes)?;
            (bytes, start > 0)
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    };
    if !cut {
        return Ok((text, false));
    }
    let whole = text.split_once('\n').map(|(_, rest)| rest.to_owned());
    Ok((whole.unwrap_or_default(), true))
}

/// The last `cap` bytes of what a decoder gives.
fn last(ask: &Ask<'_>, mut decoder: impl Read, cap: u64) -> io::Result<(Vec<u8>, bool)> {
    let keep = usize::try_from(cap).unwrap_or(usize::MAX);
    let mut kept = Vec::new();
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
        kept.extend(chunk.iter().take(count));
        if kept.len() > keep.saturating_mul(2) {
            kept.drain(..kept.len().saturating_sub(keep));
            cut = true;
        }
    }
    if kept.len() > keep {
        kept.drain(..kept.len().saturating_sub(keep));
        cut = true;
    }
    Ok((kept, cut))
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
    use super::*;

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
}
