//! Which lines could hold a secret: those with one of the letters that the built-in rules need. The search is for literals
//! alone and goes many bytes at a time, so that clean text costs next to nothing; only the lines it names are looked at.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, Span};

use crate::error::{Code, Failure};

/// Literals that one searcher can hold and still be fast.
const TOGETHER: usize = 32;

/// The literals, in as many searchers as they need.
pub(super) struct Prefilter {
    searchers: Vec<Either>,
}

/// A searcher of many bytes at a time, or for processors without the means one of a byte at a time.
enum Either {
    Packed(Box<Searcher>),
    Automaton(AhoCorasick),
}

impl Prefilter {
    /// For words in any case and literals in theirs.
    ///
    /// # Errors
    /// [`Code::Internal`] when there are too many.
    pub(super) fn new<'a>(
        words: impl Iterator<Item = &'a str>,
        literals: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Failure> {
        let mut all: BTreeSet<String> = literals.map(str::to_owned).collect();
        all.extend(words.flat_map(cases));
        // Short ones apart: the shortest of a searcher says how closely it can look.
        let mut all: Vec<String> = all.into_iter().collect();
        all.sort_by_key(|literal| (literal.len().min(4), literal.to_ascii_lowercase()));
        let mut searchers = Vec::new();
        for same in all.chunk_by(|one, other| one.len().min(4) == other.len().min(4)) {
            for some in same.chunks(TOGETHER) {
                searchers.push(Either::new(some)?);
            }
        }
        Ok(Self { searchers })
    }

    /// The lines of `text` that hold a literal, in order, without their line ends.
    pub(super) fn lines(&self, text: &str) -> Vec<Range<usize>> {
        let mut lines = Vec::new();
        for searcher in &self.searchers {
            let mut from = 0;
            while let Some(found) = searcher.find(text, from) {
                let line = line_at(text, found);
                from = line.end;
                lines.push(line);
                if from >= text.len() {
                    break;
                }
            }
        }
        lines.sort_unstable_by_key(|line| line.start);
        lines.dedup();
        lines
    }
}

impl Either {
    fn new(literals: &[String]) -> Result<Self, Failure> {
        let packed = Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(literals).build();
        match packed {
            Some(searcher) => Ok(Self::Packed(Box::new(searcher))),
            None => AhoCorasick::new(literals).map(Self::Automaton).map_err(|error| {
                Failure::new(Code::Internal, "the literals of redaction cannot be searched for").because(error)
            }),
        }
    }

    /// Where the first literal at or after `from` begins.
    fn find(&self, text: &str, from: usize) -> Option<usize> {
        let span = Span { start: from, end: text.len() };
        match self {
            Self::Packed(searcher) => searcher.find_in(text, span).map(|found| found.start()),
            Self::Automaton(automaton) => {
                automaton.find(aho_corasick::Input::new(text).span(span)).map(|found| found.start())
            }
        }
    }
}

/// The line around a byte.
pub(super) fn line_at(text: &str, at: usize) -> Range<usize> {
    let (before, after) = text.as_bytes().split_at_checked(at).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end.saturating_add(1));
    let end = memchr::memchr(b'\n', after).map_or(text.len(), |end| at.saturating_add(end));
    start..end
}

/// A word in every mixture of small and capital letters.
fn cases(word: &str) -> Vec<String> {
    word.chars().fold(vec![String::new()], |cases, letter| {
        let both: BTreeSet<char> = [letter.to_ascii_lowercase(), letter.to_ascii_uppercase()].into();
        cases.iter().flat_map(|case| both.iter().map(move |letter| format!("{case}{letter}"))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_literal_are_named_once_and_no_others() {
        let filter = Prefilter::new(["pass"].into_iter(), ["AKIA", "Q~"].into_iter()).unwrap();
        let text = "one\nPaSsword pass AKIA\n\nakia q~\nlastQ~";
        let lines: Vec<&str> = filter.lines(text).into_iter().map(|line| text.get(line).unwrap()).collect();
        assert_eq!(lines, ["PaSsword pass AKIA", "lastQ~"]);
        assert!(filter.lines("").is_empty());
        assert_eq!(filter.lines("Q~").first(), Some(&(0..2)));
    }

    #[test]
    fn a_searcher_of_one_byte_at_a_time_finds_the_same() {
        let literals = ["pass".to_owned(), "Q~".to_owned()];
        let slow = Either::Automaton(AhoCorasick::new(&literals).unwrap());
        let fast = Either::new(&literals).unwrap();
        let text = "x pa ss pas~Q~ then a pass, and a long end without any of them, so that every path is taken";
        for from in 0..text.len() {
            assert_eq!(slow.find(text, from), fast.find(text, from), "{from}");
        }
    }
}
