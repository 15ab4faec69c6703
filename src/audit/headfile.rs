//! Where the chain has come to, beside the journal: written now and then into the same few bytes, so that it needs no room
//! on a full disk, and signed, so that nobody else can say so. It tells after a restart what the journal must at least hold,
//! wherever its files have gone.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::chain::{Hash, Head};
use super::checkpoint::{Signer, is_head_signed};
use super::recovery::beside;
use crate::error::Failure;
use crate::pki::PublicKey;

/// Bytes of a number, a hash and a signature in base64, with a blank or a newline after each.
const LENGTH: usize = 21 + 65 + 89;

/// The file.
pub(super) struct HeadFile {
    path: PathBuf,
    file: File,
}

impl HeadFile {
    /// Opens or makes it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(opened.map_err(|error| beside(path, error))?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is not a regular file", path.display())));
        }
        Ok(Self { path: path.to_owned(), file })
    }

    /// What it says; `None` when it says nothing that is signed by this key.
    pub(super) fn read(&self, key: &PublicKey) -> Option<Head> {
        let mut text = [0; LENGTH];
        self.file.read_exact_at(&mut text, 0).ok()?;
        let mut words = std::str::from_utf8(&text).ok()?.strip_suffix('\n')?.split(' ');
        let head = Head { seq: words.next()?.parse().ok()?, hash: Hash::parse(words.next()?.as_bytes())? };
        is_head_signed(head, words.next()?, key).then_some(head)
    }

    /// Says it, in a new file where somebody has taken the old one away.
    pub(super) fn write(&mut self, head: Head, signer: &Signer) -> io::Result<()> {
        if is_elsewhere(&self.file, &self.path) {
            *self = Self::open(&self.path)?;
            // Whoever took this one away has most likely taken the public key with it.
            signer.publish(&self.path.with_extension("pub")).map_err(said)?;
        }
        let signature = signer.sign_head(head).map_err(said)?;
        self.file.write_all_at(format!("{:020} {} {signature}\n", head.seq, head.hash).as_bytes(), 0)
    }
}

fn said(failure: Failure) -> io::Error {
    io::Error::other(failure.to_string())
}

/// Whether what is open is not what is at the path.
pub(super) fn is_elsewhere(open: &File, path: &Path) -> bool {
    match (open.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) != (there.dev(), there.ino()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{KeyKind, SigningKey};

    fn signer() -> Signer {
        Signer::new(SigningKey::generate(KeyKind::Ed25519).unwrap()).unwrap()
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.head");
        let (mut file, signer) = (HeadFile::open(&path).unwrap(), signer());
        assert_eq!(file.read(signer.public()), None);
        for seq in [u64::MAX, 1] {
            let head = Head { seq, hash: Hash::of(b"x") };
            file.write(head, &signer).unwrap();
            assert_eq!(HeadFile::open(&path).unwrap().read(signer.public()), Some(head));
            assert_eq!(file.read(self::signer().public()), None, "another key's word counts for nothing");
        }
        let forged = std::fs::read_to_string(&path).unwrap().replace("00000000000000000001 ", "00000000000000000002 ");
        std::fs::write(&path, forged).unwrap();
        assert_eq!(file.read(signer.public()), None);
    }

    #[test]
    fn it_comes_back_where_it_was_taken_away() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.head");
        let (mut file, signer) = (HeadFile::open(&path).unwrap(), signer());
        std::fs::remove_file(&path).unwrap();
        let head = Head { seq: 7, hash: Hash::of(b"x") };
        file.write(head, &signer).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().read(signer.public()), Some(head));
        let published = std::fs::read(home.path().join("audit.pub")).unwrap();
        assert_eq!(PublicKey::from_pem(&published).unwrap().id(), signer.public().id());
    }
}
