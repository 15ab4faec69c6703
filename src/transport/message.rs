//! The JSON-RPC message in a body: one request or notification, strict, and in agreement with its headers.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::hygiene::single;
use crate::error::{Code, Failure};
use crate::identity::{StrictError, check_strict};
use crate::mcp;

/// Deepest nesting of a body; the protocol's own messages need six.
const MAX_DEPTH: usize = 32;
const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// What was learned about a message before it goes on. The id is there even when the message is refused.
pub(super) struct Refused {
    pub(super) id: Value,
    pub(super) failure: Failure,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    meta: Option<Meta<'a>>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Cow<'a, str>>,
}

/// Tells `"id": null` from no id at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Judges a body and its headers.
pub(super) fn check(body: &[u8], headers: &HeaderMap) -> Result<(), Refused> {
    let anonymous = |failure| Refused { id: Value::Null, failure };
    check_strict(body, MAX_DEPTH).map_err(|error| anonymous(strict(&error)))?;
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(anonymous(Failure::new(Code::Batch, "batches are not part of this protocol")));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|error| {
        let failure = Failure::new(Code::InvalidRequest, "the body is not a JSON-RPC 2.0 request or notification");
        anonymous(failure.because(error.to_string()))
    })?;
    let id = envelope.id.clone().unwrap_or(Value::Null);
    envelope.check(headers).map_err(|failure| Refused { id, failure })
}

/// The id and the method as they were read, to compare them with what other readers make of the same body.
#[cfg(any(test, fuzzing))]
pub(super) fn said(body: &[u8]) -> Option<(Option<Value>, String)> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    Some((envelope.id, envelope.method.into_owned()))
}

impl Envelope<'_> {
    fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.jsonrpc != "2.0" {
            return Err(Failure::new(Code::InvalidRequest, "jsonrpc must be \"2.0\""));
        }
        if !matches!(self.id, None | Some(Value::String(_) | Value::Number(_))) {
            return Err(Failure::new(Code::InvalidRequest, "id must be a text or a number"));
        }
        self.check_version(headers)
    }

    /// MCP 2025-11-25 (transports, protocol version header) and 2026-07-28 (versioning). What the protocol layer checks
    /// itself, such as agreement between header and `_meta`, is left to it.
    fn check_version(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let header = single(headers, &VERSION_HEADER)?;
        let declared = self.declared_version()?;
        let unsupported = || {
            let spoken = mcp::versions().join(" and ");
            Failure::new(Code::VersionUnsupported, format!("the protocol versions spoken here are {spoken}"))
        };
        match (header, declared.as_deref()) {
            (_, Some(version)) if !mcp::speaks(version) => Err(unsupported()),
            (Some(header), None) if !mcp::speaks(header) => Err(unsupported()),
            // Without any version a request would be one of 2025-03-26, which is not spoken here.
            (None, None) if self.id.is_some() && !matches!(&*self.method, "initialize" | "server/discover") => {
                Err(Failure::new(Code::VersionUnsupported, "the header MCP-Protocol-Version is missing"))
            }
            _ => Ok(()),
        }
    }

    fn declared_version(&self) -> Result<Option<Cow<'_, str>>, Failure> {
        let Some(params) = self.params else { return Ok(None) };
        if !params.get().starts_with('{') {
            return Err(Failure::new(Code::InvalidRequest, "params must be an object"));
        }
        serde_json::from_str::<Params<'_>>(params.get())
            .map(|params| params.meta.and_then(|meta| meta.version))
            .map_err(|error| {
                Failure::new(Code::InvalidRequest, "_meta is not as it must be").because(error.to_string())
            })
    }
}

fn strict(error: &StrictError) -> Failure {
    match error {
        StrictError::Malformed => Failure::new(Code::MalformedJson, "the body is not one JSON text in UTF-8"),
        StrictError::DuplicateKey => Failure::new(Code::DuplicateKey, "an object in the body has a key twice"),
        StrictError::TooDeep => Failure::new(Code::JsonTooDeep, "the body is nested too deeply"),
    }
}
