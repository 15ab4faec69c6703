//! The composition root: one configuration becomes everything that serves, and the next one replaces it whole.

mod changes;
mod channel;
mod compose;
mod draft;
mod files;
mod readiness;
mod state;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::getuid;
use tokio::sync::Mutex;

use crate::audit::{Client, Event, Record};
use crate::clock::Clock;
use crate::config::{Config, Environment, Loaded, Watch};
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;
use crate::mcp;
use crate::pipeline::Door;
use crate::transport::{Front, Probes, Server, TransportKind};

use draft::Draft;
use files::Files;
use state::State;

pub use compose::tools;

/// How long running calls may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);
/// How often what is due now and then is done.
const TICK: Duration = Duration::from_secs(10);

/// Where the configuration comes from; asked again at every reload.
pub struct Source {
    /// The file; without one the defaults hold.
    pub path: Option<PathBuf>,
    /// The environment at the start of the process.
    pub environment: Environment,
}

/// A running daemon.
pub struct Daemon {
    source: Arc<Source>,
    state: Arc<State>,
    serving: Serving,
    watch: Mutex<Watch>,
    /// What is in force, as far as it can be changed without a restart.
    config: ArcSwap<Config>,
}

enum Serving {
    Https { front: Arc<ArcSwap<Front>>, server: Server, probes: Option<Probes> },
    Stdio { door: Arc<ArcSwap<Door>> },
}

impl Daemon {
    /// Builds everything and begins to serve. Listeners given here are used instead of the configured addresses.
    ///
    /// # Errors
    /// What keeps the daemon from serving; nothing is left running then.
    pub async fn start(source: Source, clock: Clock, listeners: Listeners) -> Result<Self, Failure> {
        let source = Arc::new(source);
        let loaded = files::load(&source, clock.now()).await.map_err(|unfit| unfit.failure)?;
        // Looked at before they are read: what changes in between is a change.
        let watch = Mutex::new(Watch::new(loaded.files().to_vec()).await);
        let state = Arc::new(State::new(&loaded, clock)?);
        let files = Files::read(loaded, state.next_generation(), state.clock().now()).await?;
        let loaded = &files.loaded;
        let mut draft = Draft::of(&state);
        let serving = match loaded.config.transport {
            TransportKind::Https => {
                let front = compose::front(&files, &mut draft)?;
                let main = listeners.main.map_or_else(|| listen(loaded.config.tls.bind), Ok)?;
                let probes = match (&listeners.probes, loaded.config.metrics.enabled) {
                    (_, false) => None,
                    (None, true) => Some(listen(loaded.config.metrics.bind)?),
                    (Some(_), true) => listeners.probes,
                };
                let probes = probes.map(|listener| Probes::start(listener, draft.readiness())).transpose()?;
                let front = Arc::new(ArcSwap::from_pointee(front));
                let server = Server::start(main, Arc::clone(&front))?;
                Serving::Https { front, server, probes }
            }
            TransportKind::Stdio => {
                let door = compose::door(&files, &mut draft)?;
                Serving::Stdio { door: Arc::new(ArcSwap::new(Arc::new(door))) }
            }
            TransportKind::Unix | TransportKind::Pipe | TransportKind::Http => {
                return Err(Failure::new(Code::Config, "this transport is not served"));
            }
        };
        draft.adopt();
        let config = ArcSwap::from_pointee(files.loaded.config);
        let daemon = Self { source, state, serving, watch, config };
        daemon.state.trail().note(daemon.event(Event::Start)).await?;
        Ok(daemon)
    }

    /// Where callers reach it.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.serving {
            Serving::Https { server, .. } => Some(server.address),
            Serving::Stdio { .. } => None,
        }
    }

    /// Where probes reach it.
    #[must_use]
    pub fn probes(&self) -> Option<SocketAddr> {
        match &self.serving {
            Serving::Https { probes, .. } => probes.as_ref().map(|probes| probes.address),
            Serving::Stdio { .. } => None,
        }
    }

    /// Reads the configuration and every file it names again. On any finding the old goes on. It does not return while
    /// somebody waits in [`Daemon::idle_until_changed`], which holds the list of files.
    ///
    /// # Errors
    /// What was found; it is recorded as well.
    pub async fn reload(&self) -> Result<(), Failure> {
        self.state.trail().reopen();
        let door = self.door();
        let result = match files::load(&self.source, self.state.clock().now()).await {
            Ok(loaded) => {
                // Also when it comes to nothing: what is wrong may be in a file that only the new configuration names.
                self.watch.lock().await.set(loaded.files().to_vec()).await;
                match self.replace(loaded).await {
                    Ok(config) => {
                        if !Arc::ptr_eq(&door.gate, &self.door().gate) {
                            door.settle(door.gate.settle_all()).await;
                        }
                        Ok(self.config.swap(Arc::new(config)))
                    }
                    Err(failure) => Err(failure),
                }
            }
            Err(unfit) => {
                if !unfit.files.is_empty() {
                    self.watch.lock().await.set(unfit.files).await;
                }
                Err(unfit.failure)
            }
        };
        let record = self.event(Event::ConfigReload);
        let record = match &result {
            Ok(before) => match changes::describe(before, &self.config.load()) {
                Some(changes) => record.succeeded().saying(&changes),
                None => record.succeeded(),
            },
            Err(failure) => {
                let detail = failure.cause().map_or_else(|| failure.to_string(), |cause| format!("{failure}: {cause}"));
                record.refused(failure.code(), Some(detail))
            }
        };
        self.state.trail().note(record).await?;
        result.map(|_| ())
    }

    async fn replace(&self, loaded: Loaded) -> Result<Config, Failure> {
        let files = Files::read(loaded, self.state.next_generation(), self.state.clock().now()).await?;
        let mut draft = Draft::of(&self.state);
        match (&self.serving, files.loaded.config.transport) {
            (Serving::Https { front, server, .. }, TransportKind::Https) => {
                closed_enough(&files.loaded.config, server.address)?;
                let next = compose::front(&files, &mut draft)?;
                draft.settle().await;
                draft.adopt();
                front.store(Arc::new(next));
            }
            (Serving::Stdio { door }, TransportKind::Stdio) => {
                let next = compose::door(&files, &mut draft)?;
                draft.adopt();
                door.store(Arc::new(next));
            }
            _ => return Err(Failure::new(Code::Config, "another transport takes effect only after a restart")),
        }
        Ok(files.loaded.config)
    }

    /// Serves standard input and output until the other end closes them. Over https it never ends.
    pub fn serve_stdio(&self) -> impl Future<Output = Result<(), Failure>> + use<> {
        let door = match &self.serving {
            Serving::Stdio { door } => Some(Arc::clone(door)),
            Serving::Https { .. } => None,
        };
        async move {
            let Some(door) = door else { return std::future::pending().await };
            let peer = PeerIdentity::Stdio { uid: getuid().as_raw() };
            let streams = (tokio::io::stdin(), tokio::io::stdout());
            mcp::serve_streams(streams, Arc::new(move || door.load_full()), peer).await
        }
    }

    /// Does what is due now and then, until one of the configuration's files changes.
    pub async fn idle_until_changed(&self) {
        let mut ticks = tokio::time::interval(TICK);
        let mut watch = self.watch.lock().await;
        loop {
            tokio::select! {
                _ = watch.changed() => return,
                _ = ticks.tick() => self.tend().await,
            }
        }
    }

    /// Waits until the daemon can do its work, for at most `limit`.
    ///
    /// # Errors
    /// [`Code::Upstream`] with what is still missing.
    pub async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        let readiness = self.state.held().channel().readiness(&self.state);
        let waiting = async {
            while !readiness.missing().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, waiting).await.map_err(|_| {
            Failure::new(Code::Upstream, "the daemon is not ready").because(readiness.missing().join(", "))
        })
    }

    /// Takes no more calls, lets running ones end, and closes the audit log.
    pub async fn stop(self) {
        self.state.stopping();
        let door = self.door();
        if let Serving::Https { server, probes, .. } = self.serving {
            server.stop(GRACE).await;
            if let Some(probes) = probes {
                probes.stop();
            }
        }
        door.settle(door.gate.settle_all()).await;
        let record = Record::new(Event::Stop, self.state.clock().now(), Client::default());
        if let Err(failure) = self.state.trail().note(record).await {
            tracing::error!(reason = %failure.code(), cause = failure.cause(), "the stop could not be recorded");
        }
        self.state.trail().flush().await;
    }

    async fn tend(&self) {
        self.state.held().channel().tend(self.state.clock().now());
        let door = self.door();
        door.gate.sweep();
        door.settle(door.gate.settle(self.state.clock())).await;
        if let Serving::Https { server, .. } = &self.serving {
            server.tend().await;
        }
    }

    fn door(&self) -> Arc<Door> {
        match &self.serving {
            Serving::Https { front, .. } => Arc::clone(&front.load().door),
            Serving::Stdio { door } => door.load_full(),
        }
    }

    fn event(&self, event: Event) -> Record {
        Record::new(event, self.state.clock().now(), Client::default())
    }
}

/// Sockets that somebody else has bound.
#[derive(Default)]
pub struct Listeners {
    /// For callers.
    pub main: Option<TcpListener>,
    /// For probes.
    pub probes: Option<TcpListener>,
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

fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address)
        .map_err(|error| Failure::new(Code::Io, format!("cannot listen on {address}")).because(error))
}
