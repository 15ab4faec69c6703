//! Text of strangers: no character of it may steer a terminal, break a line of a log or be there unseen.

/// Characters that a terminal obeys, or that change how others look, or that nobody sees.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_is_not_seen_is_hidden_and_letters_are_not() {
        for c in
            "\n\r\t\0\u{b}\u{c}\u{1b}\u{7f}\u{85}\u{9b}\u{ad}\u{200d}\u{2028}\u{2029}\u{202e}\u{feff}\u{e0041}".chars()
        {
            assert!(is_hidden(c), "{c:?}");
        }
        assert!(!"grüß 日本 \u{a0}~🦀".contains(is_hidden));
    }
}
