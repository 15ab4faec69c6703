//! `doorward lookout`: started by the daemon itself, never by a person, for queries that look into processes of others.

use super::{Exit, Outcome, complain};
use crate::error::{Code, Failure};
use crate::sandbox::{Standing, lookout};

/// Look into processes for the daemon that started this.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Tell environments too.
    #[arg(long)]
    environments: bool,
}

/// Shuts itself in, and answers on standard output until standard input ends.
///
/// # Errors
/// When a question is none.
pub(super) fn run(args: &Args) -> Outcome {
    for (name, standing) in lookout::confine() {
        if let Standing::Missing(why) = standing {
            complain(format!("doorward lookout: {name}: none, {why}"));
        }
    }
    lookout::serve(std::io::stdin().lock(), std::io::stdout().lock(), args.environments)
        .map(|()| Exit::Done)
        .map_err(|error| Failure::new(Code::Io, "the daemon asked for something else").because(error))
}
