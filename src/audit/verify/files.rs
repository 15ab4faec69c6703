//! Which files are verified, and in which order: by the number of their first record, however they were named.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audit::layout::{Layout, first_record};
use crate::audit::lines::Lines;
use crate::error::{Code, Failure};

/// Fewest digits of a number in the name of a file that this program rotated.
const DIGITS: usize = 12;

/// A daemon writes a line at once, so the rest of one comes soon or never.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often files are listed again at most.
const LISTED: usize = 10;

/// What stands beside a journal and holds no records of its own.
const COMPANIONS: [&str; 6] = ["key", "pub", "head", "cursor", "lock", "tmp"];

/// The files of a journal, in the order of their records.
#[derive(Clone, Debug)]
pub struct Files {
    files: Vec<(Option<u64>, PathBuf)>,
    skipped: Vec<PathBuf>,
    patience: Duration,
}

impl Files {
    /// Puts `given` in order. A directory stands for the journal files in it. The key, the lock and what else stands
    /// beside a journal is left out, and so is the compressed form of a file that is there plain.
    ///
    /// # Errors
    /// [`Code::Io`] when one of them is not there or cannot be read, or none of them is a journal file.
    pub fn gather(given: &[PathBuf]) -> Result<Self, Failure> {
        // A running daemon renames files while they are listed; two lists that agree are of one moment.
        let mut before = Self::list(given);
        for _ in 0..LISTED {
            let now = Self::list(given);
            let agree = matches!((&before, &now), (Ok(before), Ok(now)) if before.files == now.files);
            before = now;
            if agree {
                break;
            }
        }
        before
    }

    fn list(given: &[PathBuf]) -> Result<Self, Failure> {
        let mut paths = Vec::new();
        let mut skipped = Vec::new();
        for path in given {
            let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
            if metadata.is_dir() {
                paths.extend(journal_files(path).map_err(|error| unreadable(path, &error))?);
            } else if is_companion(path) {
                skipped.push(path.clone());
            } else {
                paths.push(path.clone());
            }
        }
        let mut seen = HashSet::new();
        paths.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
        let plain: HashSet<PathBuf> = paths.iter().cloned().collect();
        paths.retain(|path| {
            let twice = path.extension() == Some(OsStr::new("gz")) && plain.contains(&path.with_extension(""));
            if twice {
                skipped.push(path.clone());
            }
            !twice
        });
        if paths.is_empty() {
            return Err(Failure::new(Code::Io, "there are no journal files among those that were given"));
        }
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            // Asked now, so that a file that cannot be read at all is told before a long work begins.
            Lines::open(&path).map_err(|error| unreadable(&path, &error))?;
            files.push((number_in(&path).or_else(|| first_record(&path)), path));
        }
        // One that was just begun says nothing, and may be another one when it is read.
        let is_begun = |(first, path): &(Option<u64>, PathBuf)| {
            first.is_some() || std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
        };
        if files.iter().any(is_begun) {
            files.retain(is_begun);
        }
        files.sort();
        Ok(Self { files, skipped, patience: PATIENCE })
    }

    /// Waits for so long for the rest of a half-written last line; 300 ms unless told.
    #[must_use]
    pub fn waiting(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Never so: [`Files::gather`] finds one or fails.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What was given and is no journal file.
    #[must_use]
    pub fn skipped(&self) -> &[PathBuf] {
        &self.skipped
    }

    /// Where a file is.
    #[must_use]
    pub fn path(&self, index: usize) -> &Path {
        self.files.get(index).map_or(Path::new(""), |(_, path)| path)
    }

    /// The number of the first record that is in the name of a file.
    pub(super) fn number(&self, index: usize) -> Option<u64> {
        number_in(self.path(index))
    }

    /// The public key that stands beside the first file that has one.
    #[must_use]
    pub fn public_key(&self) -> Option<PathBuf> {
        self.files.iter().map(|(_, path)| Layout::of(&journal_of(path)).beside("pub")).find(|path| path.is_file())
    }

    /// Opens a file, under the name it has now: a running daemon rotates and compresses.
    pub(in crate::audit) fn open(&self, index: usize) -> Result<Lines, Failure> {
        let Some((first, path)) = self.files.get(index) else {
            return Err(Failure::new(Code::Internal, "there is no such file"));
        };
        // In the order in which a file goes through them, so that it cannot slip past.
        let mut names = vec![path.clone(), compressed(path)];
        if let Some(first) = first {
            let rotated = Layout::of(path).rotated(*first);
            names.extend([rotated.clone(), compressed(&rotated)]);
        }
        let numbered = number_in(path).is_some();
        for (attempt, name) in names.iter().enumerate() {
            match Lines::open(name) {
                // A name with a number is never given to another file.
                Ok(lines) if (attempt == 0 && numbered) || first.is_none() || first_record(name) == *first => {
                    return Ok(lines);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(name, &error)),
            }
        }
        Err(Failure::new(Code::Io, "the files were moved while they were read; do it again")
            .because(path.display().to_string()))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Code::Io, "the journal cannot be read").because(format!("{}: {error}", path.display()))
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".gz");
    PathBuf::from(name)
}

fn is_companion(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    let torn = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains(".torn-"));
    torn || ending.is_some_and(|ending| COMPANIONS.contains(&ending))
}

/// Files whose name has `.jsonl` in it: `audit.jsonl`, `audit.000000000001.jsonl.gz`, `audit.jsonl.1`.
fn journal_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let named = entry.file_name().to_str().is_some_and(|name| name.contains(".jsonl"));
        if named && entry.file_type()?.is_file() && !is_companion(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The number of the first record in the name of a file that this program rotated.
fn number_in(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let parts: Vec<&str> = name.strip_suffix(".gz").unwrap_or(name).split('.').collect();
    let &[_, .., number, _] = parts.as_slice() else { return None };
    let sound = number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| number.parse().ok()).flatten()
}

/// The file that is written, of the journal to which `path` belongs.
fn journal_of(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let mut parts: Vec<&str> = name.strip_suffix(".gz").unwrap_or(name).split('.').collect();
    if number_in(path).is_some() {
        parts.remove(parts.len().saturating_sub(2));
    } else if let Some(end) = parts.iter().position(|part| part.starts_with("jsonl")) {
        // Others rotate to `audit.jsonl.1` or `audit.jsonl-20261120`.
        parts.truncate(end);
        parts.push("jsonl");
    }
    path.with_file_name(parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> String {
        format!("{{\"seq\":{seq},\"v\":1,\"prev\":\"{}\"}}\n", "0".repeat(64))
    }

    #[test]
    fn names_tell_the_number_and_the_journal() {
        for (name, number, journal) in [
            ("a/audit.jsonl", None, "a/audit.jsonl"),
            ("a/audit.000000000120.jsonl", Some(120), "a/audit.jsonl"),
            ("a/my.audit.000000000120.jsonl.gz", Some(120), "a/my.audit.jsonl"),
            ("a/audit.000000000120.log.gz", Some(120), "a/audit.log"),
            ("a/audit.jsonl.1", None, "a/audit.jsonl"),
            ("a/audit.jsonl-20261120.gz", None, "a/audit.jsonl"),
            ("000000000120.jsonl", None, "000000000120.jsonl"),
            ("plain", None, "plain"),
        ] {
            assert_eq!(number_in(Path::new(name)), number, "{name}");
            assert_eq!(journal_of(Path::new(name)), Path::new(journal), "{name}");
        }
    }

    #[test]
    fn files_come_in_the_order_of_their_records_and_nothing_else_comes() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        for (name, seq) in [
            ("audit.jsonl", 40),
            ("audit.jsonl.1", 30),
            ("audit.000000000001.jsonl.gz", 1),
            ("audit.000000000010.jsonl", 10),
            ("audit.000000000010.jsonl.gz", 10),
        ] {
            std::fs::write(path(name), record(seq)).unwrap();
        }
        for name in ["audit.key", "audit.pub", "audit.lock", "audit.torn-7", "audit.000000000040.jsonl.gz.tmp"] {
            std::fs::write(path(name), "no record").unwrap();
        }
        let names = |files: &Files| -> Vec<String> {
            let paths = (0..files.len()).map(|index| files.path(index));
            paths.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        let wanted = ["audit.000000000001.jsonl.gz", "audit.000000000010.jsonl", "audit.jsonl.1", "audit.jsonl"];
        let files = Files::gather(&[home.path().to_owned()]).unwrap();
        assert_eq!(names(&files), wanted);
        assert_eq!(files.public_key(), Some(path("audit.pub")));
        // As a shell would write out `audit.*`, and some twice.
        let mut all: Vec<PathBuf> = home.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        all.push(path("audit.jsonl"));
        let files = Files::gather(&all).unwrap();
        assert_eq!((names(&files), files.skipped().len()), (wanted.map(str::to_owned).to_vec(), 6));
        assert!(Files::gather(&[path("audit.key")]).is_err());
        assert_eq!(Files::gather(&[path("absent")]).unwrap_err().code(), Code::Io);
    }

    #[test]
    fn a_file_that_was_rotated_and_compressed_meanwhile_is_found() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        std::fs::write(path("audit.jsonl"), record(7)).unwrap();
        let files = Files::gather(&[path("audit.jsonl")]).unwrap();
        std::fs::rename(path("audit.jsonl"), path("audit.000000000007.jsonl.gz")).unwrap();
        std::fs::write(path("audit.jsonl"), record(8)).unwrap();
        let line = files.open(0).unwrap().next().unwrap().unwrap();
        assert!(line.bytes.starts_with(b"{\"seq\":7,"));
        std::fs::remove_file(path("audit.000000000007.jsonl.gz")).unwrap();
        assert_eq!(files.open(0).err().unwrap().code(), Code::Io);
    }
}
