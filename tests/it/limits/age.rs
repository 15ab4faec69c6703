//! The greatest age of a connection: nothing new is begun after it, and what was begun is answered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt as _;

use super::{assert_about, health, world};
use crate::world::ask::{Ask, Era};
use crate::world::{World, h2, wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_connection_ends_at_its_age() {
    let world = world("  max_connection_age: 2").await;
    let one = async {
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        assert_eq!(health(&mut stream, world.port).await.unwrap(), 200);
        assert_about(wire::endure(stream, b"", b"").await.0, 2, "HTTP/1.1");
    };
    let other = async {
        let connection = h2::open(&world.path(""), world.port, |_| {}).await;
        let start = Instant::now();
        let answer = h2::ask(&connection.send, Ask::get("/health").request(world.port)).await.unwrap();
        assert_eq!(answer.status, 200);
        let ended = tokio::time::timeout(Duration::from_secs(10), connection.ended).await;
        assert!(ended.is_ok(), "HTTP/2: still open");
        assert_about(start.elapsed(), 2, "HTTP/2");
    };
    tokio::join!(one, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_age_says_close_and_is_whole() {
    let world = world("  max_connection_age: 1").await;
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let answer = wire::exchange(&mut stream, &Ask::get("/health").bytes(world.port)).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, None));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let ask = Ask::call(Era::Stateful, "get_cpu_info", json!({ "sample_ms": 500 })).good(&world);
    let answer = wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(answer.json().pointer("/result/structuredContent").is_some());
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok() && rest.is_empty(), "the connection goes on");
}

/// Calls without a pause and counts the answers, until the connection has ended.
async fn busy(world: &World, connection: &h2::Connection, expired: &AtomicBool) -> (usize, Vec<String>) {
    let (mut answered, mut refused) = (0, Vec::new());
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(15), "a busy connection lives for ever");
        let token = world.token(&["core"]);
        let ask = Ask::call(Era::Modern, "get_cpu_info", json!({ "sample_ms": 300 })).token(&token);
        match h2::ask(&connection.send, ask.request(world.port)).await {
            Ok(answer) if answer.status == 200 => answered += 1,
            Ok(answer) => {
                assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("connection_expired")));
                assert!(answer.header("retry-after").is_some());
                expired.store(true, Ordering::Relaxed);
                refused.push(token);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                assert!(expired.load(Ordering::Relaxed), "cut before its age: {error:?}");
                return (answered, refused);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_http2_connection_begins_nothing_after_its_age_and_then_ends() {
    let world = world("  max_connection_age: 2").await;
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    let start = Instant::now();
    let expired = AtomicBool::new(false);
    let later = |millis| {
        let (world, connection, expired) = (&world, &connection, &expired);
        async move {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            busy(world, connection, expired).await
        }
    };
    let (one, two, three) = tokio::join!(later(0), later(100), later(200));
    assert_about(start.elapsed(), 2, "a busy connection");
    for (answered, _) in [&one, &two, &three] {
        assert!(*answered >= 3, "only {answered} answered");
    }
    let ran = world.audit().iter().filter(|record| record["result"] == "success" && record["event"] == "query").count();
    assert_eq!(ran, one.0 + two.0 + three.0, "a call that ran was not answered");
    // What was refused is not used up.
    let refused = [one.1, two.1, three.1].concat();
    let token = &refused[0];
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let ask = Ask::call(Era::Modern, "get_uptime", json!({})).token(token);
    let answer = wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let recorded = world.audit().iter().filter(|record| record["reason"] == "connection_expired").count();
    assert_eq!(recorded, refused.len());
}
