//! A client at one end of a bridge, and a door that is a function at the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::iter;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Failure;
use crate::mcp::connect::{Answer, Bridge, Post, Report, Tokens};
use crate::secret::Secret;

/// Long beside what the doors of these tests take, short enough to be waited for.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

/// A door that answers as a function says, and keeps what it was asked.
struct Fake<F> {
    asked: mpsc::UnboundedSender<(HeaderMap, Value)>,
    answer: F,
}

#[async_trait]
impl<F: Fn(Value) -> BoxFuture<'static, Result<Answer, Failure>> + Send + Sync> Post for Fake<F> {
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let message: Value = serde_json::from_slice(&body).unwrap();
        self.asked.send((headers, message.clone())).unwrap();
        (self.answer)(message).await
    }
}

/// A client at one end of a bridge.
pub(super) struct World {
    pub(super) input: Option<WriteHalf<DuplexStream>>,
    pub(super) output: tokio::io::Lines<BufReader<ReadHalf<DuplexStream>>>,
    pub(super) asked: mpsc::UnboundedReceiver<(HeaderMap, Value)>,
    pub(super) reports: Arc<Mutex<Vec<String>>>,
    pub(super) bridge: JoinHandle<Result<(), Failure>>,
}

pub(super) fn world<F>(answer: F) -> World
where
    F: Fn(Value) -> BoxFuture<'static, Result<Answer, Failure>> + Send + Sync + 'static,
{
    let count = AtomicUsize::new(0);
    world_with(
        Tokens::Minted(Box::new(move || Ok(Secret::new(format!("t{}", count.fetch_add(1, Ordering::Relaxed)))))),
        answer,
    )
}

pub(super) fn world_with<F>(tokens: Tokens, answer: F) -> World
where
    F: Fn(Value) -> BoxFuture<'static, Result<Answer, Failure>> + Send + Sync + 'static,
{
    let (sender, asked) = mpsc::unbounded_channel();
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (our_read, our_write) = tokio::io::split(ours);
    let (their_read, their_write) = tokio::io::split(theirs);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = reports.clone();
    let report: Report = Arc::new(move |line| kept.lock().unwrap().push(line.to_owned()));
    let bridge = Bridge::new(Fake { asked: sender, answer }, tokens, SILENCE, report);
    World {
        input: Some(our_write),
        output: BufReader::new(our_read).lines(),
        asked,
        reports,
        bridge: tokio::spawn(bridge.run(their_read, their_write)),
    }
}

impl World {
    pub(super) async fn say(&mut self, line: impl ToString) {
        let text = format!("{}\n", line.to_string());
        self.input.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn hear(&mut self) -> Value {
        let line = timeout(Duration::from_secs(60), self.output.next_line()).await.expect("an answer in time");
        serde_json::from_str(&line.unwrap().expect("a line")).unwrap()
    }

    pub(super) async fn was_asked(&mut self) -> (HeaderMap, Value) {
        timeout(Duration::from_secs(60), self.asked.recv()).await.expect("a request in time").unwrap()
    }

    /// Ends the input and gives back what was still written.
    pub(super) async fn end(mut self) -> Vec<Value> {
        self.input.take().unwrap().shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        self.bridge.await.unwrap().unwrap();
        rest
    }

    pub(super) fn reports(&self) -> String {
        self.reports.lock().unwrap().join("\n")
    }
}

pub(super) fn request(id: impl Into<Value>, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": {} })
}

pub(super) fn http(status: u16, kind: &str, chunks: Vec<String>) -> Result<Answer, Failure> {
    let mut headers = HeaderMap::new();
    if !kind.is_empty() {
        headers.insert("content-type", kind.parse().unwrap());
    }
    let body = iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)))).boxed();
    Ok(Answer { status: StatusCode::from_u16(status).unwrap(), headers, body })
}

pub(super) fn answer_json(asked: &Value, result: &Value) -> Result<Answer, Failure> {
    let text = serde_json::to_string_pretty(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })).unwrap();
    http(200, "application/json; charset=utf-8", vec![text])
}

pub(super) fn event(value: &Value) -> String {
    format!(": ping\n\ndata: {value}\n\n")
}

pub(super) fn now<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}
