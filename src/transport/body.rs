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

use super::connection::Running;
use crate::error::Code;

/// A body whose connection is not idle while it is sent.
pub(super) struct Held {
    body: Body,
    _running: Running,
}

impl Held {
    pub(super) fn new(body: Body, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
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

/// Reads why the protocol layer refused: the answer again, now with the reason code, the code itself, and the text for
/// the operator.
pub(super) async fn explain(response: Response) -> (Response, Code, String) {
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
        return (Response::from_parts(parts, Body::from(bytes)), code, text);
    };
    let data = error.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(data) = data {
        data.insert("reason".to_owned(), Value::from(code.as_str()));
    }
    parts.headers.remove(CONTENT_LENGTH);
    (Response::from_parts(parts, Body::from(answer.to_string())), code, text)
}

#[cfg(test)]
mod tests {
    use super::*;

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
