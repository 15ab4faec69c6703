//! Names beside values, what stands behind a flag, and objects with many names that are alike without their secrets.

use serde_json::{Value, json};

use super::LONGEST_NAME;
use crate::clock::thread_time;
use crate::guard::redact::REDACTED;
use crate::guard::{RedactionSection, Redactor};

fn clean(mut value: Value) -> Value {
    Redactor::new(&RedactionSection::default()).unwrap().redact(&mut value, None);
    value
}

#[test]
fn a_name_and_a_key_beside_a_value_are_both_asked() {
    for named in [
        json!({"name": "DB_PASSWORD", "value": "Vq3LmWz8"}),
        json!({"key": "DB_PASSWORD", "value": "Vq3LmWz8"}),
        json!({"name": "db", "key": "DB_PASSWORD", "value": "Vq3LmWz8"}),
        json!({"name": "DB_PASSWORD", "key": "db", "value": "Vq3LmWz8"}),
        json!({"name": 7, "key": "DB_PASSWORD", "value": "Vq3LmWz8"}),
        json!({"name": "x".repeat(LONGEST_NAME + 1), "value": "Vq3LmWz8"}),
        json!({"name": "db", "key": "x".repeat(LONGEST_NAME + 1), "value": ["Vq3LmWz8"]}),
    ] {
        assert_eq!(clean(named.clone())["value"], REDACTED, "{named}");
    }
    for plain in [
        json!({"name": "db", "key": "host", "value": "web01"}),
        json!({"name": "x".repeat(LONGEST_NAME), "value": "web01"}),
        json!({"name": "x".repeat(LONGEST_NAME + 1), "value": true, "other": "web01"}),
    ] {
        assert_eq!(clean(plain.clone()), plain);
    }
}

#[test]
fn behind_a_flag_for_a_secret_goes_whatever_it_is() {
    for (secret, wanted) in [
        (json!("Vq3LmWz8"), json!(REDACTED)),
        (json!(48151623), json!(REDACTED)),
        (json!(["Vq3LmWz8"]), json!(REDACTED)),
        (json!({"a": "Vq3LmWz8"}), json!(REDACTED)),
        (json!(true), json!(true)),
        (json!(null), json!(null)),
        (json!([]), json!([])),
        (json!("--verbose"), json!("--verbose")),
    ] {
        assert_eq!(clean(json!(["run", "--password", secret, 7])), json!(["run", "--password", wanted, 7]));
    }
}

#[test]
fn names_that_are_alike_without_their_secrets_stay_apart_and_cost_no_more_than_others() {
    let number = 4000;
    let name = |number: usize| format!("token={number:08x}{}", "9".repeat(24));
    let mut members: serde_json::Map<String, Value> = (0..number).map(|number| (name(number), json!(number))).collect();
    members.insert("token=[REDACTED] 3".to_owned(), json!("in the way"));
    let begun = thread_time();
    let value = clean(Value::Object(members));
    let took = thread_time().saturating_sub(begun);
    let members = value.as_object().unwrap();
    assert_eq!(members.len(), number + 1);
    assert!(members.keys().all(|key| key.starts_with("token=[REDACTED]")), "{:?}", members.keys().next_back());
    assert_eq!(members["token=[REDACTED]"], json!(0));
    // Without memory of what was tried this is eight million names, and half a minute without optimisation.
    assert!(took.as_secs() < 10, "{took:?}");
}
