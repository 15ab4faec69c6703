//! An event is one line of the operational log, whatever its fields hold: what would end the line, steer a terminal or not be
//! seen is written as an escape. The formatter sees to some of that and not to a line feed in a value that it displays.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use crate::identity::is_hidden;

/// Makes writers that take an event at a time, as the formatter gives them.
pub(super) struct Lines<M> {
    pub(super) inner: M,
    pub(super) format: LogFormat,
    /// Whether the formatter's own colours are kept.
    pub(super) ansi: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Lines<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { inner: self.inner.make_writer(), format: self.format, ansi: self.ansi }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        Line { inner: self.inner.make_writer_for(meta), format: self.format, ansi: self.ansi }
    }
}

pub(super) struct Line<W> {
    inner: W,
    format: LogFormat,
    ansi: bool,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        self.inner.write_all(one_line(&text, self.format, self.ansi).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The event in one line. A backslash of the text is left as it is: the formatter doubles it where it writes escapes.
fn one_line(event: &str, format: LogFormat, ansi: bool) -> Cow<'_, str> {
    let (text, end) = match event.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (event, ""),
    };
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(event);
    }
    let mut line = String::with_capacity(event.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let kept = if is_hidden(c) { colour(rest).filter(|_| ansi) } else { rest.get(..c.len_utf8()) };
        match kept {
            Some(kept) => line.push_str(kept),
            None => escape(&mut line, c, format),
        }
        rest = rest.get(kept.map_or(c.len_utf8(), str::len)..).unwrap_or_default();
    }
    line.push_str(end);
    Cow::Owned(line)
}

/// Colours and weights that the formatter uses. A value that is displayed may bring them too, but none that hides text.
const STYLES: [&str; 9] = ["0", "1", "2", "3", "31", "32", "33", "34", "35"];

/// The sequence at the start of this text that sets a style (ECMA-48 section 8.3.117), and nothing else.
fn colour(text: &str) -> Option<&str> {
    let (numbers, _) = text.strip_prefix("\u{1b}[")?.split_once('m')?;
    if numbers.split(';').all(|number| STYLES.contains(&number)) {
        text.get(..numbers.len().saturating_add(3))
    } else {
        None
    }
}

/// In JSON such a character can only stand in a text, where this is the same one (RFC 8259 section 7).
fn escape(line: &mut String, c: char, format: LogFormat) {
    match format {
        LogFormat::Text => line.extend(c.escape_unicode()),
        LogFormat::Json => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // A `String` takes everything.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_line_feed_is_one() {
        let text = |event| one_line(event, LogFormat::Text, false).into_owned();
        assert_eq!(text("a b\n"), "a b\n");
        assert_eq!(text("a\nb\r\u{2028}\n"), "a\\u{a}b\\u{d}\\u{2028}\n");
        assert_eq!(text("grüß\u{9b}2J"), "grüß\\u{9b}2J");
        assert_eq!(text("\n\n"), "\\u{a}\n");
        assert_eq!(text("\u{1b}[31mred"), "\\u{1b}[31mred");
    }

    #[test]
    fn json_stays_the_same_json() {
        let event = "{\"a\":\"\u{85}\u{2028}\u{e0041}é\"}\n";
        let line = one_line(event, LogFormat::Json, false);
        assert_eq!(line, "{\"a\":\"\\u0085\\u2028\\udb40\\udc41é\"}\n");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&line), read(event));
    }

    #[test]
    fn colours_are_kept_on_a_terminal_and_nothing_else() {
        let text = |event| one_line(event, LogFormat::Text, true).into_owned();
        assert_eq!(
            text("\u{1b}[2mdim\u{1b}[0m \u{1b}[1;31mred\u{1b}[0m\n"),
            "\u{1b}[2mdim\u{1b}[0m \u{1b}[1;31mred\u{1b}[0m\n"
        );
        for steering in ["\u{1b}[2J", "\u{1b}]0;title\u{7}m", "\u{1b}", "\u{1b}[1;2Hm", "\u{1b}[?25m", "\u{1b}[8m"] {
            assert!(text(steering).starts_with("\\u{1b}"), "{steering:?}");
        }
    }
}
