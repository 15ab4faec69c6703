//! docs/audit.md is true: its examples are records of a real door, its table has every field, and its commands verify a log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use doorward::audit::chain::{Hash, Head};
use doorward::audit::checkpoint::{Cause, Signer};
use doorward::audit::{Basis, Client, Event, Record};
use doorward::clock::Timestamp;
use doorward::identity::{Principal, Scope, Scopes};
use doorward::pki::{KeyKind, SigningKey};
use regex::{Captures, Regex};
use serde_json::Value;

use crate::world::premises::Premises;
use crate::world::program::{Ended, bash, doorward, there_is};
use crate::world::{Choice, World, wire};

pub const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/audit.md");
const RECORD: &str = include_str!("../../src/audit/record.rs");
/// Longest line of an example.
const WIDTH: usize = 120;

/// The names of all events, as the source has them.
pub fn events() -> BTreeSet<String> {
    let list = RECORD.split_once("pub enum Event {\n").unwrap().1.split_once("\n}").unwrap().0;
    let names = list.lines().filter_map(|line| line.trim().strip_suffix(','));
    let events: BTreeSet<String> =
        names.map(|name| Regex::new("(.)([A-Z])").unwrap().replace_all(name, "${1}_$2").to_lowercase()).collect();
    assert!(events.contains("auth_failure") && events.len() >= 11, "{events:?}");
    events
}

/// A door with a log in which as many kinds of records are as a door makes by itself, each waited for.
async fn log() -> Vec<String> {
    let environment = [
        ("DOORWARD__AUDIT__ALERTS__AUTH_FAILURES", "2"),
        ("DOORWARD__RESOURCES__RATE_LIMIT__BURST", "2"),
        ("DOORWARD__REDACTION__FIELDS", "[uptime_seconds]"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let world = World::with(Choice { environment, ..Choice::default() }).await;
    let as_user = |user: &str, scope: &str| {
        let mut claims = world.claims(&[scope]);
        claims["sub"] = user.into();
        world.signer.sign(&claims)
    };
    assert_eq!(world.call(&as_user("alice", "core")).await.status, 200);
    assert_eq!(world.call(&as_user("bob", "stranger")).await.outcome(), "403 insufficient_scope");
    for _ in 0..4 {
        world.call(&as_user("carol", "core")).await;
    }
    let seen = world.audit().len();
    for _ in 0..3 {
        let mut stream = wire::connect(&world.path(""), world.port, Some("unlisted")).await.unwrap();
        let post = wire::post(world.port, &as_user("eve", "core"), &wire::call("get_uptime", Value::Null));
        let _ = wire::exchange(&mut stream, &post).await;
    }
    world.recorded(seen, "warning", "auth_failures").await;
    world.edit("CN=bot,O=Acme", "CN=bot,O=Acme\n    - CN=another-bot");
    world.reload().await;
    let text = || fs::read_to_string(world.path("log/audit.jsonl")).unwrap();
    let mut lines: Vec<String> = text().lines().map(str::to_owned).collect();
    // The directory of the log goes away for a while.
    fs::remove_dir_all(world.path("log")).unwrap();
    assert_eq!(world.call(&as_user("alice", "core")).await.reason().as_deref(), Some("audit_unavailable"));
    fs::create_dir(world.path("log")).unwrap();
    for _ in 0..2000 {
        if world.audit().iter().any(|record| record["event"] == "audit_gap") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let path = world.path("log/audit.jsonl");
    let (estate, daemon) = world.into_parts();
    daemon.stop().await;
    lines.extend(fs::read_to_string(path).unwrap().lines().map(str::to_owned));
    drop(estate);
    lines
}

/// What the program says when it was killed and starts again.
fn log_of_a_crash() -> Vec<String> {
    let premises = Premises::new();
    drop(premises.serve());
    drop(premises.serve());
    let text = fs::read_to_string(premises.path("audit.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Records that toolsets of this version do not write yet, in the form that they will have.
fn later() -> Vec<String> {
    let principal = Principal { subject: "alice".to_owned(), actor: None };
    let scopes: Scopes = Scope::parse("ssh").into_iter().collect();
    let basis = Basis { config: "0123456789abcdef".into(), policy: "0123456789abcde0".into() };
    let record = |event, resource: &str| {
        let client = Client::at([127, 0, 0, 1].into());
        Record::new(event, Timestamp::from_seconds(0), client)
            .under(&basis)
            .about("0123456789abcdef0123456789abcdef", "ssh_run")
            .by(&principal, &scopes)
            .on(resource)
            .succeeded()
    };
    let records = [
        record(Event::CredentialFetch, "Account::\"web-admin\""),
        record(Event::HandleResolution, "Account::\"web-admin\""),
        record(Event::SessionOpen, "Host::\"web01\""),
        record(Event::SessionClose, "Host::\"web01\""),
    ];
    let (mut page, mut head) = (Vec::new(), Head::START);
    for record in records {
        head = head.append(&serde_json::to_vec(&record).unwrap(), &mut page).unwrap();
    }
    String::from_utf8(page).unwrap().lines().map(str::to_owned).collect()
}

/// The first record of each event, and of each stage of a call.
async fn examples() -> BTreeMap<String, String> {
    let mut examples = BTreeMap::new();
    let crash = tokio::task::spawn_blocking(log_of_a_crash).await.unwrap();
    for line in log().await.into_iter().chain(crash).chain(later()) {
        let record: Value = serde_json::from_str(&line).unwrap();
        let mut name = record["event"].as_str().unwrap().to_owned();
        // What was refused before it was known has an event of its own only.
        if let (true, Some(stage)) = (name == "query", record["stage"].as_str()) {
            name = format!("{name} {stage}");
        }
        examples.entry(name).or_insert(line);
    }
    examples
}

/// What differs from run to run is replaced by something of its form, the same by the same.
#[derive(Default)]
struct Steady {
    known: BTreeMap<String, String>,
    seq: u64,
}

impl Steady {
    fn line(&mut self, line: &str) -> String {
        let plain = [
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "2026-11-20T10:30:45.123Z"),
            (r"possible in \d+ s", "possible in 1 s"),
            (r#""duration_ms":\d+"#, r#""duration_ms":12"#),
            (r#""output_bytes":\d+"#, r#""output_bytes":2048"#),
            (r"localhost:\d+", "localhost:8443"),
            (
                r#""signature":"[^"]+""#,
                r#""signature":"bm90IGEgc2lnbmF0dXJlLCBhbiBleGFtcGxlOiBzaXh0eS1mb3VyIGJ5dGVzIGluIGJhc2U2NC4uLg==""#,
            ),
        ];
        let line = plain.iter().fold(line.to_owned(), |line, (pattern, with)| {
            Regex::new(pattern).unwrap().replace_all(&line, *with).into_owned()
        });
        let line =
            Regex::new(r"\b[0-9a-f]{16,64}\b").unwrap().replace_all(&line, |found: &Captures<'_>| self.hex(&found[0]));
        self.seq += 1;
        let seq = self.seq;
        let line = Regex::new(r#"^\{"seq":\d+"#).unwrap().replace(&line, format!("{{\"seq\":{}", 1000 + seq));
        Regex::new(r#""covers":\d+"#).unwrap().replace(&line, format!("\"covers\":{}", 999 + seq)).into_owned()
    }

    fn hex(&mut self, text: &str) -> String {
        let number = self.known.len();
        let made = || Hash::of(format!("example {number}").as_bytes()).to_string()[..text.len()].to_owned();
        self.known.entry(text.to_owned()).or_insert_with(made).clone()
    }
}

/// Broken between members, where the line would become too long.
fn broken(line: &str) -> String {
    let (mut text, mut part, mut width) = (String::new(), String::new(), 0);
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in line.chars() {
        part.push(c);
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        let ends = (c == ',' && !quoted && depth <= 2) || depth == 0;
        if ends {
            if width + part.len() > WIDTH {
                text.push_str("\n ");
                width = 1;
            }
            width += part.len();
            text.push_str(&std::mem::take(&mut part));
        }
    }
    text
}

/// The page with these examples in their places, and the names of the places.
fn filled(page: &str, examples: &BTreeMap<String, String>) -> (String, BTreeSet<String>) {
    let mut names = BTreeSet::new();
    let mut steady = Steady::default();
    let place = Regex::new(r"(?s)<!-- example: ([a-z_ ]+) -->\n```json\n.*?```").unwrap();
    let page = place.replace_all(page, |found: &Captures<'_>| {
        names.insert(found[1].to_owned());
        let example = examples.get(&found[1]).unwrap_or_else(|| panic!("there is no record of {}", &found[1]));
        format!("<!-- example: {} -->\n```json\n{}\n```", &found[1], broken(&steady.line(example)))
    });
    (page.into_owned(), names)
}

/// The names of the members that are there, as the page writes them.
fn members(record: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in record.as_object().unwrap() {
        match value.as_object() {
            Some(inner) if name != "params" => found.extend(inner.keys().map(|key| format!("{name}.{key}"))),
            _ => {
                found.insert(name.clone());
            }
        }
    }
    found
}

/// `UPDATE=1` writes the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_are_records_and_the_table_has_every_field() {
    let examples = examples().await;
    let page = fs::read_to_string(PAGE).unwrap();
    let (filled, names) = filled(&page, &examples);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(PAGE, &filled).unwrap();
    }
    assert!(fs::read_to_string(PAGE).unwrap() == filled, "docs/audit.md is not up to date: run with UPDATE=1");
    assert_eq!(names, examples.keys().cloned().collect(), "each event has one example");
    let shown: BTreeSet<String> = names.iter().map(|name| name.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(shown, events(), "and none is left out");
    let row = Regex::new(r"(?m)^\| `([a-z_.]+)` \| ").unwrap();
    let section = page.split_once("## A record").unwrap().1.split_once("\n## ").unwrap().0;
    let rows: BTreeSet<String> = row.captures_iter(section).map(|found| found[1].to_owned()).collect();
    let used = examples.values().flat_map(|line| members(&serde_json::from_str(line).unwrap())).collect();
    assert_eq!(rows, used, "the fields that the table has, and those that records have");
}

#[test]
fn what_the_page_says_to_configure_passes_the_check() {
    let page = fs::read_to_string(PAGE).unwrap();
    let premises = Premises::new();
    let blocks: Vec<&str> = page.split("```yaml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        let text = [("siem-ca.pem", "ca/ca.crt"), ("door.crt", "client.crt"), ("door.key", "client.key")]
            .iter()
            .fold(block.to_owned(), |text, (name, file)| {
                text.replace(&format!("/etc/doorward/{name}"), &premises.name(file))
            });
        let path = format!("audit:\n  enabled: true\n  path: {}\n", premises.name("audit.jsonl"));
        fs::write(premises.path("page.yaml"), text.replacen("audit:\n", &path, 1)).unwrap();
        let ended = doorward(premises.root(), &["check", "--config", "page.yaml"]);
        assert!(ended.status == 0 && ended.stderr.contains("no findings"), "{text}\n{ended:?}");
    }
}

/// A block of the page that is run here.
pub fn block(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("<!-- run by the tests: {name} -->\n```sh\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// A log in two files, the first of them compressed, that ends with a checkpoint.
fn write_log(home: &Path) {
    let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
    fs::write(home.join("audit.pub"), key.public_pem().unwrap()).unwrap();
    let signer = Signer::new(key).unwrap();
    let (mut head, mut first, mut second) = (Head::START, Vec::new(), Vec::new());
    for number in 0..40 {
        let page = if number < 20 { &mut first } else { &mut second };
        let body =
            format!("{{\"v\":1,\"ts\":\"2026-11-20T10:30:45.123Z\",\"event\":\"query\",\"id\":\"{number}, \\\"ü\"}}");
        head = head.append(body.as_bytes(), page).unwrap();
    }
    let body = signer.sign(head, Cause::Stop, Timestamp::from_seconds(1_800_000_000)).unwrap();
    let _ = head.append(&body, &mut second).unwrap();
    fs::write(home.join("audit.000000000001.jsonl"), first).unwrap();
    fs::write(home.join("audit.jsonl"), second).unwrap();
    assert_eq!(bash(home, "gzip audit.000000000001.jsonl", &[], "").status, 0);
}

#[test]
fn a_stranger_can_verify_with_what_the_page_says() {
    if !there_is("openssl", "what docs/audit.md says to strangers") || !there_is("python3", "the same") {
        return;
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let home = tempfile::tempdir().unwrap();
    write_log(home.path());
    // As at a prompt: nothing but what the page says ends it where something is wrong.
    let run =
        |name: &str| -> Ended { bash(home.path(), &format!("set +eu +o pipefail\n{}", block(&page, name)), &[], "") };
    let sound = |what: &str| {
        assert_eq!(run("chain").well(), "the chain holds up to record 41\n", "{what}");
        let said = run("signature").well();
        assert!(said.contains("Verified Successfully") && said.contains("to record 40 is proven"), "{what}: {said}");
    };
    sound("as the daemon leaves it");
    let path = home.path().join("audit.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let last: Value = serde_json::from_str(whole.lines().last().unwrap()).unwrap();
    assert!(run("link").well().starts_with(last["prev"].as_str().unwrap()));
    let changes: [(&str, &str, String); 6] = [
        ("chain", "changed", whole.replacen("\"30,", "\"31,", 1)),
        (
            "chain",
            "removed",
            whole.lines().filter(|line| !line.starts_with("{\"seq\":30,")).map(|line| format!("{line}\n")).collect(),
        ),
        ("signature", "another time", whole.replace("\"ts\":\"2027", "\"ts\":\"2028")),
        ("signature", "another number", whole.replace("\"covers\":40", "\"covers\":39")),
        ("signature", "another head", whole.replace(last["prev"].as_str().unwrap(), &"0".repeat(64))),
        ("chain", "twice, and not the same", whole.replacen("\"30,", "\"31,", 1) + &whole),
    ];
    for (name, what, text) in changes {
        assert_ne!(text, whole, "{what}");
        fs::write(&path, text).unwrap();
        let ended = run(name);
        assert_ne!(ended.status, 0, "{what}: {ended:?}");
    }
    fs::write(&path, &whole).unwrap();
    let shell = |script: &str| bash(home.path(), script, &[], "").well();
    shell("gunzip -k audit.000000000001.jsonl.gz && touch audit.000000000041.jsonl.gz.tmp audit.torn-41");
    sound("plain and compressed");
    shell(
        "rm audit.000000000001.jsonl.gz audit.*.tmp; mv audit.jsonl audit.jsonl.1; mv audit.000000000001.jsonl audit.jsonl.2",
    );
    shell(": > audit.jsonl; gzip audit.jsonl.2");
    sound("as logrotate leaves it");
    let ended = shell(
        "tail -n 1 audit.jsonl.1 > kept; grep -v '\"event\":\"checkpoint\"' audit.jsonl.1 > audit.jsonl; rm audit.jsonl.1",
    );
    assert_eq!(ended, "");
    assert_eq!(run("chain").well(), "the chain holds up to record 40\n");
    let ended = run("signature");
    assert!(ended.status != 0 && ended.stdout == "there is no checkpoint: nothing is proven\n", "{ended:?}");
    // Arguments of a call that look like a checkpoint are none.
    shell(
        r#"cat kept >> audit.jsonl; echo '{"seq":42,"v":1,"ts":"","event":"query","params":{"event":"checkpoint"},"prev":""}' >> audit.jsonl"#,
    );
    assert!(run("signature").well().contains("to record 40 is proven"));
}
