//! What a configuration takes from the daemon's memory. The memory changes only when the whole configuration is in order, so
//! one that is refused leaves no trace.

use std::sync::Arc;
use std::time::Duration;

use super::state::State;
use crate::admission::{BudgetsSection, Gate, ResourcesSection};
use crate::authn::{Jwks, JwtSection};
use crate::error::Failure;
use crate::net::{Options, Outbound};
use crate::pki::lists::Newest;
use crate::pki::store;
use crate::toolsets::system::Threads;
use crate::transport::tls::Material;

/// Between two looks at keys that are on their way.
const LOOK: Duration = Duration::from_millis(20);

/// Bytes that the certificate authorities of an issuer may have.
const AUTHORITIES_BYTES: usize = 1024 * 1024;

/// What stays over a reload for as long as its own part of the configuration stays.
#[derive(Clone, Default)]
pub(super) struct Held {
    pub(super) gate: Option<(ResourcesSection, BudgetsSection, Arc<Gate>)>,
    keys: Option<Fetched>,
    threads: Threads,
    /// The newest revocation lists that were ever in force.
    lists: Newest,
}

/// Published keys, and what they were fetched by.
#[derive(Clone)]
struct Fetched {
    section: JwtSection,
    ca_pem: Option<Vec<u8>>,
    jwks: Arc<Jwks>,
}

impl Held {
    /// The published keys.
    pub(super) fn jwks(&self) -> Option<Arc<Jwks>> {
        self.keys.as_ref().map(|keys| Arc::clone(&keys.jwks))
    }
}

/// The memory as it would be.
pub(super) struct Draft {
    pub(super) state: Arc<State>,
    held: Held,
}

impl Draft {
    /// Begins with the memory as it is.
    pub(super) fn of(state: &Arc<State>) -> Self {
        Self { state: Arc::clone(state), held: state.held() }
    }

    /// The gate in force; a new one only when its own sections have changed. It goes on with the same accounts, so that a
    /// reload forgives nothing.
    pub(super) fn gate(&mut self, resources: &ResourcesSection, budgets: &BudgetsSection) -> Arc<Gate> {
        match &self.held.gate {
            Some((known, known_budgets, gate)) if known == resources && known_budgets == budgets => Arc::clone(gate),
            _ => {
                let gate = Arc::new(Gate::over(resources, budgets, Arc::clone(self.state.accounts())));
                self.held.gate = Some((resources.clone(), budgets.clone(), Arc::clone(&gate)));
                gate
            }
        }
    }

    /// The threads of host queries; no section of the configuration has a word about them.
    pub(super) fn threads(&self) -> &Threads {
        &self.held.threads
    }

    /// The published keys. Those at hand stay, unless they come from somewhere else now or by the word of other
    /// authorities.
    pub(super) fn keys(&mut self, section: &JwtSection) -> Result<Option<Arc<Jwks>>, Failure> {
        if section.jwks_uri.is_none() {
            self.held.keys = None;
            return Ok(None);
        }
        let (section, ca_pem) = (section.fetching(), authorities(section)?);
        let known =
            self.held.keys.take().filter(|known| known.section.jwks_uri == section.jwks_uri && known.ca_pem == ca_pem);
        let jwks = match known {
            Some(known) if known.section == section => known.jwks,
            Some(known) => known.jwks.renewed(&section, outbound(&section, ca_pem.clone())?)?,
            None => {
                let clock = self.state.clock().clone();
                Jwks::start(&section, outbound(&section, ca_pem.clone())?, clock)?
            }
        };
        self.held.keys = Some(Fetched { section, ca_pem, jwks: Arc::clone(&jwks) });
        Ok(Some(jwks))
    }

    /// No token is verified, so no keys are fetched, nor waited for.
    pub(super) fn without_keys(&mut self) {
        self.held.keys = None;
    }

    /// Whether what is to prove channels brings no older revocation lists than those that were in force.
    pub(super) fn lists(&mut self, next: &Material) -> Result<(), Failure> {
        self.held.lists.follow(&next.lists)
    }

    /// Waits until keys that come from somewhere else are there, so that the change refuses nobody; but no longer than a
    /// fetch may take.
    pub(super) async fn settle(&self) {
        let Some(keys) = &self.held.keys else { return };
        let there = async {
            while keys.jwks.current().is_err() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(keys.section.jwks_timeout), there).await;
    }

    /// Makes it the memory.
    pub(super) fn adopt(self) {
        self.state.adopt(self.held);
    }
}

/// The certificate authorities for `jwks_uri`; none stands for the system's.
fn authorities(section: &JwtSection) -> Result<Option<Vec<u8>>, Failure> {
    let read = section.jwks_ca.as_deref().map(|path| store::read(path, AUTHORITIES_BYTES)).transpose()?;
    Ok(read.map(|bytes| bytes.to_vec()))
}

fn outbound(section: &JwtSection, ca_pem: Option<Vec<u8>>) -> Result<Outbound, Failure> {
    Outbound::new(Options { ca_pem, identity: None, connect_timeout: Duration::from_secs(section.jwks_timeout) })
}
