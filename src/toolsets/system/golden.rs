//! Golden answers: what the fixture hosts answer to questions worth keeping, in tests/golden/host. `UPDATE=1` writes them.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::budget::{self, Allowance};
use super::{Host, SystemSection, ask_one};
use crate::admission::ResourcesSection;
use crate::call::Impact;

/// Which host, the name of the file, the query, its arguments.
fn cases() -> Vec<(&'static str, &'static str, &'static str, Value)> {
    vec![
        ("debian-vm", "journal", "get_journal_logs", json!({})),
        ("debian-vm", "journal-unit", "get_journal_logs", json!({"unit": "postgresql"})),
        ("debian-vm", "journal-errors", "get_journal_logs", json!({"priority": "error", "lines": 2})),
        ("debian-vm", "journal-boot", "get_journal_logs", json!({"boot": -1, "unit": "nginx.service"})),
        (
            "debian-vm",
            "journal-pattern",
            "get_journal_logs",
            json!({"pattern": "UPSTREAM: \"http", "until": "2025-11-04T07:08:00Z"}),
        ),
        ("debian-vm", "syslog", "get_syslog", json!({})),
        ("debian-vm", "syslog-program", "get_syslog", json!({"program": "postgres", "lines": 1})),
        (
            "debian-vm",
            "app-log",
            "get_app_logs",
            json!({"file": "/var/log/shop/shop.log", "since": "2025-11-04T07:30:00Z"}),
        ),
        ("debian-vm", "kernel", "get_kernel_logs", json!({})),
        ("debian-vm", "kernel-journal", "get_kernel_logs", json!({"source": "journal"})),
        ("debian-vm", "cron", "get_cron_jobs", json!({})),
        ("debian-vm", "timers", "get_systemd_timers", json!({})),
        ("debian-vm", "units", "get_systemd_units", json!({})),
        ("debian-vm", "units-failed", "get_systemd_units", json!({"active": "failed", "details": true})),
        ("debian-vm", "units-details", "get_systemd_units", json!({"name": "NGINX", "details": true})),
        ("debian-vm", "auth", "get_auth_logs", json!({})),
        (
            "debian-vm",
            "auth-failures",
            "get_auth_logs",
            json!({"kind": "failure", "address": "198.51.100.9", "lines": 2}),
        ),
        ("debian-vm", "auth-logins", "get_auth_logs", json!({"source": "logins"})),
        ("debian-vm", "auth-failed-logins", "get_auth_logs", json!({"source": "failed_logins"})),
        ("debian-vm", "auth-last-logins", "get_auth_logs", json!({"source": "last_logins"})),
        ("debian-vm", "events", "get_event_log", json!({})),
        ("debian-vm", "events-refused", "get_event_log", json!({"success": false})),
        ("rpi-arm", "journal", "get_journal_logs", json!({})),
        ("rpi-arm", "syslog", "get_syslog", json!({})),
        ("rpi-arm", "kernel", "get_kernel_logs", json!({"source": "file", "pattern": "voltage|mmc", "regex": true})),
        ("rpi-arm", "cron", "get_cron_jobs", json!({})),
        ("rpi-arm", "timers", "get_systemd_timers", json!({})),
        ("rpi-arm", "units", "get_systemd_units", json!({"kind": "service"})),
        ("rpi-arm", "auth", "get_auth_logs", json!({})),
        ("rpi-arm", "app-log", "get_app_logs", json!({"file": "/var/log/messages"})),
        ("rpi-arm", "connections", "get_connections", json!({})),
        ("rpi-arm", "containers", "get_containers", json!({})),
        ("rpi-arm", "container-images", "get_container_images", json!({})),
        ("rpi-arm", "dependencies", "get_dependencies", json!({})),
        ("rpi-arm", "env-vars", "get_env_vars", json!({"pid": 1})),
        ("rpi-arm", "event-log", "get_event_log", json!({})),
        ("rpi-arm", "open-files", "get_open_files", json!({})),
        ("rpi-arm", "ssh-config", "get_ssh_config", json!({})),
        ("rpi-arm", "sudo-config", "get_sudo_config", json!({})),
        ("rpi-arm", "uptime", "get_uptime", json!({})),
        ("rpi-arm", "auth-logins", "get_auth_logs", json!({"source": "logins"})),
    ]
}

#[test]
fn the_fixture_hosts_answer_as_they_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/host");
    let update = std::env::var_os("UPDATE").is_some();
    let app_logs = vec!["/var/log/shop".into(), "/var/log".into()];
    let mut section = SystemSection { app_logs, ..SystemSection::default() };
    section.containers.sockets.push("/run/docker.sock".into());
    section.dependencies.paths.push("/srv/app".into());
    let mut wrong = Vec::new();
    for (case, file, query, arguments) in cases() {
        let host = Host::fixture(case).opened(&section);
        // As it is asked: within what a query may take.
        let allowance = Allowance::of(Impact::Medium, &ResourcesSection::default());
        let asked = budget::within(allowance, &Arc::default(), || ask_one(query, &host, arguments).unwrap());
        let answer = asked.unwrap_or_else(|failure| panic!("{case} {file}: {failure:?}"));
        let text = serde_json::to_string_pretty(&answer).unwrap() + "\n";
        let path = folder.join(case).join(format!("{file}.json"));
        if update {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as they were (UPDATE=1 writes them anew):\n{}", wrong.join("\n"));
}
