//! What can be observed about the audit journal's files.

use std::path::Path;

use super::metrics::METRICS;

/// Whether the journal can be written.
pub struct AuditWritable {
    /// As it is now.
    pub now: bool,
}

impl AuditWritable {
    /// Tells the metric.
    pub fn emit(&self) {
        METRICS.audit_writable(self.now);
    }
}

/// The disk has what the journal wrote.
pub struct AuditSynced;

impl AuditSynced {
    /// Counts.
    pub fn emit(&self) {
        METRICS.audit_synced();
    }
}

/// A full file of the journal could not be compressed, renamed or removed; it stays as it is and is tried again.
pub struct AuditFileFailed<'a> {
    /// Which.
    pub path: &'a Path,
    /// Why.
    pub cause: &'a str,
}

impl AuditFileFailed<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::warn!(path = %self.path.display(), cause = self.cause, "a full file of the audit log could not be put away");
    }
}

/// The oldest file of the journal was removed, as `audit.max_files` says.
pub struct AuditFileRemoved<'a> {
    /// Which.
    pub path: &'a Path,
    /// How many are kept.
    pub kept: usize,
}

impl AuditFileRemoved<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::info!(path = %self.path.display(), kept = self.kept, "the oldest file of the audit log was removed");
    }
}

/// The journal was found as no clean stop leaves it.
pub struct AuditUnclean<'a> {
    /// What was found.
    pub found: &'a str,
}

impl AuditUnclean<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::warn!(found = self.found, "the audit log did not end as it should; it goes on from there");
    }
}
