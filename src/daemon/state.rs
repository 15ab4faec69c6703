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
    keys: Mutex<Option<(Issuer, Arc<Jwks>)>>,
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

    /// The published keys; the ones already fetched stay while they come from the same place in the same way.
    pub(super) fn keys(&self, section: &JwtSection) -> Result<Option<Arc<Jwks>>, Failure> {
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if section.jwks_uri.is_none() {
            *held = None;
        } else {
            let issuer = Issuer::of(section)?;
            if held.as_ref().is_none_or(|(old, _)| *old != issuer) {
                let outbound = Outbound::new(Options {
                    ca_pem: issuer.ca_pem.clone(),
                    identity: None,
                    connect_timeout: Duration::from_secs(section.jwks_timeout),
                })?;
                *held = Some((issuer, Jwks::start(section, outbound, self.clock.clone())?));
            }
        }
        let keys = held.as_ref().map(|(_, keys)| Arc::clone(keys));
        self.ready.keys.store(keys.clone());
        Ok(keys)
    }

    /// What is due now and then.
    pub(super) async fn tend(&self) {
        let gate = Arc::clone(&self.gate.lock().unwrap_or_else(PoisonError::into_inner).1);
        gate.sweep();
    }

    /// From now on the daemon is not ready.
    pub(super) fn stopping(&self) {
        self.ready.stopping.store(true, Ordering::Relaxed);
    }
}

/// Whom keys are fetched from, and how. What the configuration says about tokens is left out, so that another word there
/// does not throw good keys away; the authority's file is read, so that another authority in it is another issuer.
#[derive(PartialEq, Eq)]
struct Issuer {
    fetching: JwtSection,
    ca_pem: Option<Vec<u8>>,
}

impl Issuer {
    fn of(section: &JwtSection) -> Result<Self, Failure> {
        let ca_pem = section.jwks_ca.as_ref().map(std::fs::read).transpose();
        let ca_pem =
            ca_pem.map_err(|error| Failure::new(Code::Config, "auth.jwt.jwks_ca cannot be read").because(error))?;
        let fetching = JwtSection {
            jwks_uri: section.jwks_uri.clone(),
            jwks_ca: section.jwks_ca.clone(),
            jwks_refresh_interval: section.jwks_refresh_interval,
            jwks_min_refresh: section.jwks_min_refresh,
            jwks_max_stale: section.jwks_max_stale,
            jwks_timeout: section.jwks_timeout,
            jwks_max_bytes: section.jwks_max_bytes,
            ..JwtSection::default()
        };
        Ok(Self { fetching, ca_pem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn only_a_word_about_fetching_or_another_authority_makes_another_issuer() {
        let home = tempfile::tempdir().unwrap();
        let ca = home.path().join("ca.crt");
        std::fs::write(&ca, "one").unwrap();
        let section = |max_ttl, max_stale, ca: &PathBuf| JwtSection {
            jwks_uri: Some("https://issuer.example/jwks.json".to_owned()),
            jwks_ca: Some(ca.clone()),
            max_ttl,
            jwks_max_stale: max_stale,
            ..JwtSection::default()
        };
        let first = Issuer::of(&section(300, 1, &ca)).unwrap();
        assert!(first == Issuer::of(&section(60, 1, &ca)).unwrap());
        assert!(first != Issuer::of(&section(300, 2, &ca)).unwrap());
        std::fs::write(&ca, "two").unwrap();
        assert!(first != Issuer::of(&section(300, 1, &ca)).unwrap());
        assert!(Issuer::of(&section(300, 1, &home.path().join("absent"))).is_err());
    }
}
