//! What an authorization server says of itself, believed only when it names itself as it was named (RFC 8414 section 3.3).

use serde_json::Value;

use super::{Web, https};
use crate::error::{Code, Failure};
use crate::identity::parse_strict;
use crate::mcp::connect::refusal::printable;

/// Deepest metadata; usual ones have two levels.
const DEEPEST: usize = 16;

/// Where tokens are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Endpoint {
    /// The token endpoint.
    pub(super) url: String,
    /// `aud` of an assertion. The issuer, where it is known: that no other server takes for its own.
    pub(super) audience: String,
}

/// Looks in the usual places, in order, until one has a document.
///
/// # Errors
/// [`Code::Upstream`].
pub(super) async fn endpoint(web: &dyn Web, issuer: &str) -> Result<Endpoint, Failure> {
    let mut causes = Vec::new();
    for url in addresses(issuer) {
        match web.get(&url).await {
            Ok(body) => return read(issuer, &body).map_err(|failure| failure.because(url)),
            Err(failure) => causes.push(match failure.cause() {
                Some(cause) => format!("{url}: {failure}: {cause}"),
                None => format!("{url}: {failure}"),
            }),
        }
    }
    Err(Failure::new(Code::Upstream, "the authorization server's metadata cannot be had").because(causes.join("; ")))
}

/// RFC 8414 section 3.1 puts the well-known part between host and path, and section 5 does so for OpenID Connect too;
/// OpenID Connect Discovery section 4 puts it at the end.
fn addresses(issuer: &str) -> Vec<String> {
    const OAUTH: &str = "/.well-known/oauth-authorization-server";
    const OPENID: &str = "/.well-known/openid-configuration";
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let path = issuer.match_indices('/').nth(2).map(|(at, _)| at);
    match path.and_then(|at| issuer.split_at_checked(at)) {
        None => [OAUTH, OPENID].map(|known| format!("{issuer}{known}")).into(),
        Some((host, path)) => {
            vec![format!("{host}{OAUTH}{path}"), format!("{host}{OPENID}{path}"), format!("{issuer}{OPENID}")]
        }
    }
}

fn read(issuer: &str, body: &[u8]) -> Result<Endpoint, Failure> {
    let wrong = |text: &'static str| Failure::new(Code::Upstream, text);
    let metadata = parse_strict(body, DEEPEST)
        .map_err(|_| wrong("the authorization server's metadata is not a JSON object that means one thing"))?;
    let named = metadata.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if named != issuer {
        let text = format!("the authorization server calls itself '{}': --oauth-issuer must be that", printable(named));
        return Err(Failure::new(Code::Upstream, text));
    }
    // RFC 8705 section 5: whoever shows a certificate goes to the alias, if there is one.
    let alias = metadata.pointer("/mtls_endpoint_aliases/token_endpoint");
    let url = alias.or_else(|| metadata.get("token_endpoint")).and_then(Value::as_str);
    let url = url.ok_or_else(|| wrong("the authorization server's metadata names no token endpoint"))?;
    let url = https(url).map_err(|_| wrong("the authorization server's token endpoint is not an https address"))?;
    Ok(Endpoint { url, audience: issuer.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ISSUER: &str = "https://as.example/tenant";

    fn judged(document: &Value) -> Result<String, String> {
        let endpoint = read(ISSUER, document.to_string().as_bytes());
        endpoint.map(|endpoint| endpoint.url).map_err(|failure| failure.public().to_owned())
    }

    #[test]
    fn the_usual_places_are_tried_in_the_order_of_the_standards() {
        for issuer in ["https://as.example", "https://as.example/"] {
            let expected = [
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ];
            assert_eq!(addresses(issuer), expected);
        }
        for issuer in ["https://as.example:8443/a/b", "https://as.example:8443/a/b/"] {
            let expected = [
                "https://as.example:8443/.well-known/oauth-authorization-server/a/b",
                "https://as.example:8443/.well-known/openid-configuration/a/b",
                "https://as.example:8443/a/b/.well-known/openid-configuration",
            ];
            assert_eq!(addresses(issuer), expected);
        }
    }

    #[test]
    fn the_endpoint_for_certificates_goes_before_the_other() {
        let mut document = json!({ "issuer": ISSUER, "token_endpoint": "https://as.example/token" });
        assert_eq!(judged(&document).unwrap(), "https://as.example/token");
        document["mtls_endpoint_aliases"] = json!({ "token_endpoint": "https://mtls.as.example/token" });
        assert_eq!(judged(&document).unwrap(), "https://mtls.as.example/token");
    }

    #[test]
    fn another_issuer_is_not_believed_however_much_alike() {
        for issuer in ["https://as.example/tenant/", "https://AS.example/tenant", "https://as.example", "", "\u{202e}x"]
        {
            let refused = judged(&json!({ "issuer": issuer, "token_endpoint": "https://as.example/token" }));
            assert!(refused.as_ref().unwrap_err().contains("calls itself"), "{issuer}");
            assert!(!refused.unwrap_err().contains('\u{202e}'));
        }
        assert!(judged(&json!({ "issuer": [ISSUER], "token_endpoint": "https://as.example/token" })).is_err());
    }

    #[test]
    fn only_an_https_endpoint_in_a_plain_document_is_used() {
        for endpoint in
            [json!(null), json!(1), json!("http://as.example/token"), json!("/token"), json!("https://u@h/t")]
        {
            assert!(judged(&json!({ "issuer": ISSUER, "token_endpoint": endpoint })).is_err(), "{endpoint}");
        }
        let twice =
            r#"{"issuer":"https://as.example/tenant","token_endpoint":"https://a","token_endpoint":"https://b"}"#;
        for body in [twice, "[]", "<html>", ""] {
            assert!(read(ISSUER, body.as_bytes()).is_err(), "{body}");
        }
    }
}
