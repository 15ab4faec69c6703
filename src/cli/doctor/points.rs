//! The points themselves, in the order of the list. Each is a pure judgement of what was loaded and seen, and an open one
//! says what to do in just this case.

mod bounds;
mod recommended;
mod required;
mod review;

use super::machine::Machine;
use super::{Point, Standing, Weight};
use crate::audit::syslog::Target;
use crate::config::Config;
use crate::transport::TransportKind;

/// What a point comes to.
enum Says {
    Pass(String),
    /// What is open, and what to do.
    Open(String, &'static str),
    /// Does not apply.
    No(&'static str),
}

const LOCAL: &str = "nobody reaches this door over the network";
const NO_TOKEN: &str = "no token is asked for";

/// A name, its weight, what comes of it.
type Row = (&'static str, Weight, Says);

/// All of them.
pub(super) fn all(config: &Config, machine: &Machine) -> Vec<Point> {
    let rows = required::rows(config)
        .into_iter()
        .chain(recommended::rows(config, machine))
        .chain(review::rows(config, machine));
    rows.map(|(name, weight, says)| match says {
        Says::Pass(says) => Point { name, weight, standing: Standing::Pass, says, advice: "" },
        Says::Open(says, advice) => Point { name, weight, standing: Standing::Open, says, advice },
        Says::No(why) => Point { name, weight, standing: Standing::NotApplicable, says: why.to_owned(), advice: "" },
    })
    .collect()
}

fn is_remote(config: &Config) -> bool {
    config.transport.uses(TransportKind::Https)
}

/// Whether tokens have no name of their own and are good with the certificate of their user alone, as Teleport's are.
fn is_bound_to_user(config: &Config) -> bool {
    config.auth.jwt.require_cert_subject && is_remote(config)
}

fn collector(config: &Config) -> Option<Target> {
    let syslog = &config.audit.syslog;
    (config.audits() && syslog.enabled).then(|| Target::parse(&syslog.target).ok()).flatten()
}

#[cfg(test)]
mod tests;
