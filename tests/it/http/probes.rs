//! Probes: behind the certificate over https, open on a listener of their own; and a journal that cannot be written.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ask;
use crate::world::ask::{Ask, ERAS, Era};
use crate::world::{Choice, World, tokens, wire};

async fn with_probes() -> World {
    World::with(Choice { probes: Some(0), ..Choice::default() }).await
}

/// An answer in plain HTTP: its status and all of its text.
async fn plain(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("{method} {path} HTTP/1.1\r\nHost: probe\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).await.unwrap();
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_over_https_need_a_listed_certificate_and_no_token() {
    let world = World::open().await;
    // What others do is no matter of whoever has a certificate, with a token or without.
    for asking in [Ask::get("/metrics"), Ask::get("/metrics").good(&world)] {
        let answer = ask(&world, &asking).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (404, Some("not_found")));
    }
    assert_eq!(world.audit().iter().filter(|record| record["reason"] == "not_found").count(), 2);
    for (path, part) in [("/health", "\"ok\""), ("/ready", "\"ready\":true")] {
        let answer = ask(&world, &Ask::get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
        let mut stream = wire::connect(&world.path(""), world.port, Some("unlisted")).await.unwrap();
        let answer = wire::exchange(&mut stream, &Ask::get(path).bytes(world.port)).await.unwrap();
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("subject_not_allowed")), "{path}");
        let bare = match wire::connect(&world.path(""), world.port, None).await {
            Ok(mut stream) => wire::exchange(&mut stream, &Ask::get(path).bytes(world.port)).await.is_ok(),
            Err(_) => false,
        };
        assert!(!bare, "{path} is served without a certificate");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probes_listener_serves_probes_and_nothing_else() {
    let world = with_probes().await;
    let address = world.daemon.probes().unwrap();
    assert!(address.ip().is_loopback());
    for (path, part) in [("/health", "\"ok\""), ("/ready", "\"ready\":true"), ("/metrics", "# EOF")] {
        let (status, text) = plain(address, "GET", path).await;
        assert!(status == 200 && text.contains(part), "{text}");
        assert_eq!(plain(address, "HEAD", path).await.0, 200);
        assert_eq!(plain(address, "POST", path).await.0, 405);
    }
    for path in ["/", "/mcp", "/.well-known/oauth-protected-resource", "/health/", "//health", "/metrics/x"] {
        for method in ["GET", "POST"] {
            assert_eq!(plain(address, method, path).await.0, 404, "{method} {path}");
        }
    }
    // Calls leave their traces in the numbers.
    assert_eq!(ask(&world, &Ask::call(Era::Modern, "get_uptime", json!({})).good(&world)).await.status, 200);
    let (_, numbers) = plain(address, "GET", "/metrics").await;
    assert!(numbers.contains("get_uptime"), "{numbers}");
    assert!(!numbers.contains("alice"), "the numbers tell who called");
}

/// Polls until `/ready` answers so.
async fn until_ready(address: SocketAddr, wanted: u16) -> String {
    for _ in 0..1000 {
        let (status, text) = plain(address, "GET", "/ready").await;
        if status == wanted {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("/ready never says {wanted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_journal_nothing_runs_until_there_is_one_again() {
    let world = with_probes().await;
    let address = world.daemon.probes().unwrap();
    let call = |era| Ask::call(era, "get_uptime", json!({})).good(&world);
    assert_eq!(ask(&world, &call(Era::Modern)).await.status, 200);
    until_ready(address, 200).await;
    // A directory that is not there stops root as well.
    fs::remove_dir_all(world.path("log")).unwrap();
    for era in ERAS {
        let answer = ask(&world, &call(era)).await;
        let refused = answer.status == 503 && answer.reason().as_deref() == Some("audit_unavailable");
        assert!(refused, "{era:?}: {} {}", answer.status, answer.body);
        assert!(answer.header("retry-after").is_some());
        assert!(!answer.body.contains("audit.jsonl"), "the caller is told a path: {}", answer.body);
    }
    assert!(until_ready(address, 503).await.contains("the audit journal cannot be written"));
    let over_https = ask(&world, &Ask::get("/ready")).await;
    assert_eq!((over_https.status, ask(&world, &Ask::get("/health")).await.status), (503, 200));
    fs::create_dir(world.path("log")).unwrap();
    until_ready(address, 200).await;
    for era in ERAS {
        assert_eq!(ask(&world, &call(era)).await.status, 200);
    }
    let after = world.audit();
    assert!(after.iter().any(|record| record["event"] == "audit_gap"), "{after:?}");
    let ran = after.iter().filter(|record| record["result"] == "success" && record["event"] == "query");
    assert_eq!(ran.count(), 2, "a call ran without its record");
    // What was decided and could not be kept in time is in the log by now, and so is that nothing came of it.
    for decided in after.iter().filter(|record: &&Value| record["result"] == "permitted") {
        let of_it = |record: &&Value| record["stage"] == "outcome" && record["id"] == decided["id"];
        let outcomes: Vec<&Value> = after.iter().filter(of_it).collect();
        let [outcome] = outcomes[..] else { panic!("{decided} has {outcomes:?}") };
        let refused = outcome["result"] == "failed" && outcome["reason"] == "audit_unavailable";
        assert!(outcome["result"] == "success" || refused, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_daemon_notices_that_its_journal_is_gone() {
    let world = with_probes().await;
    let address = world.daemon.probes().unwrap();
    fs::rename(world.path("log"), world.path("away")).unwrap();
    until_ready(address, 503).await;
    fs::rename(world.path("away"), world.path("log")).unwrap();
    until_ready(address, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_not_ready_while_the_revocation_list_is_out_of_date_and_the_numbers_say_when_that_is() {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    let life = Some(Duration::from_secs(3600 + 300));
    let choice = Choice { probes: Some(0), list_life: life, clock: Some(clock.clone()), ..Choice::default() };
    let world = World::with(choice).await;
    let address = world.daemon.probes().unwrap();
    until_ready(address, 200).await;
    let (_, numbers) = plain(address, "GET", "/metrics").await;
    for file in ["tls.cert", "tls.client_ca", "tls.client_crl"] {
        let line = numbers.lines().find(|line| line.contains(&format!("not_after_seconds{{file=\"{file}\"}}")));
        let at: i64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(at > clock.now().seconds(), "{file}: {at}");
    }
    clock.advance(Duration::from_secs(301));
    assert!(until_ready(address, 503).await.contains("the revocation list is out of date"));
    world.authority().crl(Duration::from_secs(86_400), &Clock::system()).unwrap();
    world.reload().await;
    until_ready(address, 200).await;
}
