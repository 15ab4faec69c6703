//! What can be observed about the forwarding of the audit log: one struct per fact, and the metrics they move.

use std::fmt::Display;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::METRICS;

/// The metrics of forwarding.
#[derive(Default)]
pub(super) struct Forwarding {
    sent: Counter,
    cut: Counter,
    dropped: Counter,
    breaks: Counter,
    lag_records: Gauge,
    lag_seconds: Gauge<f64, AtomicU64>,
}

impl Forwarding {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("audit_forward_sent", "Records sent to syslog, repetitions counted", self.sent.clone());
        registry.register("audit_forward_cut", "Records too long for syslog, sent in part", self.cut.clone());
        registry.register(
            "audit_forward_dropped",
            "Records that were deleted or damaged before they were sent to syslog",
            self.dropped.clone(),
        );
        registry.register(
            "audit_forward_breaks",
            "Tries to reach or feed the collector that failed",
            self.breaks.clone(),
        );
        registry.register(
            "audit_forward_lag_records",
            "Records in the journal that the collector is not known to have",
            self.lag_records.clone(),
        );
        registry.register(
            "audit_forward_lag_seconds",
            "Age of the oldest record that the collector is not known to have",
            self.lag_seconds.clone(),
        );
    }
}

/// A record was sent.
pub struct ForwardSent;

impl ForwardSent {
    /// Counts.
    pub fn emit(&self) {
        METRICS.forwarding.sent.inc();
    }
}

/// A record was too long and sent in part.
pub struct ForwardCut;

impl ForwardCut {
    /// Counts; the message itself is marked.
    pub fn emit(&self) {
        METRICS.forwarding.cut.inc();
    }
}

/// Records were gone before they were sent.
pub struct ForwardDropped {
    /// How many.
    pub records: u64,
}

impl ForwardDropped {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.forwarding.dropped.inc_by(self.records);
        tracing::warn!(records = self.records, "audit records were deleted or damaged before syslog had them");
    }
}

/// The collector cannot be reached, or the connection broke.
pub struct ForwardBroken<'a> {
    /// The collector.
    pub target: &'a dyn Display,
    /// Why.
    pub cause: &'a dyn Display,
    /// Whether all was well before.
    pub begins: bool,
    /// How many records are sent again because of it.
    pub unconfirmed: u64,
}

impl ForwardBroken<'_> {
    /// Counts, and logs the beginning of an outage; what follows is for those who debug.
    pub fn emit(&self) {
        METRICS.forwarding.breaks.inc();
        let Self { target, cause, unconfirmed, .. } = self;
        if self.begins {
            tracing::warn!(%target, %cause, unconfirmed, "audit records cannot be forwarded; they wait in the journal");
        } else {
            tracing::debug!(%target, %cause, unconfirmed, "audit records can still not be forwarded");
        }
    }
}

/// The collector takes records again.
pub struct ForwardRecovered<'a> {
    /// The collector.
    pub target: &'a dyn Display,
    /// How long it did not.
    pub lasted: Duration,
}

impl ForwardRecovered<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::info!(target = %self.target, lasted = ?self.lasted, "audit records are forwarded again");
    }
}

/// The collector never ends its side of a connection.
pub struct ForwardUnended<'a> {
    /// The collector.
    pub target: &'a dyn Display,
    /// Whether it was said before.
    pub again: bool,
}

impl ForwardUnended<'_> {
    /// Logs, once.
    pub fn emit(&self) {
        if !self.again {
            tracing::warn!(
                target = %self.target,
                "the collector does not end a connection when it is asked to, so it cannot be known what it has read: \
                 records that it loses are not sent again"
            );
        }
    }
}

/// A file of the journal cannot be read.
pub struct ForwardUnreadable<'a> {
    /// Why.
    pub cause: &'a dyn Display,
    /// Whether it could before.
    pub begins: bool,
}

impl ForwardUnreadable<'_> {
    /// Logs, once.
    pub fn emit(&self) {
        if self.begins {
            tracing::warn!(cause = %self.cause, "the audit journal cannot be read for forwarding");
        }
    }
}

/// Forwarding begins with the oldest record there is.
pub struct ForwardRestarted<'a> {
    /// Why.
    pub cause: &'a str,
}

impl ForwardRestarted<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::warn!(cause = self.cause, "the whole audit journal is forwarded again");
    }
}

/// How far forwarding is behind.
pub struct ForwardLag {
    /// Records that the collector is not known to have.
    pub records: u64,
    /// Age of the oldest of them.
    pub age: Duration,
}

impl ForwardLag {
    /// Sets the gauges.
    pub fn emit(&self) {
        METRICS.forwarding.lag_records.set(i64::try_from(self.records).unwrap_or(i64::MAX));
        METRICS.forwarding.lag_seconds.set(self.age.as_secs_f64());
    }
}
