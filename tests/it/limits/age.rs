//! The greatest age of a connection: nothing new is begun after it, and what was begun is answered.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::{assert_about, health, recorded, world};
use crate::world::ask::{Ask, Body, Era};
use crate::world::{h2, wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_connection_ends_at_its_age() {
    let world = world("  max_connection_age: 2").await;
    let one = async {
        let start = Instant::now();
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        assert_eq!(health(&mut stream, world.port).await.unwrap(), 200);
        wire::endure(stream, b"", b"").await;
        assert_about(start, 2, "HTTP/1.1");
    };
    let other = async {
        let start = Instant::now();
        let connection = h2::open(&world.path(""), world.port, |_| {}).await;
        let answer = h2::ask(&connection.send, Ask::get("/health").request(world.port)).await.unwrap();
        assert_eq!(answer.status, 200);
        let ended = tokio::time::timeout(Duration::from_secs(40), connection.ended).await;
        assert!(ended.is_ok(), "HTTP/2: still open");
        assert_about(start, 2, "HTTP/2");
    };
    tokio::join!(one, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_after_the_age_says_close_and_is_whole() {
    let world = world("  max_connection_age: 4\n  body_timeout: 60").await;
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let answer = wire::exchange(&mut stream, &Ask::get("/health").bytes(world.port)).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, None));
    let bytes = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world).bytes(world.port);
    let (first, rest) = bytes.split_at(bytes.len() - 10);
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(4200)).await;
    let answer = wire::exchange(&mut stream, rest).await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(answer.json().pointer("/result/structuredContent").is_some());
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok() && rest.is_empty(), "the connection goes on");
}

/// The body of a call, whose end comes when the other half is sent or dropped.
fn held(body: &str) -> (oneshot::Sender<()>, Body) {
    let (release, released) = oneshot::channel();
    let (first, rest) = body.split_at(10);
    let [first, rest] = [first, rest].map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(part.to_owned()))));
    let rest = stream::once(async move {
        let _ = released.await;
        rest
    });
    (release, StreamBody::new(stream::iter([first]).chain(rest)).boxed_unsync())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_http2_connection_begins_nothing_after_its_age_and_then_ends() {
    let world = world("  max_connection_age: 2\n  body_timeout: 60").await;
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    let start = Instant::now();
    let call = |token: &str| Ask::call(Era::Modern, "get_uptime", json!({})).token(token);
    let begun = call(&world.token(&["core"]));
    let (release, body) = held(&begun.body);
    let request = begun.carrying(world.port, body);
    let answering = tokio::spawn({
        let send = connection.send.clone();
        async move { h2::ask(&send, request).await }
    });
    let (mut answered, mut refused) = (0, Vec::new());
    while refused.len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(30), "a busy connection lives for ever");
        let token = world.token(&["core"]);
        // What is under way keeps the connection open, so every call has an answer.
        let answer = h2::ask(&connection.send, call(&token).request(world.port)).await.unwrap();
        if answer.status == 200 {
            assert!(refused.is_empty(), "a call was begun after the age");
            answered += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else {
            assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("connection_expired")));
            assert!(answer.header("retry-after").is_some());
            assert!(start.elapsed() + Duration::from_millis(100) >= Duration::from_secs(2), "refused before its age");
            refused.push(token);
        }
    }
    assert!(answered > 0 && !connection.ended.is_finished() && !answering.is_finished());
    release.send(()).unwrap();
    assert_eq!(answering.await.unwrap().unwrap().status, 200, "what was begun is answered");
    let ended = tokio::time::timeout(Duration::from_secs(40), connection.ended).await;
    assert!(ended.is_ok(), "the connection goes on");
    let ran = |record: &Value| record["result"] == "success" && record["event"] == "query";
    assert_eq!(recorded(&world, answered + 1, ran).await.len(), answered + 1);
    // What was refused is not used up.
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let answer = wire::exchange(&mut stream, &call(&refused[0]).bytes(world.port)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let expired = |record: &Value| record["reason"] == "connection_expired";
    assert_eq!(recorded(&world, refused.len(), expired).await.len(), refused.len());
}
