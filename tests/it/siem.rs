//! What deploy/siem gives to collectors works: rsyslog parses what the door records, the alerts of Prometheus come when they
//! should, and nothing there names a metric, a reason or a field that the door does not have.

mod rsyslog;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::audit::chain::Head;
use doorward::audit::syslog::{Format, Forwarder, SyslogSection};
use doorward::clock::Clock;
use regex::Regex;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::world::Choice;
use crate::world::child::Child;
use crate::world::program::{command, finish, there_is};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/siem");
/// Where scripts/test unpacks it.
const UNPACKED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/siem/usr/bin/promtool");

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(FOLDER).join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn found<'a>(pattern: &str, text: &'a str) -> BTreeSet<&'a str> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found.get(1).unwrap().as_str()).collect()
}

#[test]
fn the_alerts_come_when_they_should_and_only_then() {
    let promtool = if Path::new(UNPACKED).exists() { UNPACKED } else { "promtool" };
    if !there_is(promtool, "deploy/siem/prometheus-alerts.yaml (scripts/test fetches it)") {
        return;
    }
    let run = |arguments: &[&str]| {
        let mut run = command(promtool, Path::new(FOLDER));
        run.args(arguments);
        finish(run, "").well()
    };
    assert!(run(&["check", "rules", "prometheus-alerts.yaml"]).contains("SUCCESS"));
    assert!(run(&["test", "rules", "prometheus-alerts.test.yaml"]).contains("SUCCESS"));
}

#[test]
fn each_alert_has_a_test_that_it_comes() {
    let rules = yaml("prometheus-alerts.yaml");
    let alerts: BTreeSet<&str> =
        rules["groups"][0]["rules"].as_array().unwrap().iter().map(|rule| rule["alert"].as_str().unwrap()).collect();
    let tests = read("prometheus-alerts.test.yaml");
    assert_eq!(found(r#"\{alertname="([A-Za-z]+)", alertstate="firing"\}'"#, &tests), alerts);
    assert_eq!(found(r"alertname: ([A-Za-z]+), exp_alerts: \[\]", &tests), alerts, "and one that it does not");
}

/// What the door prints after a call that was done and a request that was refused.
async fn metrics() -> String {
    let door = Child::start(Choice::default(), &[]);
    assert_eq!(door.call(&door.token(&["core"])).await.status, 200);
    assert_eq!(door.call("no token").await.status, 401);
    door.probe("/metrics").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_dashboard_name_only_metrics_and_labels_that_the_door_has() {
    let metrics = metrics().await;
    let series = found(r"(?m)^(doorward_[a-z_]+)[{ ]", &metrics);
    for file in ["prometheus-alerts.yaml", "prometheus-alerts.test.yaml", "grafana.json"] {
        let text = read(file).replace("\\\"", "\"");
        let named = found(r"\b(doorward_[a-z_]+)\b", &text);
        assert!(named.len() >= 5, "{file}: {named:?}");
        for name in named {
            assert!(series.contains(name), "{file} names {name}, which the door does not print");
        }
        for label in ["reason", "result", "alarm", "scope", "ok"] {
            let known = found(&format!(r#"[{{,]{label}="([a-z_]+)""#), &metrics);
            for value in found(&format!(r#"\b{label}(?:!?=|=~)"([a-z_|]+)""#), &text) {
                let made_up = label == "result" || (file.contains("test") && value == "scope");
                let unknown = value.split('|').find(|value| !known.contains(value) && !made_up);
                assert_eq!(unknown, None, "{file}: {label}={value}");
            }
        }
    }
}

#[test]
fn the_dashboard_can_be_imported() {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert!(panels.len() > 10 && ids.len() == panels.len());
    let variables: BTreeSet<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    let text = dashboard.to_string();
    for name in found(r"\$\{?([a-zA-Z_]+)\}?", &text) {
        assert!(variables.contains(name) || name.starts_with("__"), "{name} is no variable of the dashboard");
    }
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(!panel["targets"].as_array().unwrap().is_empty() && panel["description"].is_string(), "{panel}");
    }
}

/// Vector itself checks what it can be asked for; without it, that each part takes from one that is there.
#[test]
fn the_parts_of_vectors_configuration_fit_together() {
    let config = yaml("vector.yaml");
    let names = |kind: &str| -> BTreeSet<String> { config[kind].as_object().unwrap().keys().cloned().collect() };
    let (sources, transforms, sinks) = (names("sources"), names("transforms"), names("sinks"));
    let mut taken = BTreeSet::new();
    for (kind, own) in [("transforms", &transforms), ("sinks", &sinks)] {
        for name in own {
            for input in config[kind][name]["inputs"].as_array().unwrap() {
                let from = input.as_str().unwrap();
                let dropped = from.strip_suffix(".dropped");
                let known = sources.contains(from) || transforms.contains(dropped.unwrap_or(from));
                assert!(known, "{name} takes from {from}");
                assert!(dropped.is_none_or(|from| config["transforms"][from]["reroute_dropped"] == true));
                taken.insert(dropped.unwrap_or(from).to_owned());
            }
        }
    }
    assert_eq!(taken, sources.union(&transforms).cloned().collect(), "nothing comes to nothing");
    if there_is("vector", "deploy/siem/vector.yaml beyond its form") {
        for arguments in [&["validate", "--no-environment"][..], &["test"]] {
            let mut run = command("vector", Path::new(FOLDER));
            run.args(arguments).arg("vector.yaml");
            finish(run, "").well();
        }
    }
}

/// The fields that docs/audit.md has a row for: `client.ip`.
fn fields() -> BTreeSet<String> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md")).unwrap();
    found(r"(?m)^\| `([a-z_.]+)` \|", &page).into_iter().map(str::to_owned).collect()
}

#[test]
fn collectors_read_only_fields_and_events_that_are_documented() {
    let (fields, events) = (fields(), crate::audit_page::events());
    for file in ["rsyslog.conf", "vector.yaml", "elastic-pipeline.json"] {
        let text = read(file).replace('!', ".");
        let text = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n");
        let used = found(r"doorward\.((?:client\.|policy\.)?[a-z_]+)\b", &text);
        // The name of a data set, and of a host.
        let used: Vec<&str> = used.into_iter().filter(|used| !["audit", "example"].contains(used)).collect();
        assert!(used.len() >= 3, "{file}: {used:?}");
        for field in used {
            assert!(fields.contains(field), "{file} reads {field}, which docs/audit.md does not have");
        }
        let lists = found(
            r#"(\[(?:['"][a-z_]+['"],? ?)+\])(?:\.contains\(ctx\.doorward\.event|, \.doorward\.event| then)"#,
            &text,
        );
        assert!(!lists.is_empty(), "{file}");
        for event in lists.iter().flat_map(|list| found(r#"['"]([a-z_]+)['"]"#, list)) {
            assert!(events.contains(event), "{file}: {event} is no event");
        }
    }
}

#[test]
fn the_ingest_pipeline_is_one_of_known_processors() {
    let pipeline: Value = serde_json::from_str(&read("elastic-pipeline.json")).unwrap();
    let known = ["gsub", "json", "date", "set", "remove", "script", "fingerprint"];
    for processor in pipeline["processors"].as_array().unwrap() {
        let names: Vec<&String> = processor.as_object().unwrap().keys().collect();
        assert!(names.len() == 1 && known.contains(&names[0].as_str()), "{processor}");
    }
    assert!(pipeline["description"].as_str().unwrap().contains("Use: "));
}

/// A journal of one refused call, with everything that could be mistaken for syntax.
fn write_journal(home: &Path) -> PathBuf {
    let record = json!({
        "v": 1, "ts": "2026-11-20T10:30:45.123Z", "event": "query_denied", "id": "1f", "query": "get|cpu",
        "params": { "a": "b=c d=\\ e]" }, "client": { "ip": "192.0.2.7", "subject": "CN=bot,O=Acme" },
        "user": "alice = bob", "agent": ["one", "two"], "resource": "Host::\"web\"", "result": "refused", "reason": "unknown_tool",
    });
    let mut page = Vec::new();
    let _ = Head::START.append(record.to_string().as_bytes(), &mut page).unwrap();
    let path = home.join("audit.jsonl");
    fs::write(&path, page).unwrap();
    path
}

/// Splunk's own expressions, by an engine that knows look-ahead, on what the daemon sends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn splunk_takes_a_cef_message_apart() {
    if !there_is("python3", "deploy/siem/splunk") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let collector = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("tcp://{}", collector.local_addr().unwrap());
    let section = SyslogSection { enabled: true, target, format: Format::Cef, ..SyslogSection::default() };
    let forwarder = Forwarder::start(&section, &write_journal(home.path()), Clock::system()).unwrap();
    let (mut stream, _) = collector.accept().await.unwrap();
    let mut message = String::new();
    // It ends the connection to learn whether everything was read.
    stream.read_to_string(&mut message).await.unwrap();
    drop(stream);
    forwarder.stop(Duration::from_secs(5)).await;
    let script = r#"
import configparser, json, re, sys
config = configparser.RawConfigParser(); config.optionxform = str
config.read(sys.argv[1])
text = sys.stdin.buffer.read().decode("utf-8")
header = re.search(config["doorward_cef_header"]["REGEX"], text).groups()
assert config["doorward_cef_extension"]["SOURCE_KEY"] == "cef_extension"
fields = dict(re.findall(config["doorward_cef_extension"]["REGEX"], header[6]))
print(json.dumps([header[:6], fields]))
"#;
    let mut run = command("python3", Path::new(FOLDER));
    run.args(["-c", script]).arg(PathBuf::from(FOLDER).join("splunk/transforms.conf"));
    let said: Value = serde_json::from_str(&finish(run, &message).well()).unwrap();
    assert_eq!(
        said[0],
        json!(["Doorward", "doorward", env!("CARGO_PKG_VERSION"), "query_denied", "query denied", "6"])
    );
    let fields = &said[1];
    for (name, value) in [
        ("rt", "1795170645123"),
        ("externalId", "1"),
        ("src", "192.0.2.7"),
        ("suid", "CN\\=bot,O\\=Acme"),
        ("suser", "alice \\= bob"),
        ("act", "get|cpu"),
        ("outcome", "refused"),
        ("reason", "unknown_tool"),
        ("cs1", "Host::\"web\""),
        ("cs2", "one,two"),
        ("cs4", "1f"),
        ("cs5", "{\"a\":\"b\\=c d\\=\\\\\\\\ e]\"}"),
    ] {
        assert_eq!(fields[name], value, "{name}: {said}");
    }
    let aliases = read("splunk/props.conf");
    let aliases = aliases.lines().find_map(|line| line.strip_prefix("FIELDALIAS-doorward = ")).unwrap();
    for name in found(r"(\w+) AS ", aliases) {
        assert!(name == "signature_id" || fields[name].is_string(), "{name} is no key of CEF here");
    }
}

#[test]
fn each_file_says_how_it_is_used() {
    let mut folders = vec![PathBuf::from(FOLDER)];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let json = path.extension().is_some_and(|extension| extension == "json");
            let head = if json { text.contains("\"description\": \"") } else { text.starts_with("# ") };
            assert!(head, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen} files");
}
