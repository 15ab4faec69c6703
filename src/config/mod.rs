//! The configuration: one YAML file, the environment above it, and a report of everything that is wrong with them. The
//! root only composes; each section and its words belong to the module that uses it.

mod check;
mod environment;
mod fit;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod load;
mod number;
mod place;
mod references;
mod report;
mod schema;
mod shape;
mod spelling;
mod tree;
mod watch;
mod yaml;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod examples;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admission::{BudgetsSection, ResourcesSection};
use crate::audit::AuditSection;
use crate::authn::AuthSection;
use crate::guard::{LimitsSection, RedactionSection};
use crate::policy::{QueriesSection, ScopesSection};
use crate::sandbox::SandboxSection;
use crate::telemetry::LogSection;
use crate::toolsets::ToolsetsSection;
use crate::transport::{
    HttpSection, MetricsSection, OperatorSection, PipeSection, SocketSection, TlsSection, TransportKind, Transports,
};

pub use environment::Environment;
pub use load::{Loaded, Refused, audit_path, defaults, load, operator_socket};
pub use place::{Place, Source};
pub use report::{Finding, Report, Severity};
pub use schema::schema;
pub use watch::Watch;

/// The configuration of Doorward. Every key has a default but those that name your own files and parties.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Doorward configuration")]
pub struct Config {
    /// How callers reach the daemon: one transport, or a list of several. Default: stdio.
    pub transport: Transports,
    /// The unix socket, for `transport: unix`.
    pub socket: SocketSection,
    /// The Windows named pipe, for `transport: pipe`. No effect in this version.
    pub pipe: PipeSection,
    /// TLS and client certificates, for `transport: https`.
    pub tls: TlsSection,
    /// HTTP, for `transport: https` and `transport: unix`.
    pub http: HttpSection,
    /// Who may speak, and how that is proven.
    pub auth: AuthSection,
    /// Scope → the tools it opens. A scope that is not named here opens nothing.
    pub scopes: ScopesSection,
    /// What may be asked at all.
    pub queries: QueriesSection,
    /// What the tools need to be told.
    pub toolsets: ToolsetsSection,
    /// Redaction of all output.
    pub redaction: RedactionSection,
    /// Caps on output.
    pub limits: LimitsSection,
    /// What one query and all queries may take.
    pub resources: ResourcesSection,
    /// What one caller may take beside others.
    pub budgets: BudgetsSection,
    /// The walls around the daemon.
    pub sandbox: SandboxSection,
    /// The audit log.
    pub audit: AuditSection,
    /// `/health`, `/ready` and `/metrics` for this machine.
    pub metrics: MetricsSection,
    /// For operators of this machine.
    pub operator: OperatorSection,
    /// The operational log.
    pub log: LogSection,
}

impl Config {
    /// Whether audit records are written: as `audit.enabled` says, or else on every transport but stdio.
    #[must_use]
    pub fn audits(&self) -> bool {
        self.audit.enabled.unwrap_or(!self.transport.uses(TransportKind::Stdio))
    }

    /// Whether tokens are verified: over https always, over a unix socket alone if `auth` is on.
    #[must_use]
    pub fn verifies_tokens(&self) -> bool {
        let unix = self.transport.uses(TransportKind::Unix) && self.auth.enabled == Some(true);
        self.transport.uses(TransportKind::Https) || unix
    }

    /// Whether a user of this machine may call without a token.
    #[must_use]
    pub fn trusts_users(&self) -> bool {
        let unix = self.transport.uses(TransportKind::Unix);
        let asks = self.socket.require_token.unwrap_or_else(|| self.verifies_tokens());
        self.transport.uses(TransportKind::Stdio) || (unix && !asks)
    }

    /// Whether there is a listener for probes: as `metrics.enabled` says, or else with https.
    #[must_use]
    pub fn probes(&self) -> bool {
        self.metrics.enabled.unwrap_or_else(|| self.transport.uses(TransportKind::Https))
    }

    /// The files whose change means that the daemon should read them anew.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let (tls, jwt) = (&self.tls, &self.auth.jwt);
        let https = [&tls.cert, &tls.key, &tls.client_ca, &tls.client_crl];
        let https = https.into_iter().filter(|_| self.transport.uses(TransportKind::Https));
        let tokens = [&jwt.public_key, &jwt.jwks_ca].into_iter().filter(|_| self.verifies_tokens());
        https.chain(tokens).filter_map(|path| path.as_ref()).cloned().collect()
    }

    /// The paths of the keys in which `other` differs, for the record of a reload. Values are not told.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut paths = Vec::new();
        if let (Ok(one), Ok(other)) = (serde_json::to_value(self), serde_json::to_value(other)) {
            compare(&one, &other, "", &mut paths);
        }
        paths
    }
}

fn compare(one: &Value, other: &Value, path: &str, paths: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let value = |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or(Value::Null);
                compare(&value(one), &value(other), &path, paths);
            }
        }
        _ if one != other => paths.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_key() {
        let mut other = Config::default();
        assert!(Config::default().differences(&other).is_empty());
        other.auth.jwt.max_ttl = 60;
        other.scopes.0.remove("core");
        assert_eq!(Config::default().differences(&other), ["auth.jwt.max_ttl", "scopes.core"]);
    }

    #[test]
    fn a_local_caller_is_recorded_only_when_asked() {
        let mut config = Config::default();
        assert!(!config.audits());
        config.transport = Transports::Several(vec![TransportKind::Unix, TransportKind::Https]);
        assert!(config.audits());
        config.audit.enabled = Some(false);
        assert!(!config.audits());
    }

    #[test]
    fn a_token_is_asked_for_where_it_can_be_verified_and_a_uid_counts_where_somebody_said_so() {
        let judge = |transport: &[TransportKind], enabled, require| {
            let mut config = Config { transport: Transports::Several(transport.to_vec()), ..Config::default() };
            config.auth.enabled = enabled;
            config.socket.require_token = require;
            (config.verifies_tokens(), config.trusts_users())
        };
        use TransportKind::{Https, Stdio, Unix};
        assert_eq!(judge(&[Stdio], Some(true), None), (false, true));
        assert_eq!(judge(&[Https], None, Some(false)), (true, false));
        assert_eq!(judge(&[Unix], None, None), (false, true));
        assert_eq!(judge(&[Unix], Some(true), None), (true, false));
        assert_eq!(judge(&[Unix], Some(true), Some(false)), (true, true));
        assert_eq!(judge(&[Unix, Https], None, None), (true, false));
        assert_eq!(judge(&[Unix, Https], None, Some(false)), (true, true));
    }
}
