//! What is left in the log of those whose token was good: a line each, unless a refusal that is counted stands for it.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::{call, of, told, world};
use crate::limits::recorded;
use crate::world::ask::{Ask, Era};
use crate::world::wire;

/// Only about one tool: who calls it may still call another, so nobody is refused before it is known what is called.
const RARE: &str =
    "budgets: {rates: [{name: rare, per: [tool], tool: get_uptime, requests_per_minute: 60, burst: 2}]}\n";

#[tokio::test]
async fn calls_past_a_rule_about_a_tool_leave_one_line() {
    let world = world(RARE).await;
    for _ in 0..2 {
        assert_eq!(told(&call(&world, "good", "alice", "get_uptime").await), None);
    }
    for _ in 0..30 {
        let refused = told(&call(&world, "good", "alice", "get_uptime").await).unwrap();
        assert!(refused.contains("60 calls a minute, 2 at once, are used up (rule: rare)"), "{refused}");
    }
    assert_eq!(of(&world, "limit_exceeded", "alice").len(), 1);
    assert_eq!(of(&world, "auth_success", "alice").len(), 2, "one for each call that passed");
    assert_eq!(told(&call(&world, "good", "alice", "get_memory_info").await), None, "another tool");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(told(&call(&world, "good", "alice", "get_uptime").await), None);
    assert_eq!(of(&world, "auth_success", "alice").len(), 4);
}

#[tokio::test]
async fn a_good_token_leaves_its_line_though_its_request_never_arrives() {
    let world = world(RARE).await;
    let bytes = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world).bytes(world.port);
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    stream.write_all(&bytes[..bytes.len() - 5]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(stream);
    assert_eq!(recorded(&world, 1, |record| record["event"] == "auth_success").await.len(), 1);
}
