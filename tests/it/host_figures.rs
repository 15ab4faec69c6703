//! What the host tells of itself, held against the programs of the system that tell the same: ps, free, df, lsblk, findmnt,
//! lspci, lsmod, sysctl, nproc.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::world::local;
use crate::world::program::there_is;

/// The answer to one question, and what `script` wrote about the same. Nothing when a program for it is missing.
#[track_caller]
fn both(program: &str, script: &str, tool: &str, arguments: Value) -> Option<(Value, String)> {
    if !there_is(program, &format!("what {tool} tells")) {
        return None;
    }
    let home = tempfile::tempdir().unwrap();
    let answer = local::ask(home.path(), &format!("({script}) > said"), &[(tool, arguments)]).remove(0);
    Some((answer, read(home.path(), "said")))
}

fn read(home: &Path, name: &str) -> String {
    fs::read_to_string(home.join(name)).unwrap()
}

fn near(told: u64, wanted: u64, percent: u64) {
    let most = wanted / 100 * percent;
    assert!(told.abs_diff(wanted) <= most, "{told} is not within {percent} % of {wanted}");
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn processes_are_told_as_ps_tells_them() {
    let script = "ps -e -o pid=,ppid=,euid=,nlwp=,ni=,comm=";
    let arguments = json!({ "sort": "pid", "limit": 500, "tree": true });
    let Some((answer, said)) = both("ps", script, "get_processes", arguments) else { return };
    let told: BTreeMap<u64, &Value> =
        answer["processes"].as_array().unwrap().iter().map(|one| (one["pid"].as_u64().unwrap(), one)).collect();
    let mut compared = 0;
    for line in said.lines() {
        let columns = words(line);
        // Those that came or went, or took another name, between the two looks are none of ours.
        let Some(one) = told.get(&columns[0].parse().unwrap()) else { continue };
        let orphaned = one["parent_pid"] == 1 && columns[1] != "1";
        if orphaned || one["name"] != columns[5..].join(" ") || columns[5].contains("ps") {
            continue;
        }
        compared += 1;
        assert_eq!(
            (one["parent_pid"].to_string(), one["uid"].to_string()),
            (columns[1].to_owned(), columns[2].to_owned()),
            "{line}"
        );
        if columns[4] != "-" {
            assert_eq!(one["nice"].to_string(), columns[4], "{line}");
        }
    }
    assert!(compared * 10 >= told.len() * 5 && compared > 5, "{compared} of {}", told.len());
}

#[test]
fn memory_is_told_as_free_tells_it() {
    let Some((answer, said)) = both("free", "free -b", "get_memory_info", json!({})) else { return };
    let row = |name: &str| words(said.lines().find(|line| line.starts_with(name)).unwrap());
    let (memory, swap) = (row("Mem:"), row("Swap:"));
    assert_eq!(answer["total_bytes"].to_string(), memory[1]);
    near(answer["available_bytes"].as_u64().unwrap(), memory[6].parse().unwrap(), 20);
    assert_eq!(answer["swap"]["total_bytes"].to_string(), swap[1]);
    let devices = answer["swap_devices"].as_array().unwrap().len();
    assert_eq!(devices, fs::read_to_string("/proc/swaps").unwrap().lines().count() - 1);
}

#[test]
fn file_systems_are_told_as_df_tells_them() {
    let script = "df -B1 --output=target,size,used,avail,itotal,iused /";
    let arguments = json!({ "mount": "/", "sample_ms": 100 });
    let Some((answer, said)) = both("df", script, "get_disk_info", arguments) else { return };
    let row = words(said.lines().nth(1).unwrap());
    let usage = &answer["filesystems"][0]["usage"];
    let figure = |name: &str| usage[name].as_u64().unwrap_or_else(|| panic!("{name}: {answer}"));
    assert_eq!((usage["size_bytes"].to_string(), usage["inodes"].to_string()), (row[1].to_owned(), row[4].to_owned()));
    near(figure("used_bytes"), row[2].parse().unwrap(), 10);
    near(figure("available_bytes"), row[3].parse().unwrap(), 10);
    near(figure("inodes_used"), row[5].parse().unwrap(), 10);
}

#[test]
fn mounts_are_told_as_findmnt_tells_them() {
    let script = "findmnt --json --list --output TARGET,FSTYPE,OPTIONS,MAJ:MIN";
    let Some((answer, said)) = both("findmnt", script, "get_mounts", json!({ "all": true, "limit": 1000 })) else {
        return;
    };
    let said: Value = serde_json::from_str(&said).unwrap();
    let mounts = answer["mounts"].as_array().unwrap();
    let wanted = said["filesystems"].as_array().unwrap();
    assert_eq!(mounts.len(), wanted.len());
    for (told, wanted) in mounts.iter().zip(wanted) {
        assert_eq!((&told["mount_point"], &told["kind"]), (&wanted["target"], &wanted["fstype"]));
        assert_eq!(told["filesystem"].as_str(), wanted["maj:min"].as_str().map(str::trim));
        let options = wanted["options"].as_str().unwrap();
        assert_eq!(told["read_only"], options.split(',').any(|option| option == "ro"), "{told}");
        for option in told["options"].as_array().unwrap() {
            assert!(options.split(',').any(|one| one == option), "{option}: {options}");
        }
    }
}

#[test]
fn disks_are_told_as_lsblk_tells_them() {
    let script = "lsblk --json --bytes --all --paths --output PATH,SIZE,RO,RM,MAJ:MIN,ROTA,TYPE,LOG-SEC,PHY-SEC";
    let Some((answer, said)) = both("lsblk", script, "get_block_devices", json!({ "all": true })) else { return };
    let said: Value = serde_json::from_str(&said).unwrap();
    let mut told = BTreeMap::new();
    for device in answer["devices"].as_array().unwrap() {
        told.insert(format!("/dev/{}", device["name"].as_str().unwrap()), device);
        for part in device["partitions"].as_array().unwrap() {
            told.insert(format!("/dev/{}", part["name"].as_str().unwrap()), part);
        }
    }
    let mut wanted: Vec<&Value> = said["blockdevices"].as_array().unwrap().iter().collect();
    let mut compared = 0;
    while let Some(one) = wanted.pop() {
        wanted.extend(one["children"].as_array().into_iter().flatten());
        let path = one["path"].as_str().unwrap();
        let told = told.get(path).unwrap_or_else(|| panic!("{path}: {answer}"));
        compared += 1;
        assert_eq!(
            (told["size_bytes"].as_u64(), &told["read_only"]),
            (one["size"].as_u64().or(Some(0)), &one["ro"]),
            "{path}"
        );
        assert_eq!(told["number"].as_str(), one["maj:min"].as_str().map(str::trim), "{path}");
        if one["type"] == "disk" || one["type"] == "loop" {
            assert_eq!((&told["removable"], &told["rotational"]), (&one["rm"], &one["rota"]), "{path}");
            assert_eq!(
                (&told["logical_block_bytes"], &told["physical_block_bytes"]),
                (&one["log-sec"], &one["phy-sec"])
            );
        }
    }
    assert!(compared > 0, "{said}");
}

#[test]
fn the_bus_is_told_as_lspci_tells_it() {
    // Some machines have no such bus, and lspci ends badly there.
    let script = "[ -d /sys/bus/pci/devices ] || exit 0; lspci -D -n -mm; echo; lspci -D -mm";
    let Some((answer, said)) = both("lspci", script, "get_pci_devices", json!({ "limit": 1000 })) else { return };
    let Some((numbers, names)) = said.split_once("\n\n") else {
        assert_eq!(answer["devices"], json!([]));
        return;
    };
    let devices = answer["devices"].as_array().unwrap();
    assert_eq!(devices.len(), numbers.lines().count());
    for ((told, numbers), names) in devices.iter().zip(numbers.lines()).zip(names.lines()) {
        let numbers: Vec<&str> = numbers.split('"').collect();
        let names: Vec<&str> = names.split('"').collect();
        assert_eq!(told["address"].as_str().unwrap(), numbers[0].trim());
        assert_eq!(&told["class_id"].as_str().unwrap()[..4], numbers[1]);
        assert_eq!((told["vendor_id"].as_str(), told["device_id"].as_str()), (Some(numbers[3]), Some(numbers[5])));
        // Without a name lspci writes the number.
        for (name, column) in [("class", 1), ("vendor", 3), ("device", 5)] {
            if let Some(name) = told[name].as_str() {
                // It sets the number of a class without a name behind the name above it.
                assert_eq!(name, names[column].split(" [").next().unwrap());
            }
        }
    }
}

#[test]
fn modules_are_told_as_lsmod_tells_them() {
    let script = "lsmod || true";
    let Some((answer, said)) = both("lsmod", script, "get_kernel_modules", json!({ "limit": 1000 })) else { return };
    assert_eq!(answer["loadable"], Path::new("/proc/modules").exists());
    let told: BTreeMap<String, String> = answer["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["name"].as_str().unwrap().to_owned(), one["size_bytes"].to_string()))
        .collect();
    let wanted: BTreeMap<String, String> =
        said.lines().skip(1).map(words).map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    assert_eq!(told, wanted);
}

#[test]
fn settings_are_told_as_sysctl_tells_them() {
    let script = "sysctl -a --pattern '^(kernel.(osrelease|pid_max|printk|core_pattern)|net.ipv4.(ip_forward|tcp_.mem)|vm.swappiness)$'";
    let Some((_, said)) = both("sysctl", script, "get_sysctl", json!({ "name": "vm.swappiness" })) else { return };
    let wanted: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(" = ")).collect();
    assert!(wanted.len() >= 7, "{said}");
    let calls: Vec<(&str, Value)> = wanted.iter().map(|(name, _)| ("get_sysctl", json!({ "name": name }))).collect();
    let home = tempfile::tempdir().unwrap();
    for (answer, (name, value)) in local::ask(home.path(), "", &calls).iter().zip(wanted) {
        assert_eq!(answer["settings"], json!([{ "name": name, "value": value }]));
    }
}

#[test]
fn processors_and_name_servers_are_told_as_nproc_and_the_resolver_tell_them() {
    let Some((answer, said)) = both("nproc", "nproc", "get_cpu_info", json!({ "per_cpu": true, "sample_ms": 100 }))
    else {
        return;
    };
    assert_eq!(answer["logical_processors"].to_string(), said.trim());
    assert_eq!(answer["processors"].as_array().unwrap().len().to_string(), said.trim());
    let script = "awk '$1 == \"nameserver\" { print $2 }' /etc/resolv.conf";
    let Some((answer, said)) = both("awk", script, "get_dns_config", json!({})) else { return };
    let told: Vec<&str> =
        answer["resolver"]["nameservers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(told, said.lines().collect::<Vec<_>>());
}
