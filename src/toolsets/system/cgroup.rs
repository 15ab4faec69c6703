//! Control groups of version 2: what a group of processes may use, and what it used. A limit of a group above counts too.

use std::path::{Component, Path};

use schemars::JsonSchema;
use serde::Serialize;

use super::Host;
use super::pressure::Pressure;
use super::quantity::{percent, seconds_of_micros};
use crate::error::{Code, Failure};

/// Where systemd mounts the groups: alone, and beside those of version 1.
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

/// One control group.
pub(super) struct Group {
    mount: &'static str,
    /// From its root, without a slash in front; empty for the root itself.
    path: String,
}

/// What a control group may use of the processors, and what it used.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct CpuGroup {
    /// The group.
    group: String,
    /// Number of processors' time it may use, the limits of the groups above it counted in; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_processors: Option<f64>,
    /// Its weight among its siblings; 100 is usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u64>,
    /// The logical processors it may run on, such as 0-3.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_processors: Option<String>,
    /// Seconds of processor time it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_seconds: Option<f64>,
    /// Percent of the periods in which it had used up its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled_percent: Option<f64>,
    /// Seconds it stood still because it had used up its limit, added up over its tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled_seconds: Option<f64>,
    /// Time it lost for want of a processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
}

/// What a control group may use of the memory, and what it uses.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct MemoryGroup {
    /// The group.
    group: String,
    /// Bytes it holds, caches counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_bytes: Option<u64>,
    /// The most bytes it ever held.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
    /// Bytes over which its processes are killed, the limits of the groups above it counted in; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_bytes: Option<u64>,
    /// Bytes over which it is slowed down, those of the groups above it counted in; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    high_bytes: Option<u64>,
    /// Used bytes in percent of the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_percent: Option<f64>,
    /// Bytes of swap space it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    swap_used_bytes: Option<u64>,
    /// Bytes of swap space it may hold; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    swap_limit_bytes: Option<u64>,
    /// How often it met its limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_events: Option<u64>,
    /// Number of its processes that were killed for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    killed_processes: Option<u64>,
    /// Time it lost for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
}

/// What a control group read and wrote.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct IoGroup {
    /// The group.
    group: String,
    /// What it read and wrote on each device.
    devices: Vec<DeviceIo>,
    /// Time it lost waiting for input or output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
}

/// What a control group read and wrote on a device, and how much it may.
#[derive(PartialEq, Debug, Serialize, JsonSchema)]
struct DeviceIo {
    /// The device's number in the kernel: major:minor.
    device: String,
    /// Bytes read.
    read_bytes: u64,
    /// Bytes written.
    written_bytes: u64,
    /// Number of reads.
    reads: u64,
    /// Number of writes.
    writes: u64,
    /// The limits of this group for the device in the kernel's words, such as rbps=1048576 wiops=max.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<String>,
}

impl Group {
    /// The group of this name, or the one that the daemon is in; `None` where the host has no groups of version 2.
    ///
    /// # Errors
    /// [`Code::ToolFailed`] when the host has groups but not this one.
    pub(super) fn find(host: &Host, name: Option<&str>) -> Result<Option<Self>, Failure> {
        let mount = MOUNTS.into_iter().find(|mount| host.has(&format!("{mount}/cgroup.controllers")));
        let missing = || {
            Failure::new(
                Code::ToolFailed,
                "this host has no such control group; get_processes tells that of each process",
            )
        };
        let Some(mount) = mount else { return if name.is_some() { Err(missing()) } else { Ok(None) } };
        let own = || {
            let text = host.find("proc/self/cgroup")?;
            text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
        };
        let wanted = name.map(str::to_owned).or_else(own).unwrap_or_default();
        let path = wanted.trim_matches('/').to_owned();
        let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        let group = Self { mount, path };
        if plain && host.names(&group.folder(&group.path)).is_ok() {
            return Ok(Some(group));
        }
        // In a container the daemon's own group may be named as the host sees it: the container's root is that group then.
        if name.is_some() { Err(missing()) } else { Ok(Some(Self { mount, path: String::new() })) }
    }

    fn folder(&self, path: &str) -> String {
        if path.is_empty() { self.mount.to_owned() } else { format!("{}/{path}", self.mount) }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder(&self.path))
    }

    /// The least that `limit` makes of the file `name` in this group and those above it.
    fn least<T: PartialOrd>(&self, host: &Host, name: &str, limit: fn(&str) -> Option<T>) -> Option<T> {
        let mut least: Option<T> = None;
        let mut path = Some(self.path.as_str());
        while let Some(here) = path {
            let found = host.line(&format!("{}/{name}", self.folder(here))).and_then(|line| limit(&line));
            if let Some(found) = found
                && least.as_ref().is_none_or(|least| found < *least)
            {
                least = Some(found);
            }
            path = if here.is_empty() { None } else { Some(here.rsplit_once('/').map_or("", |(above, _)| above)) };
        }
        least
    }

    fn name(&self) -> String {
        format!("/{}", self.path)
    }

    /// Its processors.
    pub(super) fn cpu(&self, host: &Host) -> CpuGroup {
        let stat = host.find(&self.file("cpu.stat")).unwrap_or_default();
        let periods = value(&stat, "nr_periods").unwrap_or(0);
        CpuGroup {
            group: self.name(),
            limit_processors: self.least(host, "cpu.max", quota),
            weight: host.number(&self.file("cpu.weight")),
            allowed_processors: host.line(&self.file("cpuset.cpus.effective")),
            used_seconds: value(&stat, "usage_usec").map(seconds_of_micros),
            throttled_percent: value(&stat, "nr_throttled").and_then(|throttled| percent(throttled, periods)),
            throttled_seconds: value(&stat, "throttled_usec").filter(|_| periods > 0).map(seconds_of_micros),
            pressure: Pressure::read(host, &self.file("cpu.pressure")),
        }
    }

    /// Its memory.
    pub(super) fn memory(&self, host: &Host) -> MemoryGroup {
        let events = host.find(&self.file("memory.events")).unwrap_or_default();
        let used: Option<u64> = host.number(&self.file("memory.current"));
        let limit = self.least(host, "memory.max", bytes);
        MemoryGroup {
            group: self.name(),
            used_bytes: used,
            peak_bytes: host.number(&self.file("memory.peak")),
            limit_bytes: limit,
            high_bytes: self.least(host, "memory.high", bytes),
            used_percent: used.zip(limit).and_then(|(used, limit)| percent(used, limit)),
            swap_used_bytes: host.number(&self.file("memory.swap.current")),
            swap_limit_bytes: self.least(host, "memory.swap.max", bytes),
            limit_events: value(&events, "max"),
            killed_processes: value(&events, "oom_kill"),
            pressure: Pressure::read(host, &self.file("memory.pressure")),
        }
    }

    /// Its input and output.
    pub(super) fn io(&self, host: &Host) -> IoGroup {
        let stat = host.find(&self.file("io.stat")).unwrap_or_default();
        let limits = host.find(&self.file("io.max")).unwrap_or_default();
        let limit = |device: &str| limits.lines().find_map(|line| line.strip_prefix(device)?.strip_prefix(' '));
        let device = |line: &str| {
            let (device, rest) = line.split_once(' ')?;
            let word = |name: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
            Some(DeviceIo {
                read_bytes: word("rbytes=")?,
                written_bytes: word("wbytes=")?,
                reads: word("rios=")?,
                writes: word("wios=")?,
                limits: limit(device).map(str::to_owned),
                device: device.to_owned(),
            })
        };
        IoGroup {
            group: self.name(),
            devices: stat.lines().filter_map(device).collect(),
            pressure: Pressure::read(host, &self.file("io.pressure")),
        }
    }
}

/// From a line such as `150000 100000`: time in a period, both in microseconds. `max` is no limit.
fn quota(line: &str) -> Option<f64> {
    let (quota, period) = line.split_once(' ')?;
    percent(quota.parse().ok()?, period.trim().parse().ok()?).map(|percent| percent / 100.0)
}

/// `max` is no limit.
fn bytes(line: &str) -> Option<u64> {
    line.parse().ok()
}

/// The figure behind a word at the start of a line.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(name: Option<&str>) -> Group {
        Group::find(&Host::fixture("debian-vm"), name).unwrap().unwrap()
    }

    #[test]
    fn the_tightest_limit_on_the_way_to_the_root_counts() {
        let host = Host::fixture("debian-vm");
        let own = group(None);
        assert_eq!(own.name(), "/system.slice/doorward.service");
        assert_eq!(
            serde_json::to_value(own.cpu(&host)).unwrap(),
            json!({
                "group": "/system.slice/doorward.service", "limit_processors": 0.5, "weight": 100,
                "allowed_processors": "0-1", "used_seconds": 12.5, "throttled_percent": 25.0,
                "throttled_seconds": 1.5,
                "pressure": {"some": {
                    "last_10s_percent": 1.5, "last_60s_percent": 0.0, "last_300s_percent": 0.0, "total_seconds": 2.0,
                }},
            })
        );
        let memory = own.memory(&host);
        assert_eq!((memory.limit_bytes, memory.used_percent), (Some(536_870_912), Some(25.0)));
        assert_eq!((memory.killed_processes, memory.swap_limit_bytes, memory.high_bytes), (Some(2), Some(0), None));
        let io = own.io(&host);
        assert_eq!((io.devices.len(), io.devices[0].written_bytes), (1, 8192));
        assert_eq!(io.devices[0].limits.as_deref(), Some("rbps=1048576 wbps=max riops=max wiops=max"));
        assert_eq!(group(Some("system.slice")).cpu(&host).limit_processors, Some(1.5));
    }

    #[test]
    fn a_group_that_is_not_there_is_said_not_to_be() {
        let host = Host::fixture("debian-vm");
        for name in ["no.such", "../..", "system.slice/../..", "."] {
            assert!(Group::find(&host, Some(name)).is_err(), "{name}");
        }
        assert!(Group::find(&Host::fixture("rpi-arm"), None).unwrap().is_none());
        assert!(Group::find(&Host::fixture("rpi-arm"), Some("a")).is_err());
        assert_eq!(
            (quota("max 100000"), quota("150000 100000"), quota("5"), quota("1 0")),
            (None, Some(1.5), None, None)
        );
    }
}
