//! First use of tokens, in the memory of this process, beside the buckets of rates. When full it refuses: a live entry is never
//! forgotten. And no sender can fill it for the others: each has a share.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::buckets::Buckets;
use super::digest::Tail;
use super::{Sighting, Use};
use crate::clock::Timestamp;

/// Parts with a lock of their own, so that calls seldom meet.
const SHARDS: usize = 64;

/// How many ended entries one call clears away; more than the one it may add, so the register shrinks by itself.
const CLEARED_PER_CALL: usize = 4;

/// How many ended entries a call clears from each shard when there is no room.
const CLEARED_WHEN_FULL: usize = 64;

/// Half of a digest is enough to tell two apart: to be taken for another, one would have to be found among 2^128.
type Half = [u8; 16];

/// The register.
pub struct Memory {
    shards: Vec<Mutex<Shard>>,
    /// How many live tokens each sender has. Locked after a shard, never before one.
    senders: Vec<Mutex<HashMap<Half, usize>>>,
    used: AtomicUsize,
    capacity: usize,
    buckets: Buckets,
}

impl Memory {
    /// A register of at most `capacity` live tokens, about 100 bytes each; no sender has more than are free.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        let senders = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, senders, used: AtomicUsize::new(0), capacity, buckets: Buckets::default() }
    }

    /// What was used up of rates.
    pub(super) fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn first_use(&self, sighting: &Sighting, now: Timestamp) -> Use {
        match self.register(sighting, now) {
            Use::Full | Use::Share => {
                self.shards.iter().for_each(|shard| self.clear(&mut locked(shard), now, CLEARED_WHEN_FULL));
                self.register(sighting, now)
            }
            answer @ (Use::First | Use::Again | Use::Foreign | Use::Late) => answer,
        }
    }

    fn register(&self, sighting: &Sighting, now: Timestamp) -> Use {
        let Some(shard) = self.shards.get(usize::from(sighting.token[0]) % SHARDS) else { return Use::Full };
        let (token, sender) = (half(&sighting.token), half(&sighting.sender));
        let (ends, until) = (rounded_up(sighting.ends), rounded_up(sighting.until));
        let mut shard = locked(shard);
        self.clear(&mut shard, now, CLEARED_PER_CALL);
        if let Some(seen) = shard.seen.get(&token) {
            if !is_over(seen.until, now) {
                return if seen.sender == sender { Use::Again } else { Use::Foreign };
            }
            self.forget(&mut shard, &token);
        }
        if shard.forgotten.is_some_and(|forgotten| ends <= forgotten) {
            return Use::Late;
        }
        let room = |used: usize| if used < self.capacity { used.checked_add(1) } else { None };
        let Ok(used) = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) else {
            return Use::Full;
        };
        if !self.take_share(&sender, self.capacity.saturating_sub(used)) {
            self.used.fetch_sub(1, Ordering::Relaxed);
            return Use::Share;
        }
        shard.seen.insert(token, Seen { sender, ends, until });
        shard.untils.entry(until).or_default().push(token);
        Use::First
    }

    /// Forgets up to `limit` entries that have ended.
    fn clear(&self, shard: &mut Shard, now: Timestamp, limit: usize) {
        for _ in 0..limit {
            let Some(mut earliest) = shard.untils.first_entry() else { return };
            let until = *earliest.key();
            if !is_over(until, now) {
                return;
            }
            let token = earliest.get_mut().pop();
            if earliest.get().is_empty() {
                earliest.remove();
            }
            if let Some(token) = token
                && shard.seen.get(&token).is_some_and(|seen| seen.until == until)
            {
                self.forget(shard, &token);
            }
        }
    }

    fn forget(&self, shard: &mut Shard, token: &Half) {
        if let Some(seen) = shard.seen.remove(token) {
            shard.forgotten = shard.forgotten.max(Some(seen.ends));
            self.used.fetch_sub(1, Ordering::Relaxed);
            self.give_share(&seen.sender);
        }
    }

    /// One more token of this sender, if it may have one: while it has fewer than are free. So one who is alone may have
    /// half of the register, each of two a third, and there is always room for a newcomer.
    fn take_share(&self, sender: &Half, free: usize) -> bool {
        let Some(counts) = self.senders.get(usize::from(sender[0]) % SHARDS) else { return false };
        let mut counts = locked(counts);
        let count = counts.get(sender).copied().unwrap_or(0);
        let room = count < free;
        if room {
            counts.insert(*sender, count.saturating_add(1));
        }
        room
    }

    fn give_share(&self, sender: &Half) {
        let Some(counts) = self.senders.get(usize::from(sender[0]) % SHARDS) else { return };
        let mut counts = locked(counts);
        match counts.get_mut(sender) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(counts.remove(sender)),
        }
    }
}

#[derive(Default)]
struct Shard {
    seen: HashMap<Half, Seen, BuildHasherDefault<Tail>>,
    /// Which entries are kept until when. One that is over and came anew leaves its old line here, which then means nothing.
    untils: BTreeMap<u32, Vec<Half>>,
    /// The latest end of any entry that was forgotten: a token that ends no later may have been one of them. That matters
    /// when the clock was set back, or a larger skew is configured than when it was forgotten.
    forgotten: Option<u32>,
}

struct Seen {
    sender: Half,
    ends: u32,
    until: u32,
}

/// Whole seconds since the epoch, upwards: what is kept a moment longer is never accepted twice.
fn rounded_up(at: Timestamp) -> u32 {
    let seconds = at.millis().saturating_add(999).div_euclid(1000).max(0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

fn is_over(until: u32, now: Timestamp) -> bool {
    Timestamp::from_seconds(i64::from(until)) <= now
}

fn half(digest: &[u8; 32]) -> Half {
    let [half, _] = digest.as_chunks::<16>().0 else { return Half::default() };
    *half
}

/// Nothing panics while it holds the lock, so a poisoned one is in order.
fn locked<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "the model's numbers are small")]

    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn sighting(token: u16, sender: u8, ends: i64) -> Sighting {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&token.to_le_bytes());
        digest[14..16].copy_from_slice(&token.to_le_bytes());
        Sighting { token: digest, sender: [sender; 32], ends: at(ends), until: at(ends) }
    }

    #[test]
    fn a_token_is_first_used_once_and_then_belongs_to_its_sender() {
        let memory = Memory::new(10);
        assert_eq!(memory.first_use(&sighting(1, 1, 100), at(0)), Use::First);
        assert_eq!(memory.first_use(&sighting(1, 1, 100), at(99)), Use::Again);
        assert_eq!(memory.first_use(&sighting(1, 2, 100), at(99)), Use::Foreign);
        assert_eq!(memory.first_use(&sighting(1, 2, 300), at(100)), Use::First);
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn when_full_it_refuses_and_what_ends_makes_room() {
        let memory = Memory::new(3);
        for (token, sender) in [(0, 1), (1, 2), (2, 3)] {
            assert_eq!(memory.first_use(&sighting(token, sender, 100), at(0)), Use::First);
        }
        assert_eq!(memory.first_use(&sighting(3, 4, 200), at(99)), Use::Full);
        assert_eq!(memory.first_use(&sighting(0, 1, 100), at(99)), Use::Again);
        assert_eq!(memory.first_use(&sighting(3, 1, 200), at(100)), Use::First);
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn one_sender_cannot_fill_it_for_the_others() {
        let memory = Memory::new(10);
        let uses: Vec<Use> = (0..6).map(|token| memory.first_use(&sighting(token, 1, 100), at(0))).collect();
        assert_eq!(uses[..5], [Use::First; 5], "half of it while nobody else comes");
        assert_eq!(uses[5], Use::Share);
        assert_eq!(memory.len(), 5);
        for (token, sender) in [(10, 2), (11, 2), (12, 3)] {
            assert_eq!(memory.first_use(&sighting(token, sender, 100), at(0)), Use::First);
        }
        assert_eq!(memory.first_use(&sighting(0, 1, 100), at(99)), Use::Again);
        for token in 20..25 {
            assert_eq!(memory.first_use(&sighting(token, 1, 200), at(100)), Use::First, "what is over makes room");
        }
        assert_eq!(memory.first_use(&sighting(25, 1, 200), at(100)), Use::Share);
        assert!(memory.senders.iter().map(|counts| locked(counts).len()).sum::<usize>() <= memory.len());
    }

    #[test]
    fn what_may_have_been_forgotten_is_refused_when_the_clock_is_set_back() {
        let memory = Memory::new(10);
        assert_eq!(memory.first_use(&sighting(64, 1, 100), at(0)), Use::First);
        assert_eq!(memory.first_use(&sighting(128, 1, 1000), at(500)), Use::First);
        assert_eq!(memory.len(), 1, "the first one is forgotten");
        assert_eq!(memory.first_use(&sighting(64, 1, 100), at(10)), Use::Late);
        assert_eq!(memory.first_use(&sighting(192, 1, 300), at(10)), Use::First, "it cannot have been forgotten");
    }

    #[test]
    fn what_was_forgotten_stays_used_when_a_larger_skew_is_granted() {
        let memory = Memory::new(10);
        let used = |until| Sighting { until: at(until), ..sighting(64, 1, 100) };
        assert_eq!(memory.first_use(&used(130), at(0)), Use::First);
        assert_eq!(memory.first_use(&used(130), at(129)), Use::Again);
        assert_eq!(memory.first_use(&used(400), at(131)), Use::Late);
        assert_eq!(
            memory.first_use(&sighting(128, 1, 101), at(131)),
            Use::First,
            "one that ends later was never forgotten"
        );
    }

    #[test]
    fn threads_agree_on_who_was_first() {
        let memory = Memory::new(10_000);
        let firsts: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u8)
                .map(|sender| {
                    let memory = &memory;
                    let first =
                        move |token: &u16| memory.first_use(&sighting(*token, sender, 100), at(0)) == Use::First;
                    scope.spawn(move || (0..1000_u16).filter(first).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(firsts, 1000);
        assert_eq!(memory.len(), 1000);
    }

    proptest! {
        /// Against a model that never forgets anything: time passes, and now and then steps back.
        #[test]
        fn a_live_token_is_never_accepted_twice(
            steps in prop::collection::vec((0_u16..40, 0_u8..6, 1_i64..50, -5_i64..20), 1..300),
            capacity in 1_usize..30,
        ) {
            let memory = Memory::new(capacity);
            let mut accepted: HashMap<u16, (u8, i64)> = HashMap::new();
            let mut now = 0_i64;
            for (token, sender, life, passed) in steps {
                now += passed;
                // The same id always ends at the same time while it lives, as it is the same signed token.
                let ends = accepted.get(&token).filter(|(_, ends)| *ends > now).map_or(now + life, |(_, ends)| *ends);
                let known = accepted.get(&token).filter(|(_, ends)| *ends > now);
                let answer = memory.first_use(&sighting(token, sender, ends), at(now));
                match known {
                    Some((owner, _)) if *owner == sender => {
                        prop_assert!(matches!(answer, Use::Again | Use::Late), "{answer:?}");
                    }
                    Some(_) => prop_assert!(matches!(answer, Use::Foreign | Use::Late), "{answer:?}"),
                    None if answer == Use::First => {
                        accepted.insert(token, (sender, ends));
                    }
                    None => {}
                }
                prop_assert!(memory.len() <= capacity);
            }
            prop_assert_eq!(memory.first_use(&sighting(9999, 1, now + 1001), at(now + 1000)), Use::First);
        }
    }
}
