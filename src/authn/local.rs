//! A peer that the kernel vouches for, on this machine, and that presents nothing: the user itself.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Authentication, Caller, Presented, Scheme};
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::{PeerIdentity, Principal, Scopes};

/// Lets the users of this machine in by their number: `uid:1000`.
pub struct Local {
    scopes: Scopes,
}

impl Local {
    /// Everybody who comes this way holds `scopes`.
    #[must_use]
    pub fn new(scopes: Scopes) -> Self {
        Self { scopes }
    }
}

#[async_trait]
impl Scheme for Local {
    async fn authenticate(&self, peer: &Arc<PeerIdentity>, presented: &Presented, _now: Timestamp) -> Authentication {
        match (&**peer, presented) {
            (PeerIdentity::Unix { uid, .. } | PeerIdentity::Stdio { uid }, Presented::Nothing) => {
                let principal = Principal { subject: format!("uid:{uid}"), actor: None };
                let caller = Caller::new(principal, self.scopes.clone(), Arc::clone(peer), None, false);
                Authentication::Authenticated(caller)
            }
            // A scheme that verifies tokens stands before this one; without it nobody can say whose this is.
            (PeerIdentity::Unix { .. } | PeerIdentity::Stdio { .. }, _) => Authentication::Failed(Failure::new(
                Code::TokenKeyUnknown,
                "no token can be verified here: leave it out",
            )),
            (PeerIdentity::Certificate { .. }, _) => Authentication::NotRequested,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge;
    use super::*;
    use crate::identity::Scope;

    #[tokio::test]
    async fn only_a_local_peer_with_nothing_in_its_hands_is_meant() {
        let local = Local::new(Scope::parse("core").into_iter().collect());
        let now = Timestamp::from_seconds(0);
        let unix = Arc::new(PeerIdentity::Unix { uid: 1000, gid: 1, pid: None });
        let Authentication::Authenticated(caller) = local.authenticate(&unix, &Presented::Nothing, now).await else {
            panic!("not let in");
        };
        assert_eq!((caller.principal().to_string(), caller.scopes().to_string()), ("uid:1000".into(), "core".into()));
        let bearer = Presented::Bearer("x".into());
        for presented in [&Presented::Nothing, &bearer] {
            let answer = local.authenticate(&forge::peer(), presented, now).await;
            assert!(matches!(answer, Authentication::NotRequested), "{answer:?}");
        }
        let answer = local.authenticate(&unix, &bearer, now).await;
        assert!(matches!(answer, Authentication::Failed(_)), "what cannot be verified is not passed over: {answer:?}");
    }
}
