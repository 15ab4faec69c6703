//! `doorward token keygen`: a private key for its owner, its public half for everybody.

use std::path::{Path, PathBuf};

use super::algorithm;
use crate::authn::JwtAlgorithm;
use crate::authn::mint::Minter;
use crate::cli::{Exit, Outcome, say};
use crate::pki::store::{self, Existing};
use crate::pki::{KeyKind, SigningKey};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The private key's file; KEY.pub.pem and KEY.jwks.json are written beside it
    #[arg(long, value_name = "KEY.pem")]
    out: PathBuf,
    /// ES256, ES384, EdDSA, RS256 or PS256
    #[arg(long, default_value = "ES256", value_parser = algorithm)]
    alg: JwtAlgorithm,
    /// The key's name [default: its thumbprint, RFC 7638]
    #[arg(long)]
    kid: Option<String>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args) -> Outcome {
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    let (public, set) = (beside(&args.out, "pub.pem"), beside(&args.out, "jwks.json"));
    [&args.out, &public, &set].into_iter().try_for_each(|path| store::ready(path, existing))?;
    let key = SigningKey::generate(match args.alg {
        JwtAlgorithm::ES384 => KeyKind::P384,
        JwtAlgorithm::EdDSA => KeyKind::Ed25519,
        JwtAlgorithm::RS256 | JwtAlgorithm::PS256 => KeyKind::Rsa,
        JwtAlgorithm::ES256 | JwtAlgorithm::HS256 => KeyKind::P256,
    })?;
    let (private_text, public_text) = (key.private_pem()?, key.public_pem()?);
    let minter = Minter::new(key, Some(args.alg))?;
    let minter = args.kid.iter().fold(minter, Minter::with_kid);
    store::write_private(&args.out, private_text.expose().as_bytes(), existing)?;
    store::write_public(&public, public_text.as_bytes(), existing)?;
    store::write_public(&set, format!("{:#}\n", minter.jwks()).as_bytes(), existing)?;
    let out = args.out.display();
    say(format!("wrote {out}   private key, mode 0600"));
    say(format!("wrote {}   public key, for auth.jwt.public_key", public.display()));
    say(format!("wrote {}   key set, for whoever serves auth.jwt.jwks_uri", set.display()));
    say(format!("kid {}", minter.kid()));
    say("\nNext: sign a token with it");
    say(format!("  doorward token mint --key {out} --issuer ISSUER --audience AUDIENCE --subject alice --scope core"));
    Ok(Exit::Done)
}

/// `key.pem` → `key.pub.pem`; a name without that ending keeps all of itself.
fn beside(path: &Path, ending: &str) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == "pem" || extension == "key") {
        return path.with_extension(ending);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::describe::{self, Item};

    #[test]
    fn the_public_files_stand_beside_the_key() {
        assert_eq!(beside(Path::new("a/k.pem"), "pub.pem"), Path::new("a/k.pub.pem"));
        assert_eq!(beside(Path::new("a/k.v1"), "pub.pem"), Path::new("a/k.v1.pub.pem"));
    }

    #[test]
    fn a_key_is_made_once_and_serves_for_minting() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("k.pem");
        let args = |alg, force| Args { out: out.clone(), alg, kid: Some("mine".to_owned()), force };
        run(&args(JwtAlgorithm::EdDSA, false)).unwrap();
        assert!(run(&args(JwtAlgorithm::EdDSA, false)).is_err());
        run(&args(JwtAlgorithm::ES384, true)).unwrap();
        let minter = Minter::from_file(&out, None).unwrap().with_kid("mine");
        let set = std::fs::read_to_string(dir.path().join("k.jwks.json")).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&set).unwrap(), minter.jwks());
        let items = describe::file(&dir.path().join("k.pub.pem")).unwrap();
        assert_eq!(items, [Item::PublicKey { algorithm: "ECDSA, 384 bits".to_owned() }]);
    }
}
