//! JSON that means one thing to every reader and costs none too much: no object has a key twice, nothing follows the text,
//! nesting and the number of values are bounded.

mod build;
mod walk;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Visitor};
use serde_json::Value;

use build::Build;
use walk::Walk;

/// The deepest nesting that can be asked for; the parser below has a limit of its own that is a little higher.
const DEEPEST: usize = 120;

/// The most values in a text, each scalar, array and object being one. A value of two bytes takes some two hundred once it
/// is built, so the length of a text does not bound what it costs; this does. The largest messages in use have some
/// hundreds.
pub const MOST_VALUES: usize = 10_000;

/// Keys that `serde_json` takes for its own: it would read such an object as something else.
const RESERVED: &str = "$serde_json::private::";

/// Why a text is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StrictError {
    /// Not one JSON text in UTF-8, or with a number that cannot be held.
    Malformed,
    /// An object has the same key twice, however it is escaped; RFC 8259 section 4 leaves open what that means.
    DuplicateKey,
    /// Arrays and objects are nested more deeply than allowed.
    TooDeep,
    /// There are more than [`MOST_VALUES`] values.
    TooMany,
}

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a JSON text",
            Self::DuplicateKey => "an object has the same key twice",
            Self::TooDeep => "nested too deeply",
            Self::TooMany => "too many values",
        })
    }
}

impl std::error::Error for StrictError {}

/// Reads a JSON text. A scalar has depth 0, `[]` and `{}` have depth 1; `max_depth` is held at 120.
///
/// # Errors
/// [`StrictError`].
pub fn parse_strict(bytes: &[u8], max_depth: usize) -> Result<Value, StrictError> {
    let mut reader = serde_json::Deserializer::from_str(text(bytes)?);
    let mut state = State::new(max_depth);
    let value = Build(Level { state: &mut state, depth: 0 }).deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|_| state.verdict.unwrap_or(StrictError::Malformed))
}

/// Judges a JSON text exactly as [`parse_strict`] does, without building a value of it.
///
/// # Errors
/// [`StrictError`].
pub fn check_strict(bytes: &[u8], max_depth: usize) -> Result<(), StrictError> {
    let mut reader = serde_json::Deserializer::from_str(text(bytes)?);
    let mut state = State::new(max_depth);
    let walked = Walk(Level { state: &mut state, depth: 0 }).deserialize(&mut reader);
    let walked = walked.and_then(|()| reader.end());
    walked.map_err(|_| state.verdict.unwrap_or(StrictError::Malformed))
}

fn text(bytes: &[u8]) -> Result<&str, StrictError> {
    std::str::from_utf8(bytes).map_err(|_| StrictError::Malformed)
}

/// What one pass over a text remembers.
struct State<'de> {
    max_depth: usize,
    /// Values that may still come.
    left: usize,
    /// The keys of all open objects, the innermost object's last.
    keys: Vec<Cow<'de, str>>,
    verdict: Option<StrictError>,
}

impl State<'_> {
    fn new(max_depth: usize) -> Self {
        Self { max_depth: max_depth.min(DEEPEST), left: MOST_VALUES, keys: Vec::new(), verdict: None }
    }

    fn refuse<E: serde::de::Error>(&mut self, verdict: StrictError) -> E {
        self.verdict = Some(verdict);
        E::custom("refused")
    }
}

/// A place in the text.
struct Level<'a, 'de> {
    state: &'a mut State<'de>,
    depth: usize,
}

impl<'de> Level<'_, 'de> {
    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > self.state.max_depth { Err(self.state.refuse(StrictError::TooDeep)) } else { Ok(()) }
    }

    /// Called once for each value.
    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        match self.state.left.checked_sub(1) {
            Some(left) => {
                self.state.left = left;
                Ok(())
            }
            None => Err(self.state.refuse(StrictError::TooMany)),
        }
    }

    fn inner(&mut self) -> Level<'_, 'de> {
        Level { state: self.state, depth: self.depth }
    }
}

/// A key, unescaped; borrowed from the text where nothing was escaped.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
        plain(Cow::Borrowed(key))
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        plain(Cow::Owned(key.to_owned()))
    }
}

fn plain<E: serde::de::Error>(key: Cow<'_, str>) -> Result<Cow<'_, str>, E> {
    if key.starts_with(RESERVED) { Err(E::custom("a reserved key")) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(text: &str, max_depth: usize) -> Result<Value, StrictError> {
        let parsed = parse_strict(text.as_bytes(), max_depth);
        let agreed = check_strict(text.as_bytes(), max_depth) == parsed.clone().map(|_| ());
        if agreed { parsed } else { disagree(text) }
    }

    fn disagree(text: &str) -> ! {
        panic!("the two disagree: {text}")
    }

    #[test]
    fn the_same_key_twice_is_refused_at_every_level_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":1,"c":2,"a":3}}]"#,
            r#"{"":1,"":2}"#,
            r#"{"a":{"x":1},"b":2,"a":{}}"#,
        ] {
            assert_eq!(both(text, 10), Err(StrictError::DuplicateKey), "{text}");
        }
        assert!(both(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#, 10).is_ok());
    }

    #[test]
    fn a_large_object_is_searched_for_repeated_keys_too() {
        let keys = |last: &str| {
            let keys: Vec<_> = (0..200).map(|n| format!("\"k{n}\":{{\"k{n}\":0}}")).collect();
            format!("{{{},\"{last}\":1}}", keys.join(","))
        };
        assert!(both(&keys("other"), 5).is_ok());
        for known in ["k0", "k15", "k16", "k17", "k199"] {
            assert_eq!(both(&keys(known), 5), Err(StrictError::DuplicateKey), "{known}");
        }
    }

    #[test]
    fn depth_is_counted_from_one_bracket() {
        assert!(both("1", 0).is_ok());
        assert_eq!(both("[]", 0), Err(StrictError::TooDeep));
        assert!(both(r#"{"a":[{}]}"#, 3).is_ok());
        assert_eq!(both(r#"{"a":[{}]}"#, 2), Err(StrictError::TooDeep));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(both(&deep, usize::MAX), Err(StrictError::TooDeep));
    }

    #[test]
    fn values_are_counted_wherever_they_stand() {
        let zeros = |count: usize| vec!["0"; count].join(",");
        assert!(both(&format!("[{}]", zeros(MOST_VALUES - 1)), 5).is_ok());
        assert_eq!(both(&format!("[{}]", zeros(MOST_VALUES)), 5), Err(StrictError::TooMany));
        let objects = |count: usize| format!("[{}]", vec![r#"{"":0}"#; count].join(","));
        assert!(both(&objects(MOST_VALUES / 2 - 1), 5).is_ok());
        assert_eq!(both(&objects(MOST_VALUES / 2), 5), Err(StrictError::TooMany));
        let entries: Vec<_> = (0..MOST_VALUES).map(|n| format!("\"{n}\":[]")).collect();
        assert_eq!(both(&format!("{{{}}}", entries.join(",")), 5), Err(StrictError::TooMany));
    }

    #[test]
    fn what_is_not_one_json_text_is_refused() {
        for text in ["", " ", "{", "{}{}", "{} x", "{,}", "[1,]", "NaN", "1e999", "'a'", "\u{feff}{}", r#""\ud800""#] {
            assert_eq!(both(text, 10), Err(StrictError::Malformed), "{text}");
        }
        assert_eq!(check_strict(b"\"\xff\"", 10), Err(StrictError::Malformed));
        assert_eq!(both(r#"{"$serde_json::private::RawValue":"[1]"}"#, 10), Err(StrictError::Malformed));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<u64>().prop_map(|n| n.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        let key = prop_oneof![Just("a".to_owned()), Just("\\u0061".to_owned()), "[b-e]{0,2}"];
        leaf.prop_recursive(4, 24, 6, move |inner| {
            let entry = (key.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\": {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(entry, 0..5).prop_map(|entries| format!("{{{}}}", entries.join(" , "))),
            ]
        })
    }

    /// How often a key is repeated is lost in a `Value`; so the number of entries is compared.
    fn entries(value: &Value) -> usize {
        match value {
            Value::Object(map) => map.values().map(entries).sum::<usize>().saturating_add(map.len()),
            Value::Array(items) => items.iter().map(entries).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_means_the_same_to_serde_json(text in prop_oneof![json(), "[\\[\\]{}\",:a\\\\0-9.eE+u -]{0,24}"]) {
            match both(&text, 120) {
                Ok(value) => {
                    let reference: Value = serde_json::from_str(&text).unwrap();
                    prop_assert_eq!(reference, value);
                }
                Err(StrictError::Malformed) => prop_assert!(serde_json::from_str::<Value>(&text).is_err()),
                Err(StrictError::DuplicateKey) => {
                    if let Ok(reference) = serde_json::from_str::<Value>(&text) {
                        prop_assert!(entries(&reference) < text.matches(':').count());
                    }
                }
                Err(StrictError::TooDeep | StrictError::TooMany) => prop_assert!(false, "nothing here is so large"),
            }
        }

        #[test]
        fn no_bytes_can_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), depth in 0_usize..5) {
            prop_assert_eq!(check_strict(&bytes, depth), parse_strict(&bytes, depth).map(|_| ()));
        }
    }
}
