//! Where the chain has come to, beside the journal: written now and then into the same few bytes, so that it needs no room
//! on a full disk. It tells after a restart what the journal must at least hold, wherever its files have gone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::chain::{Hash, Head};

/// The file.
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self(File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?)))
    }

    /// What it says; `None` when it says nothing that can be read.
    pub(super) fn read(&self) -> Option<Head> {
        let mut text = [0; 86];
        self.0.read_exact_at(&mut text, 0).ok()?;
        let (seq, rest) = text.split_at_checked(20)?;
        let hash = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
        Some(Head { seq: std::str::from_utf8(seq).ok()?.parse().ok()?, hash: Hash::parse(hash)? })
    }

    /// Says it.
    pub(super) fn write(&self, head: Head) -> io::Result<()> {
        self.0.write_all_at(format!("{:020} {}\n", head.seq, head.hash).as_bytes(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.head");
        let file = HeadFile::open(&path).unwrap();
        assert_eq!(file.read(), None);
        for seq in [u64::MAX, 1] {
            let head = Head { seq, hash: Hash::of(b"x") };
            file.write(head).unwrap();
            assert_eq!(HeadFile::open(&path).unwrap().read(), Some(head));
        }
        std::fs::write(&path, "x".repeat(86)).unwrap();
        assert_eq!(file.read(), None);
    }
}
