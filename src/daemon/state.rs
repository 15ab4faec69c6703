//! What outlives a reload: used tokens, used-up budgets, fetched keys, the audit journal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::readiness::Ready;
use crate::admission::{Gate, ResourcesSection};
use crate::audit::{Journal, Sink, Trail};
use crate::authn::{Jwks, JwtSection};
use crate::clock::Clock;
use crate::cluster::{Cluster, Memory};
use crate::config::Loaded;
use crate::error::{Code, Failure};
use crate::net::{Options, Outbound};
use crate::transport::Readiness;

/// The daemon's memory.
pub(super) struct State {
    clock: Clock,
    cluster: Arc<Cluster>,
    ready: Arc<Ready>,
    gate: Mutex<(ResourcesSection, Arc<Gate>)>,
    keys: Mutex<Option<(JwtSection, Arc<Jwks>)>>,
    generation: AtomicU64,
}

impl State {
    /// Opens the journal and starts with nothing used up.
    pub(super) fn new(loaded: &Loaded, clock: Clock) -> Result<Self, Failure> {
        let config = &loaded.config;
        let sink: Option<Arc<dyn Sink>> = match config.audits() {
            true => Some(Journal::open(&config.audit.path)?),
            false => None,
        };
        let trail = Trail::new(sink, clock.clone());
        let gate = Arc::new(Gate::new(&config.resources));
        let ready = Ready { trail, keys: ArcSwapOption::empty(), stopping: AtomicBool::new(false) };
        Ok(Self {
            clock,
            cluster: Arc::new(Cluster::Memory(Memory::new(config.auth.jwt.jti_cache_size))),
            ready: Arc::new(ready),
            gate: Mutex::new((config.resources.clone(), gate)),
            keys: Mutex::new(None),
            generation: AtomicU64::new(0),
        })
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.ready.trail
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(super) fn readiness(&self) -> Arc<dyn Readiness> {
        let ready: Arc<Ready> = Arc::clone(&self.ready);
        ready
    }

    /// A number that no load of the TLS files has had; the first is 1.
    pub(super) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The gate in force; a new one only when its own section has changed, so that a reload forgives nothing.
    pub(super) fn gate(&self, section: &ResourcesSection) -> Arc<Gate> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.0 != *section {
            *gate = (section.clone(), Arc::new(Gate::new(section)));
        }
        Arc::clone(&gate.1)
    }

    /// The published keys; the ones already fetched stay when their section has not changed.
    pub(super) fn keys(&self, section: &JwtSection) -> Result<Option<Arc<Jwks>>, Failure> {
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if section.jwks_uri.is_none() {
            *held = None;
        } else if held.as_ref().is_none_or(|(old, _)| old != section) {
            *held = Some((section.clone(), Jwks::start(section, outbound(section)?, self.clock.clone())?));
        }
        let keys = held.as_ref().map(|(_, keys)| Arc::clone(keys));
        self.ready.keys.store(keys.clone());
        Ok(keys)
    }

    /// From now on the daemon is not ready.
    pub(super) fn stopping(&self) {
        self.ready.stopping.store(true, Ordering::Relaxed);
    }
}

/// Fetches keys, trusting the configured authority or else the system's.
fn outbound(section: &JwtSection) -> Result<Outbound, Failure> {
    let ca_pem = match &section.jwks_ca {
        None => None,
        Some(path) => Some(
            std::fs::read(path)
                .map_err(|error| Failure::new(Code::Config, "auth.jwt.jwks_ca cannot be read").because(error))?,
        ),
    };
    Outbound::new(Options { ca_pem, identity: None, connect_timeout: Duration::from_secs(section.jwks_timeout) })
}
