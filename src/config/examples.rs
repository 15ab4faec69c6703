//! The files of config/ are kept true: they pass the check, and the one that explains every key does.

use serde_json::Value;

use super::cases::{World, data, report};
use super::environment::Environment;
use super::fit::fit;
use super::shape::Shape;
use super::{Config, Finding, Report, Source, schema, yaml};
use crate::admission::RateLimitSection;
use crate::transport::{TlsVersion, TransportKind, Transports};

fn example(name: &str) -> String {
    std::fs::read_to_string(data("config").join(name)).unwrap()
}

/// What is said of doorward.yaml, which is for stdio and has every section.
const LOCAL: &[&str] = &["transport"];

fn said(report: &Report) -> Vec<&str> {
    report.findings().iter().map(Finding::key).collect()
}

/// What an example says, once it has passed the check on a machine that has its files.
fn accepted(name: &str) -> Config {
    let world = World::new();
    // Where the audit log goes when nobody says so is a directory of this machine too.
    let audit = ("DOORWARD__AUDIT__PATH".to_owned(), world.text("/var/log/doorward/audit.jsonl"));
    let (config, report) = report(&world.text(&example(name)), &[audit].into_iter().collect());
    assert_eq!(said(&report), if name == "doorward.yaml" { LOCAL } else { [].as_slice() }, "{name}:\n{report}");
    config.unwrap()
}

#[test]
fn the_examples_pass_the_check() {
    let minimal = accepted("minimal.yaml");
    assert_eq!(minimal.transport, Transports::One(TransportKind::Https));
    let production = accepted("production.yaml");
    assert!(production.auth.jwt.require_cert_binding && production.audits());
    assert!(production.resources.rate_limit.is_some() && production.tls.client_crl.is_some());
    assert_eq!(production.tls.min_version, TlsVersion::Tls13);
    assert!(!production.tls.allowed_subjects.is_empty());
    let teleport = accepted("teleport.yaml");
    assert!(teleport.auth.jwt.require_cert_subject && !teleport.tls.allowed_subjects.is_empty());
}

#[test]
fn doorward_yaml_as_it_stands_is_the_defaults() {
    let (config, report) = report(&example("doorward.yaml"), &Environment::default());
    assert_eq!(said(&report), LOCAL, "{report}");
    assert_eq!(config.unwrap(), Config::default());
    assert_eq!(accepted("doorward.yaml").transport, Transports::One(TransportKind::Stdio));
}

#[test]
fn doorward_yaml_has_every_key_and_its_default() {
    let uncommented: String = example("doorward.yaml").lines().map(|line| uncomment(line) + "\n").collect();
    let shape = Shape::read(&schema()).unwrap();
    let (tree, findings) = yaml::parse(&uncommented, &Source::Defaults).unwrap_or_else(|_| panic!("{uncommented}"));
    let environment: Environment = [("DOORWARD_JWT_SECRET".to_owned(), String::new())].into_iter().collect();
    let fitted = fit(&tree, &shape, &environment);
    assert!(findings.is_empty() && fitted.left_out.is_empty(), "{:?}", fitted.findings);
    for path in shape.paths() {
        assert!(tree.at(&path.as_str().into()).is_some(), "{path} is not in doorward.yaml");
    }
    let mut defaults = Config::default();
    defaults.resources.rate_limit = Some(RateLimitSection::default());
    let wrong = differing(&serde_json::to_value(defaults).unwrap(), &fitted.value, "");
    assert!(wrong.is_empty(), "not the defaults: {wrong:?}");
}

#[test]
fn descriptions_tell_the_defaults_that_there_are() {
    let schema = schema();
    let mut count = 0;
    for (section, definition) in schema["$defs"].as_object().unwrap() {
        for (name, key) in definition["properties"].as_object().into_iter().flatten() {
            let about = key["description"].as_str().unwrap();
            let Some(told) = about.split("Default: ").nth(1).map(|rest| rest.split(['.', ',', ';']).next().unwrap())
            else {
                continue;
            };
            if !told.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            count += 1;
            let told: u64 = told.parse().unwrap();
            // A file mode is told in octal and held as text.
            if key.get("default").is_some_and(Value::is_u64) {
                assert_eq!(key["default"], told, "{section}.{name}");
            }
        }
    }
    assert!(count > 30, "{count}");
}

/// `  #key: value` without its mark; prose has a space after it.
fn uncomment(line: &str) -> String {
    let is_key = |rest: &str| {
        let key = rest.split(':').next().unwrap();
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    match line.split_once('#') {
        Some((indent, key)) if indent.trim().is_empty() && is_key(key) => format!("{indent}{key}"),
        _ => line.to_owned(),
    }
}

/// The paths at which `said` is not the default; where there is none, anything may be said.
fn differing(default: &Value, said: &Value, path: &str) -> Vec<String> {
    match (default, said) {
        (Value::Null, _) => Vec::new(),
        (Value::Object(defaults), Value::Object(_)) => defaults
            .iter()
            .flat_map(|(name, default)| differing(default, &said[name.as_str()], &format!("{path}.{name}")))
            .collect(),
        _ if default == said => Vec::new(),
        _ => vec![format!("{path}: {said} and not {default}")],
    }
}
