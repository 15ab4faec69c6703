//! The Model Context Protocol, and only here: both eras, stateless, on top of the pipeline.

pub mod connect;
mod errors;
#[cfg(feature = "conformance")]
mod fixtures;
mod handler;
mod listing;
mod protocol;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
#[cfg(not(feature = "conformance"))]
use rmcp::transport::streamable_http_server::StreamableHttpService;
#[cfg(not(feature = "conformance"))]
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::{ServiceExt as _, model::ProtocolVersion, service::ServerInitializeError};

use crate::authn::Caller;
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;
use crate::pipeline::Door;

use handler::{Entrance, Handler};

pub use protocol::Protocol;

#[cfg(feature = "conformance")]
use fixtures::Service;
#[cfg(not(feature = "conformance"))]
type Service = StreamableHttpService<Handler, NeverSessionManager>;

/// The protocol versions that are spoken, oldest first.
static SPOKEN: [ProtocolVersion; 2] = [ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// Whether this protocol version is spoken here.
#[must_use]
pub fn speaks(version: &str) -> bool {
    SPOKEN.iter().any(|spoken| spoken.as_str() == version)
}

/// The protocol versions that are spoken, oldest first.
#[must_use]
pub fn versions() -> [&'static str; 2] {
    ["2025-11-25", "2026-07-28"]
}

/// An identified caller on the way to the pipeline; travels as an extension of the HTTP request.
#[derive(Clone)]
pub struct Passage {
    /// The configuration under which the caller was identified; the call is judged under the same.
    pub door: Arc<Door>,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// When the request came in.
    pub received: Timestamp,
    /// The same on the clock that measures durations.
    pub started: Instant,
    /// Whether it is recorded already that the caller is known.
    pub announced: bool,
}

/// MCP over HTTP. Sessions do not exist; Host and Origin are checked by the transport, before this.
#[derive(Clone)]
pub struct Endpoint {
    protocol: Protocol,
    service: Service,
}

impl Endpoint {
    /// With this cap on request bodies.
    #[must_use]
    pub fn new(max_body_bytes: usize) -> Self {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .disable_allowed_hosts()
            .disable_allowed_origins()
            .with_max_request_body_bytes(max_body_bytes);
        #[cfg(not(feature = "conformance"))]
        let endpoint = Self {
            protocol: Protocol::Stateless,
            service: Service::new(
                || Ok(Handler::new(Entrance::Carried)),
                Arc::new(NeverSessionManager::default()),
                config,
            ),
        };
        #[cfg(feature = "conformance")]
        let endpoint = Self { protocol: Protocol::Sessions, service: fixtures::service(config) };
        endpoint
    }

    /// Which requests may come to it.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Answers one request. Without a [`Passage`] among its extensions nothing can be called.
    pub async fn answer(&self, request: Request<Full<Bytes>>) -> Response<BoxBody<Bytes, std::convert::Infallible>> {
        self.service.handle(request).await.map(|body| body.boxed())
    }
}

/// Serves MCP over a pair of byte streams until the other end closes its own.
///
/// # Errors
/// [`Code::Io`] when the streams fail.
pub async fn serve_streams<R, W>(
    streams: (R, W),
    door: Arc<dyn Fn() -> Arc<Door> + Send + Sync>,
    peer: PeerIdentity,
) -> Result<(), Failure>
where
    R: tokio::io::AsyncRead + Send + Unpin + 'static,
    W: tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let handler = Handler::new(Entrance::Local { door, peer: Arc::new(peer) });
    let failed = |cause: String| Failure::new(Code::Io, "the client's streams failed").because(cause);
    let running = match handler.serve(streams).await {
        Ok(running) => running,
        // Who leaves before a conversation begins has not failed.
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    running.waiting().await.map(|_| ()).map_err(|error| failed(error.to_string()))
}
