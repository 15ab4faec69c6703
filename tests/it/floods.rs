//! Floods against a daemon with budgets: whoever floods is stopped, others are served, the memory is bounded and the log small.
//! `scripts/flood` does the same with a million subjects and measures.

mod measured;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::tokens;
use crate::world::wire;
use crate::world::{Choice, ISSUER, World};

const MORE: &str = "resources:
  max_concurrent_queries: 16
  rate_limit: {requests_per_minute: 600, requests_per_hour: 10000, burst: 100}
budgets:
  rates:
    - {name: fleet, per: [certificate], requests_per_minute: 1200, burst: 200}
  failures: {free: 20, first_wait: 1, longest_wait: 300}
  max_keys: 2048
";

async fn world() -> World {
    World::with(Choice { more: MORE.to_owned(), ..Choice::default() }).await
}

/// Goes at it with `token` over the certificate `good`, while `second` calls now and then; what came of both.
async fn flood(world: &World, requests: usize, token: impl Fn(usize) -> Option<String>) -> Vec<String> {
    let attack = async {
        let mut outcomes = Vec::new();
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        for number in 0..requests {
            let message = wire::call("get_uptime", json!({}));
            let request = wire::request(world.port, wire::Era::Legacy, token(number).as_deref(), &message);
            outcomes.push(wire::exchange(&mut stream, &request).await.unwrap().outcome());
        }
        outcomes
    };
    let calm = async {
        for number in 0..20 {
            let start = Instant::now();
            let answer = world.call_as("second", &world.token(&["core"])).await;
            assert_eq!(answer.outcome(), "200", "call {number}");
            assert!(start.elapsed() < Duration::from_secs(3), "call {number} took {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(attack, calm).0
}

fn count(outcomes: &[String], outcome: &str) -> usize {
    outcomes.iter().filter(|one| *one == outcome).count()
}

/// Lines of the log about the certificate that floods, once the daemon has stopped; and what they stand for.
async fn lines(world: World) -> (usize, u64) {
    let path = world.path("log/audit.jsonl");
    let (_estate, daemon) = world.into_parts();
    daemon.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let refused: Vec<Value> = records.filter(|record| record["result"] == "refused").collect();
    let stand_for = refused.iter().map(|record| record["count"].as_u64().unwrap_or(1)).sum();
    (refused.len(), stand_for)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_tokens_of_one_caller() {
    let world = world().await;
    let outcomes = flood(&world, 600, |_| Some(world.token(&["core"]))).await;
    let (passed, refused) = (count(&outcomes, "200"), count(&outcomes, "429 rate_limited"));
    assert_eq!(passed + refused, 600, "{outcomes:?}");
    assert!(passed >= 100 && refused >= 100, "{passed} passed");
    let (lines, stand_for) = lines(world).await;
    assert!(lines <= 140, "{lines} lines");
    assert_eq!(stand_for, u64::try_from(refused).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_at_all() {
    let world = world().await;
    let outcomes = flood(&world, 600, |_| None).await;
    let (missing, late) = (count(&outcomes, "401 token_missing"), count(&outcomes, "429 too_many_failures"));
    assert_eq!(missing + late, 600, "{outcomes:?}");
    assert!((21..40).contains(&missing), "{missing} were looked at");
    let (lines, stand_for) = lines(world).await;
    assert!(lines <= 150, "{lines} lines");
    assert_eq!(stand_for, 600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens() {
    let world = world().await;
    let wrong = |_| {
        let claims = tokens::claims(ISSUER, "https://elsewhere.test", &["core"], tokens::now());
        Some(world.signer.sign(&claims))
    };
    let outcomes = flood(&world, 400, wrong).await;
    let (looked_at, late) = (count(&outcomes, "401 token_audience"), count(&outcomes, "429 too_many_failures"));
    assert_eq!(looked_at + late, 400, "{outcomes:?}");
    assert!((21..40).contains(&looked_at), "{looked_at} were looked at");
    let (lines, stand_for) = lines(world).await;
    assert!(lines <= 150, "{lines} lines");
    assert_eq!(stand_for, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_token_with_a_subject_of_its_own() {
    let world = world().await;
    let token = |number: usize| {
        let mut claims = world.claims(&["core"]);
        claims["sub"] = json!(format!("somebody-{number}"));
        Some(world.signer.sign(&claims))
    };
    let outcomes = flood(&world, 1500, token).await;
    let (passed, refused) = (count(&outcomes, "200"), count(&outcomes, "429 rate_limited"));
    assert_eq!(passed + refused, 1500, "{outcomes:?}");
    assert!(passed >= 200 && refused >= 200, "{passed} passed");
    let (lines, stand_for) = lines(world).await;
    assert!(lines <= 200, "{lines} lines");
    assert_eq!(stand_for, u64::try_from(refused).unwrap());
}
