//! A refusal as an HTTP answer: status, reason code, a JSON-RPC error with the request's id, and nothing that helps to guess.

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::allowance;
use super::bearer::Challenge;
use crate::error::{Code, Failure, JsonRpc};
use crate::mcp;

/// A refusal as a JSON-RPC error. `id` is the id of the request, where it is known.
pub(super) fn error(failure: &Failure, id: Value) -> Value {
    let code = failure.code();
    let number = match code.json_rpc() {
        JsonRpc::Error(number) => number,
        JsonRpc::ToolError => -32600,
    };
    let mut data = serde_json::json!({ "reason": code.as_str() });
    if code == Code::VersionUnsupported
        && let Value::Object(data) = &mut data
    {
        data.insert("supported".to_owned(), serde_json::json!(mcp::versions()));
    }
    let error = serde_json::json!({ "code": number, "message": failure.public(), "data": data });
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// The answer to a request that was refused before dispatch. `id` is the JSON-RPC id, where it is known.
pub(super) fn refusal(failure: &Failure, id: Value, challenge: &Challenge) -> Response {
    let (code, body) = (failure.code(), error(failure, id));
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = challenge.for_failure(failure) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    match (response.status(), failure.wait()) {
        (_, Some(wait)) => allowance::tell_wait(response.headers_mut(), wait),
        (StatusCode::METHOD_NOT_ALLOWED, None) => {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, OPTIONS"));
        }
        (StatusCode::SERVICE_UNAVAILABLE, None) => {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        _ => {}
    }
    response
}

/// A JSON document.
pub(super) fn json(document: &Value) -> Response {
    let mut response = Response::new(Body::from(document.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
