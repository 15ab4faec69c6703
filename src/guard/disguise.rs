//! Text under another form: percent-encoded, escaped as in JSON, with invisible characters in it, in full-width letters, in
//! base64. What is found in the plain form is taken out of the other, so a view knows where each of its bytes comes from.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::prefilter::line_at;

/// Letters from which on a run of the base64 alphabet may be a text of its own.
const SHORTEST_RUN: usize = 24;
/// Letters that are decoded to see whether it is one.
const SAMPLE: usize = 12;

/// A text in another form.
pub(super) struct View {
    pub(super) bytes: Vec<u8>,
    /// Where what each byte stands for begins and ends in the text that was given.
    origins: Vec<Range<usize>>,
}

impl View {
    /// The text as it is.
    pub(super) fn of(text: &str) -> Self {
        let origins = (0..text.len()).map(|at| at..at.saturating_add(1)).collect();
        Self { bytes: text.as_bytes().to_vec(), origins }
    }

    /// The part of the given text that the bytes of `range` come from.
    pub(super) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        let own = self.origins.get(range.clone()).unwrap_or_default();
        own.first().map_or(0, |first| first.start)..own.last().map_or(0, |last| last.end)
    }

    /// With `%41` undone, once; `None` when there is nothing to undo.
    pub(super) fn undo_address(&self) -> Option<Self> {
        memchr::memchr(b'%', &self.bytes)?;
        self.mapped(|rest| match rest {
            [b'%', high, low, ..] => hex(&[*high, *low]).and_then(byte_of).map(|byte| (3, vec![byte])),
            _ => None,
        })
    }

    /// With `\u0041`, `\x41` and `\n` undone, once; `None` when there is nothing to undo.
    pub(super) fn undo_json(&self) -> Option<Self> {
        memchr::memchr(b'\\', &self.bytes)?;
        self.mapped(|rest| match rest {
            [b'\\', b'x', high, low, ..] => hex(&[*high, *low]).and_then(byte_of).map(|byte| (4, vec![byte])),
            [b'\\', b'u', a, b, c, d, ..] => {
                let first = hex(&[*a, *b, *c, *d])?;
                if let Some(letter) = char::from_u32(first) {
                    return Some((6, letter.to_string().into_bytes()));
                }
                // A pair of surrogates (RFC 8259 section 7).
                let [b'\\', b'u', a, b, c, d, ..] = rest.get(6..)? else { return None };
                let second = hex(&[*a, *b, *c, *d])?;
                let (high, low) = (first.checked_sub(0xd800)?, second.checked_sub(0xdc00).filter(|low| *low < 0x400)?);
                let letter = char::from_u32(high.checked_mul(0x400)?.checked_add(low)?.checked_add(0x10000)?)?;
                Some((12, letter.to_string().into_bytes()))
            }
            [b'\\', b'n', ..] => Some((2, vec![b'\n'])),
            [b'\\', b'r', ..] => Some((2, vec![b'\r'])),
            [b'\\', b't', ..] => Some((2, vec![b'\t'])),
            [b'\\', b'b', ..] => Some((2, vec![8])),
            [b'\\', b'f', ..] => Some((2, vec![12])),
            [b'\\', same @ (b'"' | b'\\' | b'/' | b'\''), ..] => Some((2, vec![*same])),
            _ => None,
        })
    }

    /// With full-width letters as plain ones and without invisible characters; `None` when there are none.
    pub(super) fn folded(&self) -> Option<Self> {
        if self.bytes.is_ascii() {
            return None;
        }
        self.mapped(|rest| {
            let length = rest.first().map_or(1, |byte| usize::try_from(byte.leading_ones()).unwrap_or(1).clamp(1, 4));
            let letter = rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok())?.chars().next()?;
            plain(letter).map(|plain| (length, plain.map(|letter| vec![letter]).unwrap_or_default()))
        })
    }

    /// Without blanks, line ends and colons, as encoders put them between groups.
    pub(super) fn squeezed(&self) -> Option<Self> {
        self.mapped(|rest| matches!(rest, [b' ' | b'\t' | b'\r' | b'\n' | b':', ..]).then(|| (1, Vec::new())))
    }

    /// With what `change` says instead of the beginning of the rest, and how many bytes that was; `None` if it never does.
    fn mapped(&self, change: impl Fn(&[u8]) -> Option<(usize, Vec<u8>)>) -> Option<Self> {
        let length = self.bytes.len();
        let mut view = Self { bytes: Vec::with_capacity(length), origins: Vec::with_capacity(length) };
        let (mut at, mut changed): (usize, bool) = (0, false);
        while let Some(rest) = self.bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let (taken, given) = match change(rest) {
                Some(other) => {
                    changed = true;
                    other
                }
                None => (1, rest.first().copied().into_iter().collect()),
            };
            let next = at.saturating_add(taken);
            let origin = self.origin(&(at..next));
            view.origins.extend(given.iter().map(|_| origin.clone()));
            view.bytes.extend(given);
            at = next;
        }
        changed.then_some(view)
    }
}

/// `text` without disguise, if it had one.
pub(super) fn undone(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let escaped = |at: usize| match bytes.get(at..) {
        Some([b'\\', next, ..]) => matches!(next, b'u' | b'x' | b'n' | b'r' | b't' | b'"' | b'\\' | b'/' | b'\''),
        Some([b'%', high, low, ..]) => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        _ => false,
    };
    if text.is_ascii() && !memchr::memchr2_iter(b'%', b'\\', bytes).any(escaped) {
        return None;
    }
    let (mut last, mut changed) = (View::of(text), false);
    for undo in [View::undo_address, View::undo_json, View::folded, View::undo_address, View::undo_json, View::folded] {
        if let Some(next) = undo(&last) {
            (last, changed) = (next, true);
        }
    }
    changed.then(|| String::from_utf8_lossy(&last.bytes).into_owned())
}

/// Whether a text may have been sent by a form, in which `+` is a blank: it has an escape, or a query.
pub(super) fn is_form(text: &str) -> bool {
    let bytes = text.as_bytes();
    let escaped = |at: usize| bytes.get(at.saturating_add(1)..at.saturating_add(3)).and_then(hex).is_some();
    let query = || {
        memchr::memchr(b'?', bytes)
            .is_some_and(|at| memchr::memchr(b'=', bytes.get(at..).unwrap_or_default()).is_some())
    };
    bytes.contains(&b'+') && (memchr::memchr_iter(b'%', bytes).any(escaped) || query())
}

/// What a form in an address meant.
pub(super) fn spaced(text: &str) -> String {
    let spaced = text.replace('+', " ");
    undone(&spaced).unwrap_or(spaced)
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn byte_of(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}

/// Nothing for a character that is not seen, the plain letter for one that only looks different, `None` for any other.
fn plain(letter: char) -> Option<Option<u8>> {
    match letter {
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => Some(None),
        '\u{2060}'..='\u{2069}' | '\u{206a}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => Some(None),
        '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}' => Some(None),
        // U+FF01 to U+FF5E are the visible ASCII characters in full width.
        '\u{ff01}'..='\u{ff5e}' => u32::from(letter).checked_sub(0xfee0).and_then(byte_of).map(Some),
        '\u{3000}' | '\u{a0}' => Some(Some(b' ')),
        '\u{17f}' => Some(Some(b's')),
        '\u{212a}' => Some(Some(b'K')),
        _ => None,
    }
}

/// The lines of `text` that may be in disguise.
pub(super) fn lines(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut add = |at: usize| {
        if lines.last().is_none_or(|line| line.end < at) {
            lines.push(line_at(text, at));
        }
    };
    let visible = |digits: &[u8]| hex(digits).is_some_and(|code| matches!(code, 10 | 13 | 0x20..=0x7e));
    for at in memchr::memchr2_iter(b'%', b'\\', bytes) {
        match bytes.get(at..).unwrap_or_default() {
            [b'%', high, low, ..] | [b'\\', b'x', high, low, ..] | [b'\\', b'u', b'0', b'0', high, low, ..]
                if visible(&[*high, *low]) =>
            {
                add(at);
            }
            _ => {}
        }
    }
    if !text.is_ascii() {
        let folded = text.char_indices().filter(|(_, letter)| !letter.is_ascii() && plain(*letter).is_some());
        folded.for_each(|(at, _)| add_sorted(&mut lines, text, at));
    }
    let mut from = 0;
    while let Some(run) = run(bytes, from) {
        from = run.end;
        if !parts(bytes, &run).is_empty() {
            add_sorted(&mut lines, text, run.start);
        }
    }
    lines
}

fn add_sorted(lines: &mut Vec<Range<usize>>, text: &str, at: usize) {
    if lines.last().is_none_or(|line| !line.contains(&at)) {
        lines.push(line_at(text, at));
    }
}

/// The next run of the base64 alphabet that is long enough. Most text is skipped: a run has no gap within its length.
pub(super) fn run(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = from;
    loop {
        let window = bytes.get(start..start.saturating_add(SHORTEST_RUN))?;
        match window.iter().rposition(|byte| !is_base64(*byte)) {
            Some(gap) => start = start.saturating_add(gap).saturating_add(1),
            None => {
                let rest = bytes.get(start..)?;
                let length = rest.iter().position(|byte| !is_base64(*byte)).unwrap_or(rest.len());
                return Some(start..start.saturating_add(length));
            }
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// The parts of a run that may be base64 of a text: the whole of it, or parts between the slashes of an address.
pub(super) fn parts(bytes: &[u8], run: &Range<usize>) -> Vec<Range<usize>> {
    let letters = bytes.get(run.clone()).unwrap_or_default();
    if is_text_in_base64(letters) {
        return vec![run.clone()];
    }
    let mut parts = Vec::new();
    let mut start = run.start;
    for part in letters.split(|byte| *byte == b'/') {
        let end = start.saturating_add(part.len());
        if part.len() >= SHORTEST_RUN && is_text_in_base64(part) {
            parts.push(start..end);
        }
        start = end.saturating_add(1);
    }
    parts
}

/// Whether the beginning of a run is text once it is decoded; it may end within a character.
fn is_text_in_base64(run: &[u8]) -> bool {
    let sample = run.get(..SAMPLE).and_then(decode).unwrap_or_default();
    let text = match std::str::from_utf8(&sample) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            sample.get(..error.valid_up_to()).and_then(|whole| std::str::from_utf8(whole).ok()).unwrap_or_default()
        }
        Err(_) => "",
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// The text that a run of base64 stands for, if it is one.
pub(super) fn decoded(run: &[u8]) -> Option<String> {
    if !is_text_in_base64(run) {
        return None;
    }
    // What follows the text may not belong to it: a group that is not whole is left out.
    let whole = run.len().saturating_sub(run.len() & 3);
    let bytes = decode(run).or_else(|| decode(run.get(..whole)?))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Either alphabet, with or without padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    const ENGINE: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let standard = |byte: &u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => *byte,
    };
    ENGINE.decode(text.iter().map(standard).collect::<Vec<u8>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_the_plain_text_and_knows_where_it_is_from() {
        for (text, wanted) in [
            ("pass%77ord%3Dx", "password=x"),
            ("\\u0070ass\\x77ord", "password"),
            ("p\u{200b}a\u{ad}ss", "pass"),
            ("ｐａｓｓ＝１", "pass=1"),
            ("%25%34%31 \\\\n", "A \n"),
            ("\\ud83d\\ude00\\/", "😀/"),
        ] {
            assert_eq!(undone(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["plain", "100% of \\d", "%zz \\u00 \\ud800", "世界"] {
            assert_eq!(undone(text), None, "{text}");
        }
        let view = View::of("a%20b").undo_address().unwrap();
        assert_eq!((view.bytes.as_slice(), view.origin(&(1..2)), view.origin(&(0..3))), (&b"a b"[..], 1..4, 0..5));
    }

    #[test]
    fn runs_of_base64_are_found_wherever_they_begin() {
        let long = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo";
        for before in ["", " ", "a b ", "0123456789 0123456789 "] {
            let text = format!("{before}{long} and no more");
            let found = run(text.as_bytes(), 0).unwrap();
            assert_eq!(text.get(found.clone()), Some(long), "{text}");
            assert_eq!(run(text.as_bytes(), found.end), None);
        }
        assert_eq!(decoded(long.as_bytes()).as_deref(), Some("ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
        assert_eq!(decoded(b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), None);
        assert_eq!(run(b"short", 0), None);
    }

    #[test]
    fn lines_in_disguise_are_named() {
        let text = "plain 100%\nq=%41\nﬁne\n\u{200b}hidden\n\\u0041\nC:\\users\n";
        let lines: Vec<&str> = lines(text).into_iter().map(|line| text.get(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.contains(&"q=%41") && lines.contains(&"\u{200b}hidden") && lines.contains(&"\\u0041"));
    }
}
