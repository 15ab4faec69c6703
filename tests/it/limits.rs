//! Time limits: whoever keeps the door waiting is shown out, and nobody else notices.

mod age;
mod caps;
mod crowd;
mod flood;

use std::convert::Infallible;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, split};
use tokio::net::{TcpSocket, TcpStream};

use crate::world::ask::{Ask, ERAS, Era};
use crate::world::{Choice, World, h2, wire};

const TLS: &str = "  handshake_timeout: 1";

async fn world(http: &str) -> World {
    let http = format!("  max_connections_per_address: 300\n{http}");
    World::with(Choice { tls: TLS.to_owned(), http, ..Choice::default() }).await
}

/// What began after `start` ended when it should, give or take what a busy machine needs: less than the next longer limit.
fn assert_about(start: Instant, seconds: u64, what: &str) {
    let (took, due) = (start.elapsed(), Duration::from_secs(seconds));
    assert!(took + Duration::from_millis(100) >= due, "{what}: ended after {took:?}, before {due:?}");
    assert!(took < due + Duration::from_secs(20), "{what}: ended after {took:?}, long after {due:?}");
}

/// Waits until the audit log has `count` such records.
pub async fn recorded(world: &World, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    for _ in 0..6000 {
        let found: Vec<Value> = world.audit().into_iter().filter(|record| wanted(record)).collect();
        if found.len() >= count {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not recorded {count} times: {:?}", world.audit());
}

async fn health(stream: &mut tokio_rustls::client::TlsStream<TcpStream>, port: u16) -> std::io::Result<u16> {
    wire::exchange(stream, &Ask::get("/health").bytes(port)).await.map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_shake_hands_in_time_is_closed_and_recorded() {
    let world = world("  header_timeout: 60").await;
    let start = Instant::now();
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let clients: [(&str, &[u8], &[u8]); 2] = [("silence", b"", b""), ("a dripped ClientHello", &hello, &[7])];
    let port = world.port;
    let all = clients.map(|(what, first, drip)| async move {
        wire::endure(TcpStream::connect(("127.0.0.1", port)).await.unwrap(), first, drip).await;
        assert_about(start, 1, what);
    });
    futures_util::future::join_all(all).await;
    let records = recorded(&world, 2, |record| record["reason"] == "handshake_failed").await;
    assert!(records.iter().all(|record| record["event"] == "auth_failure" && record["client"]["ip"] == "127.0.0.1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_come_to_a_request_in_time_is_closed() {
    let world = world("  header_timeout: 1").await;
    let settings = [h2::PREFACE, &h2::frame(h2::SETTINGS, 0, 0, &[])].concat();
    let headers = [&settings[..], &[0, 3, 0xe8, h2::HEADERS, 0, 0, 0, 0, 1]].concat();
    let continued = [&settings[..], &h2::frame(h2::HEADERS, 0, 1, &h2::block(&[(":method", "GET")]))].concat();
    let ping = h2::frame(h2::PING, 0, 0, &[0; 8]);
    let clients: [(&str, &[u8], &[u8]); 9] = [
        ("silence", b"", b""),
        ("part of an HTTP/2 preface", &h2::PREFACE[..10], b""),
        ("an HTTP/2 preface and silence", &settings, b""),
        ("dripped PING frames", &settings, &ping),
        ("dripped HTTP/2 headers", &headers, b"\x00"),
        ("HTTP/2 headers without an end", &continued, b""),
        ("part of a request line", b"GET /hea", b""),
        ("part of the headers", b"GET /health HTTP/1.1\r\nHost: local", b""),
        ("dripped headers", b"GET /health HTTP/1.1\r\nX: ", b"x"),
    ];
    let world = &world;
    let all = clients.map(|(what, first, drip)| async move {
        let start = Instant::now();
        let stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let (_, read) = wire::endure(stream, first, drip).await;
        assert_about(start, 1, what);
        assert!(!String::from_utf8_lossy(&read).contains("200"), "{what} was answered");
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_and_a_next_request_has_the_time_for_headers() {
    let world = world("  header_timeout: 1\n  idle_timeout: 3").await;
    let clients: [(&str, &[u8], &[u8], u64); 4] = [
        ("silence", b"", b"", 3),
        ("part of the headers", b"GET /health HTTP/1.1\r\nHost: local", b"", 1),
        ("dripped headers", b"GET /health HTTP/1.1\r\nX: ", b"x", 1),
        ("dripped empty lines", b"\r\n", b"\r\n", 1),
    ];
    let world = &world;
    let all = clients.map(|(what, first, drip, seconds)| async move {
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let start = Instant::now();
        assert_eq!(health(&mut stream, world.port).await.unwrap(), 200);
        wire::endure(stream, first, drip).await;
        assert_about(start, seconds, what);
    });
    let multiplexed = async {
        let connection = h2::open(&world.path(""), world.port, |_| {}).await;
        let start = Instant::now();
        let answer = h2::ask(&connection.send, Ask::get("/health").request(world.port)).await.unwrap();
        assert_eq!(answer.status, 200);
        let ended = tokio::time::timeout(Duration::from_secs(40), connection.ended).await;
        assert!(ended.is_ok(), "HTTP/2: still open");
        assert_about(start, 3, "HTTP/2");
    };
    tokio::join!(futures_util::future::join_all(all), multiplexed);
}

/// A body that begins and never ends.
fn endless(text: &'static str) -> crate::world::ask::Body {
    let begin = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(text.as_bytes())))]);
    StreamBody::new(begin.chain(stream::pending())).boxed_unsync()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_arrive_in_time_is_answered_408_and_recorded() {
    let world = world("  body_timeout: 1\n  idle_timeout: 2").await;
    let ask = || Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
    let clients: [(&str, &str, &str, &[u8]); 4] = [
        ("half a body", "Content-Length: 100\r\n", "{\"jsonrpc\":", b""),
        ("a dripped body", "Content-Length: 100000\r\n", "{", b" "),
        ("half a chunk", "Transfer-Encoding: chunked\r\n", "10\r\n{\"json", b""),
        ("dripped chunks", "Transfer-Encoding: chunked\r\n", "1\r\n{\r\n", b"1\r\n \r\n"),
    ];
    let all = clients.map(|(what, framing, first, drip)| {
        let head = ask().head(world.port, framing);
        let world = &world;
        async move {
            let start = Instant::now();
            let stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
            let (_, read) = wire::endure(stream, format!("{head}{first}").as_bytes(), drip).await;
            assert_about(start, 1, what);
            let read = String::from_utf8(read).unwrap();
            assert!(read.starts_with("HTTP/1.1 408 ") && read.contains("\"body_timeout\""), "{what}: {read}");
        }
    });
    let multiplexed = async {
        let connection = h2::open(&world.path(""), world.port, |_| {}).await;
        let answer = h2::ask(&connection.send, ask().carrying(world.port, endless("{"))).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_deref()), (408, Some("body_timeout")));
        // The stream is refused, not the connection.
        let next = h2::ask(&connection.send, ask().request(world.port)).await.unwrap();
        assert_eq!(next.status, 200, "{}", next.body);
    };
    tokio::join!(futures_util::future::join_all(all), multiplexed);
    let records = recorded(&world, 5, |record| record["reason"] == "body_timeout").await;
    assert_eq!(records.len(), 5);
    assert!(records.iter().all(|record| record["event"] == "query_denied" && record["user"] == "alice"));
    assert_eq!(
        world.audit().iter().filter(|record| record["result"] == "permitted").count(),
        1,
        "only the last one ran"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_may_take_longer_than_a_connection_may_be_idle() {
    let world = world("  header_timeout: 1\n  idle_timeout: 1\n  body_timeout: 10").await;
    for era in ERAS {
        let ask = Ask::call(era, "get_uptime", json!({})).good(&world);
        let bytes = ask.bytes(world.port);
        let (first, rest) = bytes.split_at(bytes.len() - 10);
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        stream.write_all(first).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2200)).await;
        let answer = wire::exchange(&mut stream, rest).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

/// Connects until there is a place again: before any other limit than that of idleness.
async fn freed(world: &World) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(40) {
        if let Ok(mut stream) = wire::connect(&world.path(""), world.port, Some("good")).await
            && let Ok(200) = health(&mut stream, world.port).await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the connection is held for ever");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_the_answers_is_given_up() {
    let http =
        "  max_connections_per_address: 1\n  idle_timeout: 2\n  header_timeout: 60\n  body_timeout: 60".to_owned();
    let world = World::with(Choice { http, ..Choice::default() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let tcp = socket.connect(([127, 0, 0, 1], world.port).into()).await.unwrap();
    let stream = wire::shake_hands(wire::tls(&world.path(""), Some("good")), tcp).await.unwrap();
    let (_reader, mut writer) = split(stream);
    let flood = Ask::get("/.well-known/oauth-protected-resource").bytes(world.port).repeat(64);
    let (mut sent, mut last) = (0, Instant::now());
    // The door stops to read when it cannot write, so the flood comes to a halt.
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(500), writer.write_all(&flood)).await {
        (sent, last) = (sent + flood.len(), Instant::now());
        assert!(sent < 64 << 20, "the door reads on and on");
    }
    freed(&world).await;
    assert!(last.elapsed() > Duration::from_secs(1), "given up at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_an_answer_no_room_over_http2_is_given_up() {
    let http =
        "  max_connections_per_address: 1\n  idle_timeout: 2\n  header_timeout: 60\n  body_timeout: 60".to_owned();
    let world = World::with(Choice { http, ..Choice::default() }).await;
    let connection = h2::open(&world.path(""), world.port, |builder| {
        builder.initial_stream_window_size(1);
    })
    .await;
    let mut send = connection.send.clone();
    let start = Instant::now();
    let request = Ask::sampling(Era::Modern, 300).good(&world).request(world.port);
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    freed(&world).await;
    assert!(start.elapsed() > Duration::from_secs(1), "given up at once");
    drop(response);
}
