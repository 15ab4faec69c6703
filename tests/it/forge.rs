//! What the compiler holds: programs that go around the path do not compile, each for the reason it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

#[test]
fn nothing_can_be_forged() {
    let deps = deps();
    let library = newest(&deps, "libdoorward-", ".rlib");
    let json = newest(&deps, "libserde_json-", ".rlib");
    let mut wrong = Vec::new();
    let mut seen = 0;
    let cases = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/forge")).unwrap();
    for case in cases.map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&case).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("//~ ").expect("the first line says what happens");
        let errors = compile(&case, &deps, &library, &json);
        let fits = match expected {
            "compiles" => errors.is_empty(),
            reason => !errors.is_empty() && errors.iter().all(|error| error.contains(reason)),
        };
        if !fits {
            wrong.push(format!("{}: expected {expected}, got {errors:?}", case.display()));
        }
        seen += 1;
    }
    assert!(seen >= 10, "the cases are gone");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The error codes the compiler gives, or all it says when there is none.
fn compile(case: &Path, deps: &Path, library: &Path, json: &Path) -> Vec<String> {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--error-format", "short", "-L"])
        .arg(format!("dependency={}", deps.display()))
        .arg("--extern")
        .arg(format!("doorward={}", library.display()))
        .arg("--extern")
        .arg(format!("serde_json={}", json.display()))
        .arg("--out-dir")
        .arg(out.path())
        .arg(case)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let codes: Vec<String> =
        text.split("error[").skip(1).filter_map(|rest| rest.split(']').next()).map(str::to_owned).collect();
    if codes.is_empty() && !output.status.success() {
        return vec![text.into_owned()];
    }
    codes
}

fn deps() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn newest(deps: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let mut found: Vec<(SystemTime, PathBuf)> = fs::read_dir(deps)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(prefix) && name.ends_with(suffix)
        })
        .map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path()))
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {prefix}*{suffix} in {}", deps.display())).1
}
