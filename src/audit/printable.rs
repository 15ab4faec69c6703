//! Text of strangers as a record may hold it: it breaks no line and steers no terminal.

use serde_json::{Map, Value};

use crate::identity::is_hidden;

/// Text of a stranger made harmless for a line and a terminal: control and bidirectional characters escaped, cut at
/// `most` characters.
pub(super) fn printable(text: &str, most: usize) -> String {
    if text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len().min(most));
    for (index, c) in text.chars().enumerate() {
        if index >= most {
            safe.push('…');
            break;
        }
        if is_hidden(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A stranger's values: JSON escapes line feeds and the like, but not the control characters from U+007F to U+009F.
fn harmless(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(is_hidden) => Value::String(printable(&text, usize::MAX)),
        Value::Array(items) => items.into_iter().map(harmless).collect(),
        Value::Object(members) => Value::Object(harmless_members(members)),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

pub(super) fn harmless_members(members: Map<String, Value>) -> Map<String, Value> {
    members.into_iter().map(|(key, value)| (printable(&key, usize::MAX), harmless(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Client, Event, Record};
    use crate::clock::Timestamp;
    use serde_json::json;

    #[test]
    fn no_argument_can_steer_the_terminal_that_shows_the_log() {
        let params = json!({ "a\u{9b}2J": ["\u{9d}0;title\u{9c}", { "b": "\u{61c}\u{200b}" }], "plain": "grüß 日本" });
        let Value::Object(params) = params else { panic!("not an object") };
        let record = Record::new(Event::Query, Timestamp::from_seconds(0), Client::default()).with_params(params);
        let line = serde_json::to_string(&record).unwrap();
        assert!(!line.contains(is_hidden), "{line:?}");
        assert!(line.contains("grüß 日本") && line.contains("u{9b}2J"), "{line}");
    }

    #[test]
    fn strangers_text_cannot_break_a_line_or_a_terminal() {
        assert_eq!(printable("a\nb\u{202e}c\u{1b}[31m", 64), "a\\u{a}b\\u{202e}c\\u{1b}[31m");
        assert_eq!(printable("abcdef", 3), "abc…");
    }
}
