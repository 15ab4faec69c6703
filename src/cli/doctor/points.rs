//! The points themselves, in the order of the list. Each is a pure judgement of what was loaded and seen.

use std::net::IpAddr;

use super::collector::Reached;
use super::machine::Machine;
use super::{Point, Standing, Weight};
use crate::audit::syslog::Target;
use crate::authn::ReplayMode;
use crate::config::{Config, Loaded};
use crate::guard::Redactor;
use crate::sandbox::Mode;
use crate::transport::TransportKind;

/// The longest life of a token, in seconds.
const LONGEST_TOKEN: u64 = 300;
/// Days after which a key is old.
const MONTH: u64 = 31;
/// Days after which a configuration is looked at again.
const QUARTER: u64 = 92;
/// The query that tells most secrets.
const WORST: &str = "get_env_vars";

/// What a point comes to.
enum Says {
    Pass(String),
    Open(String),
    /// Neither is shown.
    Unproven(String),
    /// Does not apply.
    No(&'static str),
}

use Says::{No, Open, Pass, Unproven};

const LOCAL: &str = "nobody reaches this door over the network";

/// A name, its weight, what comes of it, and what to do when it is open.
type Row = (&'static str, Weight, Says, &'static str);

/// All of them.
pub(super) fn all(loaded: &Loaded, machine: &Machine) -> Vec<Point> {
    let config = &loaded.config;
    let rows = required(config, machine).into_iter().chain(recommended(config, machine)).chain(review(config, machine));
    rows.map(|(name, weight, says, advice)| match says {
        Pass(says) => Point { name, weight, standing: Standing::Pass, says, advice: "" },
        Open(says) => Point { name, weight, standing: Standing::Open, says, advice },
        Unproven(says) => Point { name, weight, standing: Standing::Unproven, says, advice },
        No(why) => Point { name, weight, standing: Standing::NotApplicable, says: why.to_owned(), advice: "" },
    })
    .collect()
}

fn required(config: &Config, machine: &Machine) -> Vec<Row> {
    let row = |name, says, advice| (name, Weight::Required, says, advice);
    vec![
        row("transport", transport(config), ""),
        row("client-certificates", certificates(config), "name the subjects that may connect in tls.allowed_subjects"),
        row("tokens", tokens(config), "set auth.jwt.max_ttl to 300 or less, and require_jti to true"),
        row(
            "sensitive",
            sensitive(config),
            "take get_env_vars off queries.sensitive.allow: a secrets manager is the place for secrets",
        ),
        row(
            "audit",
            audit(config, machine),
            "set audit.enabled, and audit.syslog to a collector on another machine; start the daemon and ask again: the log \
             says what keeps records from it",
        ),
        row("limits", limits(config), "write resources.rate_limit; 60 a minute is a beginning"),
        row(
            "redaction",
            redaction(config),
            "take nothing out with redaction.without, review the built-in patterns (docs/redaction.md), and add your own to \
             redaction.patterns or fields",
        ),
        row(
            "address",
            address(config),
            "bind to the one address that agents use, or accept this point if all are meant",
        ),
    ]
}

fn uses(config: &Config, transport: TransportKind) -> bool {
    config.transport.uses(transport)
}

fn is_remote(config: &Config) -> bool {
    uses(config, TransportKind::Https)
}

fn transport(config: &Config) -> Says {
    match (is_remote(config), uses(config, TransportKind::Unix)) {
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
        0 => Open("every certificate of the authority may connect".to_owned()),
        1 => Pass(format!("1 subject may connect, {revocation}")),
        _ => Pass(format!("{named} subjects may connect, {revocation}")),
    }
}

fn tokens(config: &Config) -> Says {
    let jwt = &config.auth.jwt;
    match config.verifies_tokens() {
        false => No("callers are users of this machine, known by their uid"),
        true if jwt.max_ttl > LONGEST_TOKEN => Open(format!("tokens may live for {} seconds", jwt.max_ttl)),
        true => Pass(format!("tokens live for {} seconds at most", jwt.max_ttl)),
    }
}

fn sensitive(config: &Config) -> Says {
    let section = &config.queries.sensitive;
    let open: Vec<&str> = section
        .allow
        .iter()
        .filter(|tool| section.enabled && !section.deny.contains(tool))
        .map(String::as_str)
        .collect();
    if open.contains(&WORST) {
        return Open(format!("{WORST} is open"));
    }
    if open.is_empty() { Pass("off".to_owned()) } else { Pass(format!("open by name: {}", open.join(", "))) }
}

fn audit(config: &Config, machine: &Machine) -> Says {
    if !config.audits() {
        return Open("nothing is recorded".to_owned());
    }
    if machine.collector.target.is_none() {
        return Open("records stay on this machine".to_owned());
    }
    match machine.collector.reached(machine.serving.is_some()) {
        Reached::Proven(says) if is_local(machine) => Pass(format!("{says}, which has to send them on")),
        Reached::Proven(says) => Pass(says),
        Reached::Refuted(says) => Open(says),
        Reached::Unproven(says) => Unproven(says),
    }
}

/// Whether records go to a program of this machine, whose part the rest of the way is.
fn is_local(machine: &Machine) -> bool {
    matches!(machine.collector.target, Some(Target::Unix(_)))
}

fn limits(config: &Config) -> Says {
    let resources = &config.resources;
    match &resources.rate_limit {
        Some(rate) => Pass(format!(
            "{} calls a minute for each caller, {} at a time, {} ms each",
            rate.requests_per_minute, resources.max_concurrent_queries, resources.query_timeout
        )),
        None => Open("a caller may call as often as it likes".to_owned()),
    }
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
        (false, _) => Open("off".to_owned()),
        (true, _) if !gone.is_empty() => Open(format!("without built-in patterns: {}", gone.join(", "))),
        (true, 0) => Open("the built-in patterns, and none of your own".to_owned()),
        (true, own) => Pass(format!("the built-in patterns, and {own} of your own")),
    }
}

fn address(config: &Config) -> Says {
    if !is_remote(config) {
        return No(LOCAL);
    }
    let bind = config.tls.bind;
    if bind.ip().is_unspecified() {
        Open(format!("{bind} is every address of this machine"))
    } else {
        Pass(bind.to_string())
    }
}

fn recommended(config: &Config, machine: &Machine) -> Vec<Row> {
    let row = |name, says, advice| (name, Weight::Recommended, says, advice);
    vec![
        row("published-keys", keys(config), "let the issuer publish its keys and name them in auth.jwt.jwks_uri"),
        row("replay", replay(config), "set auth.jwt.replay to single_use where the issuer gives its tokens a jti"),
        row(
            "collector",
            siem(config, machine),
            "set audit.syslog.target to tls://HOST:6514; where it is set, start the daemon and ask again as its user or root",
        ),
        row(
            "file-integrity",
            integrity(machine),
            "let AIDE, auditd or the like watch the directory of the configuration: -w /etc/doorward -p wa",
        ),
        row("service-account", account(config, machine), "run the door as a user of its own: systemd/doorward.service"),
        row(
            "segmentation",
            segment(config),
            "keep the port within the management network, and accept this point once it is",
        ),
        row("sandbox", sandbox(config, machine), "leave sandbox.mode enabled, or set it to required"),
    ]
}

fn keys(config: &Config) -> Says {
    match (config.verifies_tokens(), &config.auth.jwt.jwks_uri) {
        (false, _) => No("no token is asked for"),
        (true, Some(uri)) => Pass(uri.clone()),
        (true, None) => Open("the key of tokens is a file, or a secret, that somebody has to change".to_owned()),
    }
}

fn replay(config: &Config) -> Says {
    match (config.verifies_tokens(), config.auth.jwt.replay) {
        (false, _) => No("no token is asked for"),
        (true, ReplayMode::SingleUse) => Pass("a token is good for one call".to_owned()),
        (true, ReplayMode::SenderBound) => Pass("a token is good for its first sender".to_owned()),
        (true, ReplayMode::Off) => Open("a token is good for whoever has it, as often as they like".to_owned()),
    }
}

fn siem(config: &Config, machine: &Machine) -> Says {
    let target = &config.audit.syslog.target;
    match (&machine.collector.target, machine.collector.reached(machine.serving.is_some())) {
        (None, _) => Open("there is none".to_owned()),
        (_, Reached::Refuted(says)) => Open(says),
        (Some(Target::Udp(_) | Target::Tcp(_)), _) => Open(format!("{target} can be read on the way")),
        (_, Reached::Unproven(says)) => Unproven(says),
        (Some(Target::Unix(_)), Reached::Proven(says)) => Pass(format!("{says}, which has to send them on")),
        (Some(Target::Tls(_)), Reached::Proven(says)) => Pass(says),
    }
}

fn integrity(machine: &Machine) -> Says {
    match (&machine.monitor.by, machine.monitor.shut.first()) {
        (Some((path, what)), _) => Pass(format!("{} watches {what}", path.display())),
        (None, Some(shut)) => Unproven(format!("{} cannot be read by who asks", shut.display())),
        (None, None) => Open("no rule that is known watches the directory of the configuration".to_owned()),
    }
}

fn account(config: &Config, machine: &Machine) -> Says {
    match &machine.serving {
        Some(serving) if serving.uid == 0 || serving.privileged => {
            let powers = if serving.privileged { "with" } else { "without" };
            Open(format!("process {} runs as user {}, {powers} capabilities", serving.pid, serving.uid))
        }
        Some(serving) => Pass(format!("process {} runs as user {}, without capabilities", serving.pid, serving.uid)),
        None if !is_remote(config) => No("it runs as whoever starts it"),
        None if machine.uid == 0 => Open("no door with this configuration runs, and it would run as root".to_owned()),
        None => Pass(format!("no door with this configuration runs; it would run as user {}", machine.uid)),
    }
}

fn segment(config: &Config) -> Says {
    if !is_remote(config) {
        return No(LOCAL);
    }
    let ip = config.tls.bind.ip();
    let within = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    match (ip.is_loopback(), within) {
        (true, _) => No("it listens on this machine alone"),
        (false, true) => Pass(format!("{ip} is no public address")),
        (false, false) => Open(format!("who reaches {ip} cannot be seen from here")),
    }
}

fn sandbox(config: &Config, machine: &Machine) -> Says {
    match (config.sandbox.mode, &machine.serving) {
        (Mode::Off, _) => Open("off".to_owned()),
        (_, Some(serving)) if !serving.filtered => Open(format!("process {} is not within one", serving.pid)),
        (Mode::Required, _) => Pass("all of it, or no start".to_owned()),
        (Mode::Enabled, _) => Pass("as much as the kernel gives; the start record says what stands".to_owned()),
    }
}

fn review(config: &Config, machine: &Machine) -> Vec<Row> {
    let row = |name, says, advice| (name, Weight::Review, says, advice);
    let changed = |days: Option<u64>| match days {
        Some(days) if days > QUARTER => Open(format!("the configuration is as it was {days} days ago")),
        Some(days) => Pass(format!("the configuration was changed {days} days ago")),
        None => No("there is no file"),
    };
    vec![
        row(
            "anomalies",
            anomalies(config),
            "set audit.alerts.auth_failures, and look at doorward audit stats every month",
        ),
        row("key-age", key_age(config, machine), "make a new one: doorward token keygen"),
        row("query-lists", changed(machine.config_days), "look at scopes and queries every three months"),
        row("redaction-lists", changed(machine.config_days), "look at redaction every three months"),
    ]
}

fn anomalies(config: &Config) -> Says {
    match (config.audits(), config.audit.alerts.auth_failures) {
        (false, _) => Open("nothing is recorded".to_owned()),
        (true, 0) => Open("many refusals raise no warning".to_owned()),
        (true, many) => {
            Pass(format!("more than {many} refusals in a window raise a warning; look at the log every month"))
        }
    }
}

fn key_age(config: &Config, machine: &Machine) -> Says {
    match (config.verifies_tokens(), machine.key_days) {
        (false, _) => No("no token is asked for"),
        (true, None) => No("the key of tokens is no file"),
        (true, Some(days)) if days > MONTH => Open(format!("the key of tokens is {days} days old")),
        (true, Some(days)) => Pass(format!("the key of tokens is {days} days old")),
    }
}
