//! That a leased secret never stays, in any of the forms that are promised.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn leased(secrets: &[&str]) -> Leased {
    let secrets: Vec<_> = secrets.iter().map(|secret| Secret::new(secret.as_bytes().to_vec())).collect();
    Leased::new(&secrets).unwrap().unwrap()
}

/// Every byte as `%41`, or those that an address cannot hold.
fn in_address(text: &str, all: bool, upper: bool) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' if !all => char::from(byte).to_string(),
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        })
        .collect()
}

fn in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap().to_owned()
}

/// The promised forms of `secret` in a text that has `before` and `after` it.
fn forms(secret: &str, before: &str, after: &str) -> Vec<String> {
    let digits = hex(secret.as_bytes());
    let inside = format!("{before}{secret}{after}");
    let mut forms: Vec<String> = vec![
        secret.to_owned(),
        in_json(secret),
        in_json(&in_json(secret)),
        secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        in_address(secret, false, true),
        in_address(secret, true, false),
        in_address(secret, false, false).replace("%20", "+"),
        in_address(&in_json(secret), false, true),
        digits.to_uppercase(),
        digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect::<Vec<_>>().join(":"),
        digits,
        STANDARD.encode(secret),
        URL_SAFE.encode(secret),
        STANDARD.encode(&inside),
        URL_SAFE.encode(&inside),
        in_address(&STANDARD.encode(&inside), false, true),
        hex(inside.as_bytes()),
    ];
    let wrapped = STANDARD.encode(inside.repeat(4));
    forms.push(wrapped.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>().join("\n"));
    forms
}

/// Whether whoever decodes all that looks encoded in `text` reads `secret`.
fn tells(text: &str, secret: &str) -> bool {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    let mut readings = vec![text.to_owned(), bare];
    for _ in 0..3 {
        let plainer: Vec<String> = readings.iter().filter_map(|text| super::super::disguise::undone(text)).collect();
        readings.extend(plainer);
    }
    readings.iter().any(|text| {
        let words =
            text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_=".contains(c)).filter(|word| word.len() > 3);
        let hidden = words.flat_map(|word| {
            let bytes = |engine: &base64::engine::GeneralPurpose| engine.decode(word.trim_end_matches('=')).ok();
            let pairs =
                word.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
            [bytes(&STANDARD_NO_PAD), bytes(&URL_SAFE_NO_PAD), pairs.collect::<Option<Vec<u8>>>()]
        });
        let hidden: Vec<Vec<u8>> = hidden.flatten().collect();
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        has(text.as_bytes()) || hidden.iter().any(|bytes| has(bytes))
    })
}

#[test]
fn every_form_is_told_by_the_test_itself_and_not_after_redaction() {
    let secret = "hunter 2\"é/+\n%41";
    let leased = leased(&[secret]);
    for form in forms(secret, "user", " more") {
        let text = format!("before {form} after");
        let (clean, count) = leased.text(&text).unwrap_or_else(|| panic!("left: {text}"));
        assert!(count > 0 && clean.starts_with("before ") && clean.ends_with(" after"), "{text}\n{clean}");
        assert!(!tells(&clean, secret), "{text}\n{clean}");
    }
    assert!(tells(&STANDARD.encode(format!("x{secret}")), secret));
    assert!(tells(&hex(secret.as_bytes()), secret));
}

#[test]
fn names_numbers_and_the_lines_of_a_secret_are_looked_at_too() {
    let leased = leased(&["48151623", "first line of a key\nsecond line of a key\n"]);
    let mut value = json!({
        "48151623": 1, "n": 48151623, "deep": [{"second line of a key": "first line of a key"}], "m": 4815, "t": true
    });
    assert_eq!(leased.redact(&mut value), 4);
    assert_eq!(value, json!({REDACTED: 1, "n": REDACTED, "deep": [{REDACTED: REDACTED}], "m": 4815, "t": true}));
}

#[test]
fn names_with_one_secret_stay_apart_and_are_no_longer_than_it_takes() {
    let leased = leased(&["Hunter2!"]);
    let names = (0..400).map(|number| format!("{}Hunter2!{}", "Hunter2!".repeat(number % 20), " ".repeat(number / 20)));
    let mut value = Value::Object(names.map(|name| (name.trim_end().to_owned(), json!(1))).collect());
    leased.redact(&mut value);
    assert_eq!(value.as_object().unwrap().len(), 20);
    let mut secrets: Vec<Vec<u8>> = (0..2000).map(|number| format!("Hunter2!{number:04}").into_bytes()).collect();
    let mut value: Map<String, Value> =
        secrets.iter().map(|secret| (String::from_utf8_lossy(secret).into_owned(), json!(1))).collect();
    let all: Vec<_> = secrets.drain(..).map(Secret::new).collect();
    Leased::new(&all).unwrap().unwrap().names(&mut value);
    assert_eq!(value.len(), 2000);
    let longest = value.keys().map(String::len).max();
    assert!(longest <= Some(REDACTED.len() + 5), "{longest:?}");
}

#[test]
fn without_secrets_nothing_is_looked_for() {
    assert!(Leased::new(&[]).unwrap().is_none());
    assert!(Leased::new(&[Secret::new(b" \n".to_vec())]).unwrap().is_some());
}

proptest! {
    #[test]
    fn a_leased_secret_never_stays(
        secret in "[ -~]{4,40}|\\PC{6,20}|[a-f0-9]{8,64}|([a-zA-Z0-9+/=]{20,76}\n){1,4}\
            |([a-z]{1,4}(%41|\\\\n|\\\\u0041|%|\\\\| |\"|é)){2,6}",
        before in "[ -~]{0,7}",
        after in "[ -~]{0,7}",
        around in "[a-z .\"%\\\\]{0,10}",
    ) {
        prop_assume!(!REDACTED.contains(secret.trim()));
        let leased = leased(&[&secret]);
        for form in forms(&secret, &before, &after) {
            let mut value = json!({ "text": format!("{around} {form} {around}"), "list": [[&form]], form.as_str(): null });
            leased.redact(&mut value);
            for text in [value["text"].as_str().unwrap(), value["list"][0][0].as_str().unwrap(), &value.to_string()] {
                prop_assert!(!tells(text, &secret), "{:?} in {:?}", form, text);
            }
        }
    }

    #[test]
    fn what_holds_no_secret_is_left(text in "[g-z ]{0,60}") {
        prop_assert_eq!(leased(&["Hunter2!"]).text(&text), None);
    }
}
