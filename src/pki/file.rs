//! Files that say whom to believe: regular ones, judged by what was opened, and changed by nobody but root and the user of
//! this process.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// As many links as the system itself would follow.
const MOST_LINKS: usize = 40;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Opens a regular file to be read. Never waits: a pipe without a writer is refused like any other thing that is no file.
///
/// # Errors
/// Those of the system, and [`io::ErrorKind::InvalidInput`] for what is not a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    // What was opened is asked, and not the name, which may mean something else by now.
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Somebody else can change what a file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Who can, and by what.
    pub problem: String,
    /// The command that mends it.
    pub advice: String,
}

/// Whether nobody but root and the user of this process can change a file or put another in its place: neither the file, nor
/// the directory it is in, nor those of symbolic links on the way. In a directory with the sticky bit only owners can
/// replace files. What cannot be looked at is not judged here.
///
/// # Errors
/// The first thing that somebody else can change.
pub fn guarded(path: &Path) -> Result<(), Open> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let directory = directory_of(&path);
        if let Ok(found) = directory.metadata() {
            judge(&directory, &found, found.mode() & STICKY != 0)?;
        }
        let Ok(found) = path.symlink_metadata() else { return Ok(()) };
        if !found.is_symlink() {
            return judge(&path, &found, false);
        }
        let Ok(target) = path.read_link() else { return Ok(()) };
        path = directory.join(target);
    }
    Ok(())
}

/// Whether nobody but root and the user of this process can make or replace anything in a directory.
///
/// # Errors
/// Why somebody else can.
pub fn guarded_directory(path: &Path) -> Result<(), Open> {
    path.metadata().map_or(Ok(()), |found| judge(path, &found, false))
}

/// Whether nobody but root and the user of this process can make or replace anything in a directory, nor put another in
/// its place, or in that of one above it. `path` is absolute and has no symbolic links.
///
/// # Errors
/// Why somebody else can.
pub fn guarded_tree(path: &Path) -> Result<(), Open> {
    guarded_directory(path)?;
    for above in path.ancestors().skip(1) {
        if let Ok(found) = above.metadata() {
            judge(above, &found, found.mode() & STICKY != 0)?;
        }
    }
    Ok(())
}

fn directory_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

fn judge(path: &Path, found: &Metadata, shared: bool) -> Result<(), Open> {
    let (path, mode, owner) = (path.display(), found.mode(), found.uid());
    let us = geteuid().as_raw();
    if owner != 0 && owner != us {
        return Err(Open {
            problem: format!(
                "{path} belongs to the user {owner}, who is neither root nor the one who runs this ({us})"
            ),
            advice: format!("chown root {path}, or run this as that user"),
        });
    }
    let who = match (mode & WRITABLE_BY_GROUP != 0, mode & WRITABLE_BY_OTHERS != 0) {
        _ if shared => return Ok(()),
        (false, false) => return Ok(()),
        (true, false) => "its group",
        (_, true) => "others",
    };
    Err(Open {
        problem: format!("{path} can be written by {who} (mode {:04o})", mode & 0o7777),
        advice: match mode & STICKY {
            0 => format!("chmod go-w {path}"),
            _ => format!("use a directory of its own: {path} is there for everybody"),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_change_is_told_with_the_command_that_mends_it() {
        let home = tempfile::tempdir().unwrap();
        let (there, file) = (home.path().join("there"), home.path().join("there/file"));
        fs::create_dir(&there).unwrap();
        fs::write(&file, "").unwrap();
        for (directory, mode, says) in [
            (0o755, 0o644, ""),
            (0o755, 0o664, "file can be written by its group (mode 0664)"),
            (0o755, 0o646, "file can be written by others (mode 0646)"),
            (0o775, 0o600, "there can be written by its group (mode 0775)"),
            (0o777, 0o600, "there can be written by others (mode 0777)"),
            (0o1777, 0o600, ""),
            (0o1777, 0o666, "file can be written by others"),
        ] {
            set(&there, directory);
            set(&file, mode);
            match guarded(&file) {
                Ok(()) => assert_eq!(says, "", "{directory:o} {mode:o}"),
                Err(open) => {
                    assert!(!says.is_empty() && open.problem.contains(says), "{directory:o} {mode:o}: {open:?}");
                    assert!(open.advice.starts_with("chmod go-w /"), "{open:?}");
                }
            }
        }
        set(&there, 0o1777);
        assert!(guarded_directory(&there).is_err(), "anybody can put a file there");
        assert_eq!(guarded(&home.path().join("absent")), Ok(()));
    }

    #[test]
    fn a_link_is_as_good_as_its_target_and_every_directory_on_the_way() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at("far")).unwrap();
        fs::create_dir(at("near")).unwrap();
        fs::write(at("far/file"), "").unwrap();
        symlink("../far/file", at("near/middle")).unwrap();
        symlink(at("near/middle"), at("link")).unwrap();
        for (path, open, shut) in [("far/file", 0o666, 0o644), ("far", 0o777, 0o755), ("near", 0o777, 0o755)] {
            assert_eq!(guarded(&at("link")), Ok(()));
            set(&at(path), open);
            assert!(guarded(&at("link")).unwrap_err().problem.contains("can be written by others"), "{path}");
            set(&at(path), shut);
        }
        symlink("round", at("round")).unwrap();
        assert_eq!(guarded(&at("round")), Ok(()), "opening it fails anyhow");
    }

    #[test]
    fn the_file_of_a_stranger_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        // Only root can give a file away.
        if geteuid().is_root() {
            chown(&file, Some(4711), None).unwrap();
            assert!(guarded(&file).unwrap_err().problem.contains("belongs to the user 4711"));
        }
    }

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_waits() {
        let home = tempfile::tempdir().unwrap();
        let pipe = home.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        for path in [&pipe, home.path()] {
            assert_eq!(open(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        fs::write(home.path().join("file"), "").unwrap();
        open(&home.path().join("file")).unwrap();
    }
}
