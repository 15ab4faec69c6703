//! The open files of a process, as the links in its folder of `/proc` tell them: nothing is opened, and followed is only
//! what has lost its name.

use std::ffi::CStr;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, Mode, readlinkat, statat};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Serialize;

/// One open file of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Its number.
    pub number: u32,
    /// Its path, or what the kernel calls something without one, such as `socket:[4711]`.
    pub target: String,
    /// How it was opened; `None` of what may be neither read nor written through it.
    pub access: Option<Access>,
    /// Bytes of room that it takes on its file system though it has lost its last name; `None` of any other.
    pub lost: Option<u64>,
}

/// The kernel marks so what has lost a name.
pub const DELETED: &str = " (deleted)";

/// The unit of `st_blocks`, whatever the file system's own: stat(3type).
const BLOCK: u64 = 512;

/// How a file was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// To read.
    Read,
    /// To write.
    Write,
    /// For both.
    ReadWrite,
}

impl Access {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::ReadWrite];

    /// The letters of fopen(3) that come nearest.
    #[must_use]
    pub const fn letters(self) -> &'static str {
        match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::ReadWrite => "rw",
        }
    }

    /// From the permissions of the link, which the kernel sets after how its file was opened.
    fn of_link(mode: Mode) -> Option<Self> {
        match (mode.contains(Mode::RUSR), mode.contains(Mode::WUSR)) {
            (true, false) => Some(Self::Read),
            (false, true) => Some(Self::Write),
            (true, true) => Some(Self::ReadWrite),
            (false, false) => None,
        }
    }

    /// From a file of `/proc/[pid]/fdinfo`: the last octal digit of the flags has the mode of open(2).
    #[must_use]
    pub fn of_flags(info: &str) -> Option<Self> {
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
        match u64::from_str_radix(flags, 8).ok()? & 3 {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            2 => Some(Self::ReadWrite),
            _ => None,
        }
    }
}

/// Gives `take` what the links in a directory such as `/proc/[pid]/fd` tell, in the order of the kernel, until it breaks off.
///
/// # Errors
/// When the directory cannot be read, or what the links in it tell: with [`io::ErrorKind::PermissionDenied`], then of none.
pub fn each(directory: OwnedFd, mut take: impl FnMut(Descriptor) -> ControlFlow<()>) -> io::Result<()> {
    let mut directory = Dir::new(directory)?;
    let mut told = false;
    while let Some(entry) = directory.read() {
        let entry = entry?;
        let name = entry.file_name();
        let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) else { continue };
        let folder = directory.fd()?;
        let target = readlinkat(folder, name, Vec::new());
        let (target, about) =
            match target.and_then(|target| Ok((target, statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?))) {
                Ok(both) => both,
                // Not a link, or closed in the meantime.
                Err(Errno::INVAL | Errno::NOENT) => continue,
                // The process has become somebody else's: what was told of it stays.
                Err(Errno::ACCESS) if told => return Ok(()),
                Err(error) => return Err(error.into()),
            };
        told = true;
        let (target, access) =
            (target.to_string_lossy().into_owned(), Access::of_link(Mode::from_raw_mode(about.st_mode)));
        let lost = target.ends_with(DELETED).then(|| lost(folder, name)).flatten();
        if take(Descriptor { number, target, access, lost }).is_break() {
            break;
        }
    }
    Ok(())
}

/// The room of the file behind a link, if no name is left of it. The link is followed by the kernel to the very file, which is
/// looked at and not opened.
fn lost(folder: BorrowedFd<'_>, name: &CStr) -> Option<u64> {
    let about = statat(folder, name, AtFlags::empty()).ok().filter(|about| about.st_nlink == 0)?;
    u64::try_from(about.st_blocks).ok()?.checked_mul(BLOCK)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn all(directory: &std::path::Path) -> Vec<Descriptor> {
        let mut found = Vec::new();
        let take = |one| {
            found.push(one);
            ControlFlow::Continue(())
        };
        each(std::fs::File::open(directory).unwrap().into(), take).unwrap();
        found
    }

    #[test]
    fn the_kernel_tells_how_each_was_opened() {
        use rustix::fs::{CWD, OFlags, openat};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("file");
        std::fs::write(&path, "").unwrap();
        for (flags, access) in [
            (OFlags::RDONLY, Some(Access::Read)),
            (OFlags::WRONLY | OFlags::APPEND, Some(Access::Write)),
            (OFlags::RDWR, Some(Access::ReadWrite)),
            (OFlags::PATH, None),
        ] {
            let opened = openat(CWD, &path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
            let found = all("/proc/self/fd".as_ref());
            let of = found.iter().find(|one| path == std::path::Path::new(&one.target)).unwrap();
            assert_eq!(of.access, access, "{flags:?}");
            drop(opened);
        }
    }

    #[test]
    fn what_has_lost_its_last_name_tells_its_room() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("file");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        file.sync_all().unwrap();
        let of = |name: &std::path::Path| {
            let text = name.display().to_string();
            all("/proc/self/fd".as_ref()).into_iter().find(|one| one.target.starts_with(&text)).unwrap()
        };
        assert_eq!(of(&path).lost, None);
        std::fs::hard_link(&path, folder.path().join("other")).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((of(&path).target.ends_with(DELETED), of(&path).lost), (true, None), "another name is left");
        std::fs::remove_file(folder.path().join("other")).unwrap();
        assert!(of(&path).lost.is_some_and(|bytes| (100_000..1_000_000).contains(&bytes)), "{:?}", of(&path));
        drop(file);
    }

    #[test]
    fn what_is_no_link_or_has_no_number_is_passed_over_and_whoever_has_enough_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("3"), "").unwrap();
        symlink("/gone", folder.path().join("x")).unwrap();
        symlink("socket:[42]", folder.path().join("4")).unwrap();
        symlink("5", folder.path().join("5")).unwrap();
        let mut found: Vec<(u32, String)> =
            all(folder.path()).into_iter().map(|one| (one.number, one.target)).collect();
        found.sort_unstable();
        assert_eq!(found, [(4, "socket:[42]".to_owned()), (5, "5".to_owned())]);
        let mut count = 0;
        let take = |_| {
            count += 1;
            ControlFlow::Break(())
        };
        each(std::fs::File::open(folder.path()).unwrap().into(), take).unwrap();
        assert_eq!(count, 1);
        let file = std::fs::File::open(folder.path().join("3")).unwrap();
        assert!(each(file.into(), |_| ControlFlow::Continue(())).is_err());
    }

    #[test]
    fn flags_tell_the_mode_of_opening() {
        let of = |digits: &str| Access::of_flags(&format!("pos:\t0\nflags:\t{digits}\nmnt_id:\t9\n"));
        assert_eq!((of("0100000"), of("02000001")), (Some(Access::Read), Some(Access::Write)));
        assert_eq!((of("0100002"), of("3"), of("8"), of("")), (Some(Access::ReadWrite), None, None, None));
        assert_eq!(Access::of_flags("pos:\t0\n"), None);
    }
}
