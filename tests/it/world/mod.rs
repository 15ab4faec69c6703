//! A world in a temporary directory: an authority, certificates good and bad, a token key, a door that is open.

pub mod ask;
pub mod certificates;
pub mod child;
pub mod der;
pub mod h2;
pub mod issuer;
pub mod journal;
pub mod lines;
pub mod local;
pub mod piped;
pub mod premises;
pub mod program;
pub mod rsyslogd;
pub mod sshd;
pub mod talk;
pub mod tokens;
pub mod wire;

use std::fs;
use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::clock::Clock;
use doorward::daemon::{Daemon, Listeners, Source};
use doorward::pki::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;

use issuer::Issuer;
use tokens::Signer;
use wire::Answer;

pub const ISSUER: &str = "https://issuer.test";
/// Beneath the directory of a world.
const AUDIT: &str = "log/audit.jsonl";

/// Everything a test needs; gone when dropped.
pub struct World {
    estate: Estate,
    pub daemon: Daemon,
}

/// What is there before a door is open: a directory, an authority, certificates, published token keys, a configuration.
pub struct Estate {
    directory: TempDir,
    pub port: u16,
    pub signer: Signer,
    pub issuer: Issuer,
    /// What the daemon goes by; it moves only if the test chose one that does.
    pub clock: Clock,
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
    /// The transports, if not https alone.
    pub transport: Option<String>,
    /// Lines below `auth.jwt`, each with its own indentation of four spaces.
    pub jwt: String,
    /// Lines below `tls`, indented by two.
    pub tls: String,
    /// Lines below `http`, indented by two.
    pub http: String,
    /// Lines below `scopes`, indented by two.
    pub scopes: String,
    /// What the daemon finds in its environment.
    pub environment: Vec<(String, String)>,
    /// The system's clock, if there is none.
    pub clock: Option<Clock>,
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
    /// The port for probes, which are listened for only then; 0 for one of the system's choice.
    pub probes: Option<u16>,
}

impl World {
    pub async fn open() -> Self {
        Self::with(Choice::default()).await
    }

    pub async fn with(choice: Choice) -> Self {
        let (estate, main) = Estate::make(&choice);
        let source =
            Source { path: Some(estate.path("doorward.yaml")), environment: choice.environment.into_iter().collect() };
        let listeners = Listeners { main: Some(main), ..Listeners::default() };
        let daemon = match Daemon::start(source, estate.clock.clone(), listeners).await {
            Ok(daemon) => daemon,
            Err(failure) => panic!("{failure}: {:?}", failure.cause()),
        };
        if !choice.unready {
            daemon.ready(Duration::from_secs(10)).await.unwrap();
        }
        Self { estate, daemon }
    }

    /// The door apart from its place, so that it can be stopped.
    pub fn into_parts(self) -> (Estate, Daemon) {
        (self.estate, self.daemon)
    }

    /// Reads the configuration and its files again; it must be in order.
    pub async fn reload(&self) {
        if let Err(failure) = self.daemon.reload().await {
            panic!("{failure}: {:?}", failure.cause());
        }
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
        let keys: Vec<Value> = [signer.jwk()].into_iter().chain(choice.keys.clone()).collect();
        let issuer = Issuer::start(root, &keys);
        fs::create_dir(root.join("log")).unwrap();
        let main = TcpListener::bind(("127.0.0.1", choice.port.unwrap_or(0))).unwrap();
        let port = main.local_addr().unwrap().port();
        let clock = choice.clock.clone().unwrap_or_else(Clock::system);
        let estate = Self { directory, port, signer, issuer, clock };
        estate.configure(choice);
        (estate, main)
    }

    /// Writes the configuration anew.
    pub fn configure(&self, choice: &Choice) {
        let root = self.directory.path();
        fs::write(root.join("doorward.yaml"), configuration(root, self.port, self.issuer.port, choice)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.port)
    }

    pub fn audience(&self) -> String {
        self.url()
    }

    /// A good token.
    pub fn token(&self, scopes: &[&str]) -> String {
        self.signer.sign(&self.claims(scopes))
    }

    /// Good claims.
    pub fn claims(&self, scopes: &[&str]) -> Value {
        tokens::claims(ISSUER, &self.audience(), scopes, self.clock.now().seconds())
    }

    /// Calls `get_uptime` with this token, over a new connection with the certificate `good`.
    pub async fn call(&self, token: &str) -> Answer {
        self.call_as("good", token).await
    }

    /// The same with another certificate.
    pub async fn call_as(&self, certificate: &str, token: &str) -> Answer {
        let mut stream = wire::connect(&self.path(""), self.port, Some(certificate)).await.unwrap();
        let message = wire::call("get_uptime", json!({}));
        wire::exchange(&mut stream, &wire::post(self.port, token, &message)).await.unwrap()
    }

    /// The authority of the clients and of this server.
    pub fn authority(&self) -> Authority {
        Authority::open(&self.path("ca")).unwrap()
    }

    /// The audit log as it is now.
    pub fn audit(&self) -> Vec<Value> {
        self.audit_from(0)
    }

    /// What has been written to the audit log since it had this many bytes, checkpoints left out.
    pub fn audit_from(&self, bytes: usize) -> Vec<Value> {
        let text = fs::read_to_string(self.path(AUDIT)).unwrap_or_default();
        let whole = text[bytes..].rfind('\n').map_or(bytes, |end| bytes + end);
        let records = text[bytes..whole].lines().map(|line| serde_json::from_str(line).unwrap());
        records.filter(|record: &Value| record["event"] != "checkpoint").collect()
    }

    /// How many bytes the audit log has now.
    pub fn audit_bytes(&self) -> usize {
        fs::metadata(self.path(AUDIT)).map_or(0, |file| usize::try_from(file.len()).unwrap())
    }

    /// The first record after the first `seen` ones that fits; some are written while the client already knows.
    pub async fn recorded(&self, seen: usize, event: &str, reason: &str) -> Value {
        for _ in 0..5000 {
            let audit = self.audit();
            let found = audit.iter().skip(seen).find(|record| record["event"] == event && record["reason"] == reason);
            if let Some(record) = found {
                return record.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {event} with {reason} after {seen}: {:?}", self.audit());
    }

    /// Rewrites a line of the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.path("doorward.yaml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the configuration does not say {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

fn configuration(root: &Path, port: u16, keys_port: u16, choice: &Choice) -> String {
    let root = root.display();
    let Choice { jwt, tls, http, scopes, .. } = choice;
    let more = choice.more.replace("{root}", &root.to_string());
    let transport = choice.transport.as_deref().unwrap_or("https");
    let audience = format!("https://localhost:{port}/mcp");
    // Tests are refused over and over, all from one address.
    let patient = "budgets: {failures: {free: 1000000}, strangers: {handshakes_per_minute: 1000000, burst: 1000000}}";
    let patient = if more.contains("budgets:") { "" } else { patient };
    let key_source = choice.key_source.clone().unwrap_or_else(|| {
        format!("    jwks_uri: https://localhost:{keys_port}/jwks.json\n    jwks_ca: {{root}}/ca/ca.crt")
    });
    let key_source = key_source.replace("{root}", &root.to_string());
    let metrics = match choice.probes {
        Some(port) => format!("  bind: 127.0.0.1:{port}"),
        None => "  enabled: false".to_owned(),
    };
    format!(
        "transport: {transport}
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
{scopes}
audit:
  path: {root}/{AUDIT}
metrics:
{metrics}
{more}
{patient}
"
    )
}
