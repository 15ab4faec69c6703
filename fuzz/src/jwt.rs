//! A token: whoever is let in has said all that a strict reader asks for, and is let in once.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward::authn::{AuthSection, Caller, Jwt, KeySet, KeySource, ReplayMode};
use doorward::clock::Timestamp;
use doorward::cluster::{Cluster, Memory};
use doorward::error::{Code, Failure};
use doorward::identity::{Certificate, DistinguishedName, PeerIdentity, Spelling, Thumbprint};
use doorward::secret::Secret;
use futures_util::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::Value;

/// The time at which all tokens come.
pub const NOW: i64 = 1_700_000_000;

const SKEW: f64 = 30.0;
const MAX_TTL: f64 = 300.0;
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "door";

/// Filler in the place of a key; whoever knows it can make tokens for these tests only.
const FILLER: [u8; 32] = [0; 32];

/// One line is a token. Two lines are a header and claims, which are then signed as they should be.
pub fn run(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some((header, claims)) = text.split_once('\n') else {
        assert!(judge(text, &section()).is_err(), "a token without a signature");
        return false;
    };
    let token = sign(header, claims);
    let accepted = judge(&token, &section());
    let mut lenient = section();
    lenient.jwt.require_iat = false;
    lenient.jwt.require_jti = false;
    lenient.jwt.replay = ReplayMode::Off;
    let lenient = judge(&token, &lenient);
    match (accepted, lenient) {
        (Ok(caller), lenient) => {
            assert!(lenient.is_ok(), "less is asked for, and it is refused");
            strict(header, claims, &caller);
            once(&token);
            return true;
        }
        (Err(_), Ok(caller)) => assert_eq!(caller.principal().subject, subject(claims)),
        (Err(_), Err(_)) => {}
    }
    false
}

fn judge(token: &str, section: &AuthSection) -> Result<Caller, Failure> {
    verify(&door(section, shared()), &peer(b"one"), token, NOW)
}

/// A second use is refused: always, or from another certificate.
fn once(token: &str) {
    let again = |door: &Jwt, certificate: &[u8]| verify(door, &peer(certificate), token, NOW);
    let single = door(&section(), shared());
    assert!(again(&single, b"one").is_ok());
    assert_eq!(again(&single, b"one").map_err(|failure| failure.code()).err(), Some(Code::TokenReplayed));
    let mut bound = section();
    bound.jwt.replay = ReplayMode::SenderBound;
    let bound = door(&bound, shared());
    assert!(again(&bound, b"one").is_ok());
    assert!(again(&bound, b"one").is_ok());
    assert!(again(&bound, b"two").is_err());
}

/// What a strict reader asks of an accepted token, said once more in other words.
fn strict(header: &str, claims: &str, caller: &Caller) {
    let header: Value = serde_json::from_str(header).expect("a header is JSON");
    assert_eq!(header["alg"], "HS256");
    assert!(["crit", "zip", "enc", "jwk", "jku", "x5u", "x5c", "b64"].iter().all(|name| header.get(name).is_none()));
    let kind = header.get("typ").map(|kind| kind.as_str().expect("typ is text").to_ascii_lowercase());
    assert!(kind.is_none_or(|kind| ["jwt", "at+jwt", "application/at+jwt"].contains(&&*kind)));
    assert!(header.get("kid").is_none_or(Value::is_string));
    let claims: Value = serde_json::from_str(claims).expect("claims are JSON");
    assert_eq!(claims["iss"], ISSUER);
    let audience = &claims["aud"];
    assert!(audience == AUDIENCE || audience.as_array().is_some_and(|all| all.iter().any(|one| one == AUDIENCE)));
    let moment = |name: &str| claims.get(name).map(|value| value.as_f64().expect("a time is a number"));
    let (expires, issued) = (moment("exp").expect("exp is there"), moment("iat").expect("iat is there"));
    let (now, millisecond) = (1_700_000_000.0, 0.001);
    assert!(expires + SKEW > now && expires < now + MAX_TTL + SKEW + millisecond);
    assert!(issued < now + SKEW + millisecond && issued >= 0.0);
    assert!(expires > issued - millisecond && expires < issued + MAX_TTL + millisecond);
    assert!(moment("nbf").is_none_or(|start| start < now + SKEW + millisecond));
    assert!(claims["jti"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(claims["sub"], caller.principal().subject.as_str());
    if let Some(bound) = claims.get("cnf") {
        assert_eq!(bound["x5t#S256"], Thumbprint::of(b"one").base64url());
    }
    let mut agents = Vec::new();
    let mut level = claims.get("act");
    while let Some(act) = level {
        agents.push(act["sub"].as_str().expect("an actor has a name"));
        level = act.get("act");
    }
    if agents.is_empty() {
        agents
            .extend(claims.get("client_id").or(claims.get("azp")).map(|id| id.as_str().expect("a client has a name")));
    }
    assert_eq!(caller.principal().agents().collect::<Vec<_>>(), agents);
    let mut granted = words(&claims["scope"]);
    if let Value::String(role) = &claims["roles"] {
        granted.extend((role == "admin").then_some("host"));
    } else if words(&claims["roles"]).contains("admin") {
        granted.insert("host");
    }
    for scope in ["core", "host", "admin", "a"] {
        assert_eq!(caller.scopes().contains(scope), granted.contains(scope), "{scope}");
    }
}

fn words(claim: &Value) -> BTreeSet<&str> {
    match claim {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

fn subject(claims: &str) -> String {
    let claims: Value = serde_json::from_str(claims).expect("claims are JSON");
    claims["sub"].as_str().expect("a subject is text").to_owned()
}

fn sign(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(&FILLER);
    let signature =
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).expect("a text can be signed");
    format!("{signed}.{signature}")
}

fn shared() -> KeySource {
    KeySource::Static(Arc::new(KeySet::from_secret(&Secret::new(FILLER.to_vec())).expect("32 bytes are enough")))
}

/// Judges a token. Keys that are at hand are not waited for.
pub fn verify(door: &Jwt, peer: &Arc<PeerIdentity>, token: &str, now: i64) -> Result<Caller, Failure> {
    let verdict = door.verify(peer, token, Timestamp::from_seconds(now)).now_or_never();
    verdict.expect("nothing is waited for")
}

/// What is asked of tokens.
pub fn section() -> AuthSection {
    let mut section = AuthSection::default();
    section.jwt.issuer = Some(ISSUER.to_owned());
    section.jwt.audience = Some(AUDIENCE.to_owned());
    section.role_claim = Some("roles".to_owned());
    section.role_mapping = [("admin".to_owned(), vec!["host".to_owned()])].into();
    section
}

/// A judge of tokens that has seen none.
pub fn door(section: &AuthSection, keys: KeySource) -> Jwt {
    let cluster = Arc::new(Cluster::Memory(Memory::new(16)));
    Jwt::new(section, keys, cluster).expect("the configuration is right")
}

/// A peer with a certificate.
pub fn peer(certificate: &[u8]) -> Arc<PeerIdentity> {
    let name = DistinguishedName::parse("CN=bot").expect("a name");
    Arc::new(PeerIdentity::Certificate {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        holder: "bot".into(),
        certificate: Arc::new(Certificate {
            subject: name.clone(),
            issuer: name,
            serial: "01".to_owned(),
            dns_names: vec![],
            uris: vec![],
            emails: vec![],
            not_before: Timestamp::from_seconds(0),
            not_after: Timestamp::from_seconds(i64::MAX),
            thumbprint: Thumbprint::of(certificate),
            spelling: Spelling::default(),
        }),
    })
}
