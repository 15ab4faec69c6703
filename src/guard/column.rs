//! The texts at one place of a list as one text, a line each: a log that comes item by item is read as the log that it was.

use super::redact::REDACTED;
use super::walk::Leaf;

/// A part of a text, and what is to stand in its place.
pub(super) type Span = (usize, usize, String);

/// The texts of a column.
pub(super) struct Column {
    /// All of them, with line ends between them.
    pub(super) text: String,
    /// Which they are, and where each begins.
    leaves: Vec<(usize, usize)>,
}

impl Column {
    pub(super) fn of(leaves: &[Leaf<'_>], indices: Vec<usize>) -> Self {
        let mut column = Self { text: String::new(), leaves: Vec::with_capacity(indices.len()) };
        for index in indices {
            let Some(leaf) = leaves.get(index) else { continue };
            if !column.leaves.is_empty() {
                column.text.push('\n');
            }
            column.leaves.push((index, column.text.len()));
            column.text.push_str(leaf.text);
        }
        column
    }

    /// Puts into the texts what stands in place of each span; a text that lies within one has only that left.
    pub(super) fn apply(&self, leaves: &mut [Leaf<'_>], spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let mut spans = apart(spans).into_iter().peekable();
        for (index, start) in &self.leaves {
            let Some(leaf) = leaves.get_mut(*index) else { continue };
            let end = start.saturating_add(leaf.text.len());
            let mut own: Vec<Span> = Vec::new();
            while let Some((from, to, piece)) = spans.peek_mut().filter(|(from, ..)| *from < end) {
                let here = (*from).max(*start)..(*to).min(end);
                if !here.is_empty() {
                    own.push((here.start.saturating_sub(*start), here.end.saturating_sub(*start), piece.clone()));
                }
                if *to > end {
                    // The rest of it is in texts that follow.
                    *from = end;
                    REDACTED.clone_into(piece);
                    break;
                }
                spans.next();
            }
            if let Some(clean) = cut(leaf.text, &own) {
                *leaf.text = clean;
            }
        }
    }
}

/// The spans in order, those that overlap made one with the piece of the first.
fn apart(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|(start, end, _)| (*start, *end));
    spans.dedup_by(|later, earlier| {
        let overlap = later.0 < earlier.1;
        if overlap {
            earlier.1 = earlier.1.max(later.1);
        }
        overlap
    });
    spans
}

/// `text` with the pieces in place of the spans, which are in order; where two overlap both go and the first piece stands.
pub(super) fn cut(text: &str, spans: &[Span]) -> Option<String> {
    if spans.is_empty() {
        return None;
    }
    let mut clean = String::with_capacity(text.len());
    let mut at: usize = 0;
    for (start, end, piece) in spans {
        if *start >= at {
            clean.push_str(text.get(at..*start).unwrap_or_default());
            clean.push_str(piece);
        }
        at = at.max(*end);
    }
    clean.push_str(text.get(at..).unwrap_or_default());
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(texts: &[&str], spans: &[(usize, usize, &str)]) -> Vec<String> {
        let mut texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let mut leaves: Vec<Leaf<'_>> = texts.iter_mut().map(|text| Leaf { text, place: 0 }).collect();
        let all = (0..leaves.len()).collect();
        let spans = spans.iter().map(|(start, end, piece)| (*start, *end, (*piece).to_owned())).collect();
        Column::of(&leaves, all).apply(&mut leaves, spans);
        texts
    }

    #[test]
    fn a_span_over_several_texts_leaves_what_stands_around_it() {
        // abc / de / / fgh, with line ends at 3, 6 and 7.
        let texts = ["abc", "de", "", "fgh"];
        assert_eq!(applied(&texts, &[(1, 9, "#")]), ["a#", REDACTED, "", "[REDACTED]gh"]);
        assert_eq!(applied(&texts, &[(4, 6, "#")]), ["abc", "#", "", "fgh"]);
        assert_eq!(applied(&texts, &[(0, 1, "1"), (2, 3, "2"), (10, 11, "3")]), ["1b2", "de", "", "fg3"]);
        assert_eq!(applied(&texts, &[(1, 5, "1"), (0, 2, "2")]), ["2", "[REDACTED]e", "", "fgh"]);
        // The line end between two texts is in neither.
        assert_eq!(applied(&texts, &[(1, 4, "#")]), ["a#", "de", "", "fgh"]);
        assert_eq!(applied(&texts, &[]), texts);
    }
}
