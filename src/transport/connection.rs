//! One TLS connection: who is at the other end, and whether that still holds. Asked anew for every request.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Version;
use rustls::pki_types::CertificateDer;

use super::activity::Activity;
use super::bodies::{Account, Bodies};
use super::tls::Material;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::identity::{Certificate, PeerIdentity};
use crate::pki;
use crate::telemetry::{ConnectionClosed, ConnectionCut, ConnectionOpened};

/// No generation: the connection has yet to be judged.
const UNJUDGED: u64 = 0;

/// A connection whose handshake succeeded.
pub(super) struct Connection {
    chain: Vec<CertificateDer<'static>>,
    certificate: Arc<Certificate>,
    peer: Arc<PeerIdentity>,
    judged: AtomicU64,
    /// When the first certificate of the chain runs out; from then on a verdict about the chain holds no longer.
    chain_expires: Timestamp,
    activity: Arc<Activity>,
    bodies: Account,
    max_age: Duration,
}

impl Connection {
    /// From the chain that the handshake verified.
    pub(super) fn new(
        address: IpAddr,
        chain: Vec<CertificateDer<'static>>,
        certificate: Certificate,
        max_age: Duration,
        bodies: &Bodies,
        clock: Clock,
    ) -> Self {
        let bodies = bodies.account(certificate.thumbprint);
        let certificate = Arc::new(certificate);
        let peer = Arc::new(PeerIdentity::Certificate { address, certificate: Arc::clone(&certificate) });
        let activity = Arc::new(Activity::new(clock));
        let chain_expires = chain.iter().filter_map(|one| pki::not_after(one)).min().unwrap_or(certificate.not_after);
        ConnectionOpened { address }.emit();
        Self { chain, certificate, peer, judged: AtomicU64::new(UNJUDGED), chain_expires, activity, bodies, max_age }
    }

    /// Who is at the other end.
    #[must_use]
    pub(super) fn peer(&self) -> &Arc<PeerIdentity> {
        &self.peer
    }

    /// What is held of the bodies that came with this certificate.
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
        if let Some(address) = self.peer.address() {
            ConnectionCut { address, lasted: self.activity.age() }.emit();
        }
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
        if tls.admit(&self.certificate).is_ok() {
            self.judged.store(tls.generation, Ordering::Release);
        }
    }

    /// Whether the certificate is still good: in time, and under the newest authorities, lists and allowlist.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn check(&self, tls: &Material, now: Timestamp) -> Result<(), Failure> {
        if now < self.certificate.not_before || now >= self.certificate.not_after {
            return Err(Failure::new(Code::CertificateExpired, "the client certificate is not valid at this time"));
        }
        let judged = self.judged.load(Ordering::Acquire) == tls.generation;
        if judged && now < self.chain_expires && !tls.outdated(now) {
            return Ok(());
        }
        tls.verify(&self.chain, now)?;
        tls.admit(&self.certificate)?;
        self.judged.store(tls.generation, Ordering::Release);
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(address) = self.peer.address() {
            ConnectionClosed { address, lasted: self.activity.age() }.emit();
        }
    }
}
