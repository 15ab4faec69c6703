//! The composition root: one configuration becomes everything that serves, and the next one replaces it whole.

mod aside;
mod changes;
mod compose;
mod draft;
mod expiry;
mod readiness;
pub mod sandbox;
mod serving;
mod state;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::process::getuid;
use tokio::sync::Mutex;

use crate::audit::syslog::Forwarder;
use crate::audit::{Client, Event, Record};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, Environment, Loaded, Refused, Watch};
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;
use crate::pipeline::Door;
use crate::telemetry::ToolOffered;
use crate::transport::{Readiness, TransportKind, Transports, stdio};

use aside::{aside, composed};
use draft::Draft;
use expiry::Expiry;
use serving::{Serving, Sockets};
use state::State;

pub use compose::tools;
pub use serving::Listeners;

/// How long running calls may take to end when the daemon stops.
const GRACE: Duration = Duration::from_secs(10);
/// How long the last records may take to reach the syslog collector when the daemon stops.
const FORWARDING: Duration = Duration::from_secs(2);
/// What the records of start and stop say.
const VERSION: &str = concat!("doorward ", env!("CARGO_PKG_VERSION"));
/// How often what is due now and then is done.
const TICK: Duration = Duration::from_secs(10);

/// Where the configuration comes from; asked again at every reload.
pub struct Source {
    /// The file; without one the defaults hold.
    pub path: Option<PathBuf>,
    /// The environment at the start of the process.
    pub environment: Environment,
}

impl Source {
    /// Loads and checks.
    ///
    /// # Errors
    /// [`Code::Config`] with every finding in the cause.
    pub fn load(&self, now: Timestamp) -> Result<Loaded, Failure> {
        Ok(self.read(now)?)
    }

    fn read(&self, now: Timestamp) -> Result<Loaded, Refused> {
        let names = tools();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match &self.path {
            Some(path) => config::load(path, &self.environment, &names, now),
            None => config::defaults(&self.environment, &names, now),
        }
    }
}

/// A running daemon.
pub struct Daemon {
    source: Arc<Source>,
    state: Arc<State>,
    serving: Serving,
    watch: Mutex<Watch>,
    forwarder: Option<Forwarder>,
    /// What is in force, as far as it can be changed without a restart.
    config: Arc<ArcSwap<Config>>,
    /// What was in force first.
    started: Arc<Config>,
    expiry: Expiry,
}

impl Daemon {
    /// Builds everything and begins to serve. Listeners given here are used instead of the configured addresses.
    ///
    /// # Errors
    /// What keeps the daemon from serving; nothing is left running then.
    pub async fn start(source: Source, clock: Clock, listeners: Listeners) -> Result<Self, Failure> {
        let (source, now) = (Arc::new(source), clock.now());
        let reader = Arc::clone(&source);
        let loaded = aside(move || reader.load(now)).await?;
        // Looked at before they are read: what changes in between is a change.
        let watch = Mutex::new(Watch::new(loaded.files().to_vec()).await);
        let state = Arc::new(State::new(&loaded, clock)?);
        let draft = Draft::of(&state);
        listeners.fit(&loaded.config)?;
        let (loaded, draft, serving) = match loaded.config.transport.uses(TransportKind::Stdio) {
            false => {
                let (loaded, draft, fronts) = composed(loaded, draft, compose::fronts).await?;
                let sockets = Sockets::start(&loaded.config, fronts, listeners).await?;
                (loaded, draft, Serving::Sockets(Box::new(sockets)))
            }
            true => {
                let (loaded, draft, door) = composed(loaded, draft, compose::door).await?;
                (loaded, draft, Serving::Stdio { door: Arc::new(ArcSwap::from_pointee(door)) })
            }
        };
        draft.adopt();
        state.trail().alert_at(&loaded.config.audit.alerts);
        let audit = &loaded.config.audit;
        let forwarder = (loaded.config.audits() && audit.syslog.enabled)
            .then(|| Forwarder::start(&audit.syslog, &audit.path, state.clock().clone()))
            .transpose()?;
        let started = Arc::new(loaded.config);
        let config = Arc::new(ArcSwap::new(Arc::clone(&started)));
        let daemon = Self { source, state, serving, watch, forwarder, config, started, expiry: Expiry::default() };
        daemon.tell_ends();
        tools().iter().for_each(|tool| ToolOffered { tool }.emit());
        let walls = crate::sandbox::entered().map(|sandbox| format!("; sandbox: {sandbox}")).unwrap_or_default();
        daemon.state.trail().note(daemon.event(Event::Start).saying(&format!("{VERSION}{walls}"))).await?;
        Ok(daemon)
    }

    /// Where callers reach it over https.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.sockets().and_then(Sockets::address)
    }

    /// Where callers of this machine reach it.
    #[must_use]
    pub fn socket(&self) -> Option<PathBuf> {
        self.sockets().and_then(Sockets::socket)
    }

    /// Whether it keeps an audit log.
    #[must_use]
    pub fn audits(&self) -> bool {
        self.started.audits()
    }

    /// Where probes reach it.
    #[must_use]
    pub fn probes(&self) -> Option<SocketAddr> {
        self.sockets().and_then(Sockets::probes)
    }

    fn sockets(&self) -> Option<&Sockets> {
        match &self.serving {
            Serving::Sockets(sockets) => Some(sockets),
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
        let result = match self.replace().await {
            Ok(config) => {
                self.state.trail().alert_at(&config.audit.alerts);
                self.tell_ends();
                self.state.trail().alert_at(&config.audit.alerts);
                let waiting = changes::waiting(&self.started, &config);
                if !waiting.is_empty() {
                    tracing::warn!(keys = waiting.join(", "), "these take effect only after a restart");
                }
                Ok(self.config.swap(Arc::new(config)))
            }
            Err(failure) => Err(failure),
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
        // What is in force is in force, whether or not that can be recorded.
        if let Err(failure) = self.state.trail().note(record).await {
            tracing::error!(reason = %failure.code(), cause = failure.cause(), "the reload could not be recorded");
        }
        result.map(|_| ())
    }

    async fn replace(&self) -> Result<Config, Failure> {
        let (source, now) = (Arc::clone(&self.source), self.state.clock().now());
        let loaded = match aside(move || Ok(source.read(now))).await? {
            Ok(loaded) => loaded,
            Err(refused) => {
                // What is wrong may be in a file that only this configuration names; those in force are still watched.
                if let Refused::Found(report) = &refused {
                    let files = report.files().iter().cloned().chain(self.config.load().files());
                    self.watch.lock().await.add(files.collect()).await;
                }
                return Err(refused.into());
            }
        };
        sandbox::suffices(&loaded)?;
        self.watch.lock().await.set(loaded.files().to_vec()).await;
        let draft = Draft::of(&self.state);
        if !same_kinds(&self.config.load().transport, &loaded.config.transport) {
            return Err(Failure::new(Code::Config, "another transport takes effect only after a restart"));
        }
        let loaded = match &self.serving {
            Serving::Sockets(sockets) => {
                sockets.fits(&loaded.config)?;
                let (loaded, draft, next) = composed(loaded, draft, compose::fronts).await?;
                draft.settle().await;
                draft.adopt();
                sockets.adopt(next);
                loaded
            }
            Serving::Stdio { door } => {
                let (loaded, draft, next) = composed(loaded, draft, compose::door).await?;
                draft.adopt();
                door.store(Arc::new(next));
                loaded
            }
        };
        Ok(loaded.config)
    }

    /// Serves standard input and output until the other end closes them. Over sockets it never ends.
    pub fn serve_stdio(&self) -> impl Future<Output = Result<(), Failure>> + use<> {
        let door = match &self.serving {
            Serving::Stdio { door } => Some(Arc::clone(door)),
            Serving::Sockets(_) => None,
        };
        let config = Arc::clone(&self.config);
        async move {
            let Some(door) = door else { return std::future::pending().await };
            let local = stdio::Local {
                door: Arc::new(move || door.load_full()),
                longest: Arc::new(move || config.load().http.max_body_bytes),
                peer: PeerIdentity::Stdio { uid: getuid().as_raw() },
            };
            stdio::serve((tokio::io::stdin(), tokio::io::stdout()), local).await
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
        let readiness = self.readiness();
        let waiting = async {
            while !readiness.missing().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(limit, waiting).await.map_err(|_| {
            Failure::new(Code::Upstream, "the daemon is not ready").because(readiness.missing().join(", "))
        })
    }

    fn readiness(&self) -> Arc<dyn Readiness> {
        match &self.serving {
            Serving::Sockets(sockets) => sockets.readiness(),
            Serving::Stdio { .. } => self.state.readiness(),
        }
    }

    /// Takes no more calls, lets running ones end, and closes the audit log.
    pub async fn stop(self) {
        self.state.stopping();
        let door = self.door();
        if let Serving::Sockets(sockets) = self.serving {
            sockets.stop(GRACE).await;
        }
        door.settle(door.gate.settle_all()).await;
        let record = Record::new(Event::Stop, self.state.clock().now(), Client::default());
        let record = record.under(&door.recording.basis).saying(VERSION);
        if let Err(failure) = self.state.trail().note(record).await {
            tracing::error!(reason = %failure.code(), cause = failure.cause(), "the stop could not be recorded");
        }
        self.state.trail().close().await;
        // Last of all, so that the record of the stop leaves too.
        if let Some(forwarder) = self.forwarder {
            forwarder.stop(FORWARDING).await;
        }
    }

    async fn tend(&self) {
        for path in crate::sandbox::entered().iter().flat_map(|sandbox| sandbox.replaced()) {
            tracing::warn!(path = %path.display(), "this file was replaced, and the sandbox opens only the old one; restart");
        }
        let door = self.door();
        door.gate.sweep();
        door.settle(door.gate.settle(self.state.clock())).await;
        if let Some(sockets) = self.sockets() {
            if let Some(tls) = sockets.tls().as_ref().and_then(|front| front.tls.as_ref()) {
                self.expiry.warn(tls.endings(), self.state.clock().now());
            }
            sockets.tend().await;
        }
    }

    /// Measures when the files in force run out.
    fn tell_ends(&self) {
        if let Some(sockets) = self.sockets() {
            sockets.tell_ends();
        }
    }

    fn door(&self) -> Arc<Door> {
        match &self.serving {
            Serving::Sockets(sockets) => sockets.door(),
            Serving::Stdio { door } => door.load_full(),
        }
    }

    fn event(&self, event: Event) -> Record {
        Record::new(event, self.state.clock().now(), Client::default()).under(&self.door().recording.basis)
    }
}

/// Whether two configurations name the same transports, in whatever order.
fn same_kinds(one: &Transports, other: &Transports) -> bool {
    one.all().iter().all(|kind| other.uses(*kind)) && other.all().iter().all(|kind| one.uses(*kind))
}
