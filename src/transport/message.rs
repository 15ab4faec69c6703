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
use crate::identity::{MOST_VALUES, StrictError, check_strict, is_hidden};
use crate::mcp::{self, Protocol};

/// Deepest nesting of a body; the protocol's own messages need six.
const MAX_DEPTH: usize = 32;
/// Requests that are answered here. Whatever else the protocol layer knows is never asked of it.
const METHODS: [&str; 5] = ["initialize", "ping", "server/discover", "tools/list", "tools/call"];
/// From this version on an unknown method is a 404; before it, it is an answer like any other.
const MODERN: &str = "2026-07-28";
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
    /// Whether the era of the message has this refusal in an answer with status 200.
    pub(super) in_band: bool,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { id: Value::Null, failure, in_band: false }
    }
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

/// What a message asks for, as far as budgets tell it apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Asks {
    /// A call, which the pipeline counts; of which tool, if it says so.
    Call(Option<String>),
    /// Anything else.
    Other,
}

/// Judges a body and its headers.
pub(super) fn check(body: &[u8], headers: &HeaderMap, protocol: Protocol) -> Result<Asks, Refused> {
    check_strict(body, MAX_DEPTH).map_err(|error| strict(&error))?;
    check_single(body)?;
    if protocol.is_answer(body) {
        return Ok(Asks::Other);
    }
    let envelope = read_envelope(body)?;
    // What is no id is not repeated either.
    let id = envelope.id.clone().filter(is_id).unwrap_or(Value::Null);
    let (version, subject) = match envelope.check(headers) {
        Ok(checked) => checked,
        Err(failure) => return Err(Refused { id, failure, in_band: false }),
    };
    envelope.check_method(version.as_deref(), protocol).map_err(|failure| {
        let modern = version.as_deref().is_some_and(|version| version >= MODERN);
        Refused { id, failure, in_band: !modern }
    })?;
    Ok(envelope.asks(subject))
}

/// Judges a line of a local caller, who has no headers. Versions are the protocol layer's to judge there, which knows what
/// was agreed on at the start. What it asks for, and under which id, if it wants an answer.
pub(super) fn check_line(line: &[u8]) -> Result<(Asks, Option<Value>), Refused> {
    check_strict(line, MAX_DEPTH).map_err(|error| strict(&error))?;
    check_single(line)?;
    let envelope = read_envelope(line)?;
    let id = envelope.id.clone().filter(is_id).unwrap_or(Value::Null);
    let judged = envelope.check_form().and_then(|()| envelope.params().map(|_| ()));
    let judged = judged.and_then(|()| envelope.check_method(None, Protocol::Stateless));
    match judged {
        Ok(()) => Ok((envelope.asks(None), envelope.id)),
        Err(failure) => Err(Refused { id, failure, in_band: true }),
    }
}

fn check_single(body: &[u8]) -> Result<(), Failure> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Failure::new(Code::Batch, "batches are not part of this protocol"));
    }
    Ok(())
}

fn read_envelope(body: &[u8]) -> Result<Envelope<'_>, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let failure = Failure::new(Code::InvalidRequest, "the body is not a JSON-RPC 2.0 request or notification");
        failure.because(error.to_string())
    })
}

/// A text of bounded length that may stand in a log as it is, or a whole number that the protocol layer can hold.
fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => text.len() <= LONGEST_ID && !text.contains(is_hidden),
        Value::Number(number) => number.is_i64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The id and the method as they were read, to compare them with what other readers make of the same body.
#[cfg(any(test, fuzzing))]
pub(super) fn said(body: &[u8]) -> Option<(Option<Value>, String)> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    Some((envelope.id, envelope.method.into_owned()))
}

impl Envelope<'_> {
    /// Checks all but the method; gives the version that is spoken, if the message or its headers say, and what the message is
    /// about.
    fn check<'h>(&'h self, headers: &'h HeaderMap) -> Result<(Option<Cow<'h, str>>, Option<String>), Failure> {
        self.check_form()?;
        let mut params = self.params()?;
        let version = self.check_version(headers, params.version.take())?;
        self.check_agreement(headers, &params)?;
        // A longer one is the name of nothing, and is not held a second time.
        let subject = params.subject(&self.method).filter(|subject| subject.len() <= LONGEST_METHOD).map(str::to_owned);
        Ok((version, subject))
    }

    fn asks(&self, subject: Option<String>) -> Asks {
        let calls = self.method == "tools/call" && self.id.is_some();
        if calls { Asks::Call(subject) } else { Asks::Other }
    }

    fn check_form(&self) -> Result<(), Failure> {
        if self.jsonrpc != "2.0" {
            return Err(Failure::new(Code::InvalidRequest, "jsonrpc must be \"2.0\""));
        }
        if !self.id.as_ref().is_none_or(is_id) {
            return Err(Failure::new(
                Code::InvalidRequest,
                "id must be a short text of visible characters or a whole number of 64 bits",
            ));
        }
        if self.method.len() > LONGEST_METHOD {
            return Err(Failure::new(Code::InvalidRequest, "the method is longer than any in use"));
        }
        Ok(())
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

    /// A notification has no answer, so one that is not known is passed over later. Nor are methods a matter in a version
    /// that is not spoken: it is refused later, before any of them.
    fn check_method(&self, version: Option<&str>, protocol: Protocol) -> Result<(), Failure> {
        let unspoken = version.is_some_and(|version| !mcp::speaks(version));
        if self.id.is_none() || unspoken || protocol.serves_every_method() || METHODS.contains(&&*self.method) {
            return Ok(());
        }
        let method: String = self.method.chars().take(64).collect();
        Err(Failure::new(Code::MethodUnknown, "there is no such method here").because(method))
    }

    /// MCP 2025-11-25 (transports, protocol version header). A version in `_meta` is one of 2026-07-28, and left to the
    /// protocol layer: that it agrees with the header comes first, and a refusal repeats what was asked for.
    fn check_version<'h>(
        &self,
        headers: &'h HeaderMap,
        declared: Option<Cow<'h, str>>,
    ) -> Result<Option<Cow<'h, str>>, Failure> {
        let header = single(headers, &VERSION_HEADER)?;
        let unsupported = || {
            let spoken = mcp::versions().join(" and ");
            Failure::new(Code::VersionUnsupported, format!("the protocol versions spoken here are {spoken}"))
        };
        match (header, declared.as_deref()) {
            (Some(header), None) if !mcp::speaks(header) => Err(unsupported()),
            // Without any version a request would be one of 2025-03-26, which is not spoken here.
            (None, None) if self.id.is_some() && !matches!(&*self.method, "initialize" | "server/discover") => {
                Err(Failure::new(Code::VersionUnsupported, "the header MCP-Protocol-Version is missing"))
            }
            _ => Ok(declared.or(header.map(Cow::Borrowed))),
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
        if !headers.contains_key(NAME_HEADER) {
            return Ok(());
        }
        // A message that is about nothing has no name either.
        match (stated(headers, &NAME_HEADER).and_then(decoded), params.subject(&self.method)) {
            (Some(name), Some(subject)) if name == subject => Ok(()),
            _ => differs(&NAME_HEADER),
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
        StrictError::TooMany => Failure::new(Code::JsonTooMany, format!("the body has more than {MOST_VALUES} values")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(version: &str, body: &str) -> Option<(Code, Value, bool)> {
        let mut headers = HeaderMap::new();
        headers.insert(VERSION_HEADER, version.parse().unwrap());
        check(body.as_bytes(), &headers, Protocol::Stateless)
            .err()
            .map(|refused| (refused.failure.code(), refused.id, refused.in_band))
    }

    #[test]
    fn a_method_that_is_not_served_never_reaches_the_protocol_layer() {
        for method in ["tasks/get", "prompts/list", "subscriptions/listen", "logging/setLevel", "Tools/call", ""] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"a","method":"{method}"}}"#);
            assert_eq!(refusal("2025-11-25", &body), Some((Code::MethodUnknown, "a".into(), true)), "{method}");
            assert_eq!(refusal("2026-07-28", &body), Some((Code::MethodUnknown, "a".into(), false)), "{method}");
        }
        for method in METHODS {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
            assert_eq!(refusal("2025-11-25", &body), None, "{method}");
        }
        assert_eq!(refusal("2025-11-25", r#"{"jsonrpc":"2.0","method":"notifications/anything"}"#), None);
    }

    #[test]
    fn a_list_is_not_read_as_an_object() {
        for params in [r#"["get_uptime"]"#, r#"{"_meta":["2025-11-25"]}"#, r#"{"_meta":[]}"#, r#"{"_meta":"x"}"#, "7"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#);
            assert_eq!(refusal("2025-11-25", &body), Some((Code::InvalidRequest, 1.into(), false)), "{params}");
        }
        for params in ["{}", "null", r#"{"_meta":null}"#, r#" {"_meta": {}}"#] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#);
            assert_eq!(refusal("2025-11-25", &body), None, "{params}");
        }
    }

    #[test]
    fn headers_that_name_another_call_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(VERSION_HEADER, "2025-11-25".parse().unwrap());
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é"}}"#;
        let judge = |headers: &HeaderMap| {
            check(body.as_bytes(), headers, Protocol::Stateless).map_err(|refused| refused.failure.code())
        };
        headers.insert(METHOD_HEADER, "tools/call".parse().unwrap());
        headers.insert(NAME_HEADER, "=?base64?w6k=?=".parse().unwrap());
        assert_eq!(judge(&headers), Ok(Asks::Call(Some("é".to_owned()))));
        for (name, value) in [(METHOD_HEADER, "tools/list"), (NAME_HEADER, "e"), (NAME_HEADER, "=?base64?w6k?=")] {
            let mut headers = headers.clone();
            headers.insert(&name, value.parse().unwrap());
            assert_eq!(judge(&headers), Err(Code::HeaderMismatch), "{name}: {value}");
        }
        headers.remove(METHOD_HEADER);
        headers.insert(NAME_HEADER, "get_uptime".parse().unwrap());
        for (method, params) in
            [("ping", "{}"), ("tools/list", r#"{"name":"get_uptime"}"#), ("tools/call", r#"{"name":1}"#)]
        {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
            let judged =
                check(body.as_bytes(), &headers, Protocol::Stateless).map_err(|refused| refused.failure.code());
            assert_eq!(judged, Err(Code::HeaderMismatch), "{method}");
        }
    }

    #[test]
    fn an_id_that_the_protocol_layer_cannot_hold_is_refused_and_not_repeated() {
        let long = format!("\"{}\"", "x".repeat(LONGEST_ID + 1));
        let steering = [r#""x\n""#, r#""\u001b[2J""#, r#""\u0085""#, "\"\u{9b}31m\"", r#""a\u202eb""#, r#""\u2028""#];
        let wrong = ["1.5", "1e3", "9223372036854775808", "null", "true", r#"{"a":1}"#, "[]", &long];
        for id in wrong.into_iter().chain(steering) {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
            assert_eq!(refusal("2025-11-25", &body), Some((Code::InvalidRequest, Value::Null, false)), "{id}");
        }
        for id in ["-1", "9223372036854775807", r#""""#, r#""grüß 日本""#] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
            assert_eq!(refusal("2025-11-25", &body), None, "{id}");
        }
    }
}
