//! Where a collector is, as an operator writes it.

use std::fmt;
use std::path::PathBuf;

/// A collector's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A unix datagram socket.
    Unix(PathBuf),
    /// One message a datagram (RFC 5426).
    Udp(Host),
    /// Octet counting (RFC 6587 section 3.4.1).
    Tcp(Host),
    /// Octet counting in TLS (RFC 5425).
    Tls(Host),
}

/// A name or an address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Without the brackets of an IPv6 address.
    pub name: String,
    /// Never 0.
    pub port: u16,
}

impl Target {
    /// Reads `unix:PATH`, `udp://HOST:PORT`, `tcp://HOST:PORT` or `tls://HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // The kernel's limit for a socket's name: `sun_path` in unix(7).
            return match path {
                path if !path.starts_with('/') => Err("the path of the socket must begin with /"),
                path if path.len() > 107 => Err("the path of a socket has at most 107 bytes"),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or("must begin with unix:, udp://, tcp:// or tls://")?;
        let host = Host::parse(rest)?;
        match scheme {
            "udp" => Ok(Self::Udp(host)),
            "tcp" => Ok(Self::Tcp(host)),
            "tls" => Ok(Self::Tls(host)),
            _ => Err("must begin with unix:, udp://, tcp:// or tls://"),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (name, port) = text.rsplit_once(':').ok_or("must end with a port, such as :6514")?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("must end with a port from 1 to 65535")?;
        let name = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
            Some(_) => return Err("an IPv6 address is expected between [ and ]"),
            None => name,
        };
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':'));
        let bare_v6 = name.contains(':') && !text.starts_with('[');
        match (name.is_empty() || !plain, bare_v6) {
            (true, _) => Err("must name a host"),
            (_, true) => Err("an IPv6 address stands between [ and ]"),
            _ => Ok(Self { name: name.to_owned(), port }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(host) => write!(f, "udp://{host}"),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
            Self::Tls(host) => write!(f, "tls://{host}"),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.contains(':') {
            true => write!(f, "[{}]:{}", self.name, self.port),
            false => write!(f, "{}:{}", self.name, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_said_again() {
        for text in [
            "unix:/dev/log",
            "udp://127.0.0.1:514",
            "tcp://siem.example.com:601",
            "tls://[::1]:6514",
            "tls://log_1.example:6514",
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Target::parse("unix:///dev/log"), Target::parse("unix:/dev/log"));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for (text, why) in [
            ("", "must begin"),
            ("/dev/log", "must begin"),
            ("http://a:1", "must begin"),
            ("unix:dev/log", "begin with /"),
            ("unix:", "begin with /"),
            ("tcp://a", "end with a port"),
            ("tcp://a:0", "from 1 to 65535"),
            ("tcp://a:65536", "from 1 to 65535"),
            ("tcp://:514", "name a host"),
            ("tcp://u@a:514", "name a host"),
            ("tcp://a/b:514", "name a host"),
            ("tcp://::1:514", "between [ and ]"),
            ("tcp://[a]:514", "between [ and ]"),
        ] {
            assert!(Target::parse(text).unwrap_err().contains(why), "{text}");
        }
        assert!(Target::parse(&format!("unix:/{}", "x".repeat(107))).is_err());
    }
}
