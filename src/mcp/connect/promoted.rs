//! Arguments that a tool wants repeated as headers (`x-mcp-header`, MCP 2026-07-28): learned from the lists of tools that
//! pass by, bounded, and needed only because the door compares header and body.

use std::collections::HashMap;

use http::HeaderName;
use serde_json::Value;

use super::wire::encoded;

/// The word in a schema.
const ANNOTATION: &str = "x-mcp-header";
/// Tools remembered, parameters of each, and how deep they may lie.
const TOOLS: usize = 1024;
const PARAMETERS: usize = 32;
const DEPTH: usize = 8;

/// Which arguments of which tool go into headers.
#[derive(Default, Debug)]
pub(super) struct Promoted {
    tools: HashMap<String, Vec<Parameter>>,
}

#[derive(PartialEq, Eq, Debug)]
struct Parameter {
    path: Vec<String>,
    header: HeaderName,
}

impl Promoted {
    /// Takes note of the `result` of a `tools/list`: every tool in it replaces what was known of it.
    pub(super) fn learn(&mut self, result: &str) {
        if self.tools.is_empty() && !result.contains(ANNOTATION) {
            return;
        }
        let Ok(result) = serde_json::from_str::<Value>(result) else { return };
        for tool in result.get("tools").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = tool.get("name").and_then(Value::as_str) else { continue };
            let mut found = Vec::new();
            if let Some(schema) = tool.get("inputSchema") {
                collect(schema, &mut Vec::new(), &mut found);
            }
            self.tools.remove(name);
            if !found.is_empty() && self.tools.len() < TOOLS {
                self.tools.insert(name.to_owned(), found);
            }
        }
    }

    /// The headers for a call of `tool`; absent and null arguments have none.
    pub(super) fn headers(&self, tool: &str, arguments: &Value) -> Vec<(HeaderName, String)> {
        let parameters = self.tools.get(tool).map(Vec::as_slice).unwrap_or_default();
        let value = |parameter: &Parameter| {
            let at = parameter.path.iter().try_fold(arguments, |value, key| value.get(key))?;
            Some((parameter.header.clone(), encoded(&text(at)?)))
        };
        parameters.iter().filter_map(value).collect()
    }
}

/// Annotations count only on a path of `properties` from the root.
fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Parameter>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if path.len() >= DEPTH {
        return;
    }
    for (name, schema) in properties {
        if found.len() >= PARAMETERS {
            return;
        }
        path.push(name.clone());
        let header = schema.get(ANNOTATION).and_then(Value::as_str).filter(|header| !header.is_empty());
        if let Some(header) = header.and_then(|header| format!("mcp-param-{header}").parse().ok()) {
            found.push(Parameter { path: path.clone(), header });
        }
        collect(schema, path, found);
        path.pop();
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(schema: &Value) -> String {
        json!({ "tools": [{ "name": "t", "inputSchema": schema }] }).to_string()
    }

    fn pairs(promoted: &Promoted, arguments: &Value) -> Vec<(String, String)> {
        let headers = promoted.headers("t", arguments);
        headers.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
    }

    #[test]
    fn annotated_arguments_become_headers() {
        let mut promoted = Promoted::default();
        promoted.learn(&list(&json!({ "properties": {
            "region": { "type": "string", "x-mcp-header": "Region" },
            "dry": { "type": "boolean", "x-mcp-header": "Dry" },
            "where": { "properties": { "rack": { "type": "integer", "x-mcp-header": "Rack" } } },
            "plain": { "type": "string" },
        } })));
        let mut headers =
            pairs(&promoted, &json!({ "region": "münchen", "dry": true, "where": { "rack": 7 }, "plain": "x" }));
        headers.sort();
        let expected =
            [("mcp-param-dry", "true"), ("mcp-param-rack", "7"), ("mcp-param-region", "=?base64?bcO8bmNoZW4=?=")];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(pairs(&promoted, &json!({ "region": null, "where": [] })), []);
        assert_eq!(promoted.headers("other", &json!({ "region": "x" })), []);
    }

    #[test]
    fn a_newer_list_replaces_what_was_known_of_a_tool() {
        let mut promoted = Promoted::default();
        promoted.learn(&list(&json!({ "properties": { "a": { "x-mcp-header": "A" } } })));
        promoted.learn(&list(&json!({ "properties": { "a": {} } })));
        assert_eq!(pairs(&promoted, &json!({ "a": "x" })), []);
    }

    #[test]
    fn what_cannot_be_a_header_name_is_left_out() {
        let mut promoted = Promoted::default();
        let bad = json!({ "a": { "x-mcp-header": "a b" }, "b": { "x-mcp-header": "" }, "c": { "x-mcp-header": 1 } });
        promoted.learn(&list(&json!({ "properties": bad })));
        promoted.learn("not even JSON x-mcp-header");
        assert!(promoted.tools.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut promoted = Promoted::default();
        let tool = |at: usize| {
            let properties: Value =
                (0..50).map(|i| (format!("p{i}"), json!({ "x-mcp-header": format!("h{i}") }))).collect();
            json!({ "name": format!("t{at}"), "inputSchema": { "properties": properties } })
        };
        promoted.learn(&json!({ "tools": (0..1100).map(tool).collect::<Vec<_>>() }).to_string());
        assert_eq!(promoted.tools.len(), TOOLS);
        assert!(promoted.tools.values().all(|parameters| parameters.len() == PARAMETERS));
    }
}
