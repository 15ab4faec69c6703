//! A token is used once, or by one sender. This is asked last, so a token that is refused for another reason is not used
//! up by it, and cannot fill the register.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::ReplayMode;
use crate::clock::Timestamp;
use crate::cluster::{Cluster, Sighting, Use};
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;

/// The rule, and the register that it asks.
pub(super) struct Replay {
    pub(super) mode: ReplayMode,
    pub(super) cluster: Arc<Cluster>,
}

impl Replay {
    /// Registers the use of the token `id` by `peer`. It expires at `ends`, and nobody accepts it from `until` on. Whether it is
    /// known to be the first one.
    ///
    /// # Errors
    /// [`Code::TokenReplayed`], [`Code::TokenBinding`] for a token that belongs to another sender,
    /// [`Code::ReplayStoreFull`], [`Code::TokenExpired`] when it may be one that was forgotten, as the clock was set back or a larger skew
    /// configured.
    pub(super) fn admit(
        &self,
        id: [u8; 32],
        (ends, until): (Timestamp, Timestamp),
        peer: &PeerIdentity,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        if self.mode == ReplayMode::Off {
            return Ok(false);
        }
        let sighting = Sighting { token: id, sender: sender(peer), ends, until };
        match (self.cluster.first_use(&sighting, now), self.mode) {
            (Use::First, _) => Ok(true),
            (Use::Again, ReplayMode::SenderBound) => Ok(false),
            (Use::Foreign, ReplayMode::SenderBound) => {
                Err(Failure::new(Code::TokenBinding, "the token was first used by another sender"))
            }
            (Use::Again | Use::Foreign, _) => Err(Failure::new(Code::TokenReplayed, "the token was used before")),
            (Use::Late, _) => Err(Failure::new(Code::TokenExpired, "the token has expired")
                .because("the clock was set back or clock_skew raised, and the token may have been used before that")),
            (Use::Full, _) => Err(Failure::new(Code::ReplayStoreFull, "no more tokens can be remembered now")
                .because("auth.jwt.jti_cache_size is reached")),
            (Use::Share, _) => {
                Err(Failure::new(Code::ReplayStoreFull, "no more tokens of this sender can be remembered now")
                    .because("this sender has as many live tokens as are free in auth.jwt.jti_cache_size"))
            }
        }
    }
}

/// Who sends: a certificate, or a user of this machine.
fn sender(peer: &PeerIdentity) -> [u8; 32] {
    match peer {
        PeerIdentity::Certificate { certificate, .. } => *certificate.thumbprint.bytes(),
        PeerIdentity::Unix { uid, .. } | PeerIdentity::Stdio { uid } => {
            let mut name = [0; 32];
            let hash = digest(&SHA256, format!("uid:{uid}").as_bytes());
            name.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
            name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Memory;

    const ALICE: PeerIdentity = PeerIdentity::Stdio { uid: 1 };
    const MALLORY: PeerIdentity = PeerIdentity::Unix { uid: 2, gid: 1, pid: None };

    fn replay(mode: ReplayMode, room: usize) -> Replay {
        Replay { mode, cluster: Arc::new(Cluster::Memory(Memory::new(room))) }
    }

    fn admit(replay: &Replay, token: u8, peer: &PeerIdentity, now: i64) -> Result<bool, Code> {
        let (ends, now) = (Timestamp::from_seconds(100), Timestamp::from_seconds(now));
        replay.admit([token; 32], (ends, ends), peer, now).map_err(|failure| failure.code())
    }

    #[test]
    fn a_single_use_token_is_accepted_once() {
        let replay = replay(ReplayMode::SingleUse, 10);
        assert_eq!(admit(&replay, 1, &ALICE, 0), Ok(true));
        assert_eq!(admit(&replay, 1, &ALICE, 1), Err(Code::TokenReplayed));
        assert_eq!(admit(&replay, 1, &MALLORY, 2), Err(Code::TokenReplayed));
        assert_eq!(admit(&replay, 2, &MALLORY, 2), Ok(true));
    }

    #[test]
    fn a_sender_bound_token_belongs_to_its_first_sender() {
        let replay = replay(ReplayMode::SenderBound, 10);
        assert_eq!(admit(&replay, 1, &ALICE, 0), Ok(true));
        assert_eq!(admit(&replay, 1, &MALLORY, 1), Err(Code::TokenBinding));
        assert_eq!(admit(&replay, 1, &ALICE, 2), Ok(false), "known by then");
    }

    #[test]
    fn a_full_register_refuses_and_off_asks_nobody() {
        assert_eq!(admit(&replay(ReplayMode::SingleUse, 0), 1, &ALICE, 0), Err(Code::ReplayStoreFull));
        assert_eq!(admit(&replay(ReplayMode::SenderBound, 0), 1, &ALICE, 0), Err(Code::ReplayStoreFull));
        // Nobody knows then whether a token is sent again.
        let off = replay(ReplayMode::Off, 0);
        assert_eq!(admit(&off, 1, &ALICE, 0), Ok(false));
        assert_eq!(admit(&off, 1, &MALLORY, 0), Ok(false));
    }
}
