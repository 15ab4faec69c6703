//! Floods: what asks for nothing is borne for a while, and refusals do not fill the audit log.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{recorded, world};
use crate::world::ask::{Ask, Era};
use crate::world::{World, h2, wire};

const PING: u8 = 6;

async fn connect(world: &World) -> TlsStream<TcpStream> {
    let mut tls = wire::tls(&world.path(""), Some("good"));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = wire::connect_as(tls, world.port).await.unwrap();
    stream.write_all(&[h2::PREFACE, &h2::frame(h2::SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    stream
}

/// Sends `piece` over and over, reading what comes, until the other end closes; how many went.
async fn flood(stream: TlsStream<TcpStream>, piece: &[u8]) -> usize {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut sent = 0;
    let write = async {
        while writer.write_all(piece).await.is_ok() && writer.flush().await.is_ok() {
            sent += 1;
        }
    };
    let read = async {
        let mut buffer = vec![0; 65_536];
        while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    };
    let both = async {
        tokio::select! { () = write => {}, () = read => {} }
    };
    assert!(tokio::time::timeout(Duration::from_secs(50), both).await.is_ok(), "a flood is not cut");
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_ask_for_nothing_end_their_connection() {
    // Whatever cuts them, it is not time.
    let world = world("  header_timeout: 300\n  idle_timeout: 300").await;
    let many = h2::frame(PING, 0, 0, b"12345678").repeat(500);
    let settings = h2::frame(h2::SETTINGS, 0, 0, &[]).repeat(1000);
    let small = h2::frame(PING, 0, 0, b"12345678");
    for piece in [many, settings, small] {
        let sent = flood(connect(&world).await, &piece).await;
        // How many pieces one read finds together is the kernel's to choose; only the bytes are bounded for certain.
        assert!(sent * piece.len() < 12_000_000, "{sent} times {} bytes were taken", piece.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_requests_do_not() {
    let world = world("  max_body_bytes: 4194304\n  max_body_bytes_total: 67108864").await;
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    for _ in 0..4 {
        let calls = (0..3).map(|_| {
            let mut ask = Ask::call(Era::Modern, "get_uptime", json!({})).good(&world);
            ask.body.push_str(&" ".repeat(4_000_000));
            h2::ask(&connection.send, ask.request(world.port))
        });
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap().status, 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_handshakes_are_all_counted_and_few_are_written() {
    let world = world("").await;
    for _ in 0..100 {
        let mut tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut read = Vec::new();
        // Closed, by a reset or not.
        let _ = tcp.read_to_end(&mut read).await;
    }
    let refused = |record: &Value| record["reason"] == "handshake_failed";
    assert_eq!(recorded(&world, 64, refused).await.len(), 64);
    let path = world.path("log/audit.jsonl");
    let World { daemon, .. } = world;
    daemon.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(refused);
    let counts: Vec<Option<u64>> = records.map(|record| record["count"].as_u64()).collect();
    assert_eq!(counts.len(), 65);
    assert_eq!(counts.last(), Some(&Some(36)), "what was not written is counted");
}

/// A certificate alone fills no log: neither without tokens nor with good ones and messages that are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_requests_are_all_counted_and_few_are_written() {
    let world = world("").await;
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let tokenless = Ask::call(Era::Stateful, "get_uptime", json!({})).bytes(world.port);
    for _ in 0..100 {
        let answer = wire::exchange(&mut stream, &tokenless).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("token_missing")));
    }
    for _ in 0..80 {
        let mut ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
        ask.body = "{".to_owned();
        let answer = wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_deref()), (400, Some("malformed_json")));
    }
    let path = world.path("log/audit.jsonl");
    let World { daemon, .. } = world;
    drop(stream);
    daemon.stop().await;
    let text = std::fs::read_to_string(path).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (reason, event, folded) in [("token_missing", "auth_failure", 36), ("malformed_json", "query_denied", 16)] {
        let refused: Vec<_> = records.iter().filter(|record| record["reason"] == reason).collect();
        assert_eq!(refused.len(), 65, "{reason}");
        let last = refused.last().unwrap();
        assert_eq!((&last["count"], &last["event"]), (&json!(folded), &json!(event)), "{last}");
        assert_eq!(last["client"]["certificate"], refused[0]["client"]["certificate"], "{last}");
        assert!(last["client"]["certificate"].is_string() && last["client"]["ip"].is_null(), "{last}");
    }
}
