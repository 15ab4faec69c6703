//! `doorward schema`: the JSON Schema of the configuration, for editors.

use super::{Exit, Outcome, say};
use crate::config;
use crate::error::{Code, Failure};

/// Print the JSON Schema of the configuration.
#[derive(clap::Args, Debug)]
pub(super) struct Args {}

/// Prints it.
///
/// # Errors
/// When it has no JSON form.
pub(super) fn run(_args: Args) -> Outcome {
    let text = serde_json::to_string_pretty(&config::schema())
        .map_err(|error| Failure::new(Code::Internal, "the schema has no JSON form").because(error))?;
    say(text);
    Ok(Exit::Done)
}
