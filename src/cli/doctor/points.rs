//! The points themselves, in the order of the list. Each is a pure judgement of what was loaded and seen, and an open one
//! says what to do in just this case.

mod bounds;
mod recommended;
mod required;
mod review;

use super::collector::Reached;
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
    /// Neither is shown: why, and what to do.
    Unproven(String, &'static str),
    /// Does not apply.
    No(&'static str),
}

const LOCAL: &str = "nobody reaches this door over the network";
const NO_TOKEN: &str = "no token is asked for";

/// A name, its weight, what comes of it.
type Row = (&'static str, Weight, Says);

/// All of them.
pub(super) fn all(config: &Config, machine: &Machine) -> Vec<Point> {
    let rows = required::rows(config, machine)
        .into_iter()
        .chain(recommended::rows(config, machine))
        .chain(review::rows(config, machine));
    rows.map(|(name, weight, says)| match says {
        Says::Pass(says) => Point { name, weight, standing: Standing::Pass, says, advice: "" },
        Says::Open(says, advice) => Point { name, weight, standing: Standing::Open, says, advice },
        Says::Unproven(says, advice) => Point { name, weight, standing: Standing::Unproven, says, advice },
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

/// Whether records reach their collector; one on this machine has to send them on. `open` is what to do where they do not.
fn reached(machine: &Machine, open: &'static str) -> Says {
    const ASK: &str = "start the door, and ask again as its user or as root";
    match machine.collector.reached(machine.serving.is_some()) {
        Reached::Proven(says) if matches!(machine.collector.target, Some(Target::Unix(_))) => {
            Says::Pass(format!("{says}, which has to send them on"))
        }
        Reached::Proven(says) => Says::Pass(says),
        Reached::Refuted(says) => Says::Open(says, open),
        Reached::Unproven(says) => Says::Unproven(says, ASK),
    }
}

#[cfg(test)]
mod tests;
