//! What the host queries say of logs, logins and units is what the system's own programs say of the same files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::world::program::{DOORWARD, command, finish, there_is};
use crate::world::talk;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixture(path: &str) -> PathBuf {
    root().join("tests/fixtures/host").join(path)
}

/// What a fixture host answers, as the library's own test keeps it.
fn golden(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("tests/golden/host").join(path)).unwrap()).unwrap()
}

/// What a program of the system writes, in UTC.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("TZ", "UTC").env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What this machine answers over stdio.
fn asked(tool: &str, arguments: &Value) -> Value {
    let home = tempfile::tempdir().unwrap();
    let config = "transport: stdio\nqueries: {sensitive: {enabled: true, allow: [get_auth_logs, get_event_log]}}\n\
                  limits: {logs: {max_age_hours: 1000000}}\nsandbox: {capabilities: [CAP_SYSLOG]}\n";
    fs::write(home.path().join("doorward.yaml"), config).unwrap();
    let mut run = command(DOORWARD, home.path());
    run.args(["serve", "--config", "doorward.yaml"]);
    let ended = finish(run, &talk::legacy(tool, arguments));
    let answers = ended.messages();
    let answer = answers.iter().find(|answer| answer["id"] == 3).unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    answer["result"]["structuredContent"].clone()
}

fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or_default()
}

#[test]
fn the_journal_of_a_fixture_is_what_journalctl_reads() {
    if !there_is("journalctl", "get_journal_logs") {
        return;
    }
    for (case, file) in [
        ("debian-vm", "1d2e3f405162738495a6b7c8d9eafb0c/system.journal"),
        ("rpi-arm", "00aabbccddeeff001122334455667788/system.journal"),
    ] {
        let file = format!("--file={}", fixture(&format!("{case}/var/log/journal/{file}")).display());
        let theirs = said("journalctl", &[&file, "--output=json", "--all", "--no-pager"]);
        let theirs: Vec<Value> = theirs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let answer = golden(&format!("{case}/journal.json"));
        let ours = answer["entries"].as_array().unwrap();
        assert!(ours.len() >= 3 && ours.len() == theirs.len(), "{case}: {} and {}", ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let message = text(theirs, "MESSAGE");
            assert!(message.starts_with(text(ours, "message")), "{ours}\n{theirs}");
            assert_eq!(ours.get("truncated").is_some(), message.len() > text(ours, "message").len(), "{ours}");
            assert_eq!(text(ours, "boot_id"), text(theirs, "_BOOT_ID"));
            assert_eq!(ours["pid"].to_string(), text(theirs, "_PID"));
            assert_eq!(text(ours, "identifier"), text(theirs, "SYSLOG_IDENTIFIER"));
        }
    }
}

#[test]
fn the_logins_of_a_fixture_are_what_last_reads() {
    if !there_is("last", "get_auth_logs") {
        return;
    }
    let file = fixture("debian-vm/var/log/wtmp");
    let theirs = said("last", &["--time-format", "iso", "-f", &file.to_string_lossy()]);
    let answer = golden("debian-vm/auth-logins.json");
    let logins: Vec<&Value> =
        answer["events"].as_array().unwrap().iter().rev().filter(|event| event["kind"] == "login").collect();
    let lines: Vec<Vec<&str>> = theirs
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() > 3 && !["reboot", "wtmp"].contains(&words[0]))
        .collect();
    assert_eq!((lines.len(), logins.len()), (2, 2), "{theirs}");
    for (words, login) in lines.iter().zip(logins) {
        assert_eq!(words[..3], [text(login, "user"), text(login, "tty"), text(login, "address")], "{theirs}");
        assert_eq!(words[3][..19], text(login, "time")[..19], "{theirs}");
        assert_eq!(words.contains(&"-"), login.get("ended").is_some() || theirs.contains("gone - no logout"));
    }
    let file = fixture("debian-vm/var/log/btmp");
    let theirs = said("last", &["--time-format", "iso", "-f", &file.to_string_lossy()]);
    for event in golden("debian-vm/auth-failed-logins.json")["events"].as_array().unwrap() {
        let line =
            theirs.lines().find(|line| line.starts_with(text(event, "user"))).unwrap_or_else(|| panic!("{theirs}"));
        assert!(line.contains(text(event, "address")) && line.contains(&text(event, "time")[..19]), "{line}\n{event}");
    }
}

fn enablement(units: &Value) -> BTreeMap<String, String> {
    let units = units.as_array().unwrap().iter().filter(|unit| unit.get("file").is_some());
    units.map(|unit| (text(unit, "name").to_owned(), text(unit, "enablement").replace('_', "-"))).collect()
}

fn enablement_by_systemctl(folder: &Path) -> BTreeMap<String, String> {
    let folder = format!("--root={}", folder.display());
    let units: Vec<Value> =
        serde_json::from_str(&said("systemctl", &[&folder, "list-unit-files", "--output=json", "--no-pager"])).unwrap();
    units.iter().map(|unit| (text(unit, "unit_file").to_owned(), text(unit, "state").to_owned())).collect()
}

#[test]
fn units_are_enabled_where_systemctl_says_so() {
    if !there_is("systemctl", "get_systemd_units") {
        return;
    }
    let ours = enablement(&golden("debian-vm/units.json")["units"]);
    assert_eq!(ours, enablement_by_systemctl(&fixture("debian-vm")));
    assert!(ours.len() > 10);
    // This machine: systemd may run or not, and its files are there all the same.
    let answer = asked("get_systemd_units", &json!({ "limit": 1000 }));
    assert_eq!((&answer["not_shown"], &answer["left_out"]), (&json!([]), &json!(0)), "{answer}");
    let (ours, theirs) = (enablement(&answer["units"]), enablement_by_systemctl(Path::new("/")));
    let differ: Vec<_> = theirs.iter().filter(|(name, state)| ours.get(*name) != Some(state)).collect();
    assert!(
        differ.is_empty(),
        "systemctl: {differ:?}\nours: {:?}",
        differ.iter().map(|(n, _)| ours.get(*n)).collect::<Vec<_>>()
    );
    assert_eq!(
        ours.len(),
        theirs.len(),
        "{:?}",
        ours.keys().filter(|name| !theirs.contains_key(*name)).collect::<Vec<_>>()
    );
    assert!(ours.len() > 20);
}

#[test]
fn timers_have_the_triggers_that_their_files_have() {
    let answer = asked("get_systemd_timers", &json!({}));
    let folder = Path::new("/usr/lib/systemd/system");
    let Ok(entries) = fs::read_dir(folder) else { return };
    for name in entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()) {
        if !name.ends_with(".timer") || !folder.join(&name).is_file() {
            continue;
        }
        let timers = answer["timers"].as_array().unwrap();
        let timer = timers.iter().find(|timer| timer["name"] == *name).unwrap_or_else(|| panic!("{name}: {answer}"));
        let file = fs::read_to_string(folder.join(&name)).unwrap();
        let lines = file.lines().filter_map(|line| line.split_once('='));
        for (key, value) in lines.filter(|(key, _)| ["OnCalendar", "OnBootSec", "OnUnitActiveSec"].contains(key)) {
            let wanted = json!({ "on": key, "value": value.trim() });
            assert!(timer["triggers"].as_array().unwrap().contains(&wanted), "{name}: {timer}");
        }
    }
}

#[test]
fn the_kernel_says_what_dmesg_shows() {
    let restricted = fs::read_to_string("/proc/sys/kernel/dmesg_restrict").is_ok_and(|text| text.trim() == "1");
    let root = rustix::process::geteuid().is_root();
    if restricted && !root || !Path::new("/dev/kmsg").exists() {
        eprintln!("!! the kernel's buffer is shut: get_kernel_logs is NOT compared with dmesg");
        return;
    }
    if !there_is("dmesg", "get_kernel_logs") {
        return;
    }
    // What is older than the answer is in dmesg's, and what came in between in neither.
    let answer = asked("get_kernel_logs", &json!({ "source": "buffer", "lines": 200 }));
    let theirs = said("dmesg", &["--raw", "--noescape"]);
    let entries = answer["entries"].as_array().unwrap();
    let mut compared = 0;
    for entry in entries.iter().filter(|entry| text(entry, "message").lines().count() == 1) {
        let stamp = format!("[{:>12.6}] {}", entry["uptime_seconds"].as_f64().unwrap(), text(entry, "message"));
        if entry.get("truncated").is_none() && text(entry, "message").is_ascii() {
            assert!(theirs.contains(&stamp) || theirs.contains(&stamp.replace("\\u{1b}", "\u{1b}")), "{stamp}");
            compared += 1;
        }
    }
    assert!(compared > 0 || theirs.lines().count() < 5, "{answer}");
}

#[test]
fn every_job_of_this_machines_tables_is_listed() {
    let answer = asked("get_cron_jobs", &json!({ "limit": 1000 }));
    let jobs = answer["jobs"].as_array().unwrap();
    for folder in ["/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.hourly", "/etc/cron.monthly"] {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for name in entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()) {
            if !name.starts_with('.') && !name.contains('~') && !name.contains(".dpkg-") {
                assert!(jobs.iter().any(|job| job["file"] == format!("{folder}/{name}")), "{folder}/{name}: {answer}");
            }
        }
    }
    let lines = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit() || "*@".contains(c))).count()
    };
    let listed = |path: &str| jobs.iter().filter(|job| job["file"] == path && job.get("problem").is_none()).count();
    assert_eq!(listed("/etc/crontab"), lines("/etc/crontab"));
}

#[test]
fn sensitive_logs_are_absent_until_the_configuration_opens_them() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("doorward.yaml"), "transport: stdio\n").unwrap();
    let mut run = command(DOORWARD, home.path());
    run.args(["serve", "--config", "doorward.yaml"]);
    let ended = finish(run, &talk::legacy("get_auth_logs", &json!({})));
    let answers = ended.messages();
    let listed = answers.iter().find(|answer| answer["id"] == 2).unwrap()["result"]["tools"].to_string();
    assert!(listed.contains("get_syslog") && !listed.contains("get_auth_logs") && !listed.contains("get_event_log"));
    assert_eq!(answers.iter().find(|answer| answer["id"] == 3).unwrap()["error"]["code"], -32602, "{ended:?}");
    assert!(asked("get_auth_logs", &json!({ "source": "logins" }))["events"].is_array());
}
