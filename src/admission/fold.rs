//! Refusals of one caller within a window become one record with a count, or a flood would fill the audit log. No refusal is
//! lost by that: every one is counted in exactly one record. Of one channel so many callers are told apart, and of all
//! channels so many; beyond that they are counted together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::keys::Who;
use crate::authn::Caller;
use crate::error::{Code, Failure};

/// Refusals of one caller within this time are one audit record.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Callers of one channel whose refusals are counted apart in a window.
const MOST_OF_CHANNEL: usize = 64;
/// Callers and channels whose refusals are counted apart.
const MOST: usize = 4096;

/// Refusals that were counted and that no record stands for yet.
#[derive(Debug)]
pub struct Leftover {
    /// Who was refused; one of them, if they are several.
    pub caller: Arc<Caller>,
    /// Who they were.
    pub among: Among,
    /// How often.
    pub refusals: u64,
    /// Why, the last time.
    pub code: Code,
    /// The same in words.
    pub detail: String,
}

/// Whom a count is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Among {
    /// One caller.
    Caller,
    /// Several over one channel.
    Channel,
    /// Whoever it was.
    All,
}

/// Counts refusals by caller.
#[derive(Default)]
pub(super) struct Fold(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    folded: HashMap<(Among, u128), Folded>,
    /// How many callers of each channel are among them.
    channels: HashMap<u128, usize>,
}

struct Folded {
    caller: Arc<Caller>,
    channel: u128,
    since: Instant,
    count: u64,
    code: Code,
    detail: String,
}

impl Fold {
    /// Counts a refusal; how many a record that is written now stands for, or `None` when none is due.
    pub(super) fn count(&self, who: &Who, caller: &Arc<Caller>, failure: &Failure, now: Instant) -> Option<u64> {
        let mut counts = self.lock();
        let key = counts.key(who);
        let entry = counts.folded.entry(key);
        let known = matches!(entry, std::collections::hash_map::Entry::Occupied(_));
        let folded = entry.or_insert_with(|| Folded {
            caller: Arc::clone(caller),
            channel: who.holder,
            since: now,
            count: 0,
            code: failure.code(),
            detail: String::new(),
        });
        (folded.code, folded.count) = (failure.code(), folded.count.saturating_add(1));
        // The first of a caller has its record at once; those who are counted together have one when the window is over.
        let due = key.0 == Among::Caller && (!known || is_over(folded.since, now));
        if due {
            folded.since = now;
            return Some(std::mem::take(&mut folded.count));
        }
        folded.detail.clear();
        folded.detail.push_str(failure.public());
        None
    }

    /// What is left of the windows that are over, or of all.
    pub(super) fn settle(&self, now: Option<Instant>) -> Vec<Leftover> {
        let mut left = Vec::new();
        let mut counts = self.lock();
        let Counts { folded, channels } = &mut *counts;
        folded.retain(|(among, _), entry| {
            let over = now.is_none_or(|now| is_over(entry.since, now));
            if !over {
                return true;
            }
            if entry.count > 0 {
                let (refusals, code, detail) = (entry.count, entry.code, std::mem::take(&mut entry.detail));
                left.push(Leftover { caller: Arc::clone(&entry.caller), among: *among, refusals, code, detail });
            }
            if *among == Among::Caller {
                match channels.get_mut(&entry.channel) {
                    Some(callers) if *callers > 1 => *callers = callers.saturating_sub(1),
                    _ => drop(channels.remove(&entry.channel)),
                }
            }
            false
        });
        left
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Where a refusal of this caller is counted.
    fn key(&mut self, who: &Who) -> (Among, u128) {
        let own = (Among::Caller, who.caller);
        if self.folded.contains_key(&own) {
            return own;
        }
        let callers = self.channels.get(&who.holder).copied().unwrap_or(0);
        if callers < MOST_OF_CHANNEL && self.folded.len() < MOST {
            self.channels.insert(who.holder, callers.saturating_add(1));
            return own;
        }
        let channel = (Among::Channel, who.holder);
        let room = self.folded.contains_key(&channel) || self.folded.len() < MOST.saturating_mul(2);
        if room { channel } else { (Among::All, 0) }
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= WINDOW
}
