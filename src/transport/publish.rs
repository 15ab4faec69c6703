//! A document or two over TLS for anybody who asks: how a key set is published where there is no issuer to do it.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use http::StatusCode;
use rustls::ServerConfig;
use serde_json::Value;

use super::{reply, tls};
use crate::error::{Code, Failure};
use crate::pki;

/// Documents by path, served until dropped.
pub struct Published {
    /// Where.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
}

impl Published {
    /// Serves `documents` with this certificate and key.
    ///
    /// # Errors
    /// When the certificate, the key or the listener cannot be used.
    pub fn start(
        listener: TcpListener,
        cert: &Path,
        key: &Path,
        documents: BTreeMap<String, Value>,
    ) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::new(Code::Io, "the listener cannot be used").because(error);
        let unusable = |error: rustls::Error| Failure::new(Code::Config, "the key cannot be used").because(error);
        let mut config = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(pki::store::certificates(cert)?, pki::store::private_key(key)?)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let handle = Handle::new();
        let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(Arc::new(config)))
            .map_err(failed)?
            .handle(handle.clone());
        let documents = Arc::new(documents);
        let routes = Router::new().fallback(move |request: Request| {
            let documents = Arc::clone(&documents);
            async move { documents.get(request.uri().path()).map_or_else(absent, reply::json) }
        });
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(Self { address, handle })
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

fn absent() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}
