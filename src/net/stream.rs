//! An outbound stream of bytes over TCP or TLS, with blocking I/O. [`Stream::end`] tells whether the peer has taken all
//! that was sent: TCP itself acknowledges only that the peer's kernel has it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::{Options, config, tls};
use crate::clock::Clock;
use crate::error::Failure;

/// How long one step waits for the peer before it is asked whether to wait on.
const STEP: Duration = Duration::from_millis(100);
/// So many addresses of a name are tried.
const ADDRESSES: usize = 4;

/// Says, after so much time without progress, whether to wait on.
pub type Patience<'a> = &'a dyn Fn(Duration) -> bool;

/// What TLS needs: authorities, an own certificate, the name that the peer must prove.
#[derive(Clone, Debug)]
pub struct Secured {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secured {
    /// Reads certificates and keys; `name` is a DNS name or an IP address.
    ///
    /// # Errors
    /// [`crate::error::Code::Config`] when a certificate, a key or the name cannot be used.
    pub fn new(options: &Options, name: &str) -> Result<Self, Failure> {
        let mut config = tls(options)?;
        // The peer speaks no HTTP.
        config.alpn_protocols.clear();
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| self::config("the server name is neither a DNS name nor an address"))?;
        Ok(Self { config: Arc::new(config), name })
    }
}

/// How a stream ended that did not break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The peer ended its side after it had read all of ours.
    Taken,
    /// The peer has not ended its side, nor broken the connection.
    Open,
}

/// A connection.
pub struct Stream {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Stream {
    /// Looks the name up, connects and shakes hands. `limit` holds for each address that is tried, and for the handshake.
    ///
    /// # Errors
    /// When no address can be reached or the handshake fails.
    pub fn connect(host: &str, port: u16, secured: Option<&Secured>, limit: Duration) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()?.take(ADDRESSES) {
            #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
            let connected = TcpStream::connect_timeout(&address, limit);
            match connected {
                Ok(tcp) => return Self::shake_hands(tcp, secured, limit),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn shake_hands(tcp: TcpStream, secured: Option<&Secured>, limit: Duration) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(STEP))?;
        tcp.set_write_timeout(Some(STEP))?;
        let Some(secured) = secured else { return Ok(Self { tcp, tls: None }) };
        let connection = ClientConnection::new(Arc::clone(&secured.config), secured.name.clone())
            .map_err(|error| io::Error::other(error.to_string()))?;
        let mut stream = Self { tcp, tls: Some(Box::new(connection)) };
        let clock = Clock::system();
        let begin = clock.instant();
        // A step at a time: a peer that sends a byte now and then must not keep anybody past the limit.
        while let Some(tls) = stream.tls.as_mut().filter(|tls| tls.is_handshaking()) {
            let step = if tls.wants_write() { tls.write_tls(&mut stream.tcp) } else { stream.receive() };
            match step {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if !is_silence(&error) => return Err(error),
                _ => {}
            }
            if clock.instant().saturating_duration_since(begin) >= limit {
                return Err(io::Error::new(ErrorKind::TimedOut, "the TLS handshake takes too long"));
            }
        }
        // What ends the handshake on this side is sent before anything else.
        stream.flush(&|silent| silent < limit)?;
        Ok(stream)
    }

    /// Sends all of it: to the peer's kernel or this one's.
    ///
    /// # Errors
    /// When the connection breaks, or patience does; how much has been sent is not known then.
    pub fn send(&mut self, mut bytes: &[u8], patience: Patience<'_>) -> io::Result<()> {
        let mut silent = Duration::ZERO;
        while !bytes.is_empty() {
            let taken = match &mut self.tls {
                Some(tls) => tls.writer().write(bytes),
                None => self.tcp.write(bytes),
            };
            match taken {
                Ok(0) if self.tls.is_none() => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    silent = Duration::ZERO;
                }
                Err(error) => be_patient(error, &mut silent, patience)?,
            }
            self.flush(patience)?;
        }
        Ok(())
    }

    /// Ends this side and waits for the peer to end its own. Here patience is asked about the whole time since, whatever
    /// the peer says meanwhile: one that talks on and on has not ended its side.
    ///
    /// # Errors
    /// When the connection breaks: what was sent may not have been taken.
    pub fn end(mut self, patience: Patience<'_>) -> io::Result<Ending> {
        let clock = Clock::system();
        let begin = clock.instant();
        let patience = |_: Duration| patience(clock.instant().saturating_duration_since(begin));
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            self.flush(&patience)?;
        }
        self.tcp.shutdown(Shutdown::Write)?;
        loop {
            match self.receive() {
                Ok(0) => break,
                Err(error) if !is_silence(&error) => return Err(error),
                _ if !patience(Duration::ZERO) => return Ok(Ending::Open),
                _ => {}
            }
        }
        // The end that was read may have been sent before our last bytes came, by a peer that will answer them with a
        // reset. When both sides have ended and the peer has acknowledged ours, the socket has no peer any more; a reset
        // takes the peer away as well, and leaves an error.
        loop {
            let gone = self.tcp.peer_addr().is_err();
            if let Some(error) = self.tcp.take_error()? {
                return Err(error);
            }
            if gone {
                return Ok(Ending::Taken);
            }
            if !patience(Duration::ZERO) {
                return Ok(Ending::Open);
            }
            std::thread::sleep(STEP.checked_div(50).unwrap_or(STEP));
        }
    }

    /// Reads what the peer says, and forgets it; 0 is its end.
    fn receive(&mut self) -> io::Result<usize> {
        let mut scrap = [0; 4096];
        let Some(tls) = &mut self.tls else { return self.tcp.read(&mut scrap) };
        let count = tls.read_tls(&mut self.tcp)?;
        let state = tls.process_new_packets().map_err(|error| io::Error::other(error.to_string()))?;
        let mut left = state.plaintext_bytes_to_read();
        while left > 0 {
            let most = left.min(scrap.len());
            left = left.saturating_sub(tls.reader().read(scrap.get_mut(..most).unwrap_or_default())?.max(1));
        }
        Ok(count)
    }

    fn flush(&mut self, patience: Patience<'_>) -> io::Result<()> {
        let mut silent = Duration::ZERO;
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            match tls.write_tls(&mut self.tcp) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => silent = Duration::ZERO,
                Err(error) if is_silence(&error) => be_patient(error, &mut silent, patience)?,
                // A peer that refuses this side's certificate says so, and then breaks the connection.
                Err(error) => return Err(self.alert().unwrap_or(error)),
            }
        }
        Ok(())
    }

    fn alert(&mut self) -> Option<io::Error> {
        std::iter::repeat_with(|| self.receive())
            .take(16)
            .find_map(|read| match read {
                Ok(0) => Some(None),
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::Other => Some(Some(error)),
                Err(_) => Some(None),
            })
            .flatten()
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Counts a step without progress; an error that is none, or the end of patience, is given back.
pub(super) fn be_patient(error: io::Error, silent: &mut Duration, patience: Patience<'_>) -> io::Result<()> {
    if !is_silence(&error) {
        return Err(error);
    }
    if error.kind() != ErrorKind::Interrupted {
        *silent = silent.saturating_add(STEP);
    }
    if patience(*silent) { Ok(()) } else { Err(io::Error::new(ErrorKind::TimedOut, "the collector takes nothing")) }
}

#[cfg(test)]
mod tests;
