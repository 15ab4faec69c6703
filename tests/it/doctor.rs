//! `doorward doctor`: each point of the checklist passes, is open or does not apply, as the configuration and the machine are.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::getuid;
use serde_json::Value;

use crate::world::premises::Premises;
use crate::world::program::{DOORWARD, Ended, Running, command, doorward};

/// What the configuration of the premises needs to have nothing open that is required.
const GOOD: &str = "  syslog: {enabled: true, target: tls://siem.example:6514}
resources: {rate_limit: {requests_per_minute: 60}}
redaction: {fields: ['*.pin']}";

fn doctor(directory: &Path, arguments: &[&str]) -> Ended {
    doorward(directory, &[&["doctor", "--config", "doorward.yaml"], arguments].concat())
}

/// Every point's standing by its name, and the whole report.
fn points(directory: &Path, arguments: &[&str]) -> (BTreeMap<String, String>, Value) {
    let ended = doctor(directory, &[&["--json"], arguments].concat());
    let report: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    let required = report["open"]["required"].as_u64().unwrap();
    assert_eq!(ended.status, i32::from(required > 0), "{ended:?}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let points = report["points"].as_array().unwrap().iter();
    (points.map(|point| (text(&point["name"]), text(&point["standing"]))).collect(), report)
}

#[track_caller]
fn assert_standing(points: &BTreeMap<String, String>, standing: &str, names: &[&str]) {
    for name in names {
        assert_eq!(points.get(*name).map(String::as_str), Some(standing), "{name} in {points:?}");
    }
}

#[test]
fn a_bare_configuration_has_open_points_and_each_says_what_to_do() {
    let premises = Premises::new();
    premises.configure("");
    let (bare, report) = points(premises.root(), &[]);
    assert_standing(&bare, "pass", &["transport", "client-certificates", "tokens", "sensitive", "address", "replay"]);
    assert_standing(&bare, "open", &["audit", "limits", "redaction", "published-keys", "collector"]);
    assert_standing(&bare, "not_applicable", &["segmentation"]);
    assert_eq!(report["open"]["required"], 3, "{report:#}");
    for point in report["points"].as_array().unwrap() {
        let advised = point["advice"].as_str().is_some_and(|advice| advice.len() > 10);
        let lacking = point["standing"] == "open" || point["standing"] == "unproven";
        assert!(advised == lacking && !point["says"].as_str().unwrap().is_empty(), "{point}");
    }
    let said = doctor(premises.root(), &[]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("3 points that are required are open"), "{said:?}");
    assert!(said.stdout.contains("open     audit") && said.stdout.contains("Required in production"), "{said:?}");
}

#[test]
fn what_the_advice_says_closes_the_points() {
    let premises = Premises::new();
    premises.configure(GOOD);
    let (good, report) = points(premises.root(), &[]);
    assert_eq!(report["open"]["required"], 0, "{report:#}");
    assert_standing(&good, "pass", &["limits", "redaction", "anomalies", "key-age", "query-lists"]);
    // Nobody has sent anything yet.
    assert_standing(&good, "unproven", &["audit", "collector"]);
    assert!(doctor(premises.root(), &[]).stderr.contains("nothing that is required is open"));

    // One at a time, each of them opens again.
    let broken = [
        ("sensitive", "queries: {sensitive: {enabled: true, allow: [get_env_vars]}}"),
        ("sandbox", "sandbox: {mode: off}"),
    ];
    for (name, more) in broken {
        premises.configure(&format!("{GOOD}\n{more}"));
        assert_standing(&points(premises.root(), &[]).0, "open", &[name]);
    }
    let text = std::fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let changed = [
        ("tokens", "    issuer:", "    max_ttl: 600\n    issuer:"),
        ("replay", "    issuer:", "    replay: off\n    require_jti: false\n    issuer:"),
        ("client-certificates", "allowed_subjects: [CN=demo-agent]", "allowed_subjects: []"),
        ("collector", "tls://siem.example:6514", "udp://siem.example:514"),
        ("redaction", "redaction: {fields: ['*.pin']}", "redaction: {enabled: false}"),
        ("redaction", "redaction: {fields: ['*.pin']}", "redaction: {fields: ['*.pin'], without: [jwt]}"),
        ("audit", "tls://siem.example:6514", "tls://127.0.0.1:6514"),
        ("audit", "tls://siem.example:6514", "unix:/no/such/socket"),
    ];
    for (name, from, to) in changed {
        assert!(text.contains(from), "{from}");
        std::fs::write(premises.path("doorward.yaml"), text.replacen(from, to, 1)).unwrap();
        assert_standing(&points(premises.root(), &[]).0, "open", &[name]);
    }
}

#[test]
fn what_is_open_on_purpose_is_accepted_by_name() {
    let premises = Premises::new();
    premises.configure(GOOD);
    let text = std::fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let text = text.replace("bind: 127.0.0.1:0\n  cert", "bind: 0.0.0.0:8443\n  cert");
    let text = text.replace("auth:\n", "http: {allowed_hosts: [door.example]}\nauth:\n");
    std::fs::write(premises.path("doorward.yaml"), text).unwrap();
    let (open, _) = points(premises.root(), &[]);
    assert_standing(&open, "open", &["address", "segmentation"]);
    let (accepted, report) = points(premises.root(), &["--accept", "address", "--accept", "audit"]);
    assert_standing(&accepted, "accepted", &["address", "audit"]);
    assert_eq!(report["open"]["required"], 0);
}

/// What `production.yaml` leaves to those who know the network: whether every address is meant.
#[test]
fn the_example_for_production_is_good_but_for_the_address() {
    let etc = tempfile::tempdir().unwrap();
    doorward(etc.path(), &["pki", "init", "--dir", "ca"]).well();
    doorward(etc.path(), &["pki", "issue", "server", "--dir", "ca", "--name", "localhost", "--out", "server"]).well();
    doorward(etc.path(), &["pki", "crl", "--dir", "ca"]).well();
    for (name, from) in [("client-ca.crt", "ca/ca.crt"), ("jwks-ca.pem", "ca/ca.crt"), ("client.crl", "ca/ca.crl")] {
        std::fs::copy(etc.path().join(from), etc.path().join(name)).unwrap();
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/production.yaml");
    let here = etc.path().display().to_string();
    let text = std::fs::read_to_string(example).unwrap();
    let text = text.replace("/etc/doorward", &here).replace("/var/log/doorward", &here);
    std::fs::write(etc.path().join("doorward.yaml"), text).unwrap();
    let (found, report) = points(etc.path(), &[]);
    assert_eq!(report["open"]["required"], 1, "{report:#}");
    assert_standing(&found, "open", &["address"]);
    assert_eq!(points(etc.path(), &["--accept", "address"]).1["open"]["required"], 0);
}

#[test]
fn a_door_that_runs_is_looked_at() {
    let premises = Premises::new();
    let account = |premises: &Premises| {
        let (_, report) = points(premises.root(), &[]);
        let point =
            report["points"].as_array().unwrap().iter().find(|point| point["name"] == "service-account").cloned();
        point.unwrap()
    };
    assert!(account(&premises)["says"].as_str().unwrap().starts_with("no door"));
    let (running, _) = premises.serve();
    let seen = account(&premises);
    assert!(seen["says"].as_str().unwrap().contains(&format!("process {} runs", running.id())), "{seen}");
    let standing = if getuid().is_root() { "open" } else { "pass" };
    assert_eq!(seen["standing"], standing, "{seen}");
    // The sandbox has taken root's powers even so.
    assert!(seen["says"].as_str().unwrap().ends_with("without capabilities"), "{seen}");
    // What stands is told by the kernel and by the record of the start, whatever the configuration says by now.
    let whole = doorward::sandbox::given().iter().all(|(_, standing)| *standing == doorward::sandbox::Standing::Whole);
    let text = std::fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    std::fs::write(premises.path("doorward.yaml"), format!("{text}\nsandbox: {{mode: off}}\n")).unwrap();
    let (standings, report) = points(premises.root(), &[]);
    let says =
        report["points"].as_array().unwrap().iter().find(|point| point["name"] == "sandbox").unwrap()["says"].clone();
    assert_standing(&standings, if whole { "pass" } else { "open" }, &["sandbox"]);
    assert!(says.as_str().unwrap().contains(&format!("process {} ", running.id())), "{says}");
    assert!(says.as_str().unwrap().contains("system calls, privileges, dumps"), "{says}");
}

/// As an image does it, where no word of the command names the file.
#[test]
fn a_door_that_has_its_configuration_from_the_environment_is_looked_at() {
    if !getuid().is_root() {
        return;
    }
    let premises = Premises::new();
    let mut command = command(DOORWARD, premises.root());
    command.arg("serve").env("DOORWARD_CONFIG", "doorward.yaml");
    let mut running = Running::start(command);
    running.until(|running| running.stderr().contains("serving").then_some(()));
    let (_, report) = points(premises.root(), &[]);
    let account = report["points"].as_array().unwrap().iter().find(|point| point["name"] == "service-account").unwrap();
    assert!(account["says"].as_str().unwrap().contains(&format!("process {} runs", running.id())), "{account}");
}

#[test]
fn a_collector_counts_once_it_has_something() {
    let premises = Premises::new();
    let home = premises.root();
    let socket = std::os::unix::net::UnixDatagram::bind(premises.path("log")).unwrap();
    premises.configure(&format!("  syslog: {{enabled: true, target: 'unix:{}'}}", premises.path("log").display()));
    assert_standing(&points(home, &[]).0, "unproven", &["audit", "collector"]);
    let (running, _) = premises.serve();
    let mut seen = points(home, &[]).0;
    // As long as nobody reads there, nothing is delivered.
    assert_standing(&seen, "open", &["audit", "collector"]);
    std::thread::spawn(move || while socket.recv(&mut [0; 65536]).is_ok() {});
    for _ in 0..200 {
        if seen["audit"] == "pass" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        seen = points(home, &[]).0;
    }
    assert_standing(&seen, "pass", &["audit", "collector"]);
    drop(running);
}

#[test]
fn a_socket_that_verifies_tokens_is_asked_for_what_guards_them() {
    let premises = Premises::new();
    let text = "transport: unix
socket: {path: SOCKET}
auth: {enabled: true, jwt: {issuer: a, audience: b, public_key: token-key.pub.pem}}
audit: {path: audit.jsonl}
";
    let text = text.replace("SOCKET", &premises.name("door.sock"));
    std::fs::write(premises.path("doorward.yaml"), text).unwrap();
    let (found, _) = points(premises.root(), &[]);
    assert_standing(&found, "pass", &["transport", "replay", "key-age", "tokens"]);
    assert_standing(&found, "open", &["published-keys"]);
    assert_standing(&found, "not_applicable", &["client-certificates", "address"]);
}

#[test]
fn a_local_door_is_not_asked_for_what_guards_a_network() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("doorward.yaml"), "transport: stdio\n").unwrap();
    let (local, _) = points(home.path(), &[]);
    let nothing = ["transport", "client-certificates", "tokens", "address", "published-keys", "replay", "segmentation"];
    assert_standing(&local, "not_applicable", &nothing);
    assert_standing(&local, "open", &["audit", "limits"]);
    let wrong = home.path().join("wrong.yaml");
    std::fs::write(&wrong, "transport: http\n").unwrap();
    let ended = doorward(home.path(), &["doctor", "--config", "wrong.yaml"]);
    assert!(ended.status == 1 && ended.stderr.contains("wrong.yaml:1:12: transport"), "{ended:?}");
}
