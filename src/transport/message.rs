//! The JSON-RPC message in a body: one request or notification, strict, and in agreement with its headers.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::hygiene::single;
use super::params::Params;
use crate::error::{Code, Failure};
use crate::identity::{StrictError, check_strict};
use crate::mcp;

/// Deepest nesting of a body; the protocol's own messages need six.
const MAX_DEPTH: usize = 32;
/// Longest name of a method and longest id, in bytes; answers and records repeat them.
const LONGEST_METHOD: usize = 128;
const LONGEST_ID: usize = 1024;
const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD_HEADER: HeaderName = HeaderName::from_static("mcp-method");
const NAME_HEADER: HeaderName = HeaderName::from_static("mcp-name");

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
    let id = envelope.id.clone().filter(|id| id.is_string() || id.is_number()).unwrap_or(Value::Null);
    envelope.check(headers).map_err(|failure| Refused { id, failure })
}

impl Envelope<'_> {
    fn check(&self, headers: &HeaderMap) -> Result<(), Failure> {
        if self.jsonrpc != "2.0" {
            return Err(Failure::new(Code::InvalidRequest, "jsonrpc must be \"2.0\""));
        }
        if !matches!(self.id, None | Some(Value::String(_) | Value::Number(_))) {
            return Err(Failure::new(Code::InvalidRequest, "id must be a text or a number"));
        }
        let id_length = self.id.as_ref().and_then(Value::as_str).map_or(0, str::len);
        if self.method.len() > LONGEST_METHOD || id_length > LONGEST_ID {
            return Err(Failure::new(Code::InvalidRequest, "the method or the id is longer than any in use"));
        }
        let params = self.params()?;
        self.check_version(headers, params.version.as_deref())?;
        self.check_agreement(headers, &params)
    }

    fn params(&self) -> Result<Params<'_>, Failure> {
        let Some(params) = self.params else { return Ok(Params::default()) };
        if !params.get().starts_with('{') {
            return Err(Failure::new(Code::InvalidRequest, "params must be an object"));
        }
        serde_json::from_str(params.get()).map_err(|error| {
            Failure::new(Code::InvalidRequest, "params are not as they must be").because(error.to_string())
        })
    }

    /// MCP 2025-11-25 (transports, protocol version header) and 2026-07-28 (versioning). What the protocol layer checks
    /// itself, such as agreement between header and `_meta`, is left to it.
    fn check_version(&self, headers: &HeaderMap, declared: Option<&str>) -> Result<(), Failure> {
        let header = single(headers, &VERSION_HEADER)?;
        let unsupported = || {
            let spoken = mcp::versions().join(" and ");
            Failure::new(Code::VersionUnsupported, format!("the protocol versions spoken here are {spoken}"))
        };
        match (header, declared) {
            (_, Some(version)) if !mcp::speaks(version) => Err(unsupported()),
            (Some(header), None) if !mcp::speaks(header) => Err(unsupported()),
            // Without any version a request would be one of 2025-03-26, which is not spoken here.
            (None, None) if self.id.is_some() && !matches!(&*self.method, "initialize" | "server/discover") => {
                Err(Failure::new(Code::VersionUnsupported, "the header MCP-Protocol-Version is missing"))
            }
            _ => Ok(()),
        }
    }

    /// What `Mcp-Method` and `Mcp-Name` say must be so, in either era: something on the way may have judged by them. That
    /// they must be there in the newer one is the protocol layer's to check.
    fn check_agreement(&self, headers: &HeaderMap, params: &Params<'_>) -> Result<(), Failure> {
        let differs = |name: &HeaderName| {
            Err(Failure::new(Code::HeaderMismatch, format!("the header {name} does not say what the body says")))
        };
        if headers.contains_key(METHOD_HEADER) && stated(headers, &METHOD_HEADER).as_deref() != Some(&*self.method) {
            return differs(&METHOD_HEADER);
        }
        match params.subject(&self.method) {
            Some(subject) if headers.contains_key(NAME_HEADER) => match stated(headers, &NAME_HEADER).and_then(decoded)
            {
                Some(name) if name == subject => Ok(()),
                _ => differs(&NAME_HEADER),
            },
            _ => Ok(()),
        }
    }
}

/// A header that stands once and is plain text.
fn stated(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    single(headers, name).ok().flatten().map(str::to_owned)
}

/// Names beyond visible ASCII travel as `=?base64?…?=` (MCP 2026-07-28, transports).
fn decoded(text: String) -> Option<String> {
    match text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) {
        Some(coded) => String::from_utf8(STANDARD.decode(coded).ok()?).ok(),
        None => Some(text),
    }
}

fn strict(error: &StrictError) -> Failure {
    match error {
        StrictError::Malformed => Failure::new(Code::MalformedJson, "the body is not one JSON text in UTF-8"),
        StrictError::DuplicateKey => Failure::new(Code::DuplicateKey, "an object in the body has a key twice"),
        StrictError::TooDeep => Failure::new(Code::JsonTooDeep, "the body is nested too deeply"),
    }
}
