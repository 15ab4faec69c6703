//! The bridge from end to end, with a door that is a function.

mod refusals;
mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{iter, pending};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::IN_FLIGHT;
use world::{SILENCE, answer_json, event, http, now, request, world};

#[tokio::test]
async fn an_answer_comes_back_on_one_line_and_each_request_has_its_own_token() {
    let mut world = world(|asked| now(answer_json(&asked, &json!({ "of": asked["id"] }))));
    let mut tokens = HashMap::new();
    for id in ["a", "b", "c"] {
        world.say(request(id, "ping")).await;
        assert_eq!(world.hear().await["result"]["of"], id);
        let (headers, body) = world.was_asked().await;
        assert_eq!(body, request(id, "ping"));
        tokens.insert(headers["authorization"].clone(), ());
    }
    assert_eq!(tokens.len(), 3);
    assert_eq!(world.end().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_slow_request_holds_no_other_up() {
    let open = Arc::new(Notify::new());
    let gate = open.clone();
    let mut world = world(move |asked| {
        let gate = gate.clone();
        Box::pin(async move {
            if asked["id"] == "slow" {
                gate.notified().await;
            }
            answer_json(&asked, &json!({}))
        })
    });
    world.say(request("slow", "tools/call")).await;
    world.say(request("fast", "tools/call")).await;
    assert_eq!(world.hear().await["id"], "fast");
    open.notify_one();
    assert_eq!(world.hear().await["id"], "slow");
}

#[tokio::test]
async fn no_more_than_the_bound_is_under_way_and_all_are_answered() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(0));
    let (inside, peak) = (running.clone(), most.clone());
    let mut world = world(move |asked| {
        let (inside, peak) = (inside.clone(), peak.clone());
        Box::pin(async move {
            let now = inside.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            peak.send_modify(|most| *most = now.max(*most));
            // Nobody leaves before as many are there as may be; then there is time for one too many.
            peak.subscribe().wait_for(|most| *most >= IN_FLIGHT).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            inside.fetch_sub(1, Ordering::Relaxed);
            answer_json(&asked, &json!({}))
        })
    });
    for id in 0..200 {
        world.say(request(id, "ping")).await;
    }
    assert_eq!(world.end().await.len(), 200);
    assert_eq!(*most.borrow(), IN_FLIGHT);
}

#[tokio::test]
async fn a_stream_is_passed_on_up_to_its_answer() {
    let mut world = world(|asked| {
        let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progress": 1 } });
        let done = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": {} });
        let text = format!("{}{}{}", event(&progress), event(&done), event(&progress));
        let chunks = text.as_bytes().chunks(7).map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).collect();
        now(http(200, "text/event-stream", chunks))
    });
    world.say(request(1, "tools/call")).await;
    assert_eq!(world.hear().await["method"], "notifications/progress");
    assert_eq!(world.hear().await["id"], 1);
    assert_eq!(world.end().await, Vec::<Value>::new());
}

#[tokio::test]
async fn notifications_and_answers_of_the_client_are_sent_and_leave_no_line() {
    let mut world = world(|_| now(http(202, "", vec![])));
    world.say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
    world.say(json!({ "jsonrpc": "2.0", "id": 9, "result": {} })).await;
    world.was_asked().await;
    world.was_asked().await;
    assert_eq!(world.reports(), "");
    assert_eq!(world.end().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_cancelled_request_is_closed_and_nothing_more_is_written_for_it() {
    let closed = Arc::new(Notify::new());
    let dropped = closed.clone();
    let mut world = world(move |asked| {
        let mut answer = http(200, "text/event-stream", vec![]).unwrap();
        let guard = Signal(dropped.clone());
        let progress = event(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {} }));
        answer.body = iter([Ok(Bytes::from(progress))])
            .chain(pending())
            .map(move |chunk| {
                let _ = &guard;
                chunk
            })
            .boxed();
        now(if asked["id"] == 1 { Ok(answer) } else { answer_json(&asked, &json!({})) })
    });
    world.say(request(1, "tools/call")).await;
    assert_eq!(world.hear().await["method"], "notifications/progress");
    world.was_asked().await;
    world.say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } })).await;
    world.say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } })).await;
    timeout(Duration::from_secs(60), closed.notified()).await.expect("the POST is closed");
    world.say(request(2, "ping")).await;
    assert_eq!(world.hear().await["id"], 2);
    assert_eq!(world.was_asked().await.1["id"], 2, "the cancellation itself is not sent");
    assert_eq!(world.end().await, Vec::<Value>::new());
}

struct Signal(Arc<Notify>);

impl Drop for Signal {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn what_follows_initialize_carries_its_version_even_when_sent_at_once() {
    let mut world = world(|asked| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer_json(&asked, &json!({ "protocolVersion": "2025-11-25", "tools": [] }))
        })
    });
    world.say(format!("{}\n{}", request(0, "initialize"), request(1, "tools/list"))).await;
    assert!(!world.was_asked().await.0.contains_key("mcp-protocol-version"));
    assert_eq!(world.was_asked().await.0["mcp-protocol-version"], "2025-11-25");
    assert_eq!((world.hear().await["id"].clone(), world.hear().await["id"].clone()), (json!(0), json!(1)));
}

#[tokio::test]
async fn at_the_end_of_input_calls_are_finished_and_subscriptions_closed() {
    let mut world = world(|asked| {
        Box::pin(async move {
            if asked["method"] == "subscriptions/listen" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            answer_json(&asked, &json!({}))
        })
    });
    world.say(request(1, "subscriptions/listen")).await;
    world.say(request(2, "tools/call")).await;
    world.was_asked().await;
    world.was_asked().await;
    let rest = timeout(SILENCE, world.end()).await.expect("nobody waits for the subscription");
    assert_eq!(rest.iter().map(|line| line["id"].clone()).collect::<Vec<_>>(), [json!(2)]);
}

#[tokio::test]
async fn a_client_that_no_longer_reads_ends_the_bridge() {
    let mut world = world(|asked| now(answer_json(&asked, &json!({}))));
    let (input, output) = (world.input.take().unwrap(), world.output);
    drop((input, output));
    timeout(Duration::from_secs(60), world.bridge).await.expect("an end").unwrap().unwrap();
}
