//! The calls of the demo: the right way in, and the wrong ones.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::estate::Estate;
use crate::authn::mint::Mint;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::net::{Options, Outbound};
use crate::secret::Secret;

const VERSION: &str = "2026-07-28";

/// One call, not yet made.
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) expected: Expected,
    pub(super) play: Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>,
}

/// What the door said.
pub(super) struct Answer {
    status: u16,
    body: Value,
}

/// What it should say.
pub(super) enum Expected {
    /// A result that has this member.
    Result(&'static str),
    /// This status and reason code.
    Refusal(u16, Code),
    /// No answer at all: the handshake is refused, and this is why.
    Handshake(Code),
}

impl Expected {
    /// Whether it is what was seen; `reason` is what the audit log gives as the last one.
    pub(super) fn fits(&self, seen: &Result<Answer, Failure>, reason: Option<&str>) -> bool {
        match (self, seen) {
            (Self::Result(member), Ok(answer)) => {
                let result = answer.body.get("result");
                let failed = result.and_then(|result| result.get("isError")).and_then(Value::as_bool) == Some(true);
                answer.status == 200 && !failed && result.is_some_and(|result| result.get(*member).is_some())
            }
            (Self::Refusal(status, code), Ok(answer)) => {
                answer.status == *status && answer.reason() == Some(code.as_str())
            }
            (Self::Handshake(code), Err(_)) => reason == Some(code.as_str()),
            (Self::Handshake(_), Ok(_)) | (_, Err(_)) => false,
        }
    }
}

impl Answer {
    fn reason(&self) -> Option<&str> {
        self.body.pointer("/error/data/reason").and_then(Value::as_str)
    }
}

/// The gist of an answer in a line.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.body.get("error") {
            let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
            return write!(f, "{} {}: {message}", self.status, self.reason().unwrap_or("?"));
        }
        let result = self.body.get("result").unwrap_or(&Value::Null);
        if let Some(tools) = result.get("tools").and_then(Value::as_array) {
            let names: Vec<_> = tools.iter().filter_map(|tool| tool.get("name").and_then(Value::as_str)).collect();
            return write!(f, "{} {} tools: {}", self.status, names.len(), names.join(", "));
        }
        let gist = result.get("structuredContent").or_else(|| result.get("supportedVersions")).unwrap_or(result);
        let text: String = gist.to_string().chars().take(480).collect();
        write!(f, "{} {text}", self.status)
    }
}

/// A client with one certificate.
struct Client {
    outbound: Outbound,
    url: String,
}

impl Client {
    fn new(estate: &Estate, certificate: Option<&str>) -> Result<Arc<Self>, Failure> {
        let read = |name: &str| {
            std::fs::read(estate.path(name))
                .map_err(|error| Failure::new(Code::Io, "a file cannot be read").because(error))
        };
        let identity = match certificate {
            Some(name) => Some((read(&format!("{name}.crt"))?, Secret::new(read(&format!("{name}.key"))?))),
            None => None,
        };
        let options = Options { ca_pem: Some(read("ca/ca.crt")?), identity, connect_timeout: Duration::from_secs(5) };
        Ok(Arc::new(Self { outbound: Outbound::new(options)?, url: estate.url() }))
    }

    async fn call(&self, token: Option<Secret<String>>, method: &str, params: Value) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        let text = |text: &str| {
            HeaderValue::from_str(text).map_err(|error| Failure::new(Code::Internal, "not a header").because(error))
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(HeaderName::from_static("mcp-protocol-version"), text(VERSION)?);
        headers.insert(HeaderName::from_static("mcp-method"), text(method)?);
        if let Some(name) = params.get("name").and_then(Value::as_str) {
            headers.insert(HeaderName::from_static("mcp-name"), text(name)?);
        }
        if let Some(token) = token {
            let mut value = text(&format!("Bearer {}", token.expose()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": with_meta(params) });
        let reply =
            self.outbound.post(&self.url, headers, Bytes::from(body.to_string()), Duration::from_secs(10)).await?;
        let status = reply.status.as_u16();
        let bytes = reply.collect(4_194_304).await?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }
}

fn with_meta(params: Value) -> Value {
    let mut params = params;
    if let Value::Object(members) = &mut params {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "doorward-demo", "version": env!("CARGO_PKG_VERSION") },
        });
        members.insert("_meta".to_owned(), meta);
    }
    params
}

/// All of them, in order.
pub(super) fn all(estate: &Estate, clock: &Clock) -> Result<Vec<Step>, Failure> {
    let now = clock.now();
    let token = |scope: &str, at: Timestamp| {
        let wish = Mint {
            agent: Some("demo-agent".to_owned()),
            scopes: vec![scope.to_owned()],
            ..Mint::new(estate.issuer(), estate.url(), "alice")
        };
        estate.minter()?.mint(&wish, at)
    };
    let agent = Client::new(estate, Some("client"))?;
    let stranger = Client::new(estate, Some("stranger"))?;
    let nobody = Client::new(estate, None)?;
    let cpu = || json!({ "name": "get_cpu_info", "arguments": {} });
    let twice = token("core", now)?;
    let step = |title, expected, client: &Arc<Client>, token: Option<Secret<String>>, method: &'static str, params| {
        let client = Arc::clone(client);
        let play: Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>> =
            Box::pin(async move { client.call(token, method, params).await });
        Step { title, expected, play }
    };
    let long_ago = now.minus(Duration::from_secs(3600));
    Ok(vec![
        step(
            "discover: which versions and capabilities",
            Expected::Result("supportedVersions"),
            &agent,
            Some(token("core", now)?),
            "server/discover",
            json!({}),
        ),
        step(
            "list the tools that this token opens",
            Expected::Result("tools"),
            &agent,
            Some(token("core", now)?),
            "tools/list",
            json!({}),
        ),
        step(
            "call get_cpu_info: certificate, token, scope, audit, then real data",
            Expected::Result("structuredContent"),
            &agent,
            Some(twice.clone()),
            "tools/call",
            cpu(),
        ),
        step(
            "the same token again",
            Expected::Refusal(401, Code::TokenReplayed),
            &agent,
            Some(twice),
            "tools/call",
            cpu(),
        ),
        step(
            "a token that has expired",
            Expected::Refusal(401, Code::TokenExpired),
            &agent,
            Some(token("core", long_ago)?),
            "tools/call",
            cpu(),
        ),
        step("no token", Expected::Refusal(401, Code::TokenMissing), &agent, None, "tools/call", cpu()),
        step(
            "a scope that does not open the tool: it answers as if there were no such tool",
            Expected::Refusal(200, Code::UnknownTool),
            &agent,
            Some(token("clock", now)?),
            "tools/call",
            cpu(),
        ),
        step(
            "a certificate of the same authority that is not on the allowlist",
            Expected::Refusal(403, Code::SubjectNotAllowed),
            &stranger,
            Some(token("core", now)?),
            "tools/call",
            cpu(),
        ),
        step(
            "no client certificate",
            Expected::Handshake(Code::CertificateMissing),
            &nobody,
            Some(token("core", now)?),
            "tools/call",
            cpu(),
        ),
    ])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer that nobody gave.
    pub(crate) fn answer(status: u16, body: Value) -> Answer {
        Answer { status, body }
    }

    #[test]
    fn only_what_was_to_be_expected_fits() {
        let refused = || Ok(answer(401, json!({ "error": { "data": { "reason": "token_replayed" } } })));
        let result = |error: bool| Ok(answer(200, json!({ "result": { "isError": error, "tools": [] } })));
        let gone = || Err(Failure::new(Code::Upstream, "broken off"));
        let expected = Expected::Refusal(401, Code::TokenReplayed);
        assert!(expected.fits(&refused(), None));
        assert!(!expected.fits(&result(false), None) && !expected.fits(&gone(), Some("token_replayed")));
        assert!(!Expected::Refusal(401, Code::TokenExpired).fits(&refused(), None));
        assert!(Expected::Result("tools").fits(&result(false), None));
        assert!(!Expected::Result("tools").fits(&result(true), None));
        assert!(!Expected::Result("content").fits(&result(false), None));
        let expected = Expected::Handshake(Code::CertificateMissing);
        assert!(expected.fits(&gone(), Some("certificate_missing")));
        assert!(!expected.fits(&gone(), None) && !expected.fits(&result(false), Some("certificate_missing")));
    }
}
