//! What `nft -j list ruleset` writes (libnftables-json(5)), put back into the words of nft(8).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Chain, Rule, Set, Table};

#[derive(Deserialize)]
struct Ruleset {
    nftables: Vec<Map<String, Value>>,
}

/// The tables, by family and name; `None` of what is no ruleset.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Table>> {
    let found: Ruleset = serde_json::from_slice(bytes).ok()?;
    let mut tables: BTreeMap<(String, String), Table> = BTreeMap::new();
    for (kind, object) in found.nftables.iter().flatten() {
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let family = text("family").unwrap_or_default();
        let Some(name) = (if kind == "table" { text("name") } else { text("table") }) else { continue };
        let table = tables.entry((family.clone(), name.clone())).or_insert_with(|| Table {
            family,
            name,
            told_by: "nft",
            chains: Vec::new(),
            sets: Vec::new(),
        });
        match kind.as_str() {
            "chain" => table.chains.extend(text("name").map(|name| Chain {
                name,
                kind: text("type"),
                hook: text("hook"),
                priority: object.get("prio").and_then(Value::as_i64),
                policy: text("policy"),
                rules: Vec::new(),
            })),
            "rule" => {
                let chain = text("chain").and_then(|name| table.chains.iter_mut().find(|chain| chain.name == name));
                if let Some(chain) = chain {
                    chain.rules.push(rule(object));
                }
            }
            "set" | "map" => table.sets.extend(text("name").map(|name| Set {
                name,
                kind: object.get("type").map(words).unwrap_or_default(),
                elements: object.get("elem").and_then(Value::as_array).map_or(0, Vec::len),
            })),
            _ => {}
        }
    }
    Some(tables.into_values().collect())
}

fn rule(object: &Value) -> Rule {
    let mut rule =
        Rule { comment: object.get("comment").and_then(Value::as_str).map(str::to_owned), ..Rule::default() };
    let mut parts = Vec::new();
    for (kind, value) in
        object.get("expr").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object).flatten()
    {
        let target = value.get("target").and_then(Value::as_str);
        match (kind.as_str(), target) {
            ("counter", _) if value.is_object() => {
                rule.packets = value.get("packets").and_then(Value::as_u64);
                rule.bytes = value.get("bytes").and_then(Value::as_u64);
            }
            ("match", _) => parts.push(condition(value)),
            (_, Some(target)) => parts.push(format!("{kind} {target}")),
            (_, None) if value.is_null() => parts.push(kind.clone()),
            (_, None) => parts.push(format!("{kind} {value}")),
        }
    }
    rule.text = parts.join(" ");
    rule
}

fn condition(value: &Value) -> String {
    let side = |name: &str| value.get(name).map(words).unwrap_or_default();
    let sign = match value.get("op").and_then(Value::as_str) {
        None | Some("==" | "in") => String::new(),
        Some(other) => format!("{other} "),
    };
    let right = match value.get("right") {
        // A name such as that of an interface stands in quotes; a number or an address does not.
        Some(Value::String(text)) if value.pointer("/left/meta").is_some() => format!("\"{text}\""),
        _ => side("right"),
    };
    format!("{} {sign}{right}", side("left"))
}

/// One side of a condition.
fn words(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(words).collect::<Vec<_>>();
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("{{{}}}", list(items).join(", ")),
        Value::Object(members) => {
            let part = |key: &str, name: &str| value.pointer(&format!("/{key}/{name}")).map(words).unwrap_or_default();
            match members.iter().next() {
                Some((key, _)) if key == "payload" => format!("{} {}", part(key, "protocol"), part(key, "field")),
                Some((key, _)) if key == "meta" => part(key, "key"),
                Some((key, _)) if key == "ct" => format!("ct {}", part(key, "key")),
                Some((key, _)) if key == "prefix" => format!("{}/{}", part(key, "addr"), part(key, "len")),
                Some((key, Value::Array(items))) if key == "range" => list(items).join("-"),
                Some((key, Value::Array(items))) if key == "set" => format!("{{{}}}", list(items).join(", ")),
                _ => value.to_string(),
            }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_ruleset_is_none_and_what_is_unknown_is_shown_as_it_is() {
        for text in ["", "{}", "[]", "{\"nftables\": 1}", "{\"nftables\": [1]}"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        let text = r#"{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "c"}},
            {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [
                {"match": {"op": "!=", "left": {"fib": {"result": "type"}}, "right": 7}}, {"counter": "named"}, 5, {"goto": {"target": "d"}}]}},
            {"rule": {"family": "ip", "table": "t", "chain": "gone", "expr": []}}]}"#;
        let tables = parse(text.as_bytes()).unwrap();
        assert_eq!(tables[0].chains[0].rules[0].text, r#"{"fib":{"result":"type"}} != 7 counter "named" goto d"#);
    }

    proptest! {
        #[test]
        fn no_ruleset_is_a_panic(text in "\\{\"nftables\": \\[(\\{\"(table|rule|chain|set)\": (\\{\"(name|table|expr|elem)\": (1|\"x\"|\\[\\{\"match\": \\{\"left\": (1|\\{\\}|\\[\\])\\}\\}\\])\\}|1)\\},?){0,4}\\]\\}") {
            let _ = parse(text.as_bytes());
        }
    }
}
