//! JSON Schemas of tools. Most tools of most processes are never called or even listed, so a schema is made when somebody
//! first needs it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::schema;

type Members = Arc<Map<String, Value>>;
type Make = Box<dyn FnOnce() -> Members + Send>;

/// A JSON Schema 2020-12 of an object, made at its first use.
#[derive(Clone)]
pub struct ToolSchema {
    made: Arc<LazyLock<Members, Make>>,
}

impl ToolSchema {
    /// Of arguments.
    #[must_use]
    pub fn of_arguments<T: JsonSchema>() -> Self {
        Self::from_make(Box::new(|| Arc::new(schema::of_arguments::<T>())))
    }

    /// Of an answer.
    #[must_use]
    pub fn of_answer<T: JsonSchema>() -> Self {
        Self::from_make(Box::new(|| Arc::new(schema::of_answer::<T>())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_made_once_and_only_when_it_is_needed() {
        let (told, made) = std::sync::mpsc::channel();
        let schema = ToolSchema::of_arguments::<Option<u8>>().then(move |members| {
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
