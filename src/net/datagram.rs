//! Outbound datagrams, to a unix socket or over UDP. A unix socket can tell when its peer has taken all of them; UDP
//! cannot.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};

use super::stream::{Patience, be_patient};

const STEP: Duration = Duration::from_millis(100);

/// A unix datagram socket that is connected to another.
pub struct UnixPeer {
    socket: UnixDatagram,
    /// The send buffer's size as it is set, which is half of what is given back.
    room: usize,
}

impl UnixPeer {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// When there is none, or nobody has it open.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(STEP))?;
        let room = socket_send_buffer_size(&socket)?.checked_div(2).unwrap_or_default();
        Ok(Self { socket, room })
    }

    /// Puts one datagram into the peer's queue, and waits while that is full.
    ///
    /// # Errors
    /// When the peer is gone, or patience ends.
    pub fn send(&self, bytes: &[u8], patience: Patience<'_>) -> io::Result<()> {
        let mut silent = Duration::ZERO;
        while let Err(error) = self.socket.send(bytes) {
            match Errno::from_io_error(&error) {
                Some(Errno::NOBUFS) => {
                    std::thread::sleep(STEP);
                    be_patient(ErrorKind::WouldBlock.into(), &mut silent, patience)?;
                }
                _ => be_patient(error, &mut silent, patience)?,
            }
        }
        Ok(())
    }

    /// Whether the peer has taken every datagram out of its queue; `false` when patience ended before it had.
    ///
    /// What is in the queue counts against this socket's send buffer. With the smallest buffer Linux has, the socket is
    /// writable only while at most one small datagram is in the queue; an empty one after all others is that one. A queue
    /// is emptied too when the peer goes, but then the next datagram is refused.
    ///
    /// # Errors
    /// When the peer is gone: what was in its queue is lost.
    pub fn is_drained(&self, patience: Patience<'_>) -> io::Result<bool> {
        self.send(&[], patience)?;
        set_socket_send_buffer_size(&self.socket, 1)?;
        let drained = self.is_writable(patience);
        set_socket_send_buffer_size(&self.socket, self.room)?;
        let drained = drained?;
        if drained {
            self.send(&[], patience)?;
        }
        Ok(drained)
    }

    fn is_writable(&self, patience: Patience<'_>) -> io::Result<bool> {
        let step = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        let mut silent = Duration::ZERO;
        loop {
            let mut sockets = [PollFd::new(&self.socket, PollFlags::OUT)];
            match poll(&mut sockets, Some(&step)) {
                Ok(0) | Err(Errno::INTR) => silent = silent.saturating_add(Duration::from_millis(5)),
                Ok(_) => return Ok(true),
                Err(error) => return Err(error.into()),
            }
            if !patience(silent) {
                return Ok(false);
            }
        }
    }
}

/// A UDP socket with one peer.
pub struct UdpPeer {
    socket: UdpSocket,
}

impl UdpPeer {
    /// Looks the name up and takes its first address.
    ///
    /// # Errors
    /// When the name has no address, or there is no way to it.
    pub fn connect(host: &str, port: u16) -> io::Result<Self> {
        let address = (host, port).to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the name has no address"))?;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own)?;
        socket.connect(address)?;
        socket.set_write_timeout(Some(STEP))?;
        Ok(Self { socket })
    }

    /// Sends one datagram.
    ///
    /// # Errors
    /// Also for an earlier one of which the peer's machine has said that nobody takes it.
    pub fn send(&self, bytes: &[u8], patience: Patience<'_>) -> io::Result<()> {
        let mut silent = Duration::ZERO;
        while let Err(error) = self.socket.send(bytes) {
            be_patient(error, &mut silent, patience)?;
        }
        Ok(())
    }

    /// Whether the peer's machine has refused a datagram since the last look.
    ///
    /// # Errors
    /// The refusal.
    pub fn look(&self) -> io::Result<()> {
        self.socket.take_error()?.map_or(Ok(()), Err)
    }
}
