//! Tokens good and bad, made without the product's own minting.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use doorward::clock::Clock;
use doorward::pki::{KeyKind, PublicParts, Signature, SigningKey};
use serde_json::{Value, json};

/// A key with a name.
pub struct Signer {
    pub key: SigningKey,
    pub kid: String,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        Self { key: SigningKey::generate(KeyKind::P256).unwrap(), kid: kid.to_owned() }
    }

    pub fn jwk(&self) -> Value {
        let PublicParts::Ec { x, y } = self.key.public_parts().unwrap() else { panic!("not an EC key") };
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": B64.encode(x), "y": B64.encode(y) })
    }

    pub fn header(&self) -> Value {
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": self.kid })
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_parts(&self.header().to_string(), &claims.to_string())
    }

    /// Signs whatever stands there, valid JSON or not.
    pub fn sign_parts(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", B64.encode(header), B64.encode(claims));
        let signature = self.key.sign(Signature::Plain, input.as_bytes()).unwrap();
        format!("{input}.{}", B64.encode(signature))
    }
}

pub fn now() -> i64 {
    Clock::system().now().seconds()
}

/// Claims that nothing is wrong with; each call has a `jti` of its own.
pub fn claims(issuer: &str, audience: &str, scopes: &[&str]) -> Value {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let at = now();
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
