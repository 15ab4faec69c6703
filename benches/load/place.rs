//! The keys, certificates and configurations that all contenders share, made by the program itself in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::Result;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://localhost/mcp";

/// A folder with everything in it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
}

impl Place {
    /// Makes what is missing in `root`.
    pub(crate) fn prepare(root: &Path, doorward: &Path) -> Result<Self> {
        fs::create_dir_all(root)?;
        let place = Self { root: root.to_path_buf() };
        for line in [
            "pki init --dir ca",
            "pki issue server --dir ca --name localhost --name 127.0.0.1 --out server",
            "pki issue client --dir ca --cn load --out client",
            "token keygen --alg ES256 --out token-key.pem",
        ] {
            let made = Command::new(doorward).current_dir(root).args(line.split(' ')).output()?;
            if !made.status.success() {
                return Err(format!("doorward {line}: {}", String::from_utf8_lossy(&made.stderr)).into());
            }
        }
        Ok(place)
    }

    /// A file here.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A door with everything on: tokens are used once, scopes and schemas hold, the log is kept, budgets are counted (and
    /// wide enough that none is reached). The log is not compressed meanwhile: that is work of a calmer hour.
    pub(crate) fn configure(&self, port: u16, max_array_items: u32) -> Result<PathBuf> {
        let text = format!(
            "transport: https
tls: {{bind: \"127.0.0.1:{port}\", cert: server.crt, key: server.key, client_ca: ca/ca.crt, allowed_subjects: [CN=load]}}
http: {{max_connections: 2048, max_connections_per_address: 2048}}
auth:
  jwt:
    issuer: {ISSUER}
    audience: {AUDIENCE}
    public_key: token-key.pub.pem
    algorithms: [ES256]
    max_ttl: 60
    clock_skew: 5
scopes: {{core: [get_uptime]}}
limits: {{max_array_items: {max_array_items}}}
resources:
  max_concurrent_queries: 2048
  rate_limit: {{requests_per_minute: 100000000, requests_per_hour: 4000000000, burst: 100000000}}
audit: {{path: log/audit.jsonl, max_size_mb: 512, max_files: 4, compress: false}}
log: {{level: warn}}
"
        );
        fs::create_dir_all(self.path("log"))?;
        let path = self.path("doorward.yaml");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// TLS 1.3 only, a client certificate required, nothing resumed: what the door demands, without its own checks.
    pub(crate) fn server_tls(&self) -> Result<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?)).build()?;
        let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&self.path("server.crt"))?, key(&self.path("server.key"))?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// The client's side, with its certificate; nothing is resumed.
    pub(crate) fn client_tls(&self) -> Result<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain(&self.path("client.crt"))?, key(&self.path("client.key"))?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in chain(&self.path("ca/ca.crt"))? {
            roots.add(certificate)?;
        }
        Ok(roots)
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_file_iter(path)?.collect::<std::result::Result<_, _>>()?)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    Ok(PrivateKeyDer::from_pem_file(path)?)
}
