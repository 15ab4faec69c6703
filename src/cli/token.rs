//! `doorward token`: keys that sign tokens, tokens signed with them, and a look into any token.

mod keygen;
mod mint;
mod show;

use clap::Subcommand;

use super::Outcome;
use crate::authn::JwtAlgorithm;
use crate::clock::Clock;

/// Make keys and tokens, and look into tokens
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Make a key that signs tokens, with its public half as PEM and as a key set
    Keygen(keygen::Args),
    /// Sign a token and print it, and nothing else
    Mint(Box<mint::Args>),
    /// Decode a token without verifying it
    Show(show::Args),
}

/// Does what was asked.
///
/// # Errors
/// When files cannot be read or written, or a text is not a token.
pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    match args.verb {
        Verb::Keygen(args) => keygen::run(&args),
        Verb::Mint(args) => mint::run(*args, clock),
        Verb::Show(args) => show::run(args, clock),
    }
}

/// The algorithms for which there are key pairs, by their names in RFC 7518 and RFC 8037.
pub(super) fn algorithm(text: &str) -> Result<JwtAlgorithm, String> {
    match text.to_ascii_uppercase().as_str() {
        "ES256" => Ok(JwtAlgorithm::ES256),
        "ES384" => Ok(JwtAlgorithm::ES384),
        "EDDSA" | "ED25519" => Ok(JwtAlgorithm::EdDSA),
        "RS256" => Ok(JwtAlgorithm::RS256),
        "PS256" => Ok(JwtAlgorithm::PS256),
        _ => Err("one of ES256, ES384, EdDSA, RS256, PS256".to_owned()),
    }
}
