//! Whether the daemon can do its work: keys to verify with, a journal to write to, revocation lists
//! that hold, and no order to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::audit::Trail;
use crate::authn::Jwks;
use crate::clock::Clock;
use crate::transport::tls::Material;
use crate::transport::{Front, Readiness};

/// What readiness depends on.
pub(super) struct Ready {
    pub(super) trail: Trail,
    pub(super) keys: ArcSwapOption<Jwks>,
    pub(super) stopping: AtomicBool,
}

impl Readiness for Ready {
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            missing.push("the daemon is stopping");
        }
        if self.keys.load().as_ref().is_some_and(|keys| !keys.ready()) {
            missing.push("token keys are not loaded");
        }
        if !self.trail.healthy() {
            missing.push("the audit journal cannot be written");
        }
        missing
    }
}

/// The same behind one front, which has files of its own.
pub(super) struct OfFront {
    pub(super) daemon: Arc<dyn Readiness>,
    pub(super) tls: Arc<Material>,
    pub(super) clock: Clock,
}

impl Readiness for OfFront {
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = self.daemon.missing();
        if self.tls.outdated(self.clock.now()) {
            missing.push("the revocation list is out of date");
        }
        missing
    }
}

/// Whatever fronts are in force; ready when each of them is.
pub(super) struct InForce(pub(super) Vec<Arc<ArcSwap<Front>>>);

impl Readiness for InForce {
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        for front in &self.0 {
            let new = front.load().readiness.missing().into_iter().filter(|what| !missing.contains(what));
            missing.extend(new.collect::<Vec<_>>());
        }
        missing
    }
}
