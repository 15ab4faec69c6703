//! What the way out costs on one core, in bytes of the answer's text: redaction, and what cannot be seen written out.
//! `cargo bench --bench guard`, and with `-- --quick` in a minute.

use std::error::Error;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use doorward::guard::{Caps, Guard, LimitsSection, RedactionSection, Redactor};
use serde_json::{Value, json};

/// Bytes of text, about as many as an answer may have.
const SIZE: usize = 1 << 20;

/// What daemons write all day.
const CLEAN: [&str; 7] = [
    "systemd[1]: Started session-12.scope - Session 12 of User alice.",
    "kernel: [ 1234.567890] eth0: link up, 1000 Mbps, full duplex",
    "sshd[1234]: Accepted publickey for alice from 10.0.0.7 port 50022 ssh2: ED25519 SHA256:n4bQgYhMfWWaL+qgxVrQFaO/Txsr",
    "nginx: 10.0.0.3 - - [20/Nov/2026:10:00:00 +0000] \"GET /index.html HTTP/1.1\" 200 612 \"-\" \"Mozilla/5.0\"",
    "postgres[77]: LOG:  checkpoint complete: wrote 123 buffers (0.7%); 0 WAL file(s) added, 0 removed, 1 recycled",
    "CRON[4321]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)",
    "dockerd[99]: time=\"2026-11-20T10:00:00Z\" level=info msg=\"ignoring event\" container=4f5e6a7b8c9d module=libcontainerd",
];

/// What must not leave.
const DIRTY: [&str; 4] = [
    concat!("app[7]: connecting to post", "gres://app:Tr0ub4dor@db1/app"),
    "app[7]: retry with password=Tr0ub4dor3 user=app",
    "app[7]: < Authorization: Bearer abcdefghijklmnop0123",
    concat!("app[7]: AK", "IAQ3EGR7ZPLM2TNXWB was used"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let limits = LimitsSection {
        max_output_bytes: SIZE.saturating_mul(8),
        max_output_lines: SIZE,
        max_array_items: SIZE,
        ..LimitsSection::default()
    };
    let guard = Guard::new(Redactor::new(&RedactionSection::default())?, Caps::new(&limits));
    let entries = |lines: &[String]| {
        let entry = |line: &String| json!({"time": "2026-11-20T10:00:00.123456Z", "unit": "nginx.service", "priority": 6, "message": line});
        json!({ "entries": lines.iter().map(entry).collect::<Vec<_>>() })
    };
    let mut group = criterion.benchmark_group("guard");
    for (name, every) in [("clean", usize::MAX), ("every 100th line dirty", 100), ("every line dirty", 1)] {
        let lines = log(every);
        let mut shapes = vec![("text", json!({ "text": lines.join("\n") })), ("entries", entries(&lines))];
        if every == usize::MAX {
            shapes.push(("list", processes()));
        }
        for (shape, value) in shapes {
            let bytes = serde_json::to_string(&value)?.len();
            group.throughput(Throughput::BytesDecimal(u64::try_from(bytes)?));
            group.bench_function(format!("redact {name}, {shape}"), |bencher| {
                let run = |value: Value| black_box(guard.redact_params(value));
                bencher.iter_batched(|| value.clone(), run, BatchSize::LargeInput);
            });
        }
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// What runs on a host: short texts, numbers and yes or no.
fn processes() -> Value {
    let commands =
        ["/usr/sbin/sshd -D", "/usr/lib/systemd/systemd --user", "nginx: worker process", "[kworker/0:1-events]"];
    let mut length: usize = 0;
    let (mut list, mut commands) = (Vec::new(), commands.iter().cycle());
    while length < SIZE {
        let (number, command) = (list.len(), commands.next().unwrap_or(&""));
        let process = json!({
            "pid": number, "parent": 1, "name": command.split(' ').next(), "command": command, "state": "sleeping",
            "user": "www-data", "uid": 33, "threads": 4, "memory_bytes": number.wrapping_add(12_345_678), "cpu_seconds": 12.5,
            "started": "2026-11-20T10:00:00Z", "kernel": false,
        });
        length = length.saturating_add(process.to_string().len());
        list.push(process);
    }
    json!({ "processes": list, "total": 4711 })
}

/// A log in which every so many lines have a secret.
fn log(every: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut length: usize = 0;
    let (mut clean, mut dirty) = (CLEAN.iter().cycle(), DIRTY.iter().cycle());
    while length < SIZE {
        let number = lines.len();
        let message = if number.is_multiple_of(every) && number > 0 { dirty.next() } else { clean.next() };
        let (minute, second) = ((number / 60) % 60, number % 60);
        let line = format!("Nov 20 10:{minute:02}:{second:02} web01 {}", message.unwrap_or(&""));
        length = length.saturating_add(line.len());
        lines.push(line);
    }
    lines
}
