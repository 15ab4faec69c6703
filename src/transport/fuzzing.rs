//! What a request is judged by before it is a call, open to the fuzz targets and to nobody else.

use http::HeaderMap;
use http::request::Parts;
use serde_json::Value;

use super::{Names, bearer, hygiene, message};
use crate::authn::Presented;
use crate::error::{Code, Failure};
use crate::mcp::Protocol;

/// The id and the method of a message.
#[derive(Debug)]
pub struct Message {
    /// `None` for a notification.
    pub id: Option<Value>,
    /// The method.
    pub method: String,
}

/// What is read in a body that goes on to the protocol.
///
/// # Errors
/// The refusal of the body.
pub fn message(body: &[u8], headers: &HeaderMap) -> Result<Message, Failure> {
    message::check(body, headers, Protocol::Stateless).map_err(|refused| refused.failure)?;
    let (id, method) = message::said(body)
        .ok_or_else(|| Failure::new(Code::Internal, "a body was accepted that cannot be read a second time"))?;
    Ok(Message { id, method })
}

/// Takes the token out of the headers.
pub fn bearer(headers: &mut HeaderMap) -> Presented {
    bearer::take(headers)
}

/// The origin that may read the answer.
///
/// # Errors
/// The refusal of the name or of the origin.
pub fn names(names: &Names, parts: &Parts) -> Result<Option<String>, Failure> {
    names.check(parts)
}

/// Whether the media types are those of the protocol.
///
/// # Errors
/// The refusal of the header.
pub fn media(headers: &HeaderMap) -> Result<(), Failure> {
    hygiene::check_media(headers)
}

/// Drops what the protocol does not need.
pub fn strip(headers: &mut HeaderMap) {
    hygiene::strip(headers, Protocol::Stateless);
}
