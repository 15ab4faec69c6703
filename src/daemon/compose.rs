//! From a checked configuration to the door and its front. Nothing here decides; it only puts together.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use super::draft::Draft;
use super::readiness::OfFront;
use crate::audit::Basis;
use crate::authn::{Authenticator, Jwt, KeySet, KeySource, Local, Scheme};
use crate::call::ToolSpec;
use crate::config::{Config, Loaded};
use crate::error::{Code, Failure};
use crate::guard::{Caps, Guard, Redactor};
use crate::identity::{Scope, Scopes};
use crate::mcp::Endpoint;
use crate::pipeline::{Door, Recording};
use crate::policy::{Policy, SENSITIVE, ScopeMap, SensitiveList};
use crate::secret::{self, Secret};
use crate::tools::{Catalog, Tool};
use crate::toolsets::system::{self, Threads};
use crate::transport::tls::Material;
use crate::transport::{Challenge, Front, Names, TransportKind};

/// The names of all tools there are, whatever a configuration opens.
#[must_use]
pub fn tools() -> Vec<String> {
    every_tool(&Config::default(), None, &Threads::default()).iter().map(|tool| tool.spec().name.to_string()).collect()
}

/// The declarations of all tools there are, as this configuration makes them.
pub(super) fn specs(config: &Config) -> Vec<ToolSpec> {
    every_tool(config, None, &Threads::default()).iter().map(|tool| tool.spec().clone()).collect()
}

fn every_tool(config: &Config, redactor: Option<&Arc<Redactor>>, threads: &Threads) -> Vec<Box<dyn Tool>> {
    let host = system::Host::this().opened(&config.toolsets.system);
    let host = match redactor {
        Some(redactor) => host.redacting(redactor),
        None => host,
    };
    system::tools(host, &config.limits, &config.resources, threads)
}

/// The door for callers of any transport.
pub(super) fn door(loaded: &Loaded, draft: &mut Draft) -> Result<Door, Failure> {
    let config = &loaded.config;
    let audit = &config.audit;
    let redactor = Arc::new(Redactor::new(&config.redaction)?);
    Ok(Door {
        authenticator: Authenticator::new(schemes(loaded, draft)?),
        gate: draft.gate(&config.resources, &config.budgets),
        catalog: Catalog::new(every_tool(config, Some(&redactor), draft.threads()))?,
        policy: Policy::new(ScopeMap::new(&config.scopes.0), SensitiveList::new(&config.queries.sensitive), Vec::new()),
        guard: Guard::new(redactor, Caps::new(&config.limits)),
        trail: draft.state.trail().clone(),
        recording: Recording {
            basis: basis(config),
            params: audit.log_params,
            output_size: audit.log_output_size,
            client_ip: audit.log_client_ip,
            redactions: audit.log_redactions,
        },
        query_timeout: Duration::from_millis(config.resources.query_timeout),
        clock: draft.state.clock().clone(),
    })
}

/// What records say of the configuration: the first 16 hexadecimal digits of the SHA-256 of its JSON form, defaults
/// included, and of the part that the policy judges by.
pub(super) fn basis(config: &Config) -> Basis {
    fn hash(value: &impl Serialize) -> Arc<str> {
        let text = serde_json::to_vec(value).unwrap_or_default();
        let mut hex = secret::hex(digest(&SHA256, &text).as_ref());
        hex.truncate(16);
        hex.into()
    }
    let policy = (&config.scopes, &config.queries, &config.auth.role_claim, &config.auth.role_mapping);
    Basis { config: hash(config), policy: hash(&policy) }
}

/// A front for each transport that listens.
pub(super) struct Fronts {
    pub(super) https: Option<Front>,
    pub(super) unix: Option<Front>,
}

/// The fronts of the transports, with one door behind them.
pub(super) fn fronts(loaded: &Loaded, draft: &mut Draft) -> Result<Fronts, Failure> {
    let transport = &loaded.config.transport;
    let door = Arc::new(door(loaded, draft)?);
    let https = match transport.uses(TransportKind::Https) {
        true => Some(https(loaded, draft, Arc::clone(&door))?),
        false => None,
    };
    let unix = transport.uses(TransportKind::Unix).then(|| unix(loaded, draft, door));
    Ok(Fronts { https, unix })
}

fn https(loaded: &Loaded, draft: &mut Draft, door: Arc<Door>) -> Result<Front, Failure> {
    let config = &loaded.config;
    let tls = Arc::new(Material::load(&config.tls, draft.state.next_generation(), draft.state.clock().now())?);
    draft.lists(&tls)?;
    let clock = draft.state.clock().clone();
    let readiness = Arc::new(OfFront { daemon: draft.state.readiness(), tls: Arc::clone(&tls), clock });
    Ok(Front {
        door,
        tls: Some(tls),
        handshake_timeout: Duration::from_secs(config.tls.handshake_timeout),
        http: config.http.clone(),
        names: Names::new(&config.http.hosts(config.tls.bind), &config.http.cors_allowed_origins),
        challenge: challenge(config, &config.http.resource(config.tls.bind)),
        readiness,
        endpoint: Endpoint::new(config.http.max_body_bytes),
    })
}

/// Nothing that a browser shows can speak over a unix socket, so no origin is served. Who forwards a port to it has a browser
/// beside that port: there the name in `Host` must be a local one all the same.
fn unix(loaded: &Loaded, draft: &Draft, door: Arc<Door>) -> Front {
    let config = &loaded.config;
    let names = [&["localhost".to_owned()], config.http.allowed_hosts.as_slice()].concat();
    let resource = match config.transport.uses(TransportKind::Https) {
        true => config.http.resource(config.tls.bind),
        false => config.http.public_url.clone().unwrap_or_else(|| "http://localhost/mcp".to_owned()),
    };
    Front {
        door,
        tls: None,
        handshake_timeout: Duration::ZERO,
        http: config.http.clone(),
        names: Names::new(&names, &[]),
        challenge: challenge(config, &resource),
        readiness: draft.state.readiness(),
        endpoint: Endpoint::new(config.http.max_body_bytes),
    }
}

fn challenge(config: &Config, resource: &str) -> Challenge {
    let servers = config.http.authorization_servers(config.auth.jwt.issuer.as_deref());
    Challenge::new(resource, &servers, &config.auth.scopes_supported)
}

/// Tokens first: who presents one is who it says, also where the user behind it would do.
fn schemes(loaded: &Loaded, draft: &mut Draft) -> Result<Vec<Box<dyn Scheme>>, Failure> {
    let config = &loaded.config;
    let mut schemes: Vec<Box<dyn Scheme>> = Vec::new();
    if config.verifies_tokens() {
        schemes.push(Box::new(tokens(loaded, draft)?));
    } else {
        draft.without_keys();
    }
    if config.trusts_users() {
        schemes.push(Box::new(Local::new(scopes_of_users(config))));
    }
    Ok(schemes)
}

/// Over stdio the caller is the user that the daemon runs as. Over a unix socket it may be another one, so what is sensitive
/// has to be said.
fn scopes_of_users(config: &Config) -> Scopes {
    let all = config.scopes.0.keys();
    if config.transport.uses(TransportKind::Stdio) {
        return all.filter_map(|scope| Scope::parse(scope)).collect();
    }
    match &config.socket.scopes {
        Some(scopes) => scopes.iter().filter_map(|scope| Scope::parse(scope)).collect(),
        None => harmless_scopes(config).filter_map(Scope::parse).collect(),
    }
}

/// Those that open nothing sensitive, whatever they are called.
fn harmless_scopes(config: &Config) -> impl Iterator<Item = &str> {
    let opens = |tools: &[String]| tools.iter().any(|tool| SENSITIVE.contains(&tool.as_str()));
    let scopes = config.scopes.0.iter().filter(move |(scope, tools)| *scope != "sensitive" && !opens(tools));
    scopes.map(|(scope, _)| scope.as_str())
}

fn tokens(loaded: &Loaded, draft: &mut Draft) -> Result<Jwt, Failure> {
    let config = &loaded.config;
    let section = &config.auth.jwt;
    let keys = match (draft.keys(section)?, &section.public_key, loaded.jwt_secret()) {
        (Some(jwks), _, _) => KeySource::Jwks(jwks),
        (None, Some(path), _) => KeySource::Static(Arc::new(KeySet::from_file(path)?)),
        (None, None, Some(secret)) => {
            KeySource::Static(Arc::new(KeySet::from_secret(&Secret::new(secret.expose().clone().into_bytes()))?))
        }
        (None, None, None) => return Err(Failure::new(Code::Config, "there is no key to verify tokens with")),
    };
    Jwt::new(&config.auth, keys, Arc::clone(draft.state.cluster()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_a_unix_socket_nothing_sensitive_is_open_that_was_not_said() {
        let mut config = Config::default();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        config.scopes.0.clear();
        config.scopes.0.insert("core".to_owned(), names(&["get_uptime"]));
        config.scopes.0.insert("ops".to_owned(), names(&["get_uptime", "get_env_vars"]));
        config.scopes.0.insert("sensitive".to_owned(), names(&[]));
        assert_eq!(harmless_scopes(&config).collect::<Vec<_>>(), ["core"]);
    }
}
