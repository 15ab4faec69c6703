//! What can be observed about the daemon, one struct per fact.

use std::net::IpAddr;
use std::time::Duration;

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
    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.refused(self.code);
        tracing::info!(address = %self.address, reason = %self.code, cause = self.cause, "connection refused");
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
            Ok(keys) => tracing::info!(uri = self.uri, keys, "token keys fetched"),
            Err(cause) => tracing::warn!(uri = self.uri, cause, "token keys could not be fetched"),
        }
    }
}
