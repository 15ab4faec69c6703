//! Private keys in PEM and its relatives: whole, cut off at either end, in one line with `\n` in it, line by line in a log.

use std::ops::Range;
use std::sync::OnceLock;

use regex::Regex;

/// Bytes between the beginning of a key and its end.
const LONGEST: usize = 64 * 1024;
/// Letters in a row that are part of a key.
const TELLING: usize = 16;
/// The last word of a line that begins with something else, as the lines of a log do, is a line of a key from here on.
const LINE: usize = 40;
/// `-----BEGIN` in base64.
const ENCODED: &str = "LS0tLS1CRUdJTi";

/// Whether `text` may hold one.
pub(super) fn is_possible(text: &str) -> bool {
    [b"PRIVATE KEY".as_slice(), ENCODED.as_bytes()]
        .iter()
        .any(|word| memchr::memmem::find(text.as_bytes(), word).is_some())
}

/// The private keys in `text`, in order; those that were found when `go_on`, which is asked with each, says no.
pub(super) fn find(text: &str, go_on: &mut dyn FnMut() -> bool) -> Vec<Range<usize>> {
    let Some(marker) = marker() else { return Vec::new() };
    let markers: Vec<(Range<usize>, bool)> = marker
        .captures_iter(text)
        .take_while(|_| go_on())
        .filter_map(|groups| Some((groups.get(0)?.range(), groups.get(1).is_none())))
        .collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut back = Back::over(text);
    let mut index: usize = 0;
    while let Some((marker, begins)) = markers.get(index).filter(|_| go_on()) {
        index = index.saturating_add(1);
        let done = found.last().map_or(0, |range| range.end);
        let next = markers.get(index);
        let block = match next {
            Some((end, false)) if *begins && end.end.saturating_sub(marker.start) <= LONGEST => {
                index = index.saturating_add(1);
                Some(marker.start..end.end)
            }
            _ if *begins => {
                let limit = next.map_or(text.len(), |(next, _)| next.start);
                forward(text, marker.end, limit).map(|end| marker.start..end)
            }
            _ => back.from(done, marker.start).map(|start| start..marker.end),
        };
        found.extend(block);
    }
    found.extend(encoded(text));
    found.sort_unstable_by_key(|range| range.start);
    found.dedup_by(|later, earlier| {
        let overlap = later.start < earlier.end;
        if overlap {
            earlier.end = earlier.end.max(later.end);
        }
        overlap
    });
    found
}

/// The line that begins a key, or with the first group the one that ends it.
fn marker() -> Option<&'static Regex> {
    static MARKER: OnceLock<Option<Regex>> = OnceLock::new();
    MARKER
        .get_or_init(|| Regex::new(r"-----? ?(?:BEGIN|(END)) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-----?").ok())
        .as_ref()
}

/// Keys that were encoded in base64 once more, over several lines.
fn encoded(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    for start in memchr::memmem::find_iter(text.as_bytes(), ENCODED) {
        if start < from {
            continue;
        }
        let run = text.get(start..).unwrap_or_default();
        let length = run.bytes().position(|byte| !is_base64(byte)).unwrap_or(run.len());
        let first = run.get(..length).unwrap_or_default();
        let beginning = super::disguise::decoded(first.as_bytes()).unwrap_or_default();
        let end = start.saturating_add(length);
        from = end;
        if beginning.contains("PRIVATE KEY") {
            from = forward(text, end, text.len()).unwrap_or(end);
            found.push(start..from);
        }
    }
    found
}

/// How far the lines after the beginning at `from` are those of a key; `None` if none is.
fn forward(text: &str, from: usize, limit: usize) -> Option<usize> {
    let limit = limit.min(from.saturating_add(LONGEST));
    let mut end = None;
    let mut at = from;
    for line in text.get(from..limit).or_else(|| text.get(from..))?.split('\n') {
        let here = at;
        at = at.saturating_add(line.len()).saturating_add(1);
        if here == from {
            // What follows on the same line, its line ends written as `\n`.
            let length = line
                .bytes()
                .position(|byte| !is_base64(byte) && !matches!(byte, b'\\' | b' ' | b'='))
                .unwrap_or(line.len());
            let rest = line.get(..length).unwrap_or_default().trim_end();
            if rest.split([' ', '\\']).any(|word| word.len() >= TELLING) {
                end = Some(here.saturating_add(rest.len()));
            } else if !rest.trim().is_empty() {
                return end;
            }
        } else if is_key_line(line, end.is_some()) {
            end = Some(here.saturating_add(line.trim_end().len()));
        } else if let Some(first) = line.split_whitespace().next().filter(|word| is_long(word)) {
            // Something stands behind the last line that is there.
            let indent = line.len().saturating_sub(line.trim_start().len());
            return Some(here.saturating_add(indent).saturating_add(first.len()));
        } else if !line.trim().is_empty() && !is_header(line) {
            break;
        }
    }
    end.map(|end| end.min(text.len()))
}

/// Looks back from the ends of keys whose beginning is not there, in the order in which they stand. A line is looked at a
/// number of times that does not grow with the markers on it and behind it, or a text of nothing but markers would take for
/// ever.
struct Back<'t> {
    text: &'t str,
    /// How far the text was searched for line ends.
    seen: usize,
    /// Where the line begins that `seen` is on.
    line: usize,
    /// The line before that one: its end, its beginning, and what it is.
    before: Option<(usize, usize, Kind)>,
}

/// What a line before the end of a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A line of the key, from here on.
    Key(usize),
    /// The first line of the key that is there, with something before it.
    First(usize),
    Other,
}

impl<'t> Back<'t> {
    fn over(text: &'t str) -> Self {
        Self { text, seen: 0, line: 0, before: None }
    }

    /// How far the lines before the end at `to` are those of a key, not before `limit`.
    fn from(&mut self, limit: usize, to: usize) -> Option<usize> {
        let floor = limit.max(to.saturating_sub(LONGEST));
        let floor = (floor..=to).find(|at| self.text.is_char_boundary(*at))?;
        let passed = self.text.as_bytes().get(self.seen..to).unwrap_or_default();
        if let Some(end) = memchr::memrchr(b'\n', passed) {
            self.line = self.seen.saturating_add(end).saturating_add(1);
        }
        self.seen = to;
        // The end marker may follow something on its own line. In one line the line ends are written as `\n`.
        let here = floor.max(self.line);
        let own = self.text.get(here..to)?.trim_end_matches(['\\', 'n', 'r']);
        let mut start = match kind(own, here) {
            Kind::Key(start) => Some(start),
            Kind::First(start) => return Some(start),
            Kind::Other if is_one_word(self.text.get(here..to)?) => return None,
            Kind::Other => None,
        };
        let mut end = self.line.checked_sub(1).filter(|end| *end >= floor);
        while let Some(at) = end {
            let (begin, kind) = match self.before.filter(|(before, ..)| *before == at) {
                Some((_, begin, kind)) => (begin, kind),
                None => {
                    let text = self.text.get(floor..at)?;
                    let begin = memchr::memrchr(b'\n', text.as_bytes()).map_or(0, |end| end.saturating_add(1));
                    (floor.saturating_add(begin), kind(text.get(begin..)?, floor.saturating_add(begin)))
                }
            };
            if at.saturating_add(1) == self.line {
                self.before = Some((at, begin, kind));
            }
            match kind {
                Kind::Key(begin) => start = Some(begin),
                Kind::First(begin) => return Some(begin),
                Kind::Other => break,
            }
            end = begin.checked_sub(1).filter(|end| *end >= floor);
        }
        start.filter(|start| to.saturating_sub(*start) >= TELLING)
    }
}

/// What a line that begins at `here` is. It is read from its end, and no further than it takes.
fn kind(line: &str, here: usize) -> Kind {
    if is_key_line(line, true) {
        return Kind::Key(here.saturating_add(line.len().saturating_sub(line.trim_start().len())));
    }
    let letters = line.trim_end();
    let gap = letters.bytes().rposition(|byte| !is_base64(byte) && !matches!(byte, b'=' | b'\\'));
    let run = gap.map_or(0, |gap| gap.saturating_add(1));
    if letters.len().saturating_sub(run) >= LINE { Kind::First(here.saturating_add(run)) } else { Kind::Other }
}

fn is_one_word(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next_back().is_some() && words.next_back().is_none()
}

/// A line of base64, alone or behind the beginning of a line of a log; a short one only among others.
fn is_key_line(line: &str, among: bool) -> bool {
    let mut words = line.split_whitespace();
    let word = words.next_back().unwrap_or_default();
    let alone = words.next_back().is_none();
    let word = word.trim_matches(|c| matches!(c, '"' | '\'' | ',' | '\\'));
    let base64 = !word.is_empty() && word.bytes().all(|byte| is_base64(byte) || byte == b'=');
    // The checksum of OpenPGP is `=` and four letters.
    let last = among && alone && (word.len().is_multiple_of(4) || word.starts_with('='));
    base64 && (word.len() >= LINE || (alone && word.len() >= TELLING) || last)
}

/// A word that can be nothing but a line of a key, among others.
fn is_long(word: &str) -> bool {
    word.len() >= LINE && word.bytes().all(|byte| is_base64(byte) || byte == b'=')
}

/// A header of PEM (RFC 1421) or of OpenPGP's armour.
fn is_header(line: &str) -> bool {
    ["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:", "Charset:"].iter().any(|header| line.contains(header))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

#[cfg(test)]
mod tests;
