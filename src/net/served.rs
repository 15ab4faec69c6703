//! Whether somebody serves on a unix socket. Nothing is sent, and nothing is waited for.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Whether a process listens on the socket at `path`. One that has no room for another connection listens as well.
///
/// # Errors
/// When that cannot be told, as for a socket of another kind.
pub fn is_served(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn a_socket_is_served_as_long_as_somebody_listens() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("socket");
        assert!(!is_served(&path).unwrap());
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_served(&path).unwrap());
        drop(listener);
        assert!(!is_served(&path).unwrap(), "the file is there, and nobody behind it");
        std::fs::remove_file(&path).unwrap();
        let _other = UnixDatagram::bind(&path).unwrap();
        assert!(is_served(&path).is_err());
    }
}
