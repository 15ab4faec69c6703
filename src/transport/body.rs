//! Bodies of answers: one that keeps its connection counted as busy until it is sent, and the reading of a refusal.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::activity::Running;
use crate::error::Code;

/// A body whose connection is not idle while there is more to come. A part that was handed over is the client's to take:
/// over HTTP/2 it may never ask for the next, and nothing else would notice.
pub(super) struct Held {
    body: Body,
    running: Running,
}

impl Held {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self { body, running }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.running.rest(frame.is_ready());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Largest refusal that is looked into. It may repeat a header, the method or the id, and those are bounded.
const MOST: usize = 1_048_576;

/// An answer with a status of success.
pub(super) enum Looked {
    /// A result, a stream, or a refusal that the pipeline has recorded.
    Answer(Response),
    /// A refusal of the protocol layer itself.
    Refusal(Response),
}

/// Tells a refusal in an answer from a result. Answers in one piece are looked into; a stream begins with something else.
pub(super) async fn look_into(response: Response) -> Looked {
    if response.body().size_hint().exact().is_none() {
        return Looked::Answer(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let refused =
        begins_as_error(&bytes) && serde_json::from_slice::<Answer<'_>>(&bytes).is_ok_and(|a| a.unexplained());
    let response = Response::from_parts(parts, Body::from(bytes));
    if refused { Looked::Refusal(response) } else { Looked::Answer(response) }
}

/// Whether `error` is met before `result`: quotes within a text are escaped, so nothing that a caller chose looks so.
fn begins_as_error(bytes: &[u8]) -> bool {
    bytes.windows(9).find_map(|window| match window {
        br#""result":"# => Some(false),
        [rest @ .., _] if rest == br#""error":"# => Some(true),
        _ => None,
    }) == Some(true)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: Option<Reported<'a>>,
}

#[derive(Deserialize)]
struct Reported<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl Answer<'_> {
    /// What comes from the pipeline has a reason, and its record.
    fn unexplained(&self) -> bool {
        self.error.as_ref().is_some_and(|error| !error.data.is_some_and(|data| data.get().contains(r#""reason":"#)))
    }
}

/// A refusal of the protocol layer.
pub(super) struct Explained {
    /// The answer again, now with the reason code; `None` when it was not a JSON-RPC error.
    pub(super) answer: Option<Response>,
    /// The reason.
    pub(super) code: Code,
    /// For the operator.
    pub(super) text: String,
}

/// Reads why the protocol layer refused.
pub(super) async fn explain(response: Response) -> Explained {
    let (mut parts, body) = response.into_parts();
    let bytes = Limited::new(body, MOST).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let error = answer.get("error");
    let number = error.and_then(|error| error.get("code")).and_then(Value::as_i64);
    let text = match error.and_then(|error| error.get("message")).and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => String::from_utf8_lossy(&bytes).chars().take(200).collect(),
    };
    let code = match (number, parts.status) {
        (Some(-32020), _) => Code::HeaderMismatch,
        (Some(-32022), _) => Code::VersionUnsupported,
        (Some(-32602), _) if text.contains("_meta") => Code::MetaMissing,
        (Some(-32601), _) => Code::MethodUnknown,
        (_, status) if status.is_server_error() => Code::Internal,
        _ => Code::ProtocolRefused,
    };
    let Some(error) = answer.get_mut("error").and_then(Value::as_object_mut) else {
        return Explained { answer: None, code, text };
    };
    let data = error.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        data.insert("reason".to_owned(), Value::from(code.as_str()));
    }
    parts.headers.remove(CONTENT_LENGTH);
    Explained { answer: Some(Response::from_parts(parts, Body::from(answer.to_string()))), code, text }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures_util::stream;
    use http::Version;

    use super::super::activity::{Activity, Limits};
    use super::*;
    use crate::clock::{Clock, Timestamp};

    #[tokio::test]
    async fn an_answer_keeps_its_connection_while_it_is_made_but_not_while_nobody_takes_it() {
        let second = Duration::from_secs(1);
        let limits = Limits {
            first: second,
            header: second,
            idle: second,
            max_age: second * 60,
            last_call: second,
            idle_bytes: 1,
            body_bytes: 1,
        };
        let clock = Clock::manual(Timestamp::from_seconds(0));
        let activity = Arc::new(Activity::new(clock.clone()));
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(4);
        let parts = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|part| (Ok::<_, std::io::Error>(part), receiver))
        });
        let mut held = Held::new(Body::from_stream(parts), Running::on(&activity, Version::HTTP_2));
        let waiting = tokio::time::timeout(Duration::from_millis(20), held.frame()).await;
        assert!(waiting.is_err(), "nothing has been answered yet");
        clock.advance(second * 3);
        assert!(activity.patience(&limits, false).is_some(), "the answer is still being made");
        sender.send(Bytes::from_static(b"part")).await.unwrap();
        assert!(held.frame().await.is_some());
        assert!(activity.patience(&limits, false).is_some(), "the client has its time to take it");
        clock.advance(second);
        assert!(activity.patience(&limits, false).is_none(), "and no more");
        let asking = tokio::time::timeout(Duration::from_millis(20), held.frame()).await;
        assert!(asking.is_err());
        clock.advance(second * 3);
        assert!(activity.patience(&limits, false).is_some(), "it was taken, and the next part is being made");
        drop(held);
        clock.advance(second);
        assert!(activity.patience(&limits, false).is_none());
    }

    async fn refused(body: &'static str) -> bool {
        matches!(look_into(Response::new(Body::from(body))).await, Looked::Refusal(_))
    }

    #[tokio::test]
    async fn a_refusal_is_told_from_a_result() {
        assert!(refused(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}"#).await);
        assert!(
            refused(r#"{"jsonrpc":"2.0","id":"\"result\":","error":{"code":-32602,"message":"x","data":null}}"#).await
        );
        assert!(!refused(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x","data":{"reason":"r"}}}"#).await);
        assert!(!refused(r#"{"jsonrpc":"2.0","id":1,"result":{"error":{"code":1,"message":"x"}}}"#).await);
        assert!(!refused("").await);
    }
}
