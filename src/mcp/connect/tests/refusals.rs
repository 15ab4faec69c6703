//! What goes wrong ends in one JSON-RPC error for the client and a line for the operator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use futures_util::stream::pending;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use super::world::{answer_json, event, http, now, request, world, world_with};
use crate::error::{Code, Failure};
use crate::mcp::connect::{LINE_BYTES, Tokens};

#[tokio::test]
async fn a_refused_request_gets_an_error_and_the_bridge_goes_on() {
    let mut world = world(|asked| {
        let mut refused = http(401, "", vec![]).unwrap();
        let challenge = r#"Bearer error="invalid_token", error_description="expired""#;
        refused.headers.insert("www-authenticate", challenge.parse().unwrap());
        now(if asked["id"] == 1 { Ok(refused) } else { answer_json(&asked, &json!({})) })
    });
    world.say(request(1, "ping")).await;
    let refused = world.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(1), &json!(1401)));
    assert_eq!(refused["error"]["data"], json!({ "reason": "invalid_token", "status": 401 }));
    world.say(request(2, "ping")).await;
    assert!(world.hear().await["result"].is_object());
    let reports = world.reports();
    assert!(reports.contains("the door refused the token") && reports.contains("still running"), "{reports}");
    assert!(!reports.contains("t0"), "no token in a report");
}

#[tokio::test]
async fn an_error_of_the_door_with_the_right_id_is_passed_on_as_it_is() {
    let error = json!({ "code": -32022, "message": "no", "data": { "supported": ["2026-07-28"] } });
    let said = error.clone();
    let mut world = world(move |asked| {
        now(http(
            400,
            "application/json",
            vec![json!({ "jsonrpc": "2.0", "id": asked["id"], "error": said }).to_string()],
        ))
    });
    world.say(request(1, "server/discover")).await;
    assert_eq!(world.hear().await, json!({ "jsonrpc": "2.0", "id": 1, "error": error }));
    assert!(world.reports().contains("400"));
}

#[tokio::test]
async fn whatever_else_comes_back_is_one_error_with_the_id() {
    let cases = HashMap::from([
        ("no body", http(202, "", vec![])),
        ("html", http(200, "text/html", vec!["<html>".into()])),
        ("redirect", http(302, "", vec![])),
        ("other id", http(200, "application/json", vec![r#"{"jsonrpc":"2.0","id":"x","result":{}}"#.into()])),
        (
            "no id",
            http(
                403,
                "application/json",
                vec![r#"{"jsonrpc":"2.0","id":null,"error":{"code":1403,"message":"m"}}"#.into()],
            ),
        ),
        ("not JSON", http(200, "application/json", vec!["{".into()])),
        ("not UTF-8", http(500, "application/json", vec!["\u{fffd}".into()])),
        ("stream cut", http(200, "text/event-stream", vec![": ping\n\n".into()])),
        ("stream junk", http(200, "text/event-stream", vec!["data: junk\n\n".into()])),
        (
            "stream other id",
            http(200, "text/event-stream", vec![event(&json!({ "jsonrpc": "2.0", "id": "x", "result": {} }))]),
        ),
        ("unreachable", Err(Failure::new(Code::Upstream, "the remote party cannot be reached"))),
    ]);
    let names: Vec<&str> = cases.keys().copied().collect();
    let cases = Mutex::new(cases);
    let mut world = world(move |asked| now(cases.lock().unwrap().remove(asked["id"].as_str().unwrap()).unwrap()));
    for name in names {
        world.say(request(name, "ping")).await;
        let answer = world.hear().await;
        assert_eq!(answer["id"], name);
        assert!(answer["error"]["message"].as_str().unwrap().starts_with("the door") || name == "redirect", "{answer}");
        assert!(answer["error"]["code"].is_i64() && answer["error"]["data"]["reason"].is_string(), "{answer}");
    }
    assert_eq!(world.end().await, Vec::<Value>::new());
}

#[tokio::test]
async fn lines_that_are_no_messages_never_reach_the_door() {
    let mut world = world(|asked| now(answer_json(&asked, &json!({}))));
    for (line, code) in
        [("{", -32700), ("[]", -32600), ("{}", -32600), (r#"{"jsonrpc":"2.0","id":[],"method":"x"}"#, -32600)]
    {
        world.say(line).await;
        let answer = world.hear().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&Value::Null, &json!(code)), "{line}");
    }
    world.input.as_mut().unwrap().write_all(b"\xff\n  \n").await.unwrap();
    assert_eq!(world.hear().await["error"]["code"], -32700);
    world.say("x".repeat(LINE_BYTES + 1)).await;
    assert_eq!(world.hear().await["error"]["data"]["reason"], "body_too_large");
    world.say(request(1, "ping")).await;
    assert_eq!(world.hear().await["id"], 1);
    assert_eq!(world.was_asked().await.1["id"], 1);
}

#[tokio::test]
async fn an_id_that_is_in_use_is_not_used_twice() {
    let open = Arc::new(Notify::new());
    let gate = open.clone();
    let mut world = world(move |asked| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.notified().await;
            answer_json(&asked, &json!({}))
        })
    });
    world.say(request(1, "ping")).await;
    world.say(request(1, "ping")).await;
    let refused = world.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&Value::Null, &json!(-32600)));
    open.notify_one();
    assert_eq!(world.hear().await["id"], 1);
}

#[tokio::test]
async fn a_token_that_cannot_be_had_sends_nothing() {
    let none = || Err(Failure::new(Code::Io, "a command failed").because("/bin/x: eyJhbGciOiJub25lIn0.e30. \u{7}"));
    let mut world = world_with(Tokens::Minted(Box::new(none)), |asked| now(answer_json(&asked, &json!({}))));
    world.say(request(1, "ping")).await;
    let answer = world.hear().await;
    assert_eq!(answer["error"]["message"], "no token: a command failed");
    assert_eq!(answer["error"]["code"], -32603);
    assert_eq!(world.reports(), "no token: a command failed [/bin/x: (a token) \u{fffd}]");
    assert!(world.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_door_that_falls_silent_is_given_up() {
    let mut world = world(|_| {
        let mut answer = http(200, "application/json", vec![]).unwrap();
        answer.body = pending().boxed();
        now(Ok(answer))
    });
    world.say(request(1, "ping")).await;
    assert!(world.hear().await["error"]["message"].as_str().unwrap().contains("silent"));
}
