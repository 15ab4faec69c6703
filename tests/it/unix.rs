//! The unix socket: who calls is the user the kernel names, and a request meets what it meets over https.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::clock::Clock;
use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

use crate::world::premises::Premises;
use crate::world::program::{DOORWARD, Ended, Running, bash, command, finish, there_is};
use crate::world::wire::{self, Answer, Era};
use crate::world::{Choice, World, talk};

/// Longest wait for what comes soon.
const SOON: Duration = Duration::from_secs(20);

/// A door on a unix socket and its place.
struct Local {
    home: tempfile::TempDir,
    running: Running,
}

impl Local {
    /// Serves with `more` in the section `socket`, and `rest` after it.
    fn open(more: &str, rest: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let running = Self::serve(home.path(), more, rest);
        Self { home, running }
    }

    fn serve(home: &Path, more: &str, rest: &str) -> Running {
        let root = home.display();
        let text = format!(
            "transport: unix\nsocket: {{path: {root}/door.sock{more}}}\naudit: {{path: {root}/audit.jsonl}}\n{rest}\n"
        );
        fs::write(home.join("doorward.yaml"), text).unwrap();
        let mut serve = command(DOORWARD, home);
        serve.args(["serve", "--config", "doorward.yaml"]);
        let mut running = Running::start(serve);
        running.until(|running| running.stderr().contains("serving").then_some(()));
        running
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("door.sock")
    }

    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.home.path().join("audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn ask(&self, bytes: &[u8]) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        wire::exchange(&mut stream, bytes).await.unwrap()
    }
}

fn request(token: Option<&str>, message: &Value) -> Vec<u8> {
    wire::request(80, Era::Legacy, token, message)
}

fn uptime() -> Vec<u8> {
    request(None, &wire::call("get_uptime", json!({})))
}

#[tokio::test]
async fn the_user_is_the_caller_and_needs_no_token() {
    let local = Local::open("", "");
    let socket = fs::metadata(local.socket()).unwrap();
    assert_eq!(socket.mode() & 0o777, 0o600);
    for era in [Era::Legacy, Era::Modern] {
        let answer = local.ask(&wire::request(80, era, None, &wire::call("get_uptime", json!({})))).await;
        assert!(answer.json()["result"]["structuredContent"]["uptime_seconds"].is_number(), "{answer:?}");
    }
    let uid = geteuid().as_raw();
    let decisions: Vec<Value> = local.records().into_iter().filter(|record| record["stage"] == "decision").collect();
    assert_eq!(decisions.len(), 2);
    for record in decisions {
        assert_eq!((&record["client"]["transport"], &record["user"]), (&"unix".into(), &format!("uid:{uid}").into()));
        assert_eq!(record["client"]["subject"], format!("uid={uid}"), "{record}");
        let scopes = record["scopes"].to_string();
        assert!(scopes.contains("core") && !scopes.contains("sensitive"), "{record}");
    }
    // What cannot be verified is not passed over.
    let token = local.ask(&request(Some("a.b.c"), &wire::call("get_uptime", json!({})))).await;
    assert_eq!(token.outcome(), "401 token_key_unknown");
    for (path, status) in [("/health", 200), ("/ready", 200), ("/metrics", 404)] {
        let probe = local.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
        assert_eq!(probe.status, status, "{path}");
    }
    local.running.signal(Signal::TERM);
    assert_eq!(local.running.end(SOON).status, 0);
    assert!(!local.home.path().join("door.sock").exists());
}

#[test]
fn each_user_is_a_caller_of_its_own_and_the_mode_keeps_users_out() {
    if !geteuid().is_root() || !there_is("curl", "another user at the unix socket") {
        assert!(!geteuid().is_root());
        eprintln!("!! not root: another user at the unix socket is NOT tested");
        return;
    }
    let ask = |socket: &Path, uid| -> Ended {
        let mut curl = command("curl", Path::new("/"));
        curl.uid(uid).gid(uid).args(["-sS", "--unix-socket"]).arg(socket);
        curl.args(["-H", "Content-Type: application/json", "-H", "Accept: application/json, text/event-stream"]);
        curl.args(["-H", "MCP-Protocol-Version: 2025-11-25", "http://localhost/mcp", "-d"]);
        curl.arg(wire::call("get_uptime", json!({})).to_string());
        finish(curl, "")
    };
    for (more, let_in) in [("", false), (", mode: 0660, group: 4711", true), (", mode: 0666, allow_others: true", true)]
    {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let local = Local { running: Local::serve(home.path(), more, ""), home };
        let ended = ask(&local.socket(), 4711);
        assert_eq!(ended.stdout.contains("uptime_seconds"), let_in, "{more}: {ended:?}");
        let other = ask(&local.socket(), 4712);
        assert_eq!(other.stdout.contains("uptime_seconds"), more.contains("0666"), "{more}: {other:?}");
        let users: Vec<Value> = local.records().iter().map(|record| record["user"].clone()).collect();
        assert_eq!(users.contains(&"uid:4711".into()), let_in, "{users:?}");
    }
}

#[tokio::test]
async fn with_auth_a_token_is_asked_for_as_over_https() {
    let premises = Premises::new();
    let auth = format!(
        "auth: {{jwt: {{issuer: {}, audience: {}, public_key: {}}}}}",
        crate::world::premises::ISSUER,
        crate::world::premises::AUDIENCE,
        premises.name("token-key.pub.pem")
    );
    let local = Local::open("", &auth);
    let call = wire::call("get_uptime", json!({}));
    let answer = local.ask(&uptime()).await;
    assert_eq!(answer.outcome(), "401 token_missing");
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer scope="));
    let token = premises.token("alice");
    assert_eq!(local.ask(&request(Some(&token), &call)).await.outcome(), "200");
    assert_eq!(local.ask(&request(Some(&token), &call)).await.outcome(), "401 token_replayed");
    let bound = premises.doorward(&format!(
        "token mint --key token-key.pem --issuer {} --audience {} --subject alice --scope core --cert client.crt",
        crate::world::premises::ISSUER,
        crate::world::premises::AUDIENCE
    ));
    assert_eq!(local.ask(&request(Some(bound.trim()), &call)).await.outcome(), "401 token_binding");
    let decision = local.records().into_iter().find(|record| record["stage"] == "decision").unwrap();
    assert_eq!((&decision["user"], &decision["client"]["jwt_sub"]), (&"alice".into(), &"alice".into()), "{decision}");
    assert_eq!(decision["client"]["subject"], format!("uid={}", geteuid().as_raw()));

    // Said not to be required it is honoured all the same.
    let local = Local::open(", require_token: false, scopes: [core]", &auth);
    assert_eq!(local.ask(&uptime()).await.outcome(), "200");
    assert_eq!(local.ask(&request(Some(&premises.token("bob")), &call)).await.outcome(), "200");
    assert_eq!(local.ask(&request(Some(&token.replace('.', "x.")), &call)).await.status, 401);
    let users: Vec<Value> =
        local.records().iter().filter(|r| r["stage"] == "decision").map(|r| r["user"].clone()).collect();
    assert_eq!(users, [format!("uid:{}", geteuid().as_raw()), "bob".to_owned()]);
}

/// Heads and bodies that something is wrong with, without a token.
fn wrong() -> Vec<String> {
    let head = |host: &str, more: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\n{more}"
        )
    };
    let body = |body: &str| head("localhost", &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    vec![
        head("evil.example", "Content-Length: 2\r\n\r\n{}"),
        head("localhost", "Origin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}"),
        head("localhost", "Host: localhost\r\nContent-Length: 2\r\n\r\n{}"),
        head("localhost", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        head("localhost", &format!("X: {}\r\nContent-Length: 2\r\n\r\n{{}}", "x".repeat(70_000))),
        head("localhost", "Content-Length: 300000\r\n\r\n"),
        head("localhost", "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /else HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        body("{"),
        body(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#),
        body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#),
        body(r#"{"jsonrpc":"2.0","id":1,"method":"prompts/list"}"#),
        body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"no_such_tool"}}"#),
        body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_uptime","arguments":{"x":1}}}"#),
    ]
}

#[tokio::test]
async fn a_request_meets_what_it_meets_over_https() {
    let world = World::open().await;
    let local = Local::open("", "");
    let mut reasons = Vec::new();
    for text in wrong() {
        let mut tls = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let bearer =
            format!("\r\nAuthorization: Bearer {}\r\nHost: localhost:{}\r\n", world.token(&["core"]), world.port);
        let with_token = text.replacen("\r\nHost: localhost\r\n", &bearer, 1);
        let https = wire::exchange(&mut tls, with_token.as_bytes()).await.unwrap();
        let unix = local.ask(text.as_bytes()).await;
        assert_eq!(unix.outcome(), https.outcome(), "{text}");
        let error = |answer: &Answer| answer.json().pointer("/error/message").cloned();
        assert_eq!(error(&unix), error(&https), "{text}");
        reasons.push(unix.outcome());
    }
    reasons.sort();
    reasons.dedup();
    assert!(reasons.len() >= 11, "{reasons:?}");
    let refused = local.records().into_iter().filter(|record| record["result"] == "refused").count();
    assert!(refused >= wrong().len() - 1, "{refused}: each has its record");
}

#[tokio::test]
async fn one_user_has_so_many_connections_and_an_idle_one_is_closed() {
    let local = Local::open("", "http: {max_connections_per_address: 2, header_timeout: 3, max_connections: 8}");
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(UnixStream::connect(local.socket()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut third = UnixStream::connect(local.socket()).await.unwrap();
    let read = tokio::time::timeout(SOON, third.read(&mut [0; 16])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    for mut idle in held {
        let end = tokio::time::timeout(SOON, idle.read(&mut [0; 16])).await.unwrap();
        assert!(
            matches!(end, Ok(0) | Err(_)),
            "a client that says nothing is waited for no longer than header_timeout"
        );
    }
    let many = local.records().into_iter().find(|record| record["reason"] == "too_many_connections").unwrap();
    assert_eq!(many["client"]["subject"], format!("uid={}", geteuid().as_raw()));
    // The places of those that are gone are free again, after a moment.
    for _ in 0..1000 {
        let mut stream = UnixStream::connect(local.socket()).await.unwrap();
        if wire::exchange(&mut stream, &uptime()).await.is_ok_and(|answer| answer.outcome() == "200") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no place becomes free: {:?}", local.records());
}

#[tokio::test]
async fn what_is_not_http_ends_in_time_and_harms_nobody() {
    let local =
        Local::open("", "http: {header_timeout: 1, idle_timeout: 2, body_timeout: 1, max_connection_age: 3600}");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let half = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Accept: application/json, text/event-stream\r\nContent-Length: 100\r\n\r\n{"
        .to_vec();
    let long = [b"GET /".to_vec(), vec![b'a'; 1 << 20]].concat();
    for (first, drip) in [
        (hello, &b"\x00"[..]),
        (preface.clone(), b"\x00"),
        ([preface, vec![0xff; 4096]].concat(), b"\xff"),
        (b"SSH-2.0-x\r\n".to_vec(), b"x"),
        (b"POST /mcp HTTP/1.1\r\nX: ".to_vec(), b"x"),
        (half, b" "),
        (long, b"a"),
        (Vec::new(), b"P"),
    ] {
        let stream = UnixStream::connect(local.socket()).await.unwrap();
        let (took, read) = wire::endure(stream, &first, drip).await;
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert!(!String::from_utf8_lossy(&read).contains("HTTP/1.1 200"), "{first:?}");
        assert_eq!(local.ask(&uptime()).await.outcome(), "200");
    }
}

#[tokio::test]
async fn after_kill_9_the_next_one_serves_and_a_second_one_does_not() {
    let mut local = Local::open("", "");
    let second = {
        let mut serve = command(DOORWARD, local.home.path());
        serve
            .args(["serve", "--config", "doorward.yaml"])
            .env("DOORWARD__AUDIT__PATH", local.home.path().join("2.jsonl"));
        finish(serve, "")
    };
    assert_eq!(second.status, 3, "{second:?}");
    assert!(second.stderr.contains("another process serves on it"), "{second:?}");
    assert_eq!(local.ask(&uptime()).await.outcome(), "200");
    local.running.signal(Signal::KILL);
    let home = local.home.path().to_owned();
    local.running = {
        let before = std::mem::replace(&mut local.running, Running::start(command("true", &home)));
        assert_eq!(before.end(SOON).status, -1);
        assert!(home.join("door.sock").exists());
        Local::serve(&home, "", "")
    };
    assert_eq!(local.ask(&uptime()).await.outcome(), "200");
    // What somebody else has put in its place meanwhile stays.
    fs::remove_file(local.socket()).unwrap();
    fs::write(local.socket(), "precious").unwrap();
    local.running.signal(Signal::TERM);
    assert_eq!(local.running.end(SOON).status, 0);
    assert_eq!(fs::read_to_string(home.join("door.sock")).unwrap(), "precious");
}

#[tokio::test]
async fn a_reload_keeps_the_socket_and_counts_for_open_connections() {
    let local = Local::open("", "");
    let inode = fs::metadata(local.socket()).unwrap().ino();
    let mut stream = UnixStream::connect(local.socket()).await.unwrap();
    assert_eq!(wire::exchange(&mut stream, &uptime()).await.unwrap().outcome(), "200");
    let path = local.home.path().join("doorward.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\nscopes: {{core: [get_cpu_info]}}\n")).unwrap();
    local.running.signal(Signal::HUP);
    let mut answer = None;
    for _ in 0..2000 {
        answer = Some(wire::exchange(&mut stream, &uptime()).await.unwrap().json());
        if answer.as_ref().unwrap()["error"].is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(answer.unwrap()["error"]["data"]["reason"], "unknown_tool");
    assert_eq!(fs::metadata(local.socket()).unwrap().ino(), inode);
    fs::set_permissions(local.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    fs::write(&path, &text).unwrap();
    local.running.signal(Signal::HUP);
    let mut kept = false;
    for _ in 0..2000 {
        kept = local.running.stderr().contains("can be written to by others");
        if kept {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(kept, "{}", local.running.stderr());
    fs::set_permissions(local.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, text.replace("transport: unix", "transport: stdio")).unwrap();
    local.running.signal(Signal::HUP);
    let mut refused = false;
    for _ in 0..2000 {
        refused = local.running.stderr().contains("another transport takes effect only after a restart");
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(refused, "{}", local.running.stderr());
    assert_eq!(wire::exchange(&mut stream, &uptime()).await.unwrap().status, 200);
}

#[tokio::test]
async fn both_transports_serve_side_by_side() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("door.sock");
    let more = format!("socket: {{path: {}, require_token: false}}", socket.display());
    let choice = Choice { more, transport: Some("[unix, https]".to_owned()), ..Choice::default() };
    let world = World::with(choice).await;
    assert_eq!(world.daemon.socket(), Some(socket.canonicalize().unwrap()));
    assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "200");
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    assert_eq!(wire::exchange(&mut stream, &uptime()).await.unwrap().outcome(), "200");
    // The user of this machine counts over the socket only.
    let mut tls = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let naked = wire::request(world.port, Era::Legacy, None, &wire::call("get_uptime", json!({})));
    assert_eq!(wire::exchange(&mut tls, &naked).await.unwrap().outcome(), "401 token_missing");
    let transports: Vec<Value> =
        world.audit().iter().filter(|r| r["stage"] == "decision").map(|r| r["client"]["transport"].clone()).collect();
    assert_eq!(transports, ["https", "unix"]);
    world.reload().await;
    assert_eq!(wire::exchange(&mut stream, &uptime()).await.unwrap().outcome(), "200");
    let (_estate, daemon) = world.into_parts();
    daemon.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn each_transport_is_ready_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("door.sock");
    let hour = Duration::from_secs(3600);
    let clock = Clock::manual(Clock::system().now());
    let choice = Choice {
        more: format!("socket: {{path: {}, require_token: false}}", socket.display()),
        transport: Some("[https, unix]".to_owned()),
        clock: Some(clock.clone()),
        list_life: Some(2 * hour),
        probes: Some(0),
        ..Choice::default()
    };
    let world = World::with(choice).await;
    clock.advance(2 * hour);
    let late = world.daemon.ready(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(late.cause().unwrap(), "the revocation list is out of date");
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    let ready = wire::exchange(&mut stream, b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    assert_eq!((ready.status, ready.json()["ready"].clone()), (200, json!(true)));
    assert_eq!(wire::exchange(&mut stream, &uptime()).await.unwrap().outcome(), "200");
    let mut probe = tokio::net::TcpStream::connect(world.daemon.probes().unwrap()).await.unwrap();
    let all = wire::exchange(&mut probe, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(all.status, 503, "{all:?}");
}

/// Takes sockets as systemd does, and becomes the program.
const HAND_OVER: &str = r#"
import os, socket, sys
names, program, path = sys.argv[1], sys.argv[2:], os.environ["SOCKET"]
handed = []
for name in names.split(":"):
    if name in ("unix", "wide"):
        one = socket.socket(socket.AF_UNIX); one.bind(path); os.chmod(path, 0o666 if name == "wide" else 0o600)
    elif name == "datagram":
        one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); one.bind(path + ".d")
    else:
        one = socket.socket(); one.bind(("127.0.0.1", 0)); print(name, one.getsockname()[1], flush=True)
    if name not in ("datagram", "deaf"): one.listen()
    handed.append(one)
copies = [os.dup(one.fileno()) for one in handed]
copies = [os.dup2(copy, 40 + at) for at, copy in enumerate(copies)]
for at, copy in enumerate(copies): os.dup2(copy, 3 + at, inheritable=True); os.close(copy)
os.environ.update(LISTEN_FDS=str(len(handed)), LISTEN_FDNAMES=names, LISTEN_PID=os.environ.get("PRETEND", str(os.getpid())))
os.execv(program[0], program)
"#;

fn activated(premises: &Premises, names: &str, pretend: Option<&str>) -> Running {
    let mut run = command("python3", premises.root());
    run.args(["-c", HAND_OVER, names, DOORWARD, "serve", "--config", "doorward.yaml"]);
    run.env("SOCKET", premises.path("handed.sock")).envs(pretend.map(|pid| ("PRETEND", pid)));
    Running::start(run)
}

#[tokio::test]
async fn sockets_that_are_handed_over_are_served_each_by_its_kind() {
    let premises = Premises::new();
    let configured = premises.path("configured.sock");
    let text = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let text = text.replace("transport: https", "transport: [unix, https]");
    let more = format!("socket: {{path: {}, require_token: false}}\n", configured.display());
    fs::write(premises.path("doorward.yaml"), text + &more).unwrap();
    let mut running = activated(&premises, "https:unix:probes", None);
    running.until(|running| running.stderr().contains("serving").then_some(()));
    let said = running.stdout();
    let port = |name: &str| -> u16 {
        let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    let mut tls = wire::connect(premises.root(), port("https"), Some("client")).await.unwrap();
    let call = wire::call("get_uptime", json!({}));
    let answer = wire::exchange(&mut tls, &wire::post(port("https"), &premises.token("alice"), &call)).await.unwrap();
    assert_eq!(answer.outcome(), "200");
    let mut stream = UnixStream::connect(premises.path("handed.sock")).await.unwrap();
    assert_eq!(wire::exchange(&mut stream, &uptime()).await.unwrap().outcome(), "200");
    let mut probe = tokio::net::TcpStream::connect(("127.0.0.1", port("probes"))).await.unwrap();
    let health = wire::exchange(&mut probe, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(health.status, 200);
    assert!(!configured.exists(), "what was handed over stands for what is configured");
    running.signal(Signal::TERM);
    assert_eq!(running.end(SOON).status, 0);
    assert!(premises.path("handed.sock").exists(), "it is systemd's");
}

#[test]
fn what_is_handed_over_and_cannot_be_served_keeps_the_door_shut() {
    let premises = Premises::new();
    for (names, says) in [
        ("unix", "a socket was handed over for unix, which the configuration does not serve"),
        ("https:main", "main: a second one for https"),
        ("datagram", "datagram: neither a TCP nor a unix stream socket"),
        ("deaf", "deaf: nobody listens on it"),
    ] {
        let _ = fs::remove_file(premises.path("handed.sock"));
        let _ = fs::remove_file(premises.path("handed.sock.d"));
        let ended = activated(&premises, names, None).end(SOON);
        assert_eq!(ended.status, 1, "{names}: {ended:?}");
        assert!(ended.stderr.contains(says), "{names}: {ended:?}");
    }
    // Left to itself systemd lets everybody in.
    let _ = fs::remove_file(premises.path("handed.sock"));
    let text = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let unix = format!("transport: unix\nsocket: {{path: {}}}\n", premises.name("handed.sock"));
    fs::write(premises.path("doorward.yaml"), format!("{unix}audit: {{path: audit.jsonl}}\n")).unwrap();
    let ended = activated(&premises, "wide", None).end(SOON);
    assert!(ended.status == 1 && ended.stderr.contains("can be written to by others"), "{ended:?}");
    fs::write(premises.path("doorward.yaml"), text).unwrap();
    // The process that is started for a client has no use for any.
    let _ = fs::remove_file(premises.path("handed.sock"));
    let text = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    fs::write(premises.path("doorward.yaml"), "transport: stdio\n").unwrap();
    let ended = activated(&premises, "unix", None).end(SOON);
    assert!(ended.status == 1 && ended.stderr.contains("handed over for unix"), "{ended:?}");
    fs::write(premises.path("doorward.yaml"), text).unwrap();
    // Meant for another process: nothing is taken, and the configured address is listened on.
    let _ = fs::remove_file(premises.path("handed.sock"));
    let mut running = activated(&premises, "unix", Some("1"));
    running.until(|running| running.stderr().contains("serving").then_some(()));
}

#[test]
fn connect_reaches_the_socket_for_clients_that_start_a_program() {
    let local = Local::open("", "");
    for conversation in [talk::legacy("get_uptime", &json!({})), talk::modern("get_uptime", &json!({}))] {
        let mut connect = command(DOORWARD, local.home.path());
        connect.args(["connect", "--socket"]).arg(local.socket());
        let ended = finish(connect, &conversation);
        talk::assert_answered(&ended, "uptime_seconds");
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
    }
    let mut absent = command(DOORWARD, local.home.path());
    absent.args(["connect", "--socket", "absent.sock"]);
    let ended = finish(absent, &talk::modern("get_uptime", &json!({})));
    assert_eq!(ended.messages()[0]["error"]["data"]["reason"], "upstream", "{ended:?}");
}

#[test]
fn a_place_that_others_can_write_to_keeps_the_door_shut() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let checked = bash(
        home.path(),
        "doorward check || true; doorward serve",
        &[
            ("DOORWARD__TRANSPORT", "unix".to_owned()),
            ("DOORWARD__SOCKET__PATH", home.path().join("door.sock").display().to_string()),
            ("DOORWARD__AUDIT__PATH", home.path().join("audit.jsonl").display().to_string()),
        ],
        "",
    );
    assert_eq!(checked.status, 1, "{checked:?}");
    assert!(checked.stderr.contains("DOORWARD__SOCKET__PATH") && checked.stderr.contains("can be written by others"));
    assert!(!home.path().join("door.sock").exists());
}
