//! docs/transports.md: each command and each configuration of the page, as it stands; and one answer over every transport.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::world::premises::Premises;
use crate::world::program::{DOORWARD, Ended, Running, bash, command, finish, there_is};
use crate::world::sshd::Sshd;
use crate::world::wire::{self, Era};
use crate::world::{Choice, World, talk};

const PAGE: &str = include_str!("../../docs/transports.md");
const SCRIPT: &str = include_str!("../../scripts/clients");

/// The blocks of the page in their order: what the comment before each says, its name, its text.
fn blocks() -> Vec<(&'static str, &'static str, &'static str)> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("\n```") {
        let (text, more) = after.split_once("\n```").unwrap();
        let comment = before.lines().last().unwrap();
        let comment = comment.strip_prefix("<!-- ").and_then(|comment| comment.strip_suffix(" -->"));
        let (how, name) = comment.and_then(|comment| comment.rsplit_once(": ")).unwrap_or_else(|| panic!("{text}"));
        blocks.push((how, name, text.split_once('\n').unwrap().1));
        rest = more;
    }
    blocks
}

fn block(name: &str) -> &'static str {
    blocks().into_iter().find(|block| block.1 == name).unwrap_or_else(|| panic!("no block {name}")).2
}

#[test]
fn every_block_of_the_page_is_tried() {
    let source = include_str!("transports.rs");
    for (how, name, _) in blocks() {
        let quoted = format!("\"{name}\"");
        assert!(source.contains(&quoted), "nothing here tries {name}");
        if how.contains("by scripts/clients") {
            assert!(SCRIPT.contains(name), "scripts/clients does not run {name}");
        }
    }
}

/// Replies to what the recipes ask: the handshake, then a call.
#[track_caller]
fn assert_called(ended: &Ended) {
    let answers = ended.messages();
    assert_eq!((ended.status, answers.len()), (0, 2), "{ended:?}");
    assert!(answers[1]["result"]["structuredContent"]["uptime_seconds"].is_number(), "{ended:?}");
}

/// A daemon with a configuration of the page, in a directory that stands for those it names.
struct Served {
    home: tempfile::TempDir,
    running: Running,
}

/// Puts `home` in the place of the directories of the page.
fn placed(home: &Path, name: &str) -> String {
    let home = home.display().to_string();
    let text = ["/run/doorward", "/var/log/doorward", "/etc/doorward"]
        .iter()
        .fold(block(name).to_owned(), |text, directory| text.replace(directory, &home));
    // The tests make no group; this one they are in.
    text.replace("group: doorward", &format!("group: {}", rustix::process::getegid().as_raw()))
}

impl Served {
    fn open(name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("doorward.yaml"), placed(home.path(), name)).unwrap();
        let mut serve = command(DOORWARD, home.path());
        serve.args(["serve", "--config", "doorward.yaml"]);
        let mut running = Running::start(serve);
        running.until(|running| running.stderr().contains("serving").then_some(()));
        Self { home, running }
    }

    fn socket(&self) -> String {
        self.home.path().join("doorward.sock").display().to_string()
    }

    fn run(&self, name: &str) -> Ended {
        bash(self.home.path(), block(name), &[("SOCKET", self.socket())], "")
    }
}

#[test]
fn stdio_serves_whoever_starts_it() {
    let home = tempfile::tempdir().unwrap();
    assert_called(&bash(home.path(), block("stdio"), &[], ""));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    fs::write(home.path().join("doorward.yaml"), placed(home.path(), "stdio-audit")).unwrap();
    let with_config = block("stdio").replace("doorward serve", "doorward serve --config doorward.yaml");
    assert_called(&bash(home.path(), &with_config, &[], ""));
    let audit = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains(&format!("\"uid:{}\"", geteuid().as_raw())), "{audit}");
}

#[test]
fn clients_are_told_to_start_what_works() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("bin")).unwrap();
    for name in ["claude", "mcp-inspector"] {
        let path = home.path().join("bin").join(name);
        fs::write(&path, include_str!("../cases/clients/stand-in.sh")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = Path::new(DOORWARD).parent().unwrap().display();
    let before = std::env::var("PATH").unwrap_or_default();
    let path = ("PATH", format!("{}/bin:{program}:{before}", home.path().display()));
    for (name, conversation) in [
        ("claude-code-stdio", talk::legacy("get_uptime", &json!({}))),
        ("inspector-stdio", talk::modern("get_uptime", &json!({}))),
    ] {
        let ended = bash(home.path(), block(name), &[path.clone(), ("ERA", "auto".to_owned())], &conversation);
        assert_eq!(ended.status, 0, "{name}: {ended:?}");
        talk::assert_answered(&ended, "uptime_seconds");
    }
}

#[test]
fn the_python_client_speaks_stdio_in_both_eras() {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients/bin/python");
    if !there_is(python, "the PyPI client (scripts/test installs it)") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut run = command(python, home.path());
    run.args(["-c", include_str!("../cases/clients/stdio.py"), DOORWARD, "serve"]);
    let said = finish(run, "").well();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("2026-07-28 ") && lines[2].starts_with("2025-11-25 "), "{said}");
    assert_eq!((lines[1], lines[3]), ("False True", "False True"), "{said}");
}

#[test]
fn the_socket_serves_curl_and_programs() {
    let served = Served::open("unix");
    assert_called(&served.run("connect"));
    if there_is("curl", "the recipe for a unix socket") {
        let answer = &served.run("curl").messages()[0];
        assert!(answer["result"]["structuredContent"]["uptime_seconds"].is_number(), "{answer}");
    }
    served.running.signal(Signal::TERM);
    assert_eq!(served.running.end(Duration::from_secs(20)).status, 0);
}

#[test]
fn several_transports_pass_the_check_and_serve() {
    let premises = Premises::new();
    for (from, to) in [("ca/ca.crt", "client-ca.crt"), ("token-key.pub.pem", "jwt-public.pem")] {
        fs::copy(premises.path(from), premises.path(to)).unwrap();
    }
    fs::write(premises.path("both.yaml"), placed(premises.root(), "both")).unwrap();
    premises.doorward("check --config both.yaml");
    let mut serve = command(DOORWARD, premises.root());
    serve.args(["serve", "--config", "both.yaml"]);
    serve.env("DOORWARD__TLS__BIND", "127.0.0.1:0").env("DOORWARD__METRICS__ENABLED", "false");
    let mut running = Running::start(serve);
    running.until(|running| {
        let said = running.stderr();
        (said.contains("address=127.0.0.1:") && said.contains("doorward.sock")).then_some(())
    });
}

#[test]
fn systemd_hands_the_socket_over() {
    let unit = include_str!("../../systemd/doorward.socket");
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert!(
        value("ListenStream").starts_with("/run/doorward/")
            && u32::from_str_radix(value("SocketMode"), 8).unwrap() <= 0o660
    );
    let home = tempfile::tempdir().unwrap();
    if there_is("systemd-analyze", "the socket unit") {
        fs::write(home.path().join("doorward.socket"), unit).unwrap();
        fs::write(home.path().join("doorward.service"), format!("[Service]\nExecStart={DOORWARD} serve\n")).unwrap();
        let mut verify = command("systemd-analyze", home.path());
        verify.args(["verify", "--man=no", "--recursive-errors=no", "./doorward.socket"]);
        let ended = finish(verify, "");
        assert!(ended.status == 0 && !ended.stderr.contains("Unknown key"), "{ended:?}");
    }
    if !there_is("systemd-socket-activate", "a socket that systemd hands over") {
        return;
    }
    fs::write(home.path().join("doorward.yaml"), placed(home.path(), "unix")).unwrap();
    let socket = value("ListenStream").replace("/run/doorward", &home.path().display().to_string());
    let mut activate = command("systemd-socket-activate", home.path());
    activate.args(["--listen", &socket, "--fdname", "doorward.socket", DOORWARD, "serve"]);
    activate.args(["--config", "doorward.yaml"]);
    let mut running = Running::start(activate);
    running.until(|_| Path::new(&socket).exists().then_some(()));
    // The first who comes starts the daemon, and is answered by it.
    assert_called(&bash(home.path(), block("connect"), &[("SOCKET", socket.clone())], ""));
    running.until(|running| running.stderr().contains("serving").then_some(()));
    running.signal(Signal::TERM);
    assert_eq!(running.end(Duration::from_secs(20)).status, 0);
    assert!(Path::new(&socket).exists(), "it is systemd's");
}

/// The words before the key in a line for `authorized_keys`, with the program and files of the test.
fn options(name: &str, home: &Path) -> String {
    let line = block(name).trim();
    let (options, key) = line.rsplit_once(" ssh-ed25519 ").unwrap();
    assert!(key.ends_with("agent") && !line.contains('\n'), "{line}");
    let home = home.display().to_string();
    ["/etc/doorward", "/run/doorward"]
        .iter()
        .fold(options.replace("/usr/local/bin/doorward", DOORWARD), |text, directory| text.replace(directory, &home))
}

#[test]
fn ssh_carries_stdio() {
    let Some(sshd) = Sshd::start("restrict") else { return };
    let run = |name: &str, more: &[(&'static str, String)], input: &str| {
        let variables = [&[sshd.search_path()], more].concat();
        bash(sshd.root(), block(name), &variables, input)
    };
    assert_called(&run("ssh", &[], ""));
    fs::write(sshd.path("bin/claude"), include_str!("../cases/clients/stand-in.sh")).unwrap();
    fs::set_permissions(sshd.path("bin/claude"), fs::Permissions::from_mode(0o755)).unwrap();
    for conversation in [talk::legacy("get_uptime", &json!({})), talk::modern("get_uptime", &json!({}))] {
        talk::assert_answered(&run("claude-code-ssh", &[], &conversation), "uptime_seconds");
    }
    let served = Served::open("unix");
    assert_called(&run("ssh-forward", &[("SOCKET", served.socket())], ""));
    let audit = fs::read_to_string(served.home.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains(&format!("\"uid:{}\"", geteuid().as_raw())), "{audit}");
    assert!(audit.contains("\"unix\""), "{audit}");
}

#[test]
fn a_restricted_key_can_call_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let config = format!("transport: https\naudit: {{path: {}}}\n", home.path().join("audit.jsonl").display());
    fs::write(home.path().join("ssh.yaml"), config).unwrap();
    let Some(sshd) = Sshd::start(&options("restricted", home.path())) else { return };
    let ssh = |arguments: &[&str], input: &str| {
        let mut ssh = command("/usr/bin/ssh", sshd.root());
        ssh.arg("-F").arg(sshd.path("ssh_config")).args(arguments);
        finish(ssh, input)
    };
    // Whatever is asked for, the answer is the door's.
    let conversation = talk::legacy("get_uptime", &json!({}));
    for asked in
        [&["restricted"][..], &["restricted", "cat", "/etc/passwd"], &["restricted", "doorward", "pki", "init"]]
    {
        talk::assert_answered(&ssh(&[&["-T"], asked].concat(), &conversation), "uptime_seconds");
        let nothing = ssh(&[&["-T"], asked].concat(), "");
        assert_eq!((nothing.status, nothing.stdout.as_str()), (0, ""), "{asked:?}: {nothing:?}");
    }
    assert!(!sshd.path("ca").exists());
    let files = ssh(&["-s", "restricted", "sftp"], "not MCP\n");
    assert!(!files.stdout.contains("SSH") && files.stdout.contains("malformed_json"), "{files:?}");
    // Neither a forwarded port, nor one that is asked for through it, nor a terminal.
    let inward = ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:1", "restricted"], "");
    assert!(inward.status != 0 && inward.stderr.contains("forwarding failed"), "{inward:?}");
    let outward = ssh(&["-W", "127.0.0.1:22", "restricted"], "");
    assert!(outward.status != 0, "{outward:?}");
    let terminal = ssh(&["-tt", "restricted"], "");
    assert!(terminal.stderr.contains("PTY allocation request failed"), "{terminal:?}");
    assert!(sshd.said().contains("Accepted publickey"), "{}", sshd.said());
    let audit = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"transport\":\"stdio\"") && !audit.contains("\"https\""), "{audit}");
}

#[test]
fn restricted_keys_share_the_daemon_behind_the_socket() {
    let served = Served::open("unix");
    let Some(sshd) = Sshd::start(&options("restricted-socket", served.home.path())) else { return };
    let conversation = talk::modern("get_uptime", &json!({}));
    // Two at a time, and each is answered.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut ssh = command("/usr/bin/ssh", sshd.root());
                ssh.arg("-F").arg(sshd.path("ssh_config")).args(["-T", "restricted", "cat", "/etc/passwd"]);
                talk::assert_answered(&finish(ssh, &conversation), "uptime_seconds");
            });
        }
    });
    let audit = fs::read_to_string(served.home.path().join("audit.jsonl")).unwrap();
    assert_eq!(audit.matches("\"stage\":\"outcome\"").count(), 2, "{audit}");
}

/// What is said of this message over stdio.
fn over_stdio(running: &mut Running, message: &Value) -> Vec<Value> {
    let before = running.stdout().lines().count();
    running.write(&format!("{message}\n"));
    running.until(|running| {
        let text = running.stdout();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let said: Vec<Value> = whole.lines().skip(before).map(|line| serde_json::from_str(line).unwrap()).collect();
        said.iter().any(|one| one["id"] == message["id"]).then_some(said)
    })
}

/// The messages of an answer over HTTP: one JSON text, or the events of a stream.
fn messages(answer: &wire::Answer) -> Vec<Value> {
    match answer.header("content-type") {
        Some("text/event-stream") => {
            let data = answer.body.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
            data.filter(|data| !data.is_empty()).map(|data| serde_json::from_str(data).unwrap()).collect()
        }
        _ => vec![answer.json()],
    }
}

/// With everything that changes from one moment to the next, or names the call, made equal.
fn still(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("id" | "code" | "progress" | "total" | "logical_processors" | "total_bytes", _) => {
                    (name.clone(), value.clone())
                }
                ("call", Value::String(_)) => (name.clone(), json!("the call")),
                _ => (name.clone(), still(value)),
            })
            .collect(),
        Value::Array(all) => all.iter().map(still).collect(),
        Value::Number(_) => json!("a number"),
        // What a tool says as text as well.
        Value::String(text) if text.starts_with('{') => json!("an object"),
        // The name of the call is another one each time.
        Value::String(text) => json!(text.split_once("call: ").map_or(text.as_str(), |(before, _)| before)),
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_over_every_transport() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("door.sock");
    let more = format!("socket: {{path: {}, require_token: false}}", socket.display());
    let world = World::with(Choice { more, transport: Some("[unix, https]".to_owned()), ..Choice::default() }).await;
    let scopes = "core: [get_cpu_info, get_memory_info, get_disk_info, get_network_info, get_processes, get_uptime, get_temperature]";
    let config = format!("transport: stdio\nscopes:\n  {scopes}\n  clock: [get_uptime]\n");
    fs::write(home.path().join("doorward.yaml"), config).unwrap();
    let mut serve = command(DOORWARD, home.path());
    serve.args(["serve", "--config", "doorward.yaml"]);
    let mut stdio = Running::start(serve);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
    });
    let ask = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let call = |name: &str, arguments: Value| ask("tools/call", json!({ "name": name, "arguments": arguments }));
    let discovered = ask("server/discover", json!({}));
    let rows = [
        discovered,
        wire::list(),
        call("get_uptime", json!({})),
        call("get_memory_info", json!({})),
        call("get_cpu_info", json!({})),
        call("get_cpu_info", json!({ "sample_ms": 50 })),
        call("get_uptime", json!({ "no_such": 1 })),
        call("get_processes", json!({ "limit": -1 })),
        call("no_such_tool", json!({})),
        call("get_env_vars", json!({})),
        ask("tools/list", json!({ "cursor": "x" })),
        ask("no/such/method", json!({})),
    ];
    let mut refused = 0;
    for (number, mut message) in rows.into_iter().enumerate() {
        message["id"] = json!(number + 100);
        let progress = message.pointer("/params/arguments/sample_ms").is_some();
        if progress {
            message["params"]["_meta"] = json!({ "progressToken": "p" });
        }
        let token = world.token(&["core", "clock"]);
        let with_meta = |mut message: Value| {
            let own = message["params"]["_meta"].take();
            let mut whole = meta.clone();
            for (name, value) in own.as_object().into_iter().flatten() {
                whole[name] = value.clone();
            }
            message["params"]["_meta"] = whole;
            message
        };
        let whole = with_meta(message.clone());
        let request = |token: Option<&str>| {
            let text = String::from_utf8(wire::request(world.port, Era::Modern, token, &message)).unwrap();
            let (head, _) = text.split_once("\r\n\r\n").unwrap();
            let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
            let body = whole.to_string();
            format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len()).into_bytes()
        };
        let mut tls = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let https = messages(&wire::exchange(&mut tls, &request(Some(&token))).await.unwrap());
        let mut unix = UnixStream::connect(&socket).await.unwrap();
        let unix = messages(&wire::exchange(&mut unix, &request(None)).await.unwrap());
        let stdio = over_stdio(&mut stdio, &whole);
        assert_eq!(progress, https.len() > 1, "{https:?}");
        let all = [&https, &unix, &stdio].map(|all| all.iter().map(still).collect::<Vec<_>>());
        assert_eq!(all[0], all[1], "unix: {message}");
        assert_eq!(all[0], all[2], "stdio: {message}");
        let last = https.last().unwrap();
        refused += usize::from(last["error"].is_object() || last["result"]["isError"] == true);
    }
    assert_eq!(refused, 6);
}
