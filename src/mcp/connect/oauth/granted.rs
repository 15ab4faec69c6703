//! The token endpoint's answer (RFC 6749 section 5): a bearer token, or a refusal that is shown without its tricks.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::error::{Code, Failure};
use crate::identity::parse_strict;
use crate::mcp::connect::refusal::{printable, without_tokens};
use crate::mcp::connect::tokens::bearer;
use crate::secret::Secret;

/// Deepest answer.
const DEEPEST: usize = 16;

/// A token, and how long the server says that it lasts.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) token: Secret<String>,
    pub(super) life: Option<Duration>,
}

impl Granted {
    /// # Errors
    /// [`Code::TokenMissing`] when the server refuses, [`Code::Upstream`] when its answer is neither yes nor no.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<Self, Failure> {
        let Ok(Value::Object(mut answer)) = parse_strict(body, DEEPEST) else {
            let text =
                format!("the authorization server answered with HTTP status {} and no JSON object", status.as_u16());
            return Err(Failure::new(Code::Upstream, text));
        };
        if status != StatusCode::OK {
            return Err(refusal(status, &answer));
        }
        let kind = answer.get("token_type").and_then(Value::as_str).unwrap_or_default();
        if !kind.eq_ignore_ascii_case("bearer") {
            let text = format!("the authorization server gave a token of the type '{}', not Bearer", said(kind));
            return Err(Failure::new(Code::Upstream, text));
        }
        let Some(Value::String(token)) = answer.remove("access_token") else {
            return Err(Failure::new(Code::Upstream, "the authorization server's answer holds no access_token"));
        };
        let token = bearer(&Secret::new(token.into_bytes()))?;
        Ok(Self { token, life: answer.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs) })
    }
}

fn refusal(status: StatusCode, answer: &Map<String, Value>) -> Failure {
    let text = |member: &str| answer.get(member).and_then(Value::as_str).map(said).filter(|text| !text.is_empty());
    let Some(error) = text("error") else {
        let text = format!("the authorization server answered with HTTP status {}", status.as_u16());
        return Failure::new(Code::Upstream, text);
    };
    let mut message = format!("the authorization server refused ({error})");
    for part in [text("error_description").as_deref(), advice(&error)].into_iter().flatten() {
        message.push_str(": ");
        message.push_str(part);
    }
    // These pass; the others are about this client.
    let passing = status.is_server_error() || matches!(&*error, "temporarily_unavailable" | "server_error");
    Failure::new(if passing { Code::Upstream } else { Code::TokenMissing }, message)
}

/// RFC 6749 section 5.2, RFC 8707 section 2.
fn advice(error: &str) -> Option<&'static str> {
    Some(match error {
        "invalid_client" => {
            "compare --oauth-client-id and --oauth-client-key, or without that --cert, with the registration, and the clocks"
        }
        "unauthorized_client" => "the client must be registered for the grant client_credentials",
        "invalid_scope" => "compare --oauth-scope with the registration",
        "invalid_target" => "the server does not know this --oauth-resource",
        _ => return None,
    })
}

fn said(text: &str) -> String {
    printable(&without_tokens(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(status: u16, answer: &Value) -> Result<Granted, Failure> {
        Granted::read(StatusCode::from_u16(status).unwrap(), answer.to_string().as_bytes())
    }

    #[test]
    fn a_bearer_token_is_taken_with_its_life() {
        let granted = read(200, &json!({ "access_token": "a.b.c", "token_type": "bearer", "expires_in": 60 })).unwrap();
        assert_eq!((granted.token.expose().as_str(), granted.life), ("a.b.c", Some(Duration::from_secs(60))));
        for life in [json!(null), json!("60"), json!(-1), json!(1.5)] {
            let granted =
                read(200, &json!({ "access_token": "a", "token_type": "Bearer", "expires_in": life })).unwrap();
            assert_eq!(granted.life, None, "{life}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_not_sent() {
        for answer in [
            json!({ "access_token": "a" }),
            json!({ "access_token": "a", "token_type": "DPoP" }),
            json!({ "token_type": "Bearer" }),
            json!({ "access_token": ["a"], "token_type": "Bearer" }),
            json!({ "access_token": "a b", "token_type": "Bearer" }),
            json!({ "access_token": "a\r\nx: y", "token_type": "Bearer" }),
            json!([]),
        ] {
            assert!(read(200, &answer).is_err(), "{answer}");
        }
        for body in ["", "<html>", r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#] {
            assert_eq!(Granted::read(StatusCode::OK, body.as_bytes()).unwrap_err().code(), Code::Upstream, "{body}");
        }
        let created = read(201, &json!({ "access_token": "a", "token_type": "Bearer" })).unwrap_err();
        assert!(created.public().contains("201"));
    }

    #[test]
    fn a_refusal_says_why_and_what_to_do_and_shows_no_token() {
        let answer = json!({ "error": "invalid_client", "error_description": "bad \u{1b}[2J eyJhbGciOi.x.y here" });
        let failure = read(401, &answer).unwrap_err();
        assert_eq!(failure.code(), Code::TokenMissing);
        let expected = "the authorization server refused (invalid_client): bad \u{fffd}[2J (a token) here: compare";
        assert!(failure.public().starts_with(expected), "{failure}");
        assert!(!read(400, &json!({ "error": "x".repeat(9999) })).unwrap_err().public().contains(&"x".repeat(500)));
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for (status, answer, code) in [
            (400, json!({ "error": "invalid_target" }), Code::TokenMissing),
            (503, json!({ "error": "temporarily_unavailable" }), Code::Upstream),
            (500, json!({}), Code::Upstream),
            (302, json!({}), Code::Upstream),
        ] {
            assert_eq!(read(status, &answer).unwrap_err().code(), code, "{status}");
        }
    }
}
