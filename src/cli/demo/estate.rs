//! The demo's directory: made once, used again as it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::authn::mint::Minter;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::pki::store::{self, Existing};
use crate::pki::{AlternativeName, Authority, KeyKind, Profile, Request, SigningKey};

const DAY: Duration = Duration::from_secs(86_400);

/// Everything the demo needs, as files.
pub(super) struct Estate {
    directory: PathBuf,
    port: u16,
    keys_port: u16,
    fresh: bool,
}

impl Estate {
    /// Makes what is missing. Keys that are there are not made anew; the configuration is, for the ports may differ.
    pub(super) fn prepare(directory: &Path, port: u16, keys_port: u16, clock: &Clock) -> Result<Self, Failure> {
        store::make_directory(directory)?;
        let directory = directory
            .canonicalize()
            .map_err(|error| Failure::new(Code::Io, "the demo's directory cannot be used").because(error))?;
        let mut estate = Self { directory, port, keys_port, fresh: false };
        if !estate.path("ca/ca.crt").exists() {
            estate.make(clock)?;
            estate.fresh = true;
        }
        // The list runs out before the certificates do.
        Authority::open(&estate.path("ca"))?.crl(DAY.saturating_mul(7), clock)?;
        let text = estate.configuration();
        store::write_public(&estate.path("doorward.yaml"), text.as_bytes(), Existing::Replace)?;
        Ok(estate)
    }

    fn make(&self, clock: &Clock) -> Result<(), Failure> {
        let profile = Profile { common_name: "Doorward demo CA".to_owned(), lifetime: DAY.saturating_mul(90) };
        let authority = Authority::create(&self.path("ca"), &profile, clock)?;
        let month = DAY.saturating_mul(30);
        let agent = Request::client("demo-agent", month).name(AlternativeName::Uri("spiffe://demo/agent".to_owned()));
        for (name, request) in [
            ("server", Request::server(&["localhost", "127.0.0.1"], month)),
            ("client", agent),
            ("stranger", Request::client("stranger", month)),
        ] {
            authority.issue(&request, clock)?.write(&self.path(name), Existing::Keep)?;
        }
        let key = SigningKey::generate(KeyKind::P256)?;
        let path = self.path("token-key.pem");
        store::write_private(&path, key.private_pem()?.expose().as_bytes(), Existing::Keep)
    }

    /// A file of the estate.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The door's endpoint, which is also the audience of its tokens.
    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/mcp", self.port)
    }

    /// Who signs the tokens.
    pub(super) fn issuer(&self) -> String {
        format!("https://localhost:{}", self.keys_port)
    }

    /// The token key.
    pub(super) fn minter(&self) -> Result<Minter, Failure> {
        Minter::from_file(&self.path("token-key.pem"), None)
    }

    /// Its public half as a key set.
    pub(super) fn jwks(&self) -> Result<Value, Failure> {
        Ok(self.minter()?.jwks())
    }

    /// What there is, for a person.
    pub(super) fn describe(&self) -> String {
        let made = if self.fresh { "made" } else { "found" };
        format!(
            "Doorward demo in {}\n\n  {made}  ca/             a throw-away certificate authority and its revocation list\n  \
             {made}  server.crt      the door's certificate, for localhost\n  \
             {made}  client.crt      the agent's: CN=demo-agent, on the allowlist\n  \
             {made}  stranger.crt    another of the same authority, not on the allowlist\n  \
             {made}  token-key.pem   signs tokens; its public half is at {}/jwks.json\n  \
             wrote doorward.yaml   the configuration, with comments",
            self.directory.display(),
            self.issuer(),
        )
    }

    /// How many lines the audit log has.
    pub(super) fn audit_lines(&self) -> usize {
        std::fs::read_to_string(self.path("audit.jsonl")).map_or(0, |text| text.lines().count())
    }

    /// The audit lines after the first `before`.
    pub(super) fn audit_since(&self, before: usize) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        text.lines().skip(before).map(str::to_owned).collect()
    }

    fn configuration(&self) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        format!(
            "# Written by `doorward demo`; it is written anew at every start.\n\
             transport: https\n\
             \n\
             tls:\n  \
               bind: 127.0.0.1:{port}\n  \
               cert: {server_crt}\n  \
               key: {server_key}\n  \
               # A client must show a certificate of this authority ...\n  \
               client_ca: {ca}\n  \
               # ... that is not on this list ...\n  \
               client_crl: {crl}\n  \
               # ... and is named here. Try stranger.crt: it verifies, and is refused.\n  \
               allowed_subjects:\n    \
                 - CN=demo-agent\n\
             \n\
             auth:\n  \
               jwt:\n    \
                 issuer: {issuer}\n    \
                 audience: {url}\n    \
                 # Fetched over TLS and refreshed; the demo serves it itself.\n    \
                 jwks_uri: {issuer}/jwks.json\n    \
                 jwks_ca: {ca}\n    \
                 # Every token is accepted once.\n    \
                 replay: single_use\n    \
                 max_ttl: 300\n\
             \n\
             # A token with the scope `core` opens these tools; one with `clock` only the last.\n\
             scopes:\n  \
               core: [get_cpu_info, get_memory_info, get_disk_info, get_network_info, get_processes, get_uptime, get_temperature]\n  \
               clock: [get_uptime]\n\
             \n\
             audit:\n  \
               path: {audit}\n\
             \n\
             metrics:\n  \
               enabled: false\n",
            port = self.port,
            server_crt = path("server.crt"),
            server_key = path("server.key"),
            ca = path("ca/ca.crt"),
            crl = path("ca/ca.crl"),
            issuer = self.issuer(),
            url = self.url(),
            audit = path("audit.jsonl"),
        )
    }
}
