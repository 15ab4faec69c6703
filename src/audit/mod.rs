//! The audit trail: what cannot be recorded is not done. A call's decision is in the journal before the tool runs; its
//! outcome follows, and an [`Entry`] that is dropped unfinished is recorded as abandoned.

mod journal;
mod record;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::error::{Code, Failure};

pub use journal::Journal;
pub use record::{Client, Event, Outcome, Record, Stage, Verdict};
pub use settings::{AuditSection, SyslogSection};

/// Where records go.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes one line, without its newline, and returns once it is kept.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    async fn keep(&self, line: Vec<u8>) -> Result<(), Failure>;

    /// Takes one line without waiting; used where nobody is left to wait.
    fn leave(&self, line: Vec<u8>);

    /// Whether the next record can be expected to be kept.
    fn healthy(&self) -> bool;

    /// Opens its file anew (log rotation by others).
    fn reopen(&self);

    /// Waits until all that was left is kept.
    async fn flush(&self);
}

/// Begins and ends records.
#[derive(Clone)]
pub struct Trail {
    sink: Option<Arc<dyn Sink>>,
    clock: Clock,
}

impl Trail {
    /// Writes to `sink`; without one (audit switched off) nothing is kept.
    #[must_use]
    pub fn new(sink: Option<Arc<dyn Sink>>, clock: Clock) -> Self {
        Self { sink, clock }
    }

    /// Records the decision about a call, before its effect.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`]: then the call must not go on.
    pub async fn begin(&self, record: Record) -> Result<Entry, Failure> {
        self.keep(&record).await?;
        Ok(Entry { trail: self.clone(), record: Some(record) })
    }

    /// Records something that is complete in itself.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn note(&self, record: Record) -> Result<(), Failure> {
        self.keep(&record).await
    }

    /// Whether records can be kept.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.sink.as_ref().is_none_or(|sink| sink.healthy())
    }

    /// Opens the journal's file anew.
    pub fn reopen(&self) {
        if let Some(sink) = &self.sink {
            sink.reopen();
        }
    }

    /// Waits until everything is kept; used when the daemon stops.
    pub async fn flush(&self) {
        if let Some(sink) = &self.sink {
            sink.flush().await;
        }
    }

    async fn keep(&self, record: &Record) -> Result<(), Failure> {
        match &self.sink {
            Some(sink) => sink.keep(line(record)?).await,
            None => Ok(()),
        }
    }
}

fn line(record: &Record) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(record)
        .map_err(|error| Failure::new(Code::AuditUnavailable, "the audit record cannot be written").because(error))
}

/// A call whose decision is recorded. Only [`Trail::begin`] makes one.
pub struct Entry {
    trail: Trail,
    record: Option<Record>,
}

impl Entry {
    /// Records the outcome.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`]: the effect has happened, but the answer must not go out unrecorded.
    pub async fn finish(mut self, outcome: &Outcome) -> Result<(), Failure> {
        match self.record.take() {
            Some(record) => {
                let at = self.trail.clock.now();
                self.trail.keep(&record.into_outcome(at, outcome)).await
            }
            None => Ok(()),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else { return };
        let outcome = Outcome {
            verdict: Verdict::Abandoned,
            reason: Some(Code::Cancelled),
            detail: None,
            duration_ms: None,
            output_bytes: None,
        };
        let record = record.into_outcome(self.trail.clock.now(), &outcome);
        if let (Some(sink), Ok(line)) = (&self.trail.sink, line(&record)) {
            sink.leave(line);
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(…)")
    }
}
