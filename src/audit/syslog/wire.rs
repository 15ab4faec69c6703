//! One connection to a collector, and what each kind of it can tell about what the collector has taken: a stream when both
//! sides have ended, a unix socket when its queue is empty, UDP only what was refused.

use std::io::{self, Write as _};
use std::time::Duration;

use super::target::Target;
use crate::net::datagram::{UdpPeer, UnixPeer};
use crate::net::stream::{Ending, Patience, Secured, Stream};

/// Longest time for one address, and for the TLS handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes that are given to a stream at once.
const PAGE: usize = 64 << 10;
/// So many datagrams go over UDP at once, and then none for [`PAUSE`]: 16,000 a second, which a collector on the same
/// machine takes in without loss.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_millis(2);

/// What came of asking whether all was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It was.
    All,
    /// It is still on its way, on a connection that is sound.
    NotYet,
    /// The collector does not end its side, and nothing has broken.
    Unended,
}

/// A connection.
pub(super) enum Wire {
    Stream { stream: Box<Stream>, page: Vec<u8> },
    Unix(UnixPeer),
    Udp { peer: UdpPeer, burst: u32 },
}

impl Wire {
    /// Connects; a name is looked up anew.
    pub(super) fn connect(target: &Target, secured: Option<&Secured>) -> io::Result<Self> {
        Ok(match target {
            Target::Unix(path) => Self::Unix(UnixPeer::connect(path)?),
            Target::Udp(host) => Self::Udp { peer: UdpPeer::connect(&host.name, host.port)?, burst: 0 },
            Target::Tcp(host) | Target::Tls(host) => {
                let stream = Stream::connect(&host.name, host.port, secured, CONNECT)?;
                Self::Stream { stream: Box::new(stream), page: Vec::with_capacity(PAGE) }
            }
        })
    }

    /// Sends a message, at the latest with [`Wire::flush`].
    pub(super) fn send(&mut self, message: &[u8], patience: Patience<'_>) -> io::Result<()> {
        match self {
            Self::Stream { page, .. } => {
                write!(page, "{} ", message.len())?;
                page.extend_from_slice(message);
                if page.len() >= PAGE { self.flush(patience) } else { Ok(()) }
            }
            Self::Unix(peer) => peer.send(message, patience),
            Self::Udp { peer, burst } => {
                peer.send(message, patience)?;
                *burst = burst.saturating_add(1);
                if *burst >= BURST {
                    *burst = 0;
                    std::thread::sleep(PAUSE);
                }
                Ok(())
            }
        }
    }

    /// Gives the kernel everything there is.
    pub(super) fn flush(&mut self, patience: Patience<'_>) -> io::Result<()> {
        if let Self::Stream { stream, page } = self {
            stream.send(page, patience)?;
            page.clear();
        }
        Ok(())
    }

    /// Asks whether everything was taken. A stream ends with that.
    pub(super) fn confirm(mut self, patience: Patience<'_>) -> io::Result<(Taken, Option<Self>)> {
        self.flush(patience)?;
        match self {
            Self::Stream { stream, .. } => match stream.end(patience)? {
                Ending::Taken => Ok((Taken::All, None)),
                Ending::Open => Ok((Taken::Unended, None)),
            },
            Self::Unix(peer) => {
                let taken = if peer.is_drained(patience)? { Taken::All } else { Taken::NotYet };
                Ok((taken, Some(Self::Unix(peer))))
            }
            Self::Udp { peer, burst } => {
                peer.look()?;
                Ok((Taken::All, Some(Self::Udp { peer, burst })))
            }
        }
    }
}
