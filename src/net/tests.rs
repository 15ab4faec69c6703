//! Outbound requests and where they may go.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use std::sync::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// For what comes at once, however busy the machine is.
const LONG: Duration = Duration::from_secs(30);

pub(super) struct World {
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl World {
    pub(super) fn new() -> Self {
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

    pub(super) fn options(&self, with_identity: bool) -> Options {
        let (chain, key) = self.issue();
        let identity = (chain.into_bytes(), Secret::new(key.serialize_pem().into_bytes()));
        Options {
            ca_pem: Some(self.ca.pem().into_bytes()),
            identity: with_identity.then_some(identity),
            connect_timeout: LONG,
        }
    }

    fn outbound(&self, with_identity: bool) -> Outbound {
        Outbound::new(self.options(with_identity)).unwrap()
    }

    fn acceptor(&self, wants_certificate: bool) -> TlsAcceptor {
        let (chain, key) = self.issue();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider).build().unwrap();
        let config = match wants_certificate {
            true => config.unwrap().with_client_cert_verifier(verifier),
            false => config.unwrap().with_no_client_auth(),
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = config.with_single_cert(certificates(chain.as_bytes()).unwrap(), key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Answers one connection after another: its requests with the texts in turn, then it is ended. An empty text ends it
    /// without an answer, "cut" without even an end of TLS, and "silence" is what it says. Gives the address, and the bodies
    /// that came, by connection.
    pub(super) async fn play(&self, connections: Vec<Vec<&'static str>>) -> (String, Arc<Mutex<Vec<Vec<String>>>>) {
        let acceptor = self.acceptor(false);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let came = Arc::clone(&bodies);
        tokio::spawn(async move {
            for (number, answers) in connections.into_iter().enumerate() {
                let mut tls = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
                came.lock().unwrap().push(Vec::new());
                for answer in answers {
                    let Some(body) = body(&mut tls).await else { break };
                    came.lock().unwrap()[number].push(body);
                    match answer {
                        "" => drop(tls.shutdown().await),
                        "cut" => break,
                        "silence" => std::future::pending().await,
                        answer => tls.write_all(answer.as_bytes()).await.unwrap(),
                    }
                }
                let _ = tls.get_mut().0.shutdown().await;
            }
        });
        (format!("https://localhost:{port}/"), bodies)
    }

    /// Says `answer` to every connection, and nothing if it is empty; gives its own address.
    async fn serve(&self, answer: &'static str, wants_certificate: bool) -> String {
        let acceptor = self.acceptor(wants_certificate);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                let mut request = [0; 2048];
                let _ = tls.read(&mut request).await;
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _ = tls.write_all(answer.as_bytes()).await;
                let _ = tls.shutdown().await;
            }
        });
        format!("https://localhost:{port}/")
    }
}

/// The body of the next request.
async fn body(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.ok()?;
    Some(String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_whole_answer_within_the_limits_is_given_back() {
    let world = World::new();
    let url = world.serve("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", false).await;
    assert_eq!(world.outbound(false).get(&url, LONG, 5).await.unwrap(), b"hello");
    assert_eq!(world.outbound(false).get(&url, LONG, 4).await.unwrap_err().code(), Code::Upstream);
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
        let limit = if answer.is_empty() { Duration::from_millis(500) } else { LONG };
        let result = world.outbound(false).get(&url, limit, 5).await;
        assert_eq!(result.unwrap_err().code(), Code::Upstream, "{answer}");
    }
}

#[tokio::test]
async fn only_the_given_authority_is_trusted_and_only_https_is_spoken() {
    let (world, other) = (World::new(), World::new());
    let url = world.serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    assert!(other.outbound(false).get(&url, LONG, 5).await.is_err());
    for url in [url.replace("https", "http"), url.replace("localhost", "127.0.0.1"), "file:///etc/passwd".to_owned()] {
        assert!(world.outbound(false).get(&url, LONG, 5).await.is_err(), "{url}");
    }
}

#[tokio::test]
async fn why_there_is_no_connection_is_said() {
    let (world, other) = (World::new(), World::new());
    let said = async |outbound: Outbound, url: &str| outbound.get(url, LONG, 5).await.unwrap_err().to_string();
    let url = world.serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
    let untrusted = said(other.outbound(false), &url).await;
    assert!(untrusted.contains("certificate is not trusted"), "{untrusted}");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = said(world.outbound(false), &format!("https://localhost:{port}/")).await;
    assert!(refused.contains("refuses the connection"), "{refused}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let local = || Outbound::local(&path, LONG).unwrap();
    let absent = said(local(), "http://engine/").await;
    assert!(absent.contains("there is no socket"), "{absent}");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let deserted = said(local(), "http://engine/").await;
    assert!(deserted.contains("refuses the connection"), "{deserted}");
}

#[tokio::test]
async fn the_client_certificate_is_shown_and_an_answer_of_any_status_is_streamed() {
    let world = World::new();
    let url = world.serve("HTTP/1.1 403 No\r\nx-why: y\r\ncontent-length: 2\r\n\r\nno", true).await;
    let post = |outbound: Outbound| {
        let url = url.clone();
        async move { outbound.post(&url, HeaderMap::new(), Bytes::from_static(b"{}"), LONG).await }
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
        Outbound::new(Options { ca_pem: Some(ca.as_bytes().to_vec()), identity, connect_timeout: LONG })
            .map(|_| ())
            .map_err(|failure| failure.code())
    };
    let (ca, key) = (world.ca.pem(), key.serialize_pem());
    assert_eq!(build(&ca, &chain, &key), Ok(()));
    for (ca, chain, key) in [("", &*chain, &*key), (&ca, "", &key), (&ca, &chain, ""), (&ca, &chain, &stranger)] {
        assert_eq!(build(ca, chain, key), Err(Code::Config));
    }
}
