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

    /// The structured value, for redaction.
    #[must_use]
    pub fn into_structured(self) -> Value {
        self.structured
    }
}
