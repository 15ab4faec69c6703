//! Diagnostics of the host the daemon runs on. Every query reads files below a [`Host`], in a file of its own here, and
//! stands in the register; one that does not stand there is dead code, which the build refuses.

mod addresses;
mod budget;
mod cgroup;
mod command;
mod disk_activity;
mod extent;
mod host;
mod kernel_stat;
mod link;
mod load;
mod mounts;
mod numa;
mod owners;
mod pressure;
mod process;
mod process_stat;
mod process_tree;
mod processor;
mod quantity;
mod query;
mod readings;
mod reread;
mod routes;
mod sample;
mod sockets;
mod swaps;
mod user_names;

mod block;
mod connections;
mod cpu;
mod disk;
mod dns;
mod firewall;
mod memory;
mod modules;
mod mount_list;
mod network;
mod network_config;
mod pci;
mod ports;
mod processes;
mod sysctl;
mod temperature;
mod uptime;

use std::sync::Arc;

use crate::admission::ResourcesSection;
use crate::guard::LimitsSection;
use crate::tools::Tool;

pub use host::Host;
pub use query::Threads;

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
    };
}

register! {
    cpu disk memory network processes temperature uptime
    block connections dns firewall modules mount_list network_config pci ports sysctl
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::call::Impact;
    use crate::error::Code;

    const WAYS: [fn(&str) -> Value; 2] = [plain, thorough];

    fn plain(name: &str) -> Value {
        match name {
            "get_sysctl" => json!({"name": "kernel"}),
            _ => json!({}),
        }
    }

    /// Arguments that make a query do all it can.
    fn thorough(name: &str) -> Value {
        match name {
            "get_cpu_info" => json!({"per_cpu": true, "sample_ms": 20}),
            "get_disk_info" => json!({"all": true, "sample_ms": 20}),
            "get_network_info" => json!({"sample_ms": 20}),
            "get_processes" => json!({"sort": "memory", "limit": 500, "tree": true, "sample_ms": 20}),
            "get_block_devices" | "get_mounts" => json!({"all": true}),
            "get_firewall_rules" => json!({"files": true}),
            "get_listening_ports" => json!({"protocol": "unix"}),
            "get_sysctl" => json!({"name": "net", "limit": 1000}),
            _ => plain(name),
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
        let hosts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/host");
        let mut count = 0;
        for entry in std::fs::read_dir(hosts).unwrap() {
            let host = Host::folder(entry.unwrap().path());
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
                    let lists = answer.as_object().unwrap().values();
                    let nothing =
                        |value: &Value| matches!(value.to_string().as_str(), "[]" | "0") || value["total"] == 0;
                    assert!(lists.clone().all(nothing), "{name}: {answer}");
                }
                Err(failure) => assert_eq!(failure.code(), Code::ToolFailed, "{name}: {failure:?}"),
            }
        }
    }

    #[test]
    fn the_register_has_the_core_queries_and_each_field_of_an_answer_is_described() {
        let tools = tools(Host::this(), &LimitsSection::default(), &ResourcesSection::default(), &Threads::default());
        let names: Vec<&str> = tools.iter().map(|tool| tool.spec().name.as_ref()).collect();
        let core = ["cpu_info", "disk_info", "memory_info", "network_info", "processes", "temperature", "uptime"];
        for name in core.map(|name| format!("get_{name}")) {
            assert!(names.contains(&name.as_str()), "{name}");
        }
        for tool in &tools {
            let spec = tool.spec();
            assert!(spec.impact < Impact::High && !spec.sensitive && spec.annotations.read_only);
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
    const FILES: [&str; 53] = [
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
        "proc/7/comm",
        "proc/7/cgroup",
        "proc/self/cgroup",
        "proc/self/status",
        "proc/net/tcp",
        "proc/net/tcp6",
        "proc/net/udp",
        "proc/net/unix",
        "proc/net/ipv6_route",
        "proc/net/arp",
        "proc/swaps",
        "proc/vmstat",
        "proc/modules",
        "proc/sys/kernel/tainted",
        "proc/sys/kernel/é",
        "etc/fstab",
        "etc/hosts",
        "etc/resolv.conf",
        "etc/nsswitch.conf",
        "commands/nft -j list ruleset",
        "commands/ip -json -4 rule show",
        "commands/ip -json -6 neigh show",
        "sys/fs/cgroup/cgroup.controllers",
        "sys/fs/cgroup/cpu.max",
        "sys/fs/cgroup/io.stat",
        "sys/block/sda/size",
        "sys/block/sda/sda1/partition",
        "sys/bus/pci/devices/0000:00:00.0/class",
        "usr/share/misc/pci.ids",
    ];

    /// Makes all files of a folder the same kind of trap.
    fn trapped(trap: impl Fn(&std::path::Path)) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            trap(&path);
        }
        folder
    }

    #[test]
    fn traps_in_place_of_files_are_a_failure_or_an_answer_and_hold_nobody_up() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let traps: [fn(&std::path::Path); 6] = [
            |path| mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap(),
            |path| std::os::unix::fs::symlink(path.file_name().unwrap(), path).unwrap(),
            |path| std::fs::create_dir(path).unwrap(),
            |path| std::fs::File::create(path).unwrap().set_len(9 << 20).unwrap(),
            |path| std::fs::write(path, "1 ".repeat(100_000)).unwrap(),
            |path| std::fs::write(path, "\n".repeat(100_000)).unwrap(),
        ];
        for (number, trap) in traps.into_iter().enumerate() {
            let folder = trapped(trap);
            for arguments in WAYS {
                for (name, asked) in ask_all(&Host::folder(folder.path()), arguments) {
                    if let Err(failure) = asked {
                        assert_eq!(failure.code(), Code::ToolFailed, "trap {number}: {name}: {failure:?}");
                    }
                }
            }
        }
    }

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
