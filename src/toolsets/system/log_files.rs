//! Text logs and their rotated forms, read from the newest line back. Of each file no more than the configured bytes are
//! looked at: the last ones. What could not be read is said. Secrets go before anything is filtered or cut.

mod unpack;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};

use super::Host;
use super::budget;
use super::host::beginning;
use super::log_filter::{Looked, Newest, Wanted, looked_at};
use super::query::Ask;
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::guard::Before;

/// How many rotated forms of one log are looked at.
const ROTATED: usize = 64;

/// A packed file may become so many times the bytes that a plain one may have, before it is given up.
const EXPANSION: u64 = 8;

/// Bytes before those that count, as many as a private key has: one that begins there is known by its beginning.
const BEFORE: u64 = 64 << 10;

/// Bytes between two looks at whether anybody still waits.
const STRIDE: usize = 64 << 10;

/// How to understand the lines of a log.
pub(super) trait Format {
    /// What becomes of a line.
    type Entry;

    /// Where the answer has the texts, as the audit log is to name it.
    const FIELD: &'static str;

    /// The time that a line begins with; one that has none belongs to the time of the line before.
    fn time(&self, line: &str) -> Option<Timestamp>;

    /// The byte at which the message begins.
    fn message(&self, _line: &str) -> usize {
        0
    }

    /// The line without the secrets in what it has in another form; `None` if there are none.
    fn disclosed(&self, _line: &str, _redactor: &Before<'_>) -> Option<String> {
        None
    }

    /// The line in its parts; `None` when it does not fit what was asked for.
    fn entry(&self, line: &str) -> Option<Self::Entry>;
}

/// What was found in the files of a log.
pub(super) struct Found<E> {
    /// The newest that fit, the oldest of them first.
    pub(super) entries: Vec<E>,
    /// Where they were looked for, and what the answer lacks.
    pub(super) looked: Looked,
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
    let redactor = ask.redactor(F::FIELD)?;
    for path in &log.files {
        ask.go_on()?;
        let room = wanted.lines.saturating_sub(entries.len());
        if room == 0 {
            notes.push(format!("older lines, in /{path} and before, were not looked at: there was enough"));
            wanted.enough();
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
            Ok(Some(Tail { text, from, cut })) => {
                let text = redactor.clean_across(text, from, || ask.go_on())?;
                let Scanned { kept, dropped, reached } = scan(ask, &redactor, &text, (wanted, room), format)?;
                left = left.saturating_add(dropped);
                drop((text, passing));
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
                    budget::cut(&format!("only the last {most} bytes of a log were read ({by})"));
                    notes.push(format!("only the last {most} bytes of /{path} were read ({by})"));
                }
            }
            Ok(None) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => notes.push(format!("/{path} could not be read: {}", why(&error))),
        }
    }
    Ok(Found { entries, looked: Looked { files, left_out: wanted.left_out(left, notes) } })
}

/// What a text has.
struct Scanned<E> {
    /// The newest entries that fit, each with the bytes it takes.
    kept: Vec<(usize, E)>,
    /// How many older ones fit.
    dropped: usize,
    /// Whether it reaches back before the time in question.
    reached: bool,
}

/// Goes through a text that has nothing left that goes over several lines and has to go.
fn scan<F: Format>(
    ask: &Ask<'_>,
    redactor: &Before<'_>,
    text: &str,
    (wanted, room): (&Wanted, usize),
    format: &F,
) -> Result<Scanned<F::Entry>, Failure> {
    let (mut reached, mut last, mut passed) = (false, None, STRIDE);
    let mut newest = Newest::new(room);
    for line in lines(text) {
        if passed >= STRIDE {
            ask.go_on()?;
            passed = 0;
        }
        passed = passed.saturating_add(line.len()).saturating_add(1);
        let time = format.time(line).or(last);
        last = time;
        match time {
            Some(time) if time < wanted.from => reached = true,
            Some(time) if !wanted.covers(time) => {}
            _ => {
                let mut line = Cow::Borrowed(looked_at(line));
                if wanted.has_pattern() {
                    line = clean(format, redactor, line);
                }
                if wanted.fits(&line) && format.entry(&line).is_some() {
                    newest.push(line);
                }
            }
        }
    }
    let dropped = newest.dropped;
    let mut kept = Vec::new();
    for line in newest.into_vec() {
        if passed >= STRIDE {
            ask.go_on()?;
            passed = 0;
        }
        passed = passed.saturating_add(line.len());
        // Without a pattern only the few that are given had to become clean.
        let line = clean(format, redactor, line);
        kept.extend(format.entry(&line).map(|entry| (size_of::<F::Entry>().saturating_add(line.len()), entry)));
    }
    Ok(Scanned { kept, dropped, reached })
}

/// The lines that have something in them. No format makes an entry of an empty one, and a file may be made of them.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.as_bytes().iter().position(|byte| *byte != b'\n')?;
        let begun = rest.get(start..)?;
        let (line, after) = begun.split_once('\n').unwrap_or((begun, ""));
        rest = after;
        Some(line.strip_suffix('\r').unwrap_or(line))
    })
}

fn clean<'t, F: Format>(format: &F, redactor: &Before<'_>, line: Cow<'t, str>) -> Cow<'t, str> {
    // What is owned is clean already.
    let Cow::Borrowed(line) = line else { return line };
    let line = redactor.clean_message(line, |line| format.message(line));
    match format.disclosed(&line, redactor) {
        Some(plain) => Cow::Owned(plain),
        None => line,
    }
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

/// The end of a file.
struct Tail {
    text: String,
    /// Where the part that counts begins, at the beginning of a line.
    from: usize,
    /// Whether there is more before that part.
    cut: bool,
}

/// The last `cap` bytes of a file as text, with some before them.
fn tail(ask: &Ask<'_>, mut file: File, size: u64, path: &str, cap: u64) -> io::Result<Tail> {
    let reach = cap.saturating_add(BEFORE);
    let packed = path.rsplit_once('.').map(|(_, ending)| ending);
    let (bytes, more) = match packed {
        Some("gz" | "zst" | "xz" | "bz2") => {
            let most = cap.saturating_mul(EXPANSION);
            unpack::last(ask, unpack::decoder(file, packed.unwrap_or_default())?, reach, most)?
        }
        _ => {
            let start = size.saturating_sub(reach);
            file.seek(SeekFrom::Start(start))?;
            (beginning(file, reach)?, start > 0)
        }
    };
    let over = bytes.len().saturating_sub(usize::try_from(cap).unwrap_or(usize::MAX));
    let cut = more || over > 0;
    let line = bytes.iter().skip(over).position(|byte| *byte == b'\n');
    let first = line.map_or(bytes.len(), |end| over.saturating_add(end).saturating_add(1));
    let first = if cut { first } else { 0 };
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Tail { text, from: first, cut },
        Err(error) => {
            let (before, counts) = error.as_bytes().split_at_checked(first).unwrap_or_default();
            let mut text = String::new();
            replaced(before, &mut text);
            let from = text.len();
            replaced(counts, &mut text);
            Tail { text, from, cut }
        }
    })
}

/// Adds bytes as text, what is not UTF-8 as replacement characters.
fn replaced(bytes: &[u8], text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Why a file could not be read, in words without paths.
pub(super) fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "the daemon may not read it",
        io::ErrorKind::NotFound => "it is not there",
        io::ErrorKind::Unsupported => {
            "it is packed in a way that is not understood (gz is, and zst and xz with a window of at most 8 MiB)"
        }
        io::ErrorKind::FileTooLarge => "it is too large once it is unpacked",
        io::ErrorKind::InvalidInput => "it is no regular file",
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => "it is damaged",
        io::ErrorKind::StaleNetworkFileHandle => "another directory was put in its place; a reload looks at it anew",
        _ => "the system gave an error",
    }
}

#[cfg(test)]
mod tests;
