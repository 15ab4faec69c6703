//! What is told of projects on the fixture hosts and in hostile folders.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::super::query::ask;
use super::super::{Host, SystemSection};
use super::*;

fn opened(host: Host, path: impl Into<PathBuf>) -> Host {
    let mut section = SystemSection::default();
    section.dependencies.paths.push(path.into());
    host.opened(&section)
}

fn listed(arguments: Value) -> Value {
    ask::<Query>(&opened(Host::fixture("debian-vm"), "/srv/app"), arguments).unwrap()
}

fn names(answer: &Value) -> Vec<&str> {
    answer["dependencies"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn projects_are_listed_with_their_lock_files() {
    let answer = listed(json!({}));
    assert_eq!(
        answer["files"],
        json!([
            {"path": "/srv/app/api/Cargo.lock", "ecosystem": "cargo", "packages": 2, "unpinned": 0},
            {"path": "/srv/app/tools/go.mod", "ecosystem": "go", "packages": 1, "unpinned": 0},
            {"path": "/srv/app/tools/requirements.txt", "ecosystem": "pypi", "packages": 1, "unpinned": 1},
            {"path": "/srv/app/web/package-lock.json", "ecosystem": "npm", "packages": 2, "unpinned": 0},
        ])
    );
    assert_eq!(names(&answer), ["serde", "tokio", "@types/node", "express", "Jinja2", "golang.org/x/sys"]);
    assert_eq!(
        answer["dependencies"][2],
        json!({
            "ecosystem": "npm", "name": "@types/node", "version": "20.11.30", "development": true,
            "files": ["/srv/app/web/package-lock.json"],
        })
    );
    assert_eq!((&answer["total"], &answer["not_shown"]), (&json!(6), &json!([])));
    assert_eq!(names(&listed(json!({"ecosystem": "cargo", "name": "TOK"}))), ["tokio"]);
    assert_eq!(names(&listed(json!({"path": "/srv/app/tools"}))), ["Jinja2", "golang.org/x/sys"]);
}

#[test]
fn only_configured_folders_are_looked_into() {
    for path in ["/etc", "/srv", "/srv/app/../../etc", "/srv/application", "srv/app"] {
        let host = opened(Host::fixture("debian-vm"), "/srv/app");
        assert_eq!(ask::<Query>(&host, json!({"path": path})).unwrap_err().code(), Code::ArgumentsInvalid, "{path}");
    }
    let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap_err();
    assert!(failure.public().contains("toolsets.system.dependencies.paths"));
}

#[test]
fn a_bill_of_materials_says_that_a_requirement_has_no_version() {
    let bill = &listed(json!({"format": "cyclonedx"}))["bill"];
    let purls: Vec<&str> =
        bill["components"].as_array().unwrap().iter().map(|one| one["purl"].as_str().unwrap()).collect();
    assert_eq!(purls[2..5], ["pkg:npm/%40types/node@20.11.30", "pkg:npm/express@4.19.2", "pkg:pypi/jinja2@3.1.3"]);
    assert_eq!(bill["compositions"], json!([{"aggregate": "incomplete"}]));
    let bill = &listed(json!({"format": "cyclonedx", "path": "/srv/app/api"}))["bill"];
    assert_eq!(bill["compositions"], json!([{"aggregate": "complete"}]));
}

fn hostile(root: &Path) {
    let put = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    put("p/a/Cargo.lock", b"\xff\xfe[[package]]");
    put("p/b/package-lock.json", b"{\"packages\": {\"node_modules/x\": {\"version\"");
    put("p/c/go.sum", b"");
    put("p/node_modules/y/package-lock.json", b"{}");
    put("outside/Cargo.lock", b"[[package]]\nname='secret'\nversion='1'\nsource='x'\n");
    let huge = std::fs::File::create(root.join("p/b/poetry.lock")).unwrap();
    huge.set_len(1 << 40).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("p/go.mod"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    symlink("../outside", root.join("p/linked")).unwrap();
    symlink("../../outside/Cargo.lock", root.join("p/c/Cargo.lock")).unwrap();
    symlink(".", root.join("p/loop")).unwrap();
    let mut deep = root.join("p");
    (0..DEEP).for_each(|_| deep.push("d"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("Cargo.lock"), "").unwrap();
}

const DEEP: usize = 20;

#[test]
fn hostile_folders_cost_no_more_than_a_word() {
    let root = tempfile::tempdir().unwrap();
    hostile(root.path());
    let answer = ask::<Query>(&opened(Host::folder(root.path()), "/p"), json!({})).unwrap();
    assert_eq!(answer["not_shown"], json!(["folders that lie too deep"]));
    assert_eq!(answer["dependencies"], json!([]), "no link was followed");
    let said: Vec<(&str, &str)> = answer["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["path"].as_str().unwrap(), one["problem"].as_str().unwrap_or_default()))
        .collect();
    let (no_lock, unread) = ("it is no lock file of this kind", "it cannot be read, is no file, or is too large");
    // Nor is one that a caller names.
    let named = ask::<Query>(&opened(Host::folder(root.path()), "/p"), json!({"path": "/p/linked"})).unwrap();
    assert_eq!((&named["files"], named["not_shown"].as_array().unwrap().len()), (&json!([]), 1));
    let wanted = [
        ("/p/a/Cargo.lock", no_lock),
        ("/p/b/package-lock.json", no_lock),
        ("/p/b/poetry.lock", unread),
        ("/p/c/go.sum", ""),
    ];
    assert_eq!(said, wanted);
}
