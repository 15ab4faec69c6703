//! Where to look: all texts of an answer are searched together, a block at a time, for the lines that a rule may concern.

use std::ops::Range;

use super::Redactor;
use crate::guard::walk::Leaf;
use crate::guard::{blocks, disguise};

/// Bytes of short texts that are searched together.
const SHEET: usize = 16 << 10;

/// What a search of texts tells.
#[derive(Default)]
pub(super) struct Search {
    /// The texts with lines to look at, and those lines, in order.
    pub(super) lines: Vec<(usize, Vec<Range<usize>>)>,
    /// Whether one calls for a look at the lines behind it.
    pub(super) spans: bool,
}

impl Redactor {
    /// The lines of all texts that a rule may concern.
    pub(super) fn search(&self, leaves: &[Leaf<'_>]) -> Search {
        let mut search = Search::default();
        let mut sheet = String::with_capacity(SHEET.saturating_mul(2));
        let mut first = 0;
        for (index, leaf) in leaves.iter().enumerate() {
            let long = leaf.text.len() >= SHEET;
            if long || sheet.len() >= SHEET {
                self.search_sheet(&sheet, leaves, first, &mut search);
                sheet.clear();
                first = index;
            }
            if long {
                let (lines, spans) = self.suspicious(leaf.text);
                search.spans |= spans;
                if !lines.is_empty() {
                    search.lines.push((index, lines));
                }
                first = index.saturating_add(1);
            } else {
                sheet.push_str(leaf.text);
                sheet.push('\n');
            }
        }
        self.search_sheet(&sheet, leaves, first, &mut search);
        search
    }

    /// Searches texts that stand one behind the other, from the one at `first` on.
    fn search_sheet(&self, sheet: &str, leaves: &[Leaf<'_>], first: usize, search: &mut Search) {
        let (lines, spans) = self.suspicious(sheet);
        search.spans |= spans;
        let mut lines = lines.into_iter().peekable();
        let (mut start, mut index): (usize, usize) = (0, first);
        while lines.peek().is_some() {
            let Some(leaf) = leaves.get(index) else { break };
            let end = start.saturating_add(leaf.text.len());
            let mut own = Vec::new();
            while let Some(line) = lines.next_if(|line| line.start <= end) {
                own.push(line.start.saturating_sub(start)..line.end.saturating_sub(start));
            }
            if !own.is_empty() {
                search.lines.push((index, own));
            }
            start = end.saturating_add(1);
            index = index.saturating_add(1);
        }
    }

    /// The lines that a rule may concern, in order, and whether one of them calls for a look at those behind it.
    pub(super) fn suspicious(&self, text: &str) -> (Vec<Range<usize>>, bool) {
        let mut lines = self.builtin.prefilter.lines(text);
        let calls = lines.iter().any(|line| text.get(line.clone()).is_some_and(blocks::calls));
        lines.extend(disguise::lines(text));
        lines.sort_unstable_by_key(|line| line.start);
        lines.dedup();
        (lines, calls)
    }
}
