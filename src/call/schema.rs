//! The JSON Schemas of arguments and answers, from the types that have them, and made small: clients read them all before
//! the first call. What a schema means stays: every property keeps its type, its unit and its description.
//!
//! What goes: `$schema` (2020-12 is what MCP takes where none is named), titles, formats of numbers (JSON Schema has none), a
//! list of choices becomes one `enum` with the meanings in its description. Of answers also `null` (what has no value is absent),
//! lower bounds of zero, defaults, and descriptions of what is described by the property that holds it; a part that occurs
//! more than once stands in `$defs`.

use std::collections::HashMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// How a reference to a shared part begins.
const REFERENCE: &str = "#/$defs/";

/// Bytes up to which a part is as well written out as referred to.
const SMALL: usize = 100;

/// Of arguments, with everything written out.
pub(super) fn of_arguments<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = generated::<T>(true);
    each_part(&mut schema, &mut |part| {
        plain(part);
        nullable(part);
        if part.get("default").is_some_and(Value::is_null) {
            part.remove("default");
        }
    });
    finished(schema)
}

/// Of an answer.
pub(super) fn of_answer<T: JsonSchema>() -> Map<String, Value> {
    let mut schema = generated::<T>(false);
    schema.remove("description");
    let mut parts = match schema.remove("$defs") {
        Some(Value::Object(parts)) => parts,
        _ => Map::new(),
    };
    for part in parts.values_mut().filter_map(Value::as_object_mut) {
        // Who holds it says what it is.
        part.remove("description");
    }
    let small = &mut |part: &mut Map<String, Value>| {
        plain(part);
        without_null(part);
        if part.get("minimum").and_then(Value::as_f64) == Some(0.0) {
            part.remove("minimum");
        }
        part.remove("default");
    };
    each_part(&mut schema, small);
    parts.values_mut().filter_map(Value::as_object_mut).for_each(|part| each_part(part, small));
    let mut uses = HashMap::new();
    count(&schema, &mut uses);
    parts.values().filter_map(Value::as_object).for_each(|part| count(part, &mut uses));
    let shared =
        |name: &String, part: &Value| uses.get(name).is_some_and(|uses| *uses > 1) && part.to_string().len() > SMALL;
    let (mut kept, once): (Map<_, _>, Map<_, _>) = parts.into_iter().partition(|(name, part)| shared(name, part));
    write_out(&mut schema, &once);
    kept.values_mut().filter_map(Value::as_object_mut).for_each(|part| write_out(part, &once));
    if !kept.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(kept));
    }
    finished(schema)
}

fn generated<T: JsonSchema>(inline: bool) -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = inline);
    match settings.into_generator().into_root_schema_for::<T>().to_value() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn finished(mut schema: Map<String, Value>) -> Map<String, Value> {
    schema.remove("$schema");
    // MCP demands `type: object` at the root of both schemas.
    schema.entry("type").or_insert_with(|| Value::from("object"));
    schema
}

/// Does `work` to a schema after it was done to all schemas in it. Names of properties are no keywords.
fn each_part(schema: &mut Map<String, Value>, work: &mut impl FnMut(&mut Map<String, Value>)) {
    for (key, value) in schema.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(members)) => {
                members.values_mut().filter_map(Value::as_object_mut).for_each(|part| each_part(part, work));
            }
            ("items" | "additionalProperties", Value::Object(part)) => each_part(part, work),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(parts)) => {
                parts.iter_mut().filter_map(Value::as_object_mut).for_each(|part| each_part(part, work));
            }
            _ => {}
        }
    }
    work(schema);
}

/// Without titles and formats of numbers, and with choices as an `enum`.
fn plain(part: &mut Map<String, Value>) {
    part.remove("title");
    let is_text = match part.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    if !is_text {
        part.remove("format");
    }
    let choice = |one: &Value| Some((one.get("const")?.as_str()?.to_owned(), text(one)));
    let choices = part.get("oneOf").and_then(Value::as_array);
    let Some(choices) = choices.and_then(|all| all.iter().map(choice).collect::<Option<Vec<_>>>()) else { return };
    part.remove("oneOf");
    let meanings: Vec<String> = choices
        .iter()
        .filter_map(|(name, meaning)| Some(format!("{name}: {}", meaning.as_deref()?.trim_end_matches('.'))))
        .collect();
    describe(part, &meanings.join("; "));
    part.insert("type".to_owned(), Value::from("string"));
    part.insert("enum".to_owned(), choices.into_iter().map(|(name, _)| Value::from(name)).collect());
}

fn text(part: &Value) -> Option<String> {
    part.get("description").and_then(Value::as_str).map(str::to_owned)
}

/// Adds to what is said of it.
fn describe(part: &mut Map<String, Value>, more: &str) {
    let said = part.get("description").and_then(Value::as_str).unwrap_or_default();
    let all = if said.is_empty() || more.is_empty() { format!("{said}{more}") } else { format!("{said} {more}") };
    if !all.is_empty() {
        part.insert("description".to_owned(), Value::from(all));
    }
}

/// What is one form or `null`, as that form with `null` among its types.
fn nullable(part: &mut Map<String, Value>) {
    let Some(Value::Array(forms)) = part.get("anyOf") else { return };
    let [Value::Object(form), Value::Object(null)] = forms.as_slice() else { return };
    let Some(Value::String(kind)) = form.get("type").filter(|_| null.get("type").is_some_and(|kind| kind == "null"))
    else {
        return;
    };
    let (mut form, kinds) = (form.clone(), Value::from(vec![kind.clone(), "null".to_owned()]));
    form.insert("type".to_owned(), kinds);
    if let Some(Value::Array(choices)) = form.get_mut("enum") {
        choices.push(Value::Null);
    }
    part.remove("anyOf");
    absorb(part, form);
}

fn without_null(part: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = part.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [one] = kinds.as_slice() {
            let one = one.clone();
            part.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = part.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    let Some(Value::Array(forms)) = part.get_mut("anyOf") else { return };
    forms.retain(|form| form.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(form)] = forms.as_slice() {
        let form = form.clone();
        part.remove("anyOf");
        absorb(part, form);
    }
}

/// Takes in what `form` says and `part` does not; of choices both descriptions count.
fn absorb(part: &mut Map<String, Value>, form: Map<String, Value>) {
    let choices = form.contains_key("enum");
    for (key, value) in form {
        match value {
            Value::String(meanings) if key == "description" && choices => describe(part, &meanings),
            value => _ = part.entry(key).or_insert(value),
        }
    }
}

fn reference(part: &Map<String, Value>) -> Option<&str> {
    part.get("$ref")?.as_str()?.strip_prefix(REFERENCE)
}

/// How often each shared part is referred to.
fn count(schema: &Map<String, Value>, uses: &mut HashMap<String, usize>) {
    // The walk changes what it goes over, and this does not.
    each_part(&mut schema.clone(), &mut |part| {
        if let Some(name) = reference(part) {
            let uses = uses.entry(name.to_owned()).or_default();
            *uses = uses.saturating_add(1);
        }
    });
}

/// Puts the parts that are not shared where they are referred to. A part that refers to itself is shared.
fn write_out(schema: &mut Map<String, Value>, parts: &Map<String, Value>) {
    each_part(schema, &mut |part| {
        let Some(Value::Object(found)) = reference(part).and_then(|name| parts.get(name)) else { return };
        let mut found = found.clone();
        write_out(&mut found, parts);
        part.remove("$ref");
        absorb(part, found);
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    enum Colour {
        /// As blood is.
        Red,
        /// As the sky is.
        Blue,
    }

    /// Something with two of its kind, and one of another.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Reading {
        /// How many.
        count: u64,
        /// Which one.
        part: Option<Part>,
        /// The others.
        parts: Vec<Part>,
        /// How it looks.
        colour: Option<Colour>,
        /// When.
        #[schemars(extend("format" = "date-time"))]
        at: Option<String>,
        /// Only here.
        other: Option<Other>,
    }

    /// A part.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Part {
        /// Its size in bytes, of which there is never too much to say, so that it is worth sharing.
        size_bytes: Option<u32>,
        /// Its name, which is long as well.
        name: String,
    }

    /// Another.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema counts")]
    struct Other {
        /// From 0 to 1.
        share: f64,
    }

    #[test]
    fn an_answer_says_each_thing_once_and_nothing_that_means_nothing() {
        let colours = "How it looks. Red: As blood is; Blue: As the sky is";
        assert_eq!(
            Value::Object(of_answer::<Reading>()),
            json!({
                "type": "object",
                "required": ["count", "parts"],
                "properties": {
                    "count": {"type": "integer", "description": "How many."},
                    "part": {"$ref": "#/$defs/Part", "description": "Which one."},
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}, "description": "The others."},
                    "colour": {"type": "string", "enum": ["Red", "Blue"], "description": colours},
                    "at": {"type": "string", "format": "date-time", "description": "When."},
                    "other": {
                        "type": "object", "description": "Only here.", "required": ["share"],
                        "properties": {"share": {"type": "number", "description": "From 0 to 1."}},
                    },
                },
                "$defs": {"Part": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "size_bytes": {
                            "type": "integer",
                            "description": "Its size in bytes, of which there is never too much to say, so that it is worth sharing.",
                        },
                        "name": {"type": "string", "description": "Its name, which is long as well."},
                    },
                }},
            })
        );
    }

    #[test]
    fn arguments_may_be_null_and_keep_their_bounds() {
        let schema = Value::Object(of_arguments::<Reading>());
        assert_eq!(schema["properties"]["count"], json!({"type": "integer", "minimum": 0, "description": "How many."}));
        let colour = &schema["properties"]["colour"];
        assert_eq!((&colour["type"], &colour["enum"]), (&json!(["string", "null"]), &json!(["Red", "Blue", null])));
        assert_eq!(colour["description"], "How it looks. Red: As blood is; Blue: As the sky is");
        assert_eq!(schema["properties"]["parts"]["items"]["properties"]["name"]["type"], "string");
        assert!(schema.get("$schema").is_none() && schema.get("$defs").is_none() && schema.get("title").is_none());
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let valid = |colour: Value| validator.is_valid(&json!({"count": 1, "parts": [], "colour": colour}));
        assert!(valid(json!(null)) && valid(json!("Red")) && !valid(json!("Green")) && !valid(json!(1)));
    }
}
