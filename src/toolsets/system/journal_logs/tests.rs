//! What the fixture hosts' journals tell, filtered, bounded and without their secrets.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::Host;
use super::super::query::{ask, ask_within};
use super::*;
use crate::call::Progress;
use crate::exec;

fn asked(arguments: Value) -> Value {
    ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
}

fn count(answer: &Value) -> usize {
    answer["entries"].as_array().unwrap().len()
}

#[test]
fn a_unit_is_what_it_wrote_and_what_systemd_wrote_of_it_but_not_what_others_say_of_it() {
    let answer = asked(json!({"unit": "postgresql"}));
    let who: Vec<&Value> = answer["entries"].as_array().unwrap().iter().map(|entry| &entry["identifier"]).collect();
    assert_eq!(who, ["postgres", "systemd"]);
}

#[test]
fn a_unit_that_the_journal_does_not_know_is_refused_and_one_without_an_entry_that_fits_is_not() {
    let refused = |arguments: Value| {
        let failure = ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap_err();
        assert_eq!(failure.code(), Code::ToolFailed);
        failure.public().to_owned()
    };
    let text = refused(json!({"unit": "postgres"}));
    assert!(text.starts_with("there is no unit in the journal postgres.service; there are "), "{text}");
    assert!(text.contains("postgresql.service"), "{text}");
    let text = refused(json!({"identifier": "Postgres"}));
    assert!(text.contains(" postgres,") || text.ends_with(" postgres"), "{text}");
    assert_eq!(count(&asked(json!({"unit": "postgresql", "pattern": "there is no such text"}))), 0);
}

#[test]
fn caps_hold_and_what_they_take_is_said() {
    let mut limits = LimitsSection::default();
    limits.logs.max_lines = 2;
    let host = Host::fixture("debian-vm");
    let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
    assert_eq!(count(&answer), 2);
    assert!(answer["left_out"][0].as_str().unwrap().contains("there was enough"), "{answer}");
    let failure = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({"lines": 3})).unwrap_err();
    assert_eq!(failure.code(), Code::ArgumentsInvalid);
    limits.logs.max_lines = 100;
    limits.logs.max_age_hours = 1;
    let since = json!({"since": "2025-11-01T00:00:00Z"});
    let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), since).unwrap();
    assert_eq!(count(&answer), 0, "nothing is younger than an hour: {answer}");
    assert!(answer["left_out"][0].as_str().unwrap().contains("limits.logs.max_age_hours"), "{answer}");
    limits.logs.max_age_hours = 24;
    limits.logs.max_bytes_per_file = 8192;
    let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
    assert!(answer["left_out"].to_string().contains("limits.logs.max_bytes_per_file"), "{answer}");
}

#[test]
fn arguments_that_cannot_be_understood_are_refused() {
    for arguments in
        [json!({"since": "yesterday"}), json!({"pattern": "(", "regex": true}), json!({"boot": 1}), json!({"x": 1})]
    {
        let failure = ask::<Query>(&Host::fixture("debian-vm"), arguments.clone()).unwrap_err();
        assert_eq!(failure.code(), Code::ArgumentsInvalid, "{arguments}");
    }
    let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"boot": -9})).unwrap_err();
    assert_eq!(failure.code(), Code::ToolFailed);
}

/// What `program` writes; `None` without it, which must be allowed.
async fn said(argv: &[&str], cap: usize) -> Option<Vec<u8>> {
    if !Path::new(argv[0]).exists() {
        let names = std::env::var("DOORWARD_MAY_SKIP").unwrap_or_default();
        let name = Path::new(argv[0]).file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            names.split(' ').any(|one| one == name),
            "{name} is not there (DOORWARD_MAY_SKIP={name} leaves it out)"
        );
        return None;
    }
    let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
    // One of them writes a journal, more than a program may that is asked for facts.
    Some(exec::output_of_own(&argv, Duration::from_secs(60), cap).await.unwrap().expose().clone())
}

/// 6000 entries of three units, in the form that systemd-journal-remote takes.
fn export() -> String {
    let mut text = String::new();
    for n in 0..6000_u64 {
        let unit = ["a", "b", "rare"][if n % 1000 == 7 { 2 } else { usize::from(n % 2 == 0) }];
        let message = if n % 50 == 0 { format!("long {n} {}", "x ".repeat(700)) } else { format!("message {n}") };
        text += &format!(
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=5f0c1d2e3a4b4c5d8e9f001122334455\n\
             PRIORITY={}\n_SYSTEMD_UNIT={unit}.service\n_PID={}\nSYSLOG_IDENTIFIER={unit}\nMESSAGE={message}\n\n",
            n.saturating_mul(1000).saturating_add(1_762_240_000_000_000),
            n.saturating_mul(1000).saturating_add(1_000_000),
            n % 8,
            (n % 3).saturating_add(100),
        );
    }
    text
}

#[tokio::test]
async fn neither_a_filter_nor_the_cut_leaves_a_part_of_a_secret() {
    const LINE: &str = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVG";
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/log/journal/0123");
    std::fs::create_dir_all(&folder).unwrap();
    let start = u64::try_from(crate::clock::Clock::system().now().millis()).unwrap() - 200_000;
    let long = format!("{} dop_v1_{}", "y".repeat(4096 - 21), "a1b2c3d4".repeat(8));
    let mut messages = vec!["-----BEGIN PRIVATE KEY-----"];
    messages.extend([LINE; 100]);
    messages.extend(["-----END PRIVATE KEY-----", "password=Qz7kLm", &long]);
    let text: String = (0_u64..)
        .zip(&messages)
        .map(|(n, message)| {
            format!(
                "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=5f0c1d2e3a4b4c5d8e9f001122334455\n\
                 PRIORITY=6\nMESSAGE={message}\n\n",
                (start + n * 1000) * 1000,
                n * 1000 + 1,
            )
        })
        .collect();
    let (input, output) = (root.path().join("export"), folder.join("system.journal"));
    std::fs::write(&input, text).unwrap();
    let output = format!("--output={}", output.display());
    let remote = "/lib/systemd/systemd-journal-remote";
    if said(&[remote, &output, &input.to_string_lossy()], 1 << 16).await.is_none() {
        return;
    }
    let time = |n: u64| crate::clock::Timestamp::from_millis(i64::try_from(start + n * 1000).unwrap()).to_string();
    for (arguments, most) in [
        (json!({"pattern": "^[A-Za-z0-9+/=]{40,64}$", "regex": true}), 0),
        (json!({"pattern": "(?-i)password=Q", "regex": true}), 0),
        (json!({"since": time(20), "until": time(40), "lines": 1000}), 21),
        (json!({"until": time(50), "lines": 3}), 3),
        (json!({"lines": 10}), 10),
        (json!({"lines": 1000}), messages.len()),
    ] {
        let answer = ask::<Query>(&Host::folder(root.path()), arguments.clone()).unwrap();
        assert_eq!(count(&answer), most, "{arguments}");
        let text = answer.to_string();
        assert!(![LINE, "Qz7", "dop_"].iter().any(|secret| text.contains(secret)), "{arguments}: {text}");
    }
}

#[tokio::test]
async fn the_answers_are_those_of_journalctl() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/log/journal/0123");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["stat", "uptime"] {
        std::fs::create_dir_all(root.path().join("proc")).unwrap();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host/debian-vm/proc").join(file);
        std::fs::copy(from, root.path().join("proc").join(file)).unwrap();
    }
    let (input, journal) = (root.path().join("export"), folder.join("system.journal"));
    std::fs::write(&input, export()).unwrap();
    let output = format!("--output={}", journal.display());
    let remote = "/lib/systemd/systemd-journal-remote";
    if said(&[remote, &output, &input.to_string_lossy()], 1 << 16).await.is_none() {
        return;
    }
    let file = format!("--file={}", journal.display());
    for (options, arguments) in [
        (&["--lines=1000"][..], json!({"lines": 1000})),
        (&["--unit=rare.service"], json!({"unit": "rare", "lines": 1000})),
        (
            &["--unit=a.service", "--priority=err", "--lines=300"],
            json!({"unit": "a", "priority": "error", "lines": 300}),
        ),
        (&["--identifier=b", "--lines=7"], json!({"identifier": "b", "lines": 7})),
        (
            &["--since=2025-11-04 07:06:41 UTC", "--until=2025-11-04 07:06:42 UTC", "--priority=0..2"],
            json!({"since": "2025-11-04T07:06:41Z", "until": "2025-11-04T07:06:42Z", "priority": "critical", "lines": 1000}),
        ),
    ] {
        let mut argv = vec!["/usr/bin/journalctl", &file, "--output=json", "--no-pager", "--all"];
        argv.extend(options);
        let Some(bytes) = said(&argv, 64 << 20).await else { return };
        let theirs: Vec<(u64, String, String)> = String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| {
                let entry: Value = serde_json::from_str(line).unwrap();
                let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                (text("__REALTIME_TIMESTAMP").parse::<u64>().unwrap() / 1000, text("_SYSTEMD_UNIT"), text("MESSAGE"))
            })
            .collect();
        assert!(!theirs.is_empty(), "{options:?}");
        let answer = ask::<Query>(&Host::folder(root.path()), arguments).unwrap();
        let ours: Vec<(u64, String, String)> = answer["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                let time = super::super::log_time::rfc3339(&text("time")).unwrap();
                (u64::try_from(time.millis()).unwrap(), text("unit"), text("message"))
            })
            .collect();
        assert_eq!(ours, theirs, "{options:?}");
    }
}
