//! Text of strangers: no character of it may steer a terminal, break a line of a log or be there unseen.

use std::borrow::Cow;

/// Characters that a terminal obeys, or that change how others look, or that nobody sees.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e01ef}'
        )
}

/// The same text with each hidden character written as `\u{…}`.
#[must_use]
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len().saturating_add(16));
    for c in text.chars() {
        if is_hidden(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_is_not_seen_is_hidden_and_letters_are_not() {
        for c in
            "\n\r\t\0\u{b}\u{c}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{200d}\u{2028}\u{2029}\u{202e}\u{feff}\u{e0041}\u{e0100}"
                .chars()
        {
            assert!(is_hidden(c), "{c:?}");
        }
        assert_eq!(harmless("a\u{1b}[31m\u{202e}b"), "a\\u{1b}[31m\\u{202e}b");
        assert!(matches!(harmless("grüß"), Cow::Borrowed("grüß")));
        assert!(!"grüß 日本 \u{a0}~🦀".contains(is_hidden));
    }
}
