//! What holds for any value: a second redaction finds nothing more, no line is overlooked, and none takes long.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{builtin, clean};
use super::*;
use crate::clock::thread_time;

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
