//! What is to be looked at again and again.

use super::Says::{No, Open, Pass};
use super::{NO_TOKEN, Row, Says};
use crate::cli::doctor::Weight;
use crate::cli::doctor::machine::Machine;
use crate::config::Config;

/// Days after which a key is old.
const MONTH: u64 = 31;
/// Days after which a configuration is looked at again.
const QUARTER: u64 = 92;

pub(super) fn rows(config: &Config, machine: &Machine) -> Vec<Row> {
    let row = |name, says| (name, Weight::Review, says);
    let days = machine.config_days;
    vec![
        row("anomalies", anomalies(config)),
        row("key-age", key_age(config, machine)),
        row("query-lists", changed(days, "look at scopes and queries, and write the file anew (touch) once you have")),
        row("redaction-lists", changed(days, "look at redaction, and write the file anew (touch) once you have")),
    ]
}

fn changed(days: Option<u64>, advice: &'static str) -> Says {
    match days {
        Some(days) if days > QUARTER => Open(format!("the configuration is as it was {days} days ago"), advice),
        Some(days) => Pass(format!("the configuration was changed {days} days ago")),
        None => No("there is no file"),
    }
}

fn anomalies(config: &Config) -> Says {
    match (config.audits(), config.audit.alerts.auth_failures) {
        (false, _) => No("nothing is recorded, so there is nothing to look at"),
        (true, 0) => Open(
            "many refusals raise no warning".to_owned(),
            "set audit.alerts.auth_failures, and look at doorward audit stats every month",
        ),
        (true, many) => {
            Pass(format!("more than {many} refusals in a window raise a warning; look at the log every month"))
        }
    }
}

fn key_age(config: &Config, machine: &Machine) -> Says {
    match (config.verifies_tokens(), machine.key_days) {
        (false, _) => No(NO_TOKEN),
        (true, None) => No("the key of tokens is no file"),
        (true, Some(days)) if days > MONTH => {
            Open(format!("the key of tokens is {days} days old"), "make a new one: doorward token keygen")
        }
        (true, Some(days)) => Pass(format!("the key of tokens is {days} days old")),
    }
}
