//! What is recorded of those who are refused: each once, or counted where a flood could fill the log.

use std::sync::Arc;

use serde_json::Value;

use super::Door;
use crate::admission::{Among, Leftover};
use crate::audit::{Client, Event, Record};
use crate::authn::Caller;
use crate::call::Call;
use crate::error::{Code, Failure};
use crate::telemetry::Refused;

impl Door {
    /// Records that a request was refused before it became a call.
    pub async fn turn_away(&self, client: Client, failure: &Failure) {
        Refused { code: failure.code() }.emit();
        let record = self.bare(event_of(failure.code()).unwrap_or(Event::AuthFailure), client);
        let detail = failure.cause().or_else(|| failure.wait().map(|_| failure.to_string()));
        self.keep(record.refused(failure.code(), detail)).await;
    }

    /// Records that so many were refused for the same reason before there was a call; each was counted when it happened.
    pub async fn turned_away(&self, client: Client, event: Event, code: Code, count: u64) {
        let record = self.bare(event_of(code).unwrap_or(event), client);
        self.keep(record.refused(code, None).counted(count)).await;
    }

    /// Records that a caller, known by then, was refused by the protocol layer.
    pub async fn turn_caller_away(&self, caller: &Caller, failure: &Failure) {
        Refused { code: failure.code() }.emit();
        let record = self.bare(Event::QueryDenied, Client::from(&**caller.peer()));
        let record = record.by(caller.principal(), caller.scopes());
        self.keep(record.refused(failure.code(), failure.cause())).await;
    }

    /// Refusals by the gate are counted and recorded once per caller and window, or a flood would fill the log.
    pub(super) async fn deny(&self, call: &Call, record: Record, failure: &Failure) {
        Refused { code: failure.code() }.emit();
        let record = match failure.code() {
            Code::RateLimited | Code::TooManyCalls | Code::TargetsUsedUp | Code::VolumeUsedUp => {
                match self.gate.due(&call.caller, failure, &self.clock) {
                    Some(count) => record.of(Event::LimitExceeded).counted(count),
                    None => return,
                }
            }
            // A name that no tool has is a stranger's text, and may be a secret that went astray.
            Code::UnknownTool => {
                let name = self.guard.redact_params(Value::from(call.tool.as_str()));
                record.of(Event::QueryDenied).about(call.id.as_str(), name.as_str().unwrap_or_default())
            }
            _ => record.of(Event::QueryDenied),
        };
        self.keep(record.refused(failure.code(), failure.cause().or_else(|| Some(failure.to_string())))).await;
    }

    /// Records a refusal before there is a call. It stands in place of the record that a token was good, with which a flood could
    /// fill the log.
    pub(super) async fn deny_early(&self, caller: &Arc<Caller>, failure: &Failure) {
        Refused { code: failure.code() }.emit();
        if let Some(count) = self.gate.due(caller, failure, &self.clock) {
            let record = self.bare(Event::LimitExceeded, Client::from(&**caller.peer()));
            let record = record.by(caller.principal(), caller.scopes());
            self.keep(record.refused(failure.code(), Some(failure.to_string())).counted(count)).await;
        }
    }

    /// Records refusals by the gate that were counted and not yet recorded.
    pub async fn settle(&self, leftovers: Vec<Leftover>) {
        for Leftover { caller, among, refusals, code, detail } in leftovers {
            let client = match among {
                Among::Caller | Among::Channel => Client { ip: None, ..Client::from(&**caller.peer()) },
                Among::All => Client::default(),
            };
            let record = self.bare(Event::LimitExceeded, client);
            let record = match among {
                Among::Caller => record.by(caller.principal(), caller.scopes()),
                Among::Channel | Among::All => record,
            };
            self.keep(record.refused(code, Some(detail)).counted(refusals)).await;
        }
    }

    /// A refusal stands whether or not it can be recorded; the journal reports its own trouble.
    async fn keep(&self, record: Record) {
        if let Err(failure) = self.trail.note(record).await {
            tracing::error!(reason = %failure.code(), cause = failure.cause(), "a refusal could not be recorded");
        }
    }
}

/// What a record of a refusal by a budget is about, whoever was refused.
fn event_of(code: Code) -> Option<Event> {
    let budget =
        matches!(code, Code::RateLimited | Code::TooManyCalls | Code::TooManyFailures | Code::TooManyHandshakes);
    budget.then_some(Event::LimitExceeded)
}
