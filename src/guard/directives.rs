//! Settings without a sign: a word of a file of settings, of a device or of a tool's answer, and the secret behind it.

use super::assignments::FIELD;
use super::builtin::{Shape, around};
use super::innocent;
use super::names::{NAME, NAME_WORDS, QUOTED, SHORT_NAME};
use super::redact::REDACTED;

/// A word, a blank and a secret.
pub(super) fn directives() -> Vec<Shape> {
    const SNMP: &str = "snmp_community";
    let named =
        |pattern: &str| Shape { innocent: Some(innocent::quoted), ..around(FIELD, NAME_WORDS, pattern, "$1", "") };
    let of = |name, literals, pattern: &str| Shape { literals, ..around(name, &[], pattern, "$1", "") };
    vec![
        // Of redis, LDAP, keepalived and HAProxy.
        Shape {
            innocent: Some(innocent::directive),
            words: vec!["requirepass", "masterauth", "bindpw", "rootpw", "rootdnpw", "auth_pass", "insecure-password"],
            ..named(&format!(
                r#"(?i)((?:^|[\s"'(;=?&])(?:requirepass|masterauth|bindpw|root(?:dn)?pw|auth_pass|insecure-password)[ \t]+(?:--plaintext[ \t]+)?)({QUOTED}|[^\s"']\S*)"#
            ))
        },
        of(
            FIELD,
            &["+@", "~*", "&*", "allkeys", "allcommands", "SETUSER"],
            r"(?i)((?-u:\b)user[ \t]+\S+[ \t][^\n]*?[ \t]>)\S+",
        ),
        // Dockerfile, csh, aws.
        named(&format!(
            r#"((?:^|[\s"';=?&])(?:ENV|setenv|configure[ \t]+set)[ \t]+[A-Za-z0-9_.-]{{0,64}}?(?i:{NAME}|{SHORT_NAME})[ \t]+)({QUOTED}|[^\s"'=]\S*)"#
        )),
        // Alone on its line, as msmtp has it.
        Shape {
            innocent: Some(innocent::column),
            replacement: format!("$1{REDACTED}$3"),
            words: vec!["password"],
            ..named(r#"(?m)((?:^|["'=])[ \t]*password[ \t]+)([^\s"'=:]+)[ \t]*($|["'\\])"#)
        },
        // Of devices of networks: with the number of how it is encrypted, and without.
        Shape {
            words: vec!["enable", "username", "neighbor"],
            ..named(concat!(
                r"(?i)((?-u:\b)(?:enable|username[ \t]+\S+(?:[ \t]+privilege[ \t]+[0-9]+)?|neighbor[ \t]+\S+)[ \t]+",
                r"(?:password|secret)[ \t]+[0-9][ \t]+)(\S{3,})",
            ))
        },
        Shape {
            innocent: Some(innocent::word),
            words: vec!["username", "neighbor"],
            ..named(concat!(
                r"(?i)((?-u:\b)(?:username[ \t]+\S+(?:[ \t]+privilege[ \t]+[0-9]+)?|neighbor[ \t]+\S+)[ \t]+",
                r"(?:password|secret)[ \t]+)(\S{3,})",
            ))
        },
        of(FIELD, &["message-digest-key"], r"(message-digest-key[ \t]+[0-9]+[ \t]+md5[ \t]+(?:[0-9][ \t]+)?)\S+"),
        // BIND, DRBD.
        Shape {
            words: vec!["secret"],
            also: &[";"],
            replacement: format!("$1{REDACTED};"),
            ..named(r#"(?i)(secret[ \t]+)("[^"\n]+")[ \t]*;"#)
        },
        of(
            FIELD,
            &[": PSK", ": EAP", ": XAUTH", ": NTLM"],
            r#"(:[ \t]+(?:PSK|EAP|XAUTH|NTLM)[ \t]+)(?:"[^"\n]+"|'[^'\n]+'|0[sx]\S+)"#,
        ),
        // Postfix.
        of(
            FIELD,
            &["]:25", "]:465", "]:587", "]:submission", "]:smtp"],
            r#"(?m)((?:^|[\s"'=])\[[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+\]:[a-z0-9]+[ \t]+[^\s:]+:)[^\s"']+"#,
        ),
        of(FIELD, &["stats auth"], r"(stats auth[ \t]+[^\s:]+:)\S+"),
        of(FIELD, &["Unseal Key"], r"(Unseal Key [0-9]+[^:\n]{0,20}:[ \t]*)\S+"),
        Shape {
            words: vec!["rocommunity", "rwcommunity"],
            innocent: None,
            name: SNMP,
            ..named(r"(?i)((?-u:\b)r[ow]community6?[ \t]+)\S+")
        },
        of(SNMP, &["com2sec"], r"((?-u:\b)com2sec6?[ \t]+(?:-Cn[ \t]+\S+[ \t]+)?\S+[ \t]+\S+[ \t]+)\S+"),
        of(
            SNMP,
            &["createUser"],
            r#"(createUser[ \t]+(?:-e[ \t]+\S+[ \t]+)?\S+[ \t]+(?:MD5|SHA(?:-?[0-9]+)?)[ \t]+)(?:"[^"\n]+"|\S+)"#,
        ),
        of(SNMP, &["createUser"], r#"(createUser[ \t][^\n]*?[ \t](?:DES|AES(?:-?[0-9]+)?)[ \t]+)(?:"[^"\n]+"|\S+)"#),
        // Mailgun, Discord and Airtable give theirs no prefix that is rare enough.
        of(
            "mailgun_key",
            &["mailgun", "Mailgun", "MAILGUN"],
            r"((?-u:\b)(?i:mailgun)[^\n]{0,80}?(?-u:\b))[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}(?-u:\b)",
        ),
        of(
            "discord_token",
            &["discord", "Discord", "DISCORD", "bot", "Bot", "BOT"],
            r"((?i:discord|bot)[^\n]{0,80}?(?-u:\b))[MNO][A-Za-z0-9_-]{22,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}",
        ),
        of(
            "service_token",
            &["airtable", "Airtable", "AIRTABLE"],
            r"((?i:airtable)[^\n]{0,80}?(?-u:\b))pat[A-Za-z0-9]{14}\.[a-f0-9]{64}",
        ),
    ]
}
