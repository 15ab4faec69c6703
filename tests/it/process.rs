//! `doorward serve` as a process: signals, crashes, busy ports, and a conversation over a pipe.

use std::fs;
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::premises::Premises;
use crate::world::program::{DOORWARD, Running, command, doorward, finish};
use crate::world::talk;
use crate::world::wire::{self, Answer};

/// "Within seconds": the grace for running calls is ten.
const SOON: Duration = Duration::from_secs(60);

async fn ask(premises: &Premises, port: u16, message: &Value) -> Answer {
    let mut stream = wire::connect(premises.root(), port, Some("client")).await.unwrap();
    let post = wire::post(port, &premises.token("alice"), message);
    wire::exchange(&mut stream, &post).await.unwrap()
}

#[tokio::test]
async fn it_serves_reloads_on_sighup_and_stops_on_sigterm() {
    let premises = Premises::new();
    let (mut running, port) = premises.serve();
    let call = wire::call("get_uptime", json!({}));
    let answer = ask(&premises, port, &call).await;
    assert!(answer.json()["result"]["structuredContent"]["uptime_seconds"].is_number(), "{answer:?}");

    // Nothing has changed, so what reloads it is the signal.
    running.signal(Signal::HUP);
    running.until(|running| running.stderr().contains("SIGHUP").then_some(()));
    assert_eq!(premises.count("config_reload", Some("success")), 1);

    premises.configure("scopes: {core: [get_cpu_info]}");
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("success")) >= 2).then_some(()));
    assert_eq!(ask(&premises, port, &call).await.reason().as_deref(), Some("unknown_tool"));

    premises.configure("scopes: {core: [get_uptimes]}");
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("refused")) >= 1).then_some(()));
    running.until(|running| running.stderr().contains("the old one goes on").then_some(()));
    assert_eq!(ask(&premises, port, &wire::call("get_cpu_info", json!({}))).await.status, 200);

    // A connection that says nothing holds nothing up.
    let idle = wire::connect(premises.root(), port, Some("client")).await.unwrap();
    running.signal(Signal::TERM);
    let ended = running.end(SOON);
    assert_eq!((ended.status, ended.stdout.as_str()), (0, ""), "{ended:?}");
    let audit = premises.audit();
    assert_eq!((&audit[0]["event"], &audit[audit.len() - 1]["event"]), (&"start".into(), &"stop".into()));
    drop(idle);
}

#[test]
fn a_reload_that_waits_keeps_nobody_from_stopping_the_daemon() {
    let premises = Premises::new();
    // Out of the sandbox no issuer is reached that the first configuration did not name.
    premises.configure("sandbox: {mode: off}");
    let (mut running, _) = premises.serve();
    let config = premises.path("doorward.yaml");
    let text = fs::read_to_string(&config).unwrap();
    // A pipe that nobody writes to is no configuration, and is not waited for.
    fs::remove_file(&config).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &config, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("refused")) >= 1).then_some(()));
    // An issuer that takes the connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("jwks_uri: https://{}/keys\n    jwks_timeout: 3600", silent.local_addr().unwrap());
    let from = "public_key: token-key.pub.pem";
    assert!(text.contains(from), "{text}");
    fs::remove_file(&config).unwrap();
    fs::write(&config, text.replace(from, &uri)).unwrap();
    running.signal(Signal::HUP);
    silent.accept().unwrap();
    running.signal(Signal::TERM);
    assert_eq!(running.end(SOON).status, 0);
    assert_eq!(premises.audit().last().unwrap()["event"], "stop");
}

#[tokio::test]
async fn a_call_that_runs_when_it_is_told_to_stop_gets_its_answer() {
    let premises = Premises::new();
    let (mut running, port) = premises.serve();
    let call = wire::call("get_cpu_info", json!({ "sample_ms": 500 }));
    let asking = ask(&premises, port, &call);
    let stopping = async {
        while premises.count("query", Some("permitted")) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.signal(Signal::TERM);
    };
    let both = async { tokio::join!(asking, stopping) };
    let (answer, ()) = tokio::time::timeout(SOON, both).await.unwrap();
    assert!(answer.json()["result"]["structuredContent"].is_object(), "{answer:?}");
    running.until(|_| (premises.count("query", Some("success")) == 1).then_some(()));
    assert_eq!(running.end(SOON).status, 0);
    assert_eq!(premises.audit().last().unwrap()["event"], "stop");
}

/// Calls one after another, each by another user, until the connection breaks; says whose calls were answered.
async fn call_until_it_breaks(premises: &Premises, port: u16, name: usize, answered: &Mutex<Vec<String>>) {
    let Ok(mut stream) = wire::connect(premises.root(), port, Some("client")).await else { return };
    for number in 0.. {
        let user = format!("user-{name}-{number}");
        let call = wire::call("get_cpu_info", json!({ "sample_ms": 100 }));
        let post = wire::post(port, &premises.token(&user), &call);
        let Ok(answer) = wire::exchange(&mut stream, &post).await else { return };
        assert!(answer.json()["result"]["structuredContent"].is_object(), "{answer:?}");
        answered.lock().unwrap().push(user);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_every_answered_call_is_in_the_journal_and_the_journal_goes_on() {
    const CLIENTS: usize = 12;
    let premises = Premises::new();
    premises.configure("resources: {max_concurrent_queries: 64}");
    let (running, port) = premises.serve();
    let answered = Mutex::new(Vec::new());
    let clients =
        futures_util::future::join_all((0..CLIENTS).map(|name| call_until_it_breaks(&premises, port, name, &answered)));
    let killing = async {
        while answered.lock().unwrap().len() < 5 * CLIENTS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.signal(Signal::KILL);
    };
    tokio::time::timeout(4 * SOON, async { tokio::join!(clients, killing) }).await.unwrap();
    let answered = answered.into_inner().unwrap();
    assert_eq!(running.end(SOON).status, -1);

    let before = fs::read(premises.path("audit.jsonl")).unwrap();
    let records = premises.audit();
    let of = |user: &str, stage: &str| {
        let fits = |record: &&Value| record["user"] == user && record["stage"] == stage;
        let found: Vec<&Value> = records.iter().filter(fits).collect();
        assert_eq!(found.len(), 1, "{stage} of {user}");
        found[0].clone()
    };
    for user in &answered {
        let (decision, outcome) = (of(user, "decision"), of(user, "outcome"));
        assert_eq!((&decision["result"], &outcome["result"]), (&"permitted".into(), &"success".into()));
        assert_eq!(decision["id"], outcome["id"]);
    }
    let stages = |stage: &str| records.iter().filter(|record| record["stage"] == stage).count();
    assert!(stages("decision") > stages("outcome"), "it was not killed in the midst of calls");

    let (running, port) = premises.serve();
    assert_eq!(ask(&premises, port, &wire::call("get_uptime", json!({}))).await.status, 200);
    drop(running);
    assert!(fs::read(premises.path("audit.jsonl")).unwrap().starts_with(&before));
    assert_eq!(premises.count("start", None), 2);
}

#[test]
fn what_keeps_it_from_serving_is_said() {
    let premises = Premises::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let serve = |variable: (&str, &str)| {
        let mut command = command(DOORWARD, premises.root());
        command.args(["serve", "--config", "doorward.yaml"]).env(variable.0, variable.1);
        finish(command, "")
    };
    for key in ["DOORWARD__TLS__BIND", "DOORWARD__METRICS__BIND"] {
        let ended = serve((key, &address));
        assert_eq!(ended.status, 3, "{ended:?}");
        assert!(
            ended.stderr.contains(&format!("doorward: cannot listen on {address}: Address already in use")),
            "{ended:?}"
        );
    }
    let ended = serve(("DOORWARD__TLS__MIN_VERSION", "1.1"));
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("DOORWARD__TLS__MIN_VERSION") && ended.stderr.contains("1 finding"), "{ended:?}");
    fs::write(premises.path("token-key.pub.pem"), "no key").unwrap();
    let ended = serve(("UNRELATED", ""));
    assert_eq!((ended.status, ended.stdout.as_str()), (1, ""), "{ended:?}");
    assert!(!ended.stderr.is_empty());
}

#[tokio::test]
async fn the_most_talkative_log_holds_no_token() {
    let premises = Premises::new();
    premises.configure("log: {level: trace}");
    let (running, port) = premises.serve();
    let token = premises.token("alice");
    for message in [wire::call("get_uptime", json!({})), wire::call("get_uptime", json!({})), json!({ "bad": token })] {
        let mut stream = wire::connect(premises.root(), port, Some("client")).await.unwrap();
        wire::exchange(&mut stream, &wire::post(port, &token, &message)).await.unwrap();
    }
    running.signal(Signal::TERM);
    let ended = running.end(SOON);
    assert!(ended.stderr.contains("TRACE") || ended.stderr.contains("DEBUG"), "{ended:?}");
    let audit = fs::read_to_string(premises.path("audit.jsonl")).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    for secret in ["eyJ", signature] {
        assert!(!ended.stderr.contains(secret) && !audit.contains(secret), "{ended:?}\n{audit}");
    }
}

#[test]
fn without_a_configuration_it_speaks_over_the_pipe_and_ends_with_it() {
    let home = tempfile::tempdir().unwrap();
    let arguments = json!({ "sample_ms": 300 });
    for conversation in [talk::legacy("get_cpu_info", &arguments), talk::modern("get_cpu_info", &arguments)] {
        let mut serve = command(DOORWARD, home.path());
        serve.arg("serve");
        talk::assert_answered(&finish(serve, &conversation), "logical_processors");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "it leaves files about");
    assert_eq!(doorward(home.path(), &["serve"]).status, 0, "a client that says nothing is no failure");
}

#[test]
fn over_the_pipe_sigterm_stops_it_although_the_pipe_stays_open() {
    let home = tempfile::tempdir().unwrap();
    let mut serve = command(DOORWARD, home.path());
    serve.arg("serve").env("DOORWARD__AUDIT__ENABLED", "true");
    serve.env("DOORWARD__AUDIT__PATH", home.path().join("audit.jsonl"));
    let mut running = Running::start(serve);
    running.write(&talk::legacy("get_uptime", &json!({})));
    running.until(|running| running.stdout().contains("uptime_seconds").then_some(()));
    running.signal(Signal::TERM);
    assert_eq!(running.end(SOON).status, 0);
    let audit = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains("\"start\"") && audit.contains("\"stop\""), "{audit}");
}
