//! What is taken out and what is left alone. Secrets are put together here, so that no file of this project holds the form
//! of one.

use std::sync::LazyLock;

use serde_json::json;

use super::super::walk::DEEPEST;
use super::super::{FieldPattern, Pattern};
use super::*;

static BUILTIN: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(&RedactionSection::default()).unwrap());

pub(super) fn builtin() -> &'static Redactor {
    &BUILTIN
}

pub(super) fn clean(text: &str) -> (String, Vec<String>) {
    let mut value = Value::from(text);
    let told = builtin().redact(&mut value, None);
    (value.as_str().unwrap().to_owned(), told.into_iter().map(|redacted| redacted.by).collect())
}

fn with(patterns: &[(&str, &str, &str)], fields: &[&str], without: &[&str]) -> Result<Redactor, Failure> {
    Redactor::new(&RedactionSection {
        enabled: true,
        patterns: patterns
            .iter()
            .map(|(name, pattern, replacement)| Pattern {
                name: (*name).to_owned(),
                pattern: (*pattern).to_owned(),
                replacement: (*replacement).to_owned(),
            })
            .collect(),
        fields: fields.iter().map(|field| FieldPattern((*field).to_owned())).collect(),
        without: without.iter().map(|name| (*name).to_owned()).collect(),
    })
}

fn pem(kind: &str) -> String {
    format!("-----BEGIN {kind}-----\nMIIEvQ+IBADANBg/==\nabcd\n-----END {kind}-----")
}

#[test]
fn assignments_keep_their_key_and_lose_their_value() {
    for (text, wanted) in [
        ("password=hunter2", "password=[REDACTED]"),
        ("PASSWORD: hunter2 next", "PASSWORD: [REDACTED] next"),
        ("DB_PASSWORD = \"hun ter\\\"2\" next", "DB_PASSWORD = \"[REDACTED]\" next"),
        ("{\"password\":\"hunter2\",\"user\":\"bob\"}", "{\"password\":\"[REDACTED]\",\"user\":\"bob\"}"),
        ("{\\\"passwd\\\":\\\"hunter2\\\",\\\"a\\\":1}", "{\\\"passwd\\\":\\\"[REDACTED]\\\",\\\"a\\\":1}"),
        (r#"{\"passwd\":\"hun\\\"ter 2\",\"a\":1}"#, r#"{\"passwd\":\"[REDACTED]\",\"a\":1}"#),
        ("config['secret'] = 'hun ter'", "config['secret'] = '[REDACTED]'"),
        ("apiKey: a1b2", "apiKey: [REDACTED]"),
        ("api-key=a1b2&x", "api-key=[REDACTED]"),
        ("aws_secret_access_key = abc/def", "aws_secret_access_key = [REDACTED]"),
        ("MYSQL_PWD=abc", "MYSQL_PWD=[REDACTED]"),
        ("AccountKey=abc==;End", "AccountKey=[REDACTED]"),
        ("token => abc", "token => [REDACTED]"),
        ("password=:abc", "password=:[REDACTED]"),
        ("password=\"open", "password=[REDACTED]"),
        ("secret_2: ünï", "secret_2: [REDACTED]"),
    ] {
        assert_eq!(clean(text), (wanted.to_owned(), vec!["password_field".to_owned()]), "{text}");
    }
}

#[test]
fn headers_addresses_and_command_lines_lose_their_secrets() {
    for (text, wanted) in [
        ("Authorization: Bearer abc", "Authorization: [REDACTED]"),
        ("-H 'authorization: Basic dXNlcjpwdw==' -v", "-H 'authorization: [REDACTED]' -v"),
        ("Cookie: a=b; c=d\nHost: x", "Cookie: [REDACTED]\nHost: x"),
        ("sent bearer abcdefghijklmnopqrst to", "sent bearer [REDACTED] to"),
        ("Bearer abc123def", "Bearer [REDACTED]"),
        ("postgres://bob:p@ss/w0rd@db:5432/x", "postgres://[REDACTED]@db:5432/x"),
        ("redis://:pw@cache", "redis://[REDACTED]@cache"),
        ("mongodb+srv://u:p@h1", "mongodb+srv://[REDACTED]@h1"),
        ("clone https://x-access:abc@git.example/a.git", "clone https://[REDACTED]@git.example/a.git"),
        ("https://abcdef@sentry.example/1", "https://[REDACTED]@sentry.example/1"),
        ("tool --password hunter2 --host x", "tool --password [REDACTED] --host x"),
        ("tool --db-password=hunter2 x", "tool --db-password=[REDACTED] x"),
        ("tool --token 'a b' x", "tool --token [REDACTED] x"),
        ("openssl rsa -passin pass:abc", "openssl rsa -passin [REDACTED]"),
        ("curl -s -u bob:pw https://x", "curl -s -u [REDACTED] https://x"),
        ("mysql -u root -phunter2 db", "mysql -u root -p[REDACTED] db"),
        ("mysqldump -phunter2 db", "mysqldump -p[REDACTED] db"),
        ("redis-cli -a hunter2 ping", "redis-cli -a [REDACTED] ping"),
        ("sshpass -p hunter2 ssh x", "sshpass -p [REDACTED] ssh x"),
        ("root:$6$abcdefgh$0123456789abcdef./:19000:", "root:[REDACTED]:19000:"),
    ] {
        assert_eq!(clean(text).0, wanted, "{text}");
    }
}

#[test]
fn known_tokens_are_taken_out_wherever_they_stand() {
    let long = "a1B2c3D4e5F6g7H8".repeat(4);
    let upper = "A1B2C3D4E5F6G7H8";
    for (name, secret) in [
        ("aws_key", format!("AKIA{upper}")),
        ("aws_key", format!("ASIA{upper}")),
        ("github_token", format!("ghp_{long}")),
        ("github_token", format!("github_pat_{long}")),
        ("gitlab_token", format!("glpat-{long}")),
        ("npm_token", format!("npm_{}", "a1B2".repeat(9))),
        ("pypi_token", format!("pypi-{long}")),
        ("slack_token", format!("xoxb-{long}")),
        ("slack_webhook", format!("https://hooks.slack.com/services/T0/B0/{long}")),
        ("google_key", format!("AIza{}", "a1B2C".repeat(7))),
        ("stripe_key", format!("sk_live_{long}")),
        ("model_key", format!("sk-{long}")),
        ("vault_token", format!("hvs.{long}")),
        ("jwt", format!("eyJ{long}.eyJ{long}.{long}")),
        ("private_key", pem("PRIVATE KEY")),
        ("private_key", pem("RSA PRIVATE KEY")),
        ("private_key", pem("OPENSSH PRIVATE KEY").replace("\n-----END OPENSSH PRIVATE KEY-----", "")),
    ] {
        assert_eq!(clean(&secret), ("[REDACTED]".to_owned(), vec![name.to_owned()]));
        let (text, _) = clean(&format!("it is \"{secret}\", or so"));
        assert!(!text.contains(&secret) && text.starts_with("it is \"[REDACTED]"), "{name}: {text}");
    }
}

#[test]
fn innocent_text_is_left_alone() {
    for text in [
        "",
        "Failed password for root from 10.0.0.1 port 22 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0",
        "PWD=/root OLDPWD=/var/log HOME=/root",
        "max_tokens: 4096, tokens=12, token_type=bearer",
        "doorward::secret::hex and crate::token::parse",
        "the bearer of this letter; bearer authentication; Bearer token required",
        "Basic information about the password policy is in docs/passwords.md",
        "https://example.org:8443/path?x=1#y and ssh://git@example.org/a.git",
        "mail bob@example.org, or see http://example.org/@bob",
        "secretary: none; the secret is out; keyboard: us",
        "/usr/sbin/mysqld --port=3306 --datadir=/var/lib/mysql",
        "mysql --protocol=tcp --port 3306 -h a-proxy db; curl --unix-socket a:b http://x",
        "multi-token input and a non-secret value",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
        "MemTotal: 16316412 kB\nkey: value\nprimary key (id)",
        "task-runner sk-learn eyJ npm_config_cache AKIA",
        "cost: $1$2 and $15",
        "password_file=/run/secrets/db",
        "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz",
        "/dev/mapper/vg-root / ext4 rw,relatime 0 0",
    ] {
        assert_eq!(clean(text), (text.to_owned(), vec![]));
    }
}

#[test]
fn fields_are_taken_out_by_name_whatever_they_hold() {
    let mut value = json!({
        "password": "a", "Nested": [{"API_KEY": 7, "user": "bob"}], "spring.datasource.password": "b",
        "token": {"deep": "c"}, "dbPassword": "d", "list_token": ["e"],
        "env": [{"name": "DB_PASSWORD", "value": "f"}, {"name": "LANG", "value": "C"}],
        "secret": null, "requires_password": true, "clientSecret": "", "tokens": 5
    });
    let told = builtin().redact(&mut value, None);
    assert_eq!(
        value,
        json!({
            "password": REDACTED, "Nested": [{"API_KEY": REDACTED, "user": "bob"}], "spring.datasource.password": REDACTED,
            "token": REDACTED, "dbPassword": REDACTED, "list_token": REDACTED,
            "env": [{"name": "DB_PASSWORD", "value": REDACTED}, {"name": "LANG", "value": "C"}],
            "secret": null, "requires_password": true, "clientSecret": "", "tokens": 5
        })
    );
    assert_eq!(told.iter().map(|redacted| redacted.count).sum::<u64>(), 7);
    assert!(
        told.contains(&Redacted {
            by: "*.*password".to_owned(),
            field: "spring.datasource.password".to_owned(),
            count: 1
        }),
        "{told:?}"
    );
}

#[test]
fn an_argument_list_is_read_as_a_command_line() {
    let mut value = json!({"argv": ["mysql", "--password", "hunter2", "--token", "--verbose", "x"]});
    builtin().redact(&mut value, None);
    assert_eq!(value["argv"], json!(["mysql", "--password", REDACTED, "--token", "--verbose", "x"]));
    let mut value = json!(["--private-key", "/etc/ssl/a.pem", "--private-key", "abcdef", "--masterauth", "b"]);
    builtin().redact(&mut value, None);
    assert_eq!(value, json!(["--private-key", "/etc/ssl/a.pem", "--private-key", REDACTED, "--masterauth", REDACTED]));
}

#[test]
fn a_private_key_that_comes_line_by_line_is_taken_out() {
    let lines: Vec<_> = pem("RSA PRIVATE KEY").lines().map(|line| json!({"message": line})).collect();
    let mut value = json!({"log": lines, "after": "root"});
    builtin().redact(&mut value, None);
    let text = value["log"].to_string();
    assert!(!text.contains("MII") && !text.contains("abcd"), "{text}");
    let mut value = json!(["-----BEGIN CERTIFICATE-----", "MIIB", "root"]);
    builtin().redact(&mut value, None);
    assert_eq!(value, json!(["-----BEGIN CERTIFICATE-----", "MIIB", "root"]));
}

#[test]
fn given_patterns_come_first_and_what_is_built_in_stays_unless_it_is_left_out() {
    let given: &[(&str, &str, &str)] =
        &[("aws_key", "(?i)(AKIA[0-9A-Z]{16})", "[REDACTED:AWS_KEY]"), ("employee", r"E-\d{6}", "[EMPLOYEE]")];
    let key = "A1B2C3D4E5F6G7H8";
    let text = format!("password: abcd E-123456 AKIA{key} ASIA{key}");
    let redactor = with(given, &["env.AWS_*"], &[]).unwrap();
    let mut value = json!({"text": text, "env": {"AWS_REGION": "eu"}});
    let told = redactor.redact(&mut value, None);
    assert_eq!(value["text"], "password: [REDACTED] [EMPLOYEE] [REDACTED:AWS_KEY] [REDACTED]");
    assert_eq!(value["env"]["AWS_REGION"], REDACTED);
    let told: Vec<_> = told.iter().map(|told| (told.by.as_str(), told.field.as_str(), told.count)).collect();
    let fields = [("*.env.AWS_*", "env.AWS_REGION", 1), ("aws_key", "text", 2), ("employee", "text", 1)];
    assert_eq!(told, [fields.as_slice(), &[("password_field", "text", 1)]].concat());

    let redactor = with(given, &[], &["password_field", "*.env.AWS_*"]).unwrap();
    let mut value = json!({"text": text, "env": {"AWS_REGION": "eu"}});
    redactor.redact(&mut value, None);
    assert_eq!(value["text"], "password: abcd [EMPLOYEE] [REDACTED:AWS_KEY] [REDACTED]");
    assert_eq!(value["env"]["AWS_REGION"], "eu");
    for name in Redactor::builtin_names() {
        assert!(with(&[], &[], &[name]).is_ok(), "{name}");
    }
    assert!(with(&[], &[], &["passwort"]).err().unwrap().public().contains("redaction.without: `passwort`"));
}

#[test]
fn a_given_pattern_goes_over_lines_and_over_the_items_of_a_list() {
    let redactor = with(&[("ticket", r"BEGIN TICKET\n[\s\S]*?\nEND TICKET", "[TICKET]")], &[], &[]).unwrap();
    let mut value = json!({
        "text": "a\nBEGIN TICKET\nx\nEND TICKET\nb",
        "log": [{"m": "a", "n": 1}, {"m": "BEGIN TICKET"}, {"m": "x"}, {"m": "END TICKET"}, {"m": "b"}],
    });
    let told = redactor.redact(&mut value, None);
    assert_eq!(value["text"], "a\n[TICKET]\nb");
    assert_eq!(
        value["log"],
        json!([{"m": "a", "n": 1}, {"m": "[TICKET]"}, {"m": REDACTED}, {"m": REDACTED}, {"m": "b"}])
    );
    assert_eq!(told.len(), 2);
}

#[test]
fn a_wrong_pattern_is_named() {
    for (name, pattern) in [("lookahead", "(?=x)"), ("open", "("), ("huge", r"\w{1000}{1000}"), ("empty", "x*")] {
        let failure = with(&[(name, pattern, "")], &[], &[]).err().unwrap();
        assert!(failure.code() == Code::Config && failure.public().contains(name), "{failure}");
    }
    assert!(with(&[("a", "x", ""), ("a", "y", "")], &[], &[]).is_err());
    assert!(with(&[("", "x", "")], &[], &[]).is_err());
    assert!(with(&[("long", &"x".repeat(5000), "")], &[], &[]).is_err());
    assert!(with(&[], &["*"], &[]).is_err());
}

#[test]
fn switched_off_it_changes_nothing() {
    let redactor = Redactor::new(&RedactionSection { enabled: false, ..RedactionSection::default() }).unwrap();
    let mut value = json!({"password": "a"});
    assert_eq!(redactor.redact(&mut value, None), []);
    assert_eq!(value, json!({"password": "a"}));
}

#[test]
fn what_is_nested_too_deeply_is_taken_out() {
    let mut value = Value::from("password=a");
    for _ in 0..DEEPEST * 2 {
        value = json!([value]);
    }
    let told = builtin().redact(&mut value, None);
    assert_eq!(told, [Redacted { by: "depth".to_owned(), field: String::new(), count: 1 }]);
}

#[test]
fn the_built_in_rules_are_compiled_once() {
    let pattern = Pattern { name: "jwt".to_owned(), pattern: "x+".to_owned(), replacement: "y".to_owned() };
    let section = RedactionSection { patterns: vec![pattern], ..RedactionSection::default() };
    assert!(std::ptr::eq(builtin().builtin, Redactor::new(&section).unwrap().builtin));
}
