//! What a second use of a token means, in each mode, over real connections.

use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use doorward::identity::Thumbprint;
use doorward::pki::store;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::world::{Choice, World, tokens};

async fn world(jwt: &str) -> World {
    let jwt = jwt.lines().map(|line| format!("    {line}\n")).collect();
    World::with(Choice { jwt, ..Choice::default() }).await
}

fn count(outcomes: &[String], wanted: &str) -> usize {
    outcomes.iter().filter(|outcome| *outcome == wanted).count()
}

#[tokio::test]
async fn a_single_use_token_is_spent_by_whoever_comes_first() {
    let world = World::open().await;
    let token = world.token(&["core"]);
    assert_eq!(world.call(&token).await.outcome(), "200");
    assert_eq!(world.call(&token).await.outcome(), "401 token_replayed");
    assert_eq!(world.call_as("second", &token).await.outcome(), "401 token_replayed");
    // The same jti in a newly signed token is the same token.
    let mut claims = world.claims(&["core"]);
    assert_eq!(world.call(&world.signer.sign(&claims)).await.outcome(), "200");
    claims["sub"] = json!("bob");
    assert_eq!(world.call(&world.signer.sign(&claims)).await.outcome(), "401 token_replayed");
}

#[tokio::test]
async fn a_refused_token_is_not_spent() {
    let world = World::open().await;
    let bound = {
        let chain = store::certificates(&world.path("good.crt")).unwrap();
        let mut claims = world.claims(&["core"]);
        claims["cnf"] = json!({ "x5t#S256": Thumbprint::of(&chain[0]).base64url() });
        world.signer.sign(&claims)
    };
    assert_eq!(world.call_as("second", &bound).await.outcome(), "401 token_binding");
    assert_eq!(world.call_as("unlisted", &bound).await.outcome(), "403 subject_not_allowed");
    assert_eq!(world.call(&bound).await.outcome(), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_uses_at_once_one_is_accepted() {
    let world = World::open().await;
    let token = world.token(&["core"]);
    let outcomes: Vec<String> = join_all((0..50).map(|_| async { world.call(&token).await.outcome() })).await;
    assert_eq!((count(&outcomes, "200"), count(&outcomes, "401 token_replayed")), (1, 49), "{outcomes:?}");
    let ran = |record: &&Value| record["result"] == "permitted";
    assert_eq!(world.audit().iter().filter(ran).count(), 1);
}

#[tokio::test]
async fn a_sender_bound_token_belongs_to_the_certificate_that_used_it_first() {
    let world = world("replay: sender_bound").await;
    let token = world.token(&["core"]);
    assert_eq!(world.call(&token).await.outcome(), "200");
    assert_eq!(world.call_as("second", &token).await.outcome(), "401 token_binding");
    for _ in 0..3 {
        assert_eq!(world.call(&token).await.outcome(), "200");
    }
    let other = world.token(&["core"]);
    assert_eq!(world.call_as("second", &other).await.outcome(), "200");
    assert_eq!(world.call(&other).await.outcome(), "401 token_binding");
}

#[tokio::test]
async fn what_may_be_used_again_is_still_judged_each_time() {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    let jwt = "    replay: sender_bound\n".to_owned();
    let world = World::with(Choice { jwt, clock: Some(clock.clone()), ..Choice::default() }).await;
    let token = world.token(&["core"]);
    assert_eq!(world.call(&token).await.outcome(), "200");
    clock.advance(Duration::from_secs(89));
    assert_eq!(world.call(&token).await.outcome(), "200", "60 seconds of life and 30 for the clocks");
    clock.advance(Duration::from_secs(1));
    assert_eq!(world.call(&token).await.outcome(), "401 token_expired");
}

#[tokio::test]
async fn with_replay_off_uses_are_not_counted() {
    let world = world("replay: off\nrequire_jti: false").await;
    let mut claims = world.claims(&["core"]);
    for _ in 0..2 {
        assert_eq!(world.call(&world.signer.sign(&claims)).await.outcome(), "200");
    }
    claims.as_object_mut().unwrap().remove("jti");
    let token = world.signer.sign(&claims);
    for certificate in ["good", "second", "good"] {
        assert_eq!(world.call_as(certificate, &token).await.outcome(), "200");
    }
}

#[tokio::test]
async fn a_full_register_refuses_and_forgets_nobody_who_lives() {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    let jwt = "    jti_cache_size: 6\n    clock_skew: 0\n".to_owned();
    let world = World::with(Choice { jwt, clock: Some(clock.clone()), ..Choice::default() }).await;
    let used: Vec<String> = (0..3).map(|_| world.token(&["core"])).collect();
    for token in &used {
        assert_eq!(world.call(token).await.outcome(), "200");
    }
    let fourth = world.token(&["core"]);
    for _ in 0..3 {
        let refused = world.call(&fourth).await;
        assert_eq!(refused.outcome(), "503 replay_store_full");
        assert!(refused.header("retry-after").is_some());
        assert!(refused.header("www-authenticate").is_none(), "another token would not help");
    }
    for token in &used {
        assert_eq!(world.call(token).await.outcome(), "401 token_replayed");
    }
    // Others have their own share.
    assert_eq!(world.call_as("second", &fourth).await.outcome(), "200");
    // The tokens live for a minute.
    clock.advance(Duration::from_secs(59));
    assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "503 replay_store_full");
    clock.advance(Duration::from_secs(1));
    assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "200", "what is over makes room");
    assert_eq!(world.call(&used[0]).await.outcome(), "401 token_expired");
}

#[tokio::test]
async fn a_used_token_does_not_work_again_after_a_reload_that_grants_more_skew() {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    let jwt = "    clock_skew: 0\n".to_owned();
    let world = World::with(Choice { jwt, clock: Some(clock.clone()), ..Choice::default() }).await;
    let token = world.token(&["core"]);
    assert_eq!(world.call(&token).await.outcome(), "200");
    clock.advance(Duration::from_secs(200));
    assert_eq!(world.call(&token).await.outcome(), "401 token_expired");
    // What is over is cleared away by the calls of others.
    for _ in 0..64 {
        assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "200");
    }
    world.edit("clock_skew: 0", "clock_skew: 300");
    world.reload().await;
    assert_eq!(world.call(&token).await.outcome(), "401 token_expired", "it may be one that was forgotten");
}

#[tokio::test]
async fn where_binding_is_required_a_token_names_its_certificate() {
    let world = world("require_cert_binding: true").await;
    let bound_to = |name: &str| {
        let chain = store::certificates(&world.path(&format!("{name}.crt"))).unwrap();
        let mut claims = world.claims(&["core"]);
        claims["cnf"] = json!({ "x5t#S256": Thumbprint::of(&chain[0]).base64url() });
        world.signer.sign(&claims)
    };
    assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "401 token_unbound");
    assert_eq!(world.call(&bound_to("second")).await.outcome(), "401 token_binding");
    assert_eq!(world.call(&bound_to("good")).await.outcome(), "200");
    assert_eq!(world.call_as("second", &bound_to("second")).await.outcome(), "200");
    let mut claims = world.claims(&["core"]);
    claims["cnf"] = json!({ "jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" });
    assert_eq!(world.call(&world.signer.sign(&claims)).await.outcome(), "401 token_binding");
}
