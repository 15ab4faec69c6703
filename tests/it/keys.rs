//! Where token keys come from and when they change: published sets, files, secrets.

use std::fs;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::issuer::Issuer;
use crate::world::tokens::{self, Signer};
use crate::world::{Choice, World};

/// `auth.jwt.jwks_min_refresh` by default.
const MIN_REFRESH: Duration = Duration::from_secs(300);

/// A world whose clock stands until the test moves it.
async fn slow_world(jwt: &str) -> World {
    let jwt = jwt.lines().map(|line| format!("    {line}\n")).collect();
    let clock = Some(Clock::manual(Timestamp::from_seconds(tokens::now())));
    World::with(Choice { jwt, clock, ..Choice::default() }).await
}

/// The outcome of a call with a fresh token of this key.
async fn try_key(world: &World, signer: &Signer) -> String {
    world.call(&signer.sign(&world.claims(&["core"]))).await.outcome()
}

/// Puts other lines where the configuration says that keys are published.
fn take_keys_from(world: &World, lines: &str) {
    world.edit(&published(world), lines);
}

fn published(world: &World) -> String {
    let ca = world.path("ca/ca.crt");
    format!("    jwks_uri: https://localhost:{}/jwks.json\n    jwks_ca: {}\n", world.issuer.port, ca.display())
}

#[tokio::test]
async fn a_rotation_with_overlap_loses_no_valid_token() {
    let world = slow_world("").await;
    let (old, next, last) = (&world.signer, Signer::new("key-2"), Signer::new("key-3"));
    assert_eq!(try_key(&world, old).await, "200");
    let both = |one, other| {
        let world = &world;
        join_all((0..20).map(move |n| try_key(world, if n % 2 == 0 { one } else { other })))
    };
    world.issuer.publish(&[old.jwk(), next.jwk()]);
    assert!(both(old, &next).await.iter().all(|outcome| outcome == "200"));
    assert_eq!(world.issuer.fetches(), 2, "one at the start, one for the new key");
    world.clock.advance(MIN_REFRESH);
    world.issuer.publish(&[next.jwk(), last.jwk()]);
    assert!(both(&next, &last).await.iter().all(|outcome| outcome == "200"));
    assert_eq!(world.issuer.fetches(), 3);
    assert_eq!(try_key(&world, old).await, "401 token_key_unknown");
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_once_in_a_while() {
    let world = slow_world("").await;
    let (second, third) = (Signer::new("key-2"), Signer::new("key-3"));
    world.issuer.publish(&[world.signer.jwk(), second.jwk()]);
    assert_eq!(try_key(&world, &second).await, "200");
    world.issuer.publish(&[world.signer.jwk(), third.jwk()]);
    for _ in 0..3 {
        assert_eq!(try_key(&world, &third).await, "401 token_key_unknown");
    }
    world.clock.advance(MIN_REFRESH - Duration::from_secs(1));
    assert_eq!(try_key(&world, &third).await, "401 token_key_unknown");
    assert_eq!(world.issuer.fetches(), 2);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(try_key(&world, &third).await, "200");
    assert_eq!(try_key(&world, &second).await, "401 token_key_unknown");
    assert_eq!(world.issuer.fetches(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    let world = slow_world("").await;
    let strangers: Vec<Signer> = (0..40).map(|n| Signer::new(&format!("stranger-{n}"))).collect();
    let outcomes = join_all(strangers.iter().map(|signer| try_key(&world, signer))).await;
    assert!(outcomes.iter().all(|outcome| outcome == "401 token_key_unknown"), "{outcomes:?}");
    assert_eq!(world.issuer.fetches(), 2);
    // Nor does a known name with another signature cause any.
    let forger = Signer::new("key-1");
    assert_eq!(try_key(&world, &forger).await, "401 token_signature");
    assert_eq!(try_key(&world, &world.signer).await, "200");
    assert_eq!(world.issuer.fetches(), 2);
}

#[tokio::test]
async fn without_the_issuer_the_last_good_keys_go_on_for_as_long_as_declared() {
    let world = slow_world("jwks_max_stale: 3600").await;
    world.issuer.fail();
    assert_eq!(try_key(&world, &Signer::new("key-2")).await, "401 token_key_unknown");
    assert!(world.issuer.fetches() >= 2);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(try_key(&world, &world.signer).await, "200");
    world.clock.advance(Duration::from_secs(1));
    let refused = world.call(&world.token(&["core"])).await;
    assert_eq!(refused.outcome(), "503 keys_unavailable");
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(refused.header("www-authenticate").is_none());
    assert!(world.daemon.ready(Duration::from_millis(1)).await.unwrap_err().cause().unwrap().contains("keys"));
    // A failed fetch is tried again without anybody asking.
    world.issuer.publish(&[world.signer.jwk()]);
    world.daemon.ready(Duration::from_secs(60)).await.unwrap();
    assert_eq!(try_key(&world, &world.signer).await, "200");
}

#[tokio::test]
async fn a_withdrawn_key_is_refused_after_the_next_refresh_even_for_a_token_that_was_accepted() {
    let jwt = "    jwks_refresh_interval: 1\n    jwks_min_refresh: 1\n    replay: sender_bound\n".to_owned();
    let world = World::with(Choice { jwt, ..Choice::default() }).await;
    let next = Signer::new("key-2");
    let token = world.token(&["core"]);
    for _ in 0..2 {
        assert_eq!(world.call(&token).await.outcome(), "200");
    }
    world.issuer.publish(&[next.jwk()]);
    let fetches = world.issuer.fetches();
    let mut outcome = String::new();
    for _ in 0..2000 {
        outcome = world.call(&token).await.outcome();
        if outcome != "200" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(outcome, "401 token_key_unknown");
    assert!(world.issuer.fetches() > fetches);
    assert_eq!(try_key(&world, &next).await, "200");
}

#[tokio::test]
async fn the_last_key_too_is_refused_once_the_issuer_has_withdrawn_it() {
    let world = World::with(Choice {
        jwt: "    jwks_refresh_interval: 1\n    jwks_min_refresh: 1\n".to_owned(),
        ..Choice::default()
    })
    .await;
    assert_eq!(try_key(&world, &world.signer).await, "200");
    world.issuer.publish(&[]);
    let mut outcome = String::new();
    for _ in 0..2000 {
        outcome = try_key(&world, &world.signer).await;
        if outcome != "200" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(outcome, "401 token_key_unknown");
    let missing = world.daemon.ready(Duration::from_millis(1)).await.unwrap_err();
    assert!(missing.cause().unwrap().contains("keys"), "{missing:?}");
    world.issuer.publish(&[world.signer.jwk()]);
    world.daemon.ready(Duration::from_secs(10)).await.unwrap();
    assert_eq!(try_key(&world, &world.signer).await, "200");
}

#[tokio::test]
async fn a_reload_keeps_the_keys_that_come_from_the_same_place() {
    let world = slow_world("max_ttl: 300\njwks_refresh_interval: 3600").await;
    assert_eq!(try_key(&world, &world.signer).await, "200");
    world.issuer.fail();
    for (from, to) in [("max_ttl: 300", "max_ttl: 120"), ("jwks_refresh_interval: 3600", "jwks_refresh_interval: 900")]
    {
        world.edit(from, to);
        world.reload().await;
        assert_eq!(try_key(&world, &world.signer).await, "200", "{to}");
    }
}

#[tokio::test]
async fn another_issuer_is_in_force_once_the_reload_is_done() {
    let world = slow_world("").await;
    let other = Signer::new("key-1");
    let moved = Issuer::start(&world.path(""), &[other.jwk()]);
    moved.hesitate(300);
    world.edit(&format!(":{}/jwks.json", world.issuer.port), &format!(":{}/jwks.json", moved.port));
    world.reload().await;
    assert_eq!(try_key(&world, &other).await, "200");
    assert_eq!(try_key(&world, &world.signer).await, "401 token_signature");
}

#[tokio::test]
async fn keys_do_not_outlive_the_authority_that_vouched_for_their_issuer() {
    let world = slow_world("jwks_timeout: 1").await;
    let authorities = world.path("issuers.crt");
    fs::copy(world.path("ca/ca.crt"), &authorities).unwrap();
    let jwks_ca = |path: &str| format!("jwks_ca: {}", world.path(path).display());
    world.edit(&jwks_ca("ca/ca.crt"), &jwks_ca("issuers.crt"));
    world.reload().await;
    assert_eq!(try_key(&world, &world.signer).await, "200");
    fs::copy(world.path("rogue/ca.crt"), &authorities).unwrap();
    world.reload().await;
    assert_eq!(try_key(&world, &world.signer).await, "503 keys_unavailable");
    fs::copy(world.path("ca/ca.crt"), &authorities).unwrap();
    world.reload().await;
    assert_eq!(try_key(&world, &world.signer).await, "200");
}

#[tokio::test]
async fn tokens_in_the_form_of_teleport_are_accepted() {
    let jwt =
        "    require_jti: false\n    replay: off\n  role_claim: roles\n  role_mapping:\n    sre: [core]\n".to_owned();
    let world = World::with(Choice { jwt, ..Choice::default() }).await;
    let audience = "mcp+http://doorward.internal:8443";
    world.edit("issuer: https://issuer.test", "issuer: acme.teleport.example");
    world.edit(&format!("audience: {}", world.audience()), &format!("audience: {audience}"));
    world.reload().await;
    let keys = [Signer::of("RS256", ""), Signer::of("RS256", "")];
    let published: Vec<Value> = keys
        .iter()
        .map(|key| {
            let mut jwk = key.jwk();
            jwk.as_object_mut().unwrap().remove("kid");
            jwk
        })
        .collect();
    world.issuer.publish(&published);
    let token = |key: &Signer, roles: Value| {
        let now = tokens::now();
        let claims = json!({
            "iss": "acme.teleport.example", "aud": [audience], "sub": "alice", "username": "alice", "roles": roles,
            "traits": { "logins": ["alice"] }, "iat": now, "nbf": now, "exp": now + 60,
        });
        key.sign_parts(&json!({ "alg": "RS256", "typ": "JWT" }).to_string(), &claims.to_string())
    };
    for key in &keys {
        let token = token(key, json!(["sre", "auditor"]));
        assert_eq!(world.call(&token).await.outcome(), "200");
        assert_eq!(world.call(&token).await.outcome(), "200", "Teleport signs one assertion for many requests");
    }
    assert_eq!(world.call(&token(&keys[0], json!(["auditor"]))).await.outcome(), "403 insufficient_scope");
    let stranger = Signer::of("RS256", "");
    assert_eq!(world.call(&token(&stranger, json!(["sre"]))).await.outcome(), "401 token_signature");
}

#[tokio::test]
async fn every_public_algorithm_is_accepted_from_a_published_set_and_from_a_file() {
    let world = slow_world("").await;
    let signers = ["EdDSA", "ES256", "ES384", "RS256", "PS256"].map(|algorithm| Signer::of(algorithm, algorithm));
    world.issuer.publish(&signers.each_ref().map(Signer::jwk));
    for signer in &signers {
        assert_eq!(try_key(&world, signer).await, "200", "{}", signer.algorithm);
    }
    let pem: String = signers.iter().map(|signer| signer.key.public_pem().unwrap()).collect();
    fs::write(world.path("tokens.pem"), pem).unwrap();
    take_keys_from(&world, &format!("    public_key: {}\n", world.path("tokens.pem").display()));
    world.reload().await;
    let fetches = world.issuer.fetches();
    for signer in &signers {
        assert_eq!(try_key(&world, signer).await, "200", "{} from a file", signer.algorithm);
    }
    assert_eq!(try_key(&world, &world.signer).await, "401 token_signature");
    fs::write(world.path("tokens.pem"), world.signer.key.public_pem().unwrap()).unwrap();
    assert_eq!(try_key(&world, &signers[0]).await, "200", "until the reload");
    world.reload().await;
    assert_eq!(try_key(&world, &world.signer).await, "200");
    assert_eq!(try_key(&world, &signers[0]).await, "401 token_key_unknown");
    assert_eq!(world.issuer.fetches(), fetches, "nobody asks the issuer any more");
}

#[tokio::test]
async fn a_shared_secret_comes_from_the_environment_and_goes_nowhere() {
    let secret = "correct-horse-battery-staple-0123456789";
    let environment = vec![("TOKEN_SECRET".to_owned(), secret.to_owned())];
    let world = World::with(Choice { environment, ..Choice::default() }).await;
    take_keys_from(&world, "    secret: ${TOKEN_SECRET}\n");
    world.reload().await;
    let claims = || world.claims(&["core"]);
    assert_eq!(world.call(&tokens::sign_with_secret(secret, &claims())).await.outcome(), "200");
    let wrong = tokens::sign_with_secret("another-secret-of-the-same-length-012345", &claims());
    assert_eq!(world.call(&wrong).await.outcome(), "401 token_signature");
    assert_eq!(try_key(&world, &world.signer).await, "401 token_algorithm");
    assert!(!fs::read_to_string(world.path("log/audit.jsonl")).unwrap().contains(secret));
}
