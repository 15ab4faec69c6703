//! The bridge for clients that can only start a program: JSON-RPC lines in, POSTs to the door over mutual TLS with a new
//! token each, answers out as lines. It relays; it neither understands nor changes what is said.
//!
//! A cancelled request is cancelled by closing its POST, in both eras of MCP: the door keeps no sessions, so a forwarded
//! `notifications/cancelled` would find nothing to cancel.

mod argv;
mod door;
mod events;
mod flights;
mod lines;
mod message;
pub mod oauth;
mod promoted;
mod refusal;
mod relay;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use self::flights::Flights;
use self::lines::{Line, Lines};
use self::message::{Kind, Message};
use self::relay::Relay;
use self::wire::Learned;
use crate::error::{Code, Failure};

pub use argv::split;
pub use door::{Answer, Body, Door, LOCAL, Post, address};
pub use tokens::{Mint, Tokens, read_private};

/// Longest line a client may send; the door accepts no longer body either.
const LINE_BYTES: usize = 4 * 1024 * 1024;
/// Messages on their way at the same time; with that many, reading pauses.
const IN_FLIGHT: usize = 64;
/// Lines waiting to be written.
const QUEUE: usize = 16;
/// What is left to do after the last answer.
const FAREWELL: Duration = Duration::from_secs(5);

/// Takes lines for the person who runs the bridge: no token and no key is ever in one.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// A bridge between one client and one door.
pub struct Bridge {
    door: Box<dyn Post>,
    tokens: Tokens,
    silence: Duration,
    report: Report,
}

impl Bridge {
    /// `silence` is the longest wait for the next piece of an answer.
    pub fn new(door: impl Post + 'static, tokens: Tokens, silence: Duration, report: Report) -> Self {
        Self { door: Box::new(door), tokens, silence, report }
    }

    /// Relays until `input` ends; what is under way then is finished, but not waited for without end. Nothing but
    /// JSON-RPC lines goes to `output`; when it is closed, the bridge ends.
    ///
    /// # Errors
    /// [`Code::Io`] when `input` cannot be read.
    pub async fn run(
        self,
        input: impl AsyncRead + Unpin,
        output: impl AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(), Failure> {
        let Self { door, tokens, silence, report } = self;
        let (lines, queue) = mpsc::channel(QUEUE);
        let mut writer = tokio::spawn(write(queue, output));
        let (learned, warned) = (Mutex::new(Learned::default()), AtomicBool::new(false));
        let relay = Arc::new(Relay { door, tokens, silence, report: report.clone(), lines, learned, warned });
        let traffic = Traffic {
            relay,
            flights: Flights::default(),
            places: Arc::new(Semaphore::new(IN_FLIGHT)),
            tasks: TaskTracker::new(),
        };
        let read = traffic.read(input).await;
        traffic.flights.cancel_listeners();
        traffic.tasks.close();
        let limit = silence.saturating_add(FAREWELL);
        tokio::select! {
            () = traffic.relay.abandoned() => {}
            ended = timeout(limit, traffic.tasks.wait()) => if ended.is_err() {
                report("the client is gone and the door has not finished: what is still under way is given up");
            },
        }
        drop(traffic);
        if timeout(FAREWELL, &mut writer).await.is_err() {
            writer.abort();
        }
        read.map_err(|error| Failure::new(Code::Io, "standard input cannot be read").because(error))
    }
}

/// What is between the client and the door.
struct Traffic {
    relay: Arc<Relay>,
    flights: Flights,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Traffic {
    async fn read(&self, input: impl AsyncRead + Unpin) -> std::io::Result<()> {
        let mut lines = Lines::new(BufReader::with_capacity(64 * 1024, input), LINE_BYTES);
        loop {
            let line = tokio::select! {
                () = self.relay.abandoned() => return Ok(()),
                line = lines.next() => line?,
            };
            let failure = match line {
                None => return Ok(()),
                Some(Line::Text(text)) => {
                    tokio::select! {
                        () = self.relay.abandoned() => return Ok(()),
                        () = self.take(text) => continue,
                    }
                }
                Some(Line::TooLong) => Failure::new(Code::BodyTooLarge, "a line is longer than 4 MiB"),
                Some(Line::NotUtf8) => Failure::new(Code::MalformedJson, "a line is not UTF-8"),
            };
            self.relay.refuse(None, &failure.into()).await;
        }
    }

    async fn take(&self, text: String) {
        if text.trim().is_empty() {
            return;
        }
        let message = match Message::parse(&text) {
            Ok(message) => message,
            Err(fault) => return self.relay.refuse(fault.id.as_ref(), &fault.failure.into()).await,
        };
        if let Some(id) = message.cancels() {
            return self.flights.cancel(&id);
        }
        let Ok(place) = self.places.clone().acquire_owned().await else { return };
        let flight = match &message.kind {
            Kind::Request(id) => match self.flights.begin(id, message.method == "subscriptions/listen") {
                Ok(flight) => Some(flight),
                // With the id of a request that is under way this would be taken for that one's answer.
                Err(failure) if failure.code() == Code::InvalidRequest => {
                    return self.relay.refuse(None, &failure.into()).await;
                }
                Err(failure) => return self.relay.refuse(Some(id), &failure.into()).await,
            },
            Kind::Notification | Kind::Response(_) => None,
        };
        let handshake = message.method == "initialize";
        let relay = self.relay.clone();
        let task = self.tasks.spawn(async move {
            relay.carry(text, message, flight).await;
            drop(place);
        });
        if handshake {
            // What follows must carry the version that is being agreed on, also when it is sent without waiting.
            let _ = task.await;
        }
    }
}

async fn write(mut queue: mpsc::Receiver<relay::Line>, mut output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    while let Some(line) = queue.recv().await {
        if line.unless.is_some_and(|cancelled| cancelled.is_cancelled()) {
            continue;
        }
        let mut text = line.text;
        text.push('\n');
        output.write_all(text.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}
