//! The secrets that are known without being told: the shapes they have in text, and the names that fields give them. Each
//! replacement is written so that redacting twice changes nothing.

use super::redact::REDACTED;

/// Names the rules about secrets in command lines, which hold for argument lists too.
pub(super) const ARGUMENT: &str = "command_argument";
/// Names the rules about private keys, which hold for keys that were taken apart line by line too.
pub(super) const PRIVATE_KEY: &str = "private_key";

/// The fields that hold secrets, in structured values of any shape.
pub(super) const FIELDS: [&str; 36] = [
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
    "*.authorization",
    "*.proxy-authorization",
    "*.cookie",
    "*.set-cookie",
    "*.connection_string",
    "*.connectionstring",
];

/// What a name ends with that stands before a secret: `DB_PASSWORD=`, `apiKey: `, `"secret_access_key": `.
const NAME: &str = concat!(
    r"(?:password|passwd|passphrase|passcode|_pwd|secret|token|api[_-]?key|",
    r"(?:access|account|private|encryption|signing|auth|master|shared)[_-]?key)",
    r"(?:[_-]?(?:access[_-]?key|key|value|hash|[0-9]{1,3}))?",
);
/// What stands between the name and the secret. A colon belongs to it, so that a path such as `token::parse` is none.
const BETWEEN: &str = r#"[\\"'\]]{0,4}[ \t]*(?:(?::=|=>|={1,3})[ \t]*:{0,9}|:[ \t]+:{0,9}|:)"#;
/// The secret: in escaped quotes, in quotes, or up to the next blank.
const ASSIGNED: &str = r#"(?:(\\")(?:[^"\\]|\\[^"])*(\\")|(")(?:[^"\\\n]|\\.)*(")|(')(?:[^'\\\n]|\\.)*(')|[^\s:]\S*)"#;
/// A flag whose argument is a secret.
const FLAG: &str = concat!(
    r"--?(?:[a-z0-9]+[_-])*",
    r"(?:password|passwd|passphrase|passin|passout|pass|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key)",
);
/// The argument of a flag.
const ARGUED: &str = r#"(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s-]\S*)"#;

/// The whole of an argument such as `--password`.
pub(super) fn flag() -> String {
    format!("(?i)^{FLAG}$")
}

/// Name, pattern, replacement; in the order in which they are applied. A name may have several.
pub(super) fn patterns() -> Vec<(&'static str, String, String)> {
    let mut patterns = Vec::new();
    let mut add = |name, pattern: String, before: &str, after: &str| {
        patterns.push((name, pattern, format!("{before}{REDACTED}{after}")));
    };
    // With or without its end: a key that was cut off is still a key.
    add(
        PRIVATE_KEY,
        format!(r"-----BEGIN {KEY}-----[\s\S]*?(?:-----END {KEY}-----|\z)", KEY = "[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?"),
        "",
        "",
    );
    add("cookie", r#"(?i)((?:set-)?cookie["']?[ \t]*:[ \t]*["']?)[^\r\n"']+"#.to_owned(), "$1", "");
    // The scheme goes with it: nobody can tell which of two words is the secret.
    add(
        "authorization",
        r#"(?i)(authorization["']?[ \t]*[:=][ \t]*["']?)[^\s"',\[][^\s"',]*(?:[ \t]+[^\s"',]+)?"#.to_owned(),
        "$1",
        "",
    );
    // Only a database's password is written with characters that end the host part of any other address.
    let stores = "postgres|postgresql|mysql|mariadb|mongodb|redis|rediss|amqp|amqps|mssql|sqlserver|oracle|clickhouse|\
                  cassandra|ldap|ldaps|nats|kafka";
    add("connection_string", format!(r#"(?i)((?:{stores})(?:\+[a-z0-9]+)?)://[^\s"'<>]*@"#), "$1://", "@");
    add("connection_string", r#"(?i)([a-z][a-z0-9+.-]{0,15})://[^\s/?#"'<>]*:[^\s/?#"'<>]*@"#.to_owned(), "$1://", "@");
    add("connection_string", r#"(?i)(https?)://[^\s/?#"'<>@]+@"#.to_owned(), "$1://", "@");
    add("password_field", format!("(?i)({NAME}{BETWEEN}){ASSIGNED}"), "$1$2$4$6", "$3$5$7");
    add(ARGUMENT, format!(r#"(?im)((?:^|[\s"'(]){FLAG}[ \t]+){ARGUED}"#), "$1", "");
    let user = r#"(?:"[^"\n:]*:[^"\n]*"|'[^'\n:]*:[^'\n]*'|[^\s:"']*:\S+)"#;
    add(ARGUMENT, format!(r"((?-u:\b)curl(?:[ \t][^\n]*?)?[ \t](?:-u|-U|--user|--proxy-user)[ =]?){user}"), "$1", "");
    add(
        ARGUMENT,
        format!(r"((?-u:\b)(?:mysql|mysqldump|mysqladmin|mariadb)(?:[ \t][^\n]*?)?[ \t]-p){ARGUED}"),
        "$1",
        "",
    );
    add(ARGUMENT, format!(r"((?-u:\b)(?:sshpass[ \t]+-p|redis-cli(?:[ \t][^\n]*?)?[ \t]-a)[ \t]*){ARGUED}"), "$1", "");
    for (name, pattern) in TOKENS {
        add(name, pattern.to_owned(), "", "");
    }
    add(
        "bearer_token",
        r"(?i)((?-u:\b)bearer\s+)(?:[a-z0-9._~+/-]{16,}|[a-z._~+/-]*[0-9][a-z0-9._~+/-]{5,})=*".to_owned(),
        "$1",
        "",
    );
    patterns
}

/// Secrets that are known by their own form.
const TOKENS: [(&str, &str); 16] = [
    ("jwt", r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*){1,3}"),
    ("aws_key", r"(?-u:\b)(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?-u:\b)"),
    ("github_token", r"(?-u:\b)(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,})"),
    ("gitlab_token", r"(?-u:\b)gl(?:pat|dt|rt|ptt|ft|soat)-[A-Za-z0-9_.-]{20,}"),
    ("npm_token", r"(?-u:\b)npm_[A-Za-z0-9]{30,}"),
    ("pypi_token", r"(?-u:\b)pypi-[A-Za-z0-9_-]{40,}"),
    ("slack_token", r"(?-u:\b)(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}"),
    ("slack_webhook", r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]+"),
    ("google_key", r"(?-u:\b)(?:AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9_-]{20,})"),
    ("stripe_key", r"(?-u:\b)(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{20,}"),
    ("model_key", r"(?-u:\b)sk-[A-Za-z0-9][A-Za-z0-9_-]{30,}"),
    ("vault_token", r"(?-u:\b)hv[sbr]\.[A-Za-z0-9_-]{20,}"),
    ("huggingface_token", r"(?-u:\b)hf_[A-Za-z0-9]{30,}"),
    ("digitalocean_token", r"(?-u:\b)do[opr]_v1_[a-f0-9]{64}"),
    ("age_key", r"(?-u:\b)AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
    // As crypt(3) writes them, in /etc/shadow among others.
    ("password_hash", r"\$(?:1|2[abxy]?|5|6|7|y|gy|argon2id?)\$[A-Za-z0-9./$=,+-]{20,}"),
];
