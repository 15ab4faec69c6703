//! The secrets that were leased for a call are taken out of its output by their value: as they are, escaped as in JSON or in
//! an address, in base64 wherever in a larger text they stood, in hexadecimal, and with blanks between groups of letters.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::disguise::View;
use super::distinct::Distinct;
use super::redact::REDACTED;
use crate::error::{Code, Failure};
use crate::secret::{Secret, hex};

/// How often what is escaped is undone: JSON within an address within JSON.
const LAYERS: usize = 3;
/// Bytes of a line of a secret that is looked for apart from the others.
const LINE: usize = 16;

/// What is looked for.
pub(super) struct Leased {
    /// The secrets themselves.
    plain: AhoCorasick,
    /// In base64.
    base64: AhoCorasick,
    /// In hexadecimal of either case.
    digits: AhoCorasick,
}

impl Leased {
    /// `None` when there are no secrets.
    ///
    /// # Errors
    /// [`Code::Internal`] when they cannot be searched for; then nothing may leave.
    pub(super) fn new(secrets: &[Secret<Vec<u8>>]) -> Result<Option<Self>, Failure> {
        let mut plain: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in secrets.iter().map(Secret::expose) {
            plain.push(Zeroizing::new(secret.clone()));
            plain.push(Zeroizing::new(secret.trim_ascii().to_vec()));
            let lines = secret.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
            plain.extend(lines.filter(|line| line.len() >= LINE).map(|line| Zeroizing::new(line.to_vec())));
        }
        plain.retain(|secret| !secret.is_empty());
        plain.sort_unstable_by(|one, other| one.as_slice().cmp(other));
        plain.dedup();
        if plain.is_empty() {
            return Ok(None);
        }
        let encoded: Vec<Zeroizing<String>> = plain.iter().flat_map(|secret| in_base64(secret)).collect();
        let digits: Vec<Zeroizing<String>> = plain.iter().map(|secret| Zeroizing::new(hex(secret))).collect();
        // Forms in addresses write a blank as `+`.
        let spaced: Vec<Zeroizing<Vec<u8>>> = plain
            .iter()
            .filter(|secret| secret.contains(&b' '))
            .map(|secret| Zeroizing::new(secret.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect()))
            .collect();
        let plain = plain.iter().chain(&spaced).map(|secret| secret.as_slice());
        Ok(Some(Self {
            plain: search(plain, false)?,
            base64: search(encoded.iter().map(|text| text.as_bytes()), false)?,
            digits: search(digits.iter().map(|text| text.as_bytes()), true)?,
        }))
    }

    /// Takes them out of every text, name and number of `value`; says how often.
    pub(super) fn redact(&self, value: &mut Value) -> u64 {
        match value {
            Value::Null | Value::Bool(_) => 0,
            Value::Number(number) => {
                let Some((_, count)) = self.text(&number.to_string()) else { return 0 };
                *value = Value::from(REDACTED);
                count
            }
            Value::String(text) => match self.text(text) {
                Some((clean, count)) => {
                    *text = clean;
                    count
                }
                None => 0,
            },
            Value::Array(items) => items.iter_mut().fold(0, |sum, item| sum.saturating_add(self.redact(item))),
            Value::Object(members) => {
                let names = self.names(members);
                members.values_mut().fold(names, |sum, member| sum.saturating_add(self.redact(member)))
            }
        }
    }

    fn names(&self, members: &mut Map<String, Value>) -> u64 {
        if !members.keys().any(|key| self.text(key).is_some()) {
            return 0;
        }
        let (mut count, mut distinct) = (0_u64, Distinct::default());
        for (key, value) in std::mem::take(members) {
            let (name, found) = self.text(&key).unwrap_or((key, 0));
            count = count.saturating_add(found);
            distinct.insert(name, value);
        }
        *members = distinct.into_members();
        count
    }

    /// The text without them and how many there were; `None` when there were none.
    pub(super) fn text(&self, text: &str) -> Option<(String, u64)> {
        let mut found = Vec::new();
        self.seen(text.as_bytes(), |range| range, text, &mut found);
        let unlike = |byte: u8| !byte.is_ascii() || matches!(byte, b'%' | b'\\' | b' ' | b'\t' | b'\r' | b'\n' | b':');
        if text.bytes().any(unlike) {
            self.disguised(&View::of(text), 0, text, &mut found);
        }
        cut(text, found)
    }

    /// In every form that the text may be in, after `layers` that were undone.
    fn disguised(&self, view: &View, layers: usize, text: &str, found: &mut Vec<Range<usize>>) {
        for form in [view.folded(), view.squeezed()].iter().flatten() {
            self.seen(&form.bytes, |range| form.origin(&range), text, found);
        }
        if layers < LAYERS {
            // One way at a time: a secret may hold what the other way would take for an escape.
            for plainer in [view.undo_address(), view.undo_json()].iter().flatten() {
                self.seen(&plainer.bytes, |range| plainer.origin(&range), text, found);
                self.disguised(plainer, layers.saturating_add(1), text, found);
            }
        }
    }

    /// Adds where in `text` the secrets are that stand in `bytes`, one of its forms. In base64 the letters beside one go
    /// too, of which each holds some of its bits.
    fn seen(
        &self,
        bytes: &[u8],
        origin: impl Fn(Range<usize>) -> Range<usize>,
        text: &str,
        found: &mut Vec<Range<usize>>,
    ) {
        let letter = |at: Option<usize>| {
            let byte = at.and_then(|at| text.as_bytes().get(at));
            usize::from(
                byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')),
            )
        };
        found.extend(self.plain.find_overlapping_iter(bytes).map(|hit| origin(hit.range())));
        found.extend(self.digits.find_overlapping_iter(bytes).map(|hit| origin(hit.range())));
        found.extend(self.base64.find_overlapping_iter(bytes).map(|hit| {
            let Range { start, end } = origin(hit.range());
            start.saturating_sub(letter(start.checked_sub(1)))..end.saturating_add(letter(Some(end)))
        }));
    }
}

/// `text` without the parts that were found, which may overlap.
fn cut(text: &str, mut found: Vec<Range<usize>>) -> Option<(String, u64)> {
    if found.is_empty() {
        return None;
    }
    found.sort_unstable_by_key(|range| (range.start, range.end));
    let (mut clean, mut at, mut count) = (String::with_capacity(text.len()), 0, 0_u64);
    for range in found {
        let start = (0..=range.start).rev().find(|start| text.is_char_boundary(*start)).unwrap_or_default();
        let end = (range.end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
        if start >= at {
            clean.push_str(text.get(at..start).unwrap_or_default());
            clean.push_str(REDACTED);
            count = count.saturating_add(1);
        }
        at = at.max(end);
    }
    clean.push_str(text.get(at..).unwrap_or_default());
    Some((clean, count))
}

fn search<'a>(needles: impl Iterator<Item = &'a [u8]>, any_case: bool) -> Result<AhoCorasick, Failure> {
    // A secret may be long, and an automaton of this kind is not much larger.
    let kind = Some(AhoCorasickKind::ContiguousNFA);
    AhoCorasick::builder().kind(kind).ascii_case_insensitive(any_case).build(needles).map_err(|error| {
        Failure::new(Code::Internal, "the answer cannot be searched for leased secrets").because(error.to_string())
    })
}

/// What of the base64 of any text that holds `secret` depends on `secret` alone; the text before it may end at any of the
/// three places of a group.
fn in_base64(secret: &[u8]) -> Vec<Zeroizing<String>> {
    let mut all = Vec::new();
    for (before, first) in [(0_usize, 0_usize), (1, 2), (2, 3)] {
        let text: Zeroizing<Vec<u8>> =
            Zeroizing::new(std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect());
        // Six bits a letter; the last letter of a group that is not whole has bits of what follows.
        let whole = text.len().saturating_mul(8) / 6;
        for encoded in [STANDARD_NO_PAD.encode(&*text), URL_SAFE_NO_PAD.encode(&*text)] {
            let encoded = Zeroizing::new(encoded);
            all.extend(
                encoded.get(first..whole).filter(|part| !part.is_empty()).map(|part| Zeroizing::new(part.to_owned())),
            );
        }
    }
    all
}

#[cfg(test)]
mod tests;
