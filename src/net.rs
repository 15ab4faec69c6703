//! Outbound HTTPS: own roots, no proxies, no redirects, no second tries but where they are asked for, time limits, size
//! caps; below it, plain streams and datagrams. No other module connects to anything.

pub mod datagram;
mod local;
pub mod repeatable;
pub mod served;
pub mod stream;

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use crate::error::{Code, Failure};
use crate::secret::Secret;

/// Idle connections are given up before most servers do, so a request seldom meets one that is half closed.
const IDLE: Duration = Duration::from_secs(20);

/// What a remote party must prove, and what is proven to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Certificate authorities in PEM; these alone are trusted. `None` for the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Client certificate chain in PEM and its private key in PEM.
    pub identity: Option<(Vec<u8>, Secret<Vec<u8>>)>,
    /// Longest time for name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
}

/// A client for one remote party. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: reqwest::Client,
}

impl Outbound {
    /// Reads certificates and keys; connects to nothing. Without `ca_pem` it reads the system's certificates from disk.
    ///
    /// # Errors
    /// [`Code::Config`] when a certificate or key cannot be used, or there is no authority to trust.
    pub fn new(options: Options) -> Result<Self, Failure> {
        built(builder(tls(&options)?, options.connect_timeout).https_only(true))
    }

    /// For whoever serves on the unix socket at `path`, over plain HTTP: what goes through it leaves this machine nowhere.
    ///
    /// # Errors
    /// [`Code::Config`] when the client cannot be set up.
    pub fn local(path: &Path, connect_timeout: Duration) -> Result<Self, Failure> {
        // Never used, as no address of https is asked for; the library wants one all the same.
        let tls = client_config(RootCertStore::empty())?.with_no_client_auth();
        built(builder(tls, connect_timeout).unix_socket(path.to_owned()))
    }

    /// GET. The answer must be 200, at most `cap` bytes long, and complete within `limit`.
    ///
    /// # Errors
    /// [`Code::Upstream`].
    pub async fn get(&self, url: &str, limit: Duration, cap: usize) -> Result<Vec<u8>, Failure> {
        let all = async {
            let reply = send(self.client.get(url)).await?;
            if reply.status != StatusCode::OK {
                return Err(upstream("the remote party did not answer 200").because(reply.status.to_string()));
            }
            reply.collect(cap).await
        };
        within(limit, all).await
    }

    /// POST. `limit` is the time until the answer's headers; its body is read from the [`Reply`].
    ///
    /// # Errors
    /// [`Code::Upstream`]. An answer of any status is an answer.
    pub async fn post(&self, url: &str, headers: HeaderMap, body: Bytes, limit: Duration) -> Result<Reply, Failure> {
        within(limit, send(self.client.post(url).headers(headers).body(body))).await
    }
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: reqwest::Response,
}

impl Reply {
    /// The next piece of the body; `None` at its end. There is no time limit here: the caller knows how long to wait.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, Failure>> {
        self.body.chunk().await.map_err(broken).transpose()
    }

    /// The rest of the body, if it is at most `cap` bytes long.
    ///
    /// # Errors
    /// [`Code::Upstream`].
    pub async fn collect(mut self, cap: usize) -> Result<Vec<u8>, Failure> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.next_chunk().await {
            let chunk = chunk?;
            if whole.len().saturating_add(chunk.len()) > cap {
                return Err(upstream("the remote party's answer is too long"));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

/// What all clients have in common.
fn builder(tls: ClientConfig, connect_timeout: Duration) -> reqwest::ClientBuilder {
    #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE)
}

fn built(builder: reqwest::ClientBuilder) -> Result<Outbound, Failure> {
    let client = builder.build().map_err(|error| config("the outbound client cannot be set up").because(error))?;
    Ok(Outbound { client })
}

async fn send(request: reqwest::RequestBuilder) -> Result<Reply, Failure> {
    answered(request.send().await)
}

fn answered(answer: reqwest::Result<reqwest::Response>) -> Result<Reply, Failure> {
    let mut body = answer.map_err(broken)?;
    let headers = std::mem::take(body.headers_mut());
    Ok(Reply { status: body.status(), headers, body })
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(upstream("the remote party took too long")))
}

/// The address is left out of the cause: its query may be secret, and whoever asked knows it.
fn broken(error: reqwest::Error) -> Failure {
    let text = match &error {
        e if e.is_builder() => "the address is not one that can be called: https is required",
        e if e.is_timeout() => "the remote party took too long",
        e if e.is_connect() => unreachable(e),
        _ => "the remote party broke off",
    };
    upstream(text).because(error.without_url())
}

/// One word of why there is no connection, for whoever sees no log.
fn unreachable(error: &reqwest::Error) -> &'static str {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        match error.downcast_ref() {
            Some(rustls::Error::InvalidCertificate(_)) => return "the remote party's certificate is not trusted",
            Some(rustls::Error::InvalidMessage(_)) => return "the remote party does not speak TLS at this port",
            Some(_) => return "the TLS handshake with the remote party failed",
            None => {}
        }
        let system = error.downcast_ref::<io::Error>();
        match system.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return "the remote party refuses the connection",
            // These two a unix socket alone can say.
            Some(io::ErrorKind::PermissionDenied) => return "permission denied: the daemon may not connect to it",
            Some(io::ErrorKind::NotFound) => return "there is no socket at this path",
            _ => {}
        }
        if error.to_string().contains("dns error") {
            return "the remote party's name is not known";
        }
        // What an error of the system's wraps is not its source.
        let wrapped = system.and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    "the remote party cannot be reached"
}

fn upstream(text: &'static str) -> Failure {
    Failure::new(Code::Upstream, text)
}

fn tls(options: &Options) -> Result<ClientConfig, Failure> {
    let verified = client_config(roots(options.ca_pem.as_deref())?)?;
    let mut tls = match &options.identity {
        None => verified.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates(chain)?;
            let key = PrivateKeyDer::from_pem_slice(key.expose())
                .map_err(|error| config("the client key is not a private key in PEM").because(error))?;
            verified
                .with_client_auth_cert(chain, key)
                .map_err(|error| config("the client certificate and key do not fit together").because(error))?
        }
    };
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

fn client_config(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| config("outbound TLS cannot be set up").because(error))?;
    Ok(builder.with_root_certificates(roots))
}

fn roots(ca_pem: Option<&[u8]>) -> Result<RootCertStore, Failure> {
    let mut store = RootCertStore::empty();
    match ca_pem {
        Some(pem) => {
            for certificate in certificates(pem)? {
                store
                    .add(certificate)
                    .map_err(|error| config("a certificate authority is not usable").because(error))?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(system.certs);
            if store.is_empty() {
                let cause = system.errors.into_iter().next().map_or_else(|| "none found".to_owned(), |e| e.to_string());
                return Err(config("the system has no certificate authorities").because(cause));
            }
        }
    }
    Ok(store)
}

/// All certificates of a PEM text; none is an error.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| config("a certificate is not valid PEM").because(error))?;
    if all.is_empty() { Err(config("there is no certificate in the PEM text")) } else { Ok(all) }
}

fn config(text: &'static str) -> Failure {
    Failure::new(Code::Config, text)
}

#[cfg(test)]
mod tests;
