//! The file of a unix socket: made where nobody else can put another in its place, never wider than its mode, and removed
//! by nobody but who made it.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, Uid, chmodat, chownat, fchmod, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use rustix::process::geteuid;

use super::{SocketSection, owner as names};
use crate::error::{Code, Failure};
use crate::net::served;
use crate::pki::file::{self, Open};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// How often a directory that somebody else has locked is asked for again, and after what time.
const TRIES: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// The owner that `socket.owner` names.
///
/// # Errors
/// What is wrong with it.
pub fn owner(section: &SocketSection) -> Result<Option<u32>, String> {
    section.owner.as_deref().map(names::user).transpose()
}

/// The group that `socket.group` names.
///
/// # Errors
/// What is wrong with it.
pub fn group(section: &SocketSection) -> Result<Option<u32>, String> {
    section.group.as_deref().map(names::group).transpose()
}

/// Whether a socket can be at `path`: absolute, short enough, and nobody but root and the user of this process can put
/// anything there, nor move the directory away.
///
/// # Errors
/// Why not, and what to do.
pub fn check_place(path: &Path) -> Result<(), Open> {
    resolve(path).map(|_| ())
}

/// The same, as the path without symbolic links on the way.
fn resolve(path: &Path) -> Result<PathBuf, Open> {
    let refuse = |problem: String, advice: &str| Open { problem, advice: advice.to_owned() };
    let name = path.file_name().filter(|_| path.is_absolute());
    let Some((directory, name)) = path.parent().zip(name) else {
        return Err(refuse(format!("{} is not the absolute path of a file", path.display()), ""));
    };
    let directory = directory.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse(
            format!("the directory {} does not exist", directory.display()),
            "make it (RuntimeDirectory= of a systemd unit does)",
        ),
        _ => refuse(format!("{}: {error}", directory.display()), ""),
    })?;
    let resolved = directory.join(name);
    if SocketAddrUnix::new(&resolved).is_err() {
        return Err(refuse(format!("{} is longer than an address may be", resolved.display()), "use a shorter path"));
    }
    file::guarded_tree(&directory)?;
    Ok(resolved)
}

/// A socket that this process has made. Dropping it removes the file, if it is still the same. The number of the inode tells that
/// as long as the listener is open: the system gives it to no other file before.
#[derive(Debug)]
pub struct Made {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Made {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn is(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Without the lock somebody could have begun to serve there between the look and the removal.
        let Ok(_lock) = lock(&self.path) else { return };
        if self.path.symlink_metadata().is_ok_and(|found| self.is(&found)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether users beside owner and group can connect to a socket, as things are: to one without a file everybody can.
#[must_use]
pub fn lets_in_everybody(address: &SocketAddr) -> bool {
    let mode = address.as_pathname().map(|path| path.metadata().map(|found| found.mode()));
    // One whose file is gone can be reached by nobody new.
    mode.is_none_or(|mode| mode.is_ok_and(|mode| mode & 0o002 != 0))
}

/// Makes the socket and listens. Blocks for as long as the directory is locked, two seconds at most.
///
/// # Errors
/// [`Code::Config`] when the place, the owner or the group cannot be used, [`Code::Io`] when something stands there that
/// is not a socket left over by the user of this process, or the system refuses.
pub fn make(section: &SocketSection) -> Result<(UnixListener, Made), Failure> {
    let config = |problem: String| Failure::new(Code::Config, "the socket cannot be made").because(problem);
    let path = resolve(&section.path).map_err(|open| config(open.problem))?;
    let (owner, group) = (owner(section).map_err(config)?, group(section).map_err(config)?);
    let failed = |error: io::Error| {
        Failure::new(Code::Io, format!("cannot listen on {}", section.path.display())).because(error)
    };
    let _lock = lock(&path).map_err(failed)?;
    clear(&path, owner).map_err(failed)?;
    listening(&path, section.mode.bits(), owner, group).map_err(failed)
}

/// Held while something in the directory is looked at and changed; two daemons would remove each other's sockets.
fn lock(path: &Path) -> io::Result<File> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    for _ in 0..TRIES {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(File::from(directory)),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has locked the directory"))
}

/// Removes a socket that an earlier process of ours left behind. Whatever else stands there stays, and is an error.
fn clear(path: &Path, owner: Option<u32>) -> io::Result<()> {
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let stands = |what: String| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    if !found.file_type().is_socket() {
        return stands("something that is not a socket stands there".to_owned());
    }
    if found.uid() != geteuid().as_raw() && Some(found.uid()) != owner {
        return stands(format!("a socket of the user {} stands there", found.uid()));
    }
    if served::is_served(path)? {
        return stands("another process serves on it".to_owned());
    }
    fs::remove_file(path)
}

/// Nobody can connect before the last step, and by then the file belongs to whom it should and has its mode.
fn listening(path: &Path, mode: u32, owner: Option<u32>, group: Option<u32>) -> io::Result<(UnixListener, Made)> {
    let (socket, made) = bound(path, mode)?;
    let found = path.symlink_metadata()?;
    // Asked for only where it changes something: giving files away may be forbidden.
    let (owner, group) = (owner.filter(|owner| *owner != found.uid()), group.filter(|group| *group != found.gid()));
    if owner.is_some() || group.is_some() {
        let (new_owner, new_group) = (owner.map(Uid::from_raw), group.map(Gid::from_raw));
        chownat(CWD, path, new_owner, new_group, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| {
            let error = io::Error::from(error);
            let whom = owner.map(|owner| format!("user {owner}")).into_iter();
            let whom = whom.chain(group.map(|group| format!("group {group}"))).collect::<Vec<_>>().join(" and ");
            let advice = "the user of the daemon has to be in that group, or systemd has to make the socket";
            io::Error::new(error.kind(), format!("it cannot be given to {whom}: {error}; {advice}"))
        })?;
    }
    // The umask may have taken something away. The directory is ours alone, so this is the file that was made.
    chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?;
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from(socket), made))
}

/// Binds, with a file that has the rights of the owner in `mode` and no others from its first instant.
fn bound(path: &Path, mode: u32) -> io::Result<(rustix::fd::OwnedFd, Made)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux makes the file with the mode of the socket (unix(7)), less the umask, which belongs to all threads.
    fchmod(&socket, Mode::from_raw_mode(mode & 0o700))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let found = path.symlink_metadata()?;
    Ok((socket, Made { path: path.to_owned(), device: found.dev(), inode: found.ino() }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::transport::SocketMode;

    fn section(path: &Path, mode: &str) -> SocketSection {
        SocketSection { path: path.to_owned(), mode: SocketMode(mode.to_owned()), ..SocketSection::default() }
    }

    fn cause(section: &SocketSection) -> String {
        make(section).unwrap_err().cause().unwrap()
    }

    #[test]
    fn the_file_has_its_mode_whatever_the_umask_and_is_never_wider() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("door.sock");
        for umask in [0, 0o777] {
            let before = rustix::process::umask(Mode::from_raw_mode(umask));
            let first = bound(&path, 0o660).map(|_| fs::symlink_metadata(&path).unwrap().mode() & 0o777);
            let _ = fs::remove_file(&path);
            let made = make(&section(&path, "0660"));
            rustix::process::umask(before);
            assert_eq!(first.unwrap() & !0o600, 0, "before anybody else may use it");
            let (_listener, made) = made.unwrap();
            assert_eq!(fs::symlink_metadata(made.path()).unwrap().mode() & 0o777, 0o660);
            UnixStream::connect(&path).unwrap();
        }
        assert!(!path.exists(), "removed by who made it");
    }

    #[test]
    fn only_a_socket_that_nobody_serves_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("door.sock");
        let (listener, made) = make(&section(&path, "0600")).unwrap();
        assert!(cause(&section(&path, "0600")).contains("another process serves"));
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(made);
        assert!(path.exists(), "it is another's by now");
        drop((other, listener));
        let (_listener, made) = make(&section(&path, "0600")).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(made);
        assert!(!path.exists());
        for stand in ["file", "directory", "link", "pipe"] {
            match stand {
                "file" => fs::write(&path, "precious").unwrap(),
                "directory" => fs::create_dir(&path).unwrap(),
                "link" => symlink(home.path().join("elsewhere"), &path).unwrap(),
                _ => rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap(),
            }
            assert!(cause(&section(&path, "0600")).contains("not a socket"), "{stand}");
            assert!(path.symlink_metadata().is_ok(), "{stand} was removed");
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
        assert!(!home.path().join("elsewhere").exists());
        if geteuid().is_root() {
            drop(UnixListener::bind(&path).unwrap());
            chown(&path, Some(4711), None).unwrap();
            assert!(cause(&section(&path, "0600")).contains("of the user 4711"));
            let ours = SocketSection { owner: Some("4711".to_owned()), ..section(&path, "0600") };
            let (_listener, made) = make(&ours).unwrap();
            assert_eq!(made.path().symlink_metadata().unwrap().uid(), 4711);
        }
    }

    #[test]
    fn a_place_that_others_can_change_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let (above, there) = (home.path().join("above"), home.path().join("above/there"));
        fs::create_dir_all(&there).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let path = there.join("door.sock");
        for (above_mode, there_mode, says) in [
            (0o755, 0o755, ""),
            (0o755, 0o775, "there can be written by its group"),
            (0o755, 0o777, "there can be written by others"),
            (0o755, 0o1777, "there can be written by others"),
            (0o777, 0o755, "above can be written by others"),
            (0o1777, 0o755, ""),
        ] {
            set(&above, above_mode);
            set(&there, there_mode);
            let problem = check_place(&path).err().map(|open| open.problem).unwrap_or_default();
            assert!(problem.contains(says) && says.is_empty() == problem.is_empty(), "{problem}");
        }
        set(&above, 0o755);
        symlink(&there, home.path().join("link")).unwrap();
        let (_listener, made) = make(&section(&home.path().join("link/door.sock"), "0600")).unwrap();
        assert_eq!(made.path(), path.canonicalize().unwrap(), "a link on the way is resolved once");
        for wrong in ["door.sock", "/", "/tmp/door.sock", "/no/such/directory/door.sock"] {
            assert!(check_place(Path::new(wrong)).is_err(), "{wrong}");
        }
        assert!(check_place(&there.join("x".repeat(108))).unwrap_err().problem.contains("longer"));
    }

    #[test]
    fn a_locked_directory_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("door.sock");
        let held = lock(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || make(&section(&path, "0600")).map(|_| ())
        });
        std::thread::sleep(PAUSE * 3);
        assert!(!path.exists());
        drop(held);
        waiting.join().unwrap().unwrap();
    }
}
