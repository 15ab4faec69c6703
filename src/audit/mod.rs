//! The audit trail: what cannot be recorded is not done. A call's decision is in the journal before the tool runs; its
//! outcome follows, and an [`Entry`] that is dropped unfinished is recorded as abandoned.

mod alerts;
mod archive;
pub mod chain;
pub mod checkpoint;
mod client;
mod file;
mod follow;
mod headfile;
mod journal;
pub mod layout;
pub mod lines;
mod page;
mod printable;
mod queue;
mod receipt;
mod record;
mod recovery;
pub mod search;
mod settings;
mod signing;
pub mod syslog;
mod tail;
pub mod verify;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::error::{Code, Failure};

use alerts::Alerts;

pub use alerts::AlertsSection;
pub use client::Client;
pub use journal::Journal;
pub use receipt::Receipt;
pub use record::{Basis, Event, Outcome, Record, Verdict};
pub use settings::{AuditSection, CheckpointSection, Durability};
pub use syslog::SyslogSection;

/// Bytes that hold most records.
const USUAL: usize = 768;

/// Where records go.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Takes one record, a JSON object in one line without its newline, and promises to keep it; one that is to be
    /// `durable` as safely as this sink can. Records are kept in the order in which they are taken.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    async fn post(&self, line: Vec<u8>, durable: bool) -> Result<Receipt, Failure>;

    /// The same, and returns once it is kept.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    async fn keep(&self, line: Vec<u8>, durable: bool) -> Result<(), Failure> {
        self.post(line, durable).await?.kept().await
    }

    /// Takes one line without waiting; used where nobody is left to wait.
    fn leave(&self, line: Vec<u8>);

    /// Whether the next record can be expected to be kept.
    fn healthy(&self) -> bool;

    /// Opens its file anew (log rotation by others).
    fn reopen(&self);

    /// Waits until all that was left is kept.
    async fn flush(&self);

    /// Keeps what was left, and then nothing more.
    async fn close(&self);
}

/// Begins and ends records.
#[derive(Clone)]
pub struct Trail {
    sink: Option<Arc<dyn Sink>>,
    clock: Clock,
    alerts: Arc<Alerts>,
}

impl Trail {
    /// Writes to `sink`; without one (audit switched off) nothing is kept.
    #[must_use]
    pub fn new(sink: Option<Arc<dyn Sink>>, clock: Clock) -> Self {
        Self { sink, clock, alerts: Arc::default() }
    }

    /// Records the decision about a call, before its effect.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`]: then the call must not go on.
    pub async fn begin(&self, record: Record) -> Result<Entry, Failure> {
        // The entry is there first: if the caller goes away while the decision is on its way into the journal, the outcome
        // follows it all the same.
        let mut entry = Entry { trail: self.clone(), record: Some(record) };
        let kept = match &entry.record {
            Some(record) => self.keep(record, true).await,
            None => Ok(()),
        };
        match kept {
            Ok(()) => Ok(entry),
            Err(failure) => {
                entry.leave(Verdict::Failed, failure.code());
                Err(failure)
            }
        }
    }

    /// Records something that is complete in itself.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn note(&self, record: Record) -> Result<(), Failure> {
        let _warnings = Warnings { trail: self, records: self.alerts.see(&record, &self.clock) };
        self.keep(&record, false).await
    }

    /// The same without waiting: nothing may be answered before the receipt says that the record is kept.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`].
    pub async fn promise(&self, record: Record) -> Result<Receipt, Failure> {
        let _warnings = Warnings { trail: self, records: self.alerts.see(&record, &self.clock) };
        self.post(&record, false).await
    }

    /// Records something that is complete in itself where nobody is left to wait for it.
    pub fn leave(&self, record: &Record) {
        if let (Some(sink), Ok(line)) = (&self.sink, line(record)) {
            sink.leave(line);
        }
    }

    /// When many refusals raise a warning, from now on; what was counted stays counted.
    pub fn alert_at(&self, section: &AlertsSection) {
        self.alerts.set(section);
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

    /// Waits until everything is on the disk.
    pub async fn flush(&self) {
        if let Some(sink) = &self.sink {
            sink.flush().await;
        }
    }

    /// Ends the journal as it should be ended; what comes later is refused.
    pub async fn close(&self) {
        if let Some(sink) = &self.sink {
            sink.close().await;
        }
    }

    async fn keep(&self, record: &Record, durable: bool) -> Result<(), Failure> {
        self.post(record, durable).await?.kept().await
    }

    async fn post(&self, record: &Record, durable: bool) -> Result<Receipt, Failure> {
        match &self.sink {
            Some(sink) => sink.post(line(record)?, durable).await,
            None => Ok(Receipt::kept_already()),
        }
    }
}

fn line(record: &Record) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut line, record)
        .map_err(|error| Failure::new(Code::AuditUnavailable, "the audit record cannot be written").because(error))?;
    Ok(line)
}

/// Warnings that follow the record that raised them, also when whoever caused it hangs up before it is kept.
struct Warnings<'a> {
    trail: &'a Trail,
    records: Vec<Record>,
}

impl Drop for Warnings<'_> {
    fn drop(&mut self) {
        for record in &self.records {
            if let (Some(sink), Ok(line)) = (&self.trail.sink, line(record)) {
                sink.leave(line);
            }
        }
    }
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
                self.trail.keep(&record.into_outcome(at, outcome), false).await
            }
            None => Ok(()),
        }
    }
}

impl Entry {
    /// For when nobody can wait for the journal.
    fn leave(&mut self, verdict: Verdict, reason: Code) {
        let Some(record) = self.record.take() else { return };
        let outcome = Outcome { verdict, reason: Some(reason), detail: None, duration_ms: None, output_bytes: None };
        let record = record.into_outcome(self.trail.clock.now(), &outcome);
        if let (Some(sink), Ok(line)) = (&self.trail.sink, line(&record)) {
            sink.leave(line);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.leave(Verdict::Abandoned, Code::Cancelled);
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entry(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::clock::Timestamp;

    /// Keeps lines in memory, or refuses, or never answers.
    #[derive(Default)]
    struct Memory {
        lines: Mutex<Vec<serde_json::Value>>,
        refuse: bool,
        stuck: bool,
    }

    #[async_trait]
    impl Sink for Memory {
        async fn post(&self, line: Vec<u8>, _: bool) -> Result<Receipt, Failure> {
            if self.refuse {
                return Err(Failure::new(Code::AuditUnavailable, "no"));
            }
            self.leave(line);
            if self.stuck {
                std::future::pending::<()>().await;
            }
            Ok(Receipt::kept_already())
        }
        fn leave(&self, line: Vec<u8>) {
            self.lines.lock().unwrap().push(serde_json::from_slice(&line).unwrap());
        }
        fn healthy(&self) -> bool {
            !self.refuse
        }
        fn reopen(&self) {}
        async fn flush(&self) {}
        async fn close(&self) {}
    }

    fn trail(memory: Memory) -> (Trail, Arc<Memory>, Record) {
        let clock = Clock::manual(Timestamp::from_seconds(0));
        let memory = Arc::new(memory);
        let record =
            Record::new(Event::Query, clock.now(), Client::default()).about("id", "get_cpu_info").permitted(&[]);
        (Trail::new(Some(Arc::<Memory>::clone(&memory)), clock), memory, record)
    }

    fn said(memory: &Memory) -> Vec<(String, String)> {
        let lines = memory.lines.lock().unwrap();
        lines.iter().map(|line| (line["stage"].to_string(), line["result"].to_string())).collect()
    }

    fn pair(stage: &str, result: &str) -> (String, String) {
        (format!("{stage:?}"), format!("{result:?}"))
    }

    #[tokio::test]
    async fn a_finished_call_has_a_decision_and_one_outcome() {
        let (trail, memory, record) = trail(Memory::default());
        let entry = trail.begin(record).await.unwrap();
        let outcome = Outcome {
            verdict: Verdict::Success,
            reason: None,
            detail: None,
            duration_ms: Some(1),
            output_bytes: Some(2),
        };
        entry.finish(&outcome).await.unwrap();
        assert_eq!(said(&memory), [pair("decision", "permitted"), pair("outcome", "success")]);
    }

    #[tokio::test]
    async fn an_entry_that_is_dropped_is_recorded_as_abandoned() {
        let (trail, memory, record) = trail(Memory::default());
        drop(trail.begin(record).await.unwrap());
        assert_eq!(said(&memory), [pair("decision", "permitted"), pair("outcome", "abandoned")]);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_during_the_decision_is_recorded_as_abandoned() {
        let (trail, memory, record) = trail(Memory { stuck: true, ..Memory::default() });
        assert!(tokio::time::timeout(Duration::from_millis(10), trail.begin(record)).await.is_err());
        assert_eq!(said(&memory), [pair("decision", "permitted"), pair("outcome", "abandoned")]);
    }

    #[tokio::test]
    async fn many_refusals_are_followed_by_a_warning_also_when_the_caller_hangs_up() {
        for stuck in [false, true] {
            let (trail, memory, _) = trail(Memory { stuck, ..Memory::default() });
            trail.alert_at(&AlertsSection { auth_failures: 2, window: 60 });
            for _ in 0..5 {
                let record = Record::new(Event::AuthFailure, trail.clock.now(), Client::default());
                let record = record.refused(Code::TokenExpired, None);
                let _ = tokio::time::timeout(Duration::from_millis(10), trail.note(record)).await;
            }
            let lines = memory.lines.lock().unwrap();
            let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
            let failure = "auth_failure";
            assert_eq!(events, [failure, failure, failure, "warning", failure, failure], "stuck: {stuck}");
            assert_eq!((&lines[3]["reason"], &lines[3]["count"]), (&"auth_failures".into(), &3.into()));
        }
    }

    #[tokio::test]
    async fn a_decision_that_cannot_be_kept_makes_no_entry_and_says_so_when_it_can() {
        let (trail, memory, record) = trail(Memory { refuse: true, ..Memory::default() });
        assert_eq!(trail.begin(record).await.unwrap_err().code(), Code::AuditUnavailable);
        assert!(!trail.healthy());
        assert_eq!(said(&memory), [pair("outcome", "failed")]);
    }
}
