//! Every query: on this machine, on the fixture hosts, on an empty host, and on hosts whose files are nonsense or traps.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::call::{ArgumentSchema, Impact};
use crate::error::Code;
use crate::policy::ScopesSection;

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
        "get_systemd_units" => json!({"details": true, "limit": 1000}),
        "get_journal_logs" => json!({"priority": "debug", "lines": 1000, "pattern": "e"}),
        "get_auth_logs" => json!({"source": "logins"}),
        "get_packages" | "get_dependencies" | "get_container_images" => json!({"format": "cyclonedx"}),
        "get_containers" => json!({"all": true}),
        "get_env_vars" => json!({"source": "files"}),
        _ => plain(name),
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
                let lists = answer
                    .as_object()
                    .unwrap()
                    .iter()
                    .filter(|(name, _)| !matches!(name.as_str(), "left_out" | "not_shown"));
                let nothing = |value: &Value| {
                    matches!(value.to_string().as_str(), "[]" | "0" | "false" | "\"none\"") || value["total"] == 0
                };
                assert!(lists.clone().count() > 0, "{name}: {answer}");
                assert!(lists.clone().all(|(_, value)| nothing(value)), "{name}: {answer}");
            }
            Err(failure) => assert_eq!(failure.code(), Code::ToolFailed, "{name}: {failure:?}"),
        }
    }
}

#[test]
fn a_name_that_the_host_does_not_have_is_refused_with_those_that_it_has() {
    let host = open(Host::fixture("debian-vm"));
    for (query, arguments, said) in [
        ("get_network_info", json!({"interface": "eth9"}), "no interface eth9; there are eth0, lo"),
        ("get_network_config", json!({"interface": "eth9"}), "no interface eth9; there are eth0, lo"),
        ("get_disk_info", json!({"mount": "/mnt"}), "no mount at /mnt; there are /, "),
        ("get_disk_info", json!({"control_group": "none"}), "no such control group"),
        ("get_mounts", json!({"kind": "ext9"}), "of the kind ext9; there are "),
        ("get_block_devices", json!({"name": "sda"}), "no block device sda; there are dm-0, "),
        ("get_processes", json!({"pid": 99_999}), "no process 99999, or it has gone"),
        ("get_processes", json!({"parent_pid": 99_999}), "no process 99999, or it has gone"),
        ("get_processes", json!({"user": "ghost"}), "no user ghost; there "),
        ("get_cron_jobs", json!({"user": "ghost"}), "no job of the user ghost; there are alice, "),
        ("get_systemd_units", json!({"name": "ngnix.service"}), "ngnix.service; there are -.mount, "),
        ("get_systemd_timers", json!({"name": "none"}), "none; there are "),
        ("get_sysctl", json!({"name": "vm.swapines"}), "no kernel setting vm.swapines; there "),
        ("get_firewall_rules", json!({"table": "none"}), "no table none; there "),
        ("get_firewall_rules", json!({"chain": "none"}), "no chain none; there "),
        ("get_packages", json!({"manager": "rpm"}), "no package manager rpm; there is dpkg"),
        ("get_packages", json!({"source": "opensll"}), "no source of a package opensll; there "),
        ("get_packages", json!({"architecture": "mips"}), "architecture mips; there are all, amd64, i386"),
        ("get_ssh_config", json!({"user": "ghost"}), "no account in /etc/passwd ghost; there are "),
        ("get_open_files", json!({"pid": 99_999}), "no such process, or it has gone; get_processes lists"),
        ("get_env_vars", json!({"pid": 99_999}), "process 99999: there is no such process"),
        (
            "get_journal_logs",
            json!({"unit": "ngnix"}),
            "no unit in the journal ngnix.service; there are init.scope, nginx.service",
        ),
    ] {
        let failure = ask_one(query, &host, arguments.clone()).unwrap().expect_err(query);
        assert_eq!(failure.code(), Code::ToolFailed, "{query} {arguments}");
        assert!(failure.public().contains(said), "{query} {arguments}: {}", failure.public());
    }
}

#[test]
fn every_list_that_is_cut_says_how_much_is_left_out_and_how_to_see_it() {
    let host = open(Host::fixture("debian-vm"));
    for (query, arguments, list) in [
        ("get_block_devices", json!({"all": true}), "devices"),
        ("get_connections", json!({}), "connections"),
        ("get_container_images", json!({}), "images"),
        ("get_containers", json!({"all": true}), "containers"),
        ("get_cron_jobs", json!({}), "jobs"),
        ("get_dependencies", json!({}), "dependencies"),
        ("get_kernel_modules", json!({}), "modules"),
        ("get_listening_ports", json!({}), "listening"),
        ("get_mounts", json!({}), "mounts"),
        ("get_open_files", json!({}), "files"),
        ("get_packages", json!({}), "packages"),
        ("get_pci_devices", json!({}), "devices"),
        ("get_processes", json!({}), "processes"),
        ("get_sudo_config", json!({}), "rules"),
        ("get_sysctl", json!({"name": "kernel"}), "settings"),
        ("get_systemd_timers", json!({}), "timers"),
        ("get_systemd_units", json!({}), "units"),
        ("get_user_accounts", json!({}), "accounts"),
    ] {
        let whole = ask_one(query, &host, arguments.clone()).unwrap().unwrap();
        let all = whole[list].as_array().unwrap().len();
        assert!(all > 1, "{query} has too little to be cut");
        assert_eq!((&whole["returned"], &whole["left_out"]), (&json!(all), &json!(0)), "{query}");
        assert!(whole["total"].as_u64() >= whole["matching"].as_u64() && whole.get("narrow").is_none(), "{query}");
        let mut fewer = arguments;
        fewer["limit"] = json!(1);
        let cut = ask_one(query, &host, fewer).unwrap().unwrap();
        assert_eq!(cut[list].as_array().unwrap().len(), 1, "{query}");
        let counts = ["total", "matching", "returned", "left_out"].map(|name| cut[name].as_u64().unwrap());
        let matching = whole["matching"].as_u64().unwrap();
        assert_eq!(counts, [whole["total"].as_u64().unwrap(), matching, 1, matching - 1], "{query}");
        let how = cut["narrow"].as_str().unwrap();
        assert!(how.contains("raise limit"), "{query}: {how}");
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
        ArgumentSchema::of(spec).compiled().unwrap();
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
    for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
        described(&format!("{place}.$defs.{name}"), part);
    }
    for part in schema["anyOf"].as_array().into_iter().flatten() {
        described(place, part);
    }
}

/// Files that the queries read, for filling them with nonsense.
const FILES: [&str; 80] = [
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
        for (name, asked) in ask_all(&open(Host::folder(folder.path())), thorough) {
            if let Err(failure) = asked {
                prop_assert_eq!(failure.code(), Code::ToolFailed, "{}: {:?}", name, failure);
            }
        }
    }
}
