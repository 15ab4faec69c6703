//! Why a request has no answer of its own: what happened and what to do about it, as a JSON-RPC error for the client and
//! as a line for the person who runs the bridge. Neither shows a token.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::message::Id;
use crate::error::{Code, Failure, JsonRpc};
use crate::identity::is_hidden;

/// Longest text taken over from the other side, in characters.
const TEXT: usize = 400;

/// A refusal, ready to be told.
#[derive(Debug)]
pub(super) struct Refusal {
    code: i64,
    reason: String,
    status: Option<StatusCode>,
    message: String,
    cause: Option<String>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self {
            code: json_rpc(failure.code()),
            reason: failure.code().as_str().to_owned(),
            status: None,
            message: failure.public().to_owned(),
            cause: failure.cause(),
        }
    }
}

impl Refusal {
    /// From an HTTP answer that is no answer to the message: its status, its challenge (RFC 6750 section 3) and what its
    /// body says, as far as it is JSON.
    pub(super) fn by_door(status: StatusCode, headers: &HeaderMap, body: Option<&Value>) -> Self {
        let challenge = challenge(headers);
        let error = body.and_then(|body| body.get("error"));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(printable).filter(|text| !text.is_empty());
        let reason = text(error.and_then(|error| error.get("data")?.get("reason")))
            .or_else(|| challenge.error.clone())
            .or_else(|| text(error))
            .unwrap_or_else(|| format!("http_{}", status.as_u16()));
        let said = text(error.and_then(|error| error.get("message")))
            .or(challenge.description)
            .or_else(|| text(body.and_then(|body| body.get("error_description"))));
        let mut message = format!("{} ({reason})", summary(status));
        for part in [said.as_deref(), advice(status, &reason)].into_iter().flatten() {
            message.push_str(": ");
            message.push_str(part);
        }
        let code = match status {
            StatusCode::UNAUTHORIZED => json_rpc(Code::TokenMissing),
            StatusCode::FORBIDDEN => json_rpc(Code::InsufficientScope),
            _ => json_rpc(Code::Upstream),
        };
        let code = error.and_then(|error| error.get("code")?.as_i64()).unwrap_or(code);
        Self { code, reason, status: Some(status), message, cause: None }
    }

    /// The same, with what was being tried in front.
    pub(super) fn while_trying(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The same, with what to do about it behind.
    pub(super) fn advising(mut self, advice: &str) -> Self {
        self.message = format!("{}: {advice}", self.message);
        self
    }

    /// Whether the certificate or the token was refused, so that a later try may well go better.
    pub(super) fn is_about_credentials(&self) -> bool {
        matches!(self.status, Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
    }

    /// The JSON-RPC error, on one line.
    pub(super) fn answer(&self, id: Option<&Id>) -> String {
        let mut data = json!({ "reason": self.reason });
        if let (Some(status), Value::Object(data)) = (self.status, &mut data) {
            data.insert("status".to_owned(), json!(status.as_u16()));
        }
        let error = json!({ "code": self.code, "message": self.message, "data": data });
        json!({ "jsonrpc": "2.0", "id": id.map(Id::json), "error": error }).to_string()
    }

    /// The line for the person who runs the bridge.
    pub(super) fn report(&self) -> String {
        match &self.cause {
            Some(cause) => format!("{} [{}]", self.message, printable(&without_tokens(cause))),
            None => self.message.clone(),
        }
    }
}

/// A tool's failure has no code of its own in JSON-RPC; here nothing of a tool is known, so it is an internal error.
fn json_rpc(code: Code) -> i64 {
    match code.json_rpc() {
        JsonRpc::Error(code) => code.into(),
        JsonRpc::ToolError => -32603,
    }
}

fn summary(status: StatusCode) -> String {
    match status.as_u16() {
        401 => "the door refused the token".to_owned(),
        403 => "the door refused this caller".to_owned(),
        404 | 405 => "there is no MCP endpoint at this address".to_owned(),
        413 => "the door refused the message as too large".to_owned(),
        429 | 503 => "the door cannot take this request now".to_owned(),
        300..=399 => "the address answers with a redirect, which is not followed".to_owned(),
        200..=299 => "the door gave no answer to this request".to_owned(),
        other => format!("the door answered with HTTP status {other}"),
    }
}

fn advice(status: StatusCode, reason: &str) -> Option<&'static str> {
    Some(match reason {
        "token_expired" | "token_not_yet_valid" | "token_issued_in_future" => {
            "compare the clocks of both machines, and see that the token is made for this request"
        }
        "token_replayed" => "the token source must give a new token each time",
        "token_signature" | "token_key_unknown" | "token_algorithm" => {
            "the door does not know the key that signed the token"
        }
        "token_issuer" | "token_audience" => "compare issuer and audience with the door's configuration",
        "token_lifetime" => "ask for a shorter token: --ttl",
        "token_binding" | "token_unbound" => "the token must be bound to the certificate given with --cert",
        "insufficient_scope" => "ask for a token with the scope that is needed",
        "subject_not_allowed" | "certificate_expired" | "certificate_revoked" | "certificate_untrusted" => {
            "use a client certificate that the door allows: --cert"
        }
        "revocation_unknown" => "the door has no revocation list that holds; its operator must renew it",
        "host_not_allowed" => "the URL must use a name the door knows itself by",
        _ if status == StatusCode::UNAUTHORIZED => "check the token source",
        _ => return None,
    })
}

/// What a challenge says.
#[derive(Default)]
struct Challenge {
    error: Option<String>,
    description: Option<String>,
}

fn challenge(headers: &HeaderMap) -> Challenge {
    let mut found = Challenge::default();
    for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        let Some((scheme, mut rest)) = value.trim_start().split_once(' ') else { continue };
        if !scheme.eq_ignore_ascii_case("bearer") || value.len() > 8192 {
            continue;
        }
        while let Some((name, value, after)) = parameter(rest) {
            match name {
                "error" => found.error = Some(printable(&value)),
                "error_description" => found.description = Some(printable(&value)),
                _ => {}
            }
            rest = after;
        }
    }
    found
}

/// The next `name=value` of a challenge (RFC 9110 section 11.2), its value unquoted, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, after) = text.trim_start_matches([' ', '\t', ',']).split_once('=')?;
    let Some(quoted) = after.strip_prefix('"') else {
        let (value, rest) = after.split_once([',', ' ']).unwrap_or((after, ""));
        return Some((name, value.to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next()? {
            '"' => return Some((name, value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            other => value.push(other),
        }
    }
}

/// Harmless on a terminal and in a log: no control characters, nothing that turns the direction of writing, not endless.
pub(super) fn printable(text: &str) -> String {
    text.trim().chars().take(TEXT).map(|char| if is_hidden(char) { '\u{fffd}' } else { char }).collect()
}

/// What somebody wrote, a token command for instance, may hold a token; what looks like one in it is not shown: a JWT, which
/// begins with an encoded `{"`, or any long text of three or more base64url parts with dots between them.
pub(super) fn without_tokens(text: &str) -> String {
    let word = |word: &str| if word.contains("eyJ") { "(a token)".to_owned() } else { without_parts(word) };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn without_parts(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let is_token = |run: &str| {
        let mut parts: Vec<usize> = run.split('.').map(str::len).collect();
        parts.sort_unstable();
        parts.len() >= 3 && run.len() >= 40 && parts.last().is_some_and(|longest| *longest >= 16)
    };
    let (mut shown, mut rest) = (String::new(), word);
    while !rest.is_empty() {
        let (run, after) = rest.split_at(rest.find(|char| !plain(char)).unwrap_or(rest.len()));
        shown.push_str(if is_token(run) { "(a token)" } else { run });
        let mut others = after.chars();
        shown.extend(others.next());
        rest = others.as_str();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::connect::message::{Kind, Message};

    fn by_door(status: u16, challenge: &str, body: Option<&Value>) -> Refusal {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, challenge.parse().unwrap())]);
        Refusal::by_door(StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    fn answer(refusal: &Refusal) -> Value {
        let Kind::Request(id) = Message::parse(r#"{"jsonrpc":"2.0","id":"q","method":"x"}"#).unwrap().kind else {
            panic!("a request")
        };
        serde_json::from_str(&refusal.answer(Some(&id))).unwrap()
    }

    #[test]
    fn a_refused_token_says_why_and_what_to_do() {
        let challenge =
            r#"Bearer error="invalid_token", error_description="the token \"x\" has expired", scope="core""#;
        let body = json!({ "jsonrpc": "2.0", "id": null, "error": {
            "code": 1401, "message": "the token has expired", "data": { "reason": "token_expired" } } });
        let answer = answer(&by_door(401, challenge, Some(&body)));
        assert_eq!(answer["id"], "q");
        assert_eq!(answer["error"]["code"], 1401);
        assert_eq!(answer["error"]["data"], json!({ "reason": "token_expired", "status": 401 }));
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the door refused the token (token_expired): the token has expired: compare"));
    }

    #[test]
    fn without_a_body_the_challenge_speaks() {
        let refusal = by_door(401, r#"Bearer error=invalid_token, error_description="say \"why\"""#, None);
        assert_eq!(refusal.message, "the door refused the token (invalid_token): say \"why\": check the token source");
        assert!(refusal.is_about_credentials());
        let refusal = by_door(401, "Basic realm=\"x\", error=\"y\"", None);
        assert_eq!(refusal.reason, "http_401");
    }

    #[test]
    fn each_status_has_a_code_of_its_kind() {
        assert_eq!(answer(&by_door(403, "x", None))["error"]["code"], 1403);
        assert_eq!(answer(&by_door(502, "x", None))["error"]["code"], -32603);
        assert_eq!(answer(&by_door(302, "x", None))["error"]["data"]["status"], 302);
    }

    #[test]
    fn what_the_door_says_cannot_play_with_the_terminal() {
        let body = json!({ "error": { "message": "a\u{1b}[2Jb\u{202e}c\nd", "data": { "reason": "r\r" } } });
        let refusal = by_door(500, "x", Some(&body));
        assert_eq!(refusal.report(), "the door answered with HTTP status 500 (r): a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        let long = json!({ "error": { "message": "x".repeat(9999) } });
        assert!(by_door(500, "x", Some(&long)).report().len() < 500);
    }

    #[test]
    fn what_looks_like_a_token_is_not_shown_whatever_it_begins_with() {
        let part = "AbCd_-0123456789";
        for token in [
            format!("{part}.{part}.{part}"),
            format!("{part}..{part}.{part}.{part}"),
            format!("e30.{part}.{}", part.repeat(3)),
            format!("eyJ.{part}"),
        ] {
            for text in [token.clone(), format!("got \"{token}\", exit 1"), format!("t={token};u={token}")] {
                let shown = without_tokens(&text);
                assert!(!shown.contains(part) && shown.contains("(a token)"), "{shown}");
            }
        }
        for text in ["cannot reach https://auth.example.com:8443/token: 10.0.0.1", "exit status 1", "", "é.ü.ö"] {
            assert_eq!(without_tokens(text), text);
        }
    }

    #[test]
    fn the_cause_is_for_the_operator_only() {
        let refusal = Refusal::from(Failure::new(Code::Io, "cannot read").because("/etc/tok: denied"));
        let refusal = refusal.while_trying("no token could be had");
        assert_eq!(refusal.report(), "no token could be had: cannot read [/etc/tok: denied]");
        assert_eq!(answer(&refusal)["error"]["message"], "no token could be had: cannot read");
        assert_eq!(answer(&refusal)["error"]["data"], json!({ "reason": "io" }));
        assert_eq!(serde_json::from_str::<Value>(&refusal.answer(None)).unwrap()["id"], Value::Null);
    }
}
