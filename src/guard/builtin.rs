//! The secrets that are known without being told: the names that fields give them, and the text around them. Each
//! replacement is written so that redacting twice changes nothing.

use regex::Captures;

use super::assignments::{FIELD, assignments};
use super::directives::directives;
use super::markup::markup;
use super::names::{NAME, SHORT_NAME};
use super::redact::REDACTED;
use super::tokens::TOKENS;
use super::{commands, innocent};

/// Names the rules about secrets in command lines, which hold for argument lists too.
pub(super) const ARGUMENT: &str = "command_argument";
/// Names the rules about private keys, which hold for keys that were taken apart line by line too.
pub(super) const PRIVATE_KEY: &str = "private_key";
/// Names the rules about user and password that were joined and encoded in base64.
pub(super) const BASIC: &str = "basic_credentials";

/// Names the rules about values that Terraform marks as sensitive.
pub(super) const TERRAFORM: &str = "terraform_state";
/// Names the rules about the data of a Secret of Kubernetes.
pub(super) const KUBERNETES: &str = "kubernetes_secret";

/// The fields that hold secrets, in structured values of any shape.
pub(super) const FIELDS: [&str; 49] = [
    "*.*password",
    "*.*passwd",
    "*.*passphrase",
    "*.passcode",
    "*.secret",
    "*.*_secret",
    "*.*-secret",
    "*.*clientsecret",
    "*.token",
    "*.*_token",
    "*.*-token",
    "*.*accesstoken",
    "*.*refreshtoken",
    "*.*idtoken",
    "*.*authtoken",
    "*.*bearertoken",
    "*.*api_key",
    "*.*api-key",
    "*.*apikey",
    "*.*access_key",
    "*.*access-key",
    "*.*accesskey",
    "*.*secret_key",
    "*.*secret-key",
    "*.*secretkey",
    "*.*private_key",
    "*.*private-key",
    "*.*privatekey",
    "*.*encryption_key",
    "*.*signing_key",
    "*.presharedkey",
    "*.preshared_key",
    "*.psk",
    "*.*client-key-data",
    "*.authorization",
    "*.proxy-authorization",
    "*.cookie",
    "*.set-cookie",
    "*.connection_string",
    "*.connectionstring",
    "*.env.AWS_*",
    "*.env.DATABASE_*",
    "*.password_hash",
    "*.pass",
    "*.*_pass",
    "*.*-pass",
    "*.*_pwd",
    "*.*key_base",
    "*.app_key",
];

/// A kind of secret that is known by what stands around it.
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// Of these, in any case, the line holds one.
    pub(super) words: Vec<&'static str>,
    /// Or of these, in this case.
    pub(super) literals: &'static [&'static str],
    /// And one of these besides, unless there are none.
    pub(super) also: &'static [&'static str],
    pub(super) pattern: String,
    pub(super) replacement: String,
    /// What has the form and is no secret.
    pub(super) innocent: Option<fn(&str, &Captures<'_>) -> bool>,
}

/// Schemes of addresses whose user and password may hold any character.
const STORES: &str = "postgres|postgresql|mysql|mariadb|mongodb|redis|rediss|amqp|amqps|mssql|sqlserver|oracle|clickhouse|\
                      cassandra|ldap|ldaps|nats|kafka|smb|cifs|ftp|ftps|sftp";

/// A kind of secret that may go over several lines.
pub(super) struct Spans {
    pub(super) name: &'static str,
    /// Of each of these the text holds one.
    pub(super) literals: &'static [&'static [&'static str]],
    /// The first group stays; the second is the secret, or all behind the first.
    pub(super) pattern: String,
}

/// Secrets that may go over several lines; [`super::blocks`] has those that go by lines.
pub(super) fn spanning() -> Vec<Spans> {
    let machine = r"(?:(?-u:\b)machine[ \t]+\S+|(?-u:\b)default)\s+(?:(?:login|account)\s+\S+\s+){1,2}password\s+";
    let body = r"(Private-Lines: [0-9]+\r?\n)(?:[A-Za-z0-9+/=]+\r?(?:\n|\z))+";
    // Hadoop's files of settings and property lists.
    let element = format!(
        r"(?i)(<(?:name|key)>[^<\n]{{0,64}}?(?:{NAME}|{SHORT_NAME}|(?:secret|access)\.key)</(?:name|key)>\s*<(?:value|string)>\s*)([^<\s][^<]*)"
    );
    let value = r#"("(?:[^"\\]|\\.)+"|[^\s",{}\[\]]+)"#;
    let sensitive = r#""sensitive"\s*:\s*true"#;
    let of = |name, literals, pattern: &str| Spans { name, literals, pattern: pattern.to_owned() };
    vec![
        // netrc(5); the format of PuTTY.
        of("netrc", &[&["login", "account"], &["password"], &["machine", "default"]], &format!(r"({machine})\S+")),
        of(PRIVATE_KEY, &[&["Private-Lines:"]], body),
        of(FIELD, &[&["</name>", "</key>"], &["<value>", "<string>"]], &element),
        // State and outputs of Terraform.
        of(
            TERRAFORM,
            &[&["\"sensitive\""]],
            &format!(r#"("value"\s*:\s*){value}\s*,\s*"type"\s*:[^{{}}]{{0,200}}?{sensitive}"#),
        ),
        of(
            TERRAFORM,
            &[&["\"sensitive\""]],
            &format!(r#"({sensitive}\s*,\s*"type"\s*:[^{{}}]{{0,200}}?"value"\s*:\s*){value}"#),
        ),
    ]
}

/// In the order in which they are applied.
pub(super) fn shapes() -> Vec<Shape> {
    let mut shapes = vec![
        around("cookie", &["cookie"], r#"(?i)((?:set-)?cookie["']?[ \t]*:[ \t]*["']?)[^\r\n"']+"#, "$1", ""),
        Shape {
            literals: &[
                "PHPSESSID",
                "phpsessid",
                "JSESSIONID",
                "jsessionid",
                "ASPSESSIONID",
                "ASP.NET_SessionId",
                "connect.sid",
                "laravel_session",
                "_gitlab_session",
                "sessionid=",
            ],
            ..around(
                "cookie",
                &[],
                concat!(
                    r"((?:PHPSESSID|phpsessid|JSESSIONID|jsessionid|ASPSESSIONID[A-Z]*|ASP\.NET_SessionId|connect\.sid|",
                    r#"laravel_session|_gitlab_session|(?-u:\b)sessionid)\\?["']?[ \t]*[=:][ \t]*\\?["']?)[^\s;,&"'<>\\\[][^\s;,&"'<>\\]{7,}"#,
                ),
                "$1",
                "",
            )
        },
        // Schemes with several parameters, any of which may be the secret.
        Shape {
            also: &["="],
            ..around(
                "authorization",
                &["authorization"],
                concat!(
                    r#"(?i)(authorization\\?["']?[ \t]*[:=][ \t+]*\\?["']?)(?:digest|hawk|oauth|signature|aws4-[a-z0-9-]+)[ \t+]+"#,
                    r#"(?:[a-z0-9_-]+=(?:\\*"[^"\r\n\\]*\\*"|[^\s,"'\\]+)(?:[ \t+]*,[ \t+]*)?)+"#,
                ),
                "$1",
                "",
            )
        },
        // The scheme goes with it: nobody can tell which of two words is the secret.
        Shape {
            innocent: Some(innocent::scheme),
            ..around(
                "authorization",
                &["authorization"],
                r#"(?i)(authorization\\?["']?[ \t]*[:=][ \t]*\\?["']?)[^\s"'\\,\[][^\s"'\\,]*(?:[ \t]+[^\s"'\\,]+)?"#,
                "$1",
                "",
            )
        },
    ];
    shapes.extend(addresses());
    shapes.extend(assignments());
    shapes.extend(directives());
    shapes.extend(markup());
    shapes.extend(commands::arguments());
    shapes.extend(TOKENS.iter().map(|token| {
        // `_` is a letter of words to regular expressions, and what joins a token to a name: `token_…`.
        let pattern = token.pattern.strip_prefix(r"(?-u:\b)").map(|rest| format!(r"((?-u:\b)|_)(?:{rest})"));
        let joined = if pattern.is_some() { "$1" } else { "" };
        Shape {
            name: token.name,
            words: Vec::new(),
            literals: token.literals,
            also: &[],
            pattern: pattern.unwrap_or_else(|| token.pattern.to_owned()),
            replacement: format!("{joined}{REDACTED}"),
            innocent: None,
        }
    }));
    shapes.push(Shape {
        innocent: Some(innocent::bearer),
        ..around("bearer_token", &["bearer"], r"(?i)((?-u:\b)bearer[ \t]+)([a-z0-9._~+/-]{6,}=*)", "$1", "")
    });
    shapes
}

/// A secret between two groups that stay.
pub(super) fn around(name: &'static str, words: &[&'static str], pattern: &str, before: &str, after: &str) -> Shape {
    let replacement = format!("{before}{REDACTED}{after}");
    let (words, pattern) = (words.to_vec(), pattern.to_owned());
    Shape { name, words, literals: &[], also: &[], pattern, replacement, innocent: None }
}

/// Secrets within addresses.
fn addresses() -> Vec<Shape> {
    const NAME: &str = "connection_string";
    let at = |pattern: &str| Shape { literals: &["://"], ..around(NAME, &[], pattern, "$1://", "@") };
    vec![
        // Only a database's password is written with characters that end the host part of any other address.
        at(&format!(r#"(?i)((?:{STORES})(?:\+[a-z0-9]+)?)://[^\s"'<>]*@"#)),
        at(r#"(?i)([a-z][a-z0-9+.-]{0,15})://[^\s/?#"'<>]*:[^\s/?#"'<>]*@"#),
        at(r#"(?i)(https?)://[^\s/?#"'<>@]+@"#),
        // `;Password=a b;` of ADO and ODBC: only the semicolon ends it.
        Shape {
            innocent: Some(innocent::directory),
            ..around(
                NAME,
                &["password", "pwd"],
                r#"(?i)(;[ \t]*(?:password|pwd)[ \t]*=[ \t]*)([^\s;"'][^;"'\n]*)"#,
                "$1",
                "",
            )
        },
        // Whoever has a signed address has what it opens.
        around(
            "signed_url",
            &["sig=", "signature="],
            r#"(?i)([?&;](?:amp;)?(?:sig|signature|x-amz-signature|x-goog-signature)=)[a-z0-9%+/=_.~-]{16,}"#,
            "$1",
            "",
        ),
    ]
}
