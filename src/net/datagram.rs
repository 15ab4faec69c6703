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
        #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
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
        #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
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

#[cfg(test)]
mod tests {
    use super::*;

    /// For a peer that does not take what it is sent.
    fn impatience(silent: Duration) -> bool {
        silent < Duration::from_millis(200)
    }

    /// For one that does.
    fn patience(silent: Duration) -> bool {
        silent < Duration::from_secs(30)
    }

    fn receive(socket: &UnixDatagram, count: usize) {
        for _ in 0..count {
            let _ = socket.recv(&mut [0; 8192]).unwrap();
        }
    }

    #[test]
    fn a_queue_is_drained_when_the_peer_has_taken_the_last_datagram() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let peer = UnixPeer::connect(&path).unwrap();
        // Whatever their size, one that is left is noticed. Each look leaves an empty one, and one more if all is well.
        for size in [1, 200, 384, 2000] {
            for count in [1_usize, 3] {
                for _ in 0..count {
                    peer.send(&vec![b'x'; size], &patience).unwrap();
                }
                assert!(!peer.is_drained(&impatience).unwrap(), "{count} of {size}");
                receive(&socket, count.saturating_add(1));
                assert!(peer.is_drained(&patience).unwrap(), "{count} of {size}");
                receive(&socket, 2);
            }
        }
    }

    #[test]
    fn a_peer_that_goes_with_a_full_queue_has_drained_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let socket = UnixDatagram::bind(&path).unwrap();
        let peer = UnixPeer::connect(&path).unwrap();
        peer.send(b"one", &patience).unwrap();
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| peer.is_drained(&|silent| silent < Duration::from_secs(20)));
            std::thread::sleep(Duration::from_millis(100));
            drop(socket);
            assert!(asking.join().unwrap().is_err());
        });
        assert!(UnixPeer::connect(&path).is_err());
    }

    #[test]
    fn a_full_queue_is_waited_for_and_no_longer() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let peer = UnixPeer::connect(&path).unwrap();
        let error = (0..2000).find_map(|_| peer.send(&[b'x'; 1000], &impatience).err()).unwrap();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn udp_says_what_was_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let peer = UdpPeer::connect("127.0.0.1", socket.local_addr().unwrap().port()).unwrap();
        peer.send(b"one", &patience).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 3);
        peer.look().unwrap();
        drop(socket);
        peer.send(b"two", &patience).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(peer.look().is_err());
    }
}
