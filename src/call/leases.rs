//! The secrets that were leased for one call: whatever leaves the call on any way is searched for them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::secret::Secret;

/// What was leased so far; all copies are one.
#[derive(Clone, Default, Debug)]
pub struct Leases(Arc<Mutex<Vec<Secret<Vec<u8>>>>>);

impl Leases {
    /// Notes one more.
    pub fn add(&self, secret: &Secret<Vec<u8>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(secret.clone());
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Secret<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
