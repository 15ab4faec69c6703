//! The protocol version that a request names, in its header and in its `_meta` (MCP 2026-07-28, versioning).

use serde_json::{Value, json};

use crate::world::{World, wire};

/// A request with this header and this version in `_meta`.
async fn ask(world: &World, method: &str, header: &str, declared: &str) -> wire::Answer {
    let token = world.token(&["core"]);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": declared,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "_meta": meta } }).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{header}Mcp-Method: {method}\r\nContent-Length: {}\r\n\r\n{body}",
        world.port,
        body.len(),
    );
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    wire::exchange(&mut stream, request.as_bytes()).await.unwrap()
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_with_those_that_are_and_what_was_asked_for() {
    let world = World::open().await;
    for (method, version) in [
        ("server/discover", "v999.0.0"),
        ("tools/list", "2025-03-26"),
        ("tools/list", "2030-01-01"),
        ("of/another/version", "2030-01-01"),
        ("of/another/version", "2025-03-26"),
    ] {
        let answer = ask(&world, method, &format!("MCP-Protocol-Version: {version}\r\n"), version).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (400, Some("version_unsupported")), "{version}");
        let error = answer.json();
        assert_eq!(error.pointer("/id"), Some(&json!(7)));
        assert_eq!(error.pointer("/error/code"), Some(&json!(-32022)));
        assert_eq!(error.pointer("/error/data/requested"), Some(&json!(version)));
        assert_eq!(error.pointer("/error/data/supported"), Some(&json!(["2025-11-25", "2026-07-28"])));
    }
    world.daemon.stop().await;
}

#[tokio::test]
async fn that_header_and_body_disagree_is_said_before_what_either_of_them_says() {
    let world = World::open().await;
    for (header, declared) in [
        ("MCP-Protocol-Version: 2026-07-28\r\n", "v999.0.0"),
        ("MCP-Protocol-Version: 2025-11-25\r\n", "2026-07-28"),
        ("", "2026-07-28"),
        ("", "v999.0.0"),
    ] {
        let answer = ask(&world, "server/discover", header, declared).await;
        let reason = answer.reason();
        assert_eq!((answer.status, reason.as_deref()), (400, Some("header_mismatch")), "{header}{declared}");
        assert_eq!(answer.json().pointer("/error/code"), Some(&json!(-32020)));
    }
    let denied = |record: &&Value| record.get("reason").and_then(Value::as_str) == Some("header_mismatch");
    assert_eq!(world.audit().iter().filter(denied).count(), 4);
    world.daemon.stop().await;
}

#[tokio::test]
async fn the_new_era_has_no_handshake_and_no_ping() {
    let world = World::open().await;
    for method in ["initialize", "ping"] {
        let answer = ask(&world, method, "MCP-Protocol-Version: 2026-07-28\r\n", "2026-07-28").await;
        assert_eq!((answer.status, answer.reason().as_deref()), (404, Some("method_unknown")), "{method}");
        assert_eq!(answer.json().pointer("/error/code"), Some(&json!(-32601)));
        assert_eq!(answer.json().pointer("/id"), Some(&json!(7)));
    }
    let denied = |record: &&Value| record.get("reason").and_then(Value::as_str) == Some("method_unknown");
    assert_eq!(world.audit().iter().filter(denied).count(), 2);
    world.daemon.stop().await;
}
