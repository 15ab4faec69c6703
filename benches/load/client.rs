//! A connection that says one request at a time in plain HTTP/1.1, and reads no more of the answer than it must: the client
//! has a processor of its own and must never be what is waited for.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Result;

/// An open connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    answer: Vec<u8>,
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(port: u16, tls: &Arc<ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        Ok(Self { stream, answer: Vec::with_capacity(4096) })
    }

    /// Sends a request and waits for its answer; gives the status and the body.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.answer.clear();
        let (status, body) = loop {
            if let Some(found) = head(&self.answer)? {
                break found;
            }
            self.more().await?;
        };
        let (begin, length) = body;
        while self.answer.len() < begin + length {
            self.more().await?;
        }
        Ok((status, self.answer.get(begin..begin + length).unwrap_or_default()))
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.answer).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }

    /// Says that nothing more comes, and waits until the server has closed as well: then it had let this client in.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.stream.shutdown().await?;
        match self.stream.read_buf(&mut self.answer).await {
            Ok(0) => Ok(()),
            Ok(_) => Err("the server said something unasked".into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Status, where the body begins and how long it is, once the head is there.
fn head(answer: &[u8]) -> Result<Option<(u16, (usize, usize))>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status line")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value.trim())
    });
    Ok(Some((status, (end + 4, length.ok_or("an answer without content-length")?.parse()?))))
}
