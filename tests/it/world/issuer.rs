//! An issuer that publishes its keys over TLS: a test changes what it says, takes it down, and counts its visitors.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward::pki::store;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Serves one document until it is dropped.
pub struct Issuer {
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Without one the issuer is out of order.
    document: Mutex<Option<String>>,
    fetches: AtomicUsize,
    delay_ms: AtomicU64,
}

impl Issuer {
    /// With the server's own certificate.
    pub fn start(root: &Path, keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let chain = store::certificates(&root.join("server.crt")).unwrap();
        let key = store::private_key(&root.join("server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(doorward::transport::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::<Shared>::default();
        let visited = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(answer(acceptor.clone(), tcp, Arc::clone(&visited)));
            }
        });
        let issuer = Self { port, shared, task };
        issuer.publish(keys);
        issuer
    }

    /// From now on these are the keys.
    pub fn publish(&self, keys: &[Value]) {
        *self.shared.document.lock().unwrap() = Some(json!({ "keys": keys }).to_string());
    }

    /// From now on there is no answer but an error.
    pub fn fail(&self) {
        *self.shared.document.lock().unwrap() = None;
    }

    /// From now on it thinks for so long before it answers.
    pub fn hesitate(&self, millis: u64) {
        self.shared.delay_ms.store(millis, Ordering::SeqCst);
    }

    /// How often it was asked.
    pub fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection; a visitor who breaks off is nothing to fail for.
async fn answer(acceptor: TlsAcceptor, tcp: TcpStream, shared: Arc<Shared>) {
    let Ok(mut tls) = acceptor.accept(tcp).await else { return };
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match tls.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    shared.fetches.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(shared.delay_ms.load(Ordering::SeqCst))).await;
    let document = shared.document.lock().unwrap().clone();
    let (status, body) = match &document {
        Some(document) => ("200 OK", document.as_str()),
        None => ("503 Service Unavailable", ""),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = tls.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = tls.shutdown().await;
}
