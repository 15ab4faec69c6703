//! Which lines could hold a secret: those with one of the letters that the built-in rules need. The search is for short
//! literals alone and goes many bytes at a time, so that clean text costs next to nothing; only the lines it names are
//! looked at, and of those only by the rules whose words they have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::packed::{Config, MatchKind, Searcher};
use aho_corasick::{AhoCorasick, AhoCorasickKind, Span};

use crate::error::{Code, Failure};

/// Literals that one searcher can hold and still be fast.
const TOGETHER: usize = 32;
/// Letters of a literal that are searched for.
const LETTERS: usize = 4;
/// Letters that many words have: searching for these takes the place of searching for each of the words.
const SHARED: [&str; 6] = ["pass", "pw", "secr", "oken", "oriz", "htok"];
/// Letters and signs in what daemons write, the most common first.
const COMMON: &[u8] = b"e tainosr0l1cd2:.-up/m=345_g6789hfby\"wv,k()[]'x@jqz";
/// Bytes that are searched by all searchers before the next: they stay near the processor meanwhile.
const BLOCK: usize = 16 << 10;

/// Parts of the literals, in small letters, in as many searchers as they need.
pub(super) struct Prefilter {
    searchers: Vec<(Either, Vec<Wholes>)>,
}

/// The literals that have one part, in small letters, each with where the part begins in it.
type Wholes = Vec<(Vec<u8>, usize)>;

/// A searcher of many bytes at a time, or for processors without the means one of a byte at a time.
enum Either {
    Packed(Box<Searcher>),
    Automaton(AhoCorasick),
}

impl Prefilter {
    /// For words and literals, in any case: what is found by a part of one may be none.
    ///
    /// # Errors
    /// [`Code::Internal`] when there are too many.
    pub(super) fn new<'a>(literals: impl Iterator<Item = &'a str>) -> Result<Self, Failure> {
        let all: BTreeSet<String> = literals.map(str::to_ascii_lowercase).collect();
        let mut parts: BTreeMap<String, Wholes> = BTreeMap::new();
        for literal in all {
            let part = part(&literal);
            let at = literal.find(&part).unwrap_or_default();
            parts.entry(part).or_default().push((literal.into_bytes(), at));
        }
        // Short ones apart: the shortest of a searcher says how closely it can look.
        let mut parts: Vec<(String, Wholes)> = parts.into_iter().collect();
        parts.sort_by_key(|(part, _)| part.len());
        let mut searchers = Vec::new();
        for same in parts.chunk_by(|(one, _), (other, _)| one.len() == other.len()) {
            for some in same.chunks(TOGETHER) {
                let (parts, wholes): (Vec<String>, Vec<Wholes>) = some.iter().cloned().unzip();
                searchers.push((Either::new(&parts)?, wholes));
            }
        }
        Ok(Self { searchers })
    }

    /// The lines of `text` that hold a literal, in order, without their line ends.
    pub(super) fn lines(&self, text: &str) -> Vec<Range<usize>> {
        let (mut lines, mut small, mut start) = (Vec::new(), Vec::with_capacity(text.len().min(BLOCK)), 0_usize);
        while let Some(rest) = text.as_bytes().get(start..).filter(|rest| !rest.is_empty()) {
            // Whole lines, so that nothing is cut in two.
            let length = match rest.get(BLOCK..).and_then(|behind| memchr::memchr(b'\n', behind)) {
                Some(end) => BLOCK.saturating_add(end).saturating_add(1),
                None => rest.len(),
            };
            small.clear();
            small.extend(rest.iter().take(length).map(u8::to_ascii_lowercase));
            for (searcher, wholes) in &self.searchers {
                let mut from = 0;
                while let Some((found, part)) = searcher.find(&small, from) {
                    if !wholes.get(part).is_none_or(|wholes| is_whole(&small, found, wholes)) {
                        from = found.saturating_add(1);
                        continue;
                    }
                    let line = line_at(text, start.saturating_add(found));
                    from = line.end.saturating_sub(start);
                    lines.push(line);
                    if from >= small.len() {
                        break;
                    }
                }
            }
            start = start.saturating_add(length);
        }
        lines.sort_unstable_by_key(|line| line.start);
        lines.dedup();
        lines
    }
}

/// Whether one of the literals stands where its part was found.
fn is_whole(text: &[u8], found: usize, wholes: &Wholes) -> bool {
    wholes.iter().any(|(literal, at)| {
        let start = found.checked_sub(*at);
        start.and_then(|start| text.get(start..)).is_some_and(|rest| rest.starts_with(literal))
    })
}

/// The letters of a literal that are searched for.
fn part(literal: &str) -> String {
    let shared = SHARED.iter().find(|shared| literal.contains(*shared)).copied();
    let windows = literal.as_bytes().windows(LETTERS).filter_map(|window| std::str::from_utf8(window).ok());
    let rarest = || windows.max_by_key(|window| window.bytes().map(rarity).sum::<usize>()).unwrap_or(literal);
    shared.unwrap_or_else(rarest).to_owned()
}

/// How rare a letter is in what daemons write.
fn rarity(letter: u8) -> usize {
    COMMON.iter().position(|common| *common == letter).unwrap_or(COMMON.len())
}

impl Either {
    fn new(literals: &[String]) -> Result<Self, Failure> {
        let packed = Config::new().match_kind(MatchKind::LeftmostFirst).builder().extend(literals).build();
        match packed {
            Some(searcher) => Ok(Self::Packed(Box::new(searcher))),
            None => AhoCorasick::new(literals).map(Self::Automaton).map_err(too_many),
        }
    }

    /// Where the first literal at or after `from` begins, and which it is.
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let span = Span { start: from, end: text.len() };
        match self {
            Self::Packed(searcher) => {
                searcher.find_in(text, span).map(|found| (found.start(), found.pattern().as_usize()))
            }
            Self::Automaton(automaton) => {
                let found = automaton.find(aho_corasick::Input::new(text).span(span));
                found.map(|found| (found.start(), found.pattern().as_usize()))
            }
        }
    }
}

/// Which rules the words of a line concern.
pub(super) struct Index {
    words: Words,
    literals: Words,
}

/// Words, and the rules that need each.
struct Words {
    automaton: AhoCorasick,
    rules: Vec<Vec<usize>>,
}

impl Index {
    /// For each rule its words in any case and its literals in theirs.
    ///
    /// # Errors
    /// [`Code::Internal`] when there are too many.
    pub(super) fn new<'a, W: IntoIterator<Item = &'a str>, L: IntoIterator<Item = &'a str>>(
        rules: impl Iterator<Item = (W, L)>,
    ) -> Result<Self, Failure> {
        let mut words: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut literals: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (rule, (any_case, own_case)) in rules.enumerate() {
            any_case.into_iter().for_each(|word| words.entry(word).or_default().push(rule));
            own_case.into_iter().for_each(|literal| literals.entry(literal).or_default().push(rule));
        }
        Ok(Self { words: Words::new(words, true)?, literals: Words::new(literals, false)? })
    }

    /// The rules that may match in `line`, in their order.
    pub(super) fn rules(&self, line: &str) -> Vec<usize> {
        let mut rules = Vec::new();
        self.words.add(line, &mut rules);
        self.literals.add(line, &mut rules);
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

impl Words {
    fn new(words: BTreeMap<&str, Vec<usize>>, any_case: bool) -> Result<Self, Failure> {
        let (words, rules): (Vec<&str>, Vec<Vec<usize>>) = words.into_iter().unzip();
        let kind = Some(AhoCorasickKind::ContiguousNFA);
        let automaton = AhoCorasick::builder().kind(kind).ascii_case_insensitive(any_case).build(words);
        Ok(Self { automaton: automaton.map_err(too_many)?, rules })
    }

    fn add(&self, line: &str, rules: &mut Vec<usize>) {
        let mut last = None;
        for found in self.automaton.find_overlapping_iter(line) {
            let word = found.pattern().as_usize();
            if last != Some(word) {
                rules.extend(self.rules.get(word).into_iter().flatten());
                last = Some(word);
            }
        }
    }
}

fn too_many(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Internal, "the literals of redaction cannot be searched for").because(error.to_string())
}

/// The line around a byte.
pub(super) fn line_at(text: &str, at: usize) -> Range<usize> {
    let (before, after) = text.as_bytes().split_at_checked(at).unwrap_or_default();
    let start = memchr::memrchr(b'\n', before).map_or(0, |end| end.saturating_add(1));
    let end = memchr::memchr(b'\n', after).map_or(text.len(), |end| at.saturating_add(end));
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_a_literal_are_named_once_and_no_others() {
        let filter = Prefilter::new(["password", "AKIA", "Q~"].into_iter()).unwrap();
        let text = "one\nPaSsword pass AKIA\n\nakib q-\nlastQ~";
        let lines: Vec<&str> = filter.lines(text).into_iter().map(|line| text.get(line).unwrap()).collect();
        assert_eq!(lines, ["PaSsword pass AKIA", "lastQ~"]);
        assert!(filter.lines("").is_empty());
        assert_eq!(filter.lines("Q~").first(), Some(&(0..2)));
    }

    #[test]
    fn lines_of_every_block_are_named() {
        let filter = Prefilter::new(["AKIA"].into_iter()).unwrap();
        for length in [BLOCK - 5, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let text = format!("{}\nakia\n{} akia", "x".repeat(length), "y".repeat(length));
            let lines = filter.lines(&text);
            assert_eq!(lines, [length + 1..length + 5, length + 6..2 * length + 11], "{length}");
        }
    }

    #[test]
    fn a_searcher_of_one_byte_at_a_time_finds_the_same() {
        let literals = ["pass".to_owned(), "Q~".to_owned()];
        let slow = Either::Automaton(AhoCorasick::new(&literals).unwrap());
        let fast = Either::new(&literals).unwrap();
        let text = "x pa ss pas~Q~ then a pass, and a long end without any of them, so that every path is taken";
        for from in 0..text.len() {
            assert_eq!(slow.find(text.as_bytes(), from), fast.find(text.as_bytes(), from), "{from}");
        }
    }

    #[test]
    fn a_line_concerns_the_rules_whose_words_it_has() {
        let rules = [(vec!["password"], vec!["AKIA"]), (vec!["pass"], vec![]), (vec![], vec!["AKIA", "Q~"])];
        let index = Index::new(rules.into_iter()).unwrap();
        assert_eq!(index.rules("PassWord"), [0, 1]);
        assert_eq!(index.rules("AKIA AKIA"), [0, 2]);
        assert_eq!((index.rules("akia"), index.rules("Q~ bypass")), (vec![], vec![1, 2]));
    }
}
