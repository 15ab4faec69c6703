//! The HTTP request of a row: good but for what the row says.

use serde_json::json;

use super::case::Request;
use crate::world::Estate;

/// The bytes. `{token}` and `{host}` in lines, paths and credentials stand for the row's token and the right host.
pub fn bytes(estate: &Estate, parts: &Request, token: Option<&str>) -> Vec<u8> {
    let right_host = format!("localhost:{}", estate.port);
    let filled = |text: &str| text.replace("{token}", token.unwrap_or_default()).replace("{host}", &right_host);
    let modern = parts.era.as_deref() == Some("modern");
    let body = encoded(filled(&text(parts, modern)), parts);
    let mut head = format!(
        "{} {} HTTP/{}\r\n",
        parts.method.as_deref().unwrap_or("POST"),
        filled(parts.path.as_deref().unwrap_or("/mcp")),
        parts.http.as_deref().unwrap_or("1.1"),
    );
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            head.push_str(&format!("{name}: {}\r\n", filled(value)));
        }
    };
    let chosen = |choice: &Option<Option<String>>, otherwise: &str| match choice {
        Some(value) => value.clone(),
        None => Some(otherwise.to_owned()),
    };
    line("Host", chosen(&parts.host, &right_host).as_deref());
    line("Content-Type", chosen(&parts.content_type, "application/json").as_deref());
    line("Accept", chosen(&parts.accept, "application/json, text/event-stream").as_deref());
    line("MCP-Protocol-Version", chosen(&parts.version, if modern { "2026-07-28" } else { "2025-11-25" }).as_deref());
    if parts.chunked {
        line("Transfer-Encoding", Some("chunked"));
    } else {
        line("Content-Length", chosen(&parts.length, &body.len().to_string()).as_deref());
    }
    match (&parts.authorization, token) {
        (Some(text), _) => line("Authorization", text.as_deref()),
        (None, Some(token)) => line("Authorization", Some(&format!("Bearer {token}"))),
        (None, None) => {}
    }
    for text in &parts.add {
        head.push_str(&format!("{}\r\n", filled(text)));
    }
    if let Some(count) = parts.filler {
        head.push_str(&format!("X-Filler: {}\r\n", "x".repeat(count)));
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    if parts.chunked {
        for chunk in body.chunks(8192) {
            request.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
    } else {
        request.extend(body);
    }
    request
}

fn text(parts: &Request, modern: bool) -> String {
    if let Some(depth) = parts.nested {
        return format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    }
    let method = parts.method_name.as_deref().unwrap_or("tools/call");
    let tool = parts.tool.as_deref().unwrap_or("get_uptime");
    let mut params = json!({ "name": tool, "arguments": parts.arguments.clone().unwrap_or_else(|| json!({})) });
    if let Some(count) = parts.wide {
        let keys = (0..count).map(|n| (format!("k{n}"), json!(n)));
        params["arguments"] = keys.collect();
    }
    if let Some(count) = parts.objects {
        params["arguments"] = json!({ "a": vec![json!({ "": 0 }); count] });
    }
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        });
    }
    let params = parts.params.clone().unwrap_or(params);
    let mut message = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    if parts.notification {
        message.as_object_mut().unwrap().remove("id");
    }
    let mut body = message.to_string();
    if let Some(last) = &parts.wide_last {
        let end = body.find("}").unwrap();
        body.insert_str(end, &format!(",\"{last}\":0"));
    }
    if let Some(text) = &parts.body {
        body.clone_from(text);
    }
    body.push_str(&" ".repeat(parts.size.unwrap_or(0)));
    body
}

fn encoded(text: String, parts: &Request) -> Vec<u8> {
    if let Some(hex) = &parts.body_hex {
        let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        return digits.chunks(2).map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap()).collect();
    }
    match parts.encode.as_deref() {
        None => text.into_bytes(),
        Some("utf-16le") => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Some("utf-16be with a mark") => format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Some("utf-32le") => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Some("utf-8 with a mark") => format!("\u{feff}{text}").into_bytes(),
        Some("utf-7") => text.replace('{', "+AHs-").into_bytes(),
        Some(other) => panic!("no encoding {other}"),
    }
}
