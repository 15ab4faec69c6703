//! Forwarding to a real rsyslogd: what its parsers read, and that nothing is missing whatever becomes of it.

mod backlog;
mod journal;
mod outages;
mod refused;

use std::time::Duration;

use doorward::audit::syslog::{Format, Forwarder, SyslogSection};
use doorward::clock::Clock;
use serde_json::{Value, json};

use crate::world::rsyslogd::Rsyslogd;
use journal::Written;

/// Longest wait for anything that must come.
const SOON: Duration = Duration::from_secs(60);

/// The section for `kind`, with the certificate that the collector permits.
fn section(collector: &Rsyslogd, kind: &str) -> SyslogSection {
    let tls = kind == "tls";
    let file = |name: &str| tls.then(|| collector.path(name));
    SyslogSection {
        enabled: true,
        target: collector.target(kind),
        hostname: Some("door1.example".to_owned()),
        ca: file("ca/ca.crt"),
        cert: file("door.crt"),
        key: file("door.key"),
        ..SyslogSection::default()
    }
}

fn forward(section: &SyslogSection, journal: &Written) -> Forwarder {
    Forwarder::start(section, &journal.path(), Clock::system()).unwrap()
}

/// Waits until `seen` finds something.
#[track_caller]
fn until<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let begin = std::time::Instant::now();
    loop {
        if let Some(found) = seen() {
            return found;
        }
        assert!(begin.elapsed() < SOON, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Records with everything that could be mistaken for syntax.
fn oddities() -> Vec<Value> {
    let odd = ["plain", "a]b", "a\"b", "a\\b", "a\\]\"[x y=\"z\"]", "=|=", "grüß 日本 😀", " leading", "100%"];
    let mut records: Vec<Value> = odd
        .iter()
        .map(|text| {
            json!({
                "event": "query", "stage": "decision", "id": format!("c-{}", text.len()), "query": "get_cpu_info",
                "params": { "text": text, "lines": "a\nb\tc" }, "user": text, "agent": [text, "bot"],
                "client": { "transport": "https", "ip": "192.0.2.7", "subject": "CN=bot,O=Acme" },
                "resource": format!("Host::\"{text}\""), "decision": "permit", "result": "permitted",
            })
        })
        .collect();
    for event in ["auth_failure", "audit_gap", "start", "checkpoint"] {
        records.push(json!({ "event": event, "reason": "token_replayed", "detail": "a | b = c" }));
    }
    records
}

#[tokio::test]
async fn what_rsyslog_parses_is_what_the_journal_says_over_every_transport() {
    for kind in ["unix", "udp", "tcp", "tls"] {
        let Some(mut collector) = Rsyslogd::new(true) else { return };
        collector.start();
        let mut journal = Written::new();
        oddities().iter().for_each(|record| journal.append(record));
        let forwarder = forward(&section(&collector, kind), &journal);
        until(kind, || (collector.parsed().len() >= journal.len()).then_some(()));
        forwarder.stop(Duration::from_secs(2)).await;
        let (parsed, lines) = (collector.parsed(), journal.lines());
        assert_eq!((parsed.len(), collector.messages()), (lines.len(), lines.clone()), "{kind}");
        for (parsed, line) in parsed.iter().zip(&lines) {
            compare(kind, parsed, &serde_json::from_slice(line).unwrap());
        }
    }
}

fn compare(kind: &str, parsed: &Value, record: &Value) {
    let severity = match record["event"].as_str().unwrap() {
        "auth_failure" => "4",
        "audit_gap" => "3",
        "start" => "5",
        _ => "6",
    };
    let header = ["version", "facility", "severity", "timestamp", "hostname", "app", "procid", "msgid"];
    let said = header.map(|name| parsed[name].as_str().unwrap_or_default());
    let (ts, event, pid) = (record["ts"].as_str().unwrap(), record["event"].as_str().unwrap(), std::process::id());
    let pid = pid.to_string();
    assert_eq!(said, ["1", "4", severity, ts, "door1.example", "doorward", &pid, event], "{kind}");
    let data = &parsed["data"]["doorward@32473"];
    for name in ["id", "stage", "query", "user", "resource", "decision", "result", "reason"] {
        assert_eq!(data[name], record[name], "{kind}: {name}: {parsed}");
    }
    assert_eq!(data["seq"], record["seq"].to_string());
    assert_eq!((&data["ip"], &data["subject"]), (&record["client"]["ip"], &record["client"]["subject"]));
    let agents = record["agent"].as_array().map(|all| all.iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>());
    assert_eq!(data["agent"].as_str().map(str::to_owned), agents.map(|all| all.join(",")), "{kind}");
}

#[tokio::test]
async fn over_udp_what_arrives_is_in_order() {
    let Some(mut collector) = Rsyslogd::new(false) else { return };
    collector.start();
    let mut journal = Written::new();
    journal.append_many(5_000);
    let forwarder = forward(&section(&collector, "udp"), &journal);
    let last = journal.lines().pop().unwrap();
    until("the last record", || collector.messages().contains(&last).then_some(()));
    forwarder.stop(Duration::from_secs(2)).await;
    let (arrived, lines) = (collector.messages(), journal.lines());
    let mut rest = lines.iter();
    assert!(arrived.iter().all(|message| rest.any(|line| line == message)), "not in order, or not what was written");
    // UDP promises nothing; on a machine that is not too busy nothing is lost.
    eprintln!("udp: {} of {} records", arrived.len(), lines.len());
    assert!(arrived.len() > lines.len() / 2, "{}", arrived.len());
}

#[tokio::test]
async fn cef_arrives_as_it_is_written() {
    let Some(mut collector) = Rsyslogd::new(false) else { return };
    collector.start();
    let mut journal = Written::new();
    oddities().iter().for_each(|record| journal.append(record));
    let section = SyslogSection { format: Format::Cef, ..section(&collector, "tcp") };
    let forwarder = forward(&section, &journal);
    until("cef", || (collector.messages().len() >= journal.len()).then_some(()));
    forwarder.stop(Duration::from_secs(2)).await;
    for (message, seq) in collector.messages().into_iter().zip(1..) {
        let message = String::from_utf8(message).unwrap();
        assert!(message.starts_with("CEF:0|Doorward|doorward|"), "{message}");
        assert!(message.contains(&format!(" externalId={seq} dvchost=door1.example")), "{message}");
    }
}

#[tokio::test]
async fn a_record_that_is_too_long_for_a_datagram_is_cut_and_counted() {
    let Some(mut collector) = Rsyslogd::new(true) else { return };
    collector.start();
    let mut journal = Written::new();
    journal.append(&json!({ "event": "query", "user": "alice", "detail": "é".repeat(3000) }));
    let forwarder = forward(&section(&collector, "udp"), &journal);
    until("the record", || collector.parsed().pop());
    forwarder.stop(Duration::from_secs(2)).await;
    let (parsed, line) = (collector.parsed().remove(0), journal.lines().remove(0));
    let message = collector.messages().remove(0);
    assert_eq!(parsed["data"]["doorward@32473"]["cut"], line.len().to_string());
    assert!(message.len() > 1500 && line.starts_with(&message));
    let metrics = doorward::telemetry::metrics_text();
    assert!(metrics.contains("\ndoorward_audit_forward_cut_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn what_retention_deleted_is_counted_and_the_rest_arrives() {
    let Some(mut collector) = Rsyslogd::new(false) else { return };
    let mut journal = Written::new();
    journal.append(&json!({ "event": "start" }));
    let forwarder = forward(&section(&collector, "tcp"), &journal);
    // It has begun, and so knows where the journal began.
    until("the cursor", || journal.beside("audit.cursor").exists().then_some(()));
    forwarder.stop(Duration::ZERO).await;
    for _ in 0..3 {
        (0..10).for_each(|_| journal.append(&json!({ "event": "query" })));
        journal.rotate();
    }
    journal.append(&json!({ "event": "query" }));
    std::fs::remove_file(journal.beside("audit.000000000001.jsonl")).unwrap();
    std::fs::remove_file(journal.beside("audit.000000000012.jsonl")).unwrap();
    collector.start();
    let forwarder = forward(&section(&collector, "tcp"), &journal);
    until("the rest", || (collector.messages().len() >= 11).then_some(()));
    forwarder.stop(Duration::from_secs(2)).await;
    assert_eq!(collector.messages(), journal.lines()[21..]);
    let metrics = doorward::telemetry::metrics_text();
    for line in ["doorward_audit_forward_dropped_total 21", "doorward_audit_forward_lag_records 0"] {
        assert!(metrics.lines().any(|have| have == line), "{line}\n{metrics}");
    }
}
