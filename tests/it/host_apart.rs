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
    let ended = finish(run, &talk::legacy(tool, arguments).replace("LOGS", &logs));
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
        (lines, "get_app_logs", json!({"file": "LOGS/app.log", "lines": 2}), "limits.logs.max_lines is 2"),
        (bytes, "get_app_logs", json!({"file": "LOGS/app.log"}), "limits.logs.max_bytes_per_file is 300"),
        (
            age,
            "get_app_logs",
            json!({"file": "LOGS/app.log", "since": "2020-01-01T00:00:00Z"}),
            "limits.logs.max_age_hours is 1",
        ),
    ];
    for (config, tool, arguments, said) in rows {
        let (answer, records) = recorded(config, tool, &arguments);
        let cut = |record: &&Value| record["event"] == "limit_exceeded" && record.to_string().contains(said);
        let cut = records.iter().find(cut).unwrap_or_else(|| panic!("{said}: {records:#?} {answer}"));
        assert_eq!(cut["query"], tool, "{cut}");
        let notice = answer["content"].as_array().unwrap().iter().find(|part| part.to_string().contains("truncated: "));
        assert!(notice.is_some_and(|part| part.to_string().contains(said)), "{said}: {answer}");
    }
    // What the caller asked for is no cut.
    let (answer, records) = recorded(processes, "get_processes", &json!({"limit": 1, "name": "no such process"}));
    assert!(!records.iter().any(|record| record["event"] == "limit_exceeded"), "{answer}");
}

/// The logs of a fixture host in place of this machine's, owned as Debian owns them, and asked for by a user in these groups.
fn asked_by_a_user(groups: &str, tool: &str, arguments: &Value) -> (Value, String) {
    let home = tempfile::tempdir().unwrap();
    let config = "transport: stdio\naudit: {enabled: false}\nlimits: {logs: {max_age_hours: 900000}}\n";
    fs::write(home.path().join("doorward.yaml"), config).unwrap();
    let logs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/host/debian-vm/var/log");
    let script = format!(
        "chmod 755 . && chmod 644 doorward.yaml && mount -t tmpfs -o mode=755 none /var/log && mount -t tmpfs none /run/log 2>&-; \
         cp -r {logs}/. /var/log/; chown -R root:adm /var/log; chmod -R u+rwX,g+rX,o-rwx /var/log; chmod 755 /var/log; \
         if [ -d /var/log/journal ]; then chgrp -R systemd-journal /var/log/journal; fi; \
         as() {{ setpriv --reuid 65534 --regid 65534 {groups} \"$@\"; }}; \
         as doorward check --config doorward.yaml >&2; as doorward serve --config doorward.yaml"
    );
    let mut run = command("unshare", home.path());
    run.args(["-m", "bash", "-c", &script]);
    let ended = finish(run, &talk::legacy(tool, arguments));
    let answer = ended.messages().into_iter().find(|answer| answer["id"] == 3).unwrap_or_else(|| panic!("{ended:?}"));
    (answer["result"].clone(), ended.stderr)
}

/// What the unit gives the daemon, what its drop-in adds, and what neither would leave.
#[test]
fn a_user_outside_the_groups_of_logs_is_told_so_and_one_within_reads_them() {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let has = |name: &str| groups.lines().any(|line| line.starts_with(&format!("{name}:")));
    if !rustix::process::getuid().is_root() || !has("adm") || !has("systemd-journal") {
        eprintln!("!! not root, or without the groups adm and systemd-journal: logs of others are NOT tested");
        return;
    }
    let count = |answer: &Value| answer["structuredContent"]["entries"].as_array().map_or(0, Vec::len);
    for (tool, group) in [("get_syslog", "adm"), ("get_journal_logs", "systemd-journal")] {
        let (shut, said) = asked_by_a_user("--clear-groups", tool, &json!({"lines": 5}));
        assert_eq!(count(&shut), 0, "{shut}");
        assert!(shut.to_string().contains("may not"), "{shut}");
        assert!(said.contains(&format!("{tool} says less to a user who is in no group")), "{said}");
        let (open, said) = asked_by_a_user(&format!("--groups {group}"), tool, &json!({"lines": 5}));
        assert!(count(&open) > 0, "{group}: {open} {said}");
        assert!(!said.contains(&format!("{tool} says less to a user")), "{said}");
    }
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/doorward.service")).unwrap();
    let drop_in = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/doorward-logs.conf")).unwrap();
    assert!(
        unit.contains("\nSupplementaryGroups=systemd-journal\n") && drop_in.contains("\nSupplementaryGroups=adm\n")
    );
}

/// Without ambient capabilities a program that a daemon without root starts would have none, and tell no rules.
#[test]
fn a_program_that_a_query_starts_has_what_the_configuration_keeps() {
    if !rustix::process::getuid().is_root() || !there_is("nft", "what programs of queries may do") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let rules = |kept: &str| {
        let config = format!("transport: stdio\naudit: {{enabled: false}}\nsandbox: {{capabilities: [{kept}]}}\n");
        fs::write(home.path().join("doorward.yaml"), config).unwrap();
        let script = "chmod 755 . && chmod 644 doorward.yaml && nft add table inet doors && \
            exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps +net_admin --ambient-caps +net_admin \
            doorward serve --config doorward.yaml";
        let mut run = command("unshare", home.path());
        run.args(["-n", "bash", "-c", script]);
        let ended = finish(run, &talk::legacy("get_firewall_rules", &json!({})));
        let answer =
            ended.messages().into_iter().find(|answer| answer["id"] == 3).unwrap_or_else(|| panic!("{ended:?}"));
        answer["result"]["structuredContent"].clone()
    };
    let kept = rules("CAP_NET_ADMIN");
    assert_eq!((&kept["told_by"], &kept["tables"][0]["name"]), (&json!(["nft"]), &json!("doors")), "{kept}");
    let dropped = rules("");
    assert_eq!(dropped["not_shown"][0]["why"], "not_permitted", "{dropped}");
}
