//! What the documents say is so: commands exist, links lead somewhere, the set-up works as it stands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::json;

use crate::world::premises::free_ports;
use crate::world::program::{DOORWARD, Ended, Running, bash, command, doorward, finish};
use crate::world::talk;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, by its path from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().to_owned(), root().join("docs")];
    let mut pages = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && folder != root() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push((path.strip_prefix(root()).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(pages.len() >= 7, "the documents are gone");
    pages
}

/// The text of the block of README below `heading`.
fn block(heading: &str, number: usize) -> String {
    let page = fs::read_to_string(root().join("README.md")).unwrap();
    let section = page.split_once(&format!("\n## {heading}\n")).unwrap().1;
    section.split("```").nth(2 * number + 1).unwrap().strip_prefix("sh\n").unwrap().to_owned()
}

#[test]
fn the_table_of_verbs_is_the_programs() {
    let home = tempfile::tempdir().unwrap();
    let help = doorward(home.path(), &["--help"]).well();
    let verbs = |text: &str, pattern: &str| -> BTreeSet<String> {
        Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
    };
    let commands = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let program = verbs(commands, r"(?m)^  ([a-z]+) ");
    assert_eq!(verbs(&readme, r"(?m)^\| `doorward ([a-z]+)` \|"), program);
    assert!(program.len() >= 8);
}

/// With a second binary behind a feature, cargo asks which one is meant unless the manifest says.
#[test]
fn cargo_run_means_the_program() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("\ndefault-run = \"doorward\"\n"));
}

/// Commands of this program: lines of shell blocks, with what continues them, and inline code.
fn commands(page: &str) -> Vec<String> {
    let joined = page.replace("\\\n", " ");
    let in_blocks = Regex::new(r"(?m)(?:^|-- +)doorward +([^|\n]+)").unwrap();
    let inline = Regex::new(r"`doorward ([^`]+)`").unwrap();
    let with_cargo = Regex::new(r"(?m)^cargo run --release -- (.+)$").unwrap();
    let all = [in_blocks, inline, with_cargo];
    all.iter().flat_map(|pattern| pattern.captures_iter(&joined)).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_command_in_the_documents_is_understood() {
    let home = tempfile::tempdir().unwrap();
    let addresses = Regex::new(r#""\$(DOOR|ISSUER|RESOURCE)""#).unwrap();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        for line in commands(&text) {
            // The help comes only when everything before it was understood.
            let line = line.replace('…', "");
            let line = addresses.replace_all(&line, "https://$1.example");
            let words: Vec<&str> = line.split_whitespace().chain(["--help"]).collect();
            let ended = doorward(home.path(), &words);
            if ended.status != 0 {
                wrong.push(format!("{}: doorward {line}: {}", page.display(), ended.stderr));
            }
            seen += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 25, "only {seen} commands were found");
}

/// Runs the README's set-up as it stands, but for the port.
fn set_up(home: &Path) -> (Ended, Running, String) {
    loop {
        let port = free_ports().to_string();
        let script = block("Set it up", 0).replace("8443", &port);
        let (script, serve) = script.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(serve, "doorward serve --config doorward.yaml");
        let ended = bash(home, script, &[], "");
        assert_eq!(ended.status, 0, "{ended:?}");
        let mut serve = command(DOORWARD, home);
        serve.args(["serve", "--config", "doorward.yaml"]).env("DOORWARD__METRICS__BIND", "127.0.0.1:0");
        let mut running = Running::start(serve);
        let busy = running.until(|running| {
            let log = running.stderr();
            log.contains("cannot listen").then_some(true).or(log.contains("serving").then_some(false))
        });
        if !busy {
            return (ended, running, port);
        }
        fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).for_each(|path| {
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        });
    }
}

#[test]
fn the_set_up_of_the_readme_serves_a_call() {
    let home = tempfile::tempdir().unwrap();
    let (said, _running, port) = set_up(home.path());
    assert!(said.stderr.contains("no findings"), "{said:?}");
    let connect = block("Set it up", 1).replace("8443", &port);
    let ended = bash(home.path(), &connect, &[], &talk::modern("get_uptime", &json!({})));
    talk::assert_answered(&ended, "uptime_seconds");
}

/// A heading as the address of its section.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn every_relative_link_leads_somewhere() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for target in link.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()) {
            if target.contains("://") {
                continue;
            }
            seen += 1;
            let (file, section) = target.split_once('#').unwrap_or((target, ""));
            let path = root().join(&page).parent().unwrap().join(file);
            let there = if file.is_empty() { Some(text.clone()) } else { fs::read_to_string(&path).ok() };
            let headings = there.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with('#'));
            let known = headings.map(|line| anchor(line.trim_start_matches('#'))).any(|known| known == section);
            let exists = if section.is_empty() { file.is_empty() || path.exists() } else { known };
            if !exists {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 15, "only {seen} links were found");
}

#[test]
fn the_documents_tell_of_no_other_machine_and_of_this_version() {
    let home = std::env::var("HOME").unwrap_or_default();
    let places = [env!("CARGO_MANIFEST_DIR"), home.as_str(), "/root/", "/home/", "/work/", "/Users/"];
    for (page, text) in pages() {
        for place in places.iter().filter(|place| place.len() > 1) {
            assert!(!text.contains(place), "{} names {place}", page.display());
        }
    }
    let changes = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    assert!(
        changes.contains(&format!("\n## {}", env!("CARGO_PKG_VERSION"))),
        "the changelog has no word on this version"
    );
}

#[test]
fn the_test_command_is_the_one_that_is_run() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(block("Test it", 0), "scripts/test\n");
    let run = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert_eq!(run.lines().last(), Some("exec scripts/test"));
    for script in ["scripts/test", ".ci/run"] {
        let path = root().join(script);
        let mut syntax = command("bash", home.path());
        syntax.arg("-n").arg(&path);
        finish(syntax, "").well();
        let mut runs = command("test", home.path());
        runs.arg("-x").arg(&path);
        finish(runs, "").well();
    }
}
