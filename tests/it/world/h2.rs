//! HTTP/2: a client, and frames by hand for what a client would not do.

use std::path::Path;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinHandle;

use super::ask::Body;
use super::wire::{self, Answer};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const END_HEADERS: u8 = 4;

/// A connection; requests go through clones of `send`.
pub struct Connection {
    pub send: SendRequest<Body>,
    /// Ends with the connection.
    pub ended: JoinHandle<hyper::Result<()>>,
}

/// A connection with the certificate `good`, its client changed by `tune`.
pub async fn open(root: &Path, port: u16, tune: impl FnOnce(&mut Builder<TokioExecutor>)) -> Connection {
    let mut tls = wire::tls(root, Some("good"));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = wire::connect_as(tls, port).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut builder = Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new());
    tune(&mut builder);
    let (send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    Connection { send, ended: tokio::spawn(connection) }
}

/// Sends one request and reads its whole answer.
///
/// # Errors
/// When the connection or the stream breaks.
pub async fn ask(send: &SendRequest<Body>, request: http::Request<Body>) -> hyper::Result<Answer> {
    let mut send = send.clone();
    send.ready().await?;
    read(send.send_request(request).await?).await
}

async fn read(response: http::Response<Incoming>) -> hyper::Result<Answer> {
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status.as_u16(), headers, body: String::from_utf8(body.to_vec()).unwrap() })
}

/// One frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The next frame.
///
/// # Errors
/// When the connection ends before it.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Frame> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut payload).await?;
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    Ok(Frame { kind: head[3], stream, payload })
}

/// A header block without compression; names and values are shorter than 127 bytes.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}
