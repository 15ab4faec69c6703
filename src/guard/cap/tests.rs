//! What is cut, how it is told, and that no cap is ever exceeded.

use proptest::prelude::*;
use serde_json::json;

use super::super::size::length;
use super::*;

fn caps(items: usize, lines: usize, bytes: usize) -> Caps {
    Caps { items, lines, bytes }
}

fn cut(caps: &Caps, mut value: Value) -> (Value, Vec<String>) {
    let (text, told) = caps.cut(&mut value).unwrap();
    assert_eq!(text, value.to_string());
    (value, told)
}

#[test]
fn the_configured_sizes_are_kept() {
    let told = Caps::new(&LimitsSection::default());
    assert_eq!((told.items, told.lines, told.bytes), (1000, 10_000, 1_048_576));
}

#[test]
fn a_value_within_the_caps_is_not_touched() {
    let value = json!({"a": [1, 2, 3], "b": "x\ny\n", "c": {"d": null}});
    assert_eq!(cut(&caps(3, 2, value.to_string().len()), value.clone()), (value, vec![]));
}

#[test]
fn long_lists_lose_their_ends_and_it_is_said_where() {
    let value = json!({"processes": (0..1040).collect::<Vec<_>>(), "a/b": [[1, 2, 3]]});
    let (value, told) = cut(&caps(2, 10, 1000), value);
    assert_eq!(value, json!({"processes": [0, 1], "a/b": [[1, 2]]}));
    assert_eq!(
        told,
        [
            "items: 1 of 3 left out at /a~1b/0 (limits.max_array_items is 2)",
            "items: 1038 of 1040 left out at /processes (limits.max_array_items is 2)",
        ]
    );
}

#[test]
fn what_an_object_counts_of_its_list_stays_true() {
    let answer = |extra: Value| {
        let mut value =
            json!({"total": 90, "matching": 50, "returned": 20, "left_out": 30, "list": (0..20).collect::<Vec<_>>()});
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        value
    };
    let counts = |value: &Value| (value.get("returned").cloned(), value.get("left_out").cloned());
    let (value, _) = cut(&caps(15, 10, 1000), answer(json!({"other": [1, 2, 3]})));
    assert_eq!(counts(&value), (Some(json!(15)), Some(json!(35))));
    // One that is cut elsewhere counts as before.
    let (value, _) = cut(&caps(20, 10, 1000), answer(json!({"other": (0..30).collect::<Vec<_>>()})));
    assert_eq!(counts(&value), (Some(json!(20)), Some(json!(30))));
    // Which of two, or which part of several, cannot be told.
    let (value, _) = cut(&caps(15, 10, 1000), answer(json!({"other": (20..40).collect::<Vec<_>>()})));
    assert_eq!(counts(&value), (None, None));
    let nested = json!({"total": 4, "matching": 4, "left_out": 0, "tables": [{"rules": [1, 2]}, {"rules": [3, 4]}]});
    assert_eq!(counts(&cut(&caps(2, 10, 1000), nested.clone()).0), (None, Some(json!(0))));
    assert_eq!(counts(&cut(&caps(1, 10, 1000), nested).0), (None, None));
    // One more digit might be one byte too many.
    let (value, _) = cut(&caps(19, 10, 1000), answer(json!({"left_out": 99})));
    assert_eq!(counts(&value), (None, None));
    // Words are no count.
    let words = json!({"returned": "all", "left_out": ["x"], "list": [1, 2, 3]});
    assert_eq!(cut(&caps(2, 10, 1000), words).0, json!({"returned": "all", "left_out": ["x"], "list": [1, 2]}));
    // The same for the cap on bytes, however tight it is.
    let whole = answer(json!({"list": vec!["abcdefgh"; 20]}));
    for bytes in 80..whole.to_string().len() {
        let (value, told) = cut(&caps(100, 100, bytes), whole.clone());
        let listed = value["list"].as_array().unwrap().len();
        assert!(!told.is_empty() && value.to_string().len() <= bytes);
        let left = counts(&value) == (Some(json!(listed)), Some(json!(50 - listed)));
        assert!(left || listed == 20 || counts(&value) == (None, None), "{value}");
    }
}

#[test]
fn long_texts_lose_their_last_lines() {
    let (value, told) = cut(&caps(9, 2, 1000), json!({"log": "one\ntwo\nthree\nfour\n", "short": "one\ntwo\n"}));
    assert_eq!(value, json!({"log": "one\ntwo", "short": "one\ntwo\n"}));
    assert_eq!(told, ["lines: 2 of 4 left out at /log (limits.max_output_lines is 2)"]);
    assert_eq!(
        cut(&caps(9, 0, 1000), json!("one")),
        (json!(""), vec!["lines: 1 of 1 left out at the top (limits.max_output_lines is 0)".to_owned()])
    );
}

#[test]
fn the_largest_parts_pay_for_the_bytes() {
    let value = json!({"count": 2, "host": "web01", "log": "x".repeat(5000), "list": (vec!["abcdefgh"; 500])});
    let (value, told) = cut(&caps(9999, 9999, 1000), value);
    assert!(value.to_string().len() <= 1000 && value.to_string().len() > 900, "{}", value.to_string().len());
    assert_eq!((&value["count"], &value["host"]), (&json!(2), &json!("web01")));
    assert!(value["log"].as_str().unwrap().ends_with("x…"));
    assert!(value["list"].as_array().unwrap().iter().all(|item| item == "abcdefgh"));
    assert_eq!(told.len(), 2);
}

#[test]
fn one_large_item_is_cut_rather_than_dropped() {
    let (value, told) = cut(&caps(10, 10, 100), json!(["a", "x".repeat(500), "b"]));
    assert_eq!(value.as_array().unwrap().len(), 2);
    assert_eq!(
        told,
        [
            "bytes: 411 of 500 left out at /1 (limits.max_output_bytes is 100)",
            "items: 1 of 3 left out at the top (limits.max_output_bytes is 100)",
        ]
    );
}

#[test]
fn what_cannot_be_cut_is_a_failure() {
    let mut value: Value = (0..100).map(|number| (format!("member{number}"), json!(number))).collect();
    let failure = caps(1000, 1000, 500).cut(&mut value).unwrap_err();
    assert_eq!(failure.code(), Code::OverBudget);
    assert!(failure.cause().unwrap().contains("limits.max_output_bytes"));
}

#[test]
fn many_cuts_are_told_as_a_number() {
    let (_, told) = cut(&caps(100, 100, 1 << 20), Value::from(vec!["a\n".repeat(200); 100]));
    assert_eq!(told.len(), TOLD + 1);
    assert_eq!(told.last().unwrap(), "and 84 more of the kind");
}

#[test]
fn cutting_a_large_value_takes_little_time() {
    let row = json!({"pid": 1, "name": "x".repeat(60), "args": (vec!["y"; 20]), "more": {"deep": (vec![vec![vec!["z"; 10]; 3]; 3])}});
    let mut value = json!({"a": (vec![row.clone(); 3000]), "b": {"c": (vec![row; 3000])}});
    let begun = crate::clock::thread_time();
    let (_, told) = caps(10_000, 100, 100_000).cut(&mut value).unwrap();
    assert!(!told.is_empty() && value.to_string().len() <= 100_000);
    // Linear work is some 100 ms in a debug build; the quadratic kind would be minutes.
    assert!(crate::clock::thread_time().saturating_sub(begun).as_secs() < 20);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-z\n\"é\u{1}…]{0,40}".prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            proptest::collection::btree_map("[a-c\"]{0,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Whether `after` is `before` with nothing but the ends of lists and texts missing.
fn is_beginning(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::String(before), Value::String(after)) => {
            before == after || before.starts_with(after.strip_suffix(CUT).unwrap_or(after))
        }
        (Value::Array(before), Value::Array(after)) => {
            after.len() <= before.len() && before.iter().zip(after).all(|(before, after)| is_beginning(before, after))
        }
        (Value::Object(before), Value::Object(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(b, a)| b.0 == a.0 && is_beginning(b.1, a.1))
        }
        (before, after) => before == after,
    }
}

fn within(caps: &Caps, value: &Value) -> bool {
    match value {
        Value::String(text) => text.lines().count() <= caps.lines,
        Value::Array(items) => items.len() <= caps.items && items.iter().all(|item| within(caps, item)),
        Value::Object(members) => members.values().all(|member| within(caps, member)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

proptest! {
    #[test]
    fn no_cap_is_exceeded_and_the_shape_stays(value in values(), items in 0_usize..8, lines in 0_usize..5, bytes in 0_usize..600) {
        let caps = caps(items, lines, bytes);
        let mut after = value.clone();
        match caps.cut(&mut after) {
            Ok((_, told)) => {
                prop_assert!(after.to_string().len() <= bytes);
                prop_assert!(within(&caps, &after));
                prop_assert!(is_beginning(&value, &after));
                prop_assert_eq!(told.is_empty(), value == after);
            }
            Err(failure) => {
                prop_assert_eq!(failure.code(), Code::OverBudget);
                prop_assert!(value.to_string().len() > bytes);
            }
        }
    }

    #[test]
    fn sizes_are_those_of_the_text(value in values()) {
        let size = Size::of(&value);
        prop_assert_eq!(size.bytes, value.to_string().len());
        prop_assert_eq!(length(&value), size.bytes);
        prop_assert!(size.least <= size.bytes);
    }
}
