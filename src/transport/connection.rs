//! One connection: who is at the other end, and whether that still holds. Asked anew for every request.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Version;
use rustls::pki_types::CertificateDer;

use super::activity::Activity;
use super::bodies::{Account, Bodies, Sender};
use super::tls::Material;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::identity::{Certificate, PeerIdentity};
use crate::pki;
use crate::telemetry::{ConnectionClosed, ConnectionCut, ConnectionOpened};

/// No generation: the connection has yet to be judged.
const UNJUDGED: u64 = 0;

/// A connection whose other end is known.
pub(super) struct Connection {
    /// What proved it; over a unix socket the kernel did, once and for all.
    chain: Option<Chain>,
    peer: Arc<PeerIdentity>,
    activity: Arc<Activity>,
    bodies: Account,
    max_age: Duration,
}

/// The certificates that a handshake verified, and the verdict about them.
struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    certificate: Arc<Certificate>,
    judged: AtomicU64,
    /// When the first certificate of the chain runs out; from then on a verdict about the chain holds no longer.
    expires: Timestamp,
}

impl Connection {
    /// From the chain that the handshake verified, and whom the allowlist takes its certificate for.
    pub(super) fn new(
        address: IpAddr,
        certificates: Vec<CertificateDer<'static>>,
        (certificate, holder): (Certificate, Arc<str>),
        max_age: Duration,
        bodies: &Bodies,
        clock: Clock,
    ) -> Self {
        let bodies = bodies.account(Sender::Certificate(certificate.thumbprint));
        let certificate = Arc::new(certificate);
        let peer = PeerIdentity::Certificate { address, certificate: Arc::clone(&certificate), holder };
        let expires = certificates.iter().filter_map(|one| pki::not_after(one)).min().unwrap_or(certificate.not_after);
        let chain = Chain { certificates, certificate, judged: AtomicU64::new(UNJUDGED), expires };
        Self::opened(Some(chain), peer, max_age, bodies, clock)
    }

    /// Over a unix socket, with the user that the kernel names.
    pub(super) fn local(
        (uid, gid, pid): (u32, u32, Option<i32>),
        max_age: Duration,
        bodies: &Bodies,
        clock: Clock,
    ) -> Self {
        let peer = PeerIdentity::Unix { uid, gid, pid };
        Self::opened(None, peer, max_age, bodies.account(Sender::User(uid)), clock)
    }

    fn opened(chain: Option<Chain>, peer: PeerIdentity, max_age: Duration, bodies: Account, clock: Clock) -> Self {
        ConnectionOpened { from: &peer.origin() }.emit();
        Self { chain, peer: Arc::new(peer), activity: Arc::new(Activity::new(clock)), bodies, max_age }
    }

    /// Who is at the other end.
    #[must_use]
    pub(super) fn peer(&self) -> &Arc<PeerIdentity> {
        &self.peer
    }

    /// What is held of the bodies that came from this sender.
    #[must_use]
    pub(super) fn bodies(&self) -> &Account {
        &self.bodies
    }

    /// When requests run and when none does.
    #[must_use]
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Says that it is closed because of what came in.
    pub(super) fn cut(&self) {
        ConnectionCut { from: &self.peer.origin(), lasted: self.activity.age() }.emit();
    }

    /// Whether the connection has reached its greatest age and should end.
    #[must_use]
    pub(super) fn aged(&self) -> bool {
        self.activity.age() >= self.max_age
    }

    /// A client that multiplexes cannot be told to leave with its last answer, so once the connection is aged nothing new
    /// is begun on it. No token is used up by that.
    ///
    /// # Errors
    /// [`Code::ConnectionExpired`].
    pub(super) fn open_to(&self, version: Version) -> Result<(), Failure> {
        if version >= Version::HTTP_2 && self.aged() {
            return Err(Failure::new(Code::ConnectionExpired, "this connection is too old; open a new one"));
        }
        Ok(())
    }

    /// Takes the handshake's own verdict over, so that the first request need not verify the chain again.
    pub(super) fn verified(&self, tls: &Material) {
        if let Some(chain) = &self.chain
            && tls.admit(&chain.certificate).is_ok()
        {
            chain.judged.store(tls.generation, Ordering::Release);
        }
    }

    /// Whether what proved the other end is still good: a certificate is in time, and under the newest authorities, lists
    /// and allowlist. A listener without TLS has connections without a chain, and no other has.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn check(&self, tls: Option<&Material>, now: Timestamp) -> Result<(), Failure> {
        match (&self.chain, tls) {
            (Some(chain), Some(tls)) => chain.check(tls, now),
            (None, None) => Ok(()),
            (Some(_), None) | (None, Some(_)) => {
                Err(Failure::new(Code::Internal, "the connection does not belong to its listener"))
            }
        }
    }
}

impl Chain {
    fn check(&self, tls: &Material, now: Timestamp) -> Result<(), Failure> {
        if now < self.certificate.not_before || now >= self.certificate.not_after {
            return Err(Failure::new(Code::CertificateExpired, "the client certificate is not valid at this time"));
        }
        let judged = self.judged.load(Ordering::Acquire) == tls.generation;
        if judged && now < self.expires && !tls.outdated(now) {
            return Ok(());
        }
        tls.verify(&self.certificates, now)?;
        tls.admit(&self.certificate)?;
        self.judged.store(tls.generation, Ordering::Release);
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        ConnectionClosed { from: &self.peer.origin(), lasted: self.activity.age() }.emit();
    }
}
