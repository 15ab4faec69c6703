//! What a good door meets.

use std::net::IpAddr;

use super::Says::{No, Open, Pass, Unproven};
use super::{LOCAL, NO_TOKEN, Row, Says, is_bound_to_user, is_remote, reached};
use crate::audit::syslog::Target;
use crate::authn::ReplayMode;
use crate::cli::doctor::Weight;
use crate::cli::doctor::machine::{Machine, Serving};
use crate::config::Config;
use crate::sandbox::{self, Mode};

pub(super) fn rows(config: &Config, machine: &Machine) -> Vec<Row> {
    let row = |name, says| (name, Weight::Recommended, says);
    vec![
        row("published-keys", keys(config)),
        row("replay", replay(config)),
        row("collector", siem(config, machine)),
        row("file-integrity", integrity(machine)),
        row("service-account", account(config, machine)),
        row("segmentation", segment(config)),
        row("sandbox", sandbox(config, machine)),
        row("lookout", lookout(config, machine)),
    ]
}

fn keys(config: &Config) -> Says {
    match (config.verifies_tokens(), &config.auth.jwt.jwks_uri) {
        (false, _) => No(NO_TOKEN),
        (true, Some(uri)) => Pass(uri.clone()),
        (true, None) => Open(
            "the key of tokens is a file, or a secret, that somebody has to change".to_owned(),
            "let the issuer publish its keys and name them in auth.jwt.jwks_uri",
        ),
    }
}

fn replay(config: &Config) -> Says {
    match (config.verifies_tokens(), config.auth.jwt.replay) {
        (false, _) => No(NO_TOKEN),
        (true, ReplayMode::SingleUse) => Pass("a token is good for one call".to_owned()),
        (true, ReplayMode::SenderBound) => Pass("a token is good for its first sender".to_owned()),
        (true, ReplayMode::Off) if is_bound_to_user(config) => Open(
            "a token is good as often as its own user likes, for it needs that user's certificate".to_owned(),
            "if the issuer gives its tokens no jti (Teleport gives none), accept this point: uses cannot be counted",
        ),
        (true, ReplayMode::Off) => Open(
            "a token is good for whoever has it, as often as they like".to_owned(),
            "set auth.jwt.require_jti to true and auth.jwt.replay to single_use; where the issuer gives no jti, set \
             auth.jwt.require_cert_subject or require_cert_binding",
        ),
    }
}

fn siem(config: &Config, machine: &Machine) -> Says {
    if !config.audits() {
        return No("nothing is recorded, so there is nothing to collect");
    }
    let Some(target) = &machine.collector.target else {
        return Open(
            "there is none".to_owned(),
            "set audit.syslog.enabled, and audit.syslog.target to tls://HOST:6514",
        );
    };
    let says = reached(
        machine,
        "set audit.syslog.target to tls://HOST:6514, a collector that is there; the door's log says what keeps records from it",
    );
    match (target, says) {
        (_, says @ Open(..)) => says,
        (Target::Udp(_) | Target::Tcp(_), _) => Open(
            format!("{} can be read on the way", config.audit.syslog.target),
            "set audit.syslog.target to tls://HOST:6514",
        ),
        (_, says) => says,
    }
}

fn integrity(machine: &Machine) -> Says {
    match (&machine.monitor.by, machine.config_days, machine.monitor.shut.first()) {
        (Some((path, what)), ..) => Pass(format!("{} watches {what}", path.display())),
        (None, None, _) => No("there is no configuration file to watch"),
        (None, Some(_), Some(shut)) => Unproven(
            format!("{} cannot be read by who asks", shut.display()),
            "ask again as root, or accept this point if something watches the directory of the configuration",
        ),
        (None, Some(_), None) => Open(
            "no rule that is known watches the directory of the configuration".to_owned(),
            "let AIDE, auditd or the like watch the directory of the configuration (-w /etc/doorward -p wa); accept this \
             point if something else does",
        ),
    }
}

fn account(config: &Config, machine: &Machine) -> Says {
    const OWN: &str = "run the door as a user of its own: systemd/doorward.service does";
    match &machine.serving {
        Some(serving) if serving.uid == 0 || serving.privileged => {
            let powers = if serving.privileged { "with" } else { "without" };
            Open(format!("process {} runs as user {}, {powers} capabilities", serving.pid, serving.uid), OWN)
        }
        Some(serving) => Pass(format!("process {} runs as user {}, without capabilities", serving.pid, serving.uid)),
        None if !is_remote(config) => No("it runs as whoever starts it"),
        None if machine.uid == 0 => {
            Open("no door with this configuration runs, and it would run as root".to_owned(), OWN)
        }
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
        (false, false) => Open(
            format!("who reaches {ip} cannot be seen from here"),
            "keep the port within the management network, and accept this point once it is",
        ),
    }
}

/// What is in force in the daemon; where none runs, what this kernel would give.
fn sandbox(config: &Config, machine: &Machine) -> Says {
    if let Some(serving) = &machine.serving {
        return in_force(serving);
    }
    let lacking: Vec<String> = machine.walls.iter().filter_map(sandbox::short_of_whole).collect();
    if config.sandbox.mode == Mode::Off {
        return Open("off".to_owned(), "set sandbox.mode to enabled, or to required");
    }
    if lacking.is_empty() {
        return Pass("no door with this configuration runs; this kernel gives all of it".to_owned());
    }
    Open(
        format!("no door with this configuration runs; this kernel gives less: {}", lacking.join("; ")),
        "take a kernel of Linux 6.12 or newer with landlock and seccomp; sandbox.mode: required opens no door without",
    )
}

/// Without its lookout a daemon serves on.
fn lookout(config: &Config, machine: &Machine) -> Says {
    match (&machine.serving, machine.lookout) {
        _ if !crate::daemon::sandbox::has_lookout(config) => {
            No("no query that is open looks into other processes from within a sandbox")
        }
        (None, _) => No("no door with this configuration runs"),
        (Some(_), true) => Pass("it is there".to_owned()),
        (Some(serving), false) => Open(
            format!("process {} has lost it: what processes of others have open is not seen", serving.pid),
            "restart the door; its log says when the lookout was lost, and how",
        ),
    }
}

fn in_force(serving: &Serving) -> Says {
    let pid = serving.pid;
    if !serving.filtered || !serving.confined {
        let lacks = if serving.filtered { "may gain privileges" } else { "is behind no filter of system calls" };
        return Open(
            format!("process {pid} {lacks}"),
            "set sandbox.mode to enabled, or to required, and restart the door; its log says what the kernel does not give",
        );
    }
    let Some(told) = &serving.told else {
        // The kernel shows of another process whether its calls are filtered, and of landlock nothing.
        return Open(
            format!(
                "process {pid} is behind a filter of system calls; whether files are shut cannot be seen from here"
            ),
            "run this as a user who may read the audit log (its start record tells), or accept this point",
        );
    };
    match sandbox::lacking_of(told).as_slice() {
        [] => Pass(format!("process {pid} stands within {told}")),
        lacking => Open(
            format!("process {pid} lacks {} ({told})", lacking.join(", ")),
            "take a kernel of Linux 6.12 or newer with landlock; sandbox.mode: required opens no door without",
        ),
    }
}
