//! `get_mounts`: what is mounted with which options, and what the host's fstab asks for and is not mounted. Nothing is
//! measured, so nothing hangs; `get_disk_info` says how full it is.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::{self, Extent};
use super::mounts::{self, Mount, Seen, View, unescape};
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;
use crate::guard::LimitsSection;

/// Bytes of one option that are shown: an overlay of many layers names them all in one.
const OPTION_BYTES: usize = 256;

/// Lines of fstab that are kept.
const FSTAB_LINES: usize = 1000;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only this kind of file system, such as ext4 or nfs4.
    #[schemars(length(min = 1, max = 64))]
    kind: Option<String>,
    /// Only what is mounted at or below this path.
    #[schemars(length(min = 1, max = 4096))]
    below: Option<String>,
    /// Also the kernel's own file systems, such as proc, cgroup2 and tmpfs.
    all: bool,
    /// Most mounts to list.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { kind: None, below: None, all: false, limit: extent::USUAL }
    }
}

/// What is mounted.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// Whose view it is: what is read-only in the daemon's own need not be for others.
    view: View,
    /// The mounts, in the order in which they were made.
    mounts: Vec<Mounted>,
    /// What the host's fstab asks for.
    fstab: Vec<Wanted>,
}

/// One mount.
#[derive(Serialize, JsonSchema)]
struct Mounted {
    /// Where it is mounted.
    mount_point: String,
    /// The kind of file system.
    kind: String,
    /// What is mounted: a device, a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The folder of the file system that is mounted, when it is not the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    subtree: Option<String>,
    /// Names the file system in the kernel: major:minor.
    filesystem: String,
    /// Whether it cannot be written to here, in this view.
    read_only: bool,
    /// Whether the file system itself cannot be written to, wherever it is mounted: it was mounted so, or an error made it so.
    filesystem_read_only: bool,
    /// Whether a later mount at the same place hides it.
    hidden: bool,
    /// Options of this mount, such as nosuid, nodev, noexec.
    options: Vec<String>,
    /// Options of the file system, the same for all its mounts. Long ones are cut.
    filesystem_options: Vec<String>,
    /// How mounts below it reach other namespaces: shared, master, propagate_from, unbindable; none when they do not.
    propagation: Vec<String>,
}

/// A line of fstab.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Wanted {
    /// What to mount.
    source: String,
    /// Where.
    mount_point: String,
    /// The kind of file system.
    kind: String,
    /// The options.
    options: Vec<String>,
    /// Whether something is mounted there, or swapped on.
    #[serde(skip_serializing_if = "Option::is_none")]
    mounted: Option<bool>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_mounts",
            "Mounts",
            "What is mounted where, with source, kind and options, as the machine's first process sees it, else as the \
             daemon does (view); and which lines of fstab are not mounted. A disk that went read-only has \
             filesystem_read_only. How full the file systems are is in get_disk_info.",
            Impact::Low,
        )
        .reading(["/etc/fstab"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let Seen { mounts: mut found, whole, view } = mounts::read(ask)?;
        if let Some(kind) = args.kind.as_ref().filter(|&kind| found.iter().all(|mount| mount.kind != *kind)) {
            return Err(unknown("mounted file system of the kind", kind, found.iter().map(|mount| &mount.kind)));
        }
        let total = found.len();
        let fstab = fstab(ask, &found);
        found.retain(|mount| fits(&args, mount));
        let extent = Extent::cut(&mut found, total, args.limit.min(ask.limits.max_array_items))
            .of_whole(whole)
            .narrow("raise limit, or narrow with kind or below");
        Ok(Answer { extent, view, mounts: found.into_iter().map(describe).collect(), fstab })
    }
}

fn fits(args: &Args, mount: &Mount) -> bool {
    let below = |folder: &String| {
        let folder = folder.trim_end_matches('/');
        mount.mount_point.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let kind = args.kind.as_ref().is_none_or(|kind| *kind == mount.kind);
    // Who names a kind or a place has said what is of interest.
    let asked = args.all || args.kind.is_some() || args.below.is_some() || mount.is_real();
    kind && asked && args.below.as_ref().is_none_or(below)
}

fn describe(mount: Mount) -> Mounted {
    let short = |options: Vec<String>| options.into_iter().map(shorten).collect();
    Mounted {
        subtree: Some(mount.subtree).filter(|subtree| subtree != "/"),
        options: short(mount.options),
        filesystem_options: short(mount.filesystem_options),
        mount_point: mount.mount_point,
        kind: mount.kind,
        source: mount.source,
        filesystem: mount.filesystem,
        read_only: mount.read_only,
        filesystem_read_only: mount.filesystem_read_only,
        hidden: mount.hidden,
        propagation: mount.propagation,
    }
}

/// An option in full, or its beginning and three dots.
fn shorten(option: String) -> String {
    if option.len() <= OPTION_BYTES {
        return option;
    }
    let mut end = OPTION_BYTES;
    while !option.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}...", option.get(..end).unwrap_or_default())
}

fn fstab(ask: &Ask<'_>, mounts: &[Mount]) -> Vec<Wanted> {
    let places: HashSet<&str> = mounts.iter().map(|mount| mount.mount_point.as_str()).collect();
    let text = ask.host.find("etc/fstab").unwrap_or_default();
    let mut wanted: Vec<Wanted> = text.lines().filter_map(Wanted::parse).take(FSTAB_LINES).collect();
    for line in &mut wanted {
        if line.mount_point.starts_with('/') {
            line.mounted = Some(places.contains(line.mount_point.as_str()));
        }
    }
    wanted
}

impl Wanted {
    /// fstab(5): source, place, kind, options and two figures.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().filter(|_| !line.trim_start().starts_with('#'));
        let (source, mount_point, kind) = (words.next()?, words.next()?, words.next()?);
        let options = words.next().unwrap_or("defaults");
        Some(Self {
            source: unescape(source),
            mount_point: unescape(mount_point),
            kind: kind.to_owned(),
            options: options.split(',').map(str::to_owned).collect(),
            mounted: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn places(answer: &Value) -> Vec<&str> {
        answer["mounts"].as_array().unwrap().iter().map(|one| one["mount_point"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_virtual_machine_shows_its_mounts_with_their_options() {
        let answer = ask::<Query>(&Host::fixture("debian-vm"), json!({"kind": "nfs4"})).unwrap();
        assert_eq!(
            answer["mounts"],
            json!([{
                "mount_point": "/mnt/nas", "kind": "nfs4", "source": "nas.example:/export/data", "filesystem": "0:45",
                "read_only": true, "filesystem_read_only": false, "hidden": false, "options": ["ro", "relatime"],
                "filesystem_options": ["rw", "vers=4.2", "hard", "addr=10.0.2.9"], "propagation": ["shared:35"],
            }])
        );
        assert_eq!(
            answer["fstab"],
            json!([
                {
                    "source": "UUID=0f5c1f5e-6a0b-4a59-9b8e-1f1c0a7e2d11", "mount_point": "/", "kind": "ext4",
                    "options": ["errors=remount-ro"], "mounted": true,
                },
                {"source": "/dev/vda14", "mount_point": "none", "kind": "swap", "options": ["sw"]},
                {
                    "source": "nas.example:/export/backup", "mount_point": "/mnt/backup disk", "kind": "nfs4",
                    "options": ["noauto", "ro"], "mounted": false,
                },
            ])
        );
    }

    #[test]
    fn a_daemon_that_is_shown_the_machine_read_only_does_not_take_it_for_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let write = |process: &str, text: &str| {
            std::fs::create_dir_all(root.path().join("proc").join(process)).unwrap();
            std::fs::write(root.path().join("proc").join(process).join("mountinfo"), text).unwrap();
        };
        let told = || {
            let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
            let row = |one: &Value| (one["read_only"] == true, one["filesystem_read_only"] == true);
            let rows: Vec<_> = answer["mounts"].as_array().unwrap().iter().map(row).collect();
            (answer["view"].clone(), rows)
        };
        // ProtectSystem=strict, as systemd makes it.
        write("self", "90 80 8:1 / / ro,relatime shared:9 - ext4 /dev/sda1 rw\n");
        assert_eq!(told(), (json!("daemon"), vec![(true, false)]));
        write("1", "nothing that makes sense\n");
        assert_eq!(told().0, "daemon");
        write("1", "21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n22 21 8:2 / /srv rw - ext4 /dev/sda2 ro\n");
        assert_eq!(told(), (json!("machine"), vec![(false, false), (true, true)]));
    }

    #[test]
    fn the_kernels_own_are_shown_on_demand() {
        let host = Host::fixture("debian-vm");
        let some = ask::<Query>(&host, json!({})).unwrap();
        assert!(places(&some).contains(&"/") && !places(&some).contains(&"/proc"));
        let all = ask::<Query>(&host, json!({"all": true})).unwrap();
        assert!(places(&all).contains(&"/proc"));
        assert_eq!(all["left_out"], 0);
        assert_eq!(places(&ask::<Query>(&host, json!({"below": "/mnt/"})).unwrap()), ["/mnt/shared data", "/mnt/nas"]);
        let few = ask::<Query>(&host, json!({"all": true, "limit": 1})).unwrap();
        assert_eq!(few["left_out"], all["total"].as_u64().unwrap() - 1);
    }

    #[test]
    fn of_more_mounts_than_a_host_has_some_are_looked_at_and_that_is_said() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let line = |number: u32| format!("{number} 1 8:1 / /m/{number} rw - ext4 /dev/sda1 rw\n");
        std::fs::write(root.path().join("proc/self/mountinfo"), (0..50_000).map(line).collect::<String>()).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"below": "/m/4", "limit": 5})).unwrap();
        assert_eq!(
            (&answer["incomplete"], &answer["matching"], &answer["total"]),
            (&json!(true), &json!(1), &json!(32_768))
        );
    }

    #[test]
    fn a_board_shows_its_card() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        assert_eq!((&answer["mounts"][0]["kind"], &answer["fstab"]), (&json!("overlay"), &json!([])));
    }

    #[test]
    fn a_long_option_is_cut_at_a_sign() {
        assert_eq!(shorten("é".repeat(200)).len(), 259);
        assert_eq!(shorten("ro".to_owned()), "ro");
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|[#a-z/\\\\0-9 ,=]{0,40}", option in "\\PC{0,300}") {
            let _ = (Wanted::parse(&line), shorten(option));
        }
    }
}
