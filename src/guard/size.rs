//! How many bytes a value takes as JSON text, and how few it could take if lists and texts were cut.

use std::io;

use serde_json::Value;

/// The bytes of `value` as `serde_json` writes it.
pub(super) fn length(value: &Value) -> usize {
    let mut counter = Counter(0);
    // Counting cannot fail, and a value always has a JSON text; if not, it is too long for any cap.
    serde_json::to_writer(&mut counter, value).map_or(usize::MAX, |()| counter.0)
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sizes of a value and of all in it, in the order of the value; made once, so that cutting is linear.
pub(super) struct Size {
    /// As it is.
    pub(super) bytes: usize,
    /// With every text and list in it empty.
    pub(super) least: usize,
    /// Of its items or members.
    pub(super) inner: Vec<Self>,
    /// Of an object without its members' values.
    frame: usize,
}

impl Size {
    pub(super) fn of(value: &Value) -> Self {
        let fixed = |bytes| Self { bytes, least: bytes, inner: Vec::new(), frame: bytes };
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => fixed(length(value)),
            Value::String(text) => Self { bytes: quoted(text), ..fixed(2) },
            Value::Array(items) => {
                let inner: Vec<Self> = items.iter().map(Self::of).collect();
                let commas = items.len().saturating_sub(1);
                let bytes = inner.iter().fold(commas.saturating_add(2), |sum, size| sum.saturating_add(size.bytes));
                Self { bytes, inner, ..fixed(2) }
            }
            Value::Object(members) => {
                let inner: Vec<Self> = members.values().map(Self::of).collect();
                let commas = members.len().saturating_sub(1);
                let frame = members
                    .keys()
                    .fold(commas.saturating_add(2), |sum, key| sum.saturating_add(quoted(key)).saturating_add(1));
                let with =
                    |part: fn(&Self) -> usize| inner.iter().fold(frame, |sum, size| sum.saturating_add(part(size)));
                Self { bytes: with(|size| size.bytes), least: with(|size| size.least), frame, inner }
            }
        }
    }

    /// The most bytes that each member may take so that all fit into `budget`: small members keep their size, large ones
    /// share what is left.
    pub(super) fn share(&self, budget: usize) -> usize {
        let fits = |share: usize| {
            let taken = |sum: usize, size: &Self| sum.saturating_add(size.bytes.min(share.max(size.least)));
            self.inner.iter().fold(self.frame, taken) <= budget
        };
        let (mut low, mut high) = (0, budget);
        while low < high {
            let middle = low.midpoint(high).saturating_add(low.abs_diff(high) & 1);
            if fits(middle) { low = middle } else { high = middle.saturating_sub(1) }
        }
        low
    }
}

fn quoted(text: &str) -> usize {
    text.chars().fold(2, |sum, c| sum.saturating_add(escaped(c)))
}

/// The bytes of a character within a JSON text (RFC 8259 section 7, as `serde_json` writes it).
pub(super) fn escaped(c: char) -> usize {
    match c {
        '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
        '\u{0}'..='\u{1f}' => 6,
        _ => c.len_utf8(),
    }
}
