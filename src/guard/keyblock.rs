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

/// The private keys in `text`, in order.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let Some(marker) = marker() else { return Vec::new() };
    let markers: Vec<(Range<usize>, bool)> = marker
        .captures_iter(text)
        .filter_map(|groups| Some((groups.get(0)?.range(), groups.get(1).is_none())))
        .collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut index: usize = 0;
    while let Some((marker, begins)) = markers.get(index) {
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
            _ => backward(text, done, marker.start).map(|start| start..marker.end),
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

/// How far the lines before the end at `to` are those of a key, not before `limit`.
fn backward(text: &str, limit: usize, to: usize) -> Option<usize> {
    let floor = limit.max(to.saturating_sub(LONGEST));
    let floor = (floor..=to).find(|at| text.is_char_boundary(*at))?;
    let mut start = None;
    let mut at = to;
    // The end marker may follow something on its own line.
    for line in text.get(floor..to)?.rsplit('\n') {
        let here = at.saturating_sub(line.len());
        let first = at == to;
        at = here.saturating_sub(1);
        let tail = if first { line.trim_end_matches(['\\', 'n', 'r']) } else { line };
        let letters = tail.trim_end();
        // In one line the line ends are written as `\n`.
        let gap = letters.bytes().rposition(|byte| !is_base64(byte) && !matches!(byte, b'=' | b'\\'));
        let run = gap.map_or(0, |gap| gap.saturating_add(1));
        if is_key_line(tail, true) {
            start = Some(here.saturating_add(line.len().saturating_sub(line.trim_start().len())));
        } else if letters.len().saturating_sub(run) >= LINE {
            // Something stands before the first line that is there.
            return Some(here.saturating_add(run));
        } else if !(first && line.split_whitespace().count() != 1) {
            break;
        }
    }
    start.filter(|start| to.saturating_sub(*start) >= TELLING)
}

/// A line of base64, alone or behind the beginning of a line of a log; a short one only among others.
fn is_key_line(line: &str, among: bool) -> bool {
    let word = line.split_whitespace().next_back().unwrap_or_default();
    let alone = word.len() == line.trim().len();
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
mod tests {
    use super::*;

    fn marker(word: &str, kind: &str) -> String {
        format!("-----{word} {kind}-----")
    }

    fn without(text: &str) -> String {
        let mut rest = text.to_owned();
        for range in find(text).into_iter().rev() {
            rest.replace_range(range, "#");
        }
        rest
    }

    #[test]
    fn keys_are_found_whole_and_in_part_and_text_around_them_stays() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let body = format!("{line}\n{line}\nabcd");
        for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
            let (begin, end) = (marker("BEGIN", kind), marker("END", kind));
            for (text, wanted) in [
                (format!("a\n{begin}\n{body}\n{end}\nb"), "a\n#\nb"),
                (format!("a\n{begin}\n{body}\nand more words"), "a\n#\nand more words"),
                (format!("a\n{begin}\nProc-Type: 4,ENCRYPTED\n\n{body}"), "a\n#"),
                (format!("a {begin}\\n{line}\\n{line}\\n\" b"), "a #\" b"),
                (format!("a {begin} {line} {line}"), "a #"),
                (format!("x y\n{line}\nabcd\n{end}\nb"), "x y\n#\nb"),
                (format!("Nov 1 h: {begin}\nNov 1 h: {line}\nNov 1 h: gone on"), "Nov 1 h: #\nNov 1 h: gone on"),
                (format!("{begin}\n{begin}\n{line}\n{end} {end}"), &*format!("{begin}\n# {end}")),
                (format!("no {begin} in the file"), &*format!("no {begin} in the file")),
                (format!("no {end} in the file"), &*format!("no {end} in the file")),
            ] {
                assert_eq!(without(&text), wanted, "{text}");
            }
        }
        assert_eq!(without(&marker("BEGIN", "CERTIFICATE")), marker("BEGIN", "CERTIFICATE"));
    }

    #[test]
    fn markers_without_end_cost_no_more_than_one_reading() {
        let text = format!("{}\n", marker("BEGIN", "PRIVATE KEY")).repeat(20_000);
        assert!(find(&text).is_empty());
    }
}
