//! What a tool produced. It cannot leave: only `guard::Guard` turns it into something that may be answered.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use crate::error::{Code, Failure};

/// A tool's raw result, before redaction and caps.
#[derive(Debug)]
pub struct Output {
    structured: Value,
    cuts: Vec<String>,
}

/// The caps of the configuration that kept something out of an answer while it was made. They are told with those that the
/// guard applies to every answer, to the caller and in the log.
#[derive(Clone, Default, Debug)]
pub struct Cuts(Arc<Mutex<Vec<Cut>>>);

#[derive(Debug)]
struct Cut {
    what: &'static str,
    count: usize,
    limit: &'static str,
    most: u64,
}

impl Cuts {
    /// `count` of `what` were left out because of the key `limit` below `limits`, such as `logs.max_lines`, which is `most`;
    /// 0 where nobody counted. Counts under one key are added up. Nothing of the data may be in it.
    pub fn note(&self, what: &'static str, count: usize, limit: &'static str, most: impl TryInto<u64>) {
        let most = most.try_into().unwrap_or(u64::MAX);
        let mut cuts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match cuts.iter_mut().find(|cut| cut.limit == limit && cut.what == what) {
            Some(cut) => cut.count = cut.count.saturating_add(count),
            None => cuts.push(Cut { what, count, limit, most }),
        }
    }

    /// One text for each: `entries: 7 left out (limits.logs.max_lines is 1000)`.
    fn told(&self) -> Vec<String> {
        let cuts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |cut: &Cut| if cut.count == 0 { "some".to_owned() } else { cut.count.to_string() };
        let text = |cut: &Cut| format!("{}: {} left out (limits.{} is {})", cut.what, count(cut), cut.limit, cut.most);
        cuts.iter().map(text).collect()
    }
}

impl Output {
    /// From a typed result that fits the tool's output schema.
    ///
    /// # Errors
    /// [`Code::Internal`] when the value has no JSON form.
    pub fn structured(value: &impl Serialize) -> Result<Self, Failure> {
        serde_json::to_value(value)
            .map(|structured| Self { structured, cuts: Vec::new() })
            .map_err(|error| Failure::new(Code::Internal, "the result has no JSON form").because(error))
    }

    /// The same, with what caps kept out of it.
    #[must_use]
    pub fn cut_by(self, cuts: &Cuts) -> Self {
        Self { cuts: cuts.told(), ..self }
    }

    /// The structured value, for redaction.
    #[must_use]
    pub fn into_structured(self) -> Value {
        self.structured
    }

    /// The same, and the caps that kept something out of it.
    #[must_use]
    pub fn into_parts(self) -> (Value, Vec<String>) {
        (self.structured, self.cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cap_left_out_is_added_up_and_told_by_its_key() {
        let cuts = Cuts::default();
        cuts.note("entries", 3, "logs.max_lines", 10_u64);
        cuts.note("entries", 4, "logs.max_lines", 10_u64);
        cuts.note("ends of files", 0, "logs.max_bytes_per_file", 8192_usize);
        let (value, told) = Output::structured(&7).unwrap().cut_by(&cuts).into_parts();
        assert_eq!(value, 7);
        assert_eq!(
            told,
            [
                "entries: 7 left out (limits.logs.max_lines is 10)",
                "ends of files: some left out (limits.logs.max_bytes_per_file is 8192)",
            ]
        );
    }
}
