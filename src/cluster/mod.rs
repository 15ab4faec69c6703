//! What replicas must agree on. One process needs no server: everything is in its memory.

mod bucket;
mod buckets;
mod digest;
mod memory;
mod shelf;

use std::time::Instant;

use crate::clock::Timestamp;

pub use bucket::{Rate, Standing};
pub use buckets::{Draw, Dry, MOST_DRAWS, Purpose, Rates};
pub use memory::Memory;
pub use shelf::{Claim, Fades, Full, Shelf};

/// What the first-use register says about a token id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Never seen; it is seen now.
    First,
    /// Seen before, from the same sender.
    Again,
    /// Seen before, from another sender.
    Foreign,
    /// It was over at a time that the clock has already shown, so it may have been seen and forgotten. Only a clock that
    /// was set back leads here.
    Late,
    /// There is no room to remember it, so it must not be accepted.
    Full,
    /// There is room, but this sender has used up its share of it.
    Share,
}

/// A token id in use.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// A digest of issuer and `jti`.
    pub token: [u8; 32],
    /// A digest of whoever sends it.
    pub sender: [u8; 32],
    /// When the token expires, as it says itself: the same for every use of it.
    pub ends: Timestamp,
    /// From when on nobody accepts it, as things are configured now.
    pub until: Timestamp,
}

/// Shared state.
pub enum Cluster {
    /// In this process.
    Memory(Memory),
}

impl Cluster {
    /// Registers the use of a token at the time `now`.
    pub fn first_use(&self, sighting: &Sighting, now: Timestamp) -> Use {
        match self {
            Self::Memory(memory) => memory.first_use(sighting, now),
        }
    }

    /// Draws one from each of these buckets, or from none; at most [`MOST_DRAWS`] of them are asked. `owner` is a digest of
    /// whoever has caused what must be remembered for it, `room` how many buckets there may be.
    ///
    /// # Errors
    /// Which bucket is empty, or that there is no room for a new one.
    pub fn draw(&self, draws: &[Draw], owner: u64, room: usize, now: Instant, purpose: Purpose) -> Result<(), Dry> {
        match self {
            Self::Memory(memory) => memory.buckets().draw(draws, owner, room, now, purpose),
        }
    }

    /// Whether the bucket of this key is remembered, or could be; `owner` and `room` as in [`Cluster::draw`].
    #[must_use]
    pub fn has_room(&self, key: u128, owner: u64, room: usize) -> bool {
        match self {
            Self::Memory(memory) => memory.buckets().has_room(key, owner, room),
        }
    }

    /// How the rates of a bucket stand.
    #[must_use]
    pub fn standing(&self, draw: &Draw, now: Instant) -> [Option<Standing>; 2] {
        match self {
            Self::Memory(memory) => memory.buckets().standing(draw, now),
        }
    }

    /// Forgets buckets that are whole again.
    pub fn sweep(&self, now: Instant) {
        match self {
            Self::Memory(memory) => memory.buckets().sweep(now),
        }
    }

    /// How many buckets are remembered.
    #[must_use]
    pub fn buckets(&self) -> usize {
        match self {
            Self::Memory(memory) => memory.buckets().len(),
        }
    }
}
