//! Standard input and output, one message a line. A line meets the same strictness as a body over https before the protocol
//! layer sees it; one that is refused is recorded and answered, and the next one is read.

use std::io;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, duplex};
use tokio::sync::mpsc;

use super::message::{self, Asks, Refused};
use super::reply;
use crate::authn::Presented;
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;
use crate::mcp;
use crate::pipeline::Door;

/// Bytes between the streams and the protocol layer.
const PIPE: usize = 64 * 1024;
/// Refusals that may wait to be written.
const REFUSALS: usize = 16;

/// What a line is judged by: asked anew for each, so that a reload counts.
#[derive(Clone)]
pub struct Local {
    /// The door in force.
    pub door: Arc<dyn Fn() -> Arc<Door> + Send + Sync>,
    /// Bytes a line may have.
    pub longest: Arc<dyn Fn() -> usize + Send + Sync>,
    /// Who is at the other end.
    pub peer: PeerIdentity,
}

/// Serves until the other end closes its stream.
///
/// # Errors
/// [`Code::Io`] when the streams fail.
pub async fn serve<R, W>(streams: (R, W), local: Local) -> Result<(), Failure>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let (inward, taken) = duplex(PIPE);
    let (given, outward) = duplex(PIPE);
    let (refuse, refusals) = mpsc::channel(REFUSALS);
    let (input, output) = streams;
    let mut serving = Box::pin(mcp::serve_streams((taken, given), Arc::clone(&local.door), local.peer.clone()));
    let reading = read(BufReader::new(input), inward, refuse, local);
    let served = async {
        tokio::select! {
            served = &mut serving => served,
            // The end of the input is the end of the conversation, once what was asked is answered.
            read = reading => {
                let served = serving.await;
                read.and(served)
            }
        }
    };
    let (served, written) = tokio::join!(served, write(output, outward, refusals));
    served.and(written)
}

/// Hands good lines on to `inward`, and answers to the others to `refuse`.
async fn read<R: AsyncBufRead + Unpin>(
    mut input: R,
    mut inward: impl AsyncWrite + Unpin,
    refuse: mpsc::Sender<Value>,
    local: Local,
) -> Result<(), Failure> {
    let peer = Arc::new(local.peer);
    let mut line = Vec::new();
    loop {
        let longest = (local.longest)();
        let judged = match next(&mut input, &mut line, longest).await.map_err(failed)? {
            Line::End => return Ok(()),
            Line::Whole if line.trim_ascii().is_empty() => continue,
            Line::Whole => message::check_line(&line),
            Line::TooLong => Err(Failure::new(Code::BodyTooLarge, format!("the line is over {longest} bytes")).into()),
        };
        let price = match &judged {
            // Calls are counted where they are called. A notification has no answer that could say that it was refused, and
            // calling something off is to cost nothing.
            Ok((Asks::Call(_), _) | (Asks::Other, None)) => None,
            Ok((Asks::Other, Some(id))) | Err(Refused { id, .. }) => Some(id.clone()),
        };
        if let Some(id) = price
            && let Err(failure) = spend(&local.door, &peer).await
        {
            if refuse.send(reply::error(&failure, id)).await.is_err() {
                return Ok(());
            }
            continue;
        }
        match judged {
            Ok(_) => {
                line.push(b'\n');
                // The protocol layer has ended the conversation.
                if inward.write_all(&line).await.is_err() {
                    return Ok(());
                }
            }
            Err(Refused { id, failure, .. }) => {
                let door = (local.door)();
                if let Ok(caller) = door.identify(&peer, &Presented::Nothing).await {
                    door.turn_caller_away(&caller, &failure).await;
                }
                if refuse.send(reply::error(&failure, id)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// What a request that is no call costs, as over every other transport. It leaves no record of its own unless it is refused.
async fn spend(door: &Arc<dyn Fn() -> Arc<Door> + Send + Sync>, peer: &Arc<PeerIdentity>) -> Result<(), Failure> {
    let door = door();
    let caller = door.authenticator.authenticate(peer, &Presented::Nothing, door.clock.now()).await?;
    door.spend(&Arc::new(caller)).await
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads up to the next newline into `line`, without it. Of a line that is too long nothing is kept.
async fn next<R: AsyncBufRead + Unpin>(input: &mut R, line: &mut Vec<u8>, longest: usize) -> io::Result<Line> {
    line.clear();
    let (mut some, mut too_long) = (false, false);
    loop {
        let bytes = input.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(match (some, too_long) {
                (false, _) => Line::End,
                (true, true) => Line::TooLong,
                (true, false) => Line::Whole,
            });
        }
        some = true;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        too_long |= line.len().saturating_add(part.len()) > longest;
        if too_long {
            line.clear();
        } else {
            line.extend_from_slice(part);
        }
        let used = part.len().saturating_add(usize::from(end.is_some()));
        input.consume(used);
        if end.is_some() {
            return Ok(if too_long { Line::TooLong } else { Line::Whole });
        }
    }
}

/// Writes what the protocol layer says and the refusals, each a whole line.
async fn write(
    mut output: impl AsyncWrite + Unpin,
    outward: impl AsyncRead + Unpin,
    mut refusals: mpsc::Receiver<Value>,
) -> Result<(), Failure> {
    let mut outward = BufReader::new(outward);
    let (mut line, mut open, mut refusing) = (Vec::new(), true, true);
    while open || refusing {
        let bytes = tokio::select! {
            // What was read of a line so far stays in `line` when the other branch is taken.
            read = outward.read_until(b'\n', &mut line), if open => match read.map_err(failed)? {
                0 => {
                    open = false;
                    continue;
                }
                _ => std::mem::take(&mut line),
            },
            refusal = refusals.recv(), if refusing => match refusal {
                Some(refusal) => format!("{refusal}\n").into_bytes(),
                None => {
                    refusing = false;
                    continue;
                }
            },
        };
        output.write_all(&bytes).await.map_err(failed)?;
        output.flush().await.map_err(failed)?;
    }
    Ok(())
}

fn failed(error: io::Error) -> Failure {
    Failure::new(Code::Io, "the client's streams failed").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded_and_the_next_one_is_whole() {
        let text = b"one\n\n123456\n12345\nlast".as_slice();
        // A buffer of two bytes: lines come in pieces.
        let mut input = BufReader::with_capacity(2, text);
        let mut line = Vec::new();
        let mut seen = Vec::new();
        loop {
            match next(&mut input, &mut line, 5).await.unwrap() {
                Line::Whole => seen.push(String::from_utf8(line.clone()).unwrap()),
                Line::TooLong => seen.push("too long".to_owned()),
                Line::End => break,
            }
        }
        assert_eq!(seen, ["one", "", "too long", "12345", "last"]);
    }

    #[tokio::test]
    async fn answers_and_refusals_are_whole_lines() {
        let (mut given, outward) = duplex(8);
        let (refuse, refusals) = mpsc::channel(1);
        let (output, mut read) = duplex(1024);
        let said = async move {
            given.write_all(b"{\"a\":").await.unwrap();
            refuse.send(Value::from("refused")).await.unwrap();
            given.write_all(b"1}\n").await.unwrap();
        };
        let (written, ()) = tokio::join!(write(output, outward, refusals), said);
        written.unwrap();
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut read, &mut text).await.unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["\"refused\"", "{\"a\":1}"]);
    }
}
