//! `get_disk_info`: what is mounted, how full it is, and what the disks do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::cgroup::{Controller, Group, IoGroup};
use super::disk_activity::{Activity, Counters, Device};
use super::host::Space;
use super::mounts::{self, Mount, Seen, View};
use super::pressure::Pressure;
use super::quantity::percent;
use super::query::{Ask, HostQuery};
use super::sample;
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;

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
    /// Milliseconds to watch the devices for; 0 to give only what they did since the host started.
    #[schemars(range(min = 0, max = 500))]
    sample_ms: u64,
    /// The control group to show besides the host, such as system.slice/ssh.service; by default the one the daemon is in.
    #[schemars(length(min = 1, max = 4096))]
    control_group: Option<String>,
}

/// File systems and disks.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Whose view of the mounts it is; how full they are is measured where the daemon sees them.
    view: View,
    /// What is mounted.
    filesystems: Vec<Filesystem>,
    /// What the disks did since the host started.
    devices: Vec<Device>,
    /// Time lost waiting for input or output, where the kernel measures it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pressure: Option<Pressure>,
    /// What a control group read and wrote; absent where the host has no control groups for that, and no limit is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_group: Option<IoGroup>,
    /// Whether the host has so many mounts that not all were looked at.
    incomplete: bool,
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
    /// Whether it cannot be written to at this place, in this view.
    read_only: bool,
    /// Whether the file system itself cannot be written to, wherever it is mounted.
    filesystem_read_only: bool,
    /// How full it is, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Why it was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_measured: Option<NotMeasured>,
    /// What went to and from the device it lies on, where it lies on one; other mounts may lie on it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<Activity>,
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
    /// The daemon does not see it: its service keeps it apart.
    OutOfReach,
    /// The kernel did not tell.
    Unavailable,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_disk_info",
            "Disks",
            "Mounted file systems with their size, use and free inodes, what the disks read and wrote since the host \
             started and, with sample_ms, right now, and the time lost waiting for them.",
            Impact::Medium,
        )
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let group = Group::find(ask.host, Controller::Io, args.control_group.as_deref())?;
        let Seen { mut mounts, whole, mut view } = mounts::read(ask)?;
        // Room is measured where the daemon can go.
        let own = if view == View::Machine { mounts::own(ask)?.mounts } else { mounts.clone() };
        // What was mounted for the daemon alone is asked for by its place.
        let has = |mounts: &[Mount]| mounts.iter().any(|mount| args.mount.as_ref() == Some(&mount.mount_point));
        if !has(&mounts) && has(&own) {
            (mounts, view) = (own.clone(), View::Daemon);
        }
        if let Some(place) = &args.mount {
            if !mounts.iter().any(|mount| mount.mount_point == *place) {
                let principal = mounts::principal(mounts);
                return Err(unknown("mount at", place, principal.iter().map(|mount| &mount.mount_point)));
            }
            mounts.retain(|mount| mount.mount_point == *place && (args.all || !mount.hidden));
        } else if !args.all {
            mounts = mounts::principal(mounts);
        }
        let counters = Counters::read(ask.host);
        let later = match args.sample_ms {
            0 => None,
            millis => {
                let elapsed = sample::watch(ask, millis, "the disks")?;
                Some((Counters::read(ask.host), elapsed))
            }
        };
        let mut filesystems = Vec::with_capacity(mounts.len());
        for mount in mounts {
            ask.go_on()?;
            filesystems.push(describe(ask.host, mount, &own, args.remote, &counters));
        }
        Ok(Answer {
            view,
            filesystems,
            devices: counters.devices(ask.host, args.all, later.as_ref()),
            pressure: Pressure::read(ask.host, "proc/pressure/io"),
            control_group: group.map(|group| group.io(ask.host)),
            incomplete: !whole,
        })
    }
}

fn describe(host: &Host, mount: Mount, own: &[Mount], remote: bool, counters: &Counters) -> Filesystem {
    let usage = if mount.hidden {
        Err(NotMeasured::Hidden)
    } else if mount.is_trigger() {
        Err(NotMeasured::Automatic)
    } else if mount.is_remote() && !remote {
        Err(NotMeasured::Remote)
    } else if let Some(place) = mounts::within_reach(own, &mount) {
        host.space(&place.mount_point).map_err(|_| NotMeasured::Unavailable)
    } else {
        Err(NotMeasured::OutOfReach)
    };
    Filesystem {
        not_measured: usage.as_ref().err().copied(),
        usage: usage.ok().map(Usage::from),
        activity: counters.of(&mount.filesystem),
        subtree: Some(mount.subtree).filter(|subtree| subtree != "/"),
        mount_point: mount.mount_point,
        kind: mount.kind,
        device: mount.source,
        read_only: mount.read_only,
        filesystem_read_only: mount.filesystem_read_only,
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::query::ask;
    use super::*;
    use crate::error::Code;

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
    fn what_the_daemon_does_not_see_is_told_and_not_measured_and_what_it_sees_elsewhere_is_measured_there() {
        let root = tempfile::tempdir().unwrap();
        let write = |process: &str, text: &str| {
            std::fs::create_dir_all(root.path().join("proc").join(process)).unwrap();
            std::fs::write(root.path().join("proc").join(process).join("mountinfo"), text).unwrap();
        };
        write(
            "1",
            "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:2 / /home rw - ext4 /dev/sda2 rw\n\
             23 21 8:3 / /srv rw - ext4 /dev/sda3 ro\n",
        );
        // ProtectSystem=strict and ProtectHome=yes.
        write(
            "self",
            "90 80 8:3 / / ro - ext4 /dev/sda3 ro\n91 90 8:2 / /home rw - ext4 /dev/sda2 rw\n\
             92 91 0:30 / /home ro - tmpfs tmpfs ro\n",
        );
        let answer = ask::<Query>(&Host::folder(root.path()).measured(figures), json!({})).unwrap();
        let row =
            |one: &Value| (one["read_only"] == true, one["filesystem_read_only"] == true, one["not_measured"].clone());
        let rows: Vec<_> = answer["filesystems"].as_array().unwrap().iter().map(row).collect();
        let gone = json!("out_of_reach");
        assert_eq!(rows, [(false, false, gone.clone()), (false, false, gone), (true, true, Value::Null)]);
        assert_eq!(
            (&answer["view"], &answer["filesystems"][2]["usage"]["size_bytes"]),
            (&json!("machine"), &json!(1000))
        );
    }

    #[test]
    fn a_virtual_machine_shows_what_is_mounted_and_what_its_disk_did() {
        assert_eq!(
            ask::<Query>(&virtual_machine(), json!({})).unwrap(),
            json!({
                "view": "daemon",
                "filesystems": [
                    {
                        "mount_point": "/", "kind": "ext4", "device": "/dev/vda1", "read_only": false, "filesystem_read_only": false,
                        "usage": {
                            "size_bytes": 1000, "used_bytes": 600, "available_bytes": 300, "used_percent": 66.67,
                            "inodes": 200, "inodes_used": 50, "inodes_used_percent": 25.0,
                        },
                        "activity": {
                            "device": "vda1", "reads": 17_235, "read_bytes": 2_908_173_312_u64, "writes": 7_199,
                            "written_bytes": 8_812_777_472_u64,
                        },
                    },
                    {
                        "mount_point": "/boot/efi", "kind": "vfat", "device": "/dev/vda15", "read_only": false, "filesystem_read_only": false,
                        "not_measured": "unavailable",
                        "activity": {
                            "device": "vda15", "reads": 400, "read_bytes": 5_632_000, "writes": 2, "written_bytes": 8192,
                        },
                    },
                    {
                        "mount_point": "/mnt/nas", "kind": "nfs4", "device": "nas.example:/export/data",
                        "read_only": true, "filesystem_read_only": false, "not_measured": "remote",
                    },
                ],
                "devices": [{
                    "name": "vda", "reads": 17_635, "read_bytes": 2_913_805_312_u64, "read_seconds": 19.037,
                    "writes": 7_201, "written_bytes": 8_812_785_664_u64, "write_seconds": 36.962,
                    "busy_seconds": 8.56, "in_progress": 2, "discarded_bytes": 125_308_928, "flushes": 55,
                }],
                "pressure": {
                    "some": {
                        "last_10s_percent": 0.5, "last_60s_percent": 0.25, "last_300s_percent": 0.1,
                        "total_seconds": 3.0,
                    },
                    "full": {
                        "last_10s_percent": 0.25, "last_60s_percent": 0.1, "last_300s_percent": 0.0,
                        "total_seconds": 1.0,
                    },
                },
                "control_group": {
                    "group": "/system.slice/doorward.service", "version": 2,
                    "devices": [{
                        "device": "254:0", "read_bytes": 4096, "written_bytes": 8192, "reads": 1, "writes": 2,
                        "limits": "rbps=1048576 wbps=max riops=max wiops=max",
                    }],
                },
                "incomplete": false,
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
    fn a_place_where_nothing_is_mounted_is_refused_with_those_where_something_is() {
        let failure = ask::<Query>(&virtual_machine(), json!({"mount": "/nowhere"})).unwrap_err();
        assert_eq!(failure.public(), "there is no mount at /nowhere; there are /, /boot/efi, /mnt/nas");
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
    fn the_disks_are_watched_and_one_that_rests_does_nothing() {
        let answer = ask::<Query>(&virtual_machine(), json!({"sample_ms": 20})).unwrap();
        assert_eq!(answer["devices"][0]["sampled"]["reads_per_second"], 0.0);
        assert_eq!(answer["devices"][0]["sampled"].get("mean_request_ms"), None);
    }

    #[test]
    fn the_real_host_measures_its_root() {
        let answer = ask::<Query>(&Host::this(), json!({"mount": "/"})).unwrap();
        assert!(answer["filesystems"][0]["usage"]["size_bytes"].as_u64().unwrap() > 0, "{answer}");
    }

    proptest! {
        #[test]
        fn no_figure_is_a_panic(figures in any::<[u64; 5]>()) {
            let [size, free, available, inodes, inodes_free] = figures;
            let _ = Usage::from(Space { size, free, available, inodes, inodes_free });
        }
    }
}
