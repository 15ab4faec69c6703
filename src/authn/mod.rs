//! From a peer and what it presents to a [`Caller`]. Schemes are asked in order; the first that is meant decides.

mod binding;
mod caller;
mod claim;
mod claims;
mod compact;
mod fetch;
#[cfg(test)]
mod forge;
mod grants;
mod jwk;
mod jwks;
mod jwt;
mod key;
mod keys;
mod lifetime;
mod local;
pub mod mint;
mod pace;
mod pem;
#[cfg(test)]
mod refusals;
mod remembered;
mod replay;
#[cfg(test)]
mod rotation;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;
use crate::secret::Secret;

pub use caller::Caller;
pub use jwks::Jwks;
pub use jwt::Jwt;
pub use keys::{KeySet, KeySource};
pub use local::Local;
pub use settings::{AuthSection, JwtAlgorithm, JwtSection, ReplayMode};

/// What the request carried to prove who sends it.
#[derive(Debug)]
pub enum Presented {
    /// Nothing.
    Nothing,
    /// The text after `Authorization: Bearer`.
    Bearer(Secret<String>),
    /// Something in its place that is no token.
    Malformed,
}

/// A scheme's answer.
#[derive(Debug)]
pub enum Authentication {
    /// The request does not use this scheme.
    NotRequested,
    /// It does, and this is who it is.
    Authenticated(Caller),
    /// It does, and it fails.
    Failed(Failure),
}

/// One way to prove who calls.
#[async_trait]
pub trait Scheme: Send + Sync {
    /// Judges what was presented over the channel of `peer` at the time `now`.
    async fn authenticate(&self, peer: &Arc<PeerIdentity>, presented: &Presented, now: Timestamp) -> Authentication;
}

/// The configured schemes.
pub struct Authenticator {
    schemes: Vec<Box<dyn Scheme>>,
}

impl Authenticator {
    /// From schemes, in the order in which they are asked.
    #[must_use]
    pub fn new(schemes: Vec<Box<dyn Scheme>>) -> Self {
        Self { schemes }
    }

    /// Asks each scheme in turn; no scheme concerned means nobody.
    ///
    /// # Errors
    /// [`Code::TokenMalformed`], the failure of the scheme that was meant, or [`Code::TokenMissing`].
    pub async fn authenticate(
        &self,
        peer: &Arc<PeerIdentity>,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<Caller, Failure> {
        if matches!(presented, Presented::Malformed) {
            let text = "Authorization must be one header of the form: Bearer TOKEN";
            return Err(Failure::new(Code::TokenMalformed, text));
        }
        for scheme in &self.schemes {
            match scheme.authenticate(peer, presented, now).await {
                Authentication::NotRequested => {}
                Authentication::Authenticated(caller) => return Ok(caller),
                Authentication::Failed(failure) => return Err(failure),
            }
        }
        Err(Failure::new(Code::TokenMissing, "present a token as Authorization: Bearer"))
    }
}
