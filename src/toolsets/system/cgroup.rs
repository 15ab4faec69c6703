//! Control groups: what a group of processes may use, and what it used. A limit of a group above counts too. Each controller
//! is in version 2 or in version 1, which has a tree for each; a host can have some in one and some in the other.

mod told;
mod version1;

use std::path::{Component, Path};

use super::Host;
use super::pressure::Pressure;
use super::quantity::{percent, seconds_of_micros};
use crate::error::{Code, Failure};

use told::DeviceIo;
pub(super) use told::{CpuGroup, IoGroup, MemoryGroup};

/// Where systemd mounts the groups: alone, and beside those of version 1.
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

/// What can be controlled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Controller {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Input and output.
    Io,
}

/// One control group, in version 2 or 1 of the one controller that was asked for.
pub(super) enum Group {
    /// All controllers are in one tree.
    Two(Place),
    /// Each controller has a tree; this is the group in its own, and the name that was asked for.
    One(Place, Option<String>),
}

/// A folder that is a group.
pub(super) struct Place {
    /// Where the tree begins.
    mount: String,
    /// From its root, without a slash in front; empty for the root itself.
    path: String,
}

impl Group {
    /// The group of this name, or the one that the daemon is in, as `controller` has it; `None` where the host has no control
    /// groups with it, so that no limit is known.
    ///
    /// # Errors
    /// [`Code::ToolFailed`] when the host has groups but not this one.
    pub(super) fn find(host: &Host, controller: Controller, name: Option<&str>) -> Result<Option<Self>, Failure> {
        let missing = || {
            Failure::new(
                Code::ToolFailed,
                "this host has no such control group; get_processes tells that of each process",
            )
        };
        let has = |mount: &&str| {
            let controllers = host.line(&format!("{mount}/cgroup.controllers")).unwrap_or_default();
            controllers.split_whitespace().any(|word| word == controller.word())
        };
        let group = match MOUNTS.into_iter().find(has) {
            Some(mount) => Place::of(host, mount.to_owned(), own(host, ""), name).map(Self::Two),
            None => version1::place(host, controller.word_of_old(), name)
                .map(|place| Self::One(place, name.map(str::to_owned))),
        };
        if name.is_some() && group.is_none() { Err(missing()) } else { Ok(group) }
    }

    /// Its processors.
    pub(super) fn cpu(&self, host: &Host) -> CpuGroup {
        let place = match self {
            Self::Two(place) => place,
            Self::One(place, name) => return version1::cpu(host, place, name.as_deref()),
        };
        let stat = host.find(&place.file("cpu.stat")).unwrap_or_default();
        let periods = value(&stat, "nr_periods").unwrap_or(0);
        let limit = place.least(host, "cpu.max", quota);
        CpuGroup {
            group: place.name(),
            version: 2,
            limited: Some(limit.is_some()),
            limit_processors: limit,
            weight: host.number(&place.file("cpu.weight")),
            tasks: host.number(&place.file("pids.current")),
            tasks_limit: place.least(host, "pids.max", bytes),
            allowed_processors: host.line(&place.file("cpuset.cpus.effective")),
            used_seconds: value(&stat, "usage_usec").map(seconds_of_micros),
            throttled_percent: value(&stat, "nr_throttled").and_then(|throttled| percent(throttled, periods)),
            throttled_seconds: value(&stat, "throttled_usec").filter(|_| periods > 0).map(seconds_of_micros),
            pressure: Pressure::read(host, &place.file("cpu.pressure")),
        }
    }

    /// Its memory.
    pub(super) fn memory(&self, host: &Host) -> MemoryGroup {
        let place = match self {
            Self::Two(place) => place,
            Self::One(place, _) => return version1::memory(host, place),
        };
        let events = host.find(&place.file("memory.events")).unwrap_or_default();
        let used: Option<u64> = host.number(&place.file("memory.current"));
        let limit = place.least(host, "memory.max", bytes);
        MemoryGroup {
            group: place.name(),
            version: 2,
            limited: Some(limit.is_some()),
            used_bytes: used,
            peak_bytes: host.number(&place.file("memory.peak")),
            limit_bytes: limit,
            high_bytes: place.least(host, "memory.high", bytes),
            used_percent: used.zip(limit).and_then(|(used, limit)| percent(used, limit)),
            swap_used_bytes: host.number(&place.file("memory.swap.current")),
            swap_limit_bytes: place.least(host, "memory.swap.max", bytes),
            limit_events: value(&events, "max"),
            killed_processes: value(&events, "oom_kill"),
            pressure: Pressure::read(host, &place.file("memory.pressure")),
        }
    }

    /// Its input and output.
    pub(super) fn io(&self, host: &Host) -> IoGroup {
        let place = match self {
            Self::Two(place) => place,
            Self::One(place, _) => return version1::io(host, place),
        };
        let stat = host.find(&place.file("io.stat")).unwrap_or_default();
        let limits = host.find(&place.file("io.max")).unwrap_or_default();
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
            group: place.name(),
            version: 2,
            devices: stat.lines().filter_map(device).collect(),
            pressure: Pressure::read(host, &place.file("io.pressure")),
        }
    }
}

impl Controller {
    fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }

    fn word_of_old(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "blkio",
        }
    }
}

impl Place {
    /// The group `name` in the tree at `mount`, or `own`, the daemon's.
    fn of(host: &Host, mount: String, own: Option<String>, name: Option<&str>) -> Option<Self> {
        let wanted = name.map(str::to_owned).or(own).unwrap_or_default();
        let path = wanted.trim_matches('/').to_owned();
        let plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        let place = Self { mount, path };
        if plain && host.names(&place.folder(&place.path)).is_ok() {
            return Some(place);
        }
        // In a container the daemon's own group may be named as the host sees it: the container's root is that group then.
        name.is_none().then(|| Self { path: String::new(), ..place })
    }

    fn folder(&self, path: &str) -> String {
        if path.is_empty() { self.mount.clone() } else { format!("{}/{path}", self.mount) }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder(&self.path))
    }

    /// The least that `limit` makes of the file `name` in this group and those above it.
    fn least<T: PartialOrd>(&self, host: &Host, name: &str, limit: fn(&str) -> Option<T>) -> Option<T> {
        self.least_of(|folder| host.line(&format!("{folder}/{name}")).and_then(|line| limit(&line)))
    }

    /// The least that `limit` says of the folder of this group and of those above it.
    fn least_of<T: PartialOrd>(&self, limit: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut least: Option<T> = None;
        let mut path = Some(self.path.as_str());
        while let Some(here) = path {
            if let Some(found) = limit(&self.folder(here))
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
}

/// The group that the daemon is in, in the tree that has `controller`; none for that of version 2.
fn own(host: &Host, controller: &str) -> Option<String> {
    let text = host.find("proc/self/cgroup")?;
    text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then(|| path.to_owned())
    })
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

    fn group(controller: Controller, name: Option<&str>) -> Group {
        Group::find(&Host::fixture("debian-vm"), controller, name).unwrap().unwrap()
    }

    #[test]
    fn the_tightest_limit_on_the_way_to_the_root_counts() {
        let host = Host::fixture("debian-vm");
        let own = group(Controller::Cpu, None);
        assert_eq!(
            serde_json::to_value(own.cpu(&host)).unwrap(),
            json!({
                "group": "/system.slice/doorward.service", "version": 2, "limited": true, "limit_processors": 0.5, "weight": 100,
                "allowed_processors": "0-1", "used_seconds": 12.5, "throttled_percent": 25.0,
                "throttled_seconds": 1.5,
                "pressure": {"some": {
                    "last_10s_percent": 1.5, "last_60s_percent": 0.0, "last_300s_percent": 0.0, "total_seconds": 2.0,
                }},
            })
        );
        let memory = group(Controller::Memory, None).memory(&host);
        assert_eq!((memory.limit_bytes, memory.used_percent), (Some(536_870_912), Some(25.0)));
        assert_eq!((memory.killed_processes, memory.swap_limit_bytes, memory.high_bytes), (Some(2), Some(0), None));
        let io = group(Controller::Io, None).io(&host);
        assert_eq!((io.devices.len(), io.devices[0].written_bytes), (1, 8192));
        assert_eq!(io.devices[0].limits.as_deref(), Some("rbps=1048576 wbps=max riops=max wiops=max"));
        assert_eq!(group(Controller::Cpu, Some("system.slice")).cpu(&host).limit_processors, Some(1.5));
    }

    #[test]
    fn a_group_without_a_limit_is_told_apart_from_one_that_is_not_known() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::folder(root.path());
        let tree = root.path().join("sys/fs/cgroup");
        std::fs::create_dir_all(tree.join("a")).unwrap();
        assert!(Group::find(&host, Controller::Memory, None).unwrap().is_none());
        // A tree without the controller, as hosts have it that are half in version 1, says nothing of limits.
        std::fs::write(tree.join("cgroup.controllers"), "hugetlb\n").unwrap();
        assert!(Group::find(&host, Controller::Memory, None).unwrap().is_none());
        std::fs::write(tree.join("cgroup.controllers"), "memory hugetlb\n").unwrap();
        std::fs::write(tree.join("a/memory.max"), "max\n").unwrap();
        let memory = Group::find(&host, Controller::Memory, Some("a")).unwrap().unwrap().memory(&host);
        assert_eq!((memory.limited, memory.limit_bytes), (Some(false), None));
    }

    #[test]
    fn a_group_that_is_not_there_is_said_not_to_be() {
        let host = Host::fixture("debian-vm");
        for name in ["no.such", "../..", "system.slice/../..", "."] {
            assert!(Group::find(&host, Controller::Cpu, Some(name)).is_err(), "{name}");
        }
        assert!(Group::find(&Host::fixture("rpi-arm"), Controller::Io, None).unwrap().is_none());
        assert!(Group::find(&Host::fixture("rpi-arm"), Controller::Memory, Some("a")).is_err());
        assert_eq!(
            (quota("max 100000"), quota("150000 100000"), quota("5"), quota("1 0")),
            (None, Some(1.5), None, None)
        );
    }
}
