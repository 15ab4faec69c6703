//! A peer that the kernel vouches for, on this machine, and that presents nothing: the user itself.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Authentication, Caller, Presented, Scheme};
use crate::clock::Timestamp;
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
                let caller = Caller::new(principal, self.scopes.clone(), Arc::clone(peer), None);
                Authentication::Authenticated(caller)
            }
            (PeerIdentity::Certificate { .. }, _) | (_, Presented::Bearer(_)) => Authentication::NotRequested,
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
        for (peer, presented) in [(&unix, &bearer), (&forge::peer(), &Presented::Nothing), (&forge::peer(), &bearer)] {
            let answer = local.authenticate(peer, presented, now).await;
            assert!(matches!(answer, Authentication::NotRequested), "{answer:?}");
        }
    }
}
