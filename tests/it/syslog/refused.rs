//! Collectors that cannot be trusted, that do not trust this side, or that behave oddly; and what the daemon says of them.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward::audit::syslog::SyslogSection;
use rustix::process::Signal;
use serde_json::json;

use super::journal::{Written, compare};
use super::{SOON, forward, until};
use crate::world::premises::Premises;
use crate::world::rsyslogd::Rsyslogd;
use crate::world::wire;

fn event(line: &[u8]) -> String {
    let record: serde_json::Value = serde_json::from_slice(line).unwrap();
    record["event"].as_str().unwrap().to_owned()
}

/// The configuration that forwards to `collector` over TLS, with `more` keys.
fn forwarding(collector: &Rsyslogd, more: &str) -> String {
    let target = collector.target("tls");
    format!("  checkpoint: {{every_records: 5}}\n  syslog: {{enabled: true, target: \"{target}\", {more}}}")
}

fn file(collector: &Rsyslogd, key: &str, name: &str) -> String {
    format!("{key}: {}, ", collector.path(name).display())
}

#[tokio::test]
async fn the_daemon_forwards_all_that_it_records_and_its_own_stop() {
    let Some(mut collector) = Rsyslogd::new(false) else { return };
    collector.start();
    let premises = Premises::new();
    let keys = file(&collector, "ca", "ca/ca.crt") + &file(&collector, "cert", "door.crt");
    premises.configure(&forwarding(&collector, &(keys + &file(&collector, "key", "door.key"))));
    for calls in [3, 2] {
        let (running, port) = premises.serve();
        for _ in 0..calls {
            let mut stream = wire::connect(premises.root(), port, Some("client")).await.unwrap();
            let post = wire::post(port, &premises.token("alice"), &wire::call("get_uptime", json!({})));
            assert_eq!(wire::exchange(&mut stream, &post).await.unwrap().status, 200);
        }
        running.signal(Signal::TERM);
        assert_eq!(running.end(SOON).status, 0);
        let journal = std::fs::read(premises.path("audit.jsonl")).unwrap();
        let lines: Vec<Vec<u8>> = journal.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let lines = &lines[..lines.len() - 1];
        assert_eq!(compare(&collector.messages(), lines), 0, "nothing broke, so nothing came twice");
        let events: Vec<String> = lines.iter().map(|line| event(line)).collect();
        let (_, end) = events.split_at(events.iter().rposition(|event| event == "stop").unwrap() + 1);
        assert!(!end.is_empty() && end.iter().all(|event| event == "checkpoint"), "{events:?}");
    }
}

#[test]
fn who_cannot_be_trusted_gets_nothing_and_the_operator_is_told_why() {
    let Some(mut collector) = Rsyslogd::new(false) else { return };
    collector.start();
    let premises = Premises::new();
    let keys = |ca: &str, client: Option<&str>| {
        let identity = client.map(|name| {
            file(&collector, "cert", &format!("{name}.crt")) + &file(&collector, "key", &format!("{name}.key"))
        });
        file(&collector, "ca", ca) + &identity.unwrap_or_default()
    };
    for (keys, why) in [
        (keys("rogue/ca.crt", Some("door")), "invalid peer certificate"),
        (keys("ca/ca.crt", Some("door")) + "server_name: other.example", "not valid for name"),
        (keys("ca/ca.crt", None), "may have refused this side's certificate"),
        (keys("ca/ca.crt", Some("stranger")), "may have refused this side's certificate"),
    ] {
        premises.configure(&forwarding(&collector, &keys));
        let (mut running, _) = premises.serve();
        let said = running.until(|running| {
            let log = running.stderr();
            log.lines().find(|line| line.contains("audit records cannot be forwarded")).map(str::to_owned)
        });
        assert!(said.contains(why) && said.contains("tls://localhost:"), "{keys}: {said}");
        eprintln!("{said}");
        running.signal(Signal::TERM);
        assert_eq!(running.end(SOON).status, 0);
        assert!(collector.messages().is_empty(), "{keys}");
    }
}

/// Takes the frames (RFC 6587 section 3.4.1) that are whole out of `bytes`.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&bytes[..space]).unwrap().parse().unwrap();
        let Some(frame) = bytes.get(space + 1..space + 1 + length) else { break };
        let mark = frame.windows(3).position(|three| three == b"\xef\xbb\xbf").unwrap();
        frames.push(frame[mark + 3..].to_vec());
        bytes = &bytes[space + 1 + length..];
    }
    frames
}

/// A collector that reads what `most` allows of its n-th connection, and then lets go of it, or keeps it.
struct Odd {
    port: u16,
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Odd {
    fn start(keep: bool, most: impl Fn(usize) -> usize + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let odd = Self { port: listener.local_addr().unwrap().port(), frames: Arc::default() };
        let arrived = Arc::clone(&odd.frames);
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                let read = take(&stream, most(number));
                arrived.lock().unwrap().extend(frames(&read));
                if keep {
                    kept.push(stream);
                }
            }
        });
        odd
    }

    fn section(&self) -> SyslogSection {
        SyslogSection {
            enabled: true,
            target: format!("tcp://127.0.0.1:{}", self.port),
            timeout: 1,
            ..SyslogSection::default()
        }
    }

    fn arrived(&self) -> Vec<Vec<u8>> {
        self.frames.lock().unwrap().clone()
    }
}

fn take(mut stream: &TcpStream, most: usize) -> Vec<u8> {
    let (mut all, mut page) = (Vec::new(), vec![0; 8192]);
    while all.len() < most {
        let room = (most - all.len()).min(page.len());
        match stream.read(&mut page[..room]) {
            Ok(0) | Err(_) => break,
            Ok(count) => all.extend_from_slice(&page[..count]),
        }
    }
    all
}

#[tokio::test]
async fn a_collector_that_lets_go_whenever_it_likes_gets_everything_in_the_end() {
    // With nothing, with less than was sent, with exactly what was sent and more to come.
    let odd =
        Odd::start(false, |number| if number < 24 && number % 4 != 3 { (number * 7919) % 60_000 } else { usize::MAX });
    let mut journal = Written::new();
    journal.append_many(500);
    let forwarder = forward(&odd.section(), &journal);
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(40));
        journal.append_many(5);
    }
    let last = journal.lines().pop().unwrap();
    until("the last record", || odd.arrived().contains(&last).then_some(()));
    forwarder.stop(Duration::from_secs(2)).await;
    let again = compare(&odd.arrived(), &journal.lines());
    assert!(again > 0, "nothing was sent again, so nothing broke");
}

#[tokio::test]
async fn a_collector_that_never_ends_its_side_is_believed_after_a_while() {
    let odd = Odd::start(true, |_| usize::MAX);
    let mut journal = Written::new();
    journal.append_many(10);
    let begin = std::time::Instant::now();
    let forwarder = forward(&odd.section(), &journal);
    let is_taken = || std::fs::read_to_string(journal.beside("audit.cursor")).unwrap().contains("\"seq\":10,");
    until("the mark", || (journal.beside("audit.cursor").exists() && is_taken()).then_some(()));
    assert!(begin.elapsed() > Duration::from_secs(3), "it was believed at once");
    forwarder.stop(Duration::ZERO).await;
}
