//! Refusals of one caller within a window become one record with a count, or a flood would fill the audit log. No refusal is
//! lost by that: every one is counted in exactly one record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::authn::Caller;

/// Refusals of one caller within this time are one audit record.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Callers whose refusals are counted apart; past this number every refusal has its own record.
const MOST: usize = 10_000;

/// Refusals that were counted and that no record stands for yet.
#[derive(Debug)]
pub struct Leftover {
    /// Who was refused.
    pub caller: Arc<Caller>,
    /// How often.
    pub refusals: u64,
}

/// Counts refusals by caller.
#[derive(Default)]
pub(super) struct Fold(Mutex<HashMap<String, Folded>>);

struct Folded {
    caller: Arc<Caller>,
    since: Instant,
    count: u64,
}

impl Fold {
    /// Counts a refusal; how many a record that is written now stands for, or `None` when none is due.
    pub(super) fn count(&self, key: String, caller: &Arc<Caller>, now: Instant) -> Option<u64> {
        let mut folded = self.lock();
        if let Some(entry) = folded.get_mut(&key) {
            let count = entry.count.saturating_add(1);
            if is_over(entry.since, now) {
                entry.since = now;
                entry.count = 0;
                return Some(count);
            }
            entry.count = count;
            return None;
        }
        if folded.len() < MOST {
            folded.insert(key, Folded { caller: Arc::clone(caller), since: now, count: 0 });
        }
        Some(1)
    }

    /// What is left of the windows that are over, or of all.
    pub(super) fn settle(&self, now: Option<Instant>) -> Vec<Leftover> {
        let mut left = Vec::new();
        self.lock().retain(|_, entry| {
            let over = now.is_none_or(|now| is_over(entry.since, now));
            if over && entry.count > 0 {
                left.push(Leftover { caller: Arc::clone(&entry.caller), refusals: entry.count });
            }
            !over
        });
        left
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Folded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= WINDOW
}
