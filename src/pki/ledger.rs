//! The authority's record: one JSON line for each certificate, revocation and list, only ever appended.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;
use crate::error::{Code, Failure};

/// Larger records are not read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What to do about a record that is not whole.
pub(super) const REMEDY: &str = "restore index.jsonl from a backup; without one make a new authority (doorward pki init \
                                 with another directory), for what this one has revoked is not known any more";

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The authority itself.
    Authority,
    /// `serverAuth`.
    Server,
    /// `clientAuth`.
    Client,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "authority",
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// One line. Times are RFC 3339, serial numbers lower-case hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Entry {
    Issued { at: String, serial: String, subject: String, kind: Kind, not_after: String },
    Revoked { at: String, serial: String },
    Listed { at: String, number: u64, revoked: usize, next_update: String },
}

/// The file, locked against other processes for as long as this lives.
pub(super) struct Ledger {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

impl Ledger {
    /// Begins the record of a new authority.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        Self::of(path, OpenOptions::new().create_new(true).mode(0o600))
    }

    /// Opens the record and reads it. One that is gone is not begun anew: it held every revocation, and an empty one would
    /// let all of them in again.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Self::of(path, &mut OpenOptions::new())
    }

    fn of(path: &Path, options: &mut OpenOptions) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => unusable(path, &format!("it is gone, and with it what is revoked; {REMEDY}")),
            _ => unusable(path, &error.to_string()),
        };
        let mut file = options.read(true).append(true).open(path).map_err(failed)?;
        file.lock().map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > MAX_BYTES {
            return Err(unusable(path, &format!("larger than {MAX_BYTES} bytes")));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        // A line that cannot be read might be a revocation, so it is not skipped.
        let parse = |(index, line): (usize, &str)| {
            let number = index.saturating_add(1);
            serde_json::from_str(line).map_err(|error| unusable(path, &format!("line {number}: {error}")))
        };
        let entries = text.lines().enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), file, entries })
    }

    /// Appends one line, and waits until it is on the disk.
    pub(super) fn append(&mut self, entry: Entry) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(&entry).map_err(|error| unusable(&self.path, &error.to_string()))?;
        line.push(b'\n');
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        written.map_err(|error| unusable(&self.path, &error.to_string()))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Whether this authority has issued the serial number.
    pub(super) fn issued(&self, wanted: &str) -> bool {
        self.entries.iter().any(|entry| matches!(entry, Entry::Issued { serial, .. } if serial == wanted))
    }

    /// The revoked serial numbers and when that was, in order.
    pub(super) fn revoked(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Revoked { serial, at } => Some((serial.as_str(), at.as_str())),
            Entry::Issued { .. } | Entry::Listed { .. } => None,
        })
    }

    /// The number of the newest revocation list; 0 when there was none.
    pub(super) fn list_number(&self) -> u64 {
        let number = |entry: &Entry| if let Entry::Listed { number, .. } = entry { Some(*number) } else { None };
        self.entries.iter().filter_map(number).max().unwrap_or(0)
    }
}

/// Reads back a time of this record.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_seconds(at.unix_timestamp()))
}

fn unusable(path: &Path, why: &str) -> Failure {
    Failure::new(Code::Io, "the authority's record cannot be used").because(format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn revoked(serial: &str) -> Entry {
        Entry::Revoked { at: Timestamp::from_seconds(5).to_string(), serial: serial.to_owned() }
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.jsonl");
        let missing = Ledger::open(&path).err().unwrap().cause().unwrap();
        assert!(missing.contains("restore index.jsonl") && !path.exists(), "{missing}");
        Ledger::create(&path).unwrap().append(revoked("ab")).unwrap();
        assert!(Ledger::create(&path).is_err());
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.append(Entry::Listed { at: String::new(), number: 7, revoked: 1, next_update: String::new() }).unwrap();
        drop(ledger);
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.revoked().collect::<Vec<_>>(), [("ab", "1970-01-01T00:00:05.000Z")]);
        assert_eq!(ledger.list_number(), 7);
        assert!(!ledger.issued("ab"));
        assert_eq!(time("1970-01-01T00:00:05.000Z"), Some(Timestamp::from_seconds(5)));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_cannot_be_read_stops_everything() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.jsonl");
        Ledger::create(&path).unwrap().append(revoked("ab")).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"event\":\"revo").unwrap();
        let failure = Ledger::open(&path).err().unwrap();
        assert!(failure.cause().unwrap().contains("line 2"));
    }
}
