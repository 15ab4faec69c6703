//! A table that cannot be grown: an entry that has faded makes room, a live one is never forgotten, and no owner has more
//! entries than are free, so there is room for a newcomer.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::digest::Tail;

/// Parts with a lock of their own, so that calls seldom meet.
pub(super) const SHARDS: usize = 64;

/// A value that is worth less as time goes by.
pub trait Fades {
    /// From when on it says no more than its absence does: nanoseconds, on the clock of whoever keeps it.
    fn until(&self) -> u64;
}

/// There is no room for one more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Whom an entry is for, and what it may take of the room.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// A keyed digest of what the entry is about.
    pub key: u128,
    /// A digest of whoever has caused it.
    pub owner: u64,
    /// Entries of the whole table.
    pub room: usize,
}

/// The table.
pub struct Shelf<V>(Vec<Mutex<Shard<V>>>);

impl<V> Default for Shelf<V> {
    fn default() -> Self {
        Self(std::iter::repeat_with(Mutex::default).take(SHARDS).collect())
    }
}

impl<V: Fades> Shelf<V> {
    /// Changes the entry of this key, made by `make` if there is none.
    ///
    /// # Errors
    /// [`Full`] when there is none and no room for one; nothing is changed then.
    pub fn change<T>(
        &self,
        claim: &Claim,
        now: u64,
        make: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> T,
    ) -> Result<T, Full> {
        let mut shard = self.shard(claim.key).ok_or(Full)?;
        let slot = shard.slot(claim, now, make)?;
        let result = change(&mut slot.value);
        let until = slot.value.until();
        shard.fruitless = shard.fruitless.min(until);
        Ok(result)
    }

    /// Changes the entry of this key, if there is one.
    pub fn alter<T>(&self, key: u128, alter: impl FnOnce(&mut V) -> T) -> Option<T> {
        let mut shard = self.shard(key)?;
        let value = &mut shard.held.get_mut(&key)?.value;
        let (result, until) = (alter(value), value.until());
        shard.fruitless = shard.fruitless.min(until);
        Some(result)
    }

    /// Looks at the entry of this key.
    pub fn look<T>(&self, key: u128, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.shard(key)?.get(key).map(look)
    }

    /// Whether there is an entry of this key, or room for one.
    pub fn has_room(&self, claim: &Claim) -> bool {
        self.shard(claim.key).is_some_and(|shard| shard.held.contains_key(&claim.key) || shard.fits(claim))
    }

    /// Looks at every entry, a part at a time.
    pub fn each(&self, mut look: impl FnMut(u128, &V)) {
        for shard in &self.0 {
            locked(shard).held.iter().for_each(|(key, slot)| look(*key, &slot.value));
        }
    }

    /// Forgets the entry of this key.
    pub fn forget(&self, key: u128) {
        if let Some(mut shard) = self.shard(key) {
            shard.remove(key);
        }
    }

    /// Forgets what has faded by `now`.
    pub fn sweep(&self, now: u64) {
        self.0.iter().for_each(|shard| locked(shard).sweep(now));
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|shard| locked(shard).held.len()).fold(0, usize::saturating_add)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: u128) -> Option<MutexGuard<'_, Shard<V>>> {
        self.locked(shard_of(key))
    }

    pub(super) fn locked(&self, shard: usize) -> Option<MutexGuard<'_, Shard<V>>> {
        self.0.get(shard).map(locked)
    }
}

/// Which part a key is in. The low half of a key finds its place within the part.
pub(super) fn shard_of(key: u128) -> usize {
    usize::try_from(key >> 122).unwrap_or(0) % SHARDS
}

/// A part of the table.
pub(super) struct Shard<V> {
    held: HashMap<u128, Slot<V>, BuildHasherDefault<Tail>>,
    owners: HashMap<u64, usize, BuildHasherDefault<Tail>>,
    /// Before this time nothing has faded, so there is no use in looking.
    fruitless: u64,
}

impl<V> Default for Shard<V> {
    fn default() -> Self {
        Self { held: HashMap::default(), owners: HashMap::default(), fruitless: u64::MAX }
    }
}

/// An entry.
pub(super) struct Slot<V> {
    pub(super) value: V,
    owner: u64,
}

impl<V: Fades> Shard<V> {
    pub(super) fn get(&self, key: u128) -> Option<&V> {
        self.held.get(&key).map(|slot| &slot.value)
    }

    /// The entry of the key; a new one if there is room for it.
    pub(super) fn slot(&mut self, claim: &Claim, now: u64, make: impl FnOnce() -> V) -> Result<&mut Slot<V>, Full> {
        if !self.held.contains_key(&claim.key) {
            if !self.fits(claim) && now >= self.fruitless {
                self.sweep(now);
            }
            if !self.fits(claim) {
                return Err(Full);
            }
            let count = self.owners.entry(claim.owner).or_default();
            *count = count.saturating_add(1);
        }
        Ok(self.held.entry(claim.key).or_insert_with(|| Slot { value: make(), owner: claim.owner }))
    }

    /// Puts an entry back as it was.
    pub(super) fn remove(&mut self, key: u128) {
        if let Some(slot) = self.held.remove(&key) {
            self.give_share(slot.owner);
        }
    }

    pub(super) fn changed(&mut self, until: u64) {
        self.fruitless = self.fruitless.min(until);
    }

    /// An owner may have one more while it has fewer than are free: one who is alone half of the room, each of two a third.
    fn fits(&self, claim: &Claim) -> bool {
        let room = claim.room.checked_div(SHARDS).unwrap_or(0).max(1);
        let free = room.saturating_sub(self.held.len());
        self.owners.get(&claim.owner).copied().unwrap_or(0) < free
    }

    fn sweep(&mut self, now: u64) {
        if now < self.fruitless {
            return;
        }
        let owners = &mut self.owners;
        let mut next = u64::MAX;
        self.held.retain(|_, slot| {
            let until = slot.value.until();
            let live = until > now;
            if live {
                next = next.min(until);
            } else {
                lessen(owners, slot.owner);
            }
            live
        });
        self.fruitless = next;
        if self.held.capacity() > self.held.len().saturating_mul(4).max(1024) {
            self.held.shrink_to_fit();
            self.owners.shrink_to_fit();
        }
    }

    fn give_share(&mut self, owner: u64) {
        lessen(&mut self.owners, owner);
    }
}

fn lessen(owners: &mut HashMap<u64, usize, BuildHasherDefault<Tail>>, owner: u64) {
    match owners.get_mut(&owner) {
        Some(count) if *count > 1 => *count = count.saturating_sub(1),
        _ => drop(owners.remove(&owner)),
    }
}

/// Nothing panics while it holds the lock, so a poisoned one is in order.
fn locked<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Until(u64);

    impl Fades for Until {
        fn until(&self) -> u64 {
            self.0
        }
    }

    /// Spread over the parts as a digest would be.
    fn key(number: u64) -> u128 {
        let mixed = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (mixed << 64) | mixed
    }

    fn put(shelf: &Shelf<Until>, number: u64, owner: u64, room: usize, now: u64, until: u64) -> bool {
        let claim = Claim { key: key(number), owner, room };
        shelf.change(&claim, now, || Until(0), |value| value.0 = until).is_ok()
    }

    #[test]
    fn a_live_entry_is_never_forgotten_and_a_faded_one_makes_room() {
        let shelf = Shelf::default();
        // Everybody is somebody else.
        let taken = (0..10_000).filter(|number| put(&shelf, *number, *number, 640, 0, 100)).count();
        assert!(taken <= 640 && taken > 600, "{taken}");
        let known: Vec<u64> = (0..10_000).filter(|number| shelf.look(key(*number), |_| ()).is_some()).collect();
        assert_eq!(known.len(), taken);
        assert!(!put(&shelf, 1_000_000, 1, 640, 99, 100));
        assert!(known.iter().all(|number| put(&shelf, *number, 1, 640, 99, 100)), "who is known is changed");
        assert!(put(&shelf, 1_000_000, 1, 640, 100, 200));
        shelf.sweep(199);
        assert_eq!(shelf.len(), 1);
        shelf.sweep(200);
        assert!(shelf.is_empty());
    }

    #[test]
    fn one_owner_has_half_and_leaves_room_for_others() {
        let shelf = Shelf::default();
        let mine = (0..10_000).filter(|number| put(&shelf, *number, 7, 6400, 0, 100)).count();
        assert!((3100..=3200).contains(&mine), "{mine}");
        let theirs = (20_000..30_000).filter(|number| put(&shelf, *number, 8, 6400, 0, 100)).count();
        assert!((1500..=1600).contains(&theirs), "{theirs}");
        assert!((40_000..40_064).filter(|number| put(&shelf, *number, *number, 6400, 0, 100)).count() > 60);
        shelf.forget(key(0));
        assert!(shelf.look(key(0), |_| ()).is_none());
    }
}
