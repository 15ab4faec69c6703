//! Calls over a number of connections for a length of time: each connection sends the next as soon as it has its answer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use rustls::ClientConfig;

use crate::Result;
use crate::client::Connection;
use crate::figures::Calls;
use crate::process::{Server, own_time};
use crate::tokens::Stock;

/// The form of the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// 2025-11-25.
    Legacy,
    /// 2026-07-28: everything about the client in each message, and headers that repeat what the body says.
    Modern,
}

impl Form {
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }

    fn body(self) -> String {
        let meta = serde_json::json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1.0.0"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = match self {
            Self::Legacy => serde_json::json!({"name": "get_uptime", "arguments": {}}),
            Self::Modern => serde_json::json!({"name": "get_uptime", "arguments": {}, "_meta": meta}),
        };
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string()
    }
}

/// A request but for its token.
pub(crate) struct Request {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Request {
    pub(crate) fn new(form: Form, port: u16) -> Self {
        let body = form.body();
        let headers = match form {
            Form::Legacy => "",
            Form::Modern => "Mcp-Method: tools/call\r\nMcp-Name: get_uptime\r\n",
        };
        let after = format!(
            "\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             MCP-Protocol-Version: {}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            form.version(),
            body.len(),
        );
        let before = format!("POST /mcp HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer ");
        Self { before: before.into(), after: after.into() }
    }

    fn write(&self, stock: &Stock<'_>, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        into.extend_from_slice(&self.before);
        stock.next(into)?;
        into.extend_from_slice(&self.after);
        Ok(())
    }
}

/// How many, for how long.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub(crate) connections: usize,
    pub(crate) warm: Duration,
    pub(crate) measured: Duration,
    /// Ends before its time when so many calls were made.
    pub(crate) most: usize,
}

/// What all connections share.
struct Tally {
    measuring: Cell<bool>,
    over: Cell<bool>,
    took: RefCell<Vec<u32>>,
    made: Cell<usize>,
    errors: Cell<usize>,
    first: RefCell<Option<String>>,
}

/// Calls `server`, and measures both sides meanwhile. `beside` runs at the same time as the measured part.
pub(crate) async fn window(
    server: &Server,
    tls: &Arc<ClientConfig>,
    request: &Request,
    stock: &Stock<'_>,
    window: Window,
    beside: impl AsyncFnOnce() -> Result<()>,
) -> Result<Calls> {
    let tally = Tally {
        measuring: Cell::new(window.warm.is_zero()),
        over: Cell::new(false),
        took: RefCell::new(Vec::with_capacity(1 << 20)),
        made: Cell::new(0),
        errors: Cell::new(0),
        first: RefCell::new(None),
    };
    let calling =
        join_all((0..window.connections).map(|_| connection(server.port, tls, request, stock, &tally, window.most)));
    let measuring = async {
        tokio::time::sleep(window.warm).await;
        let before = (Instant::now(), server.processor_time()?, own_time()?, server.memory()?.0);
        tally.measuring.set(true);
        let end = async {
            let end = before.0 + window.measured;
            while Instant::now() < end && !tally.over.get() {
                tokio::time::sleep(Duration::from_millis(20).min(end.saturating_duration_since(Instant::now()))).await;
            }
        };
        join(end, beside()).await.1?;
        tally.measuring.set(false);
        let after = (before.0.elapsed(), server.processor_time()?, own_time()?, server.memory()?.0);
        tally.over.set(true);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((before, after))
    };
    let (_, measured) = join(calling, measuring).await;
    let (before, after) = measured?;
    let mut took = tally.took.take();
    took.sort_unstable();
    let count = took.len();
    let seconds = after.0.as_secs_f64();
    let (server_time, own) = ((after.1 - before.1).as_secs_f64(), (after.2 - before.2).as_secs_f64());
    let at = |thousandths: usize| {
        took.get((count * thousandths / 1000).min(count.saturating_sub(1)))
            .map_or(0.0, |took| f64::from(*took) / 1000.0)
    };
    Ok(Calls {
        calls: count,
        errors: tally.errors.get(),
        first_error: tally.first.take(),
        per_second: count as f64 / seconds,
        p50_ms: at(500),
        p99_ms: at(990),
        p999_ms: at(999),
        server_cores: server_time / seconds,
        client_cores: own / seconds,
        server_us: server_time * 1e6 / count.max(1) as f64,
        memory_mib: (before.3, after.3),
    })
}

/// One connection; opened again when it breaks.
async fn connection(
    port: u16,
    tls: &Arc<ClientConfig>,
    request: &Request,
    stock: &Stock<'_>,
    tally: &Tally,
    most: usize,
) {
    let mut text = Vec::with_capacity(2048);
    let mut open = None;
    while !tally.over.get() {
        let called = call(port, tls, request, stock, tally, &mut open, &mut text).await;
        if let Err(error) = called {
            open = None;
            tally.errors.set(tally.errors.get() + 1);
            tally.first.borrow_mut().get_or_insert_with(|| error.to_string());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tally.made.set(tally.made.get() + 1);
        if tally.made.get() >= most {
            tally.over.set(true);
        }
    }
}

async fn call(
    port: u16,
    tls: &Arc<ClientConfig>,
    request: &Request,
    stock: &Stock<'_>,
    tally: &Tally,
    open: &mut Option<Connection>,
    text: &mut Vec<u8>,
) -> Result<()> {
    let connection = match open {
        Some(connection) => connection,
        None => open.insert(Connection::open(port, tls).await?),
    };
    request.write(stock, text)?;
    let measured = tally.measuring.get();
    let begun = Instant::now();
    let (status, body) = connection.exchange(text).await?;
    let took = begun.elapsed();
    if status != 200 || !has(body, br#""result""#) || has(body, br#""isError":true"#) {
        return Err(format!("{status} {}", String::from_utf8_lossy(body)).into());
    }
    if measured && tally.measuring.get() {
        tally.took.borrow_mut().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }
    Ok(())
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}
