//! A world in a temporary directory: an authority, certificates good and bad, a token key, a door that is open.

pub mod ask;
pub mod h2;
pub mod issuer;
pub mod premises;
pub mod program;
pub mod talk;
pub mod tokens;
pub mod wire;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use doorward::config::Environment;
use doorward::daemon::{Daemon, Listeners, Source};
use doorward::pki::store::Existing;
use doorward::pki::{AlternativeName, Authority, Profile, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use issuer::Issuer;
use tokens::Signer;
use wire::Answer;

const DAY: Duration = Duration::from_secs(86_400);
pub const ISSUER: &str = "https://issuer.test";

/// Everything a test needs; gone when dropped.
pub struct World {
    directory: TempDir,
    pub daemon: Daemon,
    pub port: u16,
    pub signer: Signer,
    pub issuer: Issuer,
    /// What the daemon goes by; it moves only if the test chose one that does.
    pub clock: Clock,
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
    /// Lines below `scopes`, indented by two.
    pub scopes: String,
    /// What the daemon finds in its environment.
    pub environment: Vec<(String, String)>,
    /// The system's clock, if there is none.
    pub clock: Option<Clock>,
    /// Whether probes are listened for.
    pub probes: bool,
    /// For how long the revocation list is good, from an hour ago.
    pub list_life: Option<Duration>,
}

impl World {
    pub async fn open() -> Self {
        Self::with(Choice::default()).await
    }

    pub async fn with(choice: Choice) -> Self {
        doorward::transport::tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let signer = Signer::new("key-1");
        make_certificates(root, choice.list_life);
        let issuer = Issuer::start(root, &[signer.jwk()]);
        fs::create_dir(root.join("log")).unwrap();
        let main = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = main.local_addr().unwrap().port();
        fs::write(root.join("doorward.yaml"), configuration(root, port, issuer.port, &choice)).unwrap();
        let environment: Environment = choice.environment.into_iter().collect();
        let source = Source { path: Some(root.join("doorward.yaml")), environment };
        let clock = choice.clock.unwrap_or_else(Clock::system);
        let listeners = Listeners { main: Some(main), probes: None };
        let daemon = match Daemon::start(source, clock.clone(), listeners).await {
            Ok(daemon) => daemon,
            Err(failure) => panic!("{failure}: {:?}", failure.cause()),
        };
        daemon.ready(Duration::from_secs(10)).await.unwrap();
        Self { directory, daemon, port, signer, issuer, clock }
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

    /// Reads the configuration and its files again; it must be in order.
    pub async fn reload(&self) {
        if let Err(failure) = self.daemon.reload().await {
            panic!("{failure}: {:?}", failure.cause());
        }
    }

    /// The authority of the clients and of this server.
    pub fn authority(&self) -> Authority {
        Authority::open(&self.path("ca")).unwrap()
    }

    /// The audit log as it is now.
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("log/audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The first record after the first `seen` ones that fits; some are written while the client already knows.
    pub async fn recorded(&self, seen: usize, event: &str, reason: &str) -> Value {
        for _ in 0..500 {
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

/// `good` is on the allowlist; every other name says what is wrong with it.
fn make_certificates(root: &Path, list_life: Option<Duration>) {
    let now = Clock::system();
    let at = |offset: i64| Clock::manual(Timestamp::from_seconds(now.now().seconds() + offset));
    let profile = || Profile { common_name: "Test CA".to_owned(), lifetime: DAY * 365 };
    let authority = Authority::create(&root.join("ca"), &profile(), &at(-86_400 * 20)).unwrap();
    let rogue = Authority::create(&root.join("rogue"), &profile(), &now).unwrap();
    let client = |name: &str| Request::client(name, DAY);
    let uri = |text: &str| AlternativeName::Uri(text.to_owned());
    let dns = |text: &str| AlternativeName::Dns(text.to_owned());
    let issue = |name: &str, request: Request, clock: &Clock| {
        authority.issue(&request, clock).unwrap().write(&root.join(name), Existing::Keep).unwrap();
    };
    issue("server", Request::server(&["localhost", "127.0.0.1"], DAY), &now);
    issue("good", client("bot").organization("Acme"), &now);
    issue("second", client("second").name(uri("spiffe://acme/second")), &now);
    issue("unlisted", client("eve"), &now);
    issue("case", client("BOT").organization("Acme"), &now);
    issue("prefix", client("bot2").organization("Acme"), &now);
    issue("bare", client("bot"), &now);
    issue("cn_in_san", client("eve").name(dns("bot")).name(uri("spiffe://acme/bot")), &now);
    issue("homograph", client("b\u{43e}t").organization("Acme"), &now);
    issue("comma", client("bot,O=Acme"), &now);
    issue("expired", client("bot").organization("Acme"), &at(-86_400 * 10));
    issue("not_yet", client("bot").organization("Acme"), &at(86_400));
    issue("revoked", client("bot").organization("Acme"), &now);
    issue("server_as_client", Request::server(&["bot"], DAY), &now);
    rogue
        .issue(&client("bot").organization("Acme"), &now)
        .unwrap()
        .write(&root.join("rogue_bot"), Existing::Keep)
        .unwrap();
    assert!(authority.revoke_file(&root.join("revoked.crt"), &now).unwrap());
    match list_life {
        None => authority.crl(DAY, &now).unwrap(),
        Some(life) => authority.crl(life, &at(-3600)).unwrap(),
    };
}

fn configuration(root: &Path, port: u16, keys_port: u16, choice: &Choice) -> String {
    let root = root.display();
    let Choice { more, jwt, tls, http, scopes, probes, .. } = choice;
    let audience = format!("https://localhost:{port}/mcp");
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
{tls}
http:
  cors_allowed_origins: [\"https://app.example\"]
{http}
auth:
  jwt:
    issuer: {ISSUER}
    audience: {audience}
    jwks_uri: https://localhost:{keys_port}/jwks.json
    jwks_ca: {root}/ca/ca.crt
{jwt}
scopes:
  core: [get_cpu_info, get_memory_info, get_disk_info, get_network_info, get_processes, get_uptime, get_temperature]
  clock: [get_uptime]
{scopes}
audit:
  path: {root}/log/audit.jsonl
metrics:
  enabled: {probes}
  bind: 127.0.0.1:0
{more}
"
    )
}
