//! A world in a temporary directory: an authority, certificates good and bad, a token key, a door that is open.

pub mod certificates;
pub mod child;
pub mod der;
pub mod tokens;
pub mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::clock::Clock;
use doorward::config::Environment;
use doorward::daemon::{Daemon, Listeners, Source};
use doorward::pki::{KeyKind, SigningKey};
use doorward::transport::Published;
use serde_json::{Value, json};
use tempfile::TempDir;

use tokens::Signer;

pub const ISSUER: &str = "https://issuer.test";

/// Everything a test needs; gone when dropped.
pub struct World {
    estate: Estate,
    pub daemon: Daemon,
}

/// What is there before a door is open: a directory, an authority, certificates, published token keys, a configuration.
pub struct Estate {
    directory: TempDir,
    pub port: u16,
    keys_port: u16,
    pub signer: Signer,
    _keys: Published,
}

impl Deref for World {
    type Target = Estate;

    fn deref(&self) -> &Estate {
        &self.estate
    }
}

/// What a test may choose.
#[derive(Default)]
pub struct Choice {
    /// Put into the configuration after its own lines; same keys must not be repeated at the root.
    pub more: String,
    /// Lines below `auth.jwt`, each with its own indentation of four spaces.
    pub jwt: String,
    /// Lines below `tls`, indented by two.
    pub tls: String,
    /// Lines below `http`, indented by two.
    pub http: String,
    /// For how long the revocation list is good, from an hour ago.
    pub list_life: Option<Duration>,
    /// More published token keys.
    pub keys: Vec<Value>,
    /// Where token keys come from instead, indented by four; `{root}` is the directory.
    pub key_source: Option<String>,
    /// Do not wait until the daemon is ready.
    pub unready: bool,
    /// The port for callers; otherwise the system chooses.
    pub port: Option<u16>,
    /// The port for probes.
    pub probes: Option<u16>,
}

impl World {
    pub async fn open() -> Self {
        Self::with(Choice::default()).await
    }

    pub async fn with(choice: Choice) -> Self {
        let (estate, main) = Estate::make(&choice);
        let source = Source { path: Some(estate.path("doorward.yaml")), environment: Environment::default() };
        let listeners = Listeners { main: Some(main), probes: None };
        let daemon = match Daemon::start(source, Clock::system(), listeners).await {
            Ok(daemon) => daemon,
            Err(failure) => panic!("{failure}: {:?}", failure.cause()),
        };
        if !choice.unready {
            daemon.ready(Duration::from_secs(10)).await.unwrap();
        }
        Self { estate, daemon }
    }
}

impl Estate {
    /// With the port for callers already bound.
    pub fn make(choice: &Choice) -> (Self, TcpListener) {
        doorward::transport::tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let signer = Signer::new("key-1");
        certificates::make(root, choice.list_life);
        let keys_listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let keys_port = keys_listener.local_addr().unwrap().port();
        let keys: Vec<Value> = [signer.jwk()].into_iter().chain(choice.keys.clone()).collect();
        let documents = BTreeMap::from([("/jwks.json".to_owned(), json!({ "keys": keys }))]);
        let published =
            Published::start(keys_listener, &root.join("server.crt"), &root.join("server.key"), documents).unwrap();
        let main = TcpListener::bind(("127.0.0.1", choice.port.unwrap_or(0))).unwrap();
        let port = main.local_addr().unwrap().port();
        let estate = Self { directory, port, keys_port, signer, _keys: published };
        estate.configure(choice);
        (estate, main)
    }

    /// Writes the configuration anew.
    pub fn configure(&self, choice: &Choice) {
        let root = self.directory.path();
        fs::write(root.join("doorward.yaml"), configuration(root, self.port, self.keys_port, choice)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.port)
    }

    pub fn audience(&self) -> String {
        audience(self.port)
    }

    /// A good token.
    pub fn token(&self, scopes: &[&str]) -> String {
        self.signer.sign(&self.claims(scopes))
    }

    /// Good claims.
    pub fn claims(&self, scopes: &[&str]) -> Value {
        tokens::claims(ISSUER, &self.audience(), scopes)
    }

    /// The audit log as it is now.
    pub fn audit(&self) -> Vec<Value> {
        self.audit_from(0)
    }

    /// What has been written to the audit log since it had this many bytes.
    pub fn audit_from(&self, bytes: usize) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        let whole = text[bytes..].rfind('\n').map_or(bytes, |end| bytes + end);
        text[bytes..whole].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How many bytes the audit log has now.
    pub fn audit_bytes(&self) -> usize {
        fs::metadata(self.path("audit.jsonl")).map_or(0, |file| usize::try_from(file.len()).unwrap())
    }

    /// Rewrites a line of the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("doorward.yaml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the configuration does not say {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

pub fn audience(port: u16) -> String {
    format!("https://localhost:{port}/mcp")
}

fn configuration(root: &Path, port: u16, keys_port: u16, choice: &Choice) -> String {
    let root = root.display();
    let Choice { jwt, tls, http, .. } = choice;
    let more = choice.more.replace("{root}", &root.to_string());
    let audience = audience(port);
    let key_source = choice.key_source.clone().unwrap_or_else(|| {
        format!("    jwks_uri: https://localhost:{keys_port}/jwks.json\n    jwks_ca: {{root}}/ca/ca.crt")
    });
    let key_source = key_source.replace("{root}", &root.to_string());
    let metrics = match choice.probes {
        Some(port) => format!("  bind: 127.0.0.1:{port}"),
        None => "  enabled: false".to_owned(),
    };
    format!(
        "transport: https
tls:
  bind: 127.0.0.1:{port}
  cert: {root}/server.crt
  key: {root}/server.key
  client_ca: {root}/ca/ca.crt
  client_crl: {root}/ca/ca.crl
  allowed_subjects:
    - CN=bot,O=Acme
    - URI:spiffe://acme/second
    - DNS:one.agents.example
    - EMAIL:bot@acme.example
{tls}
http:
  cors_allowed_origins: [\"https://app.example\"]
{http}
auth:
  jwt:
    issuer: {ISSUER}
    audience: {audience}
{key_source}
{jwt}
scopes:
  core: [get_cpu_info, get_memory_info, get_disk_info, get_network_info, get_processes, get_uptime, get_temperature]
  clock: [get_uptime]
audit:
  path: {root}/audit.jsonl
metrics:
{metrics}
{more}
"
    )
}

/// A key that signs as this kind, for tests of other algorithms.
pub fn other_key(kind: KeyKind) -> SigningKey {
    SigningKey::generate(kind).unwrap()
}
