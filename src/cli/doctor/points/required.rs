//! What every door in production meets.

use super::Says::{No, Open, Pass};
use super::{LOCAL, Row, Says, bounds, is_bound_to_user, is_remote, reached};
use crate::cli::doctor::Weight;
use crate::cli::doctor::machine::Machine;
use crate::config::Config;
use crate::guard::Redactor;
use crate::transport::TransportKind;

/// The longest life of a token, in seconds.
const LONGEST_TOKEN: u64 = 300;
/// The query that tells most secrets.
const WORST: &str = "get_env_vars";

pub(super) fn rows(config: &Config, machine: &Machine) -> Vec<Row> {
    let row = |name, says| (name, Weight::Required, says);
    vec![
        row("transport", transport(config)),
        row("client-certificates", certificates(config)),
        row("tokens", tokens(config)),
        row("sensitive", sensitive(config)),
        row("audit", audit(config, machine)),
        row("limits", limits(config)),
        row("redaction", redaction(config)),
        row("address", address(config)),
    ]
}

/// There is no other transport to be open: `http` is refused by the configuration, and so is a pipe.
fn transport(config: &Config) -> Says {
    match (is_remote(config), config.transport.uses(TransportKind::Unix)) {
        (true, _) => Pass("https".to_owned()),
        (false, true) => Pass("a unix socket".to_owned()),
        (false, false) => No(LOCAL),
    }
}

fn certificates(config: &Config) -> Says {
    if !is_remote(config) {
        return No(LOCAL);
    }
    let named = config.tls.allowed_subjects.len();
    let revocation = if config.tls.client_crl.is_some() { "with revocation lists" } else { "without revocation lists" };
    match named {
        0 => Open(
            "every certificate of the authority may connect".to_owned(),
            "name the subjects that may connect in tls.allowed_subjects",
        ),
        1 => Pass(format!("1 subject may connect, {revocation}")),
        _ => Pass(format!("{named} subjects may connect, {revocation}")),
    }
}

fn tokens(config: &Config) -> Says {
    let jwt = &config.auth.jwt;
    let long = || format!("tokens may live for {} seconds", jwt.max_ttl);
    match config.verifies_tokens() {
        false => No("callers are users of this machine, known by their uid"),
        true if jwt.max_ttl <= LONGEST_TOKEN => Pass(format!("tokens live for {} seconds at most", jwt.max_ttl)),
        true if is_bound_to_user(config) => Open(
            format!("{}, each together with a certificate of its own user", long()),
            "if the issuer sets no shorter life (Teleport sets ten minutes), accept this point; else set auth.jwt.max_ttl \
             to 300",
        ),
        true => {
            Open(long(), "set auth.jwt.max_ttl to 300 or less, and have the issuer make tokens that live no longer")
        }
    }
}

fn sensitive(config: &Config) -> Says {
    let section = &config.queries.sensitive;
    if !config.scopes.0.contains_key("sensitive") && !section.enabled {
        return No("no scope opens a sensitive query");
    }
    let open: Vec<&str> = section
        .allow
        .iter()
        .filter(|tool| section.enabled && !section.deny.contains(tool))
        .map(String::as_str)
        .collect();
    if open.contains(&WORST) {
        let advice = "take get_env_vars off queries.sensitive.allow: a secrets manager is the place for secrets";
        return Open(format!("{WORST} is open"), advice);
    }
    if open.is_empty() { Pass("off".to_owned()) } else { Pass(format!("open by name: {}", open.join(", "))) }
}

fn audit(config: &Config, machine: &Machine) -> Says {
    if !config.audits() {
        return Open(
            "nothing is recorded".to_owned(),
            "set audit.enabled to true, and audit.syslog to a collector on another machine",
        );
    }
    if machine.collector.target.is_none() {
        return Open(
            "records stay on this machine".to_owned(),
            "set audit.syslog.enabled, and audit.syslog.target to a collector on another machine",
        );
    }
    reached(
        machine,
        "set audit.syslog.target to a collector on another machine; where it is one, the door's log says what keeps records \
         from it",
    )
}

fn limits(config: &Config) -> Says {
    let resources = &config.resources;
    let Some(rate) = &resources.rate_limit else {
        return Open(
            "a caller may call as often as it likes".to_owned(),
            "write resources.rate_limit; requests_per_minute: 60 is a beginning",
        );
    };
    let over = bounds::over(config, rate);
    if !over.is_empty() {
        let advice = "set these to what your agents need; docs/hardening.md says why no more than the bounds";
        return Open(format!("numbers that limit little: {}", over.join(", ")), advice);
    }
    Pass(format!(
        "{} calls a minute for each caller, {} at a time, {} ms each",
        rate.requests_per_minute, resources.max_concurrent_queries, resources.query_timeout
    ))
}

fn redaction(config: &Config) -> Says {
    let section = &config.redaction;
    let known = Redactor::builtin_names();
    let fields = section.fields.iter().filter(|field| !known.contains(field.0.as_str()));
    let own = section.patterns.len().saturating_add(fields.count());
    // A pattern of the same name stands in the place of the one that was taken out.
    let replaced = |name: &&String| section.patterns.iter().any(|pattern| pattern.name == **name);
    let gone: Vec<&str> = section.without.iter().filter(|name| !replaced(name)).map(String::as_str).collect();
    match (section.enabled, own) {
        (false, _) => Open("off".to_owned(), "set redaction.enabled to true"),
        (true, _) if !gone.is_empty() => Open(
            format!("without built-in patterns: {}", gone.join(", ")),
            "take them off redaction.without, or write patterns of the same names to redaction.patterns",
        ),
        (true, 0) => Open(
            "the built-in patterns, and none of your own".to_owned(),
            "review the built-in patterns (docs/redaction.md) and add your own to redaction.patterns or fields",
        ),
        (true, own) => Pass(format!("the built-in patterns, and {own} of your own")),
    }
}

fn address(config: &Config) -> Says {
    if !is_remote(config) {
        return No(LOCAL);
    }
    let bind = config.tls.bind;
    if bind.ip().is_unspecified() {
        let advice = "set tls.bind to the one address that agents use, or accept this point if all are meant";
        Open(format!("{bind} is every address of this machine"), advice)
    } else {
        Pass(bind.to_string())
    }
}
