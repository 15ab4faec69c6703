//! Public keys of OpenSSH: one line of authorized_keys(5) or of a `.pub` file. Only a key that is one is told of, and of it
//! kind, size and fingerprint; a private key has no such form.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use schemars::JsonSchema;
use serde::Serialize;

/// The longest line that is looked at, in bytes; RSA with 16384 bits and many options has 4000.
const LINE_BYTES: usize = 16 << 10;

/// A public key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct PublicKey {
    /// Such as ssh-ed25519.
    pub(super) kind: String,
    /// Its size in bits, where that varies with keys of its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bits: Option<u64>,
    /// `SHA256:` and 43 characters, as ssh-keygen writes it.
    pub(super) fingerprint: String,
    /// What stands behind it, as a rule whose it is.
    pub(super) comment: String,
    /// What restricts its use, one by one.
    pub(super) options: Vec<String>,
}

/// The kinds that begin a key.
const KINDS: [&str; 8] =
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "rsa-sha2-", "webauthn-sk-", "mldsa", "ssh-mldsa"];

/// The key in a line, unless it has none.
pub(super) fn parse(line: &str) -> Option<PublicKey> {
    let line = line.trim();
    if line.len() > LINE_BYTES || line.starts_with('#') {
        return None;
    }
    let (options, rest) = match split_word(line) {
        (first, rest) if is_kind(first) => (Vec::new(), (first, rest)),
        (options, rest) => (split_options(options), split_word(rest)),
    };
    let (kind, rest) = rest;
    let (blob, comment) = split_word(rest);
    let blob = STANDARD.decode(blob).ok()?;
    let (named, body) = field(&blob)?;
    // The kind stands in the key as well.
    if !is_kind(kind) || named != kind.as_bytes() {
        return None;
    }
    let fingerprint = STANDARD_NO_PAD.encode(digest(&SHA256, &blob).as_ref());
    Some(PublicKey {
        bits: bits(kind, body),
        kind: kind.to_owned(),
        fingerprint: format!("SHA256:{fingerprint}"),
        comment: comment.to_owned(),
        options,
    })
}

fn is_kind(word: &str) -> bool {
    KINDS.iter().any(|start| word.starts_with(start)) && !word.contains(['"', '=', ','])
}

/// The first word, in which blanks between quotes are no ends, and the rest.
fn split_word(line: &str) -> (&str, &str) {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c: char| {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            quoted = !quoted;
        }
        !quoted && (c == ' ' || c == '\t')
    });
    let (word, rest) = line.split_at_checked(end.unwrap_or(line.len())).unwrap_or((line, ""));
    (word, rest.trim_start())
}

/// The options, parted by commas that stand in no quotes.
fn split_options(text: &str) -> Vec<String> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        let was_escaped = escaped;
        escaped = c == '\\' && !was_escaped;
        quoted ^= c == '"' && !was_escaped;
        c == ',' && !quoted
    });
    parts.filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

/// A field of RFC 4251: four bytes of length, then so many bytes; and the rest.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn bits(kind: &str, body: &[u8]) -> Option<u64> {
    // RSA: exponent, modulus (RFC 4253); DSA: p first.
    let number = match kind {
        "ssh-rsa" => field(field(body)?.1)?.0,
        "ssh-dss" => field(body)?.0,
        _ => return None,
    };
    let first = number.iter().position(|byte| *byte != 0)?;
    let number = number.get(first..)?;
    let unused = u64::from(number.first()?.leading_zeros());
    u64::try_from(number.len()).ok()?.checked_mul(8)?.checked_sub(unused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_key_is_told_by_its_fingerprint() {
        // As GitHub publishes it.
        let key = parse(&format!("{ED25519} git@example  two words")).unwrap();
        assert_eq!(key.fingerprint, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert_eq!((&*key.kind, &*key.comment, key.bits), ("ssh-ed25519", "git@example  two words", None));
        assert!(key.options.is_empty());
    }

    #[test]
    fn options_stand_before_it_and_may_have_blanks_in_quotes() {
        let key = parse(&format!(r#"command="/bin/x \"a, b\" c",no-pty,from="10.0.0.0/8,::1" {ED25519}"#)).unwrap();
        assert_eq!(key.options, [r#"command="/bin/x \"a, b\" c""#, "no-pty", r#"from="10.0.0.0/8,::1""#]);
        assert_eq!(key.comment, "");
    }

    #[test]
    fn what_is_no_public_key_is_none() {
        let other = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
        for line in
            ["", "#", "-----BEGIN OPENSSH PRIVATE KEY-----", "root:$y$x:1:", "ssh-ed25519", "ssh-ed25519 ????", &other]
        {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse(&format!("{} {ED25519}", "x".repeat(LINE_BYTES))), None);
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|([a-z=\\\\\",]{0,9} ){0,2}ssh-(rsa|dss|x) AAAA[A-Za-z0-9+/]{0,60}={0,2}", bytes in any::<Vec<u8>>()) {
            let _ = (parse(&line), bits("ssh-rsa", &bytes), bits("ssh-dss", &bytes));
        }
    }
}
