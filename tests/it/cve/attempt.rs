//! Attempts against a door, and against starting one.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorward::pki::store;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::world::{Choice, Estate, wire};

/// A request; by default the POST that calls `get_uptime`, without a token.
pub struct Attempt<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub host: Option<&'a str>,
    pub token: Option<&'a str>,
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub version: &'a str,
    pub lines: &'a [&'a str],
    pub body: Option<&'a Value>,
    pub text: Option<&'a str>,
}

impl Default for Attempt<'_> {
    fn default() -> Self {
        Self {
            method: "POST",
            path: "/mcp",
            host: None,
            token: None,
            authorization: None,
            content_type: None,
            version: "2025-11-25",
            lines: &[],
            body: None,
            text: None,
        }
    }
}

impl Attempt<'_> {
    /// As the certificate `good`.
    pub async fn send(&self, estate: &Estate) -> wire::Answer {
        self.try_as(estate, Some("good")).await.unwrap()
    }

    /// As this certificate, over a connection of its own.
    pub async fn try_as(&self, estate: &Estate, certificate: Option<&str>) -> std::io::Result<wire::Answer> {
        let mut stream = wire::connect(&estate.path(""), estate.port, certificate).await?;
        wire::exchange(&mut stream, &self.bytes(estate)).await
    }

    fn bytes(&self, estate: &Estate) -> Vec<u8> {
        let body = match (self.text, self.body) {
            (Some(text), _) => text.to_owned(),
            (None, Some(body)) => body.to_string(),
            (None, None) => wire::call("get_uptime", json!({})).to_string(),
        };
        let host = self.host.map_or_else(|| format!("localhost:{}", estate.port), str::to_owned);
        let mut lines = vec![
            format!("{} {} HTTP/1.1", self.method, self.path),
            format!("Host: {host}"),
            format!("Content-Type: {}", self.content_type.unwrap_or("application/json")),
            "Accept: application/json, text/event-stream".to_owned(),
            format!("MCP-Protocol-Version: {}", self.version),
            format!("Content-Length: {}", body.len()),
        ];
        lines.extend(self.token.map(|token| format!("Authorization: Bearer {token}")));
        lines.extend(self.authorization.map(|text| format!("Authorization: {text}")));
        lines.extend(self.lines.iter().map(|line| (*line).to_owned()));
        format!("{}\r\n\r\n{body}", lines.join("\r\n")).into_bytes()
    }
}

/// A call with a token in which one claim is another, or absent.
pub async fn refusing(estate: &Estate, claim: &str, value: Value) -> wire::Answer {
    let mut claims = estate.claims(&["core"]);
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(claim);
    } else {
        claims[claim] = value;
    }
    let token = estate.signer.sign(&claims);
    Attempt { token: Some(&token), ..Attempt::default() }.send(estate).await
}

/// The reason of a refusal, or nothing.
pub fn reason(answer: &wire::Answer) -> String {
    let in_text = || answer.body.split("reason: ").nth(1)?.split([',', ')']).next().map(str::to_owned);
    answer.reason().or_else(in_text).unwrap_or_default()
}

/// The tools that a token is shown, or the status of the refusal.
pub async fn listed(estate: &Estate, token: &str) -> Result<Vec<String>, u16> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let answer = Attempt { token: Some(token), body: Some(&body), ..Attempt::default() }.send(estate).await;
    if answer.status != 200 {
        return Err(answer.status);
    }
    let tools = answer.json()["result"]["tools"].as_array().unwrap().clone();
    Ok(tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect())
}

/// How many have connected to a listener that does not block, given a moment.
pub async fn strangers(listener: &TcpListener) -> usize {
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::iter::from_fn(|| listener.accept().ok()).count()
}

/// Answers every request with a redirection to `target`; how many there were by the time the first is answered.
pub async fn redirect(listener: TcpListener, estate: &Estate, target: &str) -> usize {
    let chain = store::certificates(&estate.path("server.crt")).unwrap();
    let key = store::private_key(&estate.path("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(doorward::transport::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    listener.set_nonblocking(true).unwrap();
    let (listener, acceptor) =
        (tokio::net::TcpListener::from_std(listener).unwrap(), TlsAcceptor::from(Arc::new(config)));
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    while asked.load(Ordering::Relaxed) == 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    asked.load(Ordering::Relaxed)
}

/// What `doorward check` finds in the configuration of this estate made anew as chosen; `None` for nothing.
pub fn check(estate: &Estate, choice: &Choice, environment: &[(&str, &str)]) -> Option<String> {
    estate.configure(choice);
    findings(&estate.path("doorward.yaml"), environment)
}

pub fn findings(path: &Path, environment: &[(&str, &str)]) -> Option<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    let output =
        command.args(["check", "--config"]).arg(path).env_clear().envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => None,
        Some(1) => Some(text),
        other => panic!("{other:?} {text} {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// With which status `doorward serve` ends by itself, if it does.
pub fn serve(estate: &Estate, environment: &[(&str, &str)]) -> Option<i32> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--config"])
        .arg(estate.path("doorward.yaml"))
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// Every key that a configuration may have, at any depth.
pub fn configuration_words() -> BTreeSet<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward")).arg("schema").env_clear().output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut words = BTreeSet::new();
    collect(&schema, &mut words);
    assert!(words.contains("allowed_subjects"), "the schema was not understood");
    words
}

fn collect(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                words.extend(properties.keys().cloned());
            }
            members.values().for_each(|value| collect(value, words));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, words)),
        _ => {}
    }
}
