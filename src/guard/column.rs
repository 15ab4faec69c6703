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
        for (index, start) in &self.leaves {
            let Some(leaf) = leaves.get_mut(*index) else { continue };
            let end = start.saturating_add(leaf.text.len());
            let own: Vec<Span> = spans
                .iter()
                .filter(|(from, to, _)| *from < end && *to > *start)
                .map(|(from, to, piece)| {
                    let begins_here = from >= start;
                    let piece = if begins_here { piece.clone() } else { REDACTED.to_owned() };
                    (from.max(start).saturating_sub(*start), to.min(&end).saturating_sub(*start), piece)
                })
                .collect();
            if let Some(clean) = cut(leaf.text, &own) {
                *leaf.text = clean;
            }
        }
    }
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
