//! The audit journal on this machine's disk: records and syncs per second, and how long a sender waits, with 1, 64 and 1024
//! senders. Given a directory it writes there, else below the target directory. The baseline of each row is the same number
//! of bytes appended by one plain `write` for each record.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "a measurement prints what it measured by the clock on the wall"
)]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward::audit::{AuditSection, Durability, Journal, Sink as _};
use doorward::clock::Clock;
use doorward::error::Failure;
use doorward::telemetry;

/// A decision record as a door writes it, without its place in the chain.
const RECORD: &str = r#"{"v":1,"ts":"2026-11-20T10:00:00.000Z","event":"query","stage":"decision","id":"0d9c2f6a51b34c0a9b7e2d84c1f05a63","query":"get_processes","params":{"limit":20,"name":"www-data"},"client":{"transport":"https","ip":"192.0.2.7","subject":"CN=agent-gateway,O=Example","certificate":"5f1d0f4d8c3e2b7a"},"user":"alice@example.com","agent":["coding-bot"],"scopes":["core"],"resource":"Host::\"web01\"","decision":"permit","result":"permitted","policy":{"by":["scope:core"],"set":"1a2b3c4d5e6f7081"},"config":"0b6d4be5ee5adbba"}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let time = Duration::from_millis(if quick { 700 } else { 5000 });
    let root = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let root = root.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/target").to_owned());
    println!("records of {} bytes in {root}, {} s each", RECORD.len(), time.as_secs_f32());
    let plain = plain(Path::new(&root), time)?;
    println!("{:<22} {plain:>10.0} records/s  (one thread, one write a record, nothing else)", "baseline: write");
    println!(
        "{:<22} {:>10} {:>9} {:>12} {:>10} {:>10}  of baseline",
        "journal", "records/s", "syncs/s", "records/sync", "p50", "p99"
    );
    for durability in [Durability::Buffered, Durability::Fsync] {
        for senders in [1, 64, 1024] {
            let home = tempfile::tempdir_in(&root)?;
            let row = measure(home.path(), durability, senders, time)?;
            let name = format!("{} x{senders}", if durability == Durability::Fsync { "fsync" } else { "buffered" });
            println!(
                "{name:<22} {:>10.0} {:>9.0} {:>12.1} {:>10.1?} {:>10.1?}  {:.2}",
                row.records,
                row.syncs,
                if row.syncs > 0.0 { row.records / row.syncs } else { 0.0 },
                row.p50,
                row.p99,
                row.records / plain
            );
        }
    }
    Ok(())
}

struct Row {
    records: f64,
    syncs: f64,
    p50: Duration,
    p99: Duration,
}

fn plain(root: &Path, time: Duration) -> std::io::Result<f64> {
    let home = tempfile::tempdir_in(root)?;
    let mut file = File::create(home.path().join("plain"))?;
    let line = format!("{RECORD}\n");
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < time {
        for _ in 0..100 {
            file.write_all(line.as_bytes())?;
        }
        count += 100;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn measure(
    home: &Path,
    durability: Durability,
    senders: usize,
    time: Duration,
) -> Result<Row, Box<dyn std::error::Error>> {
    let section =
        AuditSection { path: home.join("audit.jsonl"), durability, max_size_mb: 100_000, ..AuditSection::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let journal = Journal::open(&section, Clock::system())?;
        let syncs = synced();
        let begin = Instant::now();
        let tasks: Vec<_> = (0..senders)
            .map(|_| {
                let journal = Arc::clone(&journal);
                tokio::spawn(async move {
                    let mut waits = Vec::new();
                    while begin.elapsed() < time {
                        let sent = Instant::now();
                        journal.keep(RECORD.as_bytes().to_vec(), true).await?;
                        waits.push(sent.elapsed());
                    }
                    Ok::<_, Failure>(waits)
                })
            })
            .collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await??);
        }
        let seconds = begin.elapsed().as_secs_f64();
        let syncs = synced() - syncs;
        waits.sort_unstable();
        let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default();
        Ok(Row { records: waits.len() as f64 / seconds, syncs: syncs / seconds, p50: at(50), p99: at(99) })
    })
}

fn synced() -> f64 {
    let text = telemetry::metrics_text();
    let line = text.lines().find_map(|line| line.strip_prefix("doorward_audit_syncs_total "));
    line.and_then(|number| number.parse().ok()).unwrap_or_default()
}
