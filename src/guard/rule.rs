//! One rule about text: a regular expression that runs in linear time, what stands in its place, and what it must leave.

use regex::{Captures, Regex, RegexBuilder};

use super::builtin::Shape;
use super::redact::REDACTED;
use crate::error::{Code, Failure};

const LONGEST_PATTERN: usize = 4096;
/// Bytes of a text beyond its own length that are read again behind what turned out to be no secret. From there on it is
/// taken out like one: reading again and again would let a text be made that takes for ever.
const READ_AGAIN: usize = 65_536;

/// A compiled rule.
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) regex: Regex,
    replacement: String,
    innocent: Option<fn(&str, &Captures<'_>) -> bool>,
    /// Whether what goes on in an escaped form goes too.
    goes_on: bool,
}

impl Rule {
    /// A rule of the configuration.
    ///
    /// # Errors
    /// [`Code::Config`] naming the pattern.
    pub(super) fn given(name: &str, pattern: &str, replacement: &str) -> Result<Self, Failure> {
        let regex = compile(name, pattern)?;
        if regex.is_match("") {
            return Err(wrong(name, "it matches the empty text"));
        }
        Ok(Self { name: name.to_owned(), regex, replacement: replacement.to_owned(), innocent: None, goes_on: false })
    }

    /// One that is built in.
    ///
    /// # Errors
    /// [`Code::Config`], which a test keeps from happening.
    pub(super) fn known(shape: &Shape) -> Result<Self, Failure> {
        let goes_on = shape.replacement.ends_with(REDACTED);
        Ok(Self { innocent: shape.innocent, goes_on, ..Self::given(shape.name, &shape.pattern, &shape.replacement)? })
    }

    /// The text with every match replaced and how often that changed something; `None` when it did not.
    pub(super) fn apply(&self, text: &str) -> Option<(String, u64)> {
        let most = text.len().saturating_add(READ_AGAIN);
        let mut clean = String::new();
        let mut piece = String::new();
        let (mut at, mut from, mut count, mut spared): (usize, usize, u64, usize) = (0, 0, 0, 0);
        while let Some(groups) = self.regex.captures_at(text, at) {
            let Some(found) = groups.get(0).filter(|found| !found.is_empty()) else { break };
            at = found.end();
            if spared < most && self.innocent.is_some_and(|innocent| innocent(text, &groups)) {
                // What is no secret may have one behind it: only what names it is passed over.
                at = groups.get(1).map_or(at, |before| before.end()).max(found.start().saturating_add(1));
                spared = spared.saturating_add(found.len());
                continue;
            }
            piece.clear();
            groups.expand(&self.replacement, &mut piece);
            if piece != found.as_str() {
                clean.push_str(text.get(from..found.start()).unwrap_or_default());
                clean.push_str(&piece);
                from = if self.goes_on { escaped_end(text, found.end()) } else { found.end() };
                at = at.max(from);
                count = count.saturating_add(1);
            }
        }
        clean.push_str(text.get(from..).unwrap_or_default());
        (count > 0).then_some((clean, count))
    }

    /// The matches that hold a line end, and what stands in their place; `go_on` is asked with each.
    pub(super) fn spans(&self, text: &str, go_on: &mut dyn FnMut() -> bool) -> Vec<(usize, usize, String)> {
        let mut spans = Vec::new();
        for groups in self.regex.captures_iter(text).take_while(|_| go_on()) {
            let Some(found) = groups.get(0).filter(|found| found.as_str().contains('\n')) else { continue };
            let mut piece = String::new();
            groups.expand(&self.replacement, &mut piece);
            if piece != found.as_str() {
                spans.push((found.start(), found.end(), piece));
            }
        }
        spans
    }

    /// Whether a match may hold a line end. Said of more patterns than it is true of.
    pub(super) fn may_span(&self) -> bool {
        let pattern = self.regex.as_str();
        ["\\n", "\\s", "\\W", "\\D", "\\P", "\\x", "\\u", "\\v", "[^", "[[:", "(?", "\n"]
            .iter()
            .any(|sign| pattern.contains(sign))
    }
}

/// Where a run of base64 ends of which the signs are escaped as in an address or in JSON: `%2B`, `\/`, `\u003d`. A rule
/// that sees the escapes stops at the first of them, and the rest would have no form any more.
fn escaped_end(text: &str, mut end: usize) -> usize {
    let mut last = end;
    while let Some(rest) = text.as_bytes().get(end..) {
        let sign = sign_length(rest);
        if sign == 0 {
            break;
        }
        let run =
            rest.iter().skip(sign).take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count();
        end = end.saturating_add(sign).saturating_add(run);
        last = end;
    }
    last
}

/// The bytes of an escaped `+`, `/` or `=` at the beginning of `rest`, however often it is escaped; zero if there is none.
fn sign_length(rest: &[u8]) -> usize {
    if let Some(mut digits) = rest.strip_prefix(b"%") {
        while let Some(more) = digits.strip_prefix(b"25") {
            digits = more;
        }
        let signs = [b"2B", b"2F", b"3D", b"2b", b"2f", b"3d"];
        let sign = signs.iter().any(|sign| digits.starts_with(*sign));
        return if sign { rest.len().saturating_sub(digits.len()).saturating_add(2) } else { 0 };
    }
    let slashes = rest.iter().take_while(|byte| **byte == b'\\').count();
    let after = rest.get(slashes..).unwrap_or_default();
    let signs: [&[u8]; 6] = [b"u002B", b"u002F", b"u003D", b"u002b", b"u002f", b"u003d"];
    match after {
        _ if slashes == 0 => 0,
        [b'/', ..] => slashes.saturating_add(1),
        after if signs.iter().any(|sign| after.starts_with(sign)) => slashes.saturating_add(5),
        _ => 0,
    }
}

/// Compiles a pattern that is neither too long nor too large.
///
/// # Errors
/// [`Code::Config`] naming it.
pub(super) fn compile(name: &str, pattern: &str) -> Result<Regex, Failure> {
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(wrong(name, "a name has 1 to 64 visible ASCII characters"));
    }
    if pattern.len() > LONGEST_PATTERN {
        return Err(wrong(name, "it is too long"));
    }
    RegexBuilder::new(pattern)
        .size_limit(2 << 20)
        .build()
        .map_err(|error| wrong(name, "it is not a valid regular expression, or too large").because(error))
}

fn wrong(name: &str, why: &str) -> Failure {
    Failure::new(Code::Config, format!("redaction.patterns: `{}`: {why}", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_over_escaped_signs_and_no_further() {
        for (text, end) in [
            ("%2Bab%3D%3D&c", 11),
            ("%252fab x", 7),
            ("\\/ab\\\\/c\"", 8),
            ("\\u002bab,", 8),
            ("%20ab", 0),
            ("\\nab", 0),
            ("ab", 0),
            ("", 0),
        ] {
            assert_eq!(escaped_end(text, 0), end, "{text}");
        }
    }
}
