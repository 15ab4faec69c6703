//! The built program over standard input and output: as strict as over https, and recorded where somebody asks for that.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::program::{DOORWARD, Running, command};

const LONGEST: usize = 4096;

/// A door for the process that starts it, with a journal.
fn open(home: &std::path::Path) -> Running {
    open_with(home, "")
}

fn open_with(home: &std::path::Path, more: &str) -> Running {
    let config = format!(
        "transport: stdio\nhttp: {{max_body_bytes: {LONGEST}}}\naudit: {{path: {}}}\n{more}",
        home.join("audit.jsonl").display()
    );
    fs::write(home.join("doorward.yaml"), config).unwrap();
    let mut run = command(DOORWARD, home);
    run.args(["serve", "--config", "doorward.yaml"]);
    let mut running = Running::start(run);
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } });
    assert_eq!(ask(&mut running, &initialize.to_string())["id"], 0);
    running.write("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
    running
}

/// Sends a line and takes the next one that comes back.
fn ask(running: &mut Running, line: &str) -> Value {
    let before = running.stdout().lines().count();
    running.write(&format!("{line}\n"));
    running.until(|running| {
        let text = running.stdout();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().nth(before).map(|line| serde_json::from_str(line).unwrap())
    })
}

fn records(home: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(home.join("audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_line_that_is_no_message_is_answered_and_recorded_and_the_next_one_is_served() {
    let home = tempfile::tempdir().unwrap();
    let mut running = open(home.path());
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":{deep}}}}}"#);
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"a":"{}"}}}}"#, "x".repeat(LONGEST));
    let twice =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_uptime","name":"get_processes"}}"#;
    let rows = [
        ("{", -32700, "malformed_json", Value::Null),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#, -32700, "malformed_json", Value::Null),
        (twice, -32600, "duplicate_key", Value::Null),
        (&deep, -32600, "json_too_deep", Value::Null),
        (&long, -32600, "body_too_large", Value::Null),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, "batch", Value::Null),
        (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, -32600, "invalid_request", "a".into()),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, "invalid_request", Value::Null),
        (r#"{"jsonrpc":"2.0","id":2,"method":"ping","params":[1]}"#, -32600, "invalid_request", 2.into()),
        (r#"{"jsonrpc":"2.0","id":3,"result":{}}"#, -32600, "invalid_request", Value::Null),
        (r#"{"jsonrpc":"2.0","id":"b","method":"prompts/list"}"#, -32601, "method_unknown", "b".into()),
    ];
    for (line, code, reason, id) in &rows {
        let before = records(home.path()).len();
        let answer = ask(&mut running, line);
        let said = (&answer["id"], &answer["error"]["code"], &answer["error"]["data"]["reason"]);
        assert_eq!(said, (id, &json!(code), &json!(reason)), "{line}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(' '), "no sentence: {answer}");
        let refused: Vec<Value> = records(home.path()).split_off(before);
        let refused: Vec<&Value> = refused.iter().filter(|record| record["result"] == "refused").collect();
        assert_eq!(refused.len(), 1, "{line}: {refused:?}");
        assert_eq!((&refused[0]["event"], &refused[0]["reason"]), (&json!("query_denied"), &json!(reason)), "{line}");
        let call = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"get_uptime","arguments":{}}}"#;
        let served = ask(&mut running, call);
        assert!(served["id"] == 9 && served["result"]["structuredContent"].is_object(), "{served}");
    }
    // Lines without anything on them are none.
    assert_eq!(ask(&mut running, "\n \r\n{\"jsonrpc\":\"2.0\",\"id\":10,\"method\":\"ping\"}")["id"], 10);
    assert_eq!(running.close().end(Duration::from_secs(20)).status, 0);
}

/// As `requests_that_are_no_call_take_a_share_too` has it over https; the start of the conversation is one of them.
#[test]
fn a_request_costs_what_it_costs_over_every_transport() {
    let limits = "resources: {rate_limit: {requests_per_minute: 1, requests_per_hour: 1000, burst: 5}}\n";
    let request = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}"}}"#);
    for line in [request("tools/list"), request("ping"), request("prompts/list"), "{".to_owned()] {
        let home = tempfile::tempdir().unwrap();
        let mut running = open_with(home.path(), limits);
        // A notification has no answer to say what it cost.
        for _ in 0..20 {
            running
                .write("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":99}}\n");
        }
        for _ in 0..4 {
            let answer = ask(&mut running, &line);
            assert_ne!(answer["error"]["data"]["reason"], "rate_limited", "{answer}");
        }
        for _ in 0..30 {
            let refused = ask(&mut running, &line);
            assert_eq!(refused["error"]["data"]["reason"], "rate_limited", "{line}: {refused}");
        }
        let call = r#"{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"get_uptime","arguments":{}}}"#;
        let refused = ask(&mut running, call);
        assert!(refused["result"]["isError"] == json!(true), "{refused}");
        let limited = records(home.path()).into_iter().filter(|record| record["event"] == "limit_exceeded").count();
        assert_eq!(limited, 1, "a flood is one line");
        assert_eq!(running.close().end(Duration::from_secs(20)).status, 0);
        let counts: u64 = records(home.path())
            .iter()
            .filter(|record| record["event"] == "limit_exceeded")
            .map(|record| record["count"].as_u64().unwrap())
            .sum();
        assert_eq!(counts, 31);
    }
}
