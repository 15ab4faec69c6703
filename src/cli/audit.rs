//! `doorward audit`: whether the audit log is as it was written, and what is in it.

mod key;
mod place;
mod query;
mod row;
mod show;
mod stats;
mod tail;
mod verify;

use std::path::Path;

use clap::Subcommand;

use super::Outcome;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::pki::PublicKey;

/// Verify the audit log and look into it
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Verify(verify::Args),
    Show(show::Args),
    Tail(tail::Args),
    Query(Box<query::Args>),
    Stats(stats::Args),
    Key(key::Args),
}

/// Does what was asked.
///
/// # Errors
/// When files cannot be read.
pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    match args.verb {
        Verb::Verify(args) => verify::run(&args, clock),
        Verb::Show(args) => show::run(&args),
        Verb::Tail(args) => tail::run(&args),
        Verb::Query(args) => query::run(*args, clock),
        Verb::Stats(args) => stats::run(&args, clock),
        Verb::Key(args) => key::run(&args),
    }
}

/// Reads a public key and its text.
fn public_key(path: &Path) -> Result<(PublicKey, String), Failure> {
    let unreadable = |cause: String| {
        Failure::new(Code::Io, "the public key cannot be read").because(format!("{}: {cause}", path.display()))
    };
    let pem = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let key = PublicKey::from_pem(pem.as_bytes()).map_err(|failure| unreadable(failure.to_string()))?;
    Ok((key, pem))
}
