//! One message to the door and what comes back to the client: at most one answer for each request, always one unless the
//! client called it back, and none for anything else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Report;
use super::door::{Answer, Post};
use super::events::{Events, collect, patient};
use super::flights::Flight;
use super::message::{Id, Kind, Message, one_line};
use super::refusal::Refusal;
use super::tokens::Tokens;
use super::wire::Learned;
use crate::error::{Code, Failure};

/// Longest answer, and longest event of a stream, in bytes.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// What to look at when there is no answer at all; which of them it is stands in the cause.
const UNREACHED: &str = "see that it is up, that --ca vouches for it and that it knows the issuer of --cert";

/// A line for the client; not written if its request was called back meanwhile.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) unless: Option<CancellationToken>,
}

/// What all messages on their way share.
pub(super) struct Relay {
    pub(super) door: Box<dyn Post>,
    pub(super) tokens: Tokens,
    pub(super) silence: Duration,
    pub(super) report: Report,
    pub(super) lines: mpsc::Sender<Line>,
    pub(super) learned: Mutex<Learned>,
    pub(super) warned: AtomicBool,
}

impl Relay {
    /// Carries `message`, whose text is `text`, there and its answer back.
    pub(super) async fn carry(&self, text: String, message: Message, flight: Option<Flight>) {
        let cancelled = flight.as_ref().map(Flight::cancelled);
        let exchange = self.exchange(text, &message, cancelled);
        let result = match cancelled {
            Some(cancelled) => cancelled.run_until_cancelled(exchange).await,
            None => Some(exchange.await),
        };
        match (result, &message.kind) {
            (None | Some(Ok(())), _) => {}
            (Some(Err(refusal)), Kind::Request(id)) => self.refuse(Some(id), &refusal).await,
            (Some(Err(refusal)), Kind::Notification | Kind::Response(_)) => self.tell(&refusal),
        }
    }

    /// Answers with an error and says so to the operator.
    pub(super) async fn refuse(&self, id: Option<&Id>, refusal: &Refusal) {
        self.tell(refusal);
        self.write(refusal.answer(id), None).await;
    }

    /// Returns when nobody reads the answers any more.
    pub(super) async fn abandoned(&self) {
        self.lines.closed().await;
    }

    async fn exchange(
        &self,
        text: String,
        message: &Message,
        cancelled: Option<&CancellationToken>,
    ) -> Result<(), Refusal> {
        let token = self.tokens.next().await.map_err(|failure| Refusal::from(failure).while_trying("no token"))?;
        let headers = self.learned.lock().unwrap_or_else(PoisonError::into_inner).headers(message, token.as_ref())?;
        drop(token);
        let answer = self.door.post(headers, Bytes::from(text)).await;
        let Answer { status, headers, body } = answer
            .map_err(|failure| Refusal::from(failure).while_trying("the door did not answer").advising(UNREACHED))?;
        if status == StatusCode::UNAUTHORIZED {
            self.tokens.refused();
        }
        let body = patient(body, self.silence);
        match (form(&headers), &message.kind) {
            // What answers no request says at most that it was refused.
            (_, Kind::Notification | Kind::Response(_)) if status.is_success() => Ok(()),
            (Form::Events, Kind::Request(id)) if status.is_success() => {
                self.stream(Events::new(body, ANSWER_BYTES), message, id, cancelled).await
            }
            (Form::Json, kind) => {
                let body = collect(body, ANSWER_BYTES).await?;
                self.single(status, &headers, &body, message, kind, cancelled).await
            }
            (Form::Events | Form::Other, _) => Err(Refusal::by_door(status, &headers, None)),
        }
    }

    /// One JSON text: the answer, whatever its status, if it is one for this request.
    async fn single(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        message: &Message,
        kind: &Kind,
        cancelled: Option<&CancellationToken>,
    ) -> Result<(), Refusal> {
        let text = std::str::from_utf8(body).unwrap_or_default();
        let refusal = || Refusal::by_door(status, headers, serde_json::from_str(text).ok().as_ref());
        match (Message::parse(text), kind) {
            (Ok(answer), Kind::Request(id)) if answer.kind == Kind::Response(Some(id.clone())) => {
                if !status.is_success() {
                    self.tell(&refusal());
                }
                self.deliver(text, message, &answer, cancelled).await;
                Ok(())
            }
            _ => Err(refusal()),
        }
    }

    /// A stream: what belongs to the request, in order, up to its answer.
    async fn stream(
        &self,
        mut events: Events,
        message: &Message,
        id: &Id,
        cancelled: Option<&CancellationToken>,
    ) -> Result<(), Refusal> {
        while let Some(text) = events.next().await? {
            let event = Message::parse(&text).map_err(|fault| {
                Refusal::from(
                    Failure::new(Code::Upstream, "the door sent an event that is not JSON-RPC").because(fault.failure),
                )
            })?;
            match &event.kind {
                Kind::Response(Some(answered)) if answered == id => {
                    self.deliver(&text, message, &event, cancelled).await;
                    return Ok(());
                }
                Kind::Response(_) => {
                    return Err(Failure::new(Code::Upstream, "the door answered another request than this").into());
                }
                Kind::Request(_) | Kind::Notification => self.write(one_line(&text), cancelled.cloned()).await,
            }
        }
        Err(Failure::new(Code::Upstream, "the door ended its answer too early").into())
    }

    /// What is learned from an answer is known before the client can read it, and so before its next request.
    async fn deliver(&self, text: &str, message: &Message, answer: &Message, cancelled: Option<&CancellationToken>) {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).learn(message, answer);
        self.write(one_line(text), cancelled.cloned()).await;
    }

    async fn write(&self, text: String, unless: Option<CancellationToken>) {
        // An error means that nobody reads any more; then the bridge ends by itself.
        let _ = self.lines.send(Line { text, unless }).await;
    }

    fn tell(&self, refusal: &Refusal) {
        (self.report)(&refusal.report());
        if refusal.is_about_credentials() && !self.warned.swap(true, Ordering::Relaxed) {
            (self.report)("still running: each request is tried anew with a new token");
        }
    }
}

/// The form of an answer.
enum Form {
    Json,
    Events,
    Other,
}

fn form(headers: &HeaderMap) -> Form {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Form::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        Form::Events
    } else {
        Form::Other
    }
}
