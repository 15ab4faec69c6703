//! `/health`, `/ready` and `/metrics`: for machines that look after the daemon, on a listener of their own.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum_server::Handle;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use hyper_util::rt::TokioTimer;
use serde_json::json;

use super::reply;
use crate::error::{Code, Failure};
use crate::telemetry;

/// Whether the daemon can do its work.
pub trait Readiness: Send + Sync {
    /// What is missing, in a few words each; empty when nothing is.
    fn missing(&self) -> Vec<&'static str>;
}

/// The answer to a probe.
pub(super) fn answer(path: &str, readiness: &dyn Readiness) -> Response {
    match path {
        "/health" => reply::json(&json!({ "status": "ok" })),
        "/ready" => {
            let missing = readiness.missing();
            let mut response = reply::json(&json!({ "ready": missing.is_empty(), "missing": missing }));
            if !missing.is_empty() {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
        _ => {
            let mut response = Response::new(Body::from(telemetry::metrics_text()));
            let form = HeaderValue::from_static(telemetry::METRICS_CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, form);
            response
        }
    }
}

/// The running listener for probes.
pub struct Probes {
    /// Where it listens.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
}

impl Probes {
    /// Starts to answer on `listener`. It serves nothing else and knows no caller.
    ///
    /// # Errors
    /// [`Code::Io`] when the listener cannot be used.
    pub fn start(listener: TcpListener, readiness: Arc<dyn Readiness>) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(Code::Io, "the listener for probes cannot be used").because(error);
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let handle = Handle::new();
        let mut server = axum_server::from_tcp(listener).map_err(failed)?.handle(handle.clone()).http1_only();
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(5))
            .keep_alive(false);
        let routes = Router::new().fallback(move |request: Request| {
            let readiness = Arc::clone(&readiness);
            async move { respond(&request, readiness.as_ref()) }
        });
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(Self { address, handle })
    }

    /// Stops at once.
    pub fn stop(&self) {
        self.handle.shutdown();
    }
}

fn respond(request: &Request, readiness: &dyn Readiness) -> Response {
    let known = matches!(request.uri().path(), "/health" | "/ready" | "/metrics");
    if known && matches!(*request.method(), Method::GET | Method::HEAD) {
        return answer(request.uri().path(), readiness);
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND };
    response
}
