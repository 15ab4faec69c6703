//! What was taken out, told without the value: by which rule, in which field, how often.

use std::collections::BTreeMap;
use std::fmt;

/// Kinds of findings that are told one by one.
const TOLD: usize = 64;

/// What was taken out and how often; never the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redacted {
    /// The pattern's name, or the path pattern.
    pub by: String,
    /// The names of members on the way to it, with dots between them; empty at the top, and where too many are told of.
    pub field: String,
    /// How often.
    pub count: u64,
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.by),
            field if field == self.by => f.write_str(field),
            field => write!(f, "{} in {field}", self.by),
        }
    }
}

/// How often each rule changed something, by place.
#[derive(Default)]
pub(super) struct Tally<'r>(pub(super) BTreeMap<(&'r str, usize), u64>);

impl<'r> Tally<'r> {
    pub(super) fn add(&mut self, by: &'r str, place: usize, more: u64) {
        let full = self.0.len() >= TOLD && !self.0.contains_key(&(by, place));
        let count = self.0.entry((by, if full { 0 } else { place })).or_default();
        *count = count.saturating_add(more);
    }
}
