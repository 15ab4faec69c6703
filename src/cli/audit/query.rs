//! `doorward audit query`: the records that are asked for.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::ControlFlow;

use clap::builder::PossibleValuesParser;

use super::place::{Place, Times};
use super::row;
use crate::audit::search::Filter;
use crate::cli::terminal::{Output, harmless};
use crate::cli::{Exit, Outcome, complain};
use crate::clock::Clock;

/// What `event` can be.
const EVENTS: [&str; 17] = [
    "start",
    "stop",
    "unclean_stop",
    "checkpoint",
    "auth_success",
    "auth_failure",
    "query",
    "query_denied",
    "redaction",
    "limit_exceeded",
    "config_reload",
    "audit_gap",
    "warning",
    "credential_fetch",
    "handle_resolution",
    "session_open",
    "session_close",
];

/// What `decision` and `result` can be.
const DECISIONS: [&str; 7] = ["permit", "forbid", "permitted", "success", "refused", "failed", "abandoned"];

/// Show the records that fit every wish
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// On whose behalf
    #[arg(long)]
    user: Option<String>,
    /// By which agent
    #[arg(long)]
    agent: Option<String>,
    /// Which tool
    #[arg(long)]
    tool: Option<String>,
    /// What happened
    #[arg(long, value_parser = PossibleValuesParser::new(EVENTS))]
    event: Option<String>,
    /// How it was decided or ended
    #[arg(long, value_parser = PossibleValuesParser::new(DECISIONS))]
    decision: Option<String>,
    /// Why it was refused: token_expired, policy_forbidden, …
    #[arg(long)]
    reason: Option<String>,
    /// From which address
    #[arg(long)]
    ip: Option<IpAddr>,
    #[command(flatten)]
    times: Times,
    /// Only the newest
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// The lines of the journal as they are
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    let Args { user, agent, tool, event, decision, reason, ip, times, limit, json, place } = args;
    let span = times.span(clock);
    let ip = ip.map(|ip| ip.to_string());
    let sieve = Filter { user, agent, tool, event, decision, reason, ip, span }.ready()?;
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut newest: VecDeque<Vec<u8>> = VecDeque::new();
    let mut found = false;
    let mut output = Output::new();
    let troubles = place.journal()?.each(span, &mut |line| {
        if sieve.pass(line).is_none() {
            return ControlFlow::Continue(());
        }
        found = true;
        match limit {
            Some(limit) => {
                if newest.len() == limit {
                    newest.pop_front();
                }
                newest.push_back(line.to_vec());
            }
            None => row::show(&mut output, line, json),
        }
        if output.is_gone() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    newest.iter().for_each(|line| row::show(&mut output, line, json));
    output.flush();
    // What was found is shown; that some may be missing must not pass for success.
    troubles.iter().for_each(|trouble| complain(format!("doorward: not all was read: {}", harmless(trouble))));
    if !found && troubles.is_empty() {
        complain("doorward: no records fit");
    }
    Ok(if troubles.is_empty() { Exit::Done } else { Exit::Failed })
}
