//! From a checked configuration to the door and its front. Nothing here decides; it only puts together.

use std::sync::Arc;
use std::time::Duration;

use super::draft::Draft;
use super::files::Files;
use crate::authn::{Authenticator, Jwt, KeySet, KeySource, Local, Scheme};
use crate::config::Config;
use crate::error::{Code, Failure};
use crate::guard::{Caps, Guard, LimitsSection, Redactor};
use crate::identity::{Scope, Scopes};
use crate::mcp::Endpoint;
use crate::pipeline::{Door, Recording};
use crate::policy::{Policy, ScopeMap, SensitiveList};
use crate::secret::Secret;
use crate::tools::{Catalog, Tool};
use crate::toolsets::system;
use crate::transport::{Challenge, Front, Names, TransportKind};

/// The names of all tools there are, whatever a configuration opens.
#[must_use]
pub fn tools() -> Vec<String> {
    every_tool(&LimitsSection::default()).iter().map(|tool| tool.spec().name.to_string()).collect()
}

fn every_tool(limits: &LimitsSection) -> Vec<Box<dyn Tool>> {
    system::tools(system::Host::this(), limits)
}

/// The door for callers of any transport.
pub(super) fn door(files: &Files, draft: &mut Draft<'_>) -> Result<Door, Failure> {
    let config = &files.loaded.config;
    let audit = &config.audit;
    Ok(Door {
        authenticator: Authenticator::new(vec![scheme(files, draft)?]),
        gate: draft.gate(&config.resources),
        catalog: Catalog::new(every_tool(&config.limits))?,
        policy: Policy::new(ScopeMap::new(&config.scopes.0), SensitiveList::new(&config.queries.sensitive), Vec::new()),
        guard: Guard::new(Redactor::new(&config.redaction)?, Caps::new(&config.limits)),
        trail: draft.state.trail().clone(),
        recording: Recording {
            params: audit.log_params,
            output_size: audit.log_output_size,
            client_ip: audit.log_client_ip,
            redactions: audit.log_redactions,
        },
        query_timeout: Duration::from_millis(config.resources.query_timeout),
        clock: draft.state.clock().clone(),
    })
}

/// The front of the https transport.
pub(super) fn front(files: &Files, draft: &mut Draft<'_>) -> Result<Front, Failure> {
    let config = &files.loaded.config;
    let door = Arc::new(door(files, draft)?);
    let tls = files.tls.clone().ok_or_else(|| Failure::new(Code::Internal, "the files of tls were not read"))?;
    draft.channel(&tls)?;
    let hosts = hosts(config);
    let resource = config.http.public_url.clone().unwrap_or_else(|| resource(&hosts, config.tls.bind.port()));
    let challenge = Challenge::new(&resource, &authorization_servers(config), &config.auth.scopes_supported);
    Ok(Front {
        door,
        tls,
        handshake_timeout: Duration::from_secs(config.tls.handshake_timeout),
        http: config.http.clone(),
        names: Names::new(&hosts, &config.http.cors_allowed_origins),
        challenge,
        readiness: draft.readiness(),
        endpoint: Endpoint::new(config.http.max_body_bytes),
    })
}

fn scheme(files: &Files, draft: &mut Draft<'_>) -> Result<Box<dyn Scheme>, Failure> {
    let config = &files.loaded.config;
    if config.transport == TransportKind::Stdio {
        let scopes: Scopes = config.scopes.0.keys().filter_map(|scope| Scope::parse(scope)).collect();
        return Ok(Box::new(Local::new(scopes)));
    }
    let section = &config.auth.jwt;
    let keys = match (draft.keys(section, files.jwks_ca.as_deref())?, &files.public_key, files.loaded.jwt_secret()) {
        (Some(jwks), _, _) => KeySource::Jwks(jwks),
        (None, Some(keys), _) => KeySource::Static(Arc::clone(keys)),
        (None, None, Some(secret)) => {
            KeySource::Static(Arc::new(KeySet::from_secret(&Secret::new(secret.expose().clone().into_bytes()))?))
        }
        (None, None, None) => return Err(Failure::new(Code::Config, "there is no key to verify tokens with")),
    };
    Ok(Box::new(Jwt::new(&config.auth, keys, Arc::clone(draft.state.cluster()))?))
}

/// The names in `Host`: as configured, else the bind address, and localhost when that is loopback.
fn hosts(config: &Config) -> Vec<String> {
    if !config.http.allowed_hosts.is_empty() {
        return config.http.allowed_hosts.clone();
    }
    let bind = config.tls.bind.ip();
    let literal = if bind.is_ipv6() { format!("[{bind}]") } else { bind.to_string() };
    if bind.is_loopback() { vec!["localhost".to_owned(), literal] } else { vec![literal] }
}

/// The endpoint under the first name; a port in that name is the one that callers use.
fn resource(hosts: &[String], port: u16) -> String {
    let host = hosts.first().map_or("localhost", String::as_str);
    let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) && !host.ends_with(']');
    if named { format!("https://{host}/mcp") } else { format!("https://{host}:{port}/mcp") }
}

fn authorization_servers(config: &Config) -> Vec<String> {
    if !config.http.authorization_servers.is_empty() {
        return config.http.authorization_servers.clone();
    }
    config.auth.jwt.issuer.iter().filter(|issuer| issuer.starts_with("https://")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_has_one_port() {
        for (host, url) in [
            ("door.example", "https://door.example:8443/mcp"),
            ("door.example:443", "https://door.example:443/mcp"),
            ("[::1]", "https://[::1]:8443/mcp"),
            ("[::1]:1", "https://[::1]:1/mcp"),
        ] {
            assert_eq!(resource(&[host.to_owned()], 8443), url);
        }
        assert_eq!(resource(&[], 1), "https://localhost:1/mcp");
    }
}
