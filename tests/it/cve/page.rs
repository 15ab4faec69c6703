//! The page of incidents: made of rows, and each row of a test.

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cve.md");
const ROWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/cve.yaml");
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cve.rs");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(default)]
    also: Vec<String>,
    what: String,
    defence: String,
    /// The test that shows it.
    test: Option<String>,
    /// Why there is no test.
    not_yet: Option<String>,
}

fn rows() -> Vec<Row> {
    serde_saphyr::from_str(&fs::read_to_string(ROWS).unwrap()).unwrap()
}

/// The names of the tests, as the source has them.
fn tests() -> BTreeSet<String> {
    let source = fs::read_to_string(TESTS).unwrap();
    let mut found = BTreeSet::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            let declaration = lines.next().unwrap().trim_start_matches("async ").trim_start_matches("fn ");
            found.insert(declaration.split('(').next().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn every_row_has_its_test_or_says_why_not_and_every_test_its_row() {
    let rows = rows();
    for row in &rows {
        assert_ne!(row.test.is_some(), row.not_yet.is_some(), "{}: a test, or why there is none", row.id);
    }
    let named: Vec<String> = rows.iter().filter_map(|row| row.test.clone()).collect();
    let unique: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(unique.len(), named.len(), "a test has one row");
    assert_eq!(unique, tests());
    let ids: BTreeSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "an incident has one row");
    for row in rows.iter().filter(|row| row.id.starts_with("CVE-") && row.test.is_some()) {
        assert_eq!(row.test, Some(row.id.to_lowercase().replace('-', "_")));
    }
}

/// `UPDATE=1` writes the page.
#[test]
fn the_page_says_what_the_tests_show() {
    let page = page(&rows());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(PAGE, &page).unwrap();
    }
    assert!(fs::read_to_string(PAGE).unwrap_or_default() == page, "docs/cve.md is not up to date: run with UPDATE=1");
}

fn page(rows: &[Row]) -> String {
    let mut page = String::from(
        "# What happened to others\n\n\
         Incidents of gateways, MCP servers and their libraries, and what keeps each from happening here. This page is made \
         from `tests/cases/cve.yaml`; a row of the first table is a test of the same name in `tests/it/cve.rs`, which shows the \
         defence against a running door or the built program.\n\n\
         ## Shown by a test\n\n| Incident | What happened | What stands against it | Test |\n|---|---|---|---|\n",
    );
    for row in rows {
        if let Some(test) = &row.test {
            page.push_str(&format!("| {} | {} | {} | `{test}` |\n", ids(row), row.what, row.defence));
        }
    }
    page.push_str(
        "\n## Not yet concerned\n\nThese strike at something that is not in this version. What comes later is held to the \
         defence named here.\n\n| Incident | What happened | What will stand against it | Why there is no test yet |\n\
         |---|---|---|---|\n",
    );
    for row in rows {
        if let Some(why) = &row.not_yet {
            page.push_str(&format!("| {} | {} | {} | {why} |\n", ids(row), row.what, row.defence));
        }
    }
    page
}

fn ids(row: &Row) -> String {
    let mut ids = vec![row.id.clone()];
    ids.extend(row.also.clone());
    ids.join(", ")
}
