//! Arguments that passed the tool's schema: parsed once, and what the policy judges is what the tool gets.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ToolSchema, ToolSpec};
use crate::error::{Code, Failure};

/// Longest description of one violation, in characters.
const LONGEST_FINDING: usize = 256;

/// A tool's input schema, compiled at the first call of the tool.
pub struct ArgumentSchema {
    tool: Cow<'static, str>,
    declared: ToolSchema,
    validator: OnceLock<jsonschema::Validator>,
}

impl ArgumentSchema {
    /// The input schema of `spec`.
    #[must_use]
    pub fn of(spec: &ToolSpec) -> Self {
        Self { tool: spec.name.clone(), declared: spec.input_schema.clone(), validator: OnceLock::new() }
    }

    /// Makes it ready, if it is not.
    ///
    /// # Errors
    /// [`Code::Internal`] when the schema is not valid JSON Schema 2020-12 or refers to something outside itself.
    pub fn compiled(&self) -> Result<&jsonschema::Validator, Failure> {
        if let Some(validator) = self.validator.get() {
            return Ok(validator);
        }
        let schema = Value::Object((*self.declared).clone());
        let compiled = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
        let validator = compiled.map_err(|error| {
            Failure::new(Code::Internal, format!("the input schema of {} is not valid", self.tool))
                .because(error.to_string())
        })?;
        Ok(self.validator.get_or_init(|| validator))
    }

    /// Judges `raw` and, if it fits, seals it.
    ///
    /// # Errors
    /// [`Code::ArgumentsInvalid`] with every violation and where it is; values are not repeated. [`Code::Internal`] when
    /// the schema itself is not valid.
    pub fn parse(&self, raw: Map<String, Value>) -> Result<Arguments, Failure> {
        let (validator, value) = (self.compiled()?, Value::Object(raw));
        if !validator.is_valid(&value) {
            let mut findings: Vec<String> = validator.iter_errors(&value).take(8).map(|e| describe(&e)).collect();
            findings.dedup();
            let text = format!("the arguments do not fit the tool's schema: {}", findings.join("; "));
            return Err(Failure::new(Code::ArgumentsInvalid, text));
        }
        match value {
            Value::Object(values) => Ok(Arguments { values }),
            _ => Err(Failure::new(Code::ArgumentsInvalid, "the arguments must be an object")),
        }
    }
}

/// Where and what, cut short: names of members are the caller's own and may be as long as a body.
fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let place = if path.is_empty() { "/".to_owned() } else { path };
    let mut text = format!("{place}: {}", error.masked());
    if let Some((end, _)) = text.char_indices().nth(LONGEST_FINDING) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Arguments that fit their tool's schema; only [`ArgumentSchema::parse`] makes them.
#[derive(Debug)]
pub struct Arguments {
    values: Map<String, Value>,
}

impl Arguments {
    /// The arguments in the tool's own type.
    ///
    /// # Errors
    /// [`Code::ArgumentsInvalid`] when the type is narrower than the schema.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(serde::de::value::MapDeserializer::new(
            self.values.iter().map(|(key, value)| (key.as_str(), value)),
        ))
        .map_err(|error: serde_json::Error| Failure::new(Code::ArgumentsInvalid, format!("the arguments: {error}")))
    }

    /// The values, for the policy and the audit log.
    #[must_use]
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::call::Impact;

    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Args {
        #[expect(dead_code, reason = "only the schema is looked at")]
        limit: Option<u32>,
    }

    fn refusal(raw: Value) -> String {
        let spec = ToolSpec::query::<Args, Args>("t", "T", "T.", Impact::Low);
        let schema = ArgumentSchema::of(&spec);
        schema.parse(raw.as_object().unwrap().clone()).unwrap_err().public().to_owned()
    }

    #[test]
    fn a_refusal_names_the_place_and_never_the_value() {
        let text = refusal(serde_json::json!({ "limit": "hunter2" }));
        assert!(text.contains("/limit") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_refusal_is_short_whatever_the_caller_sent() {
        let many: Map<String, Value> = (0..10_000).map(|n| (format!("é{n}"), Value::Null)).collect();
        assert!(refusal(Value::Object(many)).len() < 2048);
        assert!(refusal(serde_json::json!({ "x".repeat(1_000_000): 1 })).len() < 2048);
    }
}
