//! Before anything runs: a place among the running calls and a share of the rate, given back when the place is dropped.

mod rate;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::authn::Caller;
use crate::clock::Clock;
use crate::error::{Code, Failure};

use rate::Rates;
pub use settings::{RateLimitSection, ResourcesSection};

/// Refusals of one caller within this time are one audit record.
const WINDOW: Duration = Duration::from_secs(10);
/// Callers whose refusals are counted apart; past this number every refusal has its own record.
const MOST_FOLDED: usize = 10_000;

/// Lets calls in.
pub struct Gate {
    places: Arc<Semaphore>,
    most: usize,
    rates: Option<Rates>,
    folded: Mutex<HashMap<String, Folded>>,
}

struct Folded {
    since: Instant,
    count: u64,
}

/// A place among the running calls. Dropping it gives it back.
#[derive(Debug)]
pub struct Admission {
    _place: OwnedSemaphorePermit,
}

impl Gate {
    /// As configured.
    #[must_use]
    pub fn new(section: &ResourcesSection) -> Self {
        let most = section.max_concurrent_queries.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            rates: section.rate_limit.as_ref().map(Rates::new),
            folded: Mutex::default(),
        }
    }

    /// Takes a place and a share of the caller's rate.
    ///
    /// # Errors
    /// [`Code::TooManyCalls`] or [`Code::RateLimited`], with the time to wait in the message.
    pub fn admit(&self, caller: &Caller) -> Result<Admission, Failure> {
        if let Some(rates) = &self.rates {
            rates.check(&key(caller))?;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Failure::new(Code::TooManyCalls, format!("{} calls are running, which is the limit; try again", self.most))
        })?;
        Ok(Admission { _place: place })
    }

    /// Whether a refusal of this caller is to be recorded now, and how many it stands for.
    pub fn due(&self, caller: &Caller, clock: &Clock) -> Option<u64> {
        let now = clock.instant();
        let mut folded = self.folded.lock().unwrap_or_else(PoisonError::into_inner);
        if folded.len() >= MOST_FOLDED {
            folded.retain(|_, entry| now.saturating_duration_since(entry.since) < WINDOW);
        }
        match folded.get_mut(&key(caller)) {
            Some(entry) if now.saturating_duration_since(entry.since) < WINDOW => {
                entry.count = entry.count.saturating_add(1);
                None
            }
            Some(entry) => {
                let count = entry.count.saturating_add(1);
                *entry = Folded { since: now, count: 0 };
                Some(count)
            }
            None => {
                if folded.len() < MOST_FOLDED {
                    folded.insert(key(caller), Folded { since: now, count: 0 });
                }
                Some(1)
            }
        }
    }

    /// Forgets callers whose share is whole again; called now and then.
    pub fn sweep(&self) {
        if let Some(rates) = &self.rates {
            rates.sweep();
        }
    }
}

/// The same user through the same agent over the same channel.
fn key(caller: &Caller) -> String {
    let channel =
        caller.peer().thumbprint().map_or_else(|| caller.peer().subject(), |thumbprint| thumbprint.to_string());
    format!("{channel} {}", caller.principal())
}
