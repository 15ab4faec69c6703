//! Verified tokens, so that one that may be used again is not verified again. Times, binding and replay are not remembered:
//! they are looked at for every call. The name of an entry is the SHA-256 of the whole token, and nothing less.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use moka::Expiry;
use moka::sync::Cache;

use super::claims::Claims;
use super::keys::KeySet;
use super::lifetime::Limits;
use crate::clock::Timestamp;

/// How many tokens are remembered; losing one costs a verification.
const MOST: u64 = 10_000;

/// A longer token is verified each time, so the memory is bounded to a few ten megabytes.
const LONGEST: usize = 4096;

/// The tokens that one configuration verified.
pub(super) struct Remembered {
    tokens: Cache<[u8; 32], Entry>,
}

#[derive(Clone)]
struct Entry {
    claims: Arc<Claims>,
    /// The keys that verified it: a token is forgotten together with them.
    generation: u64,
    /// From now to the end.
    life: Duration,
}

impl Remembered {
    pub(super) fn new() -> Self {
        Self { tokens: Cache::builder().max_capacity(MOST).expire_after(Life).build() }
    }

    /// The claims of a token that `keys` verified before.
    pub(super) fn get(&self, token: &str, keys: &KeySet) -> Option<Arc<Claims>> {
        let entry = self.tokens.get(&name(token)?)?;
        (entry.generation == keys.generation()).then_some(entry.claims)
    }

    /// Remembers a token that `keys` verified, until it ends.
    pub(super) fn keep(&self, token: &str, keys: &KeySet, claims: &Arc<Claims>, limits: &Limits, now: Timestamp) {
        if let Some(name) = name(token) {
            let life = claims.lifetime.ends(limits).since(now);
            self.tokens.insert(name, Entry { claims: Arc::clone(claims), generation: keys.generation(), life });
        }
    }
}

fn name(token: &str) -> Option<[u8; 32]> {
    if token.len() > LONGEST {
        return None;
    }
    digest(&SHA256, token.as_bytes()).as_ref().try_into().ok()
}

struct Life;

impl Expiry<[u8; 32], Entry> for Life {
    fn expire_after_create(&self, _: &[u8; 32], entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.life)
    }

    fn expire_after_update(&self, _: &[u8; 32], entry: &Entry, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(entry.life)
    }
}
