//! A name, a sign and a secret, in the notations of files, shells, languages and databases.

use super::builtin::{BASIC, PRIVATE_KEY, Shape, around};
use super::innocent;
use super::names::{NAME, NAME_WORDS, QUOTED, SHORT_NAME, SHORT_WORDS, all_words};

/// Functions that are given a name and a value.
const SETTER: &str = "define|setenv|putenv|getenv|setdefault|setproperty|(?:add|set)_?(?:request_?)?header|append|\
                      setenvironmentvariable|env";
/// What stands between the name and the secret. A colon belongs to it, so that a path such as `token::parse` is none.
const BETWEEN: &str = r#"(?:[\\"'\]]|&quot;|&#3[49];){0,16}[ \t]*(?:(?::=|=>|={1,3})[ \t]*:{0,9}|:[ \t]+:{0,9}|:)"#;
/// The secret: in quotes that are escaped once, in any escaped quotes, in quotes, or up to the next blank.
const ASSIGNED: &str = concat!(
    r#"(?:(\\")(?:[^"\\\n]|\\\\(?:\\["\\]|[^"\\\n]))*(\\")|(\\+")[^"\n]*?(\\+")|(")(?:[^"\\\n]|\\.)*(")|"#,
    r#"(')(?:[^'\\\n]|\\.)*(')|(&quot;|&#3[49];)[^"\n]*?(&quot;|&#3[49];)|[^\s:]\S*)"#,
);
/// Names the rules about what is assigned to a name.
pub(super) const FIELD: &str = "password_field";

/// A name, a sign and a secret.
pub(super) fn assignments() -> Vec<Shape> {
    let any = format!("(?:{NAME}|{SHORT_NAME})");
    let all: Vec<&'static str> = all_words();
    let assigned = |words: &[&'static str], pattern: &str, after| Shape {
        innocent: Some(innocent::assignment),
        also: &["=", ":"],
        ..around(FIELD, words, pattern, "$1$3$5$7$9$11", after)
    };
    let quoted = |words: &[&'static str], pattern: String| Shape {
        innocent: Some(innocent::quoted),
        also: &["\"", "'", "$"],
        ..around(FIELD, words, &pattern, "$1", "")
    };
    vec![
        assigned(NAME_WORDS, &format!("(?i)(({NAME}){BETWEEN}){ASSIGNED}"), "$4$6$8$10$12"),
        Shape {
            innocent: Some(innocent::short_name),
            ..assigned(SHORT_WORDS, &format!("(?i)(({SHORT_NAME}){BETWEEN}){ASSIGNED}"), "$4$6$8$10$12")
        },
        // With a type between: `apiKey: String = "…"`. In three quotes: TOML, Python.
        quoted(
            &all,
            format!(r"(?i)({any}\??[ \t]*:[ \t]*&?(?:'static[ \t]+)?(?:string|str)\??[ \t]*=[ \t]*)({QUOTED})"),
        ),
        Shape { also: &["\"\"\"", "'''"], ..quoted(&all, format!(r#"(?i)({any}{BETWEEN}(?:"""|'''))([^"'\n]+)"#)) },
        // More words of what a file of settings has behind `name = `, of which the first is gone.
        Shape {
            also: &["= [REDACTED] ", "=\t[REDACTED] "],
            ..around(
                FIELD,
                &all,
                &format!(
                    r#"(?im)^([ \t]*[a-z0-9_.-]{{0,40}}?{any}[ \t]+=[ \t]+)\[REDACTED\](?:[ \t]+[^\s="':;,#(){{}}\[\]&|<>$]+)+[ \t]*$"#
                ),
                "$1",
                "",
            )
        },
        // SQL, and what servers say of logins.
        quoted(
            &["identified", "password", "passphrase"],
            format!(
                r"(?i)((?:(?-u:\b)identified(?:[ \t]+with[ \t]+\S+)?[ \t]+(?:by|as)(?:[ \t]+(?:password|values))?|(?:password|passphrase)(?:[ \t]+is)?)[ \t]+|(?-u:\b)(?-i:PASSWORD)[ \t]*\([ \t]*)({QUOTED})"
            ),
        ),
        quoted(&["password"], r"(?i)((?-u:\b)(?-i:PASSWORD)[ \t]+)(\$[a-z_]*\$[^$\n]+\$[a-z_]*\$)".to_owned()),
        around(
            FIELD,
            &["identified"],
            r#"(?i)((?:create|alter)[ \t]+user[ \t][^\n]*?identified[ \t]+by[ \t]+(?:(?:password|values)[ \t]+)?)[^\s;'"\\]+"#,
            "$1",
            "",
        ),
        Shape {
            also: &["("],
            ..quoted(
                &all,
                format!(
                    r#"(?i)((?-u:\b)(?:{SETTER})[ \t]*\([ \t]*\\*["'][^"'\n]{{0,64}}?{any}\\*["'][ \t]*,[ \t]*)({QUOTED})"#
                ),
            )
        },
        // A table of two columns.
        Shape {
            innocent: Some(innocent::column),
            also: &["\t"],
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
            "wireless_key",
            &["psk"],
            r#"(?i)((?:^|[\s,;{"'=?&])(?:wpa-)?psk["']?[ \t]*[=:][ \t]*)(?:"[^"\n]*"|[^\s"',;]{8,})"#,
            "$1",
            "",
        ),
        around("wireless_key", &["wep_key"], r"(?i)((?-u:\b)wep_key[0-3][ \t]*=[ \t]*)\S+", "$1", ""),
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
        // A line of shadow(5) with a hash of DES.
        Shape {
            literals: &[":99999:", ":::"],
            ..around(
                "password_hash",
                &[],
                r#"(?m)((?:^|[\s"'=])[a-z_][a-z0-9_.-]*:)[A-Za-z0-9./]{13}(:[0-9]{4,6}:[0-9]*:[0-9]*:[0-9]*:)"#,
                "$1",
                "$2",
            )
        },
        // A line of an NTLM dump: user, number, LM hash, NT hash.
        Shape {
            literals: &[":::"],
            ..around("password_hash", &[], r"(?i)(:[0-9]+:)[a-f0-9]{32}:[a-f0-9]{32}(:::)", "$1", "$2")
        },
    ]
}
