//! Requests of both eras of the protocol, over both versions of HTTP.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::World;

pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// Which era of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Era {
    /// 2025-11-25.
    Stateful,
    /// 2026-07-28.
    Modern,
}

pub const ERAS: [Era; 2] = [Era::Stateful, Era::Modern];

/// A request that is yet to be put on a wire.
#[derive(Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Ask {
    pub fn get(path: &'static str) -> Self {
        Self { method: "GET", path, headers: Vec::new(), body: String::new() }
    }

    /// A message to the endpoint.
    pub fn post(era: Era, method: &str, mut params: Value) -> Self {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-11-25"),
        ];
        if era == Era::Modern {
            headers.pop();
            headers.extend([("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)]);
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
                "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
            });
            let members = params.as_object_mut().unwrap().entry("_meta").or_insert_with(|| json!({}));
            members.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
        }
        let mut headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let (Era::Modern, Some(name)) = (era, params.get("name").and_then(Value::as_str)) {
            headers.push(("mcp-name".to_owned(), name.to_owned()));
        }
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }).to_string();
        Self { method: "POST", path: "/mcp", headers, body }
    }

    /// A call of a tool.
    pub fn call(era: Era, tool: &str, arguments: Value) -> Self {
        Self::post(era, "tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    /// A call that takes 300 ms and says how far it is.
    pub fn sampling(era: Era, millis: u64) -> Self {
        let arguments = json!({ "sample_ms": millis });
        let meta = json!({ "progressToken": "p" });
        Self::post(era, "tools/call", json!({ "name": "get_cpu_info", "arguments": arguments, "_meta": meta }))
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    /// With a good token.
    pub fn good(self, world: &World) -> Self {
        let token = world.token(&["core"]);
        self.token(&token)
    }

    /// The same with a good token that is not used yet.
    pub fn good_again(mut self, world: &World) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self.good(world)
    }

    /// The head of an HTTP/1.1 request with these framing headers.
    pub fn head(&self, port: u16, framing: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: localhost:{port}\r\n{framing}", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + "\r\n"
    }

    /// For HTTP/1.1.
    pub fn bytes(&self, port: u16) -> Vec<u8> {
        let framing = format!("Content-Length: {}\r\n", self.body.len());
        (self.head(port, if self.method == "POST" { &framing } else { "" }) + &self.body).into_bytes()
    }

    /// For HTTP/2, with another body.
    pub fn carrying(&self, port: u16, body: Body) -> http::Request<Body> {
        let mut request =
            http::Request::builder().method(self.method).uri(format!("https://localhost:{port}{}", self.path));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(body).unwrap()
    }

    /// For HTTP/2.
    pub fn request(&self, port: u16) -> http::Request<Body> {
        self.carrying(port, Full::new(Bytes::from(self.body.clone())).boxed_unsync())
    }
}
