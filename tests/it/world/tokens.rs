//! Tokens good and bad, made without the product's own minting.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use doorward::clock::Clock;
use doorward::pki::{KeyKind, PublicParts, Signature, SigningKey};
use serde_json::{Value, json};

/// A key with a name, and the algorithm it signs with.
pub struct Signer {
    pub key: SigningKey,
    pub kid: String,
    pub algorithm: &'static str,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        Self::of("ES256", kid)
    }

    /// A new key for `algorithm`.
    pub fn of(algorithm: &'static str, kid: &str) -> Self {
        let kind = match algorithm {
            "ES256" => KeyKind::P256,
            "ES384" => KeyKind::P384,
            "EdDSA" => KeyKind::Ed25519,
            "RS256" | "PS256" => KeyKind::Rsa,
            other => panic!("{other}"),
        };
        Self { key: SigningKey::generate(kind).unwrap(), kid: kid.to_owned(), algorithm }
    }

    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| B64.encode(bytes);
        let mut jwk = match self.key.public_parts().unwrap() {
            PublicParts::Ec { x, y } => {
                let curve = if x.len() == 48 { "P-384" } else { "P-256" };
                json!({ "kty": "EC", "crv": curve, "x": text(&x), "y": text(&y) })
            }
            PublicParts::Ed25519(x) => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(&x) }),
            PublicParts::Rsa { n, e } => json!({ "kty": "RSA", "n": text(&n), "e": text(&e) }),
        };
        jwk["alg"] = json!(self.algorithm);
        jwk["use"] = json!("sig");
        jwk["kid"] = json!(self.kid);
        jwk
    }

    pub fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "typ": "at+jwt", "kid": self.kid })
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_parts(&self.header().to_string(), &claims.to_string())
    }

    /// Signs whatever stands there, valid JSON or not.
    pub fn sign_parts(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let how = match self.algorithm {
            "RS256" => Signature::RsaPkcs1,
            "PS256" => Signature::RsaPss,
            _ => Signature::Plain,
        };
        let signature = self.key.sign(how, input.as_bytes()).unwrap();
        format!("{input}.{}", B64.encode(signature))
    }
}

/// Claims under HS256 with this secret.
pub fn sign_with_secret(secret: &str, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    format!("{input}.{}", B64.encode(hmac::sign(&key, input.as_bytes())))
}

pub fn now() -> i64 {
    Clock::system().now().seconds()
}

/// Claims that nothing is wrong with at the time `at`; each call has a `jti` of its own.
pub fn claims(issuer: &str, audience: &str, scopes: &[&str], at: i64) -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    json!({
        "iss": issuer,
        "aud": audience,
        "sub": "alice",
        "act": { "sub": "coding-bot" },
        "scope": scopes.join(" "),
        "iat": at,
        "nbf": at,
        "exp": at + 60,
        "jti": format!("{}-{at}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)),
    })
}
