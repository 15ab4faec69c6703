//! Whole conversations in both eras of MCP, as lines for a pipe: learn of the server, list the tools, call one.

use serde_json::{Value, json};

use super::program::Ended;

/// In the words of 2025-11-25.
pub fn legacy(tool: &str, arguments: &Value) -> String {
    let client = json!({ "name": "test", "version": "1" });
    let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    lines([
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": tool, "arguments": arguments } }),
    ])
}

/// In the words of 2026-07-28.
pub fn modern(tool: &str, arguments: &Value) -> String {
    let meta = meta();
    let call = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    lines([
        json!({ "jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": { "_meta": meta } }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": { "_meta": meta } }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": call }),
    ])
}

/// What every request of 2026-07-28 carries.
fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// That the conversation was answered, each request once and nothing else, and the tool said something of this name.
#[track_caller]
pub fn assert_answered(ended: &Ended, said: &str) {
    let answers = ended.messages();
    assert_eq!((ended.status, answers.len()), (0, 3), "{ended:?}");
    let result = |id: u8| &answers.iter().find(|answer| answer["id"] == id).unwrap()["result"];
    let versions = [&result(1)["protocolVersion"], &result(1)["supportedVersions"][0]];
    assert!(versions.contains(&&"2025-11-25".into()), "{ended:?}");
    assert!(result(2)["tools"].as_array().is_some_and(|tools| tools.len() >= 7), "{ended:?}");
    assert!(result(3)["structuredContent"][said].is_number(), "{ended:?}");
}

fn lines<const N: usize>(messages: [Value; N]) -> String {
    messages.map(|message| format!("{message}\n")).concat()
}
