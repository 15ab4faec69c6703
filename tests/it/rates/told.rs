//! What is left stands in every answer to a caller who is known, and in no other; and what it says is so.

use doorward::clock::{Clock, Timestamp};
use serde_json::{Value, json};

use super::{call, told, world};
use crate::world::tokens;
use crate::world::wire::{self, Answer};
use crate::world::{Choice, World};

const LIMITS: &str = "resources: {rate_limit: {requests_per_minute: 6, requests_per_hour: 1000, burst: 40}}\n";

/// The members of a list of RFC 9651, each with its name and its parameters as they stand there.
fn members(field: &str) -> Vec<(String, Vec<(String, String)>)> {
    let member = |text: &str| {
        let mut parts = text.split(';');
        let name = parts.next().unwrap().strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned();
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'), "{field}");
        let parameter = |text: &str| {
            let (key, value) = text.split_once('=').unwrap();
            match key {
                "q" | "w" | "r" | "t" => assert!(value.len() <= 15 && value.parse::<u64>().is_ok(), "{field}"),
                "pk" => assert!(value.len() > 2 && value.starts_with(':') && value.ends_with(':'), "{field}"),
                other => panic!("{other}: {field}"),
            }
            (key.to_owned(), value.to_owned())
        };
        (name, parts.map(parameter).collect())
    };
    field.split(", ").map(member).collect()
}

fn names(answer: &Answer) -> Vec<String> {
    let named = |field: &str| -> Vec<String> {
        let text = answer.header(field).unwrap_or_else(|| panic!("no {field}: {answer:?}"));
        members(text).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(named("ratelimit-policy"), named("ratelimit"));
    named("ratelimit")
}

async fn ask(world: &World, head: &str, body: &str) -> Answer {
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let media = if head.contains("Content-Type") { "" } else { "Content-Type: application/json\r\n" };
    let version = if head.contains("MCP-Protocol-Version") { "" } else { "MCP-Protocol-Version: 2025-11-25\r\n" };
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost:{}\r\n{head}{media}{version}Accept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n\r\n{body}",
        world.port,
        body.len()
    );
    wire::exchange(&mut stream, request.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn every_answer_to_a_caller_who_is_known_has_all_policies_that_apply_to_him() {
    let world = World::with(Choice {
        more: LIMITS.to_owned(),
        http: "  max_body_bytes: 1024".to_owned(),
        clock: Some(Clock::manual(Timestamp::from_seconds(tokens::now()))),
        ..Choice::default()
    })
    .await;
    let good = || format!("Authorization: Bearer {}\r\n", world.token(&["core"]));
    let opening_nothing = format!("Authorization: Bearer {}\r\n", world.token(&["nothing"]));
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let tool = |name: &str, arguments: &str| {
        let params = format!(r#"{{"name":"{name}","arguments":{arguments}}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
    };
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(2000));
    let rows: Vec<(String, String, &str)> = vec![
        (good(), ping.to_owned(), "200"),
        (good(), tool("get_uptime", "{}"), "200"),
        (good(), tool("get_uptime", r#"{"none":1}"#), "200"),
        (good(), tool("get_nothing", "{}"), "200 unknown_tool"),
        (good(), "{".to_owned(), "400 malformed_json"),
        (good(), format!("[{ping}]"), "400 batch"),
        (good(), r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#.to_owned(), "200 method_unknown"),
        (good(), long, "413 body_too_large"),
        (format!("{}Content-Type: text/plain\r\n", good()), ping.to_owned(), "415 content_type"),
        (format!("{}MCP-Protocol-Version: 1999-01-01\r\n", good()), ping.to_owned(), "400 version_unsupported"),
        (opening_nothing, ping.to_owned(), "403 insufficient_scope"),
    ];
    for (head, body, outcome) in rows {
        let answer = ask(&world, &head, &body).await;
        assert_eq!(answer.outcome(), outcome, "{body}");
        assert_eq!(names(&answer), ["caller", "caller-hour"], "{body}");
    }
    for _ in 0..40 {
        let answer = ask(&world, &good(), ping).await;
        assert_eq!(names(&answer), ["caller", "caller-hour"]);
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("10"));
            assert!(answer.header("ratelimit").unwrap().starts_with("\"caller\";r=0;t=10, \"caller-hour\";r="));
        }
    }
    for (head, outcome) in [
        (String::new(), "401 token_missing"),
        ("Authorization: Bearer x\r\n".to_owned(), "401 token_malformed"),
        (format!("Host: elsewhere.test\r\n{}", good()), "400 header_malformed"),
    ] {
        let answer = ask(&world, &head, ping).await;
        assert_eq!((answer.outcome().as_str(), answer.header("ratelimit")), (outcome, None));
    }
}

/// A minute gives six, and forty may be saved up: what is told is a window of forty, which is true of it.
#[tokio::test]
async fn more_at_once_than_a_minute_gives_is_told_as_it_is() {
    let world = world("resources: {rate_limit: {requests_per_minute: 6, requests_per_hour: 9, burst: 40}}\n").await;
    let first = call(&world, "good", "alice", "get_uptime").await;
    assert_eq!(first.header("ratelimit-policy"), Some("\"caller\";q=40;w=400, \"caller-hour\";q=9;w=3600"));
    assert_eq!(first.header("ratelimit"), Some("\"caller\";r=39, \"caller-hour\";r=8"));
    for _ in 0..8 {
        assert_eq!(call(&world, "good", "alice", "get_uptime").await.status, 200);
    }
    let refused = call(&world, "good", "alice", "get_uptime").await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("400")));
    assert_eq!(refused.header("ratelimit"), Some("\"caller\";r=31, \"caller-hour\";r=0;t=400"));
    assert!(refused.body.contains("9 calls an hour are used up (rule: caller); the next is possible in 400 s"));
}

#[tokio::test]
async fn a_rule_about_a_tool_stands_in_the_answers_of_that_tool() {
    let world = world(
        "resources: {rate_limit: {requests_per_minute: 60, requests_per_hour: 1000, burst: 10}}\nbudgets:\n  rates:\n    \
         - {name: load, per: [user, tool], tool: get_memory_info, requests_per_minute: 2, burst: 2}\n    \
         - {name: fleet, per: [certificate], requests_per_minute: 60, burst: 12}\n",
    )
    .await;
    let uptime = call(&world, "good", "alice", "get_uptime").await;
    assert_eq!(names(&uptime), ["caller", "caller-hour", "fleet"]);
    for left in [1, 0] {
        let memory = call(&world, "good", "alice", "get_memory_info").await;
        assert_eq!(names(&memory), ["caller", "caller-hour", "load", "fleet"]);
        let policy = "\"load\";q=2;w=60;pk=:Z2V0X21lbW9yeV9pbmZv:";
        assert!(memory.header("ratelimit-policy").unwrap().contains(policy), "{memory:?}");
        assert!(memory.header("ratelimit").unwrap().contains(&format!("\"load\";r={left}")), "{memory:?}");
    }
    let refused = call(&world, "good", "alice", "get_memory_info").await;
    assert!(told(&refused).unwrap().contains("(rule: load)"), "{refused:?}");
    assert!(refused.header("ratelimit").unwrap().contains("\"load\";r=0;t=30;pk=:Z2V0X21lbW9yeV9pbmZv:"));
    assert_eq!(names(&call(&world, "good", "alice", "get_uptime").await), ["caller", "caller-hour", "fleet"]);
    // What is refused for its certificate, before anybody is known, says what the certificate has left.
    let mut last = None;
    for number in 0..12 {
        last = Some(call(&world, "good", &format!("user-{number}"), "get_uptime").await);
    }
    let last = last.unwrap();
    assert_eq!((last.outcome().as_str(), last.header("retry-after")), ("429 rate_limited", Some("1")));
    assert_eq!(last.header("ratelimit"), Some("\"fleet\";r=0;t=1"));
}

/// A flood of calls of one tool would else cost nothing of what bounds the caller.
#[tokio::test]
async fn calls_that_a_rule_about_a_tool_refuses_use_up_what_holds_whatever_the_tool() {
    let world = world(
        "resources: {rate_limit: {requests_per_minute: 60, requests_per_hour: 1000, burst: 6}}\nbudgets:\n  rates:\n    \
         - {name: load, per: [user, tool], tool: get_memory_info, requests_per_minute: 2, burst: 2}\n",
    )
    .await;
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        let answer = call(&world, "good", "alice", "get_memory_info").await;
        outcomes.push((answer.status, told(&answer).is_some()));
    }
    assert_eq!(outcomes[..2], [(200, false); 2]);
    assert_eq!(outcomes[2..6], [(200, true); 4]);
    assert_eq!(outcomes[6..], [(429, false); 14]);
    let good: Vec<Value> = world.audit().into_iter().filter(|record| record["event"] == "auth_success").collect();
    assert_eq!(good.len(), 2, "{good:?}");
    assert_eq!(good[0]["user"], json!("alice"));
}
