//! What may stand where: the JSON Schema of the sections, read back into the few forms that they are made of. So the
//! structs are the one place where a key, its type, its range and its description are written.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Code, Failure};

/// The form of a value.
pub(super) enum Shape {
    /// Known keys and no others.
    Section(BTreeMap<String, Key>),
    /// Keys that people choose, all with values of one form.
    Table(Box<Shape>),
    List(Box<Shape>),
    /// One value, or a list of them.
    OneOrMore(Box<Shape>),
    Choice(Vec<String>),
    Text(Format),
    /// A whole number within bounds.
    Integer {
        least: i128,
        most: i128,
    },
    Boolean,
}

/// What a text must be besides text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Free,
    AddressPort,
    FileMode,
}

/// A key of a section.
pub(super) struct Key {
    pub(super) shape: Shape,
    /// May be left without a value.
    pub(super) optional: bool,
    /// Must be there, for want of a default.
    pub(super) required: bool,
    /// The description, for units.
    pub(super) about: String,
    /// Accepted, and ignored by this version: the description says so.
    pub(super) idle: bool,
}

impl Shape {
    /// Reads a root schema.
    ///
    /// # Errors
    /// [`Code::Internal`] when a section is made of something else than the forms above.
    pub(super) fn read(schema: &Value) -> Result<Self, Failure> {
        Reader { root: schema }.key(schema, 0).map(|key| key.shape)
    }

    /// The paths of all known keys, with dots.
    pub(super) fn paths(&self) -> Vec<String> {
        let Self::Section(keys) = self else { return Vec::new() };
        let mut paths = Vec::new();
        for (name, key) in keys {
            paths.push(name.clone());
            paths.extend(key.shape.paths().into_iter().map(|below| format!("{name}.{below}")));
        }
        paths
    }
}

/// The words by which a description says that a key is accepted and ignored.
const IDLE: &str = "No effect in this version";

/// Sections do not nest deeper; a schema that refers to itself is not a section.
const DEPTH: usize = 16;

struct Reader<'a> {
    root: &'a Value,
}

impl Reader<'_> {
    fn key(&self, schema: &Value, depth: usize) -> Result<Key, Failure> {
        let about = text(schema, "description");
        let mut key = self.bare(schema, depth)?;
        key.idle |= about.contains(IDLE);
        if !about.is_empty() {
            about.clone_into(&mut key.about);
        }
        Ok(key)
    }

    fn bare(&self, schema: &Value, depth: usize) -> Result<Key, Failure> {
        if depth > DEPTH {
            return Err(unknown(schema));
        }
        let below = depth.saturating_add(1);
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = name.strip_prefix('#').ok_or_else(|| unknown(schema))?;
            return self.key(self.root.pointer(pointer).ok_or_else(|| unknown(schema))?, below);
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            let [value, null] = options.as_slice() else { return Err(unknown(schema)) };
            if null.get("type") == Some(&Value::from("array")) {
                let one = self.key(value, below)?;
                return Ok(Key { shape: Shape::OneOrMore(Box::new(one.shape)), ..one });
            }
            if null.get("type") != Some(&Value::from("null")) {
                return Err(unknown(schema));
            }
            return self.key(value, below).map(|key| Key { optional: true, ..key });
        }
        let (shape, optional) = self.typed(schema, below)?;
        Ok(Key { shape, optional, required: false, about: String::new(), idle: false })
    }

    fn typed(&self, schema: &Value, depth: usize) -> Result<(Shape, bool), Failure> {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one],
            _ => Vec::new(),
        };
        let optional = types.contains(&"null");
        let choices = choices(schema);
        if !choices.is_empty() {
            return Ok((Shape::Choice(choices), optional));
        }
        let shape = match types.first().copied() {
            Some("string") => Shape::Text(match schema.get("format").and_then(Value::as_str) {
                Some("address-port") => Format::AddressPort,
                Some("file-mode") => Format::FileMode,
                _ => Format::Free,
            }),
            Some("integer") => integer(schema),
            Some("boolean") => Shape::Boolean,
            Some("array") => {
                let items = schema.get("items").ok_or_else(|| unknown(schema))?;
                Shape::List(Box::new(self.key(items, depth)?.shape))
            }
            Some("object") => self.object(schema, depth)?,
            _ => return Err(unknown(schema)),
        };
        Ok((shape, optional))
    }

    fn object(&self, schema: &Value, depth: usize) -> Result<Shape, Failure> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            let values = schema.get("additionalProperties").ok_or_else(|| unknown(schema))?;
            return Ok(Shape::Table(Box::new(self.key(values, depth)?.shape)));
        };
        let required = schema.get("required").and_then(Value::as_array);
        let mut keys = BTreeMap::new();
        for (name, value) in properties {
            let mut key = self.key(value, depth)?;
            key.required = required.is_some_and(|names| names.iter().any(|one| one == name));
            keys.insert(name.clone(), key);
        }
        Ok(Shape::Section(keys))
    }
}

fn integer(schema: &Value) -> Shape {
    let bound = |name| schema.get(name).and_then(Value::as_i64).map(i128::from);
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => i128::from(u32::MAX),
        _ => i128::from(u64::MAX),
    };
    Shape::Integer { least: bound("minimum").unwrap_or(0), most: bound("maximum").unwrap_or(most) }
}

fn choices(schema: &Value) -> Vec<String> {
    let listed = |schema: &Value| {
        let words = schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
        words.into_iter().chain(schema.get("const").cloned()).collect::<Vec<_>>()
    };
    let alternatives = schema.get("oneOf").and_then(Value::as_array);
    let values = alternatives.map_or_else(|| listed(schema), |all| all.iter().flat_map(listed).collect());
    values.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text<'a>(schema: &'a Value, name: &str) -> &'a str {
    schema.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn unknown(schema: &Value) -> Failure {
    Failure::new(Code::Internal, "a section of the configuration has a form that cannot be read")
        .because(schema.to_string())
}
