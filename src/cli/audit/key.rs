//! `doorward audit key`: the public half of the key that signs checkpoints, to be kept where the journal is not.

use serde_json::json;

use super::place::Place;
use super::public_key;
use crate::cli::{Exit, Outcome, complain, say};

/// Print the public key that signs checkpoints, PEM, and its id
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// The key goes to standard output, so that it can be kept; its id to standard error.
pub(super) fn run(args: &Args) -> Outcome {
    let path = args.place.layout()?.beside("pub");
    let (key, pem) = public_key(&path)?;
    if args.json {
        say(format!("{:#}", json!({ "id": key.id(), "public_key": pem, "path": path.display().to_string() })));
    } else {
        say(pem.trim_end());
        complain(format!("key {} from {}", key.id(), path.display()));
    }
    Ok(Exit::Done)
}
