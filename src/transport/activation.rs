//! Sockets that systemd has bound and hands over (sd_listen_fds(3)): taken once, before anything else runs, each for the
//! transport of its kind. The one of the name `probes` (`FileDescriptorName=`) is for probes.

use std::env;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::error::{Code, Failure};

/// Sockets that a unit may hand over; more are a mistake.
const MOST: usize = 16;

/// What was handed over.
#[derive(Default, Debug)]
pub struct Activated {
    /// For https.
    pub https: Option<TcpListener>,
    /// For probes.
    pub probes: Option<TcpListener>,
    /// For callers over a unix socket.
    pub unix: Option<UnixListener>,
}

/// Takes what the environment of this process announces for it; nothing if that is for another process. To be called once,
/// while there is one thread.
///
/// # Errors
/// [`Code::Config`] for a socket that cannot be used, and for two of the same use.
pub fn take() -> Result<Activated, Failure> {
    let variable = |name: &str| env::var(name).ok();
    let ours = variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) == Some(std::process::id());
    let count: usize = match variable("LISTEN_FDS").filter(|_| ours) {
        None => return Ok(Activated::default()),
        Some(count) => count.parse().map_err(|_| refused("LISTEN_FDS is no number"))?,
    };
    // Not a part of what systemd says; it would move the sockets elsewhere.
    if count > MOST || variable("LISTEN_FDS_FIRST_FD").is_some() {
        return Err(refused(format!("LISTEN_FDS is over {MOST}, or LISTEN_FDS_FIRST_FD is set")));
    }
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut handed = ListenFd::from_env();
    let mut activated = Activated::default();
    for index in 0..count {
        activated.add(&mut handed, index, names.next().unwrap_or_default())?;
    }
    Ok(activated)
}

impl Activated {
    fn add(&mut self, handed: &mut ListenFd, index: usize, name: &str) -> Result<(), Failure> {
        let shown = name.escape_debug();
        let idle = || refused(format!("{shown}: nobody listens on it (Accept=no is needed)"));
        let twice = |what: &str| refused(format!("{shown}: a second one for {what}"));
        if let Ok(Some(unix)) = handed.take_unix_listener(index) {
            if !socket_acceptconn(&unix).is_ok_and(|listens| listens) {
                return Err(idle());
            }
            return if self.unix.replace(unix).is_some() { Err(twice("the unix socket")) } else { Ok(()) };
        }
        let tcp = handed.take_tcp_listener(index).ok().flatten();
        let tcp = tcp.ok_or_else(|| refused(format!("{shown}: neither a TCP nor a unix stream socket")))?;
        if !socket_acceptconn(&tcp).is_ok_and(|listens| listens) {
            return Err(idle());
        }
        let (place, what) = if name == "probes" { (&mut self.probes, "probes") } else { (&mut self.https, "https") };
        if place.replace(tcp).is_some() { Err(twice(what)) } else { Ok(()) }
    }
}

fn refused(why: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Config, "the sockets that were handed over cannot be used").because(why.to_string())
}
