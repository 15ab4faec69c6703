//! Minting tokens with a local key, in the form of RFC 9068: for the bridge, the demo and whoever has no issuer yet.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::JwtAlgorithm;
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::Thumbprint;
use crate::pki::{KeyKind, PublicParts, Signature, SigningKey, store};
use crate::secret::{Secret, random};

/// What a token is to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mint {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// `sub`: the user or service.
    pub subject: String,
    /// Who acts for the subject: `act.sub` (RFC 8693 section 4.1) and `client_id`.
    pub agent: Option<String>,
    /// Scopes, written into `scope_claim` with spaces between them (RFC 8693 section 4.2).
    pub scopes: Vec<String>,
    /// The claim for `scopes`.
    pub scope_claim: String,
    /// Roles, written into `role_claim` as an array.
    pub roles: Vec<String>,
    /// The claim for `roles`.
    pub role_claim: String,
    /// From `iat` to `exp`, in whole seconds.
    pub ttl: Duration,
    /// The certificate to which the token is bound: `cnf.x5t#S256` (RFC 8705 section 3.1).
    pub certificate: Option<Thumbprint>,
    /// `jti`; a new one of 128 random bits when there is none.
    pub jti: Option<String>,
}

impl Mint {
    /// A token for `subject` that lives for a minute and opens nothing.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            subject: subject.into(),
            agent: None,
            scopes: Vec::new(),
            scope_claim: "scope".to_owned(),
            roles: Vec::new(),
            role_claim: "roles".to_owned(),
            ttl: Duration::from_secs(60),
            certificate: None,
            jti: None,
        }
    }

    /// The claims of a token minted at `now`.
    ///
    /// # Errors
    /// [`Code::Internal`] when the system has no randomness for the `jti`.
    pub fn claims(&self, now: Timestamp) -> Result<Map<String, Value>, Failure> {
        let jti = match &self.jti {
            Some(jti) => jti.clone(),
            None => URL_SAFE_NO_PAD.encode(random::<16>()?),
        };
        let issued = now.seconds();
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", json!(self.issuer));
        put("aud", json!(self.audience));
        put("sub", json!(self.subject));
        put("iat", json!(issued));
        put("nbf", json!(issued));
        put("exp", json!(now.plus(self.ttl).seconds()));
        put("jti", json!(jti));
        if !self.scopes.is_empty() {
            put(&self.scope_claim, json!(self.scopes.join(" ")));
        }
        if !self.roles.is_empty() {
            put(&self.role_claim, json!(self.roles));
        }
        if let Some(agent) = &self.agent {
            put("act", json!({ "sub": agent }));
            put("client_id", json!(agent));
        }
        if let Some(thumbprint) = &self.certificate {
            put("cnf", json!({ "x5t#S256": thumbprint.base64url() }));
        }
        Ok(claims)
    }
}

/// Signs tokens with one key.
#[derive(Debug)]
pub struct Minter {
    key: SigningKey,
    algorithm: JwtAlgorithm,
    signature: Signature,
    jwk: Map<String, Value>,
    kid: String,
}

impl Minter {
    /// From a file with one private key that only its owner may read. Without `algorithm` the key's own one; RS256 for RSA.
    ///
    /// # Errors
    /// [`Code::Io`] or [`Code::Config`] when the key cannot be used, or not with this algorithm.
    pub fn from_file(path: &Path, algorithm: Option<JwtAlgorithm>) -> Result<Self, Failure> {
        Self::new(store::signing_key(path)?, algorithm)
    }

    /// From a PEM text with one private key.
    ///
    /// # Errors
    /// As [`Minter::from_file`].
    pub fn from_pem(pem: &[u8], algorithm: Option<JwtAlgorithm>) -> Result<Self, Failure> {
        Self::new(SigningKey::from_pem(pem)?, algorithm)
    }

    /// From a key. Its name (`kid`) is its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`Code::Config`] when the key is not for this algorithm.
    pub fn new(key: SigningKey, algorithm: Option<JwtAlgorithm>) -> Result<Self, Failure> {
        let algorithm = algorithm.unwrap_or(match key.kind() {
            KeyKind::P256 => JwtAlgorithm::ES256,
            KeyKind::P384 => JwtAlgorithm::ES384,
            KeyKind::Ed25519 => JwtAlgorithm::EdDSA,
            KeyKind::Rsa => JwtAlgorithm::RS256,
        });
        let signature = match (key.kind(), algorithm) {
            (KeyKind::P256, JwtAlgorithm::ES256)
            | (KeyKind::P384, JwtAlgorithm::ES384)
            | (KeyKind::Ed25519, JwtAlgorithm::EdDSA) => Signature::Plain,
            (KeyKind::Rsa, JwtAlgorithm::RS256) => Signature::RsaPkcs1,
            (KeyKind::Rsa, JwtAlgorithm::PS256) => Signature::RsaPss,
            (kind, _) => {
                let why = format!("a key of the kind {kind} is not for {}", name(algorithm));
                return Err(Failure::new(Code::Config, "the key does not fit the algorithm").because(why));
            }
        };
        let jwk = required_members(&key.public_parts()?, key.kind());
        // RFC 7638 section 3.3: the members in the order of their names, without white space.
        let canonical: BTreeMap<_, _> = jwk.iter().collect();
        let text = serde_json::to_vec(&canonical).map_err(unwritten)?;
        let kid = URL_SAFE_NO_PAD.encode(digest(&SHA256, &text));
        Ok(Self { key, algorithm, signature, jwk, kid })
    }

    /// The same key under another name.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = kid.into();
        self
    }

    /// The key's name.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }

    /// The public key as a JSON Web Key (RFC 7517 section 4).
    #[must_use]
    pub fn jwk(&self) -> Value {
        let mut jwk = self.jwk.clone();
        jwk.insert("alg".to_owned(), json!(name(self.algorithm)));
        jwk.insert("use".to_owned(), json!("sig"));
        jwk.insert("kid".to_owned(), json!(self.kid));
        Value::Object(jwk)
    }

    /// A set of this one public key (RFC 7517 section 5).
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk()] })
    }

    /// A signed token, in compact form.
    ///
    /// # Errors
    /// [`Code::Internal`] when the system has no randomness, or the cryptographic library fails.
    pub fn mint(&self, mint: &Mint, now: Timestamp) -> Result<Secret<String>, Failure> {
        let header = json!({ "alg": name(self.algorithm), "typ": "at+jwt", "kid": self.kid });
        self.sign(&header, &Value::Object(mint.claims(now)?))
    }

    /// Signs any header and claims as they are, right or wrong (RFC 7515 section 3.1): for tokens of another kind.
    ///
    /// # Errors
    /// [`Code::Internal`] when the cryptographic library fails.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<Secret<String>, Failure> {
        let part =
            |value: &Value| serde_json::to_vec(value).map(|json| URL_SAFE_NO_PAD.encode(json)).map_err(unwritten);
        let message = format!("{}.{}", part(header)?, part(claims)?);
        let signature = self.key.sign(self.signature, message.as_bytes())?;
        Ok(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// The algorithm as the header has it.
fn name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::EdDSA => "EdDSA",
        JwtAlgorithm::ES256 => "ES256",
        JwtAlgorithm::ES384 => "ES384",
        JwtAlgorithm::PS256 => "PS256",
        JwtAlgorithm::RS256 => "RS256",
        JwtAlgorithm::HS256 => "HS256",
    }
}

/// What makes the key this key: the members that RFC 7638 section 3.2 (and RFC 8037 section 2) take.
fn required_members(parts: &PublicParts, kind: KeyKind) -> Map<String, Value> {
    let text = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
    let members = match parts {
        PublicParts::Ec { x, y } => {
            let curve = if kind == KeyKind::P384 { "P-384" } else { "P-256" };
            vec![("crv", json!(curve)), ("kty", json!("EC")), ("x", text(x)), ("y", text(y))]
        }
        PublicParts::Ed25519(x) => vec![("crv", json!("Ed25519")), ("kty", json!("OKP")), ("x", text(x))],
        PublicParts::Rsa { n, e } => vec![("e", text(e)), ("kty", json!("RSA")), ("n", text(n))],
    };
    members.into_iter().map(|(member, value)| (member.to_owned(), value)).collect()
}

fn unwritten(error: serde_json::Error) -> Failure {
    Failure::new(Code::Internal, "the token cannot be written").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::{Jwk, JwkSet, ThumbprintHash};
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

    const NOW: i64 = 1_800_000_000;

    fn minter(kind: KeyKind, algorithm: Option<JwtAlgorithm>) -> Minter {
        Minter::new(SigningKey::generate(kind).unwrap(), algorithm).unwrap()
    }

    fn mint() -> Mint {
        Mint {
            agent: Some("coding-bot".to_owned()),
            scopes: vec!["core".to_owned(), "logs".to_owned()],
            roles: vec!["operator".to_owned()],
            certificate: Some(Thumbprint::of(b"certificate")),
            ..Mint::new("https://issuer.example", "https://door.example/mcp", "alice")
        }
    }

    /// Verifies with the published key, as another program would.
    fn verified(minter: &Minter, token: &Secret<String>, algorithm: Algorithm) -> Value {
        let set: JwkSet = serde_json::from_value(minter.jwks()).unwrap();
        let kid = decode_header(token.expose()).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(set.find(&kid).unwrap()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&["https://door.example/mcp"]);
        validation.set_issuer(&["https://issuer.example"]);
        validation.validate_exp = false;
        decode::<Value>(token.expose(), &key, &validation).unwrap().claims
    }

    #[test]
    fn a_minted_token_verifies_with_the_published_key() {
        let cases = [
            (KeyKind::P256, None, Algorithm::ES256),
            (KeyKind::P384, None, Algorithm::ES384),
            (KeyKind::Ed25519, None, Algorithm::EdDSA),
            (KeyKind::Rsa, None, Algorithm::RS256),
            (KeyKind::Rsa, Some(JwtAlgorithm::PS256), Algorithm::PS256),
        ];
        for (kind, algorithm, expected) in cases {
            let minter = minter(kind, algorithm);
            let token = minter.mint(&mint(), Timestamp::from_seconds(NOW)).unwrap();
            let header = decode_header(token.expose()).unwrap();
            assert_eq!((header.alg, header.typ.as_deref()), (expected, Some("at+jwt")));
            let mut claims = verified(&minter, &token, expected);
            let jti = claims["jti"].take();
            assert_eq!(URL_SAFE_NO_PAD.decode(jti.as_str().unwrap()).unwrap().len(), 16);
            let thumbprint = Thumbprint::of(b"certificate").base64url();
            assert_eq!(
                claims,
                json!({
                    "iss": "https://issuer.example", "aud": "https://door.example/mcp", "sub": "alice",
                    "iat": NOW, "nbf": NOW, "exp": NOW.saturating_add(60), "jti": null,
                    "scope": "core logs", "roles": ["operator"], "client_id": "coding-bot",
                    "act": { "sub": "coding-bot" }, "cnf": { "x5t#S256": thumbprint },
                })
            );
        }
    }

    #[test]
    fn the_kid_is_the_thumbprint_of_rfc_7638() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa] {
            let minter = minter(kind, None);
            let jwk: Jwk = serde_json::from_value(minter.jwk()).unwrap();
            assert_eq!(jwk.thumbprint(ThumbprintHash::SHA256).unwrap(), minter.kid());
        }
        assert_eq!(minter(KeyKind::P256, None).with_kid("mine").jwk()["kid"], "mine");
    }

    #[test]
    fn what_is_empty_is_left_out_and_every_token_is_new() {
        let minter = minter(KeyKind::Ed25519, None);
        let bare = Mint::new("i", "a", "s");
        let names = |map: Map<String, Value>| map.keys().cloned().collect::<std::collections::BTreeSet<_>>();
        let claims = bare.claims(Timestamp::from_seconds(NOW)).unwrap();
        assert_eq!(names(claims), ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"].map(str::to_owned).into());
        let tokens = [(); 2].map(|()| minter.mint(&bare, Timestamp::from_seconds(NOW)).unwrap());
        assert_ne!(tokens[0].expose(), tokens[1].expose());
    }

    #[test]
    fn a_key_signs_with_its_own_algorithm_only() {
        let key = |kind| SigningKey::generate(kind).unwrap();
        assert!(Minter::new(key(KeyKind::P256), Some(JwtAlgorithm::ES384)).is_err());
        assert!(Minter::new(key(KeyKind::P256), Some(JwtAlgorithm::HS256)).is_err());
        assert!(Minter::new(key(KeyKind::Ed25519), Some(JwtAlgorithm::RS256)).is_err());
    }
}
