//! Control groups of version 1: a tree for each controller, limits in files of their own, and a number for none.

use std::collections::BTreeMap;

use super::{CpuGroup, DeviceIo, IoGroup, MemoryGroup, Place, own, value};
use crate::toolsets::system::Host;
use crate::toolsets::system::quantity::{percent, seconds_of_micros};

const MOUNT: &str = "sys/fs/cgroup";

/// What stands for no limit of memory is this or more: the largest number of whole pages, of whatever size.
const UNLIMITED: u64 = 1 << 62;

/// The group `name`, or the daemon's own, in the tree of `controller`; `None` where there is no such tree or group.
pub(super) fn place(host: &Host, controller: &str, name: Option<&str>) -> Option<Place> {
    let mount = format!("{MOUNT}/{controller}");
    host.names(&mount).ok()?;
    Place::of(host, mount, own(host, controller), name)
}

/// Its processors. Their use, the choice of them and the number of tasks are in trees of their own.
pub(super) fn cpu(host: &Host, place: &Place, name: Option<&str>) -> CpuGroup {
    let stat = host.find(&place.file("cpu.stat")).unwrap_or_default();
    let periods = value(&stat, "nr_periods").unwrap_or(0);
    let limit = place.least_of(|folder| {
        // -1 is no limit, and is no number of this kind.
        let quota: u64 = host.number(&format!("{folder}/cpu.cfs_quota_us"))?;
        let period: u64 = host.number(&format!("{folder}/cpu.cfs_period_us"))?;
        percent(quota, period).map(|percent| percent / 100.0)
    });
    let in_tree = |controller: &str| self::place(host, controller, name);
    let text = |controller: &str, file: &str| host.line(&in_tree(controller)?.file(file));
    let nanos = |text: String| text.parse::<u64>().ok().map(|nanos| seconds_of_micros(nanos / 1000));
    let tasks = in_tree("pids");
    CpuGroup {
        group: place.name(),
        version: 1,
        limited: limited(host, place, "cpu.cfs_quota_us", limit.is_some()),
        limit_processors: limit,
        weight: host.number(&place.file("cpu.shares")),
        tasks: tasks.as_ref().and_then(|place| host.number(&place.file("pids.current"))),
        tasks_limit: tasks.as_ref().and_then(|place| place.least(host, "pids.max", |line| line.parse().ok())),
        allowed_processors: text("cpuset", "cpuset.effective_cpus").or_else(|| text("cpuset", "cpuset.cpus")),
        used_seconds: text("cpuacct", "cpuacct.usage").and_then(nanos),
        throttled_percent: value(&stat, "nr_throttled").and_then(|throttled| percent(throttled, periods)),
        throttled_seconds: value(&stat, "throttled_time")
            .filter(|_| periods > 0)
            .map(|nanos| seconds_of_micros(nanos / 1000)),
        pressure: None,
    }
}

/// Its memory. Swap space is told together with memory.
pub(super) fn memory(host: &Host, place: &Place) -> MemoryGroup {
    let bytes = |line: &str| line.parse().ok().filter(|bytes| *bytes < UNLIMITED);
    let used: Option<u64> = host.number(&place.file("memory.usage_in_bytes"));
    let both: Option<u64> = host.number(&place.file("memory.memsw.usage_in_bytes"));
    let limit = place.least(host, "memory.limit_in_bytes", bytes);
    let limit_of_both = place.least(host, "memory.memsw.limit_in_bytes", bytes);
    let killed = host.find(&place.file("memory.oom_control")).unwrap_or_default();
    MemoryGroup {
        group: place.name(),
        version: 1,
        limited: limited(host, place, "memory.limit_in_bytes", limit.is_some()),
        used_bytes: used,
        peak_bytes: host.number(&place.file("memory.max_usage_in_bytes")),
        limit_bytes: limit,
        high_bytes: None,
        used_percent: used.zip(limit).and_then(|(used, limit)| percent(used, limit)),
        swap_used_bytes: both.zip(used).map(|(both, used)| both.saturating_sub(used)),
        swap_limit_bytes: limit_of_both.zip(limit).map(|(both, limit)| both.saturating_sub(limit)),
        limit_events: host.number(&place.file("memory.failcnt")),
        killed_processes: value(&killed, "oom_kill"),
        pressure: None,
    }
}

/// Whether there is a limit; not known where nothing was found and the group's own file does not say that there is none. The
/// root of a tree has no such file, and no limit.
fn limited(host: &Host, place: &Place, file: &str, found: bool) -> Option<bool> {
    let said = place.path.is_empty() || host.line(&place.file(file)).is_some();
    (found || said).then_some(found)
}

/// Its input and output.
pub(super) fn io(host: &Host, place: &Place) -> IoGroup {
    let mut devices: BTreeMap<String, DeviceIo> = BTreeMap::new();
    let mut add = |file: &str, set: fn(&mut DeviceIo, &str, u64)| {
        for line in host.find(&place.file(file)).unwrap_or_default().lines() {
            let mut words = line.split_whitespace();
            let (Some(device), Some(what), Some(Ok(number))) =
                (words.next(), words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            let new = || DeviceIo {
                device: device.to_owned(),
                read_bytes: 0,
                written_bytes: 0,
                reads: 0,
                writes: 0,
                limits: None,
            };
            set(devices.entry(device.to_owned()).or_insert_with(new), what, number);
        }
    };
    add("blkio.throttle.io_service_bytes", |device, what, number| match what {
        "Read" => device.read_bytes = number,
        "Write" => device.written_bytes = number,
        _ => {}
    });
    add("blkio.throttle.io_serviced", |device, what, number| match what {
        "Read" => device.reads = number,
        "Write" => device.writes = number,
        _ => {}
    });
    let limits = [
        ("rbps", "blkio.throttle.read_bps_device"),
        ("wbps", "blkio.throttle.write_bps_device"),
        ("riops", "blkio.throttle.read_iops_device"),
        ("wiops", "blkio.throttle.write_iops_device"),
    ];
    for (word, file) in limits {
        for line in host.find(&place.file(file)).unwrap_or_default().lines() {
            let Some((device, number)) = line.split_once(char::is_whitespace) else { continue };
            if let Some(device) = devices.get_mut(device) {
                let limits = device.limits.get_or_insert_default();
                let blank = if limits.is_empty() { "" } else { " " };
                limits.push_str(&format!("{blank}{word}={}", number.trim()));
            }
        }
    }
    IoGroup { group: place.name(), version: 1, devices: devices.into_values().collect(), pressure: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolsets::system::cgroup::{Controller, Group};

    /// A host that is half in version 1, as the kernel writes it.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        let usual = [
            ("proc/self/cgroup", "9:name=systemd:/door\n4:memory:/door/inner\n1:cpu,cpuacct:/door\n0::/\n"),
            ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n"),
        ];
        for (path, text) in usual.iter().chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let host = Host::folder(root.path());
        (root, host)
    }

    fn found(host: &Host, controller: Controller) -> Group {
        Group::find(host, controller, None).unwrap().unwrap()
    }

    #[test]
    fn memory_is_limited_by_the_group_or_one_above_and_the_number_for_none_is_no_limit() {
        let files = [
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/door/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/door/inner/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/door/inner/memory.usage_in_bytes", "250\n"),
            ("sys/fs/cgroup/memory/door/inner/memory.memsw.usage_in_bytes", "300\n"),
            ("sys/fs/cgroup/memory/door/memory.memsw.limit_in_bytes", "1500\n"),
            ("sys/fs/cgroup/memory/door/inner/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ];
        let limited = host(&files);
        let memory = found(&limited.1, Controller::Memory).memory(&limited.1);
        assert_eq!((memory.group.as_str(), memory.version, memory.limited), ("/door/inner", 1, Some(true)));
        assert_eq!((memory.limit_bytes, memory.used_percent), (Some(1000), Some(25.0)));
        assert_eq!((memory.swap_used_bytes, memory.swap_limit_bytes), (Some(50), Some(500)));
        assert_eq!(memory.killed_processes, Some(2));
        let free = host(&[files[0], files[2]]);
        let memory = found(&free.1, Controller::Memory).memory(&free.1);
        assert_eq!((memory.limited, memory.limit_bytes), (Some(false), None));
        let silent = host(&[("sys/fs/cgroup/memory/door/inner/tasks", "1\n")]);
        assert_eq!(found(&silent.1, Controller::Memory).memory(&silent.1).limited, None);
        assert!(Group::find(&silent.1, Controller::Cpu, None).unwrap().is_none());
        assert!(Group::find(&silent.1, Controller::Memory, Some("nobody")).is_err());
    }

    #[test]
    fn processors_are_told_from_all_the_trees_they_are_in() {
        let files = [
            ("sys/fs/cgroup/cpu/door/cpu.cfs_quota_us", "150000\n"),
            ("sys/fs/cgroup/cpu/door/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu/door/cpu.shares", "1024\n"),
            ("sys/fs/cgroup/cpu/door/cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 3000000000\n"),
            ("sys/fs/cgroup/cpuacct/door/cpuacct.usage", "2500000000\n"),
            ("sys/fs/cgroup/cpuset/cpuset.effective_cpus", "0-3\n"),
            ("sys/fs/cgroup/pids/pids.max", "max\n"),
        ];
        let limited = host(&files);
        let cpu = found(&limited.1, Controller::Cpu).cpu(&limited.1);
        assert_eq!(
            (cpu.version, cpu.limited, cpu.limit_processors, cpu.weight),
            (1, Some(true), Some(1.5), Some(1024))
        );
        assert_eq!(
            (cpu.used_seconds, cpu.throttled_percent, cpu.throttled_seconds),
            (Some(2.5), Some(25.0), Some(3.0))
        );
        assert_eq!((cpu.allowed_processors.as_deref(), cpu.tasks_limit), (Some("0-3"), None));
        let free = host(&[("sys/fs/cgroup/cpu/door/cpu.cfs_quota_us", "-1\n"), files[1]]);
        let cpu = found(&free.1, Controller::Cpu).cpu(&free.1);
        assert_eq!((cpu.limited, cpu.limit_processors), (Some(false), None));
    }

    #[test]
    fn input_and_output_are_put_together_by_device() {
        let (_root, host) = host(&[
            (
                "sys/fs/cgroup/blkio/blkio.throttle.io_service_bytes",
                "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\nTotal 12288\n",
            ),
            ("sys/fs/cgroup/blkio/blkio.throttle.io_serviced", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
            ("sys/fs/cgroup/blkio/blkio.throttle.write_bps_device", "8:0 1048576\n"),
            ("sys/fs/cgroup/blkio/blkio.throttle.read_iops_device", "8:0 100\n"),
        ]);
        let io = found(&host, Controller::Io).io(&host);
        let device = &io.devices[0];
        assert_eq!((io.version, io.devices.len(), device.read_bytes, device.written_bytes), (1, 1, 4096, 8192));
        assert_eq!((device.reads, device.writes), (1, 2));
        assert_eq!(device.limits.as_deref(), Some("wbps=1048576 riops=100"));
    }
}
