//! Who is counted, as digests: keyed with a number that nobody outside knows, so that nobody can choose where another one is
//! counted, and of one size, whatever a token says.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::authn::Caller;
use crate::call::Resource;
use crate::identity::{Network, PeerIdentity};

/// Makes digests.
#[derive(Clone)]
pub(super) struct Keys(SipHasher13);

/// A caller, from every side that a rule may look from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Who {
    /// The same user through the same agents of the same holder.
    pub(super) caller: u128,
    pub(super) user: u128,
    /// The agent that acts; a user may come without one.
    pub(super) agent: Option<u128>,
    /// Whose certificate it is, however often it is renewed; or the user of this machine.
    pub(super) holder: u128,
}

impl Keys {
    pub(super) fn new() -> Self {
        let random = || RandomState::new().build_hasher().finish();
        Self(SipHasher13::new_with_keys(random(), random()))
    }

    /// A digest of the parts; where one ends and the next begins is part of it.
    pub(super) fn of<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u128 {
        let mut hasher = self.0;
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish128().as_u128()
    }

    /// A digest of digests.
    pub(super) fn joined(&self, parts: impl IntoIterator<Item = u128>) -> u128 {
        let mut hasher = self.0;
        parts.into_iter().for_each(|part| hasher.write(&part.to_le_bytes()));
        hasher.finish128().as_u128()
    }

    pub(super) fn who(&self, caller: &Caller) -> Who {
        let principal = caller.principal();
        let (holder, user) = (self.holder(caller.peer()), self.of([b"user", principal.subject.as_bytes()]));
        let mut hasher = self.0;
        hasher.write(&holder.to_le_bytes());
        hasher.write(&user.to_le_bytes());
        for agent in principal.agents() {
            hasher.write_usize(agent.len());
            hasher.write(agent.as_bytes());
        }
        let caller = hasher.finish128().as_u128();
        let agent = principal.agents().next().map(|agent| self.of([b"agent", agent.as_bytes()]));
        Who { caller, user, agent, holder }
    }

    pub(super) fn holder(&self, peer: &PeerIdentity) -> u128 {
        match peer {
            PeerIdentity::Certificate { holder, .. } => self.of([b"holder".as_slice(), holder.as_bytes()]),
            PeerIdentity::Unix { uid, .. } | PeerIdentity::Stdio { uid } => {
                self.of([b"uid".as_slice(), &uid.to_le_bytes()])
            }
        }
    }

    /// Where a request comes from, before it is known whose it is: one certificate at a network, or a user of this machine.
    /// Replicas that share a name have certificates of their own, and one that fails is not to stop the others.
    pub(super) fn source(&self, peer: &PeerIdentity) -> u128 {
        match peer {
            PeerIdentity::Certificate { address, certificate, .. } => {
                let certificate = self.of([b"certificate".as_slice(), certificate.thumbprint.bytes()]);
                self.joined([certificate, self.network(Network::of(*address))])
            }
            PeerIdentity::Unix { .. } | PeerIdentity::Stdio { .. } => self.holder(peer),
        }
    }

    pub(super) fn network(&self, network: Network) -> u128 {
        match network.address() {
            std::net::IpAddr::V4(address) => self.of([b"v4".as_slice(), &address.octets()]),
            std::net::IpAddr::V6(address) => self.of([b"v6".as_slice(), &address.octets()]),
        }
    }

    pub(super) fn target(&self, resource: &Resource) -> u128 {
        self.of([b"target", resource.kind().as_bytes(), resource.id().as_bytes()])
    }
}

/// Part of a digest, where that is enough.
pub(super) fn short(digest: u128) -> u64 {
    u64::try_from(digest >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::identity::{Actor, Certificate, DistinguishedName, Principal, Scopes, Spelling, Thumbprint};

    fn caller(subject: &str, agents: &[&str], uid: u32) -> Caller {
        let actor = agents.iter().rev().fold(None, |prior: Option<Box<Actor>>, agent| {
            Some(Box::new(Actor { subject: (*agent).to_owned(), prior }))
        });
        let principal = Principal { subject: subject.to_owned(), actor: actor.map(|actor| *actor) };
        Caller::for_test(principal, Scopes::default(), Arc::new(PeerIdentity::Stdio { uid }))
    }

    #[test]
    fn a_caller_is_user_agents_and_holder_together() {
        let keys = Keys::new();
        let who = |subject, agents: &[&str], uid| keys.who(&caller(subject, agents, uid));
        let first = who("alice", &["bot"], 1);
        assert_eq!(first, who("alice", &["bot"], 1));
        for other in [
            who("alice", &[], 1),
            who("bob", &["bot"], 1),
            who("alice", &["bot"], 2),
            who("alice", &["bot", "prior"], 1),
            who("alicebot", &[], 1),
            who("alice", &["botprior"], 1),
        ] {
            assert_ne!(first.caller, other.caller);
        }
        assert_eq!(first.user, who("alice", &[], 2).user);
        assert_eq!(first.agent, who("bob", &["bot", "prior"], 2).agent);
        assert_ne!(Some(who("bot", &[], 1).user), first.agent, "a user is no agent of the same name");
        assert_ne!(first, Keys::new().who(&caller("alice", &["bot"], 1)), "another process counts elsewhere");
    }

    #[test]
    fn with_a_renewed_certificate_a_caller_stays_the_same_and_with_anothers_it_does_not() {
        let keys = Keys::new();
        let certificate = |holder: &str, made: &[u8]| {
            Arc::new(PeerIdentity::Certificate {
                address: [127, 0, 0, 1].into(),
                certificate: Arc::new(certificate(made)),
                holder: holder.into(),
            })
        };
        let who = |peer: &Arc<PeerIdentity>| {
            let principal = Principal { subject: "alice".to_owned(), actor: None };
            keys.who(&Caller::for_test(principal, Scopes::default(), Arc::clone(peer)))
        };
        let (old, new) = (certificate("entry CN=bot", b"old"), certificate("entry CN=bot", b"new"));
        let other = certificate("entry CN=other", b"old");
        assert_eq!(who(&old), who(&new));
        assert_ne!(who(&old).caller, who(&other).caller);
        assert_ne!(keys.source(&old), keys.source(&new), "a replica that fails stops no other");
        // A name that is written like a user of this machine is none.
        let user = keys.holder(&PeerIdentity::Stdio { uid: 7 });
        assert_ne!(keys.holder(&certificate("uid", b"old")), user);
    }

    fn certificate(made: &[u8]) -> Certificate {
        let name = DistinguishedName::parse("CN=bot").unwrap();
        Certificate {
            subject: name.clone(),
            issuer: name,
            serial: String::new(),
            dns_names: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            not_before: Timestamp::from_seconds(0),
            not_after: Timestamp::from_seconds(1),
            thumbprint: Thumbprint::of(made),
            spelling: Spelling::default(),
        }
    }

    proptest::proptest! {
        /// Whoever may choose a name, of a user or of agents, cannot by that be counted as somebody else.
        #[test]
        fn two_who_differ_share_no_key(
            one in ("[ab|: ]{0,4}", proptest::collection::vec("[ab|: ]{0,4}", 0..3), 0_u32..3),
            other in ("[ab|: ]{0,4}", proptest::collection::vec("[ab|: ]{0,4}", 0..3), 0_u32..3),
        ) {
            let keys = Keys::new();
            let who = |(subject, agents, uid): &(String, Vec<String>, u32)| {
                let agents: Vec<&str> = agents.iter().map(String::as_str).collect();
                keys.who(&caller(subject, &agents, *uid))
            };
            proptest::prop_assert_eq!(who(&one).caller == who(&other).caller, one == other);
            proptest::prop_assert_eq!(who(&one).user == who(&other).user, one.0 == other.0);
        }
    }
}
