//! Bodies of answers: one that keeps its connection counted as busy until it is sent, and the reading of a refusal.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
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

/// Largest refusal that is looked into.
const MOST: usize = 65_536;

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
        (Some(-32602), _) => Code::MetaMissing,
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
