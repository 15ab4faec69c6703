//! From a checked configuration to the door and its front. Nothing here decides; it only puts together.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use super::draft::Draft;
use super::readiness::OfFront;
use crate::audit::Basis;
use crate::authn::{Authenticator, Jwt, KeySet, KeySource, Local, Scheme};
use crate::config::{Config, Loaded};
use crate::error::{Code, Failure};
use crate::guard::{Caps, Guard, LimitsSection, Redactor};
use crate::identity::{Scope, Scopes};
use crate::mcp::Endpoint;
use crate::pipeline::{Door, Recording};
use crate::policy::{Policy, ScopeMap, SensitiveList};
use crate::secret::{self, Secret};
use crate::tools::{Catalog, Tool};
use crate::toolsets::ToolsetsSection;
use crate::toolsets::system::{self, Threads};
use crate::transport::tls::Material;
use crate::transport::{Challenge, Front, Names, TransportKind};

/// The names of all tools there are, whatever a configuration opens.
#[must_use]
pub fn tools() -> Vec<String> {
    let section = ToolsetsSection::default();
    let tools = every_tool(&section, &LimitsSection::default(), &Threads::default());
    tools.iter().map(|tool| tool.spec().name.to_string()).collect()
}

fn every_tool(section: &ToolsetsSection, limits: &LimitsSection, threads: &Threads) -> Vec<Box<dyn Tool>> {
    system::tools(system::Host::this().opened(&section.system), limits, threads)
}

/// The door for callers of any transport.
pub(super) fn door(loaded: &Loaded, draft: &mut Draft) -> Result<Door, Failure> {
    let config = &loaded.config;
    let audit = &config.audit;
    Ok(Door {
        authenticator: Authenticator::new(vec![scheme(loaded, draft)?]),
        gate: draft.gate(&config.resources),
        catalog: Catalog::new(every_tool(&config.toolsets, &config.limits, draft.threads()))?,
        policy: Policy::new(ScopeMap::new(&config.scopes.0), SensitiveList::new(&config.queries.sensitive), Vec::new()),
        guard: Guard::new(Redactor::new(&config.redaction)?, Caps::new(&config.limits)),
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

/// The front of the https transport.
pub(super) fn front(loaded: &Loaded, draft: &mut Draft) -> Result<Front, Failure> {
    let config = &loaded.config;
    let door = Arc::new(door(loaded, draft)?);
    let tls = Arc::new(Material::load(&config.tls, draft.state.next_generation(), draft.state.clock().now())?);
    draft.lists(&tls)?;
    let resource = config.http.resource(config.tls.bind);
    let servers = config.http.authorization_servers(config.auth.jwt.issuer.as_deref());
    let challenge = Challenge::new(&resource, &servers, &config.auth.scopes_supported);
    let clock = draft.state.clock().clone();
    let readiness = Arc::new(OfFront { daemon: draft.state.readiness(), tls: Arc::clone(&tls), clock });
    Ok(Front {
        door,
        tls,
        handshake_timeout: Duration::from_secs(config.tls.handshake_timeout),
        http: config.http.clone(),
        names: Names::new(&config.http.hosts(config.tls.bind), &config.http.cors_allowed_origins),
        challenge,
        readiness,
        endpoint: Endpoint::new(config.http.max_body_bytes),
    })
}

fn scheme(loaded: &Loaded, draft: &mut Draft) -> Result<Box<dyn Scheme>, Failure> {
    let config = &loaded.config;
    if config.transport == TransportKind::Stdio {
        let scopes: Scopes = config.scopes.0.keys().filter_map(|scope| Scope::parse(scope)).collect();
        return Ok(Box::new(Local::new(scopes)));
    }
    let section = &config.auth.jwt;
    let keys = match (draft.keys(section)?, &section.public_key, loaded.jwt_secret()) {
        (Some(jwks), _, _) => KeySource::Jwks(jwks),
        (None, Some(path), _) => KeySource::Static(Arc::new(KeySet::from_file(path)?)),
        (None, None, Some(secret)) => {
            KeySource::Static(Arc::new(KeySet::from_secret(&Secret::new(secret.expose().clone().into_bytes()))?))
        }
        (None, None, None) => return Err(Failure::new(Code::Config, "there is no key to verify tokens with")),
    };
    Ok(Box::new(Jwt::new(&config.auth, keys, Arc::clone(draft.state.cluster()))?))
}
