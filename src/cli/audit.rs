//! `doorward audit`: whether the audit log is as it was written, and what is in it.

mod verify;

use std::path::PathBuf;

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
}

/// Does what was asked.
///
/// # Errors
/// When files cannot be read.
pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    match args.verb {
        Verb::Verify(args) => verify::run(&args, clock),
    }
}

/// Reads a public key.
fn public_key(path: &PathBuf) -> Result<PublicKey, Failure> {
    let unreadable = |cause: String| {
        Failure::new(Code::Io, "the public key cannot be read").because(format!("{}: {cause}", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    PublicKey::from_pem(&pem).map_err(|failure| unreadable(failure.to_string()))
}
