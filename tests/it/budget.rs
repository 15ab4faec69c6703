//! What a query may take, on the built program: a file system whose server never answers, and what the classes allow.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::program::{DOORWARD, Running, bash, command, missing};

/// Sends a call and takes the answer with its id.
fn ask(running: &mut Running, id: u64, tool: &str, arguments: &Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": { "name": tool, "arguments": arguments } });
    running.write(&format!("{call}\n"));
    running.until(|running| {
        let text = running.stdout();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let mut answers = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        answers.find(|answer| answer["id"] == id)
    })
}

fn greet(running: &mut Running) {
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    running.write(&format!("{hello}\n{}\n", json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })));
    running.until(|running| running.stdout().contains('\n').then_some(()));
}

/// Mounts at `dead`, for itself and what it starts, a file system whose server takes no question, and goes on as `$@`.
fn with_a_dead_mount(home: &Path, rest: &str) -> String {
    let dead = home.join("dead").display().to_string();
    format!(
        "exec unshare --mount --propagation private bash -c 'exec 3<>/dev/fuse && mount -i -t fuse \
         -o fd=3,rootmode=40000,user_id=0,group_id=0 dead {dead} && {rest}'"
    )
}

#[test]
fn a_file_system_whose_server_is_gone_costs_the_threads_of_one_query_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("dead")).unwrap();
    let possible = bash(home.path(), &with_a_dead_mount(home.path(), "true"), &[], "");
    if possible.status != 0 {
        missing("fuse", "a file system whose server is gone");
        return;
    }
    let config = "resources: {query_timeout: 150, max_concurrent_queries: 64}\naudit: {path: audit.jsonl}\n";
    fs::write(home.path().join("doorward.yaml"), config).unwrap();
    let mut serve = command("bash", home.path());
    serve.args(["-c", &with_a_dead_mount(home.path(), &format!("exec {DOORWARD} serve --config doorward.yaml"))]);
    let mut running = Running::start(serve);
    greet(&mut running);
    let dead = json!({ "mount": home.path().join("dead"), "remote": true });
    for id in 1..=10 {
        let answer = ask(&mut running, id, "get_disk_info", &dead);
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        let said = if id <= 2 { "150 ms" } else { "2 calls of get_disk_info are running or hang" };
        assert!(text.contains(said), "{answer}");
    }
    // Every thread of that query hangs in the kernel by now; the others answer as ever.
    let hanging = fs::read_dir(format!("/proc/{}/task", running.id())).unwrap().filter(|task| {
        let stat = fs::read_to_string(task.as_ref().unwrap().path().join("wchan")).unwrap_or_default();
        stat.contains("fuse") || stat.contains("request_wait")
    });
    assert_eq!(hanging.count(), 2, "a query never holds all three places of its class");
    for (id, tool) in [(20, "get_uptime"), (21, "get_memory_info"), (22, "get_network_info")] {
        let answer = ask(&mut running, id, tool, &json!({}));
        assert!(answer["result"]["structuredContent"].is_object(), "{tool}: {answer}");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.end(Duration::from_secs(20)).status, 0, "what hangs does not keep it from ending");
    let audit = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    assert_eq!(audit.matches("\"reason\":\"timed_out\"").count(), 2, "{audit}");
    assert_eq!(audit.matches("\"reason\":\"too_many_calls\"").count(), 8, "{audit}");
    let limits = audit.lines().filter(|line| line.contains("\"event\":\"limit_exceeded\""));
    let said = limits.filter(|line| line.contains("the query took longer than 150 ms")).count();
    assert_eq!(said, 2, "{audit}");
}

#[test]
fn an_answer_that_was_cut_while_it_was_made_says_so_and_is_recorded_with_its_limit() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("app.log"), "a line of this log\n".repeat(100)).unwrap();
    let config = format!(
        "toolsets: {{system: {{app_logs: ['{}']}}}}\nlimits: {{logs: {{max_bytes_per_file: 100}}}}\n\
         audit: {{path: audit.jsonl, enabled: true}}\n",
        logs.display()
    );
    fs::write(home.path().join("doorward.yaml"), config).unwrap();
    let mut serve = command(DOORWARD, home.path());
    serve.args(["serve", "--config", "doorward.yaml"]);
    let mut running = Running::start(serve);
    greet(&mut running);
    let answer = ask(&mut running, 1, "get_app_logs", &json!({ "file": logs.join("app.log") }));
    let told = &answer["result"]["structuredContent"];
    assert_eq!(told["entries"].as_array().map(Vec::len), Some(5), "{answer}");
    assert!(told["left_out"].to_string().contains("limits.logs.max_bytes_per_file"), "{answer}");
    running.signal(Signal::TERM);
    assert_eq!(running.end(Duration::from_secs(20)).status, 0);
    let audit = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    let records = audit.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let limits: Vec<Value> = records.filter(|record| record["event"] == "limit_exceeded").collect();
    let [limit] = limits.as_slice() else { panic!("{audit}") };
    assert!(limit["detail"].as_str().unwrap().contains("(limits.logs.max_bytes_per_file)"), "{limit}");
    assert_eq!(limit["query"], "get_app_logs");
}
