//! Diagnostics of the host the daemon runs on. Every query reads files below a [`Host`], in a file of its own here, and
//! stands in the register; one that does not stand there is dead code, which the build refuses.

mod accounts;
mod addresses;
mod audit_record;
mod auth_event;
mod budget;
mod command;
mod container_engine;
mod cyclonedx;
mod distribution;
mod host;
mod journal_entries;
mod journal_file;
mod kernel_stat;
mod listing;
mod load;
mod lock_file;
mod log_files;
mod log_filter;
mod log_line;
mod log_time;
mod login_records;
mod mounts;
mod outside;
mod package_database;
mod process_stat;
mod processor;
mod quantity;
mod query;
mod reread;
mod settings;
mod ssh_key;
mod ssh_settings;
mod sudoers;
mod systemd_state;
mod tree;
mod unit_files;

mod app_logs;
mod auth_logs;
mod container_images;
mod containers;
mod cpu;
mod cron;
mod dependencies;
mod disk;
mod env_vars;
mod event_log;
mod journal_logs;
mod kernel_logs;
mod memory;
mod network;
mod open_files;
mod packages;
mod processes;
mod ssh_config;
mod sudo_config;
mod syslog;
mod systemd_timers;
mod systemd_units;
mod temperature;
mod uptime;
mod user_accounts;

use std::sync::Arc;

use crate::admission::ResourcesSection;
use crate::guard::LimitsSection;
use crate::tools::Tool;

pub use host::Host;
pub use query::Threads;
pub use settings::{ContainersSection, DependenciesSection, SystemSection};

macro_rules! register {
    ($($query:ident)*) => {
        /// Every host query, bound to `host`, kept within `limits` and `resources`, and run on `threads`.
        #[must_use]
        pub fn tools(
            host: Host,
            limits: &LimitsSection,
            resources: &ResourcesSection,
            threads: &Threads,
        ) -> Vec<Box<dyn Tool>> {
            let host = Arc::new(host);
            let limits = Arc::new(limits.clone());
            vec![$(query::tool::<$query::Query>(&host, &limits, resources, threads),)*]
        }

        /// Asks `host` every query, each with the arguments that `arguments` has for its name.
        #[cfg(test)]
        fn ask_all(host: &Host, arguments: impl Fn(&str) -> serde_json::Value) -> Vec<(String, query::Asked)> {
            vec![$({
                let name = <$query::Query as query::HostQuery>::spec().name.to_string();
                let arguments = arguments(&name);
                (name, query::ask::<$query::Query>(host, arguments))
            },)*]
        }

        /// Asks `host` the query of this name.
        #[cfg(test)]
        fn ask_one(name: &str, host: &Host, arguments: serde_json::Value) -> Option<query::Asked> {
            $(if <$query::Query as query::HostQuery>::spec().name == name {
                return Some(query::ask::<$query::Query>(host, arguments));
            })*
            None
        }
    };
}

register! {
    cpu disk memory network processes temperature uptime
    journal_logs syslog app_logs kernel_logs
    cron systemd_timers systemd_units
    auth_logs event_log
    packages containers container_images dependencies
    user_accounts sudo_config ssh_config env_vars open_files
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod page;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::call::Impact;
    use crate::error::Code;
    use crate::policy::ScopesSection;

    const WAYS: [fn(&str) -> Value; 2] = [plain, thorough];

    fn plain(_name: &str) -> Value {
        json!({})
    }

    /// Arguments that make a query do all it can.
    fn thorough(name: &str) -> Value {
        match name {
            "get_cpu_info" => json!({"per_cpu": true, "sample_ms": 20}),
            "get_disk_info" => json!({"all": true}),
            "get_processes" => json!({"sort": "memory", "limit": 500}),
            "get_systemd_units" => json!({"details": true, "limit": 1000}),
            "get_journal_logs" => json!({"priority": "debug", "lines": 1000, "pattern": "e"}),
            "get_auth_logs" => json!({"source": "logins"}),
            "get_packages" | "get_dependencies" | "get_container_images" => json!({"format": "cyclonedx"}),
            "get_containers" => json!({"all": true}),
            "get_env_vars" => json!({"source": "files"}),
            _ => json!({}),
        }
    }

    /// Whether this machine has what the query is about, and the default configuration opens it.
    fn is_here(query: &str) -> bool {
        let any = |paths: &[&str]| paths.iter().any(|path| std::fs::File::open(path).is_ok());
        match query {
            "get_containers" | "get_container_images" | "get_dependencies" => false,
            "get_packages" => any(&["/var/lib/dpkg/status", "/lib/apk/db/installed", "/usr/bin/rpm"]),
            "get_sudo_config" => any(&["/etc/sudoers"]),
            "get_ssh_config" => any(&["/etc/ssh/sshd_config", "/etc/ssh/ssh_config"]),
            _ => true,
        }
    }

    #[test]
    fn the_real_host_answers_every_query_within_its_schema() {
        for arguments in WAYS {
            // What the first process was started with is for few to see.
            let own = |name: &str| match name {
                "get_env_vars" => json!({"pid": std::process::id()}),
                _ => arguments(name),
            };
            for (name, asked) in ask_all(&Host::this(), own) {
                assert_eq!(asked.is_ok(), is_here(&name), "{name}: {asked:?}");
            }
        }
    }

    /// With everything opened that the fixture hosts have.
    fn open(host: Host) -> Host {
        let mut section = SystemSection { app_logs: vec!["/var/log".into()], ..SystemSection::default() };
        section.containers.sockets.push("/run/docker.sock".into());
        section.dependencies.paths.push("/srv/app".into());
        host.opened(&section)
    }

    #[test]
    fn every_fixture_host_answers_every_query_within_its_schema() {
        let hosts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/host");
        let mut count = 0;
        for entry in std::fs::read_dir(hosts).unwrap() {
            let host = open(Host::folder(entry.unwrap().path()));
            count += 1;
            for arguments in WAYS {
                for (name, asked) in ask_all(&host, arguments) {
                    assert!(asked.is_ok(), "{name} on {host:?}: {asked:?}");
                }
            }
        }
        assert!(count >= 2);
    }

    #[test]
    fn an_empty_folder_fails_clearly_or_answers_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for (name, asked) in ask_all(&Host::folder(folder.path()), plain) {
            match asked {
                Ok(answer) => {
                    let lists = answer.as_object().unwrap().iter().filter(|(name, _)| *name != "left_out");
                    let empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty) && value != &json!(true);
                    assert!(
                        lists.clone().count() > 0 && lists.clone().all(|(_, value)| empty(value)),
                        "{name}: {answer}"
                    );
                }
                Err(failure) => assert_eq!(failure.code(), Code::ToolFailed, "{name}: {failure:?}"),
            }
        }
    }

    #[test]
    fn every_query_has_a_scope_and_each_field_of_an_answer_is_described() {
        let tools = tools(Host::this(), &LimitsSection::default(), &ResourcesSection::default(), &Threads::default());
        let scopes = ScopesSection::default().0;
        let mut registered: Vec<(&str, bool)> =
            tools.iter().map(|tool| (tool.spec().name.as_ref(), tool.spec().sensitive)).collect();
        registered.sort_unstable();
        let mut scoped: Vec<(&str, bool)> = scopes
            .iter()
            .flat_map(|(scope, tools)| tools.iter().map(move |tool| (tool.as_str(), scope == "sensitive")))
            .collect();
        scoped.sort_unstable();
        assert_eq!(registered, scoped, "each in one scope, and the sensitive ones in that of their own");
        for tool in &tools {
            let spec = tool.spec();
            assert!(spec.impact < Impact::High && spec.annotations.read_only);
            assert_eq!(spec.input_schema.get("additionalProperties"), Some(&json!(false)), "{}", spec.name);
            described(&spec.name, &Value::Object((*spec.input_schema).clone()));
            described(&spec.name, &Value::Object((*spec.output_schema).clone()));
        }
    }

    fn described(place: &str, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let place = format!("{place}.{name}");
            assert!(property["description"].is_string(), "{place} has no description");
            described(&place, property);
            described(&place, &property["items"]);
        }
        for part in schema["anyOf"].as_array().into_iter().flatten() {
            described(place, part);
        }
    }

    /// Files that the queries read, for filling them with nonsense.
    const FILES: [&str; 51] = [
        "proc/stat",
        "proc/cpuinfo",
        "proc/loadavg",
        "proc/meminfo",
        "proc/pressure/memory",
        "proc/self/mountinfo",
        "proc/diskstats",
        "proc/net/dev",
        "proc/net/if_inet6",
        "proc/net/fib_trie",
        "proc/net/route",
        "proc/uptime",
        "proc/7/stat",
        "proc/7/status",
        "proc/7/cmdline",
        "etc/passwd",
        "etc/environment",
        "etc/group",
        "proc/1/environ",
        "etc/shadow",
        "etc/sudoers",
        "etc/ssh/sshd_config",
        "etc/ssh/ssh_host_ed25519_key.pub",
        "etc/os-release",
        "var/lib/dpkg/status",
        "lib/apk/db/installed",
        "srv/app/Cargo.lock",
        "sockets/run/docker.sock/containers/json",
        "sockets/run/docker.sock/images/json",
        "sys/class/net/eth0/mtu",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/class/thermal/thermal_zone0/trip_point_0_temp",
        "sys/class/hwmon/hwmon0/temp1_input",
        "sys/class/hwmon/hwmon0/temp1_crit",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
        "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
        "sys/devices/system/cpu/cpu0/topology/core_id",
        "dev/kmsg",
        "etc/crontab",
        "etc/cron.d/job",
        "etc/anacrontab",
        "etc/localtime",
        "etc/systemd/system/a.timer",
        "etc/systemd/system/a.service",
        "var/log/syslog",
        "var/log/syslog.1.gz",
        "var/log/auth.log",
        "var/log/wtmp",
        "var/log/audit/audit.log",
        "var/log/journal/0/system.journal",
        "var/log/lastlog",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn nonsense_in_the_files_is_never_a_panic_and_never_breaks_the_schema(
            contents in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..200),
                    "[a-z0-9 :|/()=.-]{0,24}(\n[a-zA-Z0-9 :|/()=.-]{0,60}){0,6}".prop_map(String::into_bytes),
                    "(cpu|7 \\(x\\) S|MemTotal:|btime|eth0:|processor :)( +(0|1|9|18446744073709551615)){0,40}"
                        .prop_map(String::into_bytes),
                ],
                FILES.len(),
            ),
        ) {
            let folder = tempfile::tempdir().unwrap();
            for (file, content) in FILES.iter().zip(contents) {
                let path = folder.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            for (name, asked) in ask_all(&open(Host::folder(folder.path())), thorough) {
                if let Err(failure) = asked {
                    prop_assert_eq!(failure.code(), Code::ToolFailed, "{}: {:?}", name, failure);
                }
            }
        }
    }
}
