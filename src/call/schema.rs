//! JSON Schemas of tools. Most tools of most processes are never called or even listed, so a schema is made when somebody
//! first needs it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

type Members = Arc<Map<String, Value>>;
type Make = Box<dyn FnOnce() -> Members + Send>;

/// A JSON Schema 2020-12 of an object, made at its first use.
#[derive(Clone)]
pub struct ToolSchema {
    made: Arc<LazyLock<Members, Make>>,
}

impl ToolSchema {
    /// The schema of a type.
    #[must_use]
    pub fn of<T: JsonSchema>() -> Self {
        Self::from_make(Box::new(|| Arc::new(object_schema::<T>())))
    }

    /// The same with this done to it once it is made.
    #[must_use]
    pub fn then(&self, change: impl FnOnce(&mut Map<String, Value>) + Send + 'static) -> Self {
        let before = self.clone();
        Self::from_make(Box::new(move || {
            let mut members = (*before).clone();
            change(&mut members);
            Arc::new(members)
        }))
    }

    /// Its members, shared.
    #[must_use]
    pub fn members(&self) -> Arc<Map<String, Value>> {
        Arc::clone(&self.made)
    }

    fn from_make(make: Make) -> Self {
        Self { made: Arc::new(LazyLock::new(make)) }
    }
}

impl Deref for ToolSchema {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.made
    }
}

impl fmt::Debug for ToolSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ToolSchema")
    }
}

/// JSON Schema knows formats of strings only: `uint64` and the like say nothing to a client, and many warn of each. What
/// range a number has is in `minimum` and `maximum`.
fn without_formats_of_numbers(schema: &mut Schema) {
    let is_text = match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    if !is_text {
        schema.remove("format");
    }
}

fn object_schema<T: JsonSchema>() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(without_formats_of_numbers));
    let mut schema = match settings.into_generator().into_root_schema_for::<T>().to_value() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    schema.remove("title");
    // MCP demands `type: object` at the root of both schemas.
    schema.entry("type").or_insert_with(|| Value::from("object"));
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_names_no_format_of_a_number() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema counts")]
        struct Reading {
            count: u64,
            parts: Vec<Option<u32>>,
            share: f64,
            #[schemars(extend("format" = "date-time"))]
            at: String,
        }
        let text = Value::from(object_schema::<Reading>()).to_string();
        assert_eq!(text.matches("\"format\"").count(), 1, "{text}");
        assert!(text.contains("\"date-time\"") && text.contains("\"minimum\":0"), "{text}");
    }

    #[test]
    fn a_schema_is_made_once_and_only_when_it_is_needed() {
        let (told, made) = std::sync::mpsc::channel();
        let schema = ToolSchema::of::<Option<u8>>().then(move |members| {
            told.send(()).unwrap();
            members.insert("maximum".to_owned(), Value::from(3));
        });
        let narrower = schema.then(|members| drop(members.insert("maximum".to_owned(), Value::from(2))));
        assert!(made.try_recv().is_err(), "nobody has looked yet");
        assert_eq!((&narrower["maximum"], &schema["maximum"]), (&Value::from(2), &Value::from(3)));
        assert_eq!(schema.members().get("maximum"), Some(&Value::from(3)));
        assert_eq!(made.iter().count(), 1);
    }
}
