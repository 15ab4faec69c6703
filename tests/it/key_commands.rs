//! `pki` and `token`: what they make is what others read, and no secret is ever printed but the token that was asked for.

use std::fs;

use serde_json::Value;

use crate::world::premises::{AUDIENCE, ISSUER, Premises};
use crate::world::program::{DOORWARD, command};
use crate::world::program::{Ended, bash, doorward, finish, there_is};

fn shown(premises: &Premises, file: &str) -> Value {
    let items: Value = serde_json::from_str(&premises.doorward(&format!("pki show --json {file}"))).unwrap();
    items[0].clone()
}

#[test]
fn what_the_authority_issues_openssl_verifies() {
    let premises = Premises::new();
    premises.doorward("pki issue client --dir ca --cn bot --organization Acme --spiffe spiffe://acme/bot --out bot");
    let bot = shown(&premises, "bot.crt");
    assert_eq!((&bot["role"], &bot["subject"]), (&"client".into(), &"CN=bot,O=Acme".into()));
    assert_eq!((&bot["uris"][0], &bot["valid_now"]), (&"spiffe://acme/bot".into(), &true.into()));
    assert_eq!(shown(&premises, "server.crt")["addresses"][0], "127.0.0.1");
    assert_eq!(shown(&premises, "ca/ca.key")["kind"], "private_key");
    let said = premises.doorward("pki revoke --dir ca bot.crt");
    assert!(said.contains("revoked bot.crt") && said.contains("1 revoked"), "{said}");
    premises.doorward("pki crl --dir ca --next-update-days 3");
    let list = shown(&premises, "ca/ca.crl");
    assert_eq!((&list["revoked"][0], &list["up_to_date"]), (&bot["serial"], &true.into()));
    if !there_is("openssl", "whether OpenSSL verifies our certificates") {
        return;
    }
    let openssl = |script: &str| bash(premises.root(), script, &[], "");
    for (script, says) in [
        (
            "openssl verify -x509_strict -CAfile ca/ca.crt -purpose sslserver -verify_hostname localhost server.crt",
            "OK",
        ),
        ("openssl verify -x509_strict -CAfile ca/ca.crt -purpose sslserver -verify_ip 127.0.0.1 server.crt", "OK"),
        (
            "openssl verify -x509_strict -CAfile ca/ca.crt -CRLfile ca/ca.crl -crl_check -purpose sslclient client.crt",
            "OK",
        ),
        ("for key in ca/ca server client bot; do openssl pkey -in $key.key -noout -check; done", "Key is valid"),
        (
            "diff <(openssl pkey -in client.key -pubout) <(openssl x509 -in client.crt -noout -pubkey) && echo same",
            "same",
        ),
        ("diff <(openssl pkey -in token-key.pem -pubout) token-key.pub.pem && echo same", "same"),
        ("openssl x509 -in bot.crt -noout -subject -nameopt RFC2253", "CN=bot,O=Acme"),
        ("openssl x509 -in ca/ca.crt -noout -ext basicConstraints,keyUsage", "CA:TRUE"),
    ] {
        let said = openssl(script).well();
        assert!(said.contains(says), "{script}: {said}");
    }
    for script in [
        "openssl verify -CAfile ca/ca.crt -purpose sslclient server.crt",
        "openssl verify -CAfile ca/ca.crt -CRLfile ca/ca.crl -crl_check bot.crt",
    ] {
        assert_ne!(openssl(script).status, 0, "{script}");
    }
}

#[test]
fn a_token_is_printed_alone_and_says_what_was_asked() {
    let premises = Premises::new();
    let mint = format!("token mint --key token-key.pem --issuer {ISSUER} --audience {AUDIENCE} --subject alice");
    let token = premises.doorward(&format!("{mint} --agent bot --scope core --scope logs --role op --cert client.crt"));
    let token = token.strip_suffix('\n').unwrap();
    assert_eq!(token.split('.').count(), 3);
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{token}");
    let mut show = command(DOORWARD, premises.root());
    show.args(["token", "show", "--json"]);
    let shown: Value = serde_json::from_str(&finish(show, token).well()).unwrap();
    let claims = &shown["claims"];
    assert_eq!((&claims["iss"], &claims["aud"]), (&ISSUER.into(), &AUDIENCE.into()));
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&"alice".into(), &"bot".into()));
    assert_eq!((&claims["scope"], &claims["roles"][0]), (&"core logs".into(), &"op".into()));
    let client = self::shown(&premises, "client.crt");
    assert_eq!(claims["cnf"]["x5t#S256"], client["x5t#S256"]);
    let set: Value = serde_json::from_str(&fs::read_to_string(premises.path("token-key.jwks.json")).unwrap()).unwrap();
    assert_eq!(shown["header"]["kid"], set["keys"][0]["kid"]);
    assert!(set["keys"][0].get("d").is_none(), "the private half is in the key set");
    let expired = premises.doorward(&format!("{mint} --expired"));
    let said = doorward(premises.root(), &["token", "show", expired.trim()]).well();
    assert!(said.starts_with("NOT VERIFIED") && said.contains("EXPIRED 60 minutes ago"), "{said}");
    for algorithm in ["ES256", "ES384", "EdDSA", "RS256", "PS256"] {
        premises.doorward(&format!("token keygen --alg {algorithm} --out {algorithm}.pem"));
        let mint = mint.replace("token-key", algorithm);
        let algorithm_of_key = if algorithm == "PS256" { " --alg PS256" } else { "" };
        let said = doorward(premises.root(), &["token", "show", premises.doorward(&(mint + algorithm_of_key)).trim()]);
        assert!(said.well().contains(algorithm));
    }
}

#[test]
fn no_secret_is_printed_and_none_shows_in_the_help() {
    let premises = Premises::new();
    let mut said: Vec<Ended> = Vec::new();
    for line in [
        "pki init --dir ca2",
        "pki issue client --dir ca --cn x --out x",
        "pki show ca/ca.key client.key token-key.pem token-key.pub.pem client.crt",
        "pki show --json ca/ca.key client.key token-key.pem",
        "pki show token-key.jwks.json",
        "token keygen --out other.pem",
        "token mint --key client.crt --issuer i --audience a --subject s",
        "token mint --key token-key.pem --alg RS256 --issuer i --audience a --subject s",
        "check --config token-key.pem",
        "serve --config client.key",
        "connect https://localhost --cert client.key --key client.key --token-file token-key.pem",
        "connect https://localhost --cert client.crt --key token-key.pem --token-file token-key.pem",
    ] {
        said.push(doorward(premises.root(), &line.split_whitespace().collect::<Vec<_>>()));
    }
    let mut help = command(DOORWARD, premises.root());
    help.args(["connect", "--help"])
        .env("DOORWARD_CONNECT_TOKEN_COMMAND", "/bin/hunter2")
        .env("DOORWARD_CONNECT_URL", "hunter2");
    said.push(finish(help, ""));
    for key in ["ca/ca.key", "client.key", "token-key.pem", "ca2/ca.key", "x.key", "other.pem"] {
        let text = fs::read_to_string(premises.path(key)).unwrap();
        let secrets = text.lines().filter(|line| !line.starts_with("-----"));
        for secret in secrets.chain(["BEGIN PRIVATE", "hunter2", "eyJ"]) {
            let leak = said.iter().find(|ended| ended.stdout.contains(secret) || ended.stderr.contains(secret));
            assert!(leak.is_none(), "{key}: {leak:?}");
        }
    }
}
