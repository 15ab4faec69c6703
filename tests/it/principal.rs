//! User via agent: who the audit log says it was.

use serde_json::{Value, json};

use crate::world::World;

async fn agents(world: &World, changes: Value) -> (Value, Value) {
    let mut claims = world.claims(&["core"]);
    claims.as_object_mut().unwrap().remove("act");
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let before = world.audit().len();
    let answer = world.call(&world.signer.sign(&claims)).await;
    assert_eq!(answer.outcome(), "200", "{changes}: {}", answer.body);
    let records = world.audit().split_off(before);
    let whos: Vec<(Value, Value)> =
        records.iter().map(|record| (record["user"].clone(), record["agent"].clone())).collect();
    assert_eq!(whos.len(), 3, "accepted, permitted, done: {records:?}");
    assert!(whos.iter().all(|who| *who == whos[0]), "every record says the same: {records:?}");
    assert!(records.iter().all(|record| record["client"]["jwt_sub"] == record["user"]));
    whos[0].clone()
}

#[tokio::test]
async fn the_log_names_the_user_and_every_agent_in_between() {
    let world = World::open().await;
    let alice = json!("alice");
    for (changes, expected) in [
        (json!({}), Value::Null),
        (json!({ "act": { "sub": "bot" } }), json!(["bot"])),
        (
            json!({ "act": { "sub": "bot", "act": { "sub": "broker", "act": { "sub": "portal" } } }, "client_id": "app" }),
            json!(["bot", "broker", "portal"]),
        ),
        (json!({ "client_id": "app", "azp": "other" }), json!(["app"])),
        (json!({ "azp": "party" }), json!(["party"])),
        (json!({ "act": { "sub": "evil\u{202e}bot" } }), json!(["evil\\u{202e}bot"])),
    ] {
        assert_eq!(agents(&world, changes.clone()).await, (alice.clone(), expected), "{changes}");
    }
    let (user, _) = agents(&world, json!({ "sub": "service:backup" })).await;
    assert_eq!(user, "service:backup");
}

#[tokio::test]
async fn an_agent_that_is_named_wrongly_is_no_agent_at_all() {
    let world = World::open().await;
    let chain = (0..9).fold(json!({ "sub": "first" }), |act, _| json!({ "sub": "next", "act": act }));
    for act in [json!("bot"), json!({}), json!({ "sub": "" }), json!({ "sub": "a\nb" }), json!(null), chain] {
        let mut claims = world.claims(&["core"]);
        claims["act"] = act.clone();
        assert_eq!(world.call(&world.signer.sign(&claims)).await.outcome(), "401 token_claim", "{act}");
    }
}
