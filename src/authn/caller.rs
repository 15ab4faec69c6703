//! A caller: the peer and its token, verified together. Only this module's schemes make one.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::identity::{PeerIdentity, Principal, Scopes};

/// Who calls, proven: "alice via coding-bot", with scopes, over this very channel.
#[derive(Debug)]
pub struct Caller {
    principal: Principal,
    scopes: Scopes,
    peer: Arc<PeerIdentity>,
    expires: Option<Timestamp>,
    fresh: bool,
}

impl Caller {
    pub(super) fn new(
        principal: Principal,
        scopes: Scopes,
        peer: Arc<PeerIdentity>,
        expires: Option<Timestamp>,
        fresh: bool,
    ) -> Self {
        Self { principal, scopes, peer, expires, fresh }
    }

    /// A caller that nobody verified.
    #[cfg(test)]
    pub(crate) fn for_test(principal: Principal, scopes: Scopes, peer: Arc<PeerIdentity>) -> Self {
        Self::new(principal, scopes, peer, None, true)
    }

    /// The user and the agent.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What the token grants.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// The channel.
    #[must_use]
    pub fn peer(&self) -> &Arc<PeerIdentity> {
        &self.peer
    }

    /// Whether the token was never sent before, so that it proves more than the last time it was.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// When the token ends; a local caller has none.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }
}
