//! What serves: a listener for each transport, with the front that is in force behind it, or the streams of the process.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::aside::aside;
use super::compose::Fronts;
use super::readiness::InForce;
use crate::config::Config;
use crate::error::{Code, Failure};
use crate::pipeline::Door;
use crate::telemetry::FilesLast;
use crate::transport::admin::Admin;
use crate::transport::socket::{self, Made};
use crate::transport::{Front, Probes, Readiness, Server, TransportKind};

/// Sockets that somebody else has bound.
#[derive(Default)]
pub struct Listeners {
    /// For callers over https.
    pub main: Option<TcpListener>,
    /// For probes.
    pub probes: Option<TcpListener>,
    /// For callers over a unix socket.
    pub unix: Option<UnixListener>,
}

impl Listeners {
    /// Whether each is of a transport that the configuration serves.
    ///
    /// # Errors
    /// [`Code::Config`].
    pub(super) fn fit(&self, config: &Config) -> Result<(), Failure> {
        let transport = &config.transport;
        let idle = [
            (self.main.is_some() && !transport.uses(TransportKind::Https), "https"),
            (self.unix.is_some() && !transport.uses(TransportKind::Unix), "unix"),
            (self.probes.is_some() && !config.probes(), "probes"),
        ];
        let Some((_, kind)) = idle.iter().find(|(idle, _)| *idle) else { return Ok(()) };
        let why = format!("a socket was handed over for {kind}, which the configuration does not serve");
        Err(Failure::new(Code::Config, "the sockets do not fit the configuration").because(why))
    }
}

/// Everything that serves.
pub(super) enum Serving {
    Sockets(Box<Sockets>),
    Stdio { door: Arc<ArcSwap<Door>> },
}

/// A listener for each transport that is configured, and that is one at least.
pub(super) struct Sockets {
    https: Option<Server>,
    unix: Option<Server<UnixAddress>>,
    /// The file of the unix socket, unless somebody else has made it.
    made: Option<Made>,
    probes: Option<Probes>,
    admin: Option<Admin>,
    /// The first of the fronts, for what is one and the same behind all.
    first: Arc<ArcSwap<Front>>,
}

impl Sockets {
    /// Binds what nobody has handed over, and begins to serve.
    ///
    /// # Errors
    /// [`Code::Io`] or [`Code::Config`] when there can be no listener.
    pub(super) async fn start(config: &Config, fronts: Fronts, listeners: Listeners) -> Result<Self, Failure> {
        let Listeners { main, probes, unix } = listeners;
        let fronts = [fronts.https, fronts.unix].map(|front| front.map(|front| Arc::new(ArcSwap::from_pointee(front))));
        let every: Vec<_> = fronts.iter().flatten().cloned().collect();
        let Some(first) = every.first().cloned() else {
            return Err(Failure::new(Code::Config, "this transport is not served"));
        };
        // All of them before the first serves: what cannot be bound leaves nothing running.
        let [https_front, unix_front] = fronts;
        let https = match https_front {
            Some(front) => Some((main.map_or_else(|| listen(config.tls.bind), Ok)?, front)),
            None => None,
        };
        let probes = match (probes, config.probes()) {
            (_, false) => None,
            (handed, true) => Some(handed.map_or_else(|| listen(config.metrics.bind), Ok)?),
        };
        let (unix, made) = match (unix_front, unix) {
            (None, _) => (None, None),
            (Some(front), Some(handed)) => (Some((handed, front)), None),
            (Some(front), None) => {
                let section = config.socket.clone();
                let (listener, made) = aside(move || socket::make(&section)).await?;
                (Some((listener, front)), Some(made))
            }
        };
        let admin = match config.operator.socket.clone() {
            Some(path) => Some(aside(move || Admin::make(&path)).await?),
            None => None,
        };
        if let Some((listener, _)) = &unix {
            let address = listener
                .local_addr()
                .map_err(|error| Failure::new(Code::Io, "the socket cannot be used").because(error))?;
            kept_in(config, &address)?;
        }
        let ready: Arc<dyn Readiness> = Arc::new(InForce(every));
        let probes = probes.map(|listener| Probes::start(listener, ready)).transpose()?;
        let in_force = Arc::clone(&first);
        let admin = admin.map(|made| Admin::start(made, Arc::new(move || Arc::clone(&in_force.load().door.gate))));
        let admin = admin.transpose()?;
        let https = https.map(|(listener, front)| Server::start(listener, front)).transpose()?;
        let unix = unix.map(|(listener, front)| Server::start_local(listener, front)).transpose()?;
        Ok(Self { https, unix, made, probes, admin, first })
    }

    /// Where callers reach it over https.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.https.as_ref().map(|server| server.address)
    }

    /// Where callers reach it on this machine.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        let bound = || self.unix.as_ref().and_then(|server| server.address.as_pathname().map(Path::to_owned));
        self.made.as_ref().map(|made| made.path().to_owned()).or_else(bound)
    }

    /// Where probes reach it.
    pub(super) fn probes(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(|probes| probes.address)
    }

    fn fronts(&self) -> impl Iterator<Item = &Arc<ArcSwap<Front>>> {
        let unix = self.unix.as_ref().map(Server::front);
        self.https.as_ref().map(Server::front).into_iter().chain(unix)
    }

    /// Whether a configuration may serve on the listeners there are.
    ///
    /// # Errors
    /// [`Code::Config`].
    pub(super) fn fits(&self, config: &Config) -> Result<(), Failure> {
        self.address().map_or(Ok(()), |address| closed_enough(config, address))?;
        self.unix.as_ref().map_or(Ok(()), |server| kept_in(config, &server.address))
    }

    /// From now on requests are judged by these.
    pub(super) fn adopt(&self, next: Fronts) {
        let unix = self.unix.as_ref().zip(next.unix);
        if let Some((server, front)) = self.https.as_ref().zip(next.https) {
            server.front().store(Arc::new(front));
        }
        if let Some((server, front)) = unix {
            server.front().store(Arc::new(front));
        }
    }

    pub(super) fn readiness(&self) -> Arc<dyn Readiness> {
        Arc::new(InForce(self.fronts().cloned().collect()))
    }

    pub(super) fn door(&self) -> Arc<Door> {
        Arc::clone(&self.first.load().door)
    }

    /// The front of https, whose files run out.
    pub(super) fn tls(&self) -> Option<Arc<Front>> {
        self.https.as_ref().map(|server| server.front().load_full())
    }

    /// Measures when the files in force run out.
    pub(super) fn tell_ends(&self) {
        if let Some(tls) = self.tls().as_ref().and_then(|front| front.tls.as_ref()) {
            let ends: Vec<_> = tls.endings().iter().map(|ending| (ending.key, ending.until)).collect();
            FilesLast { ends: &ends }.emit();
        }
    }

    /// Does what is due now and then.
    pub(super) async fn tend(&self) {
        if let Some(server) = &self.https {
            server.tend().await;
        }
        if let Some(server) = &self.unix {
            server.tend().await;
        }
    }

    /// Takes no more connections, and lets running requests end for at most `grace`.
    pub(super) async fn stop(self, grace: Duration) {
        // First of all, so that who comes now is told that nobody is there, and does not wait for one who leaves.
        drop(self.made);
        let https = async {
            if let Some(server) = self.https {
                server.stop(grace).await;
            }
        };
        let unix = async {
            if let Some(server) = self.unix {
                server.stop(grace).await;
            }
        };
        tokio::join!(https, unix);
        if let Some(probes) = self.probes {
            probes.stop();
        }
        if let Some(admin) = self.admin {
            admin.stop();
        }
    }
}

/// Whether a configuration may serve at the address that is listened on, which need not be the one that it names: that one
/// counts after a restart only.
fn closed_enough(config: &Config, address: SocketAddr) -> Result<(), Failure> {
    if config.tls.allowed_subjects.is_empty() && !address.ip().is_loopback() {
        let why = format!("tls.allowed_subjects: nobody is named, and {address} is listened on until a restart");
        return Err(Failure::new(Code::Config, "the door would be open to every certificate").because(why));
    }
    Ok(())
}

/// The same for the socket, whose mode somebody else may have chosen, and which keeps it until a restart.
fn kept_in(config: &Config, address: &UnixAddress) -> Result<(), Failure> {
    if socket::lets_in_everybody(address) && !config.socket.allow_others {
        let why = "the socket that is listened on can be written to by others: give it another mode (SocketMode= of a socket \
                   unit) and restart, or say socket.allow_others: true";
        return Err(Failure::new(Code::Config, "the door would be open to every user").because(why));
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .map_err(|error| Failure::new(Code::Io, format!("cannot listen on {address}")).because(error))
}
