//! The journal under kill -9, rotation, compression and a full disk: what was acknowledged is there, in one chain, and the
//! next start says what happened. `scripts/torture-audit` does the same for longer.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use doorward::audit::chain::{Hash, Head, Link};
use doorward::audit::layout::Layout;
use doorward::audit::lines::Lines;
use doorward::audit::{AuditSection, Journal, Sink as _};
use doorward::clock::Clock;
use doorward::pki::PublicKey;
use doorward::secret::random;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::premises::{self, Premises};
use crate::world::program::{Running, command, finish};
use crate::world::wire;

const HOME: &str = "DOORWARD_TORTURE_HOME";
const SOON: Duration = Duration::from_secs(60);

/// How often; more when the script asks.
fn rounds(few: usize) -> usize {
    std::env::var("DOORWARD_TORTURE_ROUNDS").ok().map_or(few, |text| text.parse().unwrap())
}

fn between(low: u64, high: u64) -> Duration {
    Duration::from_millis(low + u64::from_le_bytes(random().unwrap()) % (high - low))
}

/// All records of a journal, which must be one chain from its first record on, with every checkpoint's signature good.
fn whole(path: &Path) -> Vec<Value> {
    let layout = Layout::of(path);
    let key = PublicKey::from_pem(&fs::read(layout.beside("pub")).unwrap()).unwrap();
    let (mut head, mut records, mut checkpoints) = (Head::START, Vec::new(), 0);
    for segment in layout.segments().unwrap() {
        for line in Lines::open(&segment.path).unwrap() {
            let line = line.unwrap_or_else(|error| panic!("{}: {error}", segment.path.display()));
            let text = String::from_utf8_lossy(&line.bytes).into_owned();
            let link = Link::of(&line.bytes).unwrap_or_else(|| panic!("{}: {text}", segment.path.display()));
            assert!(line.whole && link.follows(head), "{} after {}: {text}", segment.path.display(), head.seq);
            head = Head { seq: link.seq, hash: Hash::of(&line.bytes) };
            let record: Value = serde_json::from_slice(&line.bytes).unwrap();
            if record["event"] == "checkpoint" {
                let checkpoint = doorward::audit::checkpoint::Checkpoint::parse(&line.bytes).unwrap();
                assert!(checkpoint.is_signed_by(&key) && checkpoint.covers + 1 == link.seq, "{text}");
                checkpoints += 1;
            }
            records.push(record);
        }
    }
    assert!(checkpoints > 0, "there is no checkpoint");
    records
}

fn count(records: &[Value], event: &str) -> usize {
    records.iter().filter(|record| record["event"] == event).count()
}

/// Not a test: what the next one starts and kills. It writes as fast as it can and says what was acknowledged.
#[test]
#[ignore = "a process of its own for the test below"]
fn writer() {
    let home = std::env::var(HOME).unwrap();
    let section = AuditSection {
        path: Path::new(&home).join("audit.jsonl"),
        max_size_mb: 1,
        max_files: 1_000_000,
        ..AuditSection::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Journal::open(&section, Clock::system()).unwrap();
        let begin = u64::from_le_bytes(random().unwrap()) >> 12;
        let next = Arc::new(AtomicU64::new(begin));
        let tasks = (0..6).map(|task| {
            let (journal, next) = (Arc::clone(&journal), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let pad = "p".repeat(usize::try_from(number % 3000).unwrap());
                    let line = format!("{{\"v\":1,\"event\":\"query\",\"n\":{number},\"pad\":\"{pad}\"}}");
                    journal.keep(line.into_bytes(), task % 2 == 0).await.unwrap();
                    std::io::stdout().write_all(format!("\nack {number}\n").as_bytes()).unwrap();
                }
            })
        });
        futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
    });
}

#[test]
fn a_journal_killed_at_any_moment_keeps_what_it_acknowledged() {
    let rounds = rounds(20);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut acknowledged = HashSet::new();
    for round in 0..rounds {
        let mut child = command(std::env::current_exe().unwrap(), home.path());
        child.args(["--exact", "torture::writer", "--ignored", "--nocapture"]).env(HOME, home.path());
        let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let (first, begun) = std::sync::mpsc::channel();
        let reading = thread::spawn(move || {
            let mut numbers = Vec::new();
            for line in said.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("ack ") {
                    numbers.push(number.parse::<u64>().unwrap());
                    let _ = first.send(());
                }
            }
            numbers
        });
        if begun.recv_timeout(SOON).is_err() {
            let _ = child.kill();
            panic!("round {round}: {}", String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr));
        }
        thread::sleep(between(0, 150));
        child.kill().unwrap();
        child.wait().unwrap();
        let numbers = reading.join().unwrap();
        // A line that was cut short by the kill may be a number's beginning; the last one is not trusted.
        acknowledged.extend(numbers.iter().take(numbers.len().saturating_sub(1)));
    }
    let section = AuditSection { path: path.clone(), max_files: 1_000_000, ..AuditSection::default() };
    drop(Journal::open(&section, Clock::system()).unwrap());
    let records = whole(&path);
    let there: HashSet<u64> = records.iter().filter_map(|record| record["n"].as_u64()).collect();
    let missing: Vec<_> = acknowledged.difference(&there).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), acknowledged.len());
    assert_eq!(count(&records, "unclean_stop"), rounds);
    let names: Vec<String> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".jsonl"))
        .collect();
    assert!(names.len() > 2, "nothing was rotated: {names:?}");
    eprintln!("{rounds} rounds, {} acknowledged, {} records, {} files", acknowledged.len(), records.len(), names.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_at_any_moment_has_recorded_every_call_it_answered() {
    let rounds = rounds(3);
    let premises = Premises::new();
    premises.configure("  max_size_mb: 1\n  max_files: 1000\nresources: {max_concurrent_queries: 64}");
    let answered = Mutex::new(Vec::new());
    for round in 0..rounds {
        let (running, port) = premises.serve();
        let begun = answered.lock().unwrap().len();
        let clients = (0..8).map(|name| call_until_it_breaks(&premises, port, format!("u{round}-{name}"), &answered));
        let killing = async {
            while answered.lock().unwrap().len() == begun {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(between(1, 400)).await;
            running.signal(Signal::KILL);
        };
        let both = async { tokio::join!(futures_util::future::join_all(clients), killing) };
        tokio::time::timeout(2 * SOON, both).await.unwrap();
        running.end(SOON);
    }
    let (running, _) = premises.serve();
    running.signal(Signal::TERM);
    assert_eq!(running.end(SOON).status, 0);
    let records = whole(&premises.path("audit.jsonl"));
    let outcomes: HashSet<&str> = records
        .iter()
        .filter(|record| record["stage"] == "outcome" && record["result"] == "success")
        .filter_map(|record| record["user"].as_str())
        .collect();
    let answered = answered.into_inner().unwrap();
    let missing: Vec<_> = answered.iter().filter(|user| !outcomes.contains(user.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!((count(&records, "unclean_stop"), count(&records, "start")), (rounds, rounds + 1));
    assert_eq!(records.last().unwrap()["checkpoint"]["cause"], "stop");
    eprintln!("{rounds} rounds, {} calls answered, {} records", answered.len(), records.len());
}

async fn call_until_it_breaks(premises: &Premises, port: u16, name: String, answered: &Mutex<Vec<String>>) {
    let Ok(mut stream) = wire::connect(premises.root(), port, Some("client")).await else { return };
    for number in 0.. {
        let user = format!("{name}-{number}");
        let post = wire::post(port, &premises.token(&user), &wire::call("get_uptime", json!({})));
        let Ok(answer) = wire::exchange(&mut stream, &post).await else { return };
        assert_eq!(answer.status, 200, "{answer:?}");
        answered.lock().unwrap().push(user);
    }
}

/// In a mount namespace of its own, so that nothing is left behind however this ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_calls_loses_nothing_and_needs_no_restart() {
    let premises = Premises::new();
    fs::create_dir(premises.path("log")).unwrap();
    premises.configure("  durability: fsync");
    let config = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    fs::write(premises.path("doorward.yaml"), config.replace("path: audit.jsonl", "path: log/audit.jsonl")).unwrap();
    let script = "mount -t tmpfs -o size=256k tmpfs log && exec doorward serve --config doorward.yaml";
    let mut probe = command("unshare", premises.root());
    probe.args(["--mount", "--map-root-user", "bash", "-c", "mount -t tmpfs tmpfs log"]);
    assert_eq!(finish(probe, "").status, 0, "this test needs user namespaces, or root");
    let mut command = command("unshare", premises.root());
    command.args(["--mount", "--map-root-user", "bash", "-c", script]);
    let mut running = Running::start(command);
    let port = running.until(|running| premises::port(&running.stderr(), "address="));
    let probes = running.until(|running| premises::port(&running.stderr(), "probes="));
    let disk = format!("/proc/{}/root/{}/log", running.id(), premises.root().display());
    let mut answered = Vec::new();
    let call = async |user: String| {
        let mut stream = wire::connect(premises.root(), port, Some("client")).await.unwrap();
        let post = wire::post(port, &premises.token(&user), &wire::call("get_uptime", json!({})));
        wire::exchange(&mut stream, &post).await.unwrap()
    };
    let ready = async || {
        let asking = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", probes)).unwrap();
            stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        asking.await.unwrap()
    };

    answered.push("before".to_owned());
    assert_eq!(call("before".to_owned()).await.status, 200);
    let filler = fs::OpenOptions::new().create(true).append(true).open(format!("{disk}/filler")).unwrap();
    while (&filler).write(&[0; 512]).is_ok_and(|count| count > 0) {}
    let mut refused = None;
    for number in 0..2000 {
        let user = format!("during-{number}");
        let answer = call(user.clone()).await;
        match answer.status {
            200 => answered.push(user),
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    let refused = refused.expect("the disk never became full");
    assert_eq!((refused.status, refused.reason().as_deref()), (503, Some("audit_unavailable")), "{refused:?}");
    assert!(ready().await.contains("audit"), "{}", ready().await);
    assert_eq!(call("still".to_owned()).await.status, 503);
    fs::remove_file(format!("{disk}/filler")).unwrap();
    drop(filler);
    running.until(|running| running.stderr().contains("can be written again").then_some(()));
    answered.push("after".to_owned());
    assert_eq!(call("after".to_owned()).await.status, 200);
    assert!(ready().await.starts_with("HTTP/1.1 200"), "{}", ready().await);

    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&disk).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let text = fs::read_to_string(copy.path().join("audit.jsonl")).unwrap();
    // A checkpoint may be a minute away; without one the chain alone is looked at.
    let mut head = Head::START;
    let mut records: Vec<Value> = Vec::new();
    for line in text.lines() {
        assert!(Link::of(line.as_bytes()).unwrap().follows(head), "{line}");
        head = Head { seq: head.seq + 1, hash: Hash::of(line.as_bytes()) };
        records.push(serde_json::from_str(line).unwrap());
    }
    for user in &answered {
        let done = |record: &&Value| record["user"] == **user && record["stage"] == "outcome";
        assert_eq!(records.iter().filter(done).count(), 1, "{user}");
    }
    let gap = records.iter().find(|record| record["event"] == "audit_gap").expect("no gap is told");
    assert!(gap["detail"].as_str().unwrap().contains("No space left on device"), "{gap}");
    assert_eq!(gap.get("count"), None, "records are missing: {gap}");
    assert!(records.iter().any(|record| record["user"] == "still"), "what was refused is recorded late, not never");
}
