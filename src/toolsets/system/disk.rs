//! `get_disk_info`: what is mounted, how full it is, and what the disks do.

use std::collections::HashSet;

use procfs_core::DiskStat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::host::Space;
use super::mounts::{self, Mount};
use super::quantity::{percent, seconds_of_millis};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};

/// The unit of `/proc/diskstats`, whatever the disk's own.
const SECTOR_BYTES: u64 = 512;

pub(super) struct Query;

/// What to look at.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only what is mounted exactly here, whatever it is.
    #[schemars(length(min = 1, max = 4096))]
    mount: Option<String>,
    /// Every mount and every block device: also kernel file systems, second mounts of a file system, partitions and
    /// idle devices.
    all: bool,
    /// Also ask network file systems how full they are. The query hangs and times out when a server is gone.
    remote: bool,
}

/// File systems and disks.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// What is mounted, as the daemon sees it.
    filesystems: Vec<Filesystem>,
    /// What the disks did since the host started.
    devices: Vec<Device>,
}

/// One mount.
#[derive(Serialize, JsonSchema)]
struct Filesystem {
    /// Where it is mounted.
    mount_point: String,
    /// The kind of file system, such as ext4.
    kind: String,
    /// What is mounted: a device or a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// The folder of the file system that is mounted here, when it is not the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    subtree: Option<String>,
    /// Whether it cannot be written to.
    read_only: bool,
    /// How full it is, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_measured: Option<NotMeasured>,
}

/// How full a file system is.
#[derive(Serialize, JsonSchema)]
struct Usage {
    /// Bytes in all.
    size_bytes: u64,
    /// Bytes in use.
    used_bytes: u64,
    /// Bytes that a user without privileges can still use.
    available_bytes: u64,
    /// Bytes in use in percent of those that such a user could ever use.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_percent: Option<f64>,
    /// Number of inodes (files and folders) there can be, where that is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes: Option<u64>,
    /// Number of inodes in use, where there is a fixed number.
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes_used: Option<u64>,
    /// Inodes in use in percent of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes_used_percent: Option<f64>,
}

/// Why a file system was not measured.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NotMeasured {
    /// It is on the network: ask with `remote`.
    Remote,
    /// Another mount at the same place hides it.
    Hidden,
    /// Looking at it would mount it.
    Automatic,
    /// The kernel did not tell.
    Unavailable,
}

/// What a block device did since the host started.
#[derive(Serialize, JsonSchema)]
struct Device {
    /// Its name in the kernel, such as sda.
    name: String,
    /// Number of reads that were completed.
    reads: u64,
    /// Bytes read.
    read_bytes: u64,
    /// Seconds that reads took, added up over all reads.
    read_seconds: f64,
    /// Number of writes that were completed.
    writes: u64,
    /// Bytes written.
    written_bytes: u64,
    /// Seconds that writes took, added up over all writes.
    write_seconds: f64,
    /// Seconds during which at least one request was under way.
    busy_seconds: f64,
    /// Number of requests under way now.
    in_progress: u64,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_disk_info",
            "Disks",
            "Mounted file systems with their size, use and free inodes, and what the disks read and wrote since the \
             host started.",
            Impact::Low,
        )
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut mounts = mounts::parse(&ask.host.read("proc/self/mountinfo")?);
        if mounts.is_empty() {
            return Err(Failure::new(Code::ToolFailed, "proc/self/mountinfo of this host makes no sense"));
        }
        if let Some(place) = &args.mount {
            mounts.retain(|mount| mount.mount_point == *place && (args.all || !mount.hidden));
        } else if !args.all {
            mounts = mounts::principal(mounts);
        }
        let mut filesystems = Vec::with_capacity(mounts.len());
        for mount in mounts {
            ask.go_on()?;
            filesystems.push(describe(ask.host, mount, args.remote));
        }
        Ok(Answer { filesystems, devices: devices(ask.host, args.all) })
    }
}

fn describe(host: &Host, mount: Mount, remote: bool) -> Filesystem {
    let usage = if mount.hidden {
        Err(NotMeasured::Hidden)
    } else if mount.is_trigger() {
        Err(NotMeasured::Automatic)
    } else if mount.is_remote() && !remote {
        Err(NotMeasured::Remote)
    } else {
        host.space(&mount.mount_point).map_err(|_| NotMeasured::Unavailable)
    };
    Filesystem {
        not_measured: usage.as_ref().err().copied(),
        usage: usage.ok().map(Usage::from),
        subtree: Some(mount.subtree).filter(|subtree| subtree != "/"),
        mount_point: mount.mount_point,
        kind: mount.kind,
        device: mount.source,
        read_only: mount.read_only,
    }
}

impl From<Space> for Usage {
    /// The percentage is that of df(1): what is kept for root counts neither as used nor as usable.
    fn from(space: Space) -> Self {
        let used = space.size.saturating_sub(space.free);
        let inodes = Some(space.inodes).filter(|inodes| *inodes > 0);
        let inodes_used = inodes.map(|inodes| inodes.saturating_sub(space.inodes_free));
        Self {
            size_bytes: space.size,
            used_bytes: used,
            available_bytes: space.available,
            used_percent: percent(used, used.saturating_add(space.available)),
            inodes,
            inodes_used,
            inodes_used_percent: inodes_used.and_then(|used| percent(used, space.inodes)),
        }
    }
}

/// Whole disks that did something, or all. The kernel writes a `/` in a name as `!` in /sys.
fn devices(host: &Host, all: bool) -> Vec<Device> {
    let whole: HashSet<String> = host.list("sys/block").into_iter().map(|name| name.replace('!', "/")).collect();
    let shown = |stat: &DiskStat| {
        let idle = stat.reads == 0 && stat.writes == 0;
        all || !idle && (whole.is_empty() || whole.contains(&stat.name))
    };
    let text = host.find("proc/diskstats").unwrap_or_default();
    text.lines().filter_map(|line| DiskStat::from_line(line).ok()).filter(shown).map(Device::from).collect()
}

impl From<DiskStat> for Device {
    fn from(stat: DiskStat) -> Self {
        Self {
            name: stat.name,
            reads: stat.reads,
            read_bytes: stat.sectors_read.saturating_mul(SECTOR_BYTES),
            read_seconds: seconds_of_millis(stat.time_reading),
            writes: stat.writes,
            written_bytes: stat.sectors_written.saturating_mul(SECTOR_BYTES),
            write_seconds: seconds_of_millis(stat.time_writing),
            busy_seconds: seconds_of_millis(stat.time_in_progress),
            in_progress: stat.in_progress,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::query::ask;
    use super::*;

    /// The figures of a machine that is not this one.
    fn figures(path: &Path) -> io::Result<Space> {
        match path.to_str() {
            Some("/") => Ok(Space { size: 1000, free: 400, available: 300, inodes: 200, inodes_free: 150 }),
            Some("/mnt/nas") => Ok(Space { size: 50, free: 50, available: 50, inodes: 0, inodes_free: 0 }),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    fn virtual_machine() -> Host {
        Host::fixture("debian-vm").measured(figures)
    }

    #[test]
    fn a_virtual_machine_shows_what_is_mounted_and_what_its_disk_did() {
        assert_eq!(
            ask::<Query>(&virtual_machine(), json!({})).unwrap(),
            json!({
                "filesystems": [
                    {
                        "mount_point": "/", "kind": "ext4", "device": "/dev/vda1", "read_only": false,
                        "usage": {
                            "size_bytes": 1000, "used_bytes": 600, "available_bytes": 300, "used_percent": 66.67,
                            "inodes": 200, "inodes_used": 50, "inodes_used_percent": 25.0,
                        },
                    },
                    {
                        "mount_point": "/boot/efi", "kind": "vfat", "device": "/dev/vda15", "read_only": false,
                        "not_measured": "unavailable",
                    },
                    {
                        "mount_point": "/mnt/nas", "kind": "nfs4", "device": "nas.example:/export/data",
                        "read_only": true, "not_measured": "remote",
                    },
                ],
                "devices": [{
                    "name": "vda", "reads": 17_635, "read_bytes": 2_913_805_312_u64, "read_seconds": 19.037,
                    "writes": 7_201, "written_bytes": 8_812_785_664_u64, "write_seconds": 36.962,
                    "busy_seconds": 8.56, "in_progress": 2,
                }],
            })
        );
    }

    #[test]
    fn a_network_file_system_is_asked_only_on_demand() {
        let answer = ask::<Query>(&virtual_machine(), json!({"mount": "/mnt/nas", "remote": true})).unwrap();
        let usage = json!({"size_bytes": 50, "used_bytes": 0, "available_bytes": 50, "used_percent": 0.0});
        assert_eq!(answer["filesystems"][0]["usage"], usage);
        assert_eq!(answer["filesystems"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn all_shows_second_mounts_kernel_file_systems_and_idle_devices() {
        let answer = ask::<Query>(&virtual_machine(), json!({"all": true})).unwrap();
        let places = |key: &str, name: &str| -> Vec<String> {
            answer[key].as_array().unwrap().iter().map(|one| one[name].as_str().unwrap().to_owned()).collect()
        };
        assert!(places("filesystems", "mount_point").contains(&"/proc".to_owned()));
        assert_eq!(places("devices", "name"), ["loop0", "vda", "vda1", "vda15"]);
        let bound = answer["filesystems"].as_array().unwrap().iter().find(|one| one["subtree"] == "/srv/data").unwrap();
        assert_eq!(bound["mount_point"], "/mnt/shared data");
        let trigger = answer["filesystems"].as_array().unwrap().iter().find(|one| one["kind"] == "autofs").unwrap();
        assert_eq!(trigger["not_measured"], "automatic");
    }

    #[test]
    fn a_place_where_nothing_is_mounted_has_no_file_system() {
        let answer = ask::<Query>(&virtual_machine(), json!({"mount": "/nowhere"})).unwrap();
        assert_eq!(answer["filesystems"], json!([]));
        let failure = ask::<Query>(&virtual_machine(), json!({"mount": ""})).unwrap_err();
        assert_eq!(failure.code(), Code::ArgumentsInvalid);
    }

    #[test]
    fn a_board_shows_its_card_and_its_overlay() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        let names: Vec<&Value> = answer["devices"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["mmcblk0"]);
        assert_eq!(answer["filesystems"][0]["kind"], "overlay");
        assert_eq!(answer["filesystems"][1]["mount_point"], "/boot/firmware");
    }

    #[test]
    fn the_real_host_measures_its_root() {
        let answer = ask::<Query>(&Host::this(), json!({"mount": "/"})).unwrap();
        assert!(answer["filesystems"][0]["usage"]["size_bytes"].as_u64().unwrap() > 0, "{answer}");
    }

    proptest! {
        #[test]
        fn no_line_and_no_figure_is_a_panic(
            line in "\\PC*|[0-9]{1,3} [0-9]{1,3} sda( [0-9]{1,21}){0,20}",
            figures in any::<[u64; 5]>(),
        ) {
            let _ = DiskStat::from_line(&line).map(Device::from);
            let [size, free, available, inodes, inodes_free] = figures;
            let _ = Usage::from(Space { size, free, available, inodes, inodes_free });
        }
    }
}
