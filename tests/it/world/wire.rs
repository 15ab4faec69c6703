//! HTTP/1.1 by hand over TLS: what a library would not let a test say.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward::pki::store;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    pub fn reason(&self) -> Option<String> {
        let body: Value = serde_json::from_str(&self.body).ok()?;
        body.pointer("/error/data/reason").and_then(Value::as_str).map(str::to_owned)
    }

    /// `200`, or the status and the reason: `401 token_expired`.
    pub fn outcome(&self) -> String {
        match self.reason() {
            Some(reason) => format!("{} {reason}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// A TLS configuration with the certificate `name` of `root`, or none.
pub fn tls(root: &Path, name: Option<&str>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in store::certificates(&root.join("ca/ca.crt")).unwrap() {
        roots.add(authority).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(doorward::transport::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots);
    match name {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = store::certificates(&root.join(format!("{name}.crt"))).unwrap();
            let key = store::private_key(&root.join(format!("{name}.key"))).unwrap();
            let key = doorward::transport::tls::provider().key_provider.load_private_key(key).unwrap();
            // Unchecked: what the library would not show is shown all the same.
            let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
    }
}

/// A connection with the certificate `name`.
///
/// # Errors
/// What TLS says; with TLS 1.3 a refused certificate may show only at the first read.
pub async fn connect(root: &Path, port: u16, name: Option<&str>) -> std::io::Result<TlsStream<TcpStream>> {
    connect_as(tls(root, name), port).await
}

/// A connection with this configuration.
///
/// # Errors
/// What TLS says.
pub async fn connect_as(config: impl Into<Arc<ClientConfig>>, port: u16) -> std::io::Result<TlsStream<TcpStream>> {
    shake_hands(config, TcpStream::connect(("127.0.0.1", port)).await?).await
}

/// The same over a socket of one's own.
///
/// # Errors
/// What TLS says.
pub async fn shake_hands(
    config: impl Into<Arc<ClientConfig>>,
    tcp: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let server = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config.into()).connect(server, tcp).await
}

/// Sends `first` and then a byte of `drip` every 100 ms, over and over, and reads until the other end closes; gives how
/// long that took and what was read.
pub async fn endure<S: AsyncRead + AsyncWrite>(stream: S, first: &[u8], drip: &[u8]) -> (Duration, Vec<u8>) {
    let start = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut read = Vec::new();
    let write = async {
        // The other end may close while bytes are on their way.
        let _ = writer.write_all(first).await;
        let _ = writer.flush().await;
        for byte in drip.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let closed = tokio::time::timeout(Duration::from_secs(40), async {
        tokio::select! {
            _ = reader.read_to_end(&mut read) => {}
            () = write => {}
        }
    });
    assert!(closed.await.is_ok(), "still open; read so far: {:?}", String::from_utf8_lossy(&read));
    (start.elapsed(), read)
}

/// Sends `bytes` and reads one answer, which may come before everything is sent.
///
/// # Errors
/// When the connection breaks before there is one.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> std::io::Result<Answer> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        if writer.write_all(bytes).await.is_ok() {
            let _ = writer.flush().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = read(&mut reader, bytes.starts_with(b"HEAD ")) => answer,
        () = writing => Err(std::io::ErrorKind::Other.into()),
    }
}

async fn read<R: AsyncRead + Unpin>(stream: &mut R, bodiless: bool) -> std::io::Result<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream).await?, 16).unwrap();
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await?;
            body.extend(chunk);
            line(stream).await?;
            if size == 0 {
                break;
            }
        }
    } else {
        let length = header("content-length").filter(|_| !bodiless).map_or(0, |length| length.parse().unwrap());
        body.resize(length, 0);
        stream.read_exact(&mut body).await?;
    }
    Ok(Answer { status, headers: headers.clone(), body: String::from_utf8(body).unwrap() })
}

async fn line<R: AsyncRead + Unpin>(stream: &mut R) -> std::io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(line).unwrap().trim_end().to_owned())
}

/// A generation of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Era {
    /// 2025-11-25
    Legacy,
    /// 2026-07-28
    Modern,
}

/// A POST to `/mcp` of the 2025-11-25 era.
pub fn post(port: u16, token: &str, body: &Value) -> Vec<u8> {
    request(port, Era::Legacy, Some(token), body)
}

/// A POST to `/mcp`, with what its era wants in the headers and in the message.
pub fn request(port: u16, era: Era, token: Option<&str>, message: &Value) -> Vec<u8> {
    let mut message = message.clone();
    let mut head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n"
    );
    if let Some(token) = token {
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    match era {
        Era::Legacy => head.push_str("MCP-Protocol-Version: 2025-11-25\r\n"),
        Era::Modern => {
            let method = message["method"].as_str().unwrap();
            head.push_str(&format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n"));
            if let Some(name) = message["params"]["name"].as_str() {
                head.push_str(&format!("Mcp-Name: {name}\r\n"));
            }
            message["params"]["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            });
        }
    }
    let body = message.to_string();
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A `tools/call` message.
pub fn call(tool: &str, arguments: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

/// A `tools/list` message.
pub fn list() -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {} })
}
