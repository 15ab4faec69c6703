//! The shape of the source: module order is import order, foreign crates stay home, files can be read in one sitting.

use std::fs;
use std::path::{Path, PathBuf};

/// The rows of the path; a module uses only rows above its own, never its own row.
const ROWS: &[&[&str]] = &[
    &["clock", "error", "secret"],
    &["identity"],
    &["telemetry"],
    &["net", "exec", "sandbox"],
    &["pki"],
    &["audit", "cluster"],
    &["authn"],
    &["call"],
    &["admission", "policy"],
    &["credentials", "guard"],
    &["remote"],
    &["tools"],
    &["toolsets"],
    &["pipeline"],
    &["mcp"],
    &["transport"],
    &["config"],
    &["daemon"],
    &["cli"],
];

/// The three of the first row know one another in this order: an error needs nothing, a secret fails with an error.
const FIRST_ROW: &[(&str, &str)] = &[("secret", "error")];

/// Crates that may be named only in these modules.
const HOMES: &[(&str, &[&str])] = &[
    ("rmcp", &["mcp"]),
    ("axum", &["transport"]),
    ("axum_server", &["transport"]),
    ("hyper", &["net", "transport"]),
    ("hyper_util", &["transport"]),
    ("rustls", &["transport", "net", "pki"]),
    ("tokio_rustls", &["transport"]),
    ("reqwest", &["net"]),
    ("rcgen", &["pki"]),
    ("x509_parser", &["pki", "authn"]),
    ("governor", &["admission"]),
    ("moka", &["authn"]),
    ("jsonschema", &["call", "config"]),
    ("prometheus_client", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("clap", &["cli"]),
    ("landlock", &["sandbox"]),
    ("libc", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("listenfd", &["transport"]),
    ("toml", &["toolsets"]),
];

/// Longest file, tests left out.
const CEILING: usize = 500;

#[test]
fn a_module_uses_only_what_stands_above_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(user) = module_of(&path) else { continue };
        let row = row_of(&user).unwrap_or_else(|| panic!("{user} has no row; give it one in ROWS"));
        for used in modules_named(&text) {
            let Some(other) = row_of(&used) else { continue };
            let allowed = used == user || other < row || FIRST_ROW.contains(&(user.as_str(), used.as_str()));
            if !allowed {
                wrong.push(format!("{}: {user} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_toolset_uses_another() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Ok(below) = path.strip_prefix("src/toolsets") else { continue };
        let own =
            below.components().next().map(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned());
        for rest in text.split("crate::toolsets::").skip(1) {
            if Some(leading_word(rest)) != own {
                wrong.push(format!("{}: names toolsets::{}", path.display(), leading_word(rest)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_crates_stay_home() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let Some(user) = module_of(&path) else { continue };
        for (name, homes) in HOMES {
            if names_crate(&text, name) && !homes.contains(&user.as_str()) {
                wrong.push(format!("{}: {user} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_can_be_read_in_one_sitting_and_opens_with_its_rule() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > CEILING {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        let whole = fs::read_to_string(root().join(&path)).unwrap();
        if !whole.starts_with("//! ") {
            wrong.push(format!("{}: does not say what it is", path.display()));
        }
        if text.contains("super::super") {
            wrong.push(format!("{}: super::super", path.display()));
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if ["types", "common", "util", "utils", "helpers", "manager", "service", "core", "misc", "prelude"]
            .contains(&&*name)
        {
            wrong.push(format!("{}: a name that says nothing", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_test_notices_an_upward_import() {
    assert_eq!(modules_named("use crate::{pipeline::Door, call::{Call, spec}, error};"), ["pipeline", "call", "error"]);
    assert_eq!(modules_named("fn f() -> crate::mcp::Passage"), ["mcp"]);
    assert!(row_of("pipeline") > row_of("tools"));
    assert!(names_crate("use rmcp::model;", "rmcp") && !names_crate("use our_rmcp::model; // rmcp::", "rmcp"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file with comments and tests left out.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut tests = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let whole = fs::read_to_string(&path).unwrap();
                tests.extend(test_files(&path, &whole));
                let text = without_tests(&whole);
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.retain(|(path, _)| {
        !tests
            .iter()
            .any(|test: &PathBuf| root().join(path).starts_with(test.with_extension("")) || root().join(path) == *test)
    });
    assert!(found.len() > 100, "the source was not found");
    found
}

/// The files of modules that are only there for tests.
fn test_files(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
    let parent = path.parent().unwrap();
    let folder = if matches!(&*stem, "mod" | "lib") { parent.to_owned() } else { parent.join(stem) };
    let declared = text.split("#[cfg(test)]\nmod ").skip(1).filter_map(|rest| rest.split_once(';'));
    let names = declared.map(|(name, _)| name).filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
    names.map(|name| folder.join(format!("{name}.rs"))).collect()
}

fn row_of(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn module_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?.as_os_str().to_string_lossy().into_owned();
    let name = first.trim_end_matches(".rs").to_owned();
    (!matches!(&*name, "lib" | "main")).then_some(name)
}

/// The first segment of every `crate::a` and of every member of `crate::{a, b}`.
fn modules_named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.push(leading_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut member = String::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(leading_word(member.trim()));
                    member.clear();
                }
                _ if depth == 0 => member.push(c),
                _ => {}
            }
        }
        found.push(leading_word(member.trim()));
    }
    found
}

fn names_crate(text: &str, name: &str) -> bool {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    code.match_indices(&format!("{name}::"))
        .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

fn leading_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Tests stand at the bottom of a file.
fn without_tests(text: &str) -> String {
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(|at| !declares_a_file(&text[*at..]));
    let code = end.map_or(text, |end| &text[..end]);
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn declares_a_file(attribute: &str) -> bool {
    let line = attribute.lines().nth(1).unwrap_or_default();
    (line.starts_with("mod ") || line.starts_with("pub mod ")) && line.ends_with(';')
}
