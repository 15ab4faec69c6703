//! Every way in which a token can be wrong, through the scheme as a whole: each has its own code, and uses nothing up.

#![expect(clippy::arithmetic_side_effects, reason = "times and lengths of a test are small")]

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::forge::{self, ES256, Signer};
use super::*;
use crate::cluster::{Cluster, Memory};
use crate::identity::{DistinguishedName, Thumbprint};
use crate::net::{Options, Outbound};

const NOW: i64 = 1_800_000_000;

fn section() -> AuthSection {
    let jwt = JwtSection {
        issuer: Some("https://issuer".to_owned()),
        audience: Some("door".to_owned()),
        ..JwtSection::default()
    };
    AuthSection { jwt, ..AuthSection::default() }
}

fn keys(signers: &[(&Signer, Option<&str>)]) -> KeySource {
    let keys: Vec<_> = signers.iter().map(|(signer, id)| signer.jwk(*id)).collect();
    KeySource::Static(Arc::new(KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()))
}

fn cluster() -> Arc<Cluster> {
    Arc::new(Cluster::Memory(Memory::new(100)))
}

fn scheme(change: impl FnOnce(&mut AuthSection)) -> Jwt {
    let mut section = section();
    change(&mut section);
    Jwt::new(&section, keys(&[(&ES256, Some("k"))]), cluster()).unwrap()
}

/// Good claims, with some replaced; a `null` takes one out.
fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer", "aud": "door", "sub": "alice", "jti": "1", "iat": NOW, "exp": NOW + 60, "scope": "core"
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name)
        } else {
            claims.as_object_mut().unwrap().insert(name.clone(), value.clone())
        };
    }
    claims
}

fn token(changes: Value) -> String {
    ES256.sign(&forge::header(&ES256, Some("k")), &claims(changes))
}

async fn present(scheme: &Jwt, token: &str) -> Result<Caller, Code> {
    present_at(scheme, token, &forge::peer(), NOW).await
}

async fn present_at(scheme: &Jwt, token: &str, peer: &Arc<PeerIdentity>, now: i64) -> Result<Caller, Code> {
    match scheme.authenticate(peer, &Presented::Bearer(token.into()), Timestamp::from_seconds(now)).await {
        Authentication::Authenticated(caller) => Ok(caller),
        Authentication::Failed(failure) => Err(failure.code()),
        Authentication::NotRequested => panic!("a bearer token means this scheme"),
    }
}

#[tokio::test]
async fn a_good_token_makes_a_caller_once() {
    let scheme = scheme(|_| ());
    let text = token(json!({"act": {"sub": "bot"}}));
    let caller = present(&scheme, &text).await.unwrap();
    assert_eq!(caller.principal().to_string(), "alice via bot");
    assert_eq!(caller.scopes().to_string(), "core");
    assert_eq!(caller.expires(), Some(Timestamp::from_seconds(NOW + 60)));
    assert_eq!(caller.peer().thumbprint(), Some(Thumbprint::of(b"one")));
    assert_eq!(present(&scheme, &text).await.unwrap_err(), Code::TokenReplayed);
}

#[tokio::test]
async fn each_wrong_token_has_its_code_and_uses_nothing_up() {
    let scheme = scheme(|_| ());
    let stranger = Signer::new(JwtAlgorithm::ES256);
    let good = claims(json!({}));
    let header = |changes: Value| {
        let mut header = forge::header(&ES256, Some("k"));
        header.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        ES256.sign(&header, &good)
    };
    let text = token(json!({}));
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let doubled = good.to_string().replacen('{', r#"{"sub":"root","#, 1);
    for (name, text, code) in [
        ("too long", "a".repeat(16 * 1024 + 1), Code::TokenTooLarge),
        ("no token", "x".to_owned(), Code::TokenMalformed),
        ("four parts", format!("{text}.x"), Code::TokenMalformed),
        (
            "claims twice",
            ES256.sign_text(&forge::header(&ES256, Some("k")).to_string(), &doubled),
            Code::TokenMalformed,
        ),
        ("not an object", ES256.sign(&forge::header(&ES256, Some("k")), &json!([])), Code::TokenMalformed),
        ("no signature", format!("{signed}."), Code::TokenSignature),
        ("cut signature", format!("{signed}.{}", signature.split_at(40).0), Code::TokenSignature),
        ("another key", stranger.sign(&forge::header(&stranger, Some("k")), &good), Code::TokenSignature),
        (
            "another text",
            format!("{}.{signature}", token(json!({"sub": "root"})).rsplit_once('.').unwrap().0),
            Code::TokenSignature,
        ),
        ("alg none", header(json!({"alg": "none"})), Code::TokenAlgorithm),
        ("alg HS256", header(json!({"alg": "HS256"})), Code::TokenAlgorithm),
        ("alg of another kind", header(json!({"alg": "RS256"})), Code::TokenAlgorithm),
        ("alg of another curve", header(json!({"alg": "ES384"})), Code::TokenAlgorithm),
        ("unknown kid", header(json!({"kid": "other"})), Code::TokenKeyUnknown),
        ("no kid", ES256.sign(&forge::header(&ES256, None), &good), Code::TokenKeyUnknown),
        ("crit", header(json!({"crit": ["exp"]})), Code::TokenHeader),
        ("its own key", header(json!({"jwk": stranger.jwk(None)})), Code::TokenHeader),
        ("typ", header(json!({"typ": "id_token"})), Code::TokenType),
        ("issuer", token(json!({"iss": "https://other"})), Code::TokenIssuer),
        ("audience", token(json!({"aud": ["window"]})), Code::TokenAudience),
        ("no expiry", token(json!({"exp": null})), Code::TokenClaim),
        ("expired", token(json!({"iat": NOW - 100, "exp": NOW - 30})), Code::TokenExpired),
        ("not yet", token(json!({"nbf": NOW + 31})), Code::TokenNotYetValid),
        ("from the future", token(json!({"iat": NOW + 31})), Code::TokenIssuedInFuture),
        ("long life", token(json!({"exp": NOW + 301})), Code::TokenLifetime),
        ("no subject", token(json!({"sub": null})), Code::TokenClaim),
        ("no id", token(json!({"jti": null})), Code::TokenClaim),
        ("no issue time", token(json!({"iat": null})), Code::TokenClaim),
        ("scopes", token(json!({"scope": {}})), Code::TokenClaim),
        (
            "another certificate",
            token(json!({"cnf": {"x5t#S256": Thumbprint::of(b"two").base64url()}})),
            Code::TokenBinding,
        ),
        ("another proof", token(json!({"cnf": {"jkt": "x"}})), Code::TokenBinding),
    ] {
        assert_eq!(present(&scheme, &text).await.unwrap_err(), code, "{name}");
    }
    assert!(present(&scheme, &text).await.is_ok(), "no wrong token has used up the good one");
}

#[tokio::test]
async fn every_algorithm_verifies_its_own_tokens() {
    let ps256 = forge::RS256.serving(JwtAlgorithm::PS256);
    for signer in [&*forge::EDDSA, &*ES256, &*forge::ES384, &*forge::RS256, &ps256] {
        for id in [Some("k"), None] {
            let scheme = Jwt::new(&section(), keys(&[(signer, id)]), cluster()).unwrap();
            let text = signer.sign(&forge::header(signer, id), &claims(json!({})));
            assert!(present(&scheme, &text).await.is_ok());
        }
    }
}

#[tokio::test]
async fn a_shared_secret_verifies_hs256_and_nothing_else() {
    let secret = [7; 32];
    let set = || KeySource::Static(Arc::new(KeySet::from_secret(&Secret::new(secret.to_vec())).unwrap()));
    let scheme = Jwt::new(&section(), set(), cluster()).unwrap();
    let text = forge::sign_with(
        &EncodingKey::from_secret(&secret),
        Algorithm::HS256,
        r#"{"alg":"HS256"}"#,
        &claims(json!({})).to_string(),
    );
    assert!(present(&scheme, &text).await.is_ok());
    assert_eq!(present(&scheme, &token(json!({}))).await.unwrap_err(), Code::TokenAlgorithm);
    for (algorithms, keys) in [(vec![JwtAlgorithm::ES256], set()), (vec![JwtAlgorithm::HS256], keys(&[(&ES256, None)]))]
    {
        let mut section = section();
        section.jwt.algorithms = algorithms;
        assert_eq!(Jwt::new(&section, keys, cluster()).map(|_| ()).unwrap_err().code(), Code::Config);
    }
}

/// The oldest trick: an HMAC with the public key, which everybody knows, as its secret.
#[tokio::test]
async fn a_public_key_is_no_secret() {
    let set = KeySet::from_pem(ES256.pem().as_bytes()).unwrap();
    let scheme = Jwt::new(&section(), KeySource::Static(Arc::new(set)), cluster()).unwrap();
    for secret in [ES256.pem().into_bytes(), ES256.pair().public_key_raw().to_vec()] {
        let key = EncodingKey::from_secret(&secret);
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"ES256"}"#] {
            let text = forge::sign_with(&key, Algorithm::HS256, header, &claims(json!({})).to_string());
            let code = present(&scheme, &text).await.unwrap_err();
            assert!(matches!(code, Code::TokenAlgorithm | Code::TokenSignature), "{code}");
        }
    }
}

#[tokio::test]
async fn a_bound_token_is_good_over_its_own_certificate_only() {
    let scheme = scheme(|section| section.jwt.require_cert_binding = true);
    let text = token(json!({"cnf": {"x5t#S256": Thumbprint::of(b"one").base64url()}}));
    assert_eq!(present(&scheme, &token(json!({}))).await.unwrap_err(), Code::TokenUnbound);
    assert_eq!(present_at(&scheme, &text, &forge::peer_with(b"two"), NOW).await.unwrap_err(), Code::TokenBinding);
    assert!(present(&scheme, &text).await.is_ok());
}

#[tokio::test]
async fn a_token_can_be_asked_to_belong_to_whom_the_certificate_names() {
    let scheme = scheme(|section| section.jwt.require_cert_subject = true);
    let peer = |name: &str| forge::peer_named(DistinguishedName::parse(name).unwrap());
    let text = token(json!({"act": {"sub": "bot"}}));
    for stranger in ["CN=bob", "CN=bot", "CN=alice,CN=bob"] {
        let code = present_at(&scheme, &text, &peer(stranger), NOW).await.unwrap_err();
        assert_eq!(code, Code::TokenBinding, "{stranger}");
    }
    assert!(present_at(&scheme, &text, &peer("CN=alice"), NOW).await.is_ok(), "a refusal uses nothing up");
}

#[tokio::test]
async fn a_sender_bound_token_is_good_again_and_every_time_judged_anew() {
    let scheme = scheme(|section| section.jwt.replay = ReplayMode::SenderBound);
    let text = token(json!({"nbf": NOW}));
    for _ in 0..3 {
        assert!(present(&scheme, &text).await.is_ok());
    }
    let (one, two) = (forge::peer(), forge::peer_with(b"two"));
    assert_eq!(present_at(&scheme, &text, &two, NOW).await.unwrap_err(), Code::TokenBinding);
    assert_eq!(present_at(&scheme, &text, &one, NOW - 31).await.unwrap_err(), Code::TokenNotYetValid);
    assert_eq!(present_at(&scheme, &text, &one, NOW + 90).await.unwrap_err(), Code::TokenExpired);
    assert!(present_at(&scheme, &text, &one, NOW + 89).await.is_ok());
    let (start, end) = text.split_at(text.len() - 10);
    let other = format!("{start}{}", end.chars().rev().collect::<String>());
    assert!(present(&scheme, &other).await.is_err(), "a token that differs in its signature only is not remembered");
}

#[tokio::test]
async fn a_token_without_an_id_is_still_used_once_unless_replay_is_off() {
    let text = token(json!({"jti": null}));
    let once = scheme(|section| section.jwt.require_jti = false);
    assert!(present(&once, &text).await.is_ok());
    assert_eq!(present(&once, &text).await.unwrap_err(), Code::TokenReplayed);
    let off = scheme(|section| (section.jwt.require_jti, section.jwt.replay) = (false, ReplayMode::Off));
    assert!(present(&off, &text).await.is_ok());
    assert!(present(&off, &text).await.is_ok());
}

#[tokio::test]
async fn a_full_register_refuses_new_tokens() {
    let cluster = Arc::new(Cluster::Memory(Memory::new(1)));
    let scheme = Jwt::new(&section(), keys(&[(&ES256, Some("k"))]), cluster).unwrap();
    assert!(present(&scheme, &token(json!({}))).await.is_ok());
    assert_eq!(present(&scheme, &token(json!({"jti": "2"}))).await.unwrap_err(), Code::ReplayStoreFull);
}

#[tokio::test]
async fn used_tokens_outlive_the_scheme_that_saw_them() {
    let cluster = cluster();
    let build = || Jwt::new(&section(), keys(&[(&ES256, Some("k"))]), Arc::clone(&cluster)).unwrap();
    let text = token(json!({}));
    assert!(present(&build(), &text).await.is_ok());
    assert_eq!(present(&build(), &text).await.unwrap_err(), Code::TokenReplayed);
}

#[tokio::test]
async fn without_keys_nothing_is_verified() {
    let mut section = section();
    section.jwt.jwks_uri = Some("https://127.0.0.1:1/jwks".to_owned());
    let options = Options {
        ca_pem: Some(ES256.self_signed().into_bytes()),
        identity: None,
        connect_timeout: Duration::from_secs(1),
    };
    let outbound = Outbound::new(options).unwrap();
    let jwks = Jwks::start(&section.jwt, outbound, crate::clock::Clock::system()).unwrap();
    let scheme = Jwt::new(&section, KeySource::Jwks(jwks), cluster()).unwrap();
    assert_eq!(present(&scheme, &token(json!({}))).await.unwrap_err(), Code::KeysUnavailable);
}

#[test]
fn contradictions_in_the_configuration_are_findings() {
    let broken: [fn(&mut JwtSection); 6] = [
        |jwt| jwt.issuer = None,
        |jwt| jwt.audience = None,
        |jwt| jwt.audience = Some(String::new()),
        |jwt| jwt.require_exp = false,
        |jwt| jwt.replay = ReplayMode::Off,
        |jwt| jwt.algorithms = vec![JwtAlgorithm::ES256, JwtAlgorithm::HS256],
    ];
    for change in broken {
        let mut section = section();
        change(&mut section.jwt);
        let built = Jwt::new(&section, keys(&[(&ES256, None)]), cluster());
        assert_eq!(built.map(|_| ()).unwrap_err().code(), Code::Config);
    }
}

#[tokio::test]
async fn a_request_without_a_token_is_not_for_this_scheme() {
    let answer = scheme(|_| ()).authenticate(&forge::peer(), &Presented::Nothing, Timestamp::from_seconds(NOW)).await;
    assert!(matches!(answer, Authentication::NotRequested));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One changed letter anywhere in a token makes it another token.
    #[test]
    fn a_changed_token_is_refused(at in 0_usize..1000, letter in "[A-Za-z0-9_.=-]") {
        let text = token(json!({}));
        let (start, end) = text.split_at(at % text.len());
        let changed = format!("{start}{letter}{}", end.split_at(1).1);
        prop_assume!(changed != text);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let scheme = scheme(|_| ());
        prop_assert!(runtime.block_on(present(&scheme, &changed)).is_err());
        prop_assert!(runtime.block_on(present(&scheme, &text)).is_ok());
    }

    #[test]
    fn no_text_can_make_it_panic(text in "[A-Za-z0-9_.=-]{0,200}|.{0,60}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert!(runtime.block_on(present(&scheme(|_| ()), &text)).is_err());
    }
}
