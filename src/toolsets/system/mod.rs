//! Diagnostics of the host the daemon runs on. Every query reads files below a [`Host`], in a file of its own here, and
//! stands in the register; one that does not stand there is dead code, which the build refuses.

mod addresses;
mod audit_record;
mod auth_event;
mod command;
mod host;
mod journal_entries;
mod journal_file;
mod kernel_stat;
mod load;
mod log_files;
mod log_filter;
mod log_line;
mod log_time;
mod login_records;
mod mounts;
mod process_stat;
mod processor;
mod quantity;
mod query;
mod settings;
mod systemd_state;
mod unit_files;

mod app_logs;
mod auth_logs;
mod cpu;
mod cron;
mod disk;
mod event_log;
mod journal_logs;
mod kernel_logs;
mod memory;
mod network;
mod processes;
mod syslog;
mod systemd_timers;
mod systemd_units;
mod temperature;
mod uptime;

use std::sync::Arc;

use crate::guard::LimitsSection;
use crate::tools::Tool;

pub use host::Host;
pub use query::Threads;
pub use settings::SystemSection;

macro_rules! register {
    ($($query:ident)*) => {
        /// Every host query, bound to `host`, kept within `limits`, and run on `threads`.
        #[must_use]
        pub fn tools(host: Host, limits: &LimitsSection, threads: &Threads) -> Vec<Box<dyn Tool>> {
            let host = Arc::new(host);
            let limits = Arc::new(limits.clone());
            vec![$(query::tool::<$query::Query>(&host, &limits, threads),)*]
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
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::call::Impact;
    use crate::error::Code;

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
            _ => json!({}),
        }
    }

    #[test]
    fn the_real_host_answers_every_query_within_its_schema() {
        for arguments in WAYS {
            for (name, asked) in ask_all(&Host::this(), arguments) {
                assert!(asked.is_ok(), "{name}: {asked:?}");
            }
        }
    }

    #[test]
    fn every_fixture_host_answers_every_query_within_its_schema() {
        let section = SystemSection { app_logs: vec!["/var/log".into()] };
        let hosts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/host");
        let mut count = 0;
        for entry in std::fs::read_dir(hosts).unwrap() {
            let host = Host::folder(entry.unwrap().path()).opened(&section);
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
    fn the_register_has_the_core_queries_and_each_field_of_an_answer_is_described() {
        let tools = tools(Host::this(), &LimitsSection::default(), &Threads::default());
        let names: Vec<&str> = tools.iter().map(|tool| tool.spec().name.as_ref()).collect();
        let core = ["cpu_info", "disk_info", "memory_info", "network_info", "processes", "temperature", "uptime"];
        for name in core {
            assert!(names.contains(&&*format!("get_{name}")), "{name}");
        }
        let sensitive: Vec<&str> =
            tools.iter().map(|tool| tool.spec()).filter(|spec| spec.sensitive).map(|spec| &*spec.name).collect();
        assert_eq!(sensitive, ["get_auth_logs", "get_event_log"]);
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
    const FILES: [&str; 38] = [
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
            for (name, asked) in ask_all(&Host::folder(folder.path()), thorough) {
                if let Err(failure) = asked {
                    prop_assert_eq!(failure.code(), Code::ToolFailed, "{}: {:?}", name, failure);
                }
            }
        }
    }
}
