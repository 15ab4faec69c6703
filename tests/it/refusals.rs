//! The table of refusals: each wrong way in has its status, its reason, its audit record, and runs nothing.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use doorward::identity::Thumbprint;
use doorward::pki::store;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::world::tokens::{Signer, now};
use crate::world::{Choice, World, wire};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    certificate: Option<String>,
    token: Option<bool>,
    claims: Option<Map<String, Value>>,
    header: Option<Map<String, Value>>,
    raw_claims: Option<String>,
    raw_header: Option<String>,
    text: Option<String>,
    sign: Option<String>,
    #[serde(default)]
    request: Request,
    after: Option<String>,
    expect: Expect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Request {
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    content_type: Option<String>,
    accept: Option<String>,
    /// `null` leaves the header out.
    #[serde(deserialize_with = "some")]
    version: Option<Option<String>>,
    add: Vec<String>,
    tool: Option<String>,
    arguments: Option<Value>,
    body: Option<String>,
    nested: Option<usize>,
    size: Option<usize>,
    era: Option<String>,
    method_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: Value,
    reason: String,
    /// Where the log says more than the caller is told.
    audited: Option<String>,
    event: String,
}

fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_way_in_is_refused_and_recorded() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/refusals.yaml")).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    assert!(cases.len() >= 40, "the table has shrunk to {}", cases.len());
    let http = "  max_body_bytes: 65536".to_owned();
    let world = World::with(Choice { http, ..Choice::default() }).await;
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(problem) = check(&world, case).await {
            wrong.push(format!("{}: {problem}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    // The same request with nothing changed is answered: the table refuses for the reason it says.
    let token = world.token(&["core"]);
    let mut stream = wire::connect(world.path("").as_path(), world.port, Some("good")).await.unwrap();
    let answer = wire::exchange(&mut stream, &request(&world, &Request::default(), Some(&token))).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.json().pointer("/result/structuredContent").is_some(), "{}", answer.body);
}

async fn check(world: &World, case: &Case) -> Result<(), String> {
    let token = match case.token {
        Some(false) => None,
        _ => Some(token(world, case)),
    };
    if let Some(after) = &case.after {
        let user = if after.ends_with("as good") { "good" } else { case.certificate.as_deref().unwrap_or("good") };
        let mut stream = wire::connect(&world.path(""), world.port, Some(user)).await.unwrap();
        let bytes = request(world, &Request::default(), token.as_deref());
        let first = wire::exchange(&mut stream, &bytes).await.unwrap();
        if first.status != 200 {
            return Err(format!("the first use was refused: {}", first.body));
        }
    }
    let before = world.audit().len();
    let certificate = match case.certificate.as_deref() {
        Some("none") => None,
        Some(name) => Some(name),
        None => Some("good"),
    };
    let bytes = request(world, &case.request, token.as_deref());
    let answer = match wire::connect(&world.path(""), world.port, certificate).await {
        Ok(mut stream) => wire::exchange(&mut stream, &bytes).await,
        Err(error) => Err(error),
    };
    let expect = &case.expect;
    match (&answer, expect.status.as_u64()) {
        (Err(_), None) => {}
        (Ok(answer), Some(status)) => {
            let reason = answer.reason().or_else(|| tool_error_reason(answer));
            if u64::from(answer.status) != status || reason.as_deref() != Some(&*expect.reason) {
                return Err(format!("{} {reason:?} {}", answer.status, answer.body));
            }
            let challenged = answer.header("www-authenticate").is_some();
            let owed = answer.status == 401 || expect.reason == "insufficient_scope";
            if challenged != owed {
                return Err(format!("challenge {challenged}, should be {owed}"));
            }
        }
        (answer, _) => return Err(format!("{answer:?}")),
    }
    let audit = fresh_audit(world, before).await;
    let logged = expect.audited.as_ref().unwrap_or(&expect.reason);
    let recorded = audit.iter().any(|record| {
        record["event"] == expect.event.as_str() && record["reason"] == logged.as_str() && record["result"] == "refused"
    });
    if !recorded {
        return Err(format!("not in the audit log: {audit:?}"));
    }
    if audit.iter().any(|record| record["result"] == "permitted") {
        return Err("something ran".to_owned());
    }
    if let Some(token) = &token
        && !token.is_empty()
        && audit.iter().any(|record| record.to_string().contains(token.as_str()))
    {
        return Err("the token is in the audit log".to_owned());
    }
    Ok(())
}

/// A refused handshake is recorded while the client already knows.
async fn fresh_audit(world: &World, before: usize) -> Vec<Value> {
    for _ in 0..200 {
        let audit = world.audit();
        if audit[before..].iter().any(|record| record["result"] == "refused") {
            return audit[before..].to_vec();
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    world.audit()[before..].to_vec()
}

/// A refusal as a tool result names its reason in the text.
fn tool_error_reason(answer: &wire::Answer) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    body.pointer("/result/isError").filter(|error| **error == json!(true))?;
    let text = body.pointer("/result/content/0/text")?.as_str()?;
    Some(text.split("reason: ").nth(1)?.split([',', ')']).next()?.to_owned())
}

fn token(world: &World, case: &Case) -> String {
    if let Some(text) = &case.text {
        return text.clone();
    }
    let mut claims = world.claims(&["core"]);
    let mut header = world.signer.header();
    change(world, &mut claims, case.claims.as_ref());
    change(world, &mut header, case.header.as_ref());
    let header = case.raw_header.clone().unwrap_or_else(|| header.to_string());
    let claims = case.raw_claims.clone().unwrap_or_else(|| claims.to_string());
    let input = format!("{}.{}", B64.encode(&header), B64.encode(&claims));
    match case.sign.as_deref() {
        None => world.signer.sign_parts(&header, &claims),
        Some("other") => Signer::new("key-1").sign_parts(&header, &claims),
        Some("nothing") => format!("{input}."),
        Some("public") => {
            let secret = world.signer.key.public_pem().unwrap();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            format!("{input}.{}", B64.encode(aws_lc_rs::hmac::sign(&key, input.as_bytes())))
        }
        Some(other) => panic!("{other}"),
    }
}

fn change(world: &World, target: &mut Value, changes: Option<&Map<String, Value>>) {
    for (key, value) in changes.into_iter().flatten() {
        let members = target.as_object_mut().unwrap();
        match value {
            Value::Null => {
                members.remove(key);
            }
            value => {
                members.insert(key.clone(), computed(world, value));
            }
        }
    }
}

/// `now+60`, `thumbprint of NAME` and `{ repeat: N }` stand for what they say.
fn computed(world: &World, value: &Value) -> Value {
    match value {
        Value::String(text) => {
            if let Some(offset) = text.strip_prefix("now").and_then(|rest| rest.parse::<i64>().ok()) {
                return json!(now() + offset);
            }
            if let Some(name) = text.strip_prefix("thumbprint of ") {
                let chain = store::certificates(&world.path(&format!("{name}.crt"))).unwrap();
                return json!(Thumbprint::of(&chain[0]).base64url());
            }
            value.clone()
        }
        Value::Object(members) => match members.get("repeat").and_then(Value::as_u64) {
            Some(count) => json!("x".repeat(usize::try_from(count).unwrap())),
            None => members.iter().map(|(key, value)| (key.clone(), computed(world, value))).collect(),
        },
        other => other.clone(),
    }
}

fn request(world: &World, parts: &Request, token: Option<&str>) -> Vec<u8> {
    let modern = parts.era.as_deref() == Some("modern");
    let method = parts.method_name.as_deref().unwrap_or("tools/call");
    let tool = parts.tool.as_deref().unwrap_or("get_uptime");
    let mut params = json!({ "name": tool, "arguments": parts.arguments.clone().unwrap_or_else(|| json!({})) });
    if modern {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        });
    }
    let mut body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
    if let Some(text) = &parts.body {
        body.clone_from(text);
    }
    if let Some(depth) = parts.nested {
        body = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    }
    if let Some(size) = parts.size {
        body.push_str(&" ".repeat(size));
    }
    let host = parts.host.clone().unwrap_or_else(|| format!("localhost:{}", world.port));
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {}\r\nAccept: {}\r\nContent-Length: {}\r\n",
        parts.method.as_deref().unwrap_or("POST"),
        parts.path.as_deref().unwrap_or("/mcp"),
        parts.content_type.as_deref().unwrap_or("application/json"),
        parts.accept.as_deref().unwrap_or("application/json, text/event-stream"),
        body.len(),
    );
    let version = match &parts.version {
        Some(version) => version.as_deref(),
        None if modern => Some("2026-07-28"),
        None => Some("2025-11-25"),
    };
    if let Some(version) = version {
        head.push_str(&format!("MCP-Protocol-Version: {version}\r\n"));
    }
    if let Some(token) = token {
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    for line in &parts.add {
        head.push_str(&format!("{line}\r\n"));
    }
    format!("{head}\r\n{body}").into_bytes()
}
