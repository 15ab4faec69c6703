//! The bearer token of a request (RFC 6750 section 2.1 only), the challenge for one, and the metadata about both.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::authn::Presented;
use crate::error::{Code, Failure};
use crate::secret::Secret;

/// Takes the token out of the headers, so that nothing behind sees it. Anything but one header of the form `Bearer token` is
/// malformed.
pub(super) fn take(headers: &mut HeaderMap) -> Presented {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let presented = match (values.next(), values.next()) {
        (None, _) => Presented::Nothing,
        (Some(value), None) => token(value).map_or(Presented::Malformed, Presented::Bearer),
        (Some(_), Some(_)) => Presented::Malformed,
    };
    headers.remove(AUTHORIZATION);
    presented
}

/// The token68 of RFC 9110 section 11.2 without the padding that a JWS never has.
fn token(value: &HeaderValue) -> Option<Secret<String>> {
    let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!token.is_empty() && token.bytes().all(plain)).then(|| Secret::new(token.to_owned()))
}

/// What a client is told about tokens.
#[derive(Clone, Debug)]
pub struct Challenge {
    metadata_url: String,
    scope: String,
    metadata: Value,
}

impl Challenge {
    /// For the server whose MCP endpoint is `resource`.
    #[must_use]
    pub fn new(resource: &str, authorization_servers: &[String], scopes: &[String]) -> Self {
        let (origin, path) = split(resource);
        let metadata_url = format!("{origin}/.well-known/oauth-protected-resource{path}");
        let mut metadata = json!({
            "resource": resource,
            "scopes_supported": scopes,
            "bearer_methods_supported": ["header"],
            "resource_name": "Doorward",
            // Said by RFC 9728 of what is supported: a binding is honoured whether or not it is required.
            "tls_client_certificate_bound_access_tokens": true,
        });
        if let Value::Object(members) = &mut metadata {
            members.insert("authorization_servers".to_owned(), json!(authorization_servers));
        }
        Self { metadata_url, scope: scopes.join(" "), metadata }
    }

    /// The protected resource metadata of RFC 9728 section 2.
    #[must_use]
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// `WWW-Authenticate` for this failure (RFC 6750 section 3, RFC 9728 section 5.1); none where a token would not help.
    #[must_use]
    pub fn for_failure(&self, failure: &Failure) -> Option<HeaderValue> {
        let error = match (failure.code(), failure.code().http_status()) {
            // Without any credentials there is no error to name (RFC 6750 section 3.1).
            (Code::TokenMissing, _) => None,
            (Code::InsufficientScope, _) => Some("insufficient_scope"),
            (_, 401) => Some("invalid_token"),
            _ => return None,
        };
        let mut text = String::from("Bearer ");
        if let Some(error) = error {
            let description: String =
                failure.public().chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect();
            text.push_str(&format!("error=\"{error}\", error_description=\"{description}\", "));
        }
        if !self.scope.is_empty() {
            text.push_str(&format!("scope=\"{}\", ", self.scope));
        }
        text.push_str(&format!("resource_metadata=\"{}\"", self.metadata_url));
        HeaderValue::from_str(&text).ok()
    }
}

/// `https://host:port` and `/path`.
fn split(url: &str) -> (&str, &str) {
    let after_scheme = url.find("://").map_or(0, |at| at.saturating_add(3));
    let path = url.get(after_scheme..).and_then(|rest| rest.find('/')).map(|at| after_scheme.saturating_add(at));
    path.and_then(|at| url.split_at_checked(at)).unwrap_or((url, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn only_one_bearer_token_is_taken() {
        let mut one = headers(&["Bearer a.b.c"]);
        assert!(matches!(take(&mut one), Presented::Bearer(token) if token.expose() == "a.b.c"));
        assert!(one.is_empty());
        assert!(matches!(take(&mut headers(&[])), Presented::Nothing));
        for wrong in [
            &["Bearer a", "Bearer b"][..],
            &["Basic YTpi"],
            &["bearer a.b.c"],
            &["Bearer  a"],
            &["Bearer "],
            &["Bearer"],
            &["Bearer a b"],
            &["Bearer a,b"],
            &["Bearer é"],
            &[""],
        ] {
            let mut sent = headers(wrong);
            assert!(matches!(take(&mut sent), Presented::Malformed) && sent.is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn the_challenge_points_at_the_metadata() {
        let challenge = Challenge::new("https://door.example:8443/mcp", &[], &["core".to_owned()]);
        let header = challenge.for_failure(&Failure::new(Code::TokenMissing, "")).unwrap();
        assert_eq!(
            header,
            "Bearer scope=\"core\", resource_metadata=\"https://door.example:8443/.well-known/oauth-protected-resource/mcp\""
        );
        let expired = challenge.for_failure(&Failure::new(Code::TokenExpired, "it \"expired\"")).unwrap();
        assert!(
            expired.to_str().unwrap().starts_with("Bearer error=\"invalid_token\", error_description=\"it expired\"")
        );
        assert!(challenge.for_failure(&Failure::new(Code::HostNotAllowed, "")).is_none());
        let silent = Challenge::new("https://door.example/mcp", &[], &[]);
        let header = silent.for_failure(&Failure::new(Code::TokenMissing, "")).unwrap();
        assert!(header.to_str().unwrap().starts_with("Bearer resource_metadata="), "a scope may not be empty");
    }
}
