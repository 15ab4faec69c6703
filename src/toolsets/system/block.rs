//! `get_block_devices`: disks, their partitions and what is stacked upon them, with the file system on each where known.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::extent::{self, Extent};
use super::mounts::{self, Mount};
use super::query::{Ask, HostQuery};
use super::swaps;
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

const BLOCK: &str = "sys/block";

/// The unit of sizes in /sys, whatever the disk's own.
const SECTOR_BYTES: u64 = 512;

/// The mount points that are named of one device; a host of containers may have thousands.
const MOUNT_POINTS: usize = 20;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only the device of this name and its partitions, such as sda or nvme0n1.
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    /// Also devices without any room: idle loop devices and empty drives.
    all: bool,
    /// Most devices to list, partitions not counted.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { name: None, all: false, limit: extent::USUAL }
    }
}

/// Block devices.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The devices, by name.
    devices: Vec<Device>,
}

/// One disk, or what behaves like one.
#[derive(Serialize, JsonSchema)]
struct Device {
    /// What it is.
    kind: Kind,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// Whether it has turning platters.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotational: Option<bool>,
    /// Whether its medium can be taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    removable: Option<bool>,
    /// Bytes that it reads and writes at least at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_block_bytes: Option<u64>,
    /// Bytes that it keeps together inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_block_bytes: Option<u64>,
    /// How the kernel puts requests in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduler: Option<String>,
    /// The file behind a loop device.
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_file: Option<String>,
    /// The name of a logical volume or another mapping, or the level of a RAID.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<String>,
    /// What it is made of.
    made_of: Vec<String>,
    /// Room and use.
    #[serde(flatten)]
    volume: Volume,
    /// Its partitions, by name.
    partitions: Vec<Volume>,
}

/// What a block device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A disk, or what a hypervisor shows as one.
    Disk,
    /// A file that is shown as a disk.
    Loop,
    /// A mapping: logical volume, encryption, multipath.
    Mapped,
    /// A RAID of the kernel.
    Raid,
    /// Memory that is shown as a disk, compressed or not.
    Memory,
    /// A drive for optical discs.
    Optical,
}

/// The room of a disk or a partition, and what it is used for.
#[derive(Serialize, JsonSchema)]
struct Volume {
    /// Its name in the kernel, such as sda or sda1.
    name: String,
    /// Its number in the kernel: major:minor.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// Bytes.
    size_bytes: u64,
    /// Whether it cannot be written to.
    read_only: bool,
    /// What is on it, such as ext4, LVM2_member or swap; where it is mounted or the host's device database knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// The label of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// The UUID of the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    /// The devices that are made of it, such as dm-0.
    holders: Vec<String>,
    /// Where its file system is mounted, at most 20 places.
    mount_points: Vec<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_block_devices",
            "Block devices",
            "The host's disks and what behaves like one: size, model, partitions, what is stacked upon what, the file \
             system on each and where it is mounted.",
            Impact::Medium,
        )
        .reading(["/run/udev/data"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let Ok(mut names) = ask.host.names(BLOCK) else {
            return Err(Failure::new(Code::ToolFailed, "this host does not show its block devices"));
        };
        if let Some(wanted) = args.name.as_ref().filter(|&wanted| names.iter().all(|name| plain(name) != *wanted)) {
            return Err(unknown("block device", wanted, names.iter().map(|name| plain(name))));
        }
        let total = names.len();
        names.retain(|name| args.name.as_ref().is_none_or(|wanted| *wanted == plain(name)));
        if !args.all {
            names.retain(|name| ask.host.number(&format!("{BLOCK}/{name}/size")) != Some(0_u64));
        }
        let extent = Extent::cut(&mut names, total, args.limit.min(ask.limits.max_array_items))
            .narrow("raise limit, or name the device");
        let uses = Uses::read(ask);
        let mut devices = Vec::with_capacity(names.len());
        for name in names {
            ask.go_on()?;
            devices.push(device(ask, &name, &uses)?);
        }
        Ok(Answer { extent, devices })
    }
}

/// What the volumes are used for: mounts by number, swap space by name.
struct Uses {
    mounts: HashMap<String, Vec<Mount>>,
    swaps: Vec<String>,
}

impl Uses {
    fn read(ask: &Ask<'_>) -> Self {
        let mut mounts: HashMap<String, Vec<Mount>> = HashMap::new();
        // Without the mounts the rest is still worth an answer.
        for mount in mounts::read(ask).map(|seen| seen.mounts).unwrap_or_default() {
            mounts.entry(mount.filesystem.clone()).or_default().push(mount);
        }
        let swaps = swaps::parse(&ask.host.find("proc/swaps").unwrap_or_default());
        Self { mounts, swaps: swaps.into_iter().map(|swap| swap.path).collect() }
    }
}

fn device(ask: &Ask<'_>, name: &str, uses: &Uses) -> Result<Device, Failure> {
    let host = ask.host;
    let folder = format!("{BLOCK}/{name}");
    let path = |file: &str| format!("{folder}/{file}");
    let flag = |file: &str| host.number(&path(file)).map(|figure: u8| figure == 1);
    let mut partitions = Vec::new();
    for part in host.list(&folder).iter().filter(|part| host.has(&path(&format!("{part}/partition")))) {
        ask.go_on()?;
        partitions.push(volume(host, part, &path(part), uses));
    }
    let scheduler = host.line(&path("queue/scheduler"));
    Ok(Device {
        kind: kind(host, name, &folder),
        vendor: host.line(&path("device/vendor")).filter(|vendor| !vendor.starts_with("0x")),
        model: host.line(&path("device/model")).or_else(|| host.line(&path("device/name"))),
        rotational: flag("queue/rotational"),
        removable: flag("removable"),
        logical_block_bytes: host.number(&path("queue/logical_block_size")),
        physical_block_bytes: host.number(&path("queue/physical_block_size")),
        scheduler: scheduler.and_then(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())),
        backing_file: host.line(&path("loop/backing_file")),
        mapping: host.line(&path("dm/name")).or_else(|| host.line(&path("md/level"))),
        made_of: host.list(&path("slaves")),
        volume: volume(host, name, &folder, uses),
        partitions,
    })
}

fn kind(host: &Host, name: &str, folder: &str) -> Kind {
    let begins =
        |start: &str| name.strip_prefix(start).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    if begins("loop") {
        Kind::Loop
    } else if begins("dm-") || !host.list(&format!("{folder}/dm")).is_empty() {
        Kind::Mapped
    } else if !host.list(&format!("{folder}/md")).is_empty() {
        Kind::Raid
    } else if begins("zram") || begins("ram") || begins("pmem") {
        Kind::Memory
    } else if begins("sr") {
        Kind::Optical
    } else {
        Kind::Disk
    }
}

fn volume(host: &Host, name: &str, folder: &str, uses: &Uses) -> Volume {
    let path = |file: &str| format!("{folder}/{file}");
    let sectors: u64 = host.number(&path("size")).unwrap_or(0);
    let number = host.line(&path("dev"));
    let mounts = number.as_ref().and_then(|number| uses.mounts.get(number)).map(Vec::as_slice).unwrap_or_default();
    let known = number.as_ref().map(|number| properties(host, number)).unwrap_or_default();
    let property = |key: &str| known.get(key).cloned();
    let name = plain(name);
    let swap = uses.swaps.contains(&format!("/dev/{name}")).then(|| "swap".to_owned());
    Volume {
        size_bytes: sectors.saturating_mul(SECTOR_BYTES),
        read_only: host.number(&path("ro")) == Some(1_u8),
        content: mounts.first().map(|mount| mount.kind.clone()).or(swap).or_else(|| property("ID_FS_TYPE")),
        label: property("ID_FS_LABEL"),
        uuid: property("ID_FS_UUID"),
        holders: host.list(&path("holders")),
        mount_points: mounts.iter().map(|mount| mount.mount_point.clone()).take(MOUNT_POINTS).collect(),
        number,
        name,
    }
}

/// What udev found out about a device, from lines such as `E:ID_FS_TYPE=ext4`.
fn properties(host: &Host, number: &str) -> HashMap<String, String> {
    let text = host.find(&format!("run/udev/data/b{number}")).unwrap_or_default();
    let line = |line: &str| {
        let (key, value) = line.strip_prefix("E:")?.split_once('=')?;
        key.starts_with("ID_FS_").then(|| (key.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The kernel writes a `/` in a name as `!` in /sys.
fn plain(name: &str) -> String {
    name.replace('!', "/")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_shows_its_disk_and_what_is_on_it() {
        let answer = ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap();
        assert_eq!((&answer["total"], &answer["matching"]), (&json!(3), &json!(2)), "an idle loop device has no room");
        assert_eq!(
            answer["devices"][1],
            json!({
                "kind": "disk", "model": "QEMU HARDDISK", "rotational": false, "removable": false,
                "logical_block_bytes": 512, "physical_block_bytes": 4096, "scheduler": "mq-deadline", "made_of": [],
                "name": "vda", "number": "254:0", "size_bytes": 32_212_254_720_u64, "read_only": false, "holders": [],
                "mount_points": [],
                "partitions": [
                    {
                        "name": "vda1", "number": "254:1", "size_bytes": 20_000_000_000_u64, "read_only": false,
                        "content": "ext4", "label": "root", "uuid": "0f5c1f5e-6a0b-4a59-9b8e-1f1c0a7e2d11",
                        "holders": [], "mount_points": ["/", "/mnt/shared data"],
                    },
                    {
                        "name": "vda14", "number": "254:14", "size_bytes": 1_024_000_000, "read_only": false,
                        "content": "swap", "holders": [], "mount_points": [],
                    },
                    {
                        "name": "vda2", "number": "254:2", "size_bytes": 1_048_576, "read_only": false,
                        "content": "LVM2_member", "holders": ["dm-0"], "mount_points": [],
                    },
                ],
            })
        );
        let volume = &answer["devices"][0];
        assert_eq!(
            (&volume["kind"], &volume["mapping"], &volume["made_of"]),
            (&json!("mapped"), &json!("vg-data"), &json!(["vda2"]))
        );
    }

    #[test]
    fn all_shows_idle_devices_and_a_name_shows_one() {
        let names = |arguments: Value| -> Vec<String> {
            let answer = ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap();
            answer["devices"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(json!({"all": true})), ["dm-0", "loop0", "vda"]);
        assert_eq!(names(json!({"name": "vda"})), ["vda"]);
        let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"name": "../../etc"})).unwrap_err();
        assert_eq!(failure.public(), "there is no block device ../../etc; there are dm-0, loop0, vda");
    }

    #[test]
    fn a_board_shows_its_card() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"name": "mmcblk0"})).unwrap();
        assert_eq!((&answer["devices"][0]["kind"], &answer["devices"][0]["model"]), (&json!("disk"), &json!("SC32G")));
    }
}
