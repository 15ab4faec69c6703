//! A door that the program itself set up: `pki`, `token keygen`, a configuration; served by `doorward serve`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use doorward::authn::mint::{Mint, Minter};
use doorward::clock::Clock;
use serde_json::Value;
use tempfile::TempDir;

use super::program::{DOORWARD, Running, command, doorward};

pub const ISSUER: &str = "premises";
pub const AUDIENCE: &str = "https://door.test/mcp";

/// Gone when dropped.
pub struct Premises {
    directory: TempDir,
}

impl Premises {
    /// An authority, certificates for `server`, `client` (on the allowlist) and `stranger` (not on it), a token key.
    pub fn new() -> Self {
        let premises = Self { directory: tempfile::tempdir().unwrap() };
        for line in [
            "pki init --dir ca",
            "pki issue server --dir ca --name localhost --name 127.0.0.1 --out server",
            "pki issue client --dir ca --cn demo-agent --out client",
            "pki issue client --dir ca --cn stranger --out stranger",
            "token keygen --out token-key.pem",
        ] {
            premises.doorward(line);
        }
        premises.configure("");
        premises
    }

    /// Runs a verb that must go well.
    #[track_caller]
    pub fn doorward(&self, line: &str) -> String {
        doorward(self.root(), &line.split_whitespace().collect::<Vec<_>>()).well()
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A file's absolute path as text.
    pub fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes the configuration: any free ports, and `more` at its end.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "transport: https
tls:
  bind: 127.0.0.1:0
  cert: server.crt
  key: server.key
  client_ca: ca/ca.crt
  allowed_subjects: [CN=demo-agent]
auth:
  jwt:
    issuer: {ISSUER}
    audience: {AUDIENCE}
    public_key: token-key.pub.pem
metrics:
  bind: 127.0.0.1:0
audit:
  path: audit.jsonl
{more}
"
        );
        fs::write(self.path("doorward.yaml"), text).unwrap();
    }

    /// Serves, and waits until it does.
    #[track_caller]
    pub fn serve(&self) -> (Running, u16) {
        let mut command = command(DOORWARD, self.root());
        command.args(["serve", "--config", "doorward.yaml"]);
        let mut running = Running::start(command);
        let port = running.until(|running| port(&running.stderr(), "address="));
        (running, port)
    }

    /// A token for `subject` with the scope `core`.
    pub fn token(&self, subject: &str) -> String {
        let minter = Minter::from_file(&self.path("token-key.pem"), None).unwrap();
        let mint = Mint { scopes: vec!["core".to_owned()], ..Mint::new(ISSUER, AUDIENCE, subject) };
        minter.mint(&mint, Clock::system().now()).unwrap().expose().clone()
    }

    /// The audit log; every line of it must be whole.
    #[track_caller]
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn");
        let records = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}")));
        records.filter(|record: &Value| record["event"] != "checkpoint").collect()
    }

    /// How many records of the audit log have this event and result by now; a line that is being written is none yet.
    pub fn count(&self, event: &str, result: Option<&str>) -> usize {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|record| record["event"] == event && record["result"].as_str() == result).count()
    }
}

/// The port in `address=127.0.0.1:PORT`.
/// The port of the address that a log gives this name.
pub fn port(log: &str, name: &str) -> Option<u16> {
    let (_, rest) = log.split_once(name)?;
    let port = rest.split_whitespace().next()?.rsplit_once(':')?.1;
    port.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// A port that was free a moment ago, with the next one free as well.
pub fn free_ports() -> u16 {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return port;
        }
    }
}
