//! What proves channels now, watched while it serves: its files run out, and that is told before it happens and when it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;

use super::state::State;
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{FileEnds, FilesEnd};
use crate::transport::Readiness;
use crate::transport::tls::Material;

/// Seconds between two warnings about the same files.
const DAY: i64 = 86_400;

/// A place for what is in force, shared by all who hold it.
#[derive(Clone, Default)]
pub(super) struct Channel(Arc<Shared>);

struct Shared {
    material: ArcSwapOption<Material>,
    /// When it was last warned, in seconds since 1970.
    warned: AtomicI64,
}

impl Default for Shared {
    fn default() -> Self {
        Self { material: ArcSwapOption::empty(), warned: AtomicI64::new(i64::MIN) }
    }
}

impl Channel {
    /// Puts what is in force from now on in the place of what was.
    pub(super) fn replace(&self, material: Option<Arc<Material>>) {
        let lives = material.iter().flat_map(|material| &material.lives);
        FilesEnd(&lives.map(|life| (life.key, life.until)).collect::<Vec<_>>()).emit();
        self.0.material.store(material);
        // New files are looked at anew.
        self.0.warned.store(i64::MIN, Ordering::Relaxed);
    }

    /// Warns of files that end soon or have ended; once a day, however often it is asked.
    pub(super) fn tend(&self, now: Timestamp) {
        let last = self.0.warned.load(Ordering::Relaxed);
        if last != i64::MIN && now.seconds().saturating_sub(last) < DAY {
            return;
        }
        let material = self.0.material.load();
        for life in material.iter().flat_map(|material| &material.lives).filter(|life| life.ends_soon(now)) {
            FileEnds { key: life.key, at: life.until, ended: life.until <= now }.emit();
            self.0.warned.store(now.seconds(), Ordering::Relaxed);
        }
    }

    /// What is missing, on top of what the daemon's memory knows.
    pub(super) fn readiness(&self, state: &State) -> Arc<dyn Readiness> {
        Arc::new(Whole { memory: state.readiness(), channel: self.clone(), clock: state.clock().clone() })
    }
}

struct Whole {
    memory: Arc<dyn Readiness>,
    channel: Channel,
    clock: Clock,
}

impl Readiness for Whole {
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = self.memory.missing();
        if self.channel.0.material.load().as_ref().is_some_and(|material| material.outdated(self.clock.now())) {
            missing.push("the revocation list is out of date");
        }
        missing
    }
}
