//! docs/tools.md is made from the register: what a tool declares, and what it answers on a fixture host. `UPDATE=1` writes
//! it; a query that is new in the register is in it without another word.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Map, Value, json};

use super::{Host, SystemSection, Threads, ask_all, tools};
use crate::admission::ResourcesSection;
use crate::call::ToolSpec;
use crate::guard::LimitsSection;
use crate::policy::ScopesSection;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tools.md");
/// Items of a list, and characters of a text, that an example shows.
const ITEMS: usize = 2;
const CHARACTERS: usize = 160;
/// Fixture hosts for the examples, the first that answers is taken.
const HOSTS: [&str; 2] = ["debian-vm", "rpi-arm"];

const HEAD: &str = "# Tools

Every tool there is, by the scope that opens it when nothing else is configured. A test makes this page from the register of the
host queries and from what they answer on the fixture hosts of the tests; `UPDATE=1 cargo nextest run --lib toolsets::system::page`
writes it anew.

- A caller sees the tools that a scope of his token opens (`scopes`), and no others.
- A **sensitive** tool is shut whatever the scope, unless `queries.sensitive` opens it by name.
- The **impact** is a class with a time limit; `resources.query_timeout` may be lower.
- Unknown arguments are refused. All are optional unless the table says otherwise.
- Each list says how many there are in all (`total`), how many fit (`matching`), how many are here (`returned`) and not here
  (`left_out`), and how to see those (`narrow`). A name that the host does not have is a failure that says which it has. `limits` caps what is answered, and redaction passes over all of it.
- In the examples lists are cut to their first items and texts to their first characters; an answer has them all.
";

/// Arguments of the examples; `{}` for those that are not named.
fn example(tool: &str) -> Value {
    match tool {
        "get_app_logs" => json!({"file": "/var/log/shop/shop.log", "since": "2025-11-04T07:30:00Z"}),
        "get_containers" => json!({"all": true, "limit": 1}),
        "get_sysctl" => json!({"name": "vm.swappiness"}),
        "get_dependencies" => json!({"ecosystem": "cargo", "format": "cyclonedx"}),
        "get_open_files" => json!({"path": "/var/lib/postgresql"}),
        "get_packages" => json!({"source": "openssl"}),
        "get_processes" => json!({"name": "postgres"}),
        "get_user_accounts" => json!({"name": "alice"}),
        _ => json!({}),
    }
}

#[test]
fn the_page_is_what_the_register_says() {
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    assert!(fs::read_to_string(PAGE).unwrap_or_default() == page, "docs/tools.md is not up to date: run with UPDATE=1");
}

fn page() -> String {
    let answers: Vec<Vec<(String, super::query::Asked)>> = HOSTS
        .iter()
        .map(|host| {
            let mut section = SystemSection { app_logs: vec!["/var/log/shop".into()], ..SystemSection::default() };
            section.containers.sockets.push("/run/docker.sock".into());
            section.dependencies.paths.push("/srv/app".into());
            ask_all(&Host::fixture(host).opened(&section), example)
        })
        .collect();
    let answer = |name: &str| -> Value {
        let found = answers.iter().flatten().find_map(|(tool, asked)| asked.as_ref().ok().filter(|_| tool == name));
        found.unwrap_or_else(|| panic!("no fixture host answers {name}: give it arguments in example()")).clone()
    };
    let tools =
        tools(Host::fixture(HOSTS[0]), &LimitsSection::default(), &ResourcesSection::default(), &Threads::default());
    let mut page = HEAD.to_owned();
    let scopes = ScopesSection::default().0;
    for scope in in_order(&scopes.keys().map(String::as_str).collect::<Vec<_>>()) {
        writeln!(page, "\n## {scope}").unwrap();
        let opened = |spec: &ToolSpec| scopes[scope].iter().any(|tool| *tool == spec.name);
        let mut specs: Vec<&ToolSpec> = tools.iter().map(|tool| tool.spec()).filter(|spec| opened(spec)).collect();
        specs.sort_by_key(|spec| spec.name.clone());
        assert!(!specs.is_empty(), "no tool of {scope}");
        specs.iter().for_each(|spec| describe(&mut page, spec, scope, &answer(&spec.name)));
    }
    page
}

/// What everybody has first, what nobody has last.
fn in_order<'a>(scopes: &[&'a str]) -> Vec<&'a str> {
    let place = |scope: &str| match scope {
        "core" => 0,
        "sensitive" => 2,
        _ => 1,
    };
    let mut scopes = scopes.to_vec();
    scopes.sort_by_key(|scope| (place(scope), *scope));
    scopes
}

fn describe(page: &mut String, spec: &ToolSpec, scope: &str, answer: &Value) {
    let limit = spec.impact.limit().unwrap().as_millis();
    let hints = spec.annotations;
    let hint = |name: &str, is: bool| if is { name.to_owned() } else { format!("not {name}") };
    let annotations = [
        hint("read-only", hints.read_only),
        hint("destructive", hints.destructive),
        hint("idempotent", hints.idempotent),
        hint("open-world", hints.open_world),
    ];
    let impact = serde_json::to_value(spec.impact).unwrap();
    writeln!(page, "\n### {}\n\n{}: {}\n", spec.name, spec.title, spec.description).unwrap();
    writeln!(
        page,
        "Scope `{scope}` · {}impact {} ({limit} ms) · {}\n",
        if spec.sensitive { "**sensitive** · " } else { "" },
        impact.as_str().unwrap(),
        annotations.join(", ")
    )
    .unwrap();
    let none = Map::new();
    let properties = spec.input_schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    if properties.is_empty() {
        writeln!(page, "It takes no arguments.").unwrap();
    } else {
        writeln!(page, "| argument | type | meaning |\n|---|---|---|").unwrap();
    }
    let required = spec.input_schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for (name, schema) in properties {
        let needed = if required.iter().any(|one| one == name) { ", required" } else { "" };
        let meaning = text(&schema["description"]);
        writeln!(page, "| `{name}` | {}{needed} | {}{} |", kind(schema), cell(&meaning), cell(&choices(schema)))
            .unwrap();
    }
    let arguments = example(&spec.name);
    let mut shown = answer.clone();
    shorten(&mut shown);
    let shown = serde_json::to_string_pretty(&shown).unwrap();
    writeln!(page, "\nWith `{arguments}`:\n\n```json\n{shown}\n```").unwrap();
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('\n', " ")
}

/// As it may stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The type of an argument with its bounds and its default.
fn kind(schema: &Value) -> String {
    let mut words = vec![name(schema)];
    let mut bound = |least: &str, most: &str, unit: &str| {
        let said = match (schema[least].as_number(), schema[most].as_number()) {
            (Some(least), Some(most)) => format!("{least} to {most}{unit}"),
            (Some(least), None) if least.as_u64() != Some(0) => format!("{least}{unit} or more"),
            (None, Some(most)) => format!("at most {most}{unit}"),
            _ => return,
        };
        words.push(said);
    };
    bound("minimum", "maximum", "");
    bound("minLength", "maxLength", " characters");
    bound("minItems", "maxItems", " items");
    if let Some(pattern) = schema["pattern"].as_str() {
        words.push(format!("fits `{}`", cell(pattern)));
    }
    if !schema["default"].is_null() {
        words.push(format!(
            "default `{}`",
            schema["default"].as_str().map_or_else(|| schema["default"].to_string(), str::to_owned)
        ));
    }
    words.join(", ")
}

fn name(schema: &Value) -> String {
    let kinds: Vec<String> = match &schema["type"] {
        Value::String(kind) => vec![kind.clone()],
        Value::Array(kinds) => kinds.iter().map(text).filter(|kind| kind != "null").collect(),
        _ => Vec::new(),
    };
    match kinds.as_slice() {
        [kind] if kind == "array" => format!("array of {}", name(&schema["items"])),
        [kind] if schema["enum"].is_array() => format!("{kind}, one of a list"),
        [] => alternatives(schema).iter().map(name).next().unwrap_or_else(|| "string, one of a list".to_owned()),
        kinds => kinds.join(" or "),
    }
}

fn alternatives(schema: &Value) -> Vec<Value> {
    let lists = [&schema["anyOf"], &schema["oneOf"]];
    let all = lists.into_iter().filter_map(Value::as_array).flatten();
    all.filter(|one| one["type"] != "null" && one["const"].is_null()).cloned().collect()
}

/// The values that are allowed, with what they mean.
fn choices(schema: &Value) -> String {
    let mut said = Vec::new();
    for one in [schema.clone()].into_iter().chain(alternatives(schema)) {
        let plain = one["enum"].as_array().into_iter().flatten().filter(|value| !value.is_null());
        // What they mean is in the description.
        let told = |value: &&Value| text(&one["description"]).contains(&format!("{}: ", text(value)));
        said.extend(plain.filter(|value| !told(value)).map(|value| format!("`{}`", text(value))));
    }
    if said.is_empty() { String::new() } else { format!(" {}.", said.join("; ")) }
}

fn shorten(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.truncate(ITEMS);
            items.iter_mut().for_each(shorten);
        }
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::String(text) if text.chars().count() > CHARACTERS => {
            *text = text.chars().take(CHARACTERS).chain(['…']).collect();
        }
        _ => {}
    }
}
