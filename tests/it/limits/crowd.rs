//! Many slow clients at once.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use super::world;
use crate::world::ask::{Ask, Era};
use crate::world::wire;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_slow_clients_are_all_shown_out_while_others_are_served() {
    let world = world("  header_timeout: 2\n  body_timeout: 2\n  idle_timeout: 120").await;
    let slow = (0..200).map(|number| {
        let world = &world;
        async move {
            if number % 4 == 0 {
                let tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
                let (took, _) = wire::endure(tcp, b"", b"").await;
                return assert!(took < Duration::from_secs(25), "no handshake took {took:?}");
            }
            // A busy machine may not shake two hundred hands within a second.
            let Ok(stream) = wire::connect(&world.path(""), world.port, Some("good")).await else { return };
            let (what, first, drip): (_, _, &[u8]) = match number % 4 {
                1 => ("nothing", String::new(), b""),
                2 => ("headers", "GET /health HTTP/1.1\r\nX-A: ".to_owned(), b"a"),
                _ => {
                    let ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(world);
                    ("body", ask.head(world.port, "Content-Length: 5000\r\n"), b" ")
                }
            };
            let (took, _) = wire::endure(stream, first.as_bytes(), drip).await;
            assert!(took < Duration::from_secs(25), "{what} took {took:?}");
        }
    });
    let served = async {
        for number in 0..10 {
            let start = std::time::Instant::now();
            let mut stream = wire::connect(&world.path(""), world.port, Some("second")).await.unwrap();
            let ask = Ask::call(Era::Modern, "get_uptime", json!({})).good(&world);
            let answer = wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(start.elapsed() < Duration::from_secs(15), "call {number} took {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::join!(futures_util::future::join_all(slow), served);
}
