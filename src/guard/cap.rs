//! Cutting an output to size, and saying so. Only what a schema allows to be shorter is cut: the ends of lists and of texts.
//! Members of objects stay, so the result still has the tool's shape. What is cut depends on the value alone.
//!
//! An object may count a list beside it: `returned` and `left_out`. These are set right after a cut, or taken away where it
//! cannot be told which list they count, so that no answer says of itself what is no longer true.

use serde_json::{Map, Value};

use super::LimitsSection;
use super::size::Size;
use crate::error::{Code, Failure};

/// Stands at the end of a text that was cut for its bytes.
const CUT: &str = "…";
/// What a cap counts, and its key.
const ITEMS: (&str, &str) = ("items", "max_array_items");
const LINES: (&str, &str) = ("lines", "max_output_lines");
const BYTES: (&str, &str) = ("bytes", "max_output_bytes");
/// The number of items in the list beside it, and of those that would fit and are not there.
const RETURNED: &str = "returned";
const LEFT_OUT: &str = "left_out";
/// Cuts that are told one by one.
const TOLD: usize = 16;
/// Characters of a place that are told.
const PLACE: usize = 200;

/// The sizes.
#[derive(Clone, Copy)]
pub struct Caps {
    items: usize,
    lines: usize,
    bytes: usize,
}

impl Caps {
    /// As configured.
    #[must_use]
    pub fn new(limits: &LimitsSection) -> Self {
        Self { items: limits.max_array_items, lines: limits.max_output_lines, bytes: limits.max_output_bytes }
    }

    /// Cuts `value` to size; returns its JSON text and what was cut, such as
    /// `items: 40 of 1040 left out at /processes (limits.max_array_items is 1000)`.
    ///
    /// # Errors
    /// [`Code::OverBudget`] when its names and numbers alone are too many bytes.
    pub(super) fn cut(&self, value: &mut Value) -> Result<(String, Vec<String>), Failure> {
        let mut cuts = Cuts::default();
        self.shorten(value, Place::Root, &mut cuts);
        let mut text = written(value)?;
        if text.len() > self.bytes {
            let size = Size::of(value);
            if size.least > self.bytes {
                return Err(too_large(size.least, self.bytes));
            }
            cuts.bytes = self.bytes;
            shrink(value, &size, self.bytes, Place::Root, &mut cuts);
            text = written(value)?;
            // A mistake in the arithmetic above must not become an answer over the cap.
            if text.len() > self.bytes {
                return Err(too_large(text.len(), self.bytes));
            }
        }
        Ok((text, cuts.told()))
    }

    fn shorten(&self, value: &mut Value, place: Place<'_>, cuts: &mut Cuts) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => {
                let (end, all) = self.lines_end(text);
                if let Some(end) = end {
                    text.truncate(end);
                    cuts.add(LINES, all.saturating_sub(self.lines), all, place, self.lines);
                }
            }
            Value::Array(items) => {
                let all = items.len();
                if all > self.items {
                    items.truncate(self.items);
                    cuts.add(ITEMS, all.saturating_sub(self.items), all, place, self.items);
                }
                for (index, item) in items.iter_mut().enumerate() {
                    self.shorten(item, Place::Index(&place, index), cuts);
                }
            }
            Value::Object(members) => {
                let counted = Counted::of(members, cuts);
                for (key, member) in members.iter_mut() {
                    self.shorten(member, Place::Key(&place, key), cuts);
                }
                counted.recount(members, cuts);
            }
        }
    }

    /// Where the text is to end if it has too many lines, and how many it has.
    fn lines_end(&self, text: &str) -> (Option<usize>, usize) {
        // A line feed at the very end begins no line.
        let breaks = text.strip_suffix('\n').unwrap_or(text).match_indices('\n').count();
        let all = if text.is_empty() { 0 } else { breaks.saturating_add(1) };
        if all <= self.lines {
            return (None, all);
        }
        let end = match self.lines.checked_sub(1) {
            Some(last) => text.match_indices('\n').nth(last).map(|(at, _)| at),
            None => Some(0),
        };
        (end, all)
    }
}

fn written(value: &Value) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map_err(|error| Failure::new(Code::Internal, "the result has no JSON form").because(error))
}

fn too_large(bytes: usize, most: usize) -> Failure {
    Failure::new(Code::OverBudget, "the result is too large and cannot be cut; ask for less")
        .because(format!("{bytes} bytes remain, limits.max_output_bytes is {most}"))
}

/// Cuts `value`, whose size is `size`, to `budget` bytes, which is not less than `size.least`.
fn shrink(value: &mut Value, size: &Size, budget: usize, place: Place<'_>, cuts: &mut Cuts) {
    if size.bytes <= budget {
        return;
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => {
            let all = text.len();
            let end = end_within(text, budget.saturating_sub(2).saturating_sub(CUT.len()));
            text.truncate(end);
            if budget >= CUT.len().saturating_add(2) {
                text.push_str(CUT);
            }
            cuts.add(BYTES, all.saturating_sub(end), all, place, cuts.bytes);
        }
        Value::Array(items) => {
            let all = items.len();
            let mut left = budget.saturating_sub(2);
            let mut keep: usize = 0;
            for (index, (item, size)) in items.iter_mut().zip(&size.inner).enumerate() {
                let room = left.saturating_sub(usize::from(index > 0));
                if size.bytes <= room {
                    left = room.saturating_sub(size.bytes);
                } else if size.least <= room && room > 0 && size.bytes > budget / 4 {
                    // One large item among small ones is better cut than left out with all that follow it.
                    shrink(item, size, room, Place::Index(&place, index), cuts);
                    keep = index.saturating_add(1);
                    break;
                } else {
                    break;
                }
                keep = index.saturating_add(1);
            }
            items.truncate(keep);
            if keep < all {
                cuts.add(("items", BYTES.1), all.saturating_sub(keep), all, place, cuts.bytes);
            }
        }
        Value::Object(members) => {
            let share = size.share(budget);
            let counted = Counted::of(members, cuts);
            for ((key, member), size) in members.iter_mut().zip(&size.inner) {
                let budget = size.bytes.min(share.max(size.least));
                shrink(member, size, budget, Place::Key(&place, key), cuts);
            }
            counted.recount(members, cuts);
        }
    }
}

/// What an object counts of a list in it, before that is cut.
struct Counted {
    /// The key of the one list that has as many items as are said to be returned.
    list: Option<String>,
    /// Items that had been lost so far, anywhere.
    lost: usize,
}

impl Counted {
    fn of(members: &Map<String, Value>, cuts: &Cuts) -> Self {
        let returned = members.get(RETURNED).and_then(Value::as_u64);
        let same = |value: &Value| {
            let items = value.as_array().map(Vec::len).and_then(|items| u64::try_from(items).ok());
            items.is_some() && items == returned
        };
        let mut lists = members.iter().filter(|(_, value)| same(value)).map(|(key, _)| key);
        let list = lists.next().filter(|_| returned.is_some()).cloned();
        Self { list: list.filter(|_| lists.next().is_none()), lost: cuts.items }
    }

    /// Never makes the object larger, for its size was reckoned with before: numbers that would need more digits go.
    fn recount(self, members: &mut Map<String, Value>, cuts: &Cuts) {
        let Some(left_out) = members.get(LEFT_OUT).and_then(Value::as_u64).filter(|_| cuts.items > self.lost) else {
            return;
        };
        let list = self.list.and_then(|key| members.get(&key)).and_then(Value::as_array);
        let now = list.map(Vec::len).and_then(|items| u64::try_from(items).ok());
        let before = members.get(RETURNED).and_then(Value::as_u64).unwrap_or_default();
        let digits = |one: u64, other: u64| one.to_string().len().saturating_add(other.to_string().len());
        let counts = now.map(|now| (now, left_out.saturating_add(before.saturating_sub(now))));
        match counts.filter(|(now, left)| digits(*now, *left) <= digits(before, left_out)) {
            Some((now, left)) => {
                members.insert(RETURNED.to_owned(), Value::from(now));
                members.insert(LEFT_OUT.to_owned(), Value::from(left));
            }
            None => {
                members.remove(RETURNED);
                members.remove(LEFT_OUT);
            }
        }
    }
}

/// The longest beginning of `text` that is `budget` bytes as JSON.
fn end_within(text: &str, budget: usize) -> usize {
    let mut left = budget;
    for (at, c) in text.char_indices() {
        match left.checked_sub(super::size::escaped(c)) {
            Some(rest) => left = rest,
            None => return at,
        }
    }
    text.len()
}

/// Where in the value, as a JSON pointer (RFC 6901).
#[derive(Clone, Copy)]
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(above, key) => write!(f, "{above}/{}", key.replace('~', "~0").replace('/', "~1")),
            Self::Index(above, index) => write!(f, "{above}/{index}"),
        }
    }
}

/// What was cut: the first few in words, the rest as a number.
#[derive(Default)]
struct Cuts {
    told: Vec<String>,
    more: usize,
    /// Items of lists that are gone, in all.
    items: usize,
    /// The cap on bytes, once it is what cuts.
    bytes: usize,
}

impl Cuts {
    fn add(&mut self, (what, limit): (&str, &str), cut: usize, all: usize, place: Place<'_>, most: usize) {
        if what == ITEMS.0 {
            self.items = self.items.saturating_add(cut);
        }
        if self.told.len() >= TOLD {
            self.more = self.more.saturating_add(1);
            return;
        }
        let place = match place {
            Place::Root => "the top".to_owned(),
            Place::Key(..) | Place::Index(..) => place.to_string().chars().take(PLACE).collect(),
        };
        self.told.push(format!("{what}: {cut} of {all} left out at {place} (limits.{limit} is {most})"));
    }

    fn told(mut self) -> Vec<String> {
        if self.more > 0 {
            self.told.push(format!("and {} more of the kind", self.more));
        }
        self.told
    }
}

#[cfg(test)]
mod tests;
