//! Making text harmless for a terminal and for a reader: what cannot be seen, or changes what is seen, is written out as
//! `\u{…}`. It is done in names of members too, for they can come from the same strangers.

use serde_json::{Map, Value};

use super::distinct::Distinct;

/// Escapes, in every text and name of `value`, control characters other than line feed and tab (with them the beginning of
/// every terminal sequence), and characters that reorder, hide or smuggle text.
pub(super) fn make_harmless(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            if let Some(harmless) = escaped(text) {
                *text = harmless;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_harmless),
        Value::Object(members) => {
            if members.keys().any(|key| may_be_harmful(key) && key.chars().any(is_harmful)) {
                rename(members);
            }
            members.values_mut().for_each(make_harmless);
        }
    }
}

/// Two names that look alike once they are escaped stay two.
fn rename(members: &mut Map<String, Value>) {
    let mut distinct = Distinct::default();
    for (key, value) in std::mem::take(members) {
        distinct.insert(escaped(&key).unwrap_or(key), value);
    }
    *members = distinct.into_members();
}

/// Whether there is anything but plain characters; said at the speed of memory, since nearly all text is plain.
fn may_be_harmful(text: &str) -> bool {
    let odd = |byte: &u8| (*byte < 0x20 && *byte != b'\n' && *byte != b'\t') || *byte >= 0x7f;
    text.as_bytes().chunks(4096).any(|chunk| chunk.iter().fold(false, |found, byte| found | odd(byte)))
}

fn escaped(text: &str) -> Option<String> {
    (may_be_harmful(text) && text.chars().any(is_harmful)).then(|| {
        let mut harmless = String::with_capacity(text.len().saturating_add(16));
        for c in text.chars() {
            if is_harmful(c) { harmless.extend(c.escape_unicode()) } else { harmless.push(c) }
        }
        harmless
    })
}

/// The joiners U+200C and U+200D are left: scripts and emoji need them.
fn is_harmful(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Line ends that are none to most programs.
        '\u{2028}' | '\u{2029}' => true,
        // Nothing to the eye, and a channel to a model: zero-width marks, deprecated format characters, tags and the
        // supplementary variation selectors.
        '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => true,
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn harmless(mut value: Value) -> Value {
        make_harmless(&mut value);
        value
    }

    #[test]
    fn what_acts_on_a_terminal_or_hides_is_written_out() {
        for (text, wanted) in [
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("a\r\nb\tc", "a\\u{d}\nb\tc"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\u{7f}"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("x\u{2028}y\u{200f}", "x\\u{2028}y\\u{200f}"),
            ("\u{feff}a\u{200b}b\u{e0041}", "\\u{feff}a\\u{200b}b\\u{e0041}"),
            ("Grüße, 世界 👩\u{200d}🚀", "Grüße, 世界 👩\u{200d}🚀"),
        ] {
            assert_eq!(harmless(json!([text])), json!([wanted]), "{text:?}");
        }
    }

    #[test]
    fn names_of_members_are_written_out_and_stay_apart() {
        let value = harmless(json!({"a\u{1b}": {"b\u{202e}": 1}, "a\\u{1b}": 2, "plain": 3}));
        assert_eq!(value.as_object().unwrap().len(), 3);
        assert_eq!(value["a\\u{1b}"]["b\\u{202e}"], 1);
        assert_eq!(value["a\\u{1b} 2"], 2);
    }

    proptest! {
        #[test]
        fn nothing_harmful_stays_and_harmless_text_is_untouched(text in any::<String>()) {
            let value = harmless(json!({ text.as_str(): text.as_str() }));
            for (key, value) in value.as_object().unwrap() {
                prop_assert!(!key.chars().chain(value.as_str().unwrap().chars()).any(is_harmful));
                if !text.chars().any(is_harmful) {
                    prop_assert_eq!(key, &text);
                    prop_assert_eq!(value, &text);
                }
            }
        }
    }
}
