//! docs/clients.md is executed: each recipe against a door that the program itself set up and serves.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::premises::{AUDIENCE, ISSUER, Premises, free_ports};
use crate::world::program::{DOORWARD, Ended, Running, bash, command, finish, there_is};
use crate::world::talk;

const PAGE: &str = include_str!("../../docs/clients.md");
/// What is run here, by name; a test of this file runs it.
const RUN: [&str; 6] = ["connect", "curl", "python", "claude-code", "claude-desktop", "inspector"];
const SCRIPT: &str = include_str!("../../scripts/clients");
const RMCP: &str = include_str!("rmcp_client.rs");

/// A fenced block of the page.
struct Block {
    /// What the comment before it says on how it is run.
    run: &'static str,
    name: &'static str,
    text: &'static str,
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("\n```") {
        let (text, more) = after.split_once("\n```").unwrap();
        let comment = before.lines().last().unwrap();
        let comment = comment.strip_prefix("<!-- ").and_then(|comment| comment.strip_suffix(" -->"));
        let (run, name) =
            comment.and_then(|comment| comment.rsplit_once(": ")).unwrap_or_else(|| panic!("no word on\n{text}"));
        blocks.push(Block { run, name, text: text.split_once('\n').unwrap().1 });
        rest = more;
    }
    blocks
}

fn block(name: &str) -> &'static str {
    blocks().into_iter().find(|block| block.name == name).unwrap_or_else(|| panic!("no block {name}")).text
}

#[test]
fn every_block_of_the_page_is_run() {
    let mut here = Vec::new();
    for Block { run, name, text } in blocks() {
        if run.contains("by scripts/clients") {
            let words = |word: char| !word.is_alphanumeric() && word != '-';
            assert!(SCRIPT.split(words).any(|word| word == name), "scripts/clients does not run {name}");
        }
        if run == "run by tests/it/rmcp_client.rs" {
            let code = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
            let strange: Vec<&str> = code.filter(|code| !RMCP.lines().any(|line| line.trim() == *code)).collect();
            assert!(strange.is_empty(), "{strange:#?}");
        } else if run != "run by scripts/clients" {
            here.push(name);
        }
    }
    assert_eq!(here, RUN);
}

/// A door, and the variables of the page.
struct Door {
    premises: Premises,
    _running: Running,
    url: String,
}

impl Door {
    fn open() -> Self {
        let premises = Premises::new();
        let (running, port) = premises.serve();
        Self { premises, _running: running, url: format!("https://localhost:{port}/mcp") }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let file = |name| self.premises.name(name);
        vec![
            ("DOOR", self.url.clone()),
            ("CA", file("ca/ca.crt")),
            ("CERT", file("client.crt")),
            ("KEY", file("client.key")),
            ("TOKEN_KEY", file("token-key.pem")),
            ("ISSUER", ISSUER.to_owned()),
            ("AUDIENCE", AUDIENCE.to_owned()),
            ("ERA", "auto".to_owned()),
        ]
    }

    /// Runs a block of the page as it stands.
    #[track_caller]
    fn run(&self, name: &str, input: &str) -> Ended {
        let ended = bash(self.premises.root(), block(name), &self.variables(), input);
        assert_eq!(ended.status, 0, "{name}: {ended:?}");
        ended
    }

    /// `doorward connect` with this certificate and source of tokens.
    fn connect(&self, certificate: &str, tokens: &[&str], input: &str) -> Ended {
        let (cert, key) = (format!("{certificate}.crt"), format!("{certificate}.key"));
        let mut connect = command(DOORWARD, self.premises.root());
        connect.args(["connect", &self.url, "--ca", "ca/ca.crt", "--cert", &cert, "--key", &key]).args(tokens);
        finish(connect, input)
    }
}

/// Programs in a directory of the path that stand in for these.
fn stand_ins(directory: &std::path::Path, names: &[&str]) -> (&'static str, String) {
    let home = directory.join("stand-ins");
    fs::create_dir(&home).unwrap();
    for name in names {
        fs::write(home.join(name), include_str!("../cases/clients/stand-in.sh")).unwrap();
        fs::set_permissions(home.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = std::path::Path::new(DOORWARD).parent().unwrap().display();
    ("PATH", format!("{}:{program}:{}", home.display(), std::env::var("PATH").unwrap_or_default()))
}

const MINT: [&str; 8] =
    ["--token-key", "token-key.pem", "--issuer", ISSUER, "--audience", AUDIENCE, "--subject", "alice"];

fn legacy() -> String {
    talk::legacy("get_uptime", &json!({}))
}

fn modern() -> String {
    talk::modern("get_uptime", &json!({}))
}

#[track_caller]
fn assert_conversation(ended: &Ended) {
    talk::assert_answered(ended, "uptime_seconds");
}

#[test]
fn connect_carries_both_eras() {
    let door = Door::open();
    let answers = door.run("connect", "").messages();
    assert!(answers[1]["result"]["structuredContent"]["logical_processors"].is_number(), "{answers:?}");
    for conversation in [legacy(), modern()] {
        let ended = door.connect("client", &[&MINT[..], &["--scope", "core"]].concat(), &conversation);
        assert_conversation(&ended);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    }
    let audit = door.premises.audit();
    assert!(audit.iter().all(|record| record["event"] != "auth_failure"), "{audit:?}");
    assert!(audit.iter().any(|record| record["agent"] == json!(["sh"])), "{audit:?}");
}

#[test]
fn connect_tells_both_sides_why_it_was_refused() {
    let door = Door::open();
    let list = modern().lines().nth(1).unwrap().replace("\"id\":2", "\"id\":\"q\"") + "\n";
    let expired = door.premises.path("expired");
    let mint = format!(
        "{DOORWARD} token mint --expired --key {} --issuer {ISSUER} --audience {AUDIENCE} --subject alice --scope core",
        door.premises.name("token-key.pem")
    );
    fs::write(&expired, format!("#!/bin/sh\nexec {mint}\n")).unwrap();
    fs::set_permissions(&expired, fs::Permissions::from_mode(0o755)).unwrap();
    let command = ["--token-command", expired.to_str().unwrap()];
    let used = door.premises.path("used");
    fs::write(&used, door.premises.token("alice")).unwrap();
    fs::set_permissions(&used, fs::Permissions::from_mode(0o600)).unwrap();
    let file = ["--token-file", used.to_str().unwrap()];
    assert_eq!(door.connect("client", &file, &list).messages()[0]["result"]["tools"][0]["name"], "get_cpu_info");
    door.premises.doorward("pki init --dir rogue/ca");
    door.premises.doorward("pki issue client --dir rogue/ca --cn demo-agent --out rogue/client");
    for (certificate, tokens, status, reason, told) in [
        ("stranger", &MINT[..], json!(403), "subject_not_allowed", "use a client certificate that the door allows"),
        ("client", &command, json!(401), "token_expired", "compare the clocks"),
        ("client", &file, json!(401), "token_replayed", "must give a new token each time"),
        ("client", &MINT, json!(403), "insufficient_scope", "ask for a token with the scope"),
        ("rogue/client", &MINT, Value::Null, "upstream", "knows the issuer of --cert"),
        ("client", &["--token-command", "/bin/false"], Value::Null, "io", "no token: a command failed"),
    ] {
        let ended = door.connect(certificate, tokens, &list);
        let answer = &ended.messages()[0];
        assert_eq!((ended.status, &answer["id"]), (0, &"q".into()), "{ended:?}");
        assert_eq!((&answer["error"]["data"]["reason"], &answer["error"]["data"]["status"]), (&reason.into(), &status));
        assert!(answer["error"]["message"].as_str().unwrap().contains(told), "{ended:?}");
        let line = ended.stderr.lines().next().unwrap();
        assert!(line.starts_with("doorward connect: ") && line.contains(told), "{ended:?}");
        assert!(!ended.stderr.contains("eyJ"), "{ended:?}");
    }
}

#[test]
fn curl_calls_in_both_eras() {
    if !there_is("curl", "the recipe for curl") {
        return;
    }
    let door = Door::open();
    let answers = door.run("curl", "");
    let parsed = serde_json::Deserializer::from_str(&answers.stdout).into_iter().collect::<Result<Vec<Value>, _>>();
    let answers = parsed.unwrap_or_else(|_| panic!("{answers:?}"));
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(answers[0]["result"]["structuredContent"]["logical_processors"].is_number(), "{answers:?}");
    assert_eq!(answers[0]["result"]["resultType"], "complete");
    assert_eq!(answers[1]["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(answers[2]["result"]["tools"].as_array().map(Vec::len), Some(7));
}

/// The interpreter that has the PyPI client, if it is there.
fn python() -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/bin/python"));
    there_is(&path, "the PyPI client (scripts/test installs it)").then_some(path)
}

#[test]
fn the_python_recipe_calls_in_both_eras() {
    let Some(python) = python() else { return };
    let door = Door::open();
    let mut run = command(python, door.premises.root());
    run.args(["-c", block("python")]).envs(door.variables());
    let said = finish(run, "").well();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[0].starts_with("2026-07-28 ['get_cpu_info', ") && lines[2].starts_with("2025-11-25 ["), "{said}");
    assert!(lines[1].contains("'logical_processors': ") && lines[3].contains("'logical_processors': "), "{said}");
}

#[test]
fn the_python_client_speaks_through_connect_in_both_eras() {
    let Some(python) = python() else { return };
    let door = Door::open();
    let file = |name| door.premises.name(name);
    let mut run = command(python, door.premises.root());
    run.args(["-c", include_str!("../cases/clients/stdio.py"), DOORWARD, "connect", &door.url]);
    run.args(["--ca", &file("ca/ca.crt"), "--cert", &file("client.crt"), "--key", &file("client.key")]);
    run.args(MINT.map(|word| if word == "token-key.pem" { file(word) } else { word.to_owned() }));
    run.args(["--agent", "python", "--scope", "core"]);
    assert_eq!(finish(run, "").well(), "2026-07-28 7\nFalse True\n2025-11-25 7\nFalse True\n");
}

#[test]
fn what_claude_and_the_inspector_are_told_to_start_works() {
    let door = Door::open();
    let path = stand_ins(door.premises.root(), &["claude", "mcp-inspector"]);
    let variables = [door.variables(), vec![path]].concat();
    for (name, conversation) in [("claude-code", legacy()), ("inspector", modern())] {
        let ended = bash(door.premises.root(), block(name), &variables, &conversation);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_conversation(&ended);
    }
    let config: Value = serde_json::from_str(block("claude-desktop")).unwrap();
    let server = &config["mcpServers"]["door"];
    assert!(server["command"].as_str().unwrap().ends_with("/doorward"));
    let here = door.variables();
    let value = |name: &str| here.iter().find(|(found, _)| *found == name).unwrap().1.clone();
    let places = [
        ("https://localhost:8443/mcp", "DOOR"),
        ("/path/ca.pem", "CA"),
        ("/path/client.pem", "CERT"),
        ("/path/client.key", "KEY"),
        ("/path/token.key", "TOKEN_KEY"),
        ("ISSUER", "ISSUER"),
        ("AUDIENCE", "AUDIENCE"),
    ];
    let words = server["args"].as_array().unwrap().iter().map(|word| {
        let word = word.as_str().unwrap();
        places.iter().find(|(said, _)| *said == word).map_or(word.to_owned(), |(_, name)| value(name))
    });
    let mut run = command(DOORWARD, door.premises.root());
    run.args(words);
    assert_conversation(&finish(run, &legacy()));
}

/// Starts the demo on ports that are free, or were when they were chosen, and waits until it stays open.
fn demo(directory: &std::path::Path) -> Running {
    loop {
        let mut demo = command(DOORWARD, directory);
        demo.args(["demo", "--dir", "demo", "--port", &free_ports().to_string()]);
        let mut running = Running::start(demo);
        if running.until(|running| {
            let busy = running.stderr().contains("cannot listen").then_some(false);
            busy.or(running.stdout().contains("Ctrl-C closes it").then_some(true))
        }) {
            return running;
        }
    }
}

#[test]
fn what_the_demo_prints_to_paste_works_and_ctrl_c_ends_it() {
    let home = tempfile::tempdir().unwrap();
    let running = demo(home.path());
    let said = running.stdout();
    let paste = said.split_once("To paste while the door is open:").unwrap().1;
    let paste = paste.split_once("\nThe door is open").unwrap().0;
    let recipes: Vec<(&str, &str)> =
        paste.split("\n# ").skip(1).map(|recipe| recipe.split_once('\n').unwrap()).collect();
    assert_eq!(recipes.len(), 4, "{paste}");
    let path = [stand_ins(home.path(), &["claude", "npx"])];
    for (title, script) in recipes {
        let input = if title.starts_with("MCP Inspector") { modern() } else { legacy() };
        if !title.starts_with("curl") {
            let ended = bash(home.path(), script, &path, &input);
            assert_eq!(ended.status, 0, "{title}: {ended:?}");
            assert_conversation(&ended);
        } else if there_is("curl", "what the demo prints for curl") {
            let ended = bash(home.path(), script, &path, "");
            let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
            assert!(answer["result"]["structuredContent"]["uptime_seconds"].is_number(), "{ended:?}");
        }
        assert!(!script.contains("-H \"Authorization"), "a token would stand in the list of processes: {script}");
    }
    running.signal(Signal::INT);
    assert_eq!(running.end(Duration::from_secs(5)).status, 0);
    let audit = fs::read_to_string(home.path().join("demo/audit.jsonl")).unwrap();
    assert!(audit.lines().last().unwrap().contains("\"stop\""), "{audit}");
}
