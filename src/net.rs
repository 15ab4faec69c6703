//! Outbound HTTPS: own roots, no proxies, no redirects, no second tries, time limits, size caps; below it, plain streams
//! and datagrams. No other module connects to anything.

pub mod datagram;
mod local;
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
        let tls = tls(&options)?;
        #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| Failure::new(Code::Config, "outbound TLS cannot be set up").because(error))?;
        Ok(Self { client })
    }

    /// For whoever serves on the unix socket at `path`, over plain HTTP: what goes through it leaves this machine nowhere.
    ///
    /// # Errors
    /// [`Code::Config`] when the client cannot be set up.
    pub fn local(path: &Path, connect_timeout: Duration) -> Result<Self, Failure> {
        // Never used, as no address of https is asked for; the library wants one all the same.
        let tls = client_config(RootCertStore::empty())?.with_no_client_auth();
        #[expect(clippy::disallowed_methods, reason = "this module is where outbound connections are made")]
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .unix_socket(path.to_owned())
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| Failure::new(Code::Config, "the client cannot be set up").because(error))?;
        Ok(Self { client })
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

async fn send(request: reqwest::RequestBuilder) -> Result<Reply, Failure> {
    let mut body = request.send().await.map_err(broken)?;
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
        if system.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return "the remote party refuses the connection at this port";
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
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::server::WebPkiClientVerifier;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const SECOND: Duration = Duration::from_secs(1);

    struct World {
        ca: CertifiedIssuer<'static, KeyPair>,
    }

    impl World {
        fn new() -> Self {
            let mut params = CertificateParams::new(vec![]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self { ca: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
        }

        fn issue(&self) -> (String, KeyPair) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            (params.signed_by(&key, &self.ca).unwrap().pem(), key)
        }

        fn roots(&self) -> RootCertStore {
            roots(Some(self.ca.pem().as_bytes())).unwrap()
        }

        fn outbound(&self, with_identity: bool) -> Outbound {
            let (chain, key) = self.issue();
            let identity = (chain.into_bytes(), Secret::new(key.serialize_pem().into_bytes()));
            Outbound::new(Options {
                ca_pem: Some(self.ca.pem().into_bytes()),
                identity: with_identity.then_some(identity),
                connect_timeout: SECOND,
            })
            .unwrap()
        }

        /// Says `answer` to every connection, and nothing if it is empty; gives its own address.
        async fn serve(&self, answer: &'static str, wants_certificate: bool) -> String {
            let (chain, key) = self.issue();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config =
                ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider).build().unwrap();
            let config = match wants_certificate {
                true => config.unwrap().with_client_cert_verifier(verifier),
                false => config.unwrap().with_no_client_auth(),
            };
            let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
            let config = config.with_single_cert(certificates(chain.as_bytes()).unwrap(), key).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                    let mut request = [0; 2048];
                    let _ = tls.read(&mut request).await;
                    if answer.is_empty() {
                        tokio::time::sleep(Duration::from_secs(10)).await;
                    }
                    let _ = tls.write_all(answer.as_bytes()).await;
                    let _ = tls.shutdown().await;
                }
            });
            format!("https://localhost:{port}/")
        }
    }

    #[tokio::test]
    async fn a_whole_answer_within_the_limits_is_given_back() {
        let world = World::new();
        let url = world.serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false).await;
        assert_eq!(world.outbound(false).get(&url, SECOND, 5).await.unwrap(), b"hello");
        assert_eq!(world.outbound(false).get(&url, SECOND, 4).await.unwrap_err().code(), Code::Upstream);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_200_or_not_whole_or_late_or_endless_is_refused() {
        let world = World::new();
        for answer in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n",
            "no HTTP",
            "",
        ] {
            let url = world.serve(answer, false).await;
            let result = world.outbound(false).get(&url, SECOND / 2, 5).await;
            assert_eq!(result.unwrap_err().code(), Code::Upstream, "{answer}");
        }
    }

    #[tokio::test]
    async fn only_the_given_authority_is_trusted_and_only_https_is_spoken() {
        let (world, other) = (World::new(), World::new());
        let url = world.serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
        assert!(other.outbound(false).get(&url, SECOND, 5).await.is_err());
        for url in
            [url.replace("https", "http"), url.replace("localhost", "127.0.0.1"), "file:///etc/passwd".to_owned()]
        {
            assert!(world.outbound(false).get(&url, SECOND, 5).await.is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn why_there_is_no_connection_is_said() {
        let (world, other) = (World::new(), World::new());
        let said = async |outbound: Outbound, url: &str| outbound.get(url, SECOND, 5).await.unwrap_err().to_string();
        let url = world.serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
        let untrusted = said(other.outbound(false), &url).await;
        assert!(untrusted.contains("certificate is not trusted"), "{untrusted}");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = said(world.outbound(false), &format!("https://localhost:{port}/")).await;
        assert!(refused.contains("refuses the connection"), "{refused}");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            let _ = tcp.read(&mut [0; 2048]).await;
            std::future::pending::<()>().await;
        });
        let plain = said(world.outbound(false), &format!("https://localhost:{port}/")).await;
        assert!(plain.contains("does not speak TLS"), "{plain}");
        let unknown = said(world.outbound(false), "https://no-such-host.invalid/").await;
        assert!(unknown.contains("name is not known"), "{unknown}");
    }

    #[tokio::test]
    async fn the_client_certificate_is_shown_and_an_answer_of_any_status_is_streamed() {
        let world = World::new();
        let url = world.serve("HTTP/1.1 403 No\r\nx-why: y\r\ncontent-length: 2\r\n\r\nno", true).await;
        let post = |outbound: Outbound| {
            let url = url.clone();
            async move { outbound.post(&url, HeaderMap::new(), Bytes::from_static(b"{}"), SECOND).await }
        };
        assert!(post(world.outbound(false)).await.is_err());
        let mut reply = post(world.outbound(true)).await.unwrap();
        assert_eq!((reply.status.as_u16(), reply.headers.get("x-why").unwrap().as_bytes()), (403, &b"y"[..]));
        assert_eq!(reply.next_chunk().await.unwrap().unwrap(), "no");
        assert!(reply.next_chunk().await.is_none());
    }

    #[test]
    fn what_is_not_a_certificate_or_key_is_a_finding() {
        let world = World::new();
        let (chain, key) = world.issue();
        let stranger = KeyPair::generate().unwrap().serialize_pem();
        let build = |ca: &str, chain: &str, key: &str| {
            let identity = Some((chain.as_bytes().to_vec(), Secret::new(key.as_bytes().to_vec())));
            Outbound::new(Options { ca_pem: Some(ca.as_bytes().to_vec()), identity, connect_timeout: SECOND })
                .map(|_| ())
                .map_err(|failure| failure.code())
        };
        let (ca, key) = (world.ca.pem(), key.serialize_pem());
        assert_eq!(build(&ca, &chain, &key), Ok(()));
        for (ca, chain, key) in [("", &*chain, &*key), (&ca, "", &key), (&ca, &chain, ""), (&ca, &chain, &stranger)] {
            assert_eq!(build(ca, chain, key), Err(Code::Config));
        }
    }
}
