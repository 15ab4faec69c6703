//! The socket for operators: who may ask, and what is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::world::premises::Premises;
use crate::world::program::{doorward, there_is};
use crate::world::wire;

const LIMITS: &str = "resources: {rate_limit: {requests_per_minute: 60, requests_per_hour: 1000, burst: 10}}\n\
     budgets: {places: {per_caller: 3}, spread: {targets_per_hour: 20, bytes_per_day: 1000000}}\n";

fn premises() -> Premises {
    let premises = Premises::new();
    premises.configure(&format!("{LIMITS}operator: {{socket: {}}}\n", premises.name("admin.sock")));
    premises
}

async fn call(premises: &Premises, port: u16, subject: &str) {
    let mut stream = wire::connect(premises.root(), port, Some("client")).await.unwrap();
    let request = wire::post(port, &premises.token(subject), &wire::call("get_uptime", json!({})));
    let answer = wire::exchange(&mut stream, &request).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_what_is_left_and_looking_takes_nothing() {
    doorward::transport::tls::install_provider();
    let premises = premises();
    let (running, port) = premises.serve();
    for subject in ["alice", "alice", "alice", "bob"] {
        call(&premises, port, subject).await;
    }
    let show = |arguments: &[&str]| {
        let all = [&["budget", "show"], arguments, &["--config", "doorward.yaml"]].concat();
        doorward(premises.root(), &all).well()
    };
    let text = show(&[]);
    assert!(text.starts_with("places   0 of 5 taken, 0 waiting\n"), "{text}");
    for line in [
        "alice",
        "bob",
        "of 10 left, 60 a minute",
        "of 1000 left, 1000 an hour",
        "targets of the last hour               1 of 20",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    for _ in 0..3 {
        let seen: Value = serde_json::from_str(&show(&["alice", "--json"])).unwrap();
        let callers = seen["callers"].as_array().unwrap();
        assert_eq!((callers.len(), &callers[0]["caller"]), (1, &json!("alice")));
        assert_eq!(callers[0]["rates"][1]["left"], 997, "{seen}");
        assert!(callers[0]["bytes"].as_u64().unwrap() > 100, "{seen}");
        assert_eq!(callers[0]["running"], 0);
    }
    let seen: Value = serde_json::from_str(&show(&["nobody", "--json"])).unwrap();
    assert_eq!(seen["callers"], json!([]));
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_answered() {
    let premises = premises();
    let (running, _) = premises.serve();
    let socket = premises.path("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    if rustix::process::geteuid().is_root() && there_is("setpriv", "another user at the socket") {
        // As if somebody had opened it to everybody: the kernel still says who asks.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(premises.root(), fs::Permissions::from_mode(0o755)).unwrap();
        let script = format!(
            "import socket\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(5)\ns.connect({:?})\n\
             s.sendall(b'GET /budgets HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\nprint(len(s.recv(100)))\n",
            socket.display().to_string()
        );
        let ask = |user: &str| {
            let mut command = crate::world::program::command("setpriv", std::path::Path::new("/"));
            command.args(["--reuid", user, "--clear-groups", "/usr/bin/python3", "-c", &script]);
            crate::world::program::finish(command, "")
        };
        assert_eq!(ask("0").well().trim(), "100");
        let refused = ask("65534");
        assert!(refused.stdout.trim() == "0" || refused.stderr.contains("Error"), "{refused:?}");
        assert_ne!(refused.stdout.trim(), "100");
    }
    drop(running);
    let late = doorward(premises.root(), &["budget", "show", "--socket", &premises.name("admin.sock")]);
    assert_eq!((late.status, late.stderr.contains("the daemon does not answer")), (3, true), "{late:?}");
    let unnamed = doorward(premises.root(), &["budget", "show"]);
    assert_eq!((unnamed.status, unnamed.stderr.contains("there is no socket for operators")), (1, true), "{unnamed:?}");
}
