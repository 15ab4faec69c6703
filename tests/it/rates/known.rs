//! Who is counted as whom: a renewed certificate begins nothing anew. And who fails to say who it is waits, in whatever way
//! it fails, and whatever good tokens it has besides.

use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use doorward::pki::Request;
use doorward::pki::store::Existing;
use serde_json::{Value, json};

use super::{call, told, world};
use crate::world::tokens;
use crate::world::wire;
use crate::world::{Choice, ISSUER, World};

/// A new certificate for whoever `good` is.
fn renew(world: &World, name: &str) {
    let day = Duration::from_secs(86_400);
    let an_hour_ago = Clock::manual(Timestamp::from_seconds(tokens::now() - 3600));
    let request = Request::client("bot", day).organization("Acme");
    let issued = world.authority().issue(&request, &an_hour_ago).unwrap();
    issued.write(&world.path(name), Existing::Keep).unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_goes_on_where_the_old_one_was() {
    let day = "budgets: {spread: {bytes_per_day: 3000}}\n";
    let hour = "resources: {rate_limit: {requests_per_minute: 60, requests_per_hour: 3, burst: 10}}\n";
    let fleet = "budgets: {rates: [{name: fleet, per: [certificate], requests_per_hour: 3}]}\n";
    for (limits, word) in [(day, "bytes a day"), (hour, "3 calls an hour"), (fleet, "3 calls an hour")] {
        let world = world(limits).await;
        renew(&world, "renewed");
        let refused = loop {
            let answer = call(&world, "good", "alice", "get_uptime").await;
            match (answer.status, told(&answer)) {
                (429, _) => break answer.body,
                (_, Some(text)) => break text,
                _ => {}
            }
        };
        assert!(refused.contains(word), "{refused}");
        let after = call(&world, "renewed", "alice", "get_uptime").await;
        assert!(after.status == 429 || told(&after).is_some(), "{limits}: {after:?}");
        assert!(after.body.contains(word), "{after:?}");
        let other = call(&world, "second", "alice", "get_uptime").await;
        assert_eq!((other.status, told(&other)), (200, None), "{limits}: another holder");
    }
}

#[tokio::test]
async fn a_header_that_is_no_token_is_a_failure_of_its_source() {
    let patience = "budgets: {failures: {free: 3, first_wait: 1, longest_wait: 8}}\n";
    for wrong in [
        "Authorization: Basic YTpi\r\n",
        "Authorization: Bearer a.b.c\r\nAuthorization: Bearer a.b.c\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: {}\r\n",
    ] {
        let world = world(patience).await;
        let ask = async |certificate: &str, head: &str| {
            let body = wire::call("get_uptime", json!({})).to_string();
            let request = format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost:{}\r\n{head}Content-Type: application/json\r\n\
                 MCP-Protocol-Version: 2025-11-25\r\nAccept: application/json, text/event-stream\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                world.port,
                body.len()
            );
            let mut stream = wire::connect(&world.path(""), world.port, Some(certificate)).await.unwrap();
            wire::exchange(&mut stream, request.as_bytes()).await.unwrap().outcome()
        };
        for _ in 0..4 {
            assert_eq!(ask("good", wrong).await, "401 token_malformed", "{wrong}");
        }
        assert_eq!(ask("good", wrong).await, "429 too_many_failures", "{wrong}");
        let good = format!("Authorization: Bearer {}\r\n", world.token(&["core"]));
        assert_eq!(ask("good", &good).await, "429 too_many_failures", "{wrong}");
        assert_eq!(ask("second", &good).await, "200", "nobody else waits");
        let refused: Vec<Value> =
            world.audit().into_iter().filter(|record| record["reason"] == "token_malformed").collect();
        assert_eq!(refused.len(), 4, "each has its record: {refused:?}");
        assert_eq!(refused[0]["event"], "auth_failure");
    }
}

async fn guess(world: &World, number: usize) -> String {
    let mut claims = tokens::claims(ISSUER, "https://elsewhere.test", &["core"], world.clock.now().seconds());
    claims["jti"] = json!(format!("guess-{number}"));
    world.call(&world.signer.sign(&claims)).await.outcome()
}

#[tokio::test]
async fn one_good_token_that_is_sent_over_and_over_does_not_pay_for_guesses() {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    let world = World::with(Choice {
        more: "budgets: {failures: {free: 3, first_wait: 1, longest_wait: 60}}\n".to_owned(),
        jwt: "    replay: sender_bound\n".to_owned(),
        clock: Some(clock),
        ..Choice::default()
    })
    .await;
    let token = world.token(&["core"]);
    assert_eq!(world.call(&token).await.outcome(), "200");
    for number in 0..4 {
        assert_eq!(guess(&world, number).await, "401 token_audience");
        let good = world.call(&token).await.outcome();
        let expected = if number < 3 { "200" } else { "429 too_many_failures" };
        assert_eq!(good, expected, "after guess {number}");
    }
    world.clock.advance(Duration::from_secs(1));
    // Of twenty seconds one makes up for a guess.
    for _ in 0..50 {
        assert_eq!(world.call(&token).await.outcome(), "200");
    }
    assert_eq!(guess(&world, 4).await, "401 token_audience");
    assert_eq!(guess(&world, 5).await, "429 too_many_failures");
}

#[tokio::test]
async fn as_many_new_good_tokens_as_bad_ones_never_wait() {
    let world = world("budgets: {failures: {free: 3, first_wait: 1, longest_wait: 60}}\n").await;
    for number in 0..12 {
        assert_eq!(guess(&world, number).await, "401 token_audience");
        assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "200", "a user beside the one who fails");
    }
}
