//! The journal's file: only ever appended to, private, never reached through a symbolic link, and opened anew when it is
//! no longer the one at its path.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// What the writer writes on. The tests have one that fails when they say so.
pub(super) trait Paper: Send + 'static {
    /// Opens (or makes) it anew; true when the last line there has no end.
    fn open(&mut self) -> io::Result<bool>;
    /// Lets go of it.
    fn close(&mut self);
    /// Whether it is open.
    fn is_open(&self) -> bool;
    /// Hands a beginning of `bytes` to the kernel and says how long it was.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Waits until the kernel has it on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Whether what is open has no name any more.
    fn is_unlinked(&self) -> bool;
    /// Whether something else, or nothing, is at the path now.
    fn is_replaced(&self) -> bool;
}

/// A regular file at a path.
pub(super) struct AppendFile {
    path: PathBuf,
    open: Option<File>,
}

impl AppendFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }
}

impl Paper for AppendFile {
    fn open(&mut self) -> io::Result<bool> {
        self.open = None;
        // NONBLOCK, or opening a pipe that somebody put there would hang; it means nothing to a regular file.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&self.path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
            if error == rustix::io::Errno::LOOP {
                io::Error::other("it is a symbolic link")
            } else {
                io::Error::from(error)
            }
        })?);
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let torn = is_torn(&file, &metadata)?;
        self.open = Some(file);
        Ok(torn)
    }

    fn close(&mut self) {
        self.open = None;
    }

    fn is_open(&self) -> bool {
        self.open.is_some()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.open {
            Some(file) => file.write(bytes),
            None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn is_unlinked(&self) -> bool {
        let linked = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
        self.open.as_ref().is_some_and(|file| !linked(file))
    }

    fn is_replaced(&self) -> bool {
        let Some(file) = &self.open else { return false };
        match (file.metadata(), std::fs::symlink_metadata(&self.path)) {
            (Ok(open), Ok(there)) => (open.dev(), open.ino()) != (there.dev(), there.ino()),
            _ => true,
        }
    }
}

fn is_torn(file: &File, metadata: &Metadata) -> io::Result<bool> {
    let Some(last) = metadata.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    // Somebody may have cut the file since it was looked at; then there is no last line either.
    Ok(file.read_at(&mut byte, last)? == 1 && byte != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_new_file_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        assert!(!AppendFile::at(&path).open().unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_a_regular_file_in_an_existing_directory_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        symlink(home.path().join("elsewhere"), &link).unwrap();
        assert!(AppendFile::at(&link).open().unwrap_err().to_string().contains("symbolic link"));
        assert!(!home.path().join("elsewhere").exists());
        assert!(AppendFile::at(home.path()).open().is_err());
        assert!(AppendFile::at(Path::new("/dev/full")).open().unwrap_err().to_string().contains("regular"));
        assert!(AppendFile::at(&home.path().join("missing/audit.jsonl")).open().is_err());
    }

    #[test]
    fn a_line_without_an_end_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        for (content, torn) in [("", false), ("{}\n", false), ("{}\n{\"v\"", true), ("\n", false)] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(AppendFile::at(&path).open().unwrap(), torn, "{content:?}");
        }
    }

    #[test]
    fn a_removed_and_a_renamed_file_are_noticed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let mut file = AppendFile::at(&path);
        file.open().unwrap();
        assert!(!file.is_unlinked() && !file.is_replaced());
        std::fs::rename(&path, home.path().join("audit.jsonl.1")).unwrap();
        assert!(!file.is_unlinked() && file.is_replaced());
        std::fs::remove_file(home.path().join("audit.jsonl.1")).unwrap();
        assert!(file.is_unlinked() && file.is_replaced());
    }
}
