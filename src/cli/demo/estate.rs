//! The demo's directory: made once, used again as it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::authn::mint::Minter;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::pki::store::{self, Existing};
use crate::pki::{AlternativeName, Authority, Issued, KeyKind, Profile, Request, SigningKey};

const DAY: Duration = Duration::from_secs(86_400);

/// Everything the demo needs, as files.
pub(super) struct Estate {
    directory: PathBuf,
    port: u16,
    keys_port: u16,
    made: Vec<&'static str>,
}

impl Estate {
    /// Makes what is missing. Keys that are there are not made anew; the configuration is, for the ports may differ.
    ///
    /// # Errors
    /// When files cannot be written or read, or certificates that are there have expired.
    pub(super) fn prepare(directory: &Path, port: u16, keys_port: u16, clock: &Clock) -> Result<Self, Failure> {
        store::make_directory(directory)?;
        let directory = directory
            .canonicalize()
            .map_err(|error| Failure::new(Code::Io, "the demo's directory cannot be used").because(error))?;
        let mut estate = Self { directory, port, keys_port, made: Vec::new() };
        let authority = estate.authority(clock)?;
        estate.certificates(&authority, clock)?;
        estate.token_key()?;
        // The list runs out before the certificates do.
        authority.crl(DAY.saturating_mul(7), clock)?;
        let text = estate.configuration();
        store::write_public(&estate.path("doorward.yaml"), text.as_bytes(), Existing::Replace)?;
        Ok(estate)
    }

    fn authority(&mut self, clock: &Clock) -> Result<Authority, Failure> {
        if self.path("ca/ca.crt").exists() {
            return Authority::open(&self.path("ca"));
        }
        self.made.push("ca");
        let profile = Profile { common_name: "Doorward demo CA".to_owned(), lifetime: DAY.saturating_mul(90) };
        Authority::create(&self.path("ca"), &profile, clock)
    }

    fn certificates(&mut self, authority: &Authority, clock: &Clock) -> Result<(), Failure> {
        let month = DAY.saturating_mul(30);
        let agent = Request::client("demo-agent", month).name(AlternativeName::Uri("spiffe://demo/agent".to_owned()));
        for (name, request) in [
            ("server", Request::server(&["localhost", "127.0.0.1"], month)),
            ("client", agent),
            ("stranger", Request::client("stranger", month)),
        ] {
            let prefix = self.path(name);
            let (certificate, key) = Issued::paths(&prefix);
            // One without the other is what an interrupted start leaves.
            if !certificate.exists() || !key.exists() {
                authority.issue(&request, clock)?.write(&prefix, Existing::Replace)?;
                self.made.push(name);
            } else if store::leaf(&certificate)?.not_after < clock.now() {
                let text = format!("the demo's certificates have expired: remove {} first", self.directory.display());
                return Err(Failure::new(Code::Config, text));
            }
        }
        Ok(())
    }

    fn token_key(&mut self) -> Result<(), Failure> {
        let path = self.path("token-key.pem");
        if path.exists() {
            return Ok(());
        }
        self.made.push("token-key");
        let key = SigningKey::generate(KeyKind::P256)?;
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
        let [ca, server, client, stranger, token_key] = ["ca", "server", "client", "stranger", "token-key"]
            .map(|name| if self.made.contains(&name) { "made " } else { "found" });
        format!(
            "Doorward demo in {}\n\n  {ca}  ca/             a throw-away certificate authority and its revocation list\n  \
             {server}  server.crt      the door's certificate, for localhost\n  \
             {client}  client.crt      the agent's: CN=demo-agent, on the allowlist\n  \
             {stranger}  stranger.crt    another of the same authority, not on the allowlist\n  \
             {token_key}  token-key.pem   signs tokens; its public half is at {}/jwks.json\n  \
             wrote  doorward.yaml   the configuration, with comments",
            self.directory.display(),
            self.issuer(),
        )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn what_is_there_is_kept_what_is_missing_is_made_and_what_expired_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let prepare = |clock: &Clock| Estate::prepare(dir.path(), 8443, 8444, clock);
        assert_eq!(prepare(&clock).unwrap().made, ["ca", "server", "client", "stranger", "token-key"]);
        let key = std::fs::read(dir.path().join("client.key")).unwrap();
        std::fs::remove_file(dir.path().join("stranger.key")).unwrap();
        let estate = prepare(&clock).unwrap();
        assert_eq!(estate.made, ["stranger"]);
        assert!(estate.describe().contains("found  client.crt") && estate.describe().contains("made   stranger.crt"));
        assert_eq!(std::fs::read(dir.path().join("client.key")).unwrap(), key);
        let later = Clock::manual(clock.now().plus(DAY.saturating_mul(31)));
        let failure = prepare(&later).err().unwrap();
        assert!(failure.public().contains("expired"), "{failure}");
    }
}
