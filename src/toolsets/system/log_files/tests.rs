//! Text logs: rotated, packed, hostile, and redacted before anything is looked for in them.

use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::super::budget::Allowance;
use super::super::query::ask_within;
use super::super::syslog::Query as Syslog;
use super::*;
use crate::admission::ResourcesSection;
use crate::call::{Impact, Progress};
use crate::clock::Clock;
use crate::guard::LimitsSection;

#[test]
fn rotated_forms_are_told_from_other_logs() {
    for rest in [".1", ".2.gz", "-20251103", "-20251103.zst", ".10.xz", "-2025-11-03"] {
        assert!(Age::of(rest).is_some(), "{rest}");
    }
    for rest in ["", ".gz", ".old", "-debug", ".1.bak", "ng", ".", "-", ".99999999999999999999999"] {
        assert!(Age::of(rest).is_none(), "{rest}");
    }
}

#[test]
fn the_newest_form_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("var/log");
    std::fs::create_dir_all(&log).unwrap();
    let names = ["syslog", "syslog.1", "syslog.2.gz", "syslog.10.gz", "syslog-20251103", "syslog-20251102.zst"];
    for name in names.iter().chain(&["syslog.conf"]) {
        std::fs::write(log.join(name), "").unwrap();
    }
    let host = Host::folder(folder.path());
    assert_eq!(rotated(&host, "var/log/syslog"), names.map(|name| format!("var/log/{name}")));
}

#[test]
fn of_a_log_larger_than_its_memory_a_query_reads_the_end_whatever_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("var/log")).unwrap();
    let now = Clock::system().now();
    let mut lines = Vec::new();
    for number in 0..40_000 {
        lines.extend(format!("{now} host program: {number} ").bytes().chain([0xff; 40]).chain([b'\n']));
    }
    let packed = File::create(folder.path().join("var/log/syslog.1.gz")).unwrap();
    let mut packed = GzEncoder::new(packed, Compression::fast());
    packed.write_all(&lines[..1 << 20]).unwrap();
    packed.finish().unwrap();
    std::fs::write(folder.path().join("var/log/syslog"), lines).unwrap();
    let host = Host::folder(folder.path());
    let section = ResourcesSection { query_memory_mb: 1, ..ResourcesSection::default() };
    let allowance = Allowance::of(Impact::Medium, &section);
    let read = |arguments: serde_json::Value| {
        budget::within(allowance, &Arc::default(), || super::super::query::ask::<Syslog>(&host, arguments))
    };
    let answer = read(json!({"lines": 1000})).unwrap();
    let entries = answer["entries"].as_array().unwrap();
    assert!(entries.len() == 1000 && entries[999]["message"].as_str().unwrap().starts_with("39999 "), "{answer}");
    let answer = read(json!({"pattern": " 0 "})).unwrap();
    assert_eq!(answer["entries"], json!([]));
    assert_eq!(answer["files"], json!(["/var/log/syslog", "/var/log/syslog.1.gz"]));
    let said = answer["left_out"].to_string();
    assert!(said.contains(" bytes of /var/log/syslog were read (resources.query_memory_mb)"), "{said}");
}

/// Invented; each of the form of a line of a key.
const KEY: [&str; 3] = [
    "MIIQvQaaADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
    "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVG",
    "cXV1eHF1dXhxdXV4cXV1eHF1dXhxdXV4cXV1eHF1dXhxdXV4cXV1eHF1dXhxdXV4",
];

fn syslog(lines: &[String], limits: &LimitsSection, arguments: serde_json::Value) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("var/log")).unwrap();
    std::fs::write(folder.path().join("var/log/syslog"), lines.join("\n") + "\n").unwrap();
    let host = Host::folder(folder.path());
    ask_within::<Syslog>(&host, limits, &Progress::unheard(), arguments).unwrap()
}

fn key() -> Vec<String> {
    let marker = |word: &str| format!("-----{word} RSA PRIVATE KEY-----");
    let mut lines = vec![marker("BEGIN")];
    lines.extend(KEY.map(str::to_owned));
    lines.push(marker("END"));
    lines
}

#[test]
fn no_filter_leaves_a_part_of_a_key_or_of_a_netrc() {
    let start = Clock::system().now();
    let at = |second: u64| Timestamp::from_millis(start.millis() - 60_000 + i64::try_from(second).unwrap() * 1000);
    let limits = LimitsSection::default();
    let bare = key();
    let logged: Vec<String> =
        (0..).zip(key()).map(|(second, line)| format!("{} host app[1]: {line}", at(second))).collect();
    for (lines, arguments) in [
        (&bare, json!({"pattern": "^[A-Za-z0-9+/=]{40,64}$", "regex": true})),
        (&bare, json!({"lines": 2})),
        (&logged, json!({"pattern": ": [A-Za-z0-9+/]{64}$", "regex": true})),
        (&logged, json!({"pattern": "app"})),
        (&logged, json!({"since": at(1).to_string(), "until": at(3).to_string()})),
        (&logged, json!({"since": at(2).to_string()})),
        (&logged, json!({"until": at(2).to_string(), "lines": 1})),
    ] {
        let answer = syslog(lines, &limits, arguments.clone()).to_string();
        assert!(!KEY.iter().any(|line| answer.contains(line)), "{arguments}: {answer}");
    }
    let netrc = ["machine api.example.com", "login bob", "password Vq3LmWz8"].map(str::to_owned);
    let answer = syslog(&netrc, &limits, json!({"pattern": "password"}));
    assert_eq!(answer["entries"], json!([{"message": "password [REDACTED]"}]));
}

#[test]
fn a_rule_about_the_beginning_of_messages_is_asked_before_any_filter() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("var/log")).unwrap();
    let now = Clock::system().now();
    std::fs::write(folder.path().join("var/log/syslog"), format!("{now} host app[1]: pin 4711 was used\n")).unwrap();
    let pattern = crate::guard::Pattern {
        name: "pin".to_owned(),
        pattern: r"^pin \d+".to_owned(),
        replacement: "[PIN]".to_owned(),
    };
    let section = crate::guard::RedactionSection { patterns: vec![pattern], ..Default::default() };
    let host = Host::folder(folder.path()).redacting(&Arc::new(crate::guard::Redactor::new(&section).unwrap()));
    let ask = |pattern: &str| {
        let arguments = json!({"pattern": pattern, "regex": true});
        super::super::query::ask::<Syslog>(&host, arguments).unwrap()["entries"].clone()
    };
    assert_eq!(ask("pin 47"), json!([]));
    assert_eq!(ask("4711"), json!([]));
    assert_eq!(ask("was used")[0]["message"], "[PIN] was used");
}

#[test]
fn a_key_that_begins_before_the_bytes_that_are_read_is_known() {
    let mut lines = key();
    lines.pop();
    lines.extend(["after".to_owned(), "x".repeat(200)]);
    let mut limits = LimitsSection::default();
    for most in [210, 240, 300, 340] {
        limits.logs.max_bytes_per_file = most;
        let answer = syslog(&lines, &limits, json!({})).to_string();
        assert!(!KEY.iter().any(|line| answer.contains(line)), "{most}: {answer}");
        assert!(answer.contains("xxx") && answer.contains("max_bytes_per_file"), "{most}: {answer}");
    }
}

#[test]
fn no_pattern_tells_how_a_secret_goes_on() {
    let lines = [format!("{} host app[1]: connecting with password=Qz7kLm", Clock::system().now())];
    let fits = |pattern: &str| {
        let arguments = json!({"pattern": pattern, "regex": true});
        let answer = syslog(&lines, &LimitsSection::default(), arguments);
        answer["entries"].as_array().unwrap().len()
    };
    for pattern in ["(?-i)password=Q", "password=(Q|\\[)z", "Qz7kLm", "password=\\w"] {
        assert_eq!(fits(pattern), 0, "{pattern}");
    }
    assert_eq!((fits("connecting with password="), fits("password=\\[REDACTED")), (1, 1));
}

#[test]
fn a_secret_goes_before_a_line_is_cut() {
    let secret = format!("dop_v1_{}", "a1b2c3d4".repeat(8));
    for arguments in [json!({}), json!({"pattern": "yyy"})] {
        for keep in [1, 20, 70] {
            let line = format!("{} {secret}", "y".repeat(4096 - keep - 1));
            let answer = syslog(&[line], &LimitsSection::default(), arguments.clone()).to_string();
            assert!(answer.contains("yyy") && !answer.contains("dop_") && !answer.contains(" d"), "{keep}: {answer}");
        }
    }
}

/// A file is looked at, and before it is read it is another: longer, shorter, empty, or no more there.
#[test]
fn a_log_that_changes_between_the_look_and_the_read_is_read_as_it_is_then() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("var/log")).unwrap();
    let path = folder.path().join("var/log/syslog");
    let now = Clock::system().now();
    let lines = |from: usize, to: usize| (from..to).map(|n| format!("{now} host program: {n}\n")).collect::<String>();
    let host = Host::folder(folder.path());
    let limits = LimitsSection::default();
    struct Whole;
    impl Format for Whole {
        type Entry = String;
        const FIELD: &'static str = "entries.message";
        fn time(&self, line: &str) -> Option<Timestamp> {
            crate::toolsets::system::log_time::rfc3339(line.split(' ').next()?)
        }
        fn entry(&self, line: &str) -> Option<String> {
            line.rsplit(' ').next().map(str::to_owned)
        }
    }
    let while_it = |change: &dyn Fn()| {
        std::fs::write(&path, lines(0, 100)).unwrap();
        let taken = crate::call::Taken::default();
        let ask = Ask { host: &host, limits: &limits, progress: &Progress::unheard(), taken: &taken };
        let wanted = Wanted::new(&ask, &super::super::log_filter::Asked { lines: 1000, ..Default::default() }).unwrap();
        let open = |path: &str| {
            let opened = host.file(path)?;
            change();
            Ok(opened)
        };
        let log = Log { open: &open, files: vec!["var/log/syslog".to_owned()] };
        let found = read(&ask, &log, &wanted, &Whole).unwrap();
        let numbers: Vec<usize> = found.entries.iter().map(|entry| entry.parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
        numbers
    };
    let size = |bytes: u64| File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    assert_eq!(while_it(&|| {}).len(), 100);
    let grown = || {
        io::Write::write_all(&mut File::options().append(true).open(&path).unwrap(), lines(100, 200).as_bytes())
            .unwrap()
    };
    assert!((100..=200).contains(&while_it(&grown).len()), "none that was there is lost");
    let line = u64::try_from(lines(0, 1).len()).unwrap();
    assert_eq!(while_it(&|| size(line * 7)), (0..7).collect::<Vec<_>>());
    assert!(while_it(&|| size(0)).is_empty());
    let replaced = || {
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, lines(500, 510)).unwrap();
    };
    assert_eq!(while_it(&replaced).len(), 100, "what was opened is read, though another has its name");
}
