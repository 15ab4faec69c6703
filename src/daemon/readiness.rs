//! Whether the daemon can do its work: keys to verify with, a journal to write to, and no order to stop.

use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use crate::audit::Trail;
use crate::authn::Jwks;
use crate::transport::Readiness;

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
