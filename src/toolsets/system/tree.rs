//! Walking folders that strangers may write to: no link is followed, nothing is waited for, and how deep, how wide and how
//! much is read are bounded. What was left out is said.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};

use super::host::regular;
use super::outside::below;
use super::query::Ask;
use crate::error::Failure;

/// How many folders below the first.
const DEPTH: usize = 12;
/// Files and folders that are looked at in one call.
const ENTRIES: usize = 100_000;
/// Files that are read in one call, and their bytes together. No two are held at a time.
const FILES: usize = 500;
const BYTES: usize = 128 << 20;
/// How everything is opened below a configured folder.
const INNER: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// Folders that hold what others made, or nothing of interest.
const PASSED_OVER: [&str; 5] = ["node_modules", "target", "vendor", "venv", "__pycache__"];

/// A walk through one or more folders.
pub(super) struct Walk<'a, F> {
    ask: &'a Ask<'a>,
    wanted: fn(&str) -> bool,
    each: F,
    cap: usize,
    entries: usize,
    bytes: usize,
    files: usize,
    left_out: BTreeSet<&'static str>,
}

/// A file that was wanted.
pub(super) struct File {
    /// As the host names it.
    pub(super) path: String,
    /// What is in it; `None` when it cannot be read, is no file, or is larger than the cap.
    pub(super) bytes: Option<Vec<u8>>,
}

impl<'a, F: FnMut(File)> Walk<'a, F> {
    /// Gives `each` file whose name is `wanted` as it is found, at most `cap` bytes large.
    pub(super) fn new(ask: &'a Ask<'a>, wanted: fn(&str) -> bool, cap: usize, each: F) -> Self {
        Self { ask, wanted, each, cap, entries: ENTRIES, bytes: BYTES, files: FILES, left_out: BTreeSet::new() }
    }

    /// Goes through the folder `inner`, which lies in the one at the absolute `path`, in the order of names. Links may lead
    /// to `path`, for an operator wrote it, and none further.
    ///
    /// # Errors
    /// When nobody waits for the answer any more.
    pub(super) fn through(&mut self, path: &str, inner: &str) -> Result<(), Failure> {
        let mut path = path.trim_end_matches('/').to_owned();
        let mut folder = self.ask.host.directory(below(&path));
        for name in inner.split('/').filter(|name| !name.is_empty() && *name != ".") {
            folder = folder.and_then(|folder| Ok(openat(folder, name, INNER | OFlags::DIRECTORY, Mode::empty())?));
            path = format!("{path}/{name}");
        }
        match folder {
            Ok(folder) => self.visit(folder, &path, DEPTH),
            Err(_) => {
                self.left_out.insert("a configured folder, or the one asked for, cannot be read");
                Ok(())
            }
        }
    }

    /// What was left out.
    pub(super) fn end(self) -> Vec<&'static str> {
        self.left_out.into_iter().collect()
    }

    fn visit(&mut self, folder: OwnedFd, path: &str, depth: usize) -> Result<(), Failure> {
        let Ok(mut folder) = Dir::new(folder) else { return Ok(()) };
        let mut entries = Vec::new();
        while let Some(entry) = folder.read() {
            self.ask.go_on()?;
            let Ok(entry) = entry else {
                self.left_out.insert("a folder cannot be read to its end");
                break;
            };
            let Some(left) = self.entries.checked_sub(1) else {
                self.left_out.insert("there are too many files to look at all");
                break;
            };
            self.entries = left;
            let kind = entry.file_type();
            if let Ok(name) = entry.file_name().to_str()
                && matches!(kind, FileType::Directory | FileType::RegularFile | FileType::Unknown)
                && !name.starts_with('.')
            {
                entries.push((name.to_owned(), kind));
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let Ok(folder) = folder.fd() else { return Ok(()) };
        for (name, kind) in entries {
            self.ask.go_on()?;
            let path = format!("{path}/{name}");
            let open = |flags: OFlags| openat(folder, name.as_str(), INNER | flags, Mode::empty());
            if kind != FileType::Directory && (self.wanted)(&name) {
                self.take(path, open(OFlags::empty()).ok());
            } else if kind != FileType::RegularFile && !PASSED_OVER.contains(&name.as_str()) {
                match (open(OFlags::DIRECTORY), depth.checked_sub(1)) {
                    (Ok(folder), Some(depth)) => self.visit(folder, &path, depth)?,
                    (Ok(_), None) => {
                        self.left_out.insert("folders that lie too deep");
                    }
                    (Err(_), _) if kind == FileType::Directory => {
                        self.left_out.insert("a folder cannot be read");
                    }
                    (Err(_), _) => {}
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, path: String, file: Option<OwnedFd>) {
        let Some(left) = self.files.checked_sub(1).filter(|_| self.bytes > 0) else {
            self.left_out.insert("there are too many files to read all");
            return;
        };
        self.files = left;
        let read = file.and_then(|file| regular(file, self.cap.min(self.bytes)).ok());
        let bytes = read.and_then(|(bytes, more)| (!more).then_some(bytes));
        self.bytes = self.bytes.saturating_sub(bytes.as_ref().map_or(self.cap, Vec::len));
        (self.each)(File { path, bytes });
    }
}
