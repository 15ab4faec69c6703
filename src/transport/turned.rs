//! Requests that are turned away: each is answered and counted, and recorded one by one or, of many, together.

use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde_json::Value;

use super::body::{self, Explained, Looked};
use super::connection::Connection;
use super::https::Front;
use super::reply;
use super::strangers::{Reason, Strangers};
use crate::audit::Client;
use crate::authn::Caller;
use crate::error::{Code, Failure};
use crate::telemetry::Refused;

/// Refusals before the caller is known.
#[derive(Clone, Copy)]
pub(super) struct Outside<'a> {
    pub(super) front: &'a Front,
    pub(super) connection: &'a Connection,
    pub(super) strangers: &'a Strangers,
}

impl Outside<'_> {
    /// Whether a refusal has a record of its own; if not, it is counted.
    pub(super) fn due(&self, code: Code, known: bool) -> bool {
        self.strangers.due_from(self.connection.peer(), Reason { code, known }, self.front.door.clock.instant())
    }

    pub(super) async fn refuse(&self, failure: &Failure) -> Response {
        if self.due(failure.code(), false) {
            self.front.door.turn_away(Client::from(&**self.connection.peer()), failure).await;
        } else {
            Refused { code: failure.code() }.emit();
        }
        reply::refusal(failure, Value::Null, &self.front.challenge)
    }
}

/// Refusals of a known caller.
pub(super) struct Inside<'a> {
    pub(super) outside: Outside<'a>,
    pub(super) caller: &'a Caller,
}

impl Inside<'_> {
    pub(super) async fn refuse(&self, failure: &Failure, id: Value) -> Box<Response> {
        self.record(failure).await;
        Box::new(reply::refusal(failure, id, &self.outside.front.challenge))
    }

    async fn record(&self, failure: &Failure) {
        if self.outside.due(failure.code(), true) {
            self.outside.front.door.turn_caller_away(self.caller, failure).await;
        } else {
            Refused { code: failure.code() }.emit();
        }
    }

    /// The protocol layer has refusals of its own; they get their record here. In the older era they are answered with
    /// 200 like everything else. Whether it was such a refusal is said.
    pub(super) async fn watch(&self, mut response: Response) -> (Response, bool) {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if response.status().is_success() {
            response = match body::look_into(response).await {
                Looked::Answer(answer) => return (answer, false),
                Looked::Refusal(refusal) => refusal,
            };
        }
        let status = response.status();
        let Explained { answer, code, text } = body::explain(response).await;
        let failure = Failure::new(code, "the protocol layer refused the message").because(text);
        self.record(&failure).await;
        let answer = match answer {
            Some(answer) if !status.is_server_error() => answer,
            // Not in the words of the protocol, or a defect; what it says is for the operator.
            _ => {
                let mut answer = reply::refusal(&failure, Value::Null, &self.outside.front.challenge);
                if status.is_client_error() {
                    *answer.status_mut() = status;
                }
                answer
            }
        };
        (answer, true)
    }
}
