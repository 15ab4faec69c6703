//! Questions to the built program over a pipe: what a tool answers on this very machine.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::program::bash;

/// What the program answers to `calls`, in their order. `before` is bash, run in `directory` before it is asked.
#[track_caller]
pub fn ask(directory: &Path, before: &str, calls: &[(&str, Value)]) -> Vec<Value> {
    within(directory, "", before, calls)
}

/// The same in a network of its own, where the caller is root; `None` where the machine does not allow that.
#[track_caller]
pub fn ask_apart(directory: &Path, before: &str, calls: &[(&str, Value)]) -> Option<Vec<Value>> {
    let alone = "unshare -rnm bash -euo pipefail -c 'mount -t sysfs none /sys'";
    if bash(directory, alone, &[], "").status != 0 {
        super::program::missing("unshare", "what the host tells of its network");
        return None;
    }
    Some(within(directory, "unshare -rnm ", &format!("mount -t sysfs none /sys\n{before}"), calls))
}

#[track_caller]
fn within(directory: &Path, wrapper: &str, before: &str, calls: &[(&str, Value)]) -> Vec<Value> {
    let limits =
        "max_concurrent_queries: 50, rate_limit: {requests_per_minute: 6000, requests_per_hour: 60000, burst: 100}";
    // Without them the kernel tells nobody its packet filters.
    let sandbox = "capabilities: [CAP_NET_ADMIN, CAP_NET_RAW]";
    let config =
        format!("transport: stdio\naudit: {{enabled: false}}\nresources: {{{limits}}}\nsandbox: {{{sandbox}}}\n");
    fs::write(directory.join("local.yaml"), config).unwrap();
    let script = format!("{before}\ndoorward serve --config local.yaml");
    fs::write(directory.join("local.sh"), script).unwrap();
    let client = json!({ "name": "test", "version": "1" });
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    let mut lines = vec![
        json!({ "jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": hello }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
    ];
    for (id, (tool, arguments)) in calls.iter().enumerate() {
        let params = json!({ "name": tool, "arguments": arguments });
        lines.push(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }));
    }
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ended = bash(directory, &format!("{wrapper}bash -euo pipefail local.sh"), &[], &input);
    let answers = ended.messages();
    let answer = |id: usize| {
        let answer = answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{id}: {ended:?}"));
        let content = &answer["result"]["structuredContent"];
        assert!(content.is_object() && answer["result"]["isError"] != true, "{:?}: {answer}", calls[id]);
        content.clone()
    };
    (0..calls.len()).map(answer).collect()
}
