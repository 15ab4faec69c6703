//! What one program alone does not tell, and what the daemon alone does not see, in a network and with mounts made for it.

use std::fs;

use serde_json::{Value, json};

use crate::world::local;
use crate::world::program::{DOORWARD, command, finish, there_is};
use crate::world::talk;

/// Rules of nftables, of the iptables that makes nftables of them, and of the older one, side by side.
const FILTERS: &str = r#"
nft add table inet doors
nft add chain inet doors in '{ type filter hook input priority 5; }'
nft add rule inet doors in tcp dport 22 accept
iptables-nft -A INPUT -m conntrack --ctstate NEW -j LOG --log-prefix 'new one'
iptables-legacy -A FORWARD -s 10.9.0.0/16 -j DROP
ip6tables-legacy -t mangle -A FORWARD -s fd00::/16 -j DROP
{ iptables-legacy-save; ip6tables-legacy-save; iptables-nft-save; } > saved
"#;

fn rules(answer: &Value, told_by: &str) -> Vec<String> {
    let tables = answer["tables"].as_array().unwrap().iter().filter(|table| table["told_by"] == told_by);
    let chains = tables.flat_map(|table| table["chains"].as_array().unwrap());
    let rules = chains.flat_map(|chain| chain["rules"].as_array().unwrap());
    rules.map(|rule| rule["text"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn rules_of_the_older_iptables_are_told_beside_those_of_nftables() {
    for program in ["nft", "iptables-nft", "iptables-legacy"] {
        if !there_is(program, "what the host tells of its packet filters") {
            return;
        }
    }
    let home = tempfile::tempdir().unwrap();
    let calls = [("get_firewall_rules", json!({}))];
    let Some(answers) = local::ask_apart(home.path(), FILTERS, &calls) else { return };
    let answer = &answers[0];
    assert_eq!(answer["told_by"], json!(["nft", "iptables-legacy-save", "ip6tables-legacy-save"]), "{answer}");
    assert_eq!(answer["not_shown"], json!([]));
    assert_eq!(rules(answer, "nft"), ["tcp dport 22 accept"]);
    // In the very words of the program.
    let saved = fs::read_to_string(home.path().join("saved")).unwrap();
    for program in ["iptables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"] {
        let rules = rules(answer, program);
        assert_eq!(rules.len(), 1, "{program}: {answer}");
        assert!(saved.contains(&rules[0]), "{rules:?}: {saved}");
    }
    assert!(rules(answer, "iptables-nft-save")[0].contains("--log-prefix \"new one\""), "{answer}");
}

#[test]
fn a_machine_that_the_daemon_is_shown_read_only_is_not_said_to_be_so() {
    let home = tempfile::tempdir().unwrap();
    // As ProtectSystem=strict does it.
    let before = "mount --bind / / 2>/dev/null || true; mount -o remount,bind,ro / && touch read-only || true";
    let calls = [("get_mounts", json!({"below": "/"})), ("get_disk_info", json!({"mount": "/"}))];
    let Some(answers) = local::ask_apart(home.path(), before, &calls) else { return };
    let own = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let outside = own.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    let (mounted, filesystem) = outside.split_once(" - ").unwrap();
    let filesystem = filesystem.split(' ').nth(2).unwrap().split(',').any(|option| option == "ro");
    let mounted = mounted.split(' ').nth(5).unwrap().split(',').any(|option| option == "ro");
    let root = answers[0]["mounts"].as_array().unwrap().iter().find(|one| one["mount_point"] == "/").unwrap();
    for (answer, root) in [(&answers[0], root), (&answers[1], &answers[1]["filesystems"][0])] {
        assert_eq!(answer["view"], "machine", "{answer}");
        assert_eq!(root["filesystem_read_only"], filesystem, "{root}");
        assert_eq!(root["read_only"], filesystem || mounted, "{root}");
    }
    assert!(answers[1]["filesystems"][0]["usage"]["size_bytes"].as_u64() > Some(0), "{}", answers[1]);
}

/// What one call is answered, whole, and the records of it, under these lines of the configuration.
fn recorded(config: &str, tool: &str, arguments: &Value) -> (Value, Vec<Value>) {
    let home = tempfile::tempdir().unwrap();
    let text: String = (0..9).map(|n| format!("2026-11-20T10:00:0{n}Z door line {n} {}\n", "x".repeat(200))).collect();
    fs::create_dir(home.path().join("logs")).unwrap();
    fs::write(home.path().join("logs/app.log"), text).unwrap();
    let logs = home.path().join("logs").display().to_string();
    let config =
        format!("transport: stdio\naudit: {{enabled: true, path: audit.jsonl}}\n{config}\n").replace("LOGS", &logs);
    fs::write(home.path().join("doorward.yaml"), config).unwrap();
    let mut run = command(DOORWARD, home.path());
    run.args(["serve", "--config", "doorward.yaml"]);
    let ended = finish(run, &talk::legacy(tool, arguments));
    let answer = ended.messages().into_iter().find(|answer| answer["id"] == 3).unwrap_or_else(|| panic!("{ended:?}"));
    let records = fs::read_to_string(home.path().join("audit.jsonl")).unwrap();
    (answer["result"].clone(), records.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_cap_of_one_family_is_named_to_the_caller_and_in_the_log() {
    let processes = "limits: {processes: {max_count: 2, max_cmdline_length: 4}}";
    let lines = "limits: {logs: {max_lines: 2, max_age_hours: 900000}}\ntoolsets: {system: {app_logs: [LOGS]}}";
    let bytes =
        "limits: {logs: {max_bytes_per_file: 300, max_age_hours: 900000}}\ntoolsets: {system: {app_logs: [LOGS]}}";
    let age = "limits: {logs: {max_age_hours: 1}}\ntoolsets: {system: {app_logs: [LOGS]}}";
    let rows = [
        (processes, "get_processes", json!({}), "limits.processes.max_count is 2"),
        (processes, "get_processes", json!({"name": "doorward"}), "limits.processes.max_cmdline_length is 4"),
        (lines, "get_app_logs", json!({"lines": 2}), "limits.logs.max_lines is 2"),
        (bytes, "get_app_logs", json!({}), "limits.logs.max_bytes_per_file is 300"),
        (age, "get_app_logs", json!({"since": "2020-01-01T00:00:00Z"}), "limits.logs.max_age_hours is 1"),
    ];
    for (config, tool, arguments, said) in rows {
        let (answer, records) = recorded(config, tool, &arguments);
        let cut = |record: &&Value| record["event"] == "limit_exceeded" && record.to_string().contains(said);
        let cut = records.iter().find(cut).unwrap_or_else(|| panic!("{said}: {records:#?} {answer}"));
        assert_eq!(cut["tool"], tool, "{cut}");
        let notice = answer["content"].as_array().unwrap().iter().find(|part| part.to_string().contains("truncated: "));
        assert!(notice.is_some_and(|part| part.to_string().contains(said)), "{said}: {answer}");
    }
    // What the caller asked for is no cut.
    let (answer, records) = recorded(processes, "get_processes", &json!({"limit": 1, "name": "no such process"}));
    assert!(!records.iter().any(|record| record["event"] == "limit_exceeded"), "{answer}");
}
