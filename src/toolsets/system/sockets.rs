//! `/proc/net/{tcp,tcp6,udp,udp6,unix}`: the sockets of the daemon's network namespace, read line by line however many.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::query::Ask;
use crate::error::Failure;

/// net/unix: the socket takes connections.
const ACCEPTS: u32 = 0x1_0000;

/// Between how many lines it is asked whether anybody still waits.
const STRIDE: u32 = 1024;

/// What a socket speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protocol {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6; one that is bound to :: often takes IPv4 too.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6; one that is bound to :: often takes IPv4 too.
    Udp6,
    /// Unix sockets.
    Unix,
}

impl Protocol {
    /// Those that have ports.
    pub(super) const WITH_PORTS: [Self; 4] = [Self::Tcp, Self::Tcp6, Self::Udp, Self::Udp6];

    pub(super) fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp | Self::Tcp6)
    }

    fn path(self) -> &'static str {
        match self {
            Self::Tcp => "proc/net/tcp",
            Self::Tcp6 => "proc/net/tcp6",
            Self::Udp => "proc/net/udp",
            Self::Udp6 => "proc/net/udp6",
            Self::Unix => "proc/net/unix",
        }
    }
}

/// Where a TCP connection stands (RFC 9293); a UDP socket is established when it is bound to one peer, else closed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Data can pass.
    Established,
    /// It has asked for a connection.
    SynSent,
    /// It was asked for a connection.
    SynReceived,
    /// It has closed, and waits for the peer to note.
    FinWait1,
    /// It has closed, and waits for the peer to close.
    FinWait2,
    /// It is closed, and late packets die out.
    TimeWait,
    /// It is closed.
    Closed,
    /// The peer has closed, the program here has not: many of these are a fault of the program.
    CloseWait,
    /// Both have closed, and the peer's note is awaited.
    LastAck,
    /// It takes connections.
    Listen,
    /// Both close at the same time.
    Closing,
}

impl State {
    /// net/tcp_states.h.
    fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct End {
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// One socket with a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Socket {
    pub(super) local: End,
    pub(super) remote: End,
    pub(super) state: State,
    /// Bytes that wait to be sent; of one that listens always 0.
    pub(super) send_queue: u64,
    /// Bytes that wait to be read; of one that listens, connections that wait to be accepted.
    pub(super) receive_queue: u64,
    /// The user who made it.
    pub(super) uid: u32,
    /// Names it among the open files of its process; 0 where no process holds it any more.
    pub(super) inode: u64,
}

impl Socket {
    /// Columns: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode; the first ones hexadecimal.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        words.next()?.strip_suffix(':')?;
        let (local, remote) = (End::parse(words.next()?)?, End::parse(words.next()?)?);
        let state = State::from_code(u32::from_str_radix(words.next()?, 16).ok()?)?;
        let (send, receive) = words.next()?.split_once(':')?;
        let queue = |digits| u64::from_str_radix(digits, 16).ok();
        Some(Self {
            local,
            remote,
            state,
            send_queue: queue(send)?,
            receive_queue: queue(receive)?,
            uid: words.nth(2)?.parse().ok()?,
            inode: words.nth(1)?.parse().ok()?,
        })
    }

    /// Whether it waits for whoever comes.
    pub(super) fn listens(&self, protocol: Protocol) -> bool {
        if protocol.is_tcp() {
            self.state == State::Listen
        } else {
            self.state == State::Closed && self.local.port != 0
        }
    }
}

impl End {
    /// Such as `0100007F:1F90`: words of the machine's own numbers.
    fn parse(word: &str) -> Option<Self> {
        let (digits, port) = word.split_once(':')?;
        let part = |at: usize| {
            let part = digits.get(at..at.checked_add(8)?)?;
            Some(u32::from_str_radix(part, 16).ok()?.to_ne_bytes())
        };
        let address = match digits.len() {
            8 => IpAddr::from(Ipv4Addr::from(part(0)?)),
            32 => {
                let parts = [part(0)?, part(8)?, part(16)?, part(24)?];
                IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(parts.concat()).ok()?))
            }
            _ => return None,
        };
        Some(Self { address, port: u16::from_str_radix(port, 16).ok()? })
    }
}

/// One Unix socket that takes connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct UnixSocket {
    /// Its path, or its name after `@`.
    pub(super) path: String,
    /// Names it among the open files of its process.
    pub(super) inode: u64,
}

impl UnixSocket {
    /// Columns: address in the kernel, references, protocol, flags, type, state, inode, path; `None` of one that takes no
    /// connections.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let inode = words.nth(2)?.parse().ok()?;
        // A path may hold blanks, so it is what stands behind the inode.
        let path = line.splitn(8, ' ').nth(7).map(str::trim_start).unwrap_or_default();
        (flags & ACCEPTS != 0).then(|| Self { path: path.to_owned(), inode })
    }
}

/// Gives every line of a protocol's sockets to `take`; the headings are among them. Returns whether all were read.
///
/// # Errors
/// When nobody waits for the answer any more.
pub(super) fn each(ask: &Ask<'_>, protocol: Protocol, mut take: impl FnMut(&str)) -> Result<bool, Failure> {
    let mut count = 0_u32;
    let mut stopped = Ok(());
    let read = ask.host.each_line(protocol.path(), |line| {
        count = count.wrapping_add(1);
        if count.is_multiple_of(STRIDE) {
            stopped = ask.go_on();
            if stopped.is_err() {
                return ControlFlow::Break(());
            }
        }
        take(line);
        ControlFlow::Continue(())
    });
    stopped?;
    Ok(read.unwrap_or(true))
}

/// Whether the host shows any sockets at all.
pub(super) fn shown(host: &Host) -> bool {
    Protocol::WITH_PORTS.iter().any(|protocol| host.has(protocol.path()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_socket_is_read_with_its_ends_in_the_machines_own_numbers() {
        let line =
            "   0: 0100007F:1F90 0A00020A:D431 01 00000010:00000200 00:00000000 00000000   112        0 40117 1 0000";
        let socket = Socket::parse(line).unwrap();
        let end = |address: &str, port| End { address: address.parse().unwrap(), port };
        assert_eq!((socket.local, socket.remote), (end("127.0.0.1", 8080), end("10.2.0.10", 54321)));
        assert_eq!((socket.state, socket.send_queue, socket.receive_queue), (State::Established, 16, 512));
        assert_eq!((socket.uid, socket.inode), (112, 40_117));
        let six =
            "  1: 000080FE00000000FF00545056341200:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        assert_eq!(Socket::parse(six).unwrap().local, end("fe80::5054:ff:12:3456", 22));
        for line in [
            "",
            "sl local_address",
            "0: x:1 y:2 0A 0:0 0:0 0 0 0 7",
            "0: 0100007F:1F90 00000000:0000 FF 0:0 0:0 0 0 0 7",
        ] {
            assert_eq!(Socket::parse(line), None, "{line}");
        }
    }

    #[test]
    fn only_unix_sockets_that_take_connections_count_and_a_path_may_hold_blanks() {
        let line = "ffff9: 00000002 00000000 00010000 0001 01 15102 /run/a b.sock";
        assert_eq!(UnixSocket::parse(line).unwrap(), UnixSocket { path: "/run/a b.sock".to_owned(), inode: 15_102 });
        assert_eq!(UnixSocket::parse("ffff9: 00000003 00000000 00000000 0001 03 15103 /run/c"), None);
        assert_eq!(UnixSocket::parse("Num       RefCount Protocol Flags    Type St Inode Path"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(line in "\\PC*|[0-9]{1,3}: ([0-9A-F]{8}|[0-9A-Fé]{32}):[0-9A-F]{1,5} [0-9A-F]{8}:0000 0[0-9A-F] 0:0( [0-9]{1,22}){0,6}") {
            let _ = (Socket::parse(&line), UnixSocket::parse(&line));
        }
    }
}
