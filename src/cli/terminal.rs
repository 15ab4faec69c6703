//! What goes to a terminal: text of strangers made harmless, colours only where a person sees them, and no more lines
//! than somebody reads. What cannot be written is no success, unless nobody reads any more.

use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, StdoutLock, Write as _};
use std::sync::OnceLock;

use crate::error::{Code, Failure};
pub(super) use crate::identity::harmless;

/// The first error of standard output: it is everybody's, and once a part is lost the rest is worth little.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Takes note of how writing to standard output went. A reader that has gone away has what it wanted.
pub(super) fn written(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// Whether everything that was said could be written.
///
/// # Errors
/// [`Code::Io`] when something was not, as on a full disk.
pub(super) fn all_written() -> Result<(), Failure> {
    match LOST.get() {
        Some(error) => Err(Failure::new(Code::Io, "standard output cannot be written").because(error)),
        None => Ok(()),
    }
}

/// Harmless text of bytes that should be text.
pub(super) fn harmless_bytes(bytes: &[u8]) -> String {
    harmless(&String::from_utf8_lossy(bytes)).into_owned()
}

/// A colour of SGR (ECMA-48 section 8.3.117).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Colour {
    /// As it should be.
    Green,
    /// Refused or broken.
    Red,
    /// Worth a look.
    Yellow,
    /// Of less interest.
    Faint,
    /// The terminal's own.
    Plain,
}

/// Standard output, written in large pieces.
pub(super) struct Output {
    to: BufWriter<StdoutLock<'static>>,
    terminal: bool,
    coloured: bool,
    gone: bool,
}

impl Output {
    /// Colours only on a terminal, and not if `NO_COLOR` is set (no-color.org).
    pub(super) fn new() -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let to = BufWriter::with_capacity(64 << 10, io::stdout().lock());
        Self { to, terminal, coloured: terminal && !plain, gone: false }
    }

    /// `text` in a colour, if there are colours.
    pub(super) fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => "32",
            Colour::Red => "31",
            Colour::Yellow => "33",
            Colour::Faint => "2",
            Colour::Plain => return text.to_owned(),
        };
        if self.coloured && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) {
        self.write(line.as_bytes());
    }

    /// Writes a line of the journal as it is; on a terminal, what could steer it is escaped.
    pub(super) fn raw(&mut self, line: &[u8]) {
        if self.terminal {
            self.write(harmless_bytes(line).as_bytes());
        } else {
            self.write(line);
        }
    }

    fn write(&mut self, line: &[u8]) {
        let result = self.to.write_all(line).and_then(|()| self.to.write_all(b"\n"));
        self.note(result);
    }

    /// Hands over what is waiting.
    pub(super) fn flush(&mut self) {
        let result = self.to.flush();
        self.note(result);
    }

    fn note(&mut self, result: io::Result<()>) {
        self.gone = self.gone || result.is_err();
        written(result);
    }

    /// Whether nothing more can be written.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }
}

/// How far a long work has come, on one line of standard error that is written over; nothing where that is no terminal.
pub(super) struct Meter {
    shown: Option<std::time::Instant>,
    terminal: bool,
    drawn: bool,
}

impl Meter {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

    pub(super) fn new(now: std::time::Instant) -> Self {
        // Short work shows nothing.
        Self { shown: Some(now), terminal: io::stderr().is_terminal(), drawn: false }
    }

    /// Shows `text`, unless the last was shown a moment ago.
    pub(super) fn show(&mut self, now: std::time::Instant, text: impl FnOnce() -> String) {
        let due = self.shown.is_none_or(|shown| now.saturating_duration_since(shown) >= Self::PAUSE);
        if self.terminal && due {
            self.shown = Some(now);
            self.drawn = true;
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K{}", text());
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        for (text, wanted) in [
            ("\u{1b}[2Jx\u{9b}1m\r\n\t\u{7f}", "\\u{1b}[2Jx\\u{9b}1m\\u{d}\\u{a}\\u{9}\\u{7f}"),
            ("user\u{202e}nimda\u{200b}\u{e0041}", "user\\u{202e}nimda\\u{200b}\\u{e0041}"),
            ("Grüße, 世界", "Grüße, 世界"),
        ] {
            assert_eq!(harmless(text), wanted);
        }
        assert_eq!(harmless_bytes(b"a\xff\x1bb"), "a\u{fffd}\\u{1b}b");
    }
}
