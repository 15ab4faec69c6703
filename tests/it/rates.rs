//! The budgets against a daemon: what the one who is stopped is told, who else notices, and what the log says of it. The
//! numbers are those of docs/budgets.md.

mod contact;
mod known;
mod told;
mod traces;

use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::world::tokens;
use crate::world::wire::{self, Answer};
use crate::world::{Choice, ISSUER, World};

/// A world whose clock stands still until it is moved.
async fn world(more: &str) -> World {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    World::with(Choice { more: more.to_owned(), clock: Some(clock), ..Choice::default() }).await
}

/// Calls as somebody, over a certificate.
async fn call(world: &World, certificate: &str, subject: &str, tool: &str) -> Answer {
    let mut claims = world.claims(&["core"]);
    claims["sub"] = json!(subject);
    let mut stream = wire::connect(&world.path(""), world.port, Some(certificate)).await.unwrap();
    let request = wire::post(world.port, &world.signer.sign(&claims), &wire::call(tool, json!({})));
    wire::exchange(&mut stream, &request).await.unwrap()
}

fn told(answer: &Answer) -> Option<String> {
    let result = answer.json()["result"].clone();
    (result["isError"] == json!(true)).then(|| result["content"][0]["text"].as_str().unwrap().to_owned())
}

fn of(world: &World, event: &str, user: &str) -> Vec<Value> {
    world.audit().into_iter().filter(|record| record["event"] == event && record["user"] == user).collect()
}

#[tokio::test]
async fn who_has_nothing_left_is_told_for_how_long_before_anything_is_done() {
    let world = world("resources: {rate_limit: {requests_per_minute: 60, requests_per_hour: 1000, burst: 3}}\n").await;
    for left in [2, 1, 0] {
        let answer = call(&world, "good", "alice", "get_uptime").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("ratelimit-policy"), Some("\"caller\";q=3;w=3, \"caller-hour\";q=1000;w=3600"));
        let standing = answer.header("ratelimit").unwrap();
        assert!(standing.starts_with(&format!("\"caller\";r={left}")), "{standing}");
    }
    for _ in 0..20 {
        let refused = call(&world, "good", "alice", "get_uptime").await;
        assert_eq!(refused.outcome(), "429 rate_limited");
        assert_eq!(
            (refused.header("retry-after"), refused.header("ratelimit")),
            (Some("1"), Some("\"caller\";r=0;t=1, \"caller-hour\";r=997"))
        );
        let text = "60 calls a minute, 3 at once, are used up (rule: caller); the next is possible in 1 s";
        assert!(refused.body.contains(text), "{}", refused.body);
    }
    assert_eq!(call(&world, "good", "bob", "get_uptime").await.outcome(), "200", "another user");
    assert_eq!(call(&world, "second", "alice", "get_uptime").await.outcome(), "200", "over another's certificate");
    // A flood is one line, and the count follows when its window is over.
    let limits = of(&world, "limit_exceeded", "alice");
    assert_eq!(limits.len(), 1, "{limits:?}");
    assert_eq!((&limits[0]["reason"], &limits[0]["count"]), (&json!("rate_limited"), &json!(1)));
    assert_eq!(of(&world, "auth_success", "alice").len(), 4, "what was refused at once fills nothing with good tokens");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(call(&world, "good", "alice", "get_uptime").await.outcome(), "200", "after the time that was told");
    let path = world.path("log/audit.jsonl");
    let World { daemon, .. } = world;
    daemon.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let counts: u64 = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["event"] == "limit_exceeded")
        .map(|record| record["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counts, 20);
}

#[tokio::test]
async fn what_never_becomes_a_call_takes_a_share_all_the_same() {
    let calls = [json!({}), json!({"name": 7}), json!({"name": "get_uptime", "arguments": []})];
    let calls = calls.map(|params| json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
    for body in calls.into_iter().chain([json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})]) {
        let world =
            world("resources: {rate_limit: {requests_per_minute: 60, requests_per_hour: 1000, burst: 3}}\n").await;
        let mut answers = Vec::new();
        for _ in 0..10 {
            let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
            let request = wire::post(world.port, &world.token(&["core"]), &body);
            answers.push(wire::exchange(&mut stream, &request).await.unwrap().status);
        }
        assert_eq!(answers.iter().filter(|status| **status == 429).count(), 7, "{body}: {answers:?}");
        let good = world.audit().iter().filter(|record| record["event"] == "auth_success").count();
        assert_eq!(good, 3, "{body}");
    }
}

#[tokio::test]
async fn a_rule_about_a_tool_is_told_to_the_agent_and_other_tools_go_on() {
    let world = world(
        "budgets:\n  rates:\n    - {name: load, per: [user, tool], tool: get_memory_info, requests_per_minute: 2, burst: 2}\n",
    )
    .await;
    for _ in 0..2 {
        assert_eq!(told(&call(&world, "good", "alice", "get_memory_info").await), None);
    }
    let refused = call(&world, "second", "alice", "get_memory_info").await;
    assert_eq!(refused.status, 200);
    let text = told(&refused).unwrap();
    assert!(text.starts_with("2 calls a minute are used up (rule: load); the next is possible in 30 s"), "{text}");
    assert_eq!(told(&call(&world, "good", "alice", "get_uptime").await), None);
    assert_eq!(told(&call(&world, "good", "bob", "get_memory_info").await), None);
    let hidden = call(&world, "good", "alice", "get_env_vars").await;
    assert_eq!(hidden.reason().as_deref(), Some("unknown_tool"));
}

#[tokio::test]
async fn a_certificate_that_has_nothing_left_is_refused_before_its_token_is_looked_at() {
    let world =
        world("budgets:\n  rates:\n    - {name: fleet, per: [certificate], requests_per_minute: 5, burst: 5}\n").await;
    let mut outcomes = Vec::new();
    for number in 0..8 {
        outcomes.push(call(&world, "good", &format!("user-{number}"), "get_uptime").await.outcome());
    }
    assert_eq!(outcomes[..5], ["200"; 5]);
    assert_eq!(outcomes[5..], ["429 rate_limited"; 3]);
    assert_eq!(call(&world, "second", "user-0", "get_uptime").await.outcome(), "200");
    let verified = world.audit().iter().filter(|record| record["event"] == "auth_success").count();
    assert_eq!(verified, 6);
    let limits: Vec<Value> = world.audit().into_iter().filter(|r| r["event"] == "limit_exceeded").collect();
    assert!(limits.iter().all(|record| record["user"].is_null() && record["detail"].is_string()), "{limits:?}");
}

#[tokio::test]
async fn a_reload_forgives_nothing() {
    let world = world("resources: {rate_limit: {requests_per_minute: 6, requests_per_hour: 1000, burst: 3}}\n").await;
    for _ in 0..3 {
        assert_eq!(call(&world, "good", "alice", "get_uptime").await.outcome(), "200");
    }
    world.edit("burst: 3", "burst: 4");
    world.reload().await;
    assert_eq!(call(&world, "good", "alice", "get_uptime").await.outcome(), "200", "one more is allowed now");
    let refused = call(&world, "good", "alice", "get_uptime").await;
    assert_eq!((refused.outcome().as_str(), refused.header("retry-after")), ("429 rate_limited", Some("10")));
}

#[tokio::test]
async fn what_was_given_in_answers_is_used_up_and_targets_are_counted() {
    let world = world("budgets: {spread: {bytes_per_day: 3000, targets_per_hour: 1}}\n").await;
    let mut given = 0;
    let refused = loop {
        let answer = call(&world, "good", "alice", "get_uptime").await;
        match told(&answer) {
            Some(text) => break text,
            None => given += 1,
        }
        assert!(given < 1000);
    };
    assert!(given > 1 && refused.contains("bytes a day"), "{given}: {refused}");
    let outcome = world.recorded(0, "query", "volume_used_up").await;
    assert_eq!((&outcome["stage"], &outcome["result"]), (&json!("outcome"), &json!("failed")));
    assert_eq!(told(&call(&world, "good", "bob", "get_uptime").await), None, "somebody else has a day of his own");
}

#[tokio::test]
async fn who_fails_over_and_over_is_not_listened_to_for_longer_and_longer() {
    let world = world("budgets: {failures: {free: 3, first_wait: 1, longest_wait: 8}}\n").await;
    let mut other = tokens::claims(ISSUER, "https://elsewhere.test", &["core"], world.clock.now().seconds());
    let wrong = async |other: &mut Value| {
        other["jti"] = json!(format!("{}-again", other["jti"].as_str().unwrap()));
        other["iat"] = json!(world.clock.now().seconds());
        world.call(&world.signer.sign(other)).await
    };
    for _ in 0..4 {
        assert_eq!(wrong(&mut other).await.outcome(), "401 token_audience");
    }
    for wait in [1, 2, 4, 8, 8] {
        let refused = wrong(&mut other).await;
        assert_eq!(refused.outcome(), "429 too_many_failures");
        assert_eq!(refused.header("retry-after"), Some(wait.to_string().as_str()));
        let good = world.call(&world.token(&["core"])).await;
        assert_eq!(good.outcome(), "429 too_many_failures", "nothing from there is looked at");
        assert_eq!(call(&world, "second", "alice", "get_uptime").await.outcome(), "200", "nobody else waits");
        world.clock.advance(Duration::from_secs(wait));
        assert_eq!(wrong(&mut other).await.outcome(), "401 token_audience");
    }
    world.clock.advance(Duration::from_secs(16));
    for _ in 0..3 {
        assert_eq!(
            wrong(&mut other).await.outcome(),
            "401 token_audience",
            "who has not failed for so long begins anew"
        );
    }
    assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "200");
}

#[tokio::test]
async fn requests_that_are_no_call_take_a_share_too() {
    let world = world("resources: {rate_limit: {requests_per_minute: 6, requests_per_hour: 1000, burst: 3}}\n").await;
    let ask = async |message: &Value| {
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let request = wire::post(world.port, &world.token(&["core"]), message);
        wire::exchange(&mut stream, &request).await.unwrap()
    };
    let listed = ask(&wire::list()).await;
    assert_eq!(listed.outcome(), "200");
    assert!(listed.header("ratelimit").unwrap().starts_with("\"caller\";r=2"), "{listed:?}");
    assert_eq!(ask(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/none", "params": {} })).await.status, 200);
    assert_eq!(ask(&json!({ "no": "message" })).await.outcome(), "400 invalid_request");
    for message in [wire::list(), wire::call("get_uptime", json!({})), json!({ "no": "message" })] {
        assert_eq!(ask(&message).await.outcome(), "429 rate_limited");
    }
}
