//! `doorward pki show`: what is in certificate, revocation list and key files, ready to paste where it is needed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::quoted;
use crate::cli::{Exit, Outcome, complain, say, span};
use crate::clock::{Clock, Timestamp};
use crate::identity::Certificate;
use crate::pki::describe::{self, Item};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// PEM files, or DER files with one certificate or revocation list
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// As one JSON array
    #[arg(long)]
    json: bool,
}

/// Shows every file; gives [`Exit::Refused`] when something in them cannot be read.
pub(super) fn run(args: &Args, clock: &Clock) -> Outcome {
    let now = clock.now();
    let mut all = Vec::new();
    // A file that cannot be read does not keep what is in the others.
    let mut failed = None;
    for file in &args.files {
        match describe::file(file) {
            Ok(items) => all.extend(items.into_iter().map(|item| (file, item))),
            Err(failure) if failed.is_none() => failed = Some(failure),
            Err(failure) => complain(format!("doorward: {failure}: {}", failure.cause().unwrap_or_default())),
        }
    }
    if args.json {
        let items = all.iter().map(|(file, item)| in_json(file, item, now)).collect();
        say(format!("{:#}", Value::Array(items)));
    } else if !all.is_empty() {
        let texts = all.iter().map(|(file, item)| in_words(file, item, now));
        say(texts.collect::<Vec<_>>().join("\n\n"));
    }
    if let Some(failure) = failed {
        return Err(failure);
    }
    let unreadable = all.iter().any(|(_, item)| matches!(item, Item::Unreadable { .. }));
    Ok(if unreadable { Exit::Refused } else { Exit::Done })
}

fn in_words(file: &Path, item: &Item, now: Timestamp) -> String {
    let file = file.display();
    match item {
        Item::Certificate { role, certificate, addresses, entries } => {
            let mut lines = vec![format!("{file}: certificate ({role})")];
            let mut line = |name: &str, value: &str| lines.push(format!("  {name:<12}{value}"));
            line("subject", &certificate.subject.to_string());
            line("issuer", &certificate.issuer.to_string());
            line("serial", &certificate.serial);
            line("valid from", &certificate.not_before.to_string());
            line("until", &format!("{} ({})", certificate.not_after, validity(certificate, now)));
            line("x5t#S256", &certificate.thumbprint.base64url());
            line("sha256", &certificate.thumbprint.to_string());
            if !certificate.dns_names.is_empty() {
                line("hosts", &certificate.dns_names.join(" "));
            }
            if !addresses.is_empty() {
                line("addresses", &addresses.join(" "));
            }
            if !entries.is_empty() {
                lines.push("  entries for tls.allowed_subjects, each of them enough:".to_owned());
                lines.extend(entries.iter().map(|entry| format!("    - {}", quoted(entry))));
            }
            lines.join("\n")
        }
        Item::RevocationList { issuer, number, this_update, next_update, revoked } => {
            let number = number.as_deref().unwrap_or("without a number");
            let until = next_update.map_or("never out of date, so not usable".to_owned(), |until| {
                format!("{until} ({})", if until < now { "OUT OF DATE" } else { "up to date" })
            });
            let mut text = format!("{file}: revocation list {number}\n  issuer      {issuer}\n");
            text.push_str(&format!(
                "  signed      {this_update}\n  until       {until}\n  revoked     {}",
                revoked.len()
            ));
            revoked.iter().for_each(|serial| text.push_str(&format!("\n    - {serial}")));
            text
        }
        Item::PrivateKey { algorithm } => format!("{file}: private key, {algorithm}"),
        Item::PublicKey { algorithm } => format!("{file}: public key, {algorithm}"),
        Item::Unreadable { why } => format!("{file}: CANNOT BE READ: {why}"),
    }
}

fn validity(certificate: &Certificate, now: Timestamp) -> String {
    if now < certificate.not_before {
        format!("NOT VALID for another {}", span::between(certificate.not_before, now))
    } else if certificate.not_after < now {
        format!("EXPIRED {} ago", span::between(now, certificate.not_after))
    } else {
        format!("{} left", span::between(certificate.not_after, now))
    }
}

fn in_json(file: &Path, item: &Item, now: Timestamp) -> Value {
    let file = file.display().to_string();
    match item {
        Item::Certificate { role, certificate, addresses, entries } => json!({
            "file": file,
            "kind": "certificate",
            "role": role,
            "subject": certificate.subject.to_string(),
            "issuer": certificate.issuer.to_string(),
            "serial": certificate.serial,
            "dns_names": certificate.dns_names,
            "uris": certificate.uris,
            "emails": certificate.emails,
            "addresses": addresses,
            "not_before": certificate.not_before.to_string(),
            "not_after": certificate.not_after.to_string(),
            "seconds_left": certificate.not_after.since(now).as_secs(),
            "valid_now": (certificate.not_before..=certificate.not_after).contains(&now),
            "x5t#S256": certificate.thumbprint.base64url(),
            "sha256": certificate.thumbprint.to_string(),
            "allowed_subjects": entries,
        }),
        Item::RevocationList { issuer, number, this_update, next_update, revoked } => json!({
            "file": file,
            "kind": "revocation_list",
            "issuer": issuer,
            "number": number,
            "this_update": this_update.to_string(),
            "next_update": next_update.map(|until| until.to_string()),
            "up_to_date": next_update.is_some_and(|until| until >= now),
            "revoked": revoked,
        }),
        Item::PrivateKey { algorithm } => json!({ "file": file, "kind": "private_key", "algorithm": algorithm }),
        Item::PublicKey { algorithm } => json!({ "file": file, "kind": "public_key", "algorithm": algorithm }),
        Item::Unreadable { why } => json!({ "file": file, "kind": "unreadable", "why": why }),
    }
}
