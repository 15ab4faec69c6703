//! What can be observed about the daemon, one struct per fact.

use std::net::IpAddr;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Code;

use super::metrics::METRICS;

/// A request was refused.
pub struct Refused {
    /// Why.
    pub code: Code,
}

impl Refused {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.refused(self.code);
        tracing::debug!(reason = %self.code, "refused");
    }
}

/// A TLS handshake came to nothing.
pub struct HandshakeRefused<'a> {
    /// From where.
    pub address: IpAddr,
    /// Why.
    pub code: Code,
    /// What TLS says.
    pub cause: &'a str,
}

impl HandshakeRefused<'_> {
    /// Logs; it is counted as any refusal.
    pub fn emit(&self) {
        tracing::info!(address = %self.address, reason = %self.code, cause = self.cause, "connection refused");
    }
}

/// A connection is closed because of what it sent: much, and nothing of it a request.
pub struct ConnectionCut<'a> {
    /// From where it came.
    pub from: &'a str,
    /// How long it was open.
    pub lasted: Duration,
}

impl ConnectionCut<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::info!(from = self.from, lasted = ?self.lasted, "connection cut: too many bytes without a request");
    }
}

/// A certificate or a revocation list runs out soon, or has run out.
pub struct RunsOut<'a> {
    /// The key of the configuration that names the file.
    pub key: &'static str,
    /// The file and what is in it.
    pub what: &'a str,
    /// When.
    pub at: Timestamp,
    /// Whether that time has come.
    pub over: bool,
}

impl RunsOut<'_> {
    /// Logs.
    pub fn emit(&self) {
        match self.over {
            false => tracing::warn!(key = self.key, at = %self.at, "{} runs out soon", self.what),
            true => tracing::error!(key = self.key, at = %self.at, "{} has run out", self.what),
        }
    }
}

/// The files of TLS that are in force, each with its end.
pub struct FilesLast<'a> {
    /// The key of the configuration that names the file, and when what is in it runs out.
    pub ends: &'a [(&'static str, Timestamp)],
}

impl FilesLast<'_> {
    /// Measures, in place of what was said of the files before.
    pub fn emit(&self) {
        METRICS.files_last(self.ends);
    }
}

/// A tool can be called from now on.
pub struct ToolOffered<'a> {
    /// Which one.
    pub tool: &'a str,
}

impl ToolOffered<'_> {
    /// Begins to count.
    pub fn emit(&self) {
        METRICS.offered(self.tool);
    }
}

/// A call ran to its end.
pub struct CallEnded<'a> {
    /// Which tool; it exists, so the label cannot be grown by a caller.
    pub tool: &'a str,
    /// `None` for success.
    pub result: Option<Code>,
    /// From request to outcome.
    pub took: Duration,
}

impl CallEnded<'_> {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.call(self.tool, self.result, self.took);
        tracing::debug!(tool = self.tool, result = self.result.map_or("success", Code::as_str), took = ?self.took, "call ended");
    }
}

/// A key set was fetched, or not.
pub struct KeysFetched<'a> {
    /// From where.
    pub uri: &'a str,
    /// How many keys there are, or why there are none.
    pub result: Result<usize, &'a str>,
}

impl KeysFetched<'_> {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.keys_fetched(self.result.is_ok());
        match self.result {
            Ok(0) => tracing::warn!(uri = self.uri, "the issuer publishes no usable token key; every token is refused"),
            Ok(keys) => tracing::info!(uri = self.uri, keys, "token keys fetched"),
            Err(cause) => tracing::warn!(uri = self.uri, cause, "token keys could not be fetched"),
        }
    }
}

/// A client connected.
pub struct ConnectionOpened<'a> {
    /// From where.
    pub from: &'a str,
}

impl ConnectionOpened<'_> {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.connection_opened();
        tracing::debug!(from = self.from, "connection opened");
    }
}

/// A connection that was opened has ended.
pub struct ConnectionClosed<'a> {
    /// From where it came.
    pub from: &'a str,
    /// How long it was open.
    pub lasted: Duration,
}

impl ConnectionClosed<'_> {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.connection_closed();
        tracing::debug!(from = self.from, lasted = ?self.lasted, "connection closed");
    }
}

/// Records went into the audit log.
pub struct AuditWritten {
    /// How many.
    pub records: usize,
}

impl AuditWritten {
    /// Counts; the records speak for themselves.
    pub fn emit(&self) {
        METRICS.audit_written(self.records);
    }
}

/// The audit log could not be written.
pub struct AuditFailed<'a> {
    /// How many records had to wait or were lost.
    pub records: usize,
    /// Why.
    pub cause: &'a str,
    /// Whether it could be written until now; only then is it worth a line.
    pub begins: bool,
}

impl AuditFailed<'_> {
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.audit_failed(self.records);
        if self.begins {
            tracing::error!(cause = self.cause, "the audit log cannot be written; calls are refused until it can be");
        }
    }
}

/// The audit log can be written again.
pub struct AuditRecovered {
    /// Since when it could not.
    pub since: Timestamp,
    /// How many records are missing for good.
    pub lost: u64,
}

impl AuditRecovered {
    /// Logs.
    pub fn emit(&self) {
        tracing::warn!(since = %self.since, lost = self.lost, "the audit log can be written again");
    }
}

/// The daemon ends with records that it could not write.
pub struct AuditLost {
    /// How many.
    pub records: usize,
}

impl AuditLost {
    /// Logs.
    pub fn emit(&self) {
        tracing::error!(records = self.records, "the audit log could not be written to the end");
    }
}

/// There is no lookout any more; the queries that look into processes say less until the daemon is restarted.
pub struct LookoutLost<'a> {
    /// What was seen of it.
    pub why: &'a str,
}

impl LookoutLost<'_> {
    /// Logs.
    pub fn emit(&self) {
        tracing::error!(
            why = self.why,
            "the lookout is gone: what processes of others have open and were started with is not seen; restart the daemon"
        );
    }
}
