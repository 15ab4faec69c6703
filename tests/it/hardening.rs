//! The page on hardening and the unit: what they show is run, and what they say of the sandbox is in the kernel.

use std::fs;
use std::path::Path;

use regex::Regex;

use crate::world::premises::Premises;
use crate::world::program::{bash, command, finish, there_is};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shell blocks of the page, in order.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/hardening.md")).unwrap();
    let block = Regex::new(r"(?s)```sh\n(.*?)```").unwrap();
    block.captures_iter(&page).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_commands_of_the_page_work_as_they_stand() {
    let premises = Premises::new();
    premises.configure(
        "  syslog: {enabled: true, target: tls://siem.example:6514}\n\
         resources: {rate_limit: {requests_per_minute: 60}}\nredaction: {fields: ['*.pin']}",
    );
    let (running, _) = premises.serve();
    let mut ran = 0;
    for block in blocks() {
        if block.contains("systemctl") {
            // It takes a machine that systemd runs.
            continue;
        }
        if block.contains("systemd-analyze") && !there_is("systemd-analyze", "the rating of the unit") {
            continue;
        }
        let block = block.replace("/etc/doorward/doorward.yaml", "doorward.yaml");
        let block =
            block.replace("systemd/doorward.service", &root().join("systemd/doorward.service").display().to_string());
        // No record ever gets to this collector.
        let block = block.replace("doorward doctor", "doorward doctor --accept audit");
        let block = block.replace("$(pgrep -o -f 'doorward serve')", &running.id().to_string());
        let ended = bash(premises.root(), &block, &[], "");
        assert_eq!(ended.status, 0, "{block}\n{ended:?}");
        ran += 1;
    }
    assert!(ran >= 4, "only {ran} blocks were run");
}

#[test]
fn the_unit_is_one_and_leaves_little_open() {
    if !there_is("systemd-analyze", "the unit") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for unit in ["doorward.service", "doorward.socket"] {
        let text = fs::read_to_string(root().join("systemd").join(unit)).unwrap();
        // The program is not installed where the unit says.
        let text = text.replace("/usr/bin/doorward ", "/bin/true ");
        fs::write(home.path().join(unit), text).unwrap();
    }
    let analyze = |arguments: &[&str]| {
        let mut analyze = command("systemd-analyze", home.path());
        analyze.args(arguments).arg("./doorward.service");
        finish(analyze, "")
    };
    let verified = analyze(&["verify", "./doorward.socket"]);
    let complaints: Vec<&str> = verified.stderr.lines().filter(|line| line.contains("doorward.")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    // Tenths: 2.0 of 10 is as much as a program may have that looks at the whole machine.
    let rated = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager"]);
    assert_eq!(rated.status, 0, "{}\n{}", rated.stdout, rated.stderr);
}

#[test]
fn the_page_names_every_point_of_the_checklist() {
    let premises = Premises::new();
    let report = crate::world::program::doorward(premises.root(), &["doctor", "--config", "doorward.yaml", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    let page = fs::read_to_string(root().join("docs/hardening.md")).unwrap();
    for point in report["points"].as_array().unwrap() {
        let row = format!("| `{}` |", point["name"].as_str().unwrap());
        assert!(page.contains(&row), "docs/hardening.md has no row {row}");
    }
    assert!(report["points"].as_array().unwrap().len() >= 18);
}
