//! What a tool produced. It cannot leave: only `guard::Guard` turns it into something that may be answered.

use serde::Serialize;
use serde_json::Value;

use super::Taken;
use crate::error::{Code, Failure};

/// A tool's raw result, before redaction and caps.
#[derive(Debug)]
pub struct Output {
    structured: Value,
    limits: Vec<String>,
    taken: Taken,
}

impl Output {
    /// From a typed result that fits the tool's output schema.
    ///
    /// # Errors
    /// [`Code::Internal`] when the value has no JSON form.
    pub fn structured(value: &impl Serialize) -> Result<Self, Failure> {
        serde_json::to_value(value)
            .map(|structured| Self { structured, limits: Vec::new(), taken: Taken::default() })
            .map_err(|error| Failure::new(Code::Internal, "the result has no JSON form").because(error))
    }

    /// The same, cut by these limits while it was made: for the audit log, each with the key it is configured by. The result
    /// says so itself.
    #[must_use]
    pub fn cut_by(self, limits: Vec<String>) -> Self {
        Self { limits, ..self }
    }

    /// The limits that cut it.
    #[must_use]
    pub fn limits(&self) -> &[String] {
        &self.limits
    }

    /// The same with what was taken out of it on the way.
    #[must_use]
    pub fn without(self, taken: &Taken) -> Self {
        Self { taken: taken.clone(), ..self }
    }

    /// What was taken out of it on the way.
    #[must_use]
    pub fn taken(&self) -> &Taken {
        &self.taken
    }

    /// Whether its names and texts have more than so many bytes; looks no further than it takes.
    #[must_use]
    pub fn is_larger_than(&self, most: usize) -> bool {
        passes(&self.structured, most).is_none()
    }

    /// The structured value, for redaction.
    #[must_use]
    pub fn into_structured(self) -> Value {
        self.structured
    }
}

/// What of `room` is left behind `value`, if there is enough.
fn passes(value: &Value, room: usize) -> Option<usize> {
    // A value without text takes a moment too.
    let room = room.checked_sub(1)?;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(room),
        Value::String(text) => room.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(room, |room, item| passes(item, room)),
        Value::Object(members) => {
            members.iter().try_fold(room, |room, (key, member)| passes(member, room.checked_sub(key.len())?))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_output_is_as_large_as_its_names_and_texts() {
        let larger = |value: Value, most| Output::structured(&value).unwrap().is_larger_than(most);
        assert!(!larger(json!("abc"), 4) && larger(json!("abc"), 3));
        assert!(!larger(json!({"ab": ["cd", 7, null]}), 9) && larger(json!({"ab": ["cd", 7, null]}), 8));
        assert!(larger(json!(vec![0; 100]), 100) && !larger(json!(vec![0; 100]), 101));
    }
}
