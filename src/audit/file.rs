//! The journal's file: only ever appended to, private, never reached through a symbolic link, and opened anew when it is
//! no longer the one at its path. What stands after its last sound record is moved aside when it is opened.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags};

use super::headfile::is_elsewhere;
use super::layout::{Layout, first_record};
use super::recovery::{lock, locked};
use super::tail::{self, End};

/// What the writer writes on. The tests have one that fails when they say so.
pub(super) trait Paper: Send + 'static {
    /// Opens (or makes) it anew.
    fn open(&mut self) -> io::Result<Opened>;
    /// Lets go of it.
    fn close(&mut self);
    /// Whether it is open.
    fn is_open(&self) -> bool;
    /// Hands a beginning of `bytes` to the kernel and says how long it was.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Takes the last `bytes` away again: the beginning of a line that found no room.
    fn cut_back(&mut self, bytes: u64) -> io::Result<()>;
    /// Waits until the kernel has it on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Gives it the name of a full file that begins with record `first`, and lets go of it.
    fn rotate(&mut self, first: u64) -> io::Result<()>;
    /// Whether what is open has no name any more.
    fn is_unlinked(&self) -> bool;
    /// Whether something else, or nothing, is at the path now.
    fn is_replaced(&self) -> bool;
}

/// What was found when a file was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Opened {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Number of its first record, if it has one.
    pub(super) first: Option<u64>,
    /// Days from the epoch to its last change.
    pub(super) day: i64,
    /// Where that went which stood after the last sound record.
    pub(super) torn: Option<PathBuf>,
}

/// A regular file at a path.
pub(super) struct AppendFile {
    layout: Layout,
    open: Option<File>,
    lock: Option<File>,
}

impl AppendFile {
    pub(super) fn of(layout: Layout) -> Self {
        Self { layout, open: None, lock: None }
    }

    /// Nobody else writes this chain: the lock beside it is held, the one that is there now.
    fn hold(&mut self) -> io::Result<()> {
        let path = self.layout.beside("lock");
        if self.lock.as_ref().is_none_or(|lock| is_elsewhere(lock, &path)) {
            self.lock = None;
            self.lock = Some(lock(&path)?);
        }
        Ok(())
    }
}

impl Paper for AppendFile {
    fn open(&mut self) -> io::Result<Opened> {
        self.open = None;
        self.hold()?;
        let path = self.layout.active();
        // NONBLOCK, or opening a pipe that somebody put there would hang; it means nothing to a regular file.
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| {
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
        // Somebody may have taken the lock's file away from the one who holds it.
        let mut file = locked(file)?;
        let End { last, at } = tail::end(&mut file)?;
        let torn = match at < metadata.len() {
            true => Some(set_aside(&mut file, at, &self.layout, last.map_or(0, |head| head.seq))?),
            false => None,
        };
        let first = if at > 0 { first_record(path) } else { None };
        self.open = Some(file);
        Ok(Opened { size: at, first, day: metadata.mtime().div_euclid(86_400), torn })
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

    fn cut_back(&mut self, bytes: u64) -> io::Result<()> {
        let Some(file) = &self.open else { return Err(io::Error::from(io::ErrorKind::NotConnected)) };
        file.set_len(file.metadata()?.len().saturating_sub(bytes))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), File::sync_data)
    }

    fn rotate(&mut self, first: u64) -> io::Result<()> {
        self.sync()?;
        let (from, to) = (self.layout.active(), self.layout.rotated(first));
        // A file that is there already holds records: it is never written over.
        rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, &to, RenameFlags::NOREPLACE)?;
        self.open = None;
        sync_directory(self.layout.directory())
    }

    fn is_unlinked(&self) -> bool {
        let linked = |file: &File| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
        self.open.as_ref().is_some_and(|file| !linked(file))
    }

    fn is_replaced(&self) -> bool {
        self.open.as_ref().is_some_and(|file| is_elsewhere(file, self.layout.active()))
    }
}

/// Makes the names in a directory as lasting as the files.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Moves what stands from `at` on to a file of its own, and only then cuts it off.
fn set_aside(file: &mut File, at: u64, layout: &Layout, seq: u64) -> io::Result<PathBuf> {
    let (mut aside, path) = new_file(layout, seq)?;
    file.seek(SeekFrom::Start(at))?;
    let copied = io::copy(file, &mut aside).and_then(|_| aside.sync_all());
    if let Err(error) = copied {
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    sync_directory(layout.directory())?;
    file.set_len(at)?;
    file.sync_data()?;
    Ok(path)
}

fn new_file(layout: &Layout, seq: u64) -> io::Result<(File, PathBuf)> {
    for attempt in 1..=1000 {
        let path = layout.beside(&match attempt {
            1 => format!("torn-{seq:012}"),
            more => format!("torn-{seq:012}.{more}"),
        });
        match create_private(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (file, path)),
        }
    }
    Err(io::Error::other("there are too many files of torn lines beside it"))
}

/// A new file that only its owner may read.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::audit::chain::Head;

    fn file(path: &Path) -> AppendFile {
        AppendFile::of(Layout::of(path))
    }

    #[test]
    fn a_new_file_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        assert_eq!(file(&path).open().unwrap().size, 0);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn only_a_regular_file_in_an_existing_directory_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let link = home.path().join("link");
        symlink(home.path().join("elsewhere"), &link).unwrap();
        assert!(file(&link).open().unwrap_err().to_string().contains("symbolic link"));
        assert!(!home.path().join("elsewhere").exists());
        assert!(file(home.path()).open().is_err());
        assert!(file(Path::new("/dev/full")).open().unwrap_err().to_string().contains("regular"));
        assert!(file(&home.path().join("missing/audit.jsonl")).open().is_err());
    }

    #[test]
    fn what_is_no_sound_record_at_the_end_is_moved_aside_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let mut sound = Vec::new();
        let head = Head::START.append(b"{\"v\":1}", &mut sound).unwrap();
        let _ = head.append(b"{\"v\":1}", &mut sound).unwrap();
        for (index, torn) in ["{\"seq\":3,\"v\"", "\0\0\0\0\n", "\n\n{}\n"].into_iter().enumerate() {
            std::fs::write(&path, [&sound[..], torn.as_bytes()].concat()).unwrap();
            let opened = file(&path).open().unwrap();
            assert_eq!((opened.size, opened.first), (u64::try_from(sound.len()).unwrap(), Some(1)));
            let aside = opened.torn.unwrap();
            let ending = if index == 0 { String::new() } else { format!(".{}", index.saturating_add(1)) };
            assert_eq!(aside, home.path().join(format!("audit.torn-000000000002{ending}")));
            assert_eq!(std::fs::read(&aside).unwrap(), torn.as_bytes());
            assert_eq!(std::fs::read(&path).unwrap(), sound);
        }
        assert_eq!(file(&path).open().unwrap().torn, None);
    }

    #[test]
    fn a_removed_and_a_renamed_file_are_noticed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let mut file = file(&path);
        file.open().unwrap();
        assert!(!file.is_unlinked() && !file.is_replaced());
        std::fs::rename(&path, home.path().join("audit.jsonl.1")).unwrap();
        assert!(!file.is_unlinked() && file.is_replaced());
        std::fs::remove_file(home.path().join("audit.jsonl.1")).unwrap();
        assert!(file.is_unlinked() && file.is_replaced());
    }

    #[test]
    fn a_full_file_never_takes_the_name_of_another() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let mut file = file(&path);
        file.open().unwrap();
        file.write(b"x\n").unwrap();
        std::fs::write(home.path().join("audit.000000000001.jsonl"), "other").unwrap();
        assert!(file.rotate(1).is_err());
        assert!(file.is_open());
        file.rotate(2).unwrap();
        assert!(!file.is_open() && !path.exists());
        assert_eq!(std::fs::read_to_string(home.path().join("audit.000000000002.jsonl")).unwrap(), "x\n");
    }
}
