//! The secrets that are known without being told: the names that fields give them, and the text around them. Each
//! replacement is written so that redacting twice changes nothing.

use regex::Captures;

use super::redact::REDACTED;
use super::tokens::TOKENS;
use super::{commands, innocent};

/// Names the rules about secrets in command lines, which hold for argument lists too.
pub(super) const ARGUMENT: &str = "command_argument";
/// Names the rules about private keys, which hold for keys that were taken apart line by line too.
pub(super) const PRIVATE_KEY: &str = "private_key";
/// Names the rules about user and password that were joined and encoded in base64.
pub(super) const BASIC: &str = "basic_credentials";

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
    /// Of these, in any case, the text holds one.
    pub(super) words: &'static [&'static str],
    /// Or of these, in this case.
    pub(super) literals: &'static [&'static str],
    pub(super) pattern: String,
    pub(super) replacement: String,
    /// What has the form and is no secret.
    pub(super) innocent: Option<fn(&str, &Captures<'_>) -> bool>,
}

/// What a name ends with that stands before a secret: `DB_PASSWORD=`, `apiKey: `, `"secret_access_key": `. `key` alone is
/// none: hosts are full of `key: value`.
const NAME: &str = concat!(
    r"(?:password|passwd|passphrase|passcode|requirepass|_pwd|secret|token|api[_-]?key|",
    r"(?:access|account|private|preshared|encryption|signing|auth|master|shared|app|application)[_-]?key)",
    r"(?:[_-]?(?:access[_-]?key|key(?:[_-]?base)?|value|hash|[0-9]{1,3}))?",
);
/// Names that are as short as many other words: the whole of a name or its last part, `DB_PASS=` and `dbPass: `.
const SHORT_NAME: &str = r"(?:(?:(?-u:\b)|_)(?:pass|pwd|pw)|(?-i:[a-z](?:Pass|Pwd)))";
/// Functions that are given a name and a value.
const SETTER: &str = "define|setenv|putenv|getenv|setdefault|setproperty|(?:add|set)_?(?:request_?)?header|append|\
                      setenvironmentvariable|env";
/// What is in quotes of any kind.
const QUOTED: &str = r#"(?:"(?:[^"\\\n]|\\.)+"|'(?:[^'\\\n]|\\.|'')+'|\\+"[^"\n]+?\\+"|\\+'[^'\n]+?\\+')"#;
/// Letters of which every such name holds some.
const NAME_WORDS: &[&str] = &["pass", "pwd", "secr", "oken", "key"];
/// What stands between the name and the secret. A colon belongs to it, so that a path such as `token::parse` is none.
const BETWEEN: &str = r#"(?:[\\"'\]]|&quot;|&#3[49];){0,16}[ \t]*(?:(?::=|=>|={1,3})[ \t]*:{0,9}|:[ \t]+:{0,9}|:)"#;
/// The secret: in quotes that are escaped once, in any escaped quotes, in quotes, or up to the next blank.
const ASSIGNED: &str = concat!(
    r#"(?:(\\")(?:[^"\\\n]|\\\\(?:\\["\\]|[^"\\\n]))*(\\")|(\\+")[^"\n]*?(\\+")|(")(?:[^"\\\n]|\\.)*(")|"#,
    r#"(')(?:[^'\\\n]|\\.)*(')|(&quot;|&#3[49];)[^"\n]*?(&quot;|&#3[49];)|[^\s:]\S*)"#,
);
/// Schemes of addresses whose user and password may hold any character.
const STORES: &str = "postgres|postgresql|mysql|mariadb|mongodb|redis|rediss|amqp|amqps|mssql|sqlserver|oracle|clickhouse|\
                      cassandra|ldap|ldaps|nats|kafka|smb|cifs|ftp|ftps|sftp";

/// Secrets that may go over several lines: name, a literal that the text holds, pattern. The first group stays.
pub(super) fn spanning() -> Vec<(&'static str, &'static str, String)> {
    let machine = r"(?:(?-u:\b)machine[ \t]+\S+|(?-u:\b)default)\s+(?:(?:login|account)\s+\S+\s+){1,2}password\s+";
    let body = r"(Private-Lines: [0-9]+\r?\n)(?:[A-Za-z0-9+/=]+\r?(?:\n|\z))+";
    // netrc(5); the format of PuTTY.
    vec![("netrc", "login", format!(r"({machine})\S+")), (PRIVATE_KEY, "Private-Lines:", body.to_owned())]
}

/// In the order in which they are applied.
pub(super) fn shapes() -> Vec<Shape> {
    let mut shapes = vec![
        around("cookie", &["ooki"], r#"(?i)((?:set-)?cookie["']?[ \t]*:[ \t]*["']?)[^\r\n"']+"#, "$1", ""),
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
            ],
            ..around(
                "cookie",
                &[],
                concat!(
                    r"((?:PHPSESSID|phpsessid|JSESSIONID|jsessionid|ASPSESSIONID[A-Z]*|ASP\.NET_SessionId|connect\.sid|",
                    r#"laravel_session)\\?["']?[ \t]*[=:][ \t]*\\?["']?)[^\s;,&"'<>\\\[][^\s;,&"'<>\\]{7,}"#,
                ),
                "$1",
                "",
            )
        },
        // The scheme goes with it: nobody can tell which of two words is the secret.
        around(
            "authorization",
            &["utho"],
            r#"(?i)(authorization\\?["']?[ \t]*[:=][ \t]*\\?["']?)[^\s"'\\,\[][^\s"'\\,]*(?:[ \t]+[^\s"'\\,]+)?"#,
            "$1",
            "",
        ),
    ];
    shapes.extend(addresses());
    shapes.extend(assignments());
    shapes.extend(commands::arguments());
    shapes.extend(TOKENS.iter().map(|token| {
        // `_` is a letter of words to regular expressions, and what joins a token to a name: `token_…`.
        let pattern = token.pattern.strip_prefix(r"(?-u:\b)").map(|rest| format!(r"((?-u:\b)|_)(?:{rest})"));
        let joined = if pattern.is_some() { "$1" } else { "" };
        Shape {
            name: token.name,
            words: &[],
            literals: token.literals,
            pattern: pattern.unwrap_or_else(|| token.pattern.to_owned()),
            replacement: format!("{joined}{REDACTED}"),
            innocent: None,
        }
    }));
    shapes.push(Shape {
        innocent: Some(innocent::bearer),
        ..around("bearer_token", &["eare"], r"(?i)((?-u:\b)bearer[ \t]+)([a-z0-9._~+/-]{6,}=*)", "$1", "")
    });
    shapes
}

/// A secret between two groups that stay.
pub(super) fn around(
    name: &'static str,
    words: &'static [&'static str],
    pattern: &str,
    before: &str,
    after: &str,
) -> Shape {
    let replacement = format!("{before}{REDACTED}{after}");
    Shape { name, words, literals: &[], pattern: pattern.to_owned(), replacement, innocent: None }
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
                &["pass", "pwd"],
                r#"(?i)(;[ \t]*(?:password|pwd)[ \t]*=[ \t]*)([^\s;"'][^;"'\n]*)"#,
                "$1",
                "",
            )
        },
        // Whoever has a signed address has what it opens.
        around(
            "signed_url",
            &["sig"],
            r#"(?i)([?&;](?:amp;)?(?:sig|signature|x-amz-signature|x-goog-signature)=)[a-z0-9%+/=_.~-]{16,}"#,
            "$1",
            "",
        ),
    ]
}

/// A name, a sign and a secret.
fn assignments() -> Vec<Shape> {
    const FIELD: &str = "password_field";
    let assigned = |pattern: &str, after| Shape {
        innocent: Some(innocent::assignment),
        ..around(FIELD, NAME_WORDS, pattern, "$1$3$5$7$9$11", after)
    };
    let quoted =
        |words, pattern: String| Shape { innocent: Some(innocent::quoted), ..around(FIELD, words, &pattern, "$1", "") };
    vec![
        assigned(&format!("(?i)(({NAME}){BETWEEN}){ASSIGNED}"), "$4$6$8$10$12"),
        Shape {
            words: &["pass", "pw"],
            innocent: Some(innocent::short_name),
            ..assigned(&format!("(?i)(({SHORT_NAME}){BETWEEN}){ASSIGNED}"), "$4$6$8$10$12")
        },
        // SQL, and what servers say of logins.
        quoted(
            &["iden", "pass"],
            format!(
                r"(?i)((?:(?-u:\b)identified(?:[ \t]+with[ \t]+\S+)?[ \t]+(?:by|as)(?:[ \t]+(?:password|values))?|(?:password|passphrase)(?:[ \t]+is)?)[ \t]+|(?-u:\b)(?-i:PASSWORD)[ \t]*\([ \t]*)({QUOTED})"
            ),
        ),
        around(
            FIELD,
            &["iden"],
            r#"(?i)((?:create|alter)[ \t]+user[ \t][^\n]*?identified[ \t]+by[ \t]+(?:(?:password|values)[ \t]+)?)[^\s;'"\\]+"#,
            "$1",
            "",
        ),
        quoted(
            &["pass", "pw", "secr", "oken", "key"],
            format!(
                r#"(?i)((?-u:\b)(?:{SETTER})[ \t]*\([ \t]*\\*["'][^"'\n]{{0,64}}?(?:{NAME}|{SHORT_NAME})\\*["'][ \t]*,[ \t]*)({QUOTED})"#
            ),
        ),
        // A table of two columns.
        Shape {
            innocent: Some(innocent::column),
            ..around(FIELD, NAME_WORDS, &format!(r#"(?i)((?:{NAME})["']?\t+["']?)([^\s"'\[]+)"#), "$1", "")
        },
        // A line of .pgpass: host, port, database, user, password.
        Shape {
            literals: &[":543", ":6432:", ":*:"],
            ..around(
                FIELD,
                &[],
                concat!(
                    r#"(?m)((?:^|[\s"'=])[A-Za-z0-9_.*/-]+:(?:543[0-9]|6432|\*):[^:\s"']+:[^:\s"']+:)"#,
                    r#"(?:[^:\\\s"']|\\[:\\])+($|[\s"'\\])"#,
                ),
                "$1",
                "$2",
            )
        },
        // `Pwd=` of connection strings; the shell's PWD is a path.
        Shape {
            innocent: Some(innocent::directory),
            ..around(FIELD, &["pwd"], r#"(?i)((?:^|[\s;"',&?])pwd[ \t]*=[ \t]*)([^\s;"',&]+)"#, "$1", "")
        },
        around(
            FIELD,
            &["pass", "pw", "secr", "oken", "key"],
            &format!(r"(?i)(<(?:[a-z0-9:_.-]{{0,64}}?(?:{NAME}|{SHORT_NAME}))>)[^<\n]+<"),
            "$1",
            "<",
        ),
        around(
            "wireless_key",
            &["psk"],
            r#"(?i)((?:^|[\s,;{"'])(?:wpa-)?psk["']?[ \t]*[=:][ \t]*)(?:"[^"\n]*"|[^\s"',;]{8,})"#,
            "$1",
            "",
        ),
        around("snmp_community", &["ommunity"], r"(?i)((?-u:\b)r[ow]community6?[ \t]+)\S+", "$1", ""),
        // The private parts of a JSON Web Key.
        Shape {
            innocent: Some(innocent::not_key),
            literals: &["kty"],
            ..around(PRIVATE_KEY, &[], r#"(\\?"(?:d|k|p|q|dp|dq|qi)\\?"[ \t]*:[ \t]*\\?")[A-Za-z0-9_-]{20,}"#, "$1", "")
        },
        // User and password in base64: `"auth": "…"` of Docker, `_auth=…` of npm, `Basic …` of HTTP.
        Shape {
            innocent: Some(innocent::not_basic),
            literals: &["\"auth", "_auth", "asic "],
            ..around(
                BASIC,
                &[],
                r#"((?:\\?"auth\\?"[ \t]*:[ \t]*\\?"|_auth[ \t]*=[ \t]*"?|(?-u:\b)[Bb]asic[ \t]+))([A-Za-z0-9+/_-]{6,}={0,2})"#,
                "$1",
                "",
            )
        },
        // A line of an NTLM dump: user, number, LM hash, NT hash.
        Shape {
            literals: &[":::"],
            ..around("password_hash", &[], r"(?i)(:[0-9]+:)[a-f0-9]{32}:[a-f0-9]{32}(:::)", "$1", "$2")
        },
    ]
}
