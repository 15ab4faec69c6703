//! Where the journal's files are. All stand in one directory and begin with one name: for `audit.jsonl` these are
//! `audit.jsonl` itself, the rotated `audit.000000000123.jsonl[.gz]` (named by the number of their first record, so that
//! names sort as records do), `audit.key`, `audit.pub`, `audit.head`, `audit.cursor`, `audit.lock` and `audit.torn-…`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::chain::Link;
use super::lines::Lines;

/// Digits of the number in a rotated file's name; more are used when they are needed.
const DIGITS: usize = 12;

/// The names of a journal's files.
#[derive(Clone, Debug)]
pub struct Layout {
    active: PathBuf,
    directory: PathBuf,
    stem: OsString,
    extension: OsString,
}

/// One file of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Number of its first record; `None` when it has none yet.
    pub first: Option<u64>,
    /// Where it is.
    pub path: PathBuf,
}

impl Layout {
    /// The files that belong to the journal at `path`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let stem = path.file_stem().unwrap_or_else(|| OsStr::new("audit")).to_owned();
        let extension = path.extension().unwrap_or_else(|| OsStr::new("jsonl")).to_owned();
        Self { active: path.to_owned(), directory, stem, extension }
    }

    /// The file that is written.
    #[must_use]
    pub fn active(&self) -> &Path {
        &self.active
    }

    /// Where all of them are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file `<stem>.<ending>`.
    #[must_use]
    pub fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(".");
        name.push(ending);
        self.directory.join(name)
    }

    /// Where the file that begins with record `first` goes when it is full.
    #[must_use]
    pub fn rotated(&self, first: u64) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(format!(".{first:0DIGITS$}."));
        name.push(&self.extension);
        self.directory.join(name)
    }

    /// Of which record a file that was rotated by this program is the first; `None` for any other name.
    #[must_use]
    pub fn first_of(&self, name: &OsStr) -> Option<u64> {
        let (name, stem, extension) = (name.to_str()?, self.stem.to_str()?, self.extension.to_str()?);
        let rest = name.strip_prefix(stem)?.strip_prefix('.')?;
        let rest = rest.strip_suffix(".gz").unwrap_or(rest);
        let digits = rest.strip_suffix(extension)?.strip_suffix('.')?;
        let sound = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| digits.parse().ok()).flatten()
    }

    /// The files that this program rotated, oldest first. One that is there plain and compressed is given plain.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn rotated_files(&self) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            if let Some(first) = self.first_of(&entry.file_name())
                && entry.file_type()?.is_file()
            {
                segments.push(Segment { first: Some(first), path: entry.path() });
            }
        }
        // Plain names sort before those with an ending more.
        segments.sort_by(|a, b| (a.first, &a.path).cmp(&(b.first, &b.path)));
        segments.dedup_by_key(|segment| segment.first);
        Ok(segments)
    }

    /// All files that hold records, oldest first, the one that is written last: those that this program rotated, and those
    /// that others did (`audit.jsonl.1`, `audit.jsonl-20261120.gz`), which are asked for their first record.
    ///
    /// # Errors
    /// When the directory cannot be read. A file that cannot be read has no first record, and comes before all others.
    pub fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments = self.rotated_files()?;
        let active = self.active.file_name().and_then(OsStr::to_str).unwrap_or_default();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let foreign = name
                .to_str()
                .and_then(|name| name.strip_prefix(active))
                .is_some_and(|rest| rest.starts_with(['.', '-']) && !rest.ends_with(".tmp"));
            if foreign && entry.file_type()?.is_file() {
                segments.push(Segment { first: first_record(&entry.path()), path: entry.path() });
            }
        }
        segments.sort_by(|a, b| (a.first, &a.path).cmp(&(b.first, &b.path)));
        if self.active.exists() {
            segments.push(Segment { first: first_record(&self.active), path: self.active.clone() });
        }
        Ok(segments)
    }
}

/// Number of the first record of a file, if it begins with one.
#[must_use]
pub fn first_record(path: &Path) -> Option<u64> {
    let line = Lines::open(path).ok()?.next()?.ok()?;
    Link::of(&line.bytes).map(|link| link.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> String {
        format!("{{\"seq\":{seq},\"v\":1,\"prev\":\"{}\"}}\n", "0".repeat(64))
    }

    #[test]
    fn names_are_made_and_read_alike() {
        let layout = Layout::of(Path::new("/log/audit.jsonl"));
        assert_eq!(layout.rotated(7), Path::new("/log/audit.000000000007.jsonl"));
        assert_eq!(layout.beside("key"), Path::new("/log/audit.key"));
        for (name, first) in [
            ("audit.000000000007.jsonl", Some(7)),
            ("audit.000000000007.jsonl.gz", Some(7)),
            ("audit.1234567890123.jsonl.gz", Some(1_234_567_890_123)),
            ("audit.000000000007.jsonl.gz.tmp", None),
            ("audit.jsonl", None),
            ("audit.7.jsonl", None),
            ("other.000000000007.jsonl", None),
            ("audit.00000000000x.jsonl", None),
        ] {
            assert_eq!(layout.first_of(OsStr::new(name)), first, "{name}");
        }
        assert_eq!(Layout::of(Path::new("plain")).rotated(1), Path::new("./plain.000000000001.jsonl"));
    }

    #[test]
    fn all_files_come_in_the_order_of_their_records() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for (name, seq) in [
            ("audit.jsonl", 40),
            ("audit.jsonl.1", 30),
            ("audit.jsonl-20261120", 20),
            ("audit.000000000001.jsonl", 1),
            ("audit.000000000010.jsonl", 10),
            ("audit.000000000010.jsonl.gz", 10),
        ] {
            std::fs::write(path(name), record(seq)).unwrap();
        }
        std::fs::write(path("audit.key"), "no record").unwrap();
        let segments = Layout::of(&path("audit.jsonl")).segments().unwrap();
        let firsts: Vec<_> = segments.iter().map(|segment| segment.first.unwrap()).collect();
        assert_eq!(firsts, [1, 10, 20, 30, 40]);
        assert_eq!(segments[1].path, path("audit.000000000010.jsonl"), "the plain one, where both are there");
    }
}
