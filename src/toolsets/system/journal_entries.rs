//! The newest entries of a host's journal that fit, from all of its files. Where a field is asked for, the journal's own
//! index leads to the entries; otherwise they are gone through from the newest back.

mod names;
mod walk;

use std::cmp::Reverse;
use std::io::ErrorKind;

use super::Host;
use super::budget;
use super::journal_file::{Entry, Field, JournalFile, List, Stop};
use super::log_files::why;
use super::log_filter::{Looked, Wanted};
use super::query::Ask;
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::guard::Before;
pub(super) use names::values;
use walk::{Next, Row, Walk};

/// Where journald keeps its files: those that stay, and those of this boot alone.
const FOLDERS: [&str; 2] = ["var/log/journal", "run/log/journal"];

/// Files that are opened for one answer.
const FILES: usize = 512;

/// Entries between two looks at whether anybody still waits.
const STRIDE: u64 = 256;

/// Entries before and after those that count, as many as the lines of a long key: what goes over several of them is seen
/// whole.
const AROUND: usize = 128;

/// Entries that are redacted together, and the bytes of their messages.
const TOGETHER: usize = 512;
const TOGETHER_BYTES: usize = 256 << 10;

/// The fields that an answer can show or a condition can ask for; others are not kept.
const KEPT: [&str; 17] = [
    "MESSAGE",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "UNIT",
    "OBJECT_SYSTEMD_UNIT",
    "COREDUMP_UNIT",
    "_BOOT_ID",
    "_COMM",
    "_EXE",
    "_HOSTNAME",
    "_PID",
    "_SYSTEMD_UNIT",
    "_SYSTEMD_USER_UNIT",
    "_TRANSPORT",
    "_UID",
    "MESSAGE_ID",
];

/// Bytes of a field that are kept: no name is longer, and of a message no more is shown.
const VALUE_BYTES: usize = 4096 + 1;

const MESSAGE: &str = "MESSAGE";

/// One condition: one of these holds. Of all conditions each must hold.
pub(super) struct Condition {
    pub(super) one_of: Vec<Way>,
}

/// A field has a value. Names that begin with `_` are journald's own word; the others anybody may write, and so count only
/// together with a word of its own.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) vouched: Option<(&'static str, &'static str)>,
}

impl Condition {
    fn holds(&self, fields: &[Field]) -> bool {
        let has = |name: &str, value: &str| fields.iter().any(|field| field.is(name, value));
        self.one_of
            .iter()
            .any(|way| has(way.name, &way.value) && way.vouched.is_none_or(|(name, value)| has(name, value)))
    }
}

/// An entry with its fields.
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) micros: u64,
    pub(super) monotonic_micros: u64,
    pub(super) boot: [u8; 16],
    fields: Vec<Field>,
}

impl Record {
    /// The memory it takes.
    fn bytes(&self) -> usize {
        let size =
            |field: &Field| size_of::<Field>().saturating_add(field.name.len()).saturating_add(field.value.capacity());
        self.fields.iter().map(size).fold(size_of::<Self>(), usize::saturating_add)
    }

    /// The same with the message as it may be told.
    fn saying(mut self, message: String) -> Self {
        if let Some(field) = self.fields.iter_mut().find(|field| field.name == MESSAGE) {
            field.value = message.into_bytes();
            shorten(field);
        }
        self
    }

    /// A field as text, and whether its end is missing; what is not UTF-8 becomes replacement characters.
    pub(super) fn text(&self, name: &str) -> Option<(String, bool)> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some((String::from_utf8_lossy(&field.value).into_owned(), field.cut))
    }

    /// The same, if it is whole.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        self.text(name).filter(|(_, cut)| !cut).map(|(text, _)| text)
    }

    /// A field with a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.word(name)?.parse().ok()
    }
}

/// What was found.
pub(super) struct Found {
    /// The newest that fit, the oldest of them first.
    pub(super) records: Vec<Record>,
    /// Where they were looked for, and what the answer lacks.
    pub(super) looked: Looked,
}

/// The journal's files. None is kept open: a host may have hundreds.
struct Journal {
    /// Those that were written last come first.
    files: Vec<Known>,
    /// Why others are not among them.
    notes: Vec<String>,
}

/// A file whose header was read.
struct Known {
    path: String,
    /// When its first and its last entry were written, in microseconds since the epoch.
    span: (u64, u64),
}

/// The most bytes that are read of one file. Beside them there are the fields that are met again and again.
fn most(ask: &Ask<'_>) -> u64 {
    ask.limits.logs.max_bytes_per_file.min(budget::room() / 2)
}

/// Opens a file for all that follows.
fn open(ask: &Ask<'_>, path: &str, most: u64) -> Result<JournalFile, String> {
    let (file, about) = ask.host.file(path).map_err(|error| why(&error).to_owned())?;
    JournalFile::open(file, about.len(), most).map_err(|_| "it is damaged or of an unknown form".to_owned())
}

/// `None` when the host has no journal.
fn journal(ask: &Ask<'_>) -> Result<Option<Journal>, Failure> {
    let (mut files, mut notes, mut shut) = (Vec::new(), Vec::new(), 0_usize);
    let (mut paths, closed) = paths(ask.host);
    let any = !paths.is_empty() || !closed.is_empty();
    notes.extend(closed.iter().map(|folder| {
        format!("the daemon may not look into /{folder}: its user needs the group systemd-journal (or adm)")
    }));
    let over = paths.len().saturating_sub(FILES);
    paths.truncate(FILES);
    for path in paths {
        ask.go_on()?;
        if ask.host.file(&path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
            shut = shut.saturating_add(1);
            continue;
        }
        let _passing = ask.passing();
        match open(ask, &path, most(ask)) {
            Ok(file) => files.push(Known { path, span: (file.oldest, file.newest) }),
            Err(why) => notes.push(format!("/{path} could not be read: {why}")),
        }
    }
    if shut > 0 {
        notes.push(format!(
            "{shut} journal files could not be read: the daemon's user needs the group systemd-journal (or adm)"
        ));
    }
    if over > 0 {
        notes.push(format!("{over} journal files were not looked at: there are more than {FILES}"));
    }
    files.sort_by_key(|known| Reverse(known.span.1));
    Ok(any.then_some(Journal { files, notes }))
}

/// The files, and the folders that may not be looked into.
fn paths(host: &Host) -> (Vec<String>, Vec<String>) {
    let (mut found, mut closed) = (Vec::new(), Vec::new());
    let mut list = |folder: &str| {
        host.names(folder).unwrap_or_else(|error| {
            if error.kind() == ErrorKind::PermissionDenied {
                closed.push(folder.to_owned());
            }
            Vec::new()
        })
    };
    for folder in FOLDERS {
        for machine in list(folder) {
            let within = format!("{folder}/{machine}");
            let journals = |name: &String| name.ends_with(".journal") || name.ends_with(".journal~");
            found.extend(list(&within).into_iter().filter(journals).map(|name| format!("{within}/{name}")));
            if machine.ends_with(".journal") {
                found.push(within);
            }
        }
    }
    (found, closed)
}

/// The boots that the journal knows, the latest first, by the entries that were written last in each file.
pub(super) fn boots(ask: &Ask<'_>) -> Result<Vec<[u8; 16]>, Failure> {
    let mut found: Vec<(u64, [u8; 16])> = Vec::new();
    let Some(Journal { files, .. }) = journal(ask)? else { return Ok(Vec::new()) };
    for known in files {
        ask.go_on()?;
        let _passing = ask.passing();
        let Ok(mut file) = open(ask, &known.path, most(ask)) else { continue };
        let Ok(lists) = file.with("_BOOT_ID", |_| true) else { continue };
        for list in lists {
            let Ok(Some(last)) = last(&mut file, &list) else { continue };
            match found.iter_mut().find(|(_, boot)| *boot == last.boot) {
                Some((time, _)) => *time = last.realtime.max(*time),
                None => found.push((last.realtime, last.boot)),
            }
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found.into_iter().map(|(_, boot)| boot).collect())
}

fn last(file: &mut JournalFile, list: &List) -> Result<Option<Entry>, Stop> {
    let Some(number) = list.count().checked_sub(1) else { return Ok(None) };
    let Some(at) = file.at(list, number)? else { return Ok(None) };
    file.entry(at).map(Some)
}

/// The newest entries that fit; `None` when the host has no journal.
///
/// # Errors
/// When nobody waits any more.
pub(super) fn search(ask: &Ask<'_>, wanted: &Wanted, conditions: &[Condition]) -> Result<Option<Found>, Failure> {
    let Some(Journal { files, mut notes }) = journal(ask)? else { return Ok(None) };
    let mut records: Vec<Record> = Vec::new();
    let (mut read, mut left, mut more, mut kept) = (Vec::new(), 0_usize, false, 0_usize);
    for Known { path, span: (oldest, newest) } in files {
        ask.go_on()?;
        let time = |micros: u64| Timestamp::from_millis(i64::try_from(micros / 1000).unwrap_or(i64::MAX));
        if time(newest) < wanted.from || wanted.until.is_some_and(|until| time(oldest) > until) {
            continue;
        }
        // All of this file is older than the oldest of enough.
        let full = records.len() >= wanted.lines;
        if full && records.first().is_some_and(|earliest| earliest.micros > newest) {
            more = true;
            continue;
        }
        // It may have been moved away meanwhile.
        let (most, passing) = (most(ask), ask.passing());
        let Ok(mut file) = open(ask, &path, most) else { continue };
        read.push(format!("/{path}"));
        let mut of_file = Vec::new();
        match go_through(ask, &mut file, wanted, conditions, &mut of_file)? {
            Ok(over) => more |= over,
            Err(Stop::Enough) => {
                let capped = most == ask.limits.logs.max_bytes_per_file;
                let by = if capped { "limits.logs.max_bytes_per_file" } else { "resources.query_memory_mb" };
                budget::cut(&format!("only so much of a journal file was read ({by}, {most} bytes)"));
                notes.push(format!(
                    "only so much of /{path} was read as {by} allows ({most} bytes): narrow with unit, priority or a later \
                     since",
                ));
            }
            Err(Stop::Damaged) => notes.push(format!("/{path} is damaged: what could be read of it is here")),
        }
        drop((file, passing));
        of_file.reverse();
        records.extend(of_file);
        let bytes: usize = records.iter().map(Record::bytes).sum();
        ask.keep(bytes.saturating_sub(kept))?;
        kept = kept.max(bytes);
        records.sort_by_key(|record| record.micros);
        let over = records.len().saturating_sub(wanted.lines);
        left = left.saturating_add(over);
        records.drain(..over);
    }
    let mut left_out = wanted.left_out(left, notes);
    if more && left == 0 {
        wanted.enough();
        left_out.push(
            "older entries were not looked at, for there was enough: narrow with since, until, minutes or pattern, or ask \
             for more with lines"
                .to_owned(),
        );
    }
    Ok(Some(Found { records, looked: Looked { files: read, left_out } }))
}

/// Fills `found`, the newest first; whether there may be more.
fn go_through(
    ask: &Ask<'_>,
    file: &mut JournalFile,
    wanted: &Wanted,
    conditions: &[Condition],
    found: &mut Vec<Record>,
) -> Result<Result<bool, Stop>, Failure> {
    let mut walk = match Walk::begin(file, wanted, conditions) {
        Ok(walk) => walk,
        Err(stop) => return Ok(Err(stop)),
    };
    let redactor = ask.redactor("entries.message")?;
    let (mut steps, mut rows, mut bytes) = (0_u64, Vec::new(), 0_usize);
    loop {
        if steps.checked_rem(STRIDE) == Some(0) {
            ask.go_on()?;
        }
        steps = steps.saturating_add(1);
        let end = match walk.next(file, wanted, conditions) {
            Ok(Next::Row(row)) => {
                bytes = bytes.saturating_add(row.message.len());
                rows.push(row);
                None
            }
            Ok(Next::Passed) => None,
            Ok(Next::End) => Some(Ok(false)),
            Err(stop) => Some(Err(stop)),
        };
        let most = wanted.lines.saturating_sub(found.len()).saturating_add(AROUND).min(TOGETHER);
        if end.is_none() && rows.len() < most && bytes < TOGETHER_BYTES {
            continue;
        }
        if settle(ask, &redactor, &mut rows, wanted, found)? {
            return Ok(Ok(true));
        }
        if let Some(end) = end {
            return Ok(end);
        }
        bytes = 0;
    }
}

/// Those of the rows, the newest first, that fit once they are redacted; whether there are more than enough. What a pattern
/// finds in a secret tells the secret, and half a secret has no form any more: so redaction is before either.
fn settle(
    ask: &Ask<'_>,
    redactor: &Before<'_>,
    rows: &mut Vec<Row>,
    wanted: &Wanted,
    found: &mut Vec<Record>,
) -> Result<bool, Failure> {
    let mut messages: Vec<String> = rows.iter_mut().rev().map(|row| std::mem::take(&mut row.message)).collect();
    redactor.clean_rows(&mut messages);
    for (row, message) in rows.drain(..).zip(messages.into_iter().rev()) {
        if !row.counts || !wanted.fits(&message) {
            continue;
        }
        if found.len() >= wanted.lines {
            return Ok(true);
        }
        let record = row.record.saying(message);
        ask.keep(record.bytes())?;
        found.push(record);
    }
    Ok(false)
}

fn shorten(field: &mut Field) {
    field.cut |= field.value.len() > VALUE_BYTES;
    field.value.truncate(VALUE_BYTES);
    field.value.shrink_to_fit();
}
