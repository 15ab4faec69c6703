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
    /// There is no room to remember it, so it must not be accepted.
    Full,
}

/// Shared state.
pub enum Cluster {
    /// In this process.
    Memory(Memory),
}

impl Cluster {
    /// Registers the use of `token` (a digest of issuer and `jti`) by `sender` (a digest), to be remembered until `until`.
    pub fn first_use(&self, token: [u8; 32], sender: [u8; 32], until: Timestamp, now: Timestamp) -> Use {
        match self {
            Self::Memory(memory) => memory.first_use(token, sender, until, now),
        }
    }
}
