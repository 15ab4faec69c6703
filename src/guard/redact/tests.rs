//! What is taken out, what is left alone, and that it holds for any value. Secrets are put together here, so that no file
//! of this project holds the form of one.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::super::walk::DEEPEST;
use super::super::{FieldPattern, Pattern};
use super::*;
use crate::clock::thread_time;

static BUILTIN: LazyLock<Redactor> = LazyLock::new(|| Redactor::new(&RedactionSection::default()).unwrap());

fn builtin() -> &'static Redactor {
    &BUILTIN
}

fn clean(text: &str) -> (String, Vec<String>) {
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

/// Any value, its texts and keys with a taste for secrets.
fn values() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        4 => "[ -~]{0,12}",
        1 => any::<String>(),
        2 => proptest::sample::select(vec![
            "password", "token", "secret=", "Authorization: ", "Bearer ", "://", "@", "\"", "'", "\\\"", ":", "=", " ", "\n",
            "https", "postgres", "--password ", "curl -u ", concat!("-----BEGIN PRIV", "ATE KEY-----"), concat!("-----END PRIV", "ATE KEY-----"),
            "eyJhbGciOiJI.eyJzdWIi.abc", "Cookie: ", "[REDACTED]", "api_key", "$6$", "value", "name", "pass", "_pwd", "pw=", "&quot;",
            "IDENTIFIED BY '", "PASSWORD('", "<Secret>", "define('", "PHPSESSID=", "h:5432:a:b:", "ldapsearch -w ", "\t", "none,",
        ]).prop_map(str::to_owned),
    ];
    let text = proptest::collection::vec(word, 0..6).prop_map(|words| words.concat());
    let leaf = prop_oneof![
        5 => text.clone().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn redacting_twice_changes_nothing_more(value in values()) {
        let redactor = builtin();
        let mut once = value;
        redactor.redact(&mut once, None);
        let mut twice = once.clone();
        let told = redactor.redact(&mut twice, None);
        prop_assert_eq!(&once, &twice);
        prop_assert_eq!(told, vec![]);
    }

    #[test]
    fn the_search_for_literals_overlooks_no_line(
        words in proptest::collection::vec(
            prop_oneof![
                "[ -~]{0,6}",
                proptest::sample::select(vec![
                    "pAssWord", "Secret", "tOken", "api_key", "=", ": ", "abcdef12", "Cookie", "authorization", "BEARER ",
                    "AKIA", "A1B2C3D4E5F6G7H8", "ghp_", "://", "a:b@", "psk", "sig", "?", "rocommunity ", "$6$", "curl ", "-u ",
                    "mysql ", "-p", "SK", "0123456789abcdef0123456789abcdef", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8", ":::",
                    ":AA", "{SSHA}", "\"auth\": \"dXNlcjpwYXNzd29yZA==\"", "kty", "\"d\":\"", "key-", "sk_", "<password>", "<",
                    "_pass", "Pw", "IDENTIFIED by '", "password '", "'", "define('", "', '", "PHPSESSID=", "h:5432:a:b:", "\t", "--auth ",
                    "ldapsearch ", "-w ", "snmpget -c ", "htpasswd -nb ", "docker login -p ", "--masterauth ", "--private-key ", "_r8_",
                ]).prop_map(str::to_owned),
            ],
            0..8,
        ),
    ) {
        let line = words.concat();
        let (rules, concerned) = (&builtin().builtin.rules, builtin().builtin.concerned(&line));
        for (slot, known) in rules.iter().enumerate() {
            // What has the form and is innocent, as a key's number outside a JWK, needs no look.
            if known.rule().unwrap().apply(&line).is_some() {
                prop_assert!(!builtin().builtin.prefilter.lines(&line).is_empty(), "{}", line);
                prop_assert!(concerned.contains(&slot), "{} {}", known.name(), line);
            }
        }
    }

    #[test]
    fn an_assigned_secret_never_stays(
        before in "[ -~]{0,10}",
        name in "(?i)(password|passwd|secret|token|api_key|apikey|db_password)",
        between in "(=|: | = |: |\":\"|='|=\")",
        secret in "[a-zA-Z0-9!#$%&*+,./;<>?@^_`{|}~-]{6,20}",
    ) {
        let (text, told) = clean(&format!("{before} {name}{between}{secret}"));
        prop_assert!(!text.contains(&secret), "{}", text);
        prop_assert!(!told.is_empty());
    }
}

#[test]
fn no_text_takes_long() {
    for piece in [
        "token:no,",
        "password=\" ",
        "://a:",
        "curl -u ",
        "%41",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----\n",
        "aGVsbG8gd29ybGQgaGVsbG8gd29ybGQg ",
        "machine a login b ",
        "Private-Lines: 1\n",
        "LS0tLS1CRUdJTi",
        "password: {{",
        "a@b://",
        "kty\"d\":\"",
        "\u{200b}",
        "\\\\\"",
        "pass=1,",
        "PASS: a ",
        "&quot;password&quot;:&quot;",
        "identified by '",
        "create user identified by ",
        "define('",
        "password\t",
        "h:5432:a:b:",
        "htpasswd -b a ",
        "snmpget -c ",
        "password=none,a",
        "\"password\\\":\\\"",
    ] {
        let begun = thread_time();
        let text = piece.repeat(40_000 / piece.len());
        let mut value = json!({ "one": text, "many": (vec![piece; 1000]) });
        builtin().redact(&mut value, None);
        // Linear work is less than a second even without optimisation. Others on the machine do not count.
        assert!(thread_time().saturating_sub(begun).as_secs() < 10, "{piece:?}");
    }
}

#[test]
fn the_built_in_rules_are_compiled_once() {
    let pattern = Pattern { name: "jwt".to_owned(), pattern: "x+".to_owned(), replacement: "y".to_owned() };
    let section = RedactionSection { patterns: vec![pattern], ..RedactionSection::default() };
    assert!(std::ptr::eq(builtin().builtin, Redactor::new(&section).unwrap().builtin));
}
