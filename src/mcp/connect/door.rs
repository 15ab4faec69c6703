//! The far end: one HTTPS address, or one unix socket, that takes POSTs. A trait, so that a test can stand in for it.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, unfold};
use http::{HeaderMap, StatusCode, Uri};

use crate::error::Failure;
use crate::net::Outbound;

/// A body as it arrives.
pub type Body = BoxStream<'static, Result<Bytes, Failure>>;

/// What comes back for a POST, whatever its status.
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; dropping it closes the request.
    pub body: Body,
}

/// Takes one message and answers.
#[async_trait]
pub trait Post: Send + Sync {
    /// Sends `body` with `headers`.
    ///
    /// # Errors
    /// When there is no answer at all.
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure>;
}

/// The endpoint of a door behind a unix socket. The name is the one that the door answers to there.
pub const LOCAL: &str = "http://localhost/mcp";

/// A door behind https or a unix socket.
pub struct Door {
    /// The connections to it.
    pub outbound: Outbound,
    /// Its address, as [`address`] gives it, or [`LOCAL`].
    pub url: String,
    /// Longest time until an answer begins.
    pub limit: Duration,
}

#[async_trait]
impl Post for Door {
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let mut reply = self.outbound.post(&self.url, headers, body, self.limit).await?;
        let (status, headers) = (reply.status, std::mem::take(&mut reply.headers));
        let body = unfold(reply, |mut reply| async { reply.next_chunk().await.map(|chunk| (chunk, reply)) });
        Ok(Answer { status, headers, body: body.boxed() })
    }
}

/// Reads the address of a door: https, a host, no user, no fragment. Without a path it means `/mcp`.
///
/// # Errors
/// What is wrong, for the person who typed it.
pub fn address(text: &str) -> Result<String, String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    if uri.scheme_str() != Some("https") {
        return Err("the door is reached by https only, as in https://HOST:8443/mcp".to_owned());
    }
    let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or("there is no host")?;
    if authority.as_str().contains('@') {
        return Err("a URL with a user or password is not accepted: use --cert and a token".to_owned());
    }
    if text.contains('#') {
        return Err("a fragment (#…) is never sent: leave it out".to_owned());
    }
    let path = uri.path_and_query().map(http::uri::PathAndQuery::as_str).filter(|path| !matches!(*path, "" | "/"));
    Ok(format!("https://{authority}{}", path.unwrap_or("/mcp")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_means_mcp() {
        for text in ["https://door:8443", "https://door:8443/", "https://door:8443/mcp"] {
            assert_eq!(address(text).unwrap(), "https://door:8443/mcp");
        }
        assert_eq!(address("https://[::1]:8443/other?x=1").unwrap(), "https://[::1]:8443/other?x=1");
    }

    #[test]
    fn only_https_to_a_host_is_accepted() {
        for text in
            ["http://door", "door:8443", "/mcp", "https://", "https://u:p@door", "https://door/#x", "ftp://d", ""]
        {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
