//! `doorward token mint`: standard output gets the token and nothing else, so that `$(…)` can take it.

use std::path::PathBuf;
use std::time::Duration;

use super::algorithm;
use crate::authn::JwtAlgorithm;
use crate::authn::mint::{Mint, Minter};
use crate::cli::{Exit, Outcome, say};
use crate::clock::{Clock, Timestamp};
use crate::error::Failure;
use crate::identity::Scope;
use crate::pki::store;
use crate::secret::Secret;

/// How long ago a token with `--expired` ended, well beyond what clocks may differ.
const LONG_AGO: Duration = Duration::from_secs(3600);

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The private key that signs, readable by its owner only
    #[arg(long, value_name = "KEY.pem")]
    key: PathBuf,
    /// iss: who the daemon is configured to believe
    #[arg(long)]
    issuer: String,
    /// aud: the daemon, as its configuration names it
    #[arg(long)]
    audience: String,
    /// sub: the user or service
    #[arg(long)]
    subject: String,
    /// Who acts for the subject (act.sub and client_id)
    #[arg(long)]
    agent: Option<String>,
    /// A scope; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<String>,
    /// The claim for scopes
    #[arg(long, default_value = "scope", value_name = "CLAIM")]
    scope_claim: String,
    /// A role; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// The claim for roles
    #[arg(long, default_value = "roles", value_name = "CLAIM")]
    role_claim: String,
    /// Seconds the token lives
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    ttl: u64,
    /// The client certificate to which the token is bound (cnf.x5t#S256, RFC 8705)
    #[arg(long, value_name = "CLIENT.crt")]
    cert: Option<PathBuf>,
    /// Make one that ended an hour ago, to see it refused
    #[arg(long)]
    expired: bool,
    /// The token's own name [default: 128 random bits]
    #[arg(long)]
    jti: Option<String>,
    /// ES256, ES384, EdDSA, RS256 or PS256 [default: the key's own; RS256 for RSA]
    #[arg(long, value_parser = algorithm)]
    alg: Option<JwtAlgorithm>,
    /// The key's name [default: its thumbprint, RFC 7638]
    #[arg(long)]
    kid: Option<String>,
}

pub(super) fn run(args: Args, clock: &Clock) -> Outcome {
    say(token(args, clock.now())?.expose());
    Ok(Exit::Done)
}

fn token(args: Args, now: Timestamp) -> Result<Secret<String>, Failure> {
    let minter = Minter::from_file(&args.key, args.alg)?;
    let minter = args.kid.into_iter().fold(minter, Minter::with_kid);
    let certificate = args.cert.as_deref().map(store::leaf).transpose()?.map(|certificate| certificate.thumbprint);
    let ttl = Duration::from_secs(args.ttl);
    let mint = Mint {
        issuer: args.issuer,
        audience: args.audience,
        subject: args.subject,
        agent: args.agent,
        scopes: args.scopes,
        scope_claim: args.scope_claim,
        roles: args.roles,
        role_claim: args.role_claim,
        ttl,
        certificate,
        jti: args.jti,
    };
    let at = if args.expired { now.minus(ttl).minus(LONG_AGO) } else { now };
    minter.mint(&mint, at)
}

fn scope(text: &str) -> Result<String, String> {
    let scope = Scope::parse(text).ok_or("a scope is visible ASCII without spaces, quotes and backslashes")?;
    Ok(scope.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::token::show::{Decoded, decode};
    use crate::pki::store::{Existing, write_private, write_public};
    use crate::pki::{Authority, KeyKind, Profile, Request, SigningKey};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn minted(line: &str, dir: &tempfile::TempDir, now: Timestamp) -> Decoded {
        let key = dir.path().join("k.pem");
        if !key.exists() {
            let text = SigningKey::generate(KeyKind::P256).unwrap().private_pem().unwrap();
            write_private(&key, text.expose().as_bytes(), Existing::Keep).unwrap();
        }
        let fixed = format!("mint --key {} --issuer i --audience a --subject alice {line}", key.display());
        let args = Line::try_parse_from(fixed.split_whitespace()).unwrap().args;
        decode(token(args, now).unwrap().expose()).unwrap()
    }

    #[test]
    fn the_arguments_become_claims() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(1_800_000_000);
        let clock = Clock::manual(now);
        let day = Duration::from_secs(86_400);
        let profile = Profile { common_name: "CA".to_owned(), lifetime: day.saturating_mul(2) };
        let authority = Authority::create(&dir.path().join("ca"), &profile, &clock).unwrap();
        let issued = authority.issue(&Request::client("bot", day), &clock).unwrap();
        let path = dir.path().join("bot.crt");
        write_public(&path, issued.certificate_pem.as_bytes(), Existing::Keep).unwrap();

        let line = "--agent bot --scope core --scope logs --role op --role-claim groups --ttl 90 --jti one --kid k1";
        let token = minted(&format!("{line} --cert {}", path.display()), &dir, now);
        assert_eq!(token.header["kid"], "k1");
        let claims = &token.claims;
        assert_eq!(claims["scope"], "core logs");
        assert_eq!(claims["groups"][0], "op");
        assert_eq!(claims["act"]["sub"], "bot");
        assert_eq!(claims["jti"], "one");
        assert_eq!(claims["exp"], 1_800_000_090);
        assert_eq!(claims["cnf"]["x5t#S256"], issued.certificate.thumbprint.base64url());
    }

    #[test]
    fn an_expired_token_is_long_expired() {
        let dir = tempfile::tempdir().unwrap();
        let token = minted("--expired", &dir, Timestamp::from_seconds(1_800_000_000));
        assert_eq!(token.claims["exp"], 1_799_996_400);
        assert_eq!(token.claims["iat"], 1_799_996_340);
    }

    #[test]
    fn a_scope_with_a_space_is_refused() {
        assert!(scope("core logs").is_err());
        assert!(scope("core").is_ok());
    }
}
