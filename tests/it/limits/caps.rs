//! Caps: connections, headers, bodies, streams.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::{health, recorded};
use crate::world::ask::{Ask, Era};
use crate::world::{Choice, World, h2, wire};

async fn world(http: &str) -> World {
    World::with(Choice { http: http.to_owned(), ..Choice::default() }).await
}

/// A connection from another address of this host that has had an answer.
async fn served(world: &World, from: Ipv4Addr) -> Option<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let tcp = socket.connect(([127, 0, 0, 1], world.port).into()).await.ok()?;
    let mut stream = wire::shake_hands(wire::tls(&world.path(""), Some("good")), tcp).await.ok()?;
    (health(&mut stream, world.port).await.ok()? == 200).then_some(stream)
}

async fn served_again(world: &World, from: Ipv4Addr) -> TlsStream<TcpStream> {
    for _ in 0..2000 {
        if let Some(stream) = served(world, from).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the place is not given back");
}

const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_may_have_so_many_connections_and_others_have_their_own() {
    let world = world("  max_connections_per_address: 2").await;
    let first = served(&world, HERE).await.unwrap();
    let _second = served(&world, HERE).await.unwrap();
    assert!(served(&world, HERE).await.is_none(), "a third connection is served");
    let records = recorded(&world, 1, |record| record["reason"] == "too_many_connections").await;
    assert_eq!(records[0]["event"], "auth_failure");
    assert_eq!(records[0]["client"]["ip"], "127.0.0.1");
    let _other = served(&world, THERE).await.unwrap();
    drop(first);
    served_again(&world, HERE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_so_many_connections_in_total() {
    let world = world("  max_connections: 2").await;
    let _first = served(&world, HERE).await.unwrap();
    let second = served(&world, THERE).await.unwrap();
    let third = Ipv4Addr::new(127, 0, 0, 3);
    assert!(served(&world, third).await.is_none(), "a third connection is served");
    let records = recorded(&world, 1, |record| record["reason"] == "too_many_connections").await;
    assert_eq!(records[0]["client"]["ip"], "127.0.0.3");
    drop(second);
    served_again(&world, third).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_handshake_gives_its_place_back() {
    let world = world("  max_connections_per_address: 1").await;
    for name in [None, Some("rogue_bot"), Some("expired"), Some("revoked")] {
        if let Ok(mut stream) = wire::connect(&world.path(""), world.port, name).await {
            assert!(health(&mut stream, world.port).await.is_err(), "{name:?} is served");
        }
        drop(served_again(&world, HERE).await);
    }
    let mut tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    tcp.write_all(b"GET /health HTTP/1.1\r\n\r\n").await.unwrap();
    served_again(&world, HERE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_too_large_or_too_many_are_refused() {
    let world = world("  max_header_bytes: 16384").await;
    let ask = || Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
    let many = |count: usize| (0..count).fold(ask(), |ask, number| ask.with(&format!("x-{number}"), "1"));
    // Whether the client is told why, and how many of the two requests are recorded.
    let cases = [
        ("large headers", ask().with("x-large", &"a".repeat(15_000)), 200, false, 0),
        ("headers over the cap", ask().with("x-large", &"a".repeat(17_000)), 431, true, 2),
        ("headers far over the cap", ask().with("x-large", &"a".repeat(100_000)), 431, false, 1),
        ("many headers", many(50), 200, false, 0),
        ("too many headers", many(70), 431, true, 2),
        ("far too many headers", many(500), 431, false, 2),
    ];
    let mut records = 0;
    for (what, ask, status, told, more) in cases {
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let answer = wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap();
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        assert_eq!(answer.reason().as_deref() == Some("header_too_large"), told, "{what}");
        if status != 200 && !told {
            assert!(health(&mut stream, world.port).await.is_err(), "{what}: the connection goes on");
        }
        let connection = h2::open(&world.path(""), world.port, |builder| {
            builder.max_header_list_size(1 << 20);
        })
        .await;
        match h2::ask(&connection.send, ask.clone().good_again(&world).request(world.port)).await {
            Ok(answer) => {
                assert_eq!(answer.status, status, "{what} over HTTP/2: {}", answer.body);
                let reason = answer.reason();
                assert!(status == 200 || reason.is_none_or(|reason| reason == "header_too_large"), "{what}");
            }
            // The client sees what the server announced and does not even try.
            Err(error) => assert!(status == 431, "{what} over HTTP/2: {error:?}"),
        }
        records += more;
        let found = recorded(&world, records, |record| record["reason"] == "header_too_large").await;
        assert_eq!(found.len(), records, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_on_bodies_is_exact() {
    const CAP: usize = 20_000;
    let world = world("  max_body_bytes: 20000").await;
    for (size, status, reason) in [(CAP, 200, None), (CAP + 1, 413, Some("body_too_large"))] {
        let ask = || {
            let mut ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
            ask.body.push_str(&" ".repeat(size - ask.body.len()));
            ask
        };
        let counted = ask().bytes(world.port);
        let chunked = ask();
        let mut bytes = chunked.head(world.port, "Transfer-Encoding: chunked\r\n").into_bytes();
        for chunk in chunked.body.as_bytes().chunks(7000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        for (what, bytes) in [("counted", counted), ("chunked", bytes)] {
            let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
            let answer = wire::exchange(&mut stream, &bytes).await.unwrap();
            assert_eq!((answer.status, answer.reason().as_deref()), (status, reason), "{what} {size}: {}", answer.body);
        }
        let connection = h2::open(&world.path(""), world.port, |_| {}).await;
        let answer = h2::ask(&connection.send, ask().request(world.port)).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_deref()), (status, reason), "HTTP/2 {size}: {}", answer.body);
    }
    let records = recorded(&world, 3, |record| record["reason"] == "body_too_large").await;
    assert!(records.iter().all(|record| record["event"] == "query_denied" && record["result"] == "refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_announced_as_too_large_is_refused_unread() {
    let world = world("").await;
    let ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
    let head = ask.head(world.port, "Content-Length: 5000000\r\nExpect: 100-continue\r\n");
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let answer = wire::exchange(&mut stream, head.as_bytes()).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (413, Some("body_too_large")));
    // A client that sends it all the same gets to read why.
    let mut ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
    ask.body.push_str(&" ".repeat(5_000_000));
    let stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let (_, read) = wire::endure(stream, &ask.bytes(world.port), b"").await;
    let read = String::from_utf8(read).unwrap();
    assert!(read.starts_with("HTTP/1.1 413 "), "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_announces_and_keeps_its_limits() {
    let world = world("  max_concurrent_streams: 4\n  max_header_bytes: 16384").await;
    let mut tls = wire::tls(&world.path(""), Some("good"));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = wire::connect_as(tls, world.port).await.unwrap();
    stream.write_all(&[h2::PREFACE, &h2::frame(h2::SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let settings = h2::read_frame(&mut stream).await.unwrap();
    assert_eq!(settings.kind, h2::SETTINGS);
    let announced = |id: u8| {
        let mut entries = settings.payload.chunks(6).filter(|entry| entry[..2] == [0, id]);
        entries.next().map(|entry| u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]))
    };
    assert_eq!(announced(3), Some(4), "SETTINGS_MAX_CONCURRENT_STREAMS");
    assert_eq!(announced(6), Some(32_768), "SETTINGS_MAX_HEADER_LIST_SIZE");
    // Requests whose bodies never come, one more than there may be; their bearer is let wait for the body.
    let host = format!("localhost:{}", world.port);
    let fields = [(":method", "POST"), (":scheme", "https"), (":authority", host.as_str()), (":path", "/mcp")];
    stream.write_all(&h2::frame(h2::SETTINGS, 1, 0, &[])).await.unwrap();
    let bearer = |token: &str| {
        // A token is longer than the block's short form allows: a length of 127 and more goes on in further bytes.
        let value = format!("Bearer {token}");
        let mut rest = value.len() - 127;
        let mut bytes = [&[0, 13][..], b"authorization", &[127]].concat();
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
        [bytes, value.into_bytes()].concat()
    };
    for number in 0..5 {
        let media = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        let block = [h2::block(&fields), h2::block(&media), bearer(&world.token(&["core"]))].concat();
        let frame = h2::frame(h2::HEADERS, h2::END_HEADERS, 2 * number + 1, &block);
        stream.write_all(&frame).await.unwrap();
    }
    stream.flush().await.unwrap();
    let refused = async {
        loop {
            let frame = h2::read_frame(&mut stream).await.unwrap();
            assert_ne!(frame.kind, h2::HEADERS, "a request without its body was answered: {frame:?}");
            if frame.kind == h2::RST_STREAM {
                return (frame.stream, frame.payload);
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert_eq!(refused, (9, vec![0, 0, 0, 7]), "REFUSED_STREAM for the fifth");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_bounded_together_and_for_each_certificate() {
    let world = world("  max_body_bytes: 100000\n  max_body_bytes_total: 400000\n  body_timeout: 60").await;
    let call = |size: usize| {
        let mut ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
        ask.body.push_str(&" ".repeat(size - ask.body.len()));
        ask
    };
    let send = async |size, certificate| {
        let mut stream = wire::connect(&world.path(""), world.port, Some(certificate)).await.unwrap();
        wire::exchange(&mut stream, &call(size).bytes(world.port)).await.unwrap()
    };
    let mut slow = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let held = call(90_000).bytes(world.port);
    slow.write_all(&held[..held.len() - 30_000]).await.unwrap();
    slow.flush().await.unwrap();
    let refused = async || {
        for _ in 0..1000 {
            let answer = send(50_000, "good").await;
            if answer.status != 200 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("what is held is not counted");
    };
    let refused = refused().await;
    assert_eq!((refused.status, refused.reason().as_deref()), (503, Some("bodies_full")), "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    recorded(&world, 1, |record| record["reason"] == "bodies_full" && record["event"] == "query_denied").await;
    // What is small finds room beside it, others have their own, and what was held is given back with its request.
    assert_eq!(send(20_000, "good").await.status, 200);
    assert_eq!(send(90_000, "second").await.status, 200);
    slow.write_all(&held[held.len() - 30_000..]).await.unwrap();
    assert_eq!(wire::exchange(&mut slow, b"").await.unwrap().status, 200);
    for _ in 0..10 {
        assert_eq!(send(90_000, "good").await.status, 200);
    }
}
