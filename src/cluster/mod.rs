//! What replicas must agree on. One process needs no server: everything is in its memory.

mod memory;

use crate::clock::Timestamp;

pub use memory::Memory;

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
}
