//! One TLS connection: who is at the other end, and whether that still holds. Asked anew for every request.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;

use super::tls::Material;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::identity::{Certificate, PeerIdentity};
use crate::telemetry::{ConnectionClosed, ConnectionOpened};

/// No generation: the connection has yet to be judged.
const UNJUDGED: u64 = 0;

/// A connection whose handshake succeeded.
pub(super) struct Connection {
    chain: Vec<CertificateDer<'static>>,
    certificate: Arc<Certificate>,
    peer: Arc<PeerIdentity>,
    judged: AtomicU64,
    activity: Activity,
    max_age: Duration,
}

impl Connection {
    /// From the chain that the handshake verified.
    pub(super) fn new(
        address: IpAddr,
        chain: Vec<CertificateDer<'static>>,
        certificate: Certificate,
        max_age: Duration,
        clock: Clock,
    ) -> Self {
        let certificate = Arc::new(certificate);
        let peer = Arc::new(PeerIdentity::Certificate { address, certificate: Arc::clone(&certificate) });
        let activity = Activity::new(clock);
        ConnectionOpened { address }.emit();
        Self { chain, certificate, peer, judged: AtomicU64::new(UNJUDGED), activity, max_age }
    }

    /// Who is at the other end.
    #[must_use]
    pub(super) fn peer(&self) -> &Arc<PeerIdentity> {
        &self.peer
    }

    /// When requests run and when none does.
    #[must_use]
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Whether the connection has reached its greatest age and should end.
    #[must_use]
    pub(super) fn aged(&self) -> bool {
        self.activity.age() >= self.max_age
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
        if self.judged.load(Ordering::Acquire) == tls.generation && !tls.outdated(now) {
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

/// Requests under way on a connection, and when the last one ended. Bytes alone are no activity, so a client that
/// drips them is as idle as one that sends none.
pub(super) struct Activity {
    clock: Clock,
    opened: Instant,
    running: AtomicUsize,
    /// Milliseconds after `opened`; negative until the first request.
    last: AtomicI64,
}

impl Activity {
    fn new(clock: Clock) -> Self {
        Self { opened: clock.instant(), clock, running: AtomicUsize::new(0), last: AtomicI64::new(-1) }
    }

    fn age(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.opened)
    }

    fn touch(&self) {
        self.last.store(i64::try_from(self.age().as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// How long the connection may still be as it is; `None` when it has been so for too long.
    pub(super) fn patience(&self, first: Duration, idle: Duration, max_age: Duration) -> Option<Duration> {
        if self.running.load(Ordering::Relaxed) > 0 {
            return Some(idle);
        }
        let age = self.age();
        let last = self.last.load(Ordering::Relaxed);
        let deadline = match u64::try_from(last) {
            Ok(last) => Duration::from_millis(last).saturating_add(idle),
            Err(_) => first,
        };
        let left = deadline.min(max_age).saturating_sub(age);
        (!left.is_zero()).then_some(left)
    }
}

/// Held for as long as a request runs and its answer is being sent.
pub(super) struct Running(Arc<Connection>);

impl Running {
    pub(super) fn on(connection: &Arc<Connection>) -> Self {
        connection.activity.running.fetch_add(1, Ordering::Relaxed);
        connection.activity.touch();
        Self(Arc::clone(connection))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.activity.touch();
        self.0.activity.running.fetch_sub(1, Ordering::Relaxed);
    }
}
