//! What outlives a reload: used tokens, used-up budgets, fetched keys, the audit journal.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use super::draft::Held;
use super::readiness::Ready;
use crate::admission::Accounts;
use crate::audit::{Journal, Sink, Trail};
use crate::clock::Clock;
use crate::cluster::{Cluster, Memory};
use crate::config::Loaded;
use crate::error::Failure;
use crate::transport::Readiness;

/// The daemon's memory.
pub(super) struct State {
    clock: Clock,
    cluster: Arc<Cluster>,
    accounts: Arc<Accounts>,
    ready: Arc<Ready>,
    held: Mutex<Held>,
    generation: AtomicU64,
}

impl State {
    /// Opens the journal and starts with nothing used up.
    pub(super) fn new(loaded: &Loaded, clock: Clock) -> Result<Self, Failure> {
        let config = &loaded.config;
        let sink: Option<Arc<dyn Sink>> = match config.audits() {
            true => Some(Journal::open(&config.audit, clock.clone())?),
            false => None,
        };
        let trail = Trail::new(sink, clock.clone());
        let ready = Ready { trail, keys: ArcSwapOption::empty(), stopping: AtomicBool::new(false) };
        let cluster = Arc::new(Cluster::Memory(Memory::new(config.auth.jwt.jti_cache_size)));
        Ok(Self {
            accounts: Arc::new(Accounts::new(Arc::clone(&cluster), clock.clone())),
            clock,
            cluster,
            ready: Arc::new(ready),
            held: Mutex::default(),
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

    pub(super) fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    pub(super) fn readiness(&self) -> Arc<dyn Readiness> {
        let ready: Arc<Ready> = Arc::clone(&self.ready);
        ready
    }

    /// A number that no load of the TLS files has had; the first is 1.
    pub(super) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// What stays over a reload.
    pub(super) fn held(&self) -> Held {
        self.lock().clone()
    }

    /// Takes over what a configuration that is in order has made of it.
    pub(super) fn adopt(&self, held: Held) {
        self.ready.keys.store(held.jwks());
        *self.lock() = held;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the daemon is not ready.
    pub(super) fn stopping(&self) {
        self.ready.stopping.store(true, Ordering::Relaxed);
    }
}
