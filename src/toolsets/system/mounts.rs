//! `/proc/PID/mountinfo`: what is mounted where, and which of it is worth a look. The daemon's own view is not the machine's:
//! whoever started it may show it less, and read-only. So the first process is asked, and the answer says whose view it is.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::Serialize;

use super::query::Ask;
use crate::error::{Code, Failure};

/// What the first process sees.
const MACHINE: &str = "proc/1/mountinfo";
/// What the daemon sees.
const OWN: &str = "proc/self/mountinfo";

/// Mounts that are kept: several thousand containers' worth.
const MOUNTS: usize = 32_768;

/// File systems that keep nothing on any disk.
const PSEUDO: [&str; 26] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// File systems behind a server, which may be gone; asking for their room can then hang for good.
const REMOTE: [&str; 13] =
    ["9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"];

/// Whose view of the mounts it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum View {
    /// That of the first process: the machine's, or that of the container the daemon is in.
    Machine,
    /// That of the daemon: its service may show it less than the machine has, and show it read-only what others can write.
    Daemon,
}

/// The mounts that somebody sees, in the order they were made.
pub(super) struct Seen {
    /// The mounts.
    pub(super) mounts: Vec<Mount>,
    /// Whether they are all.
    pub(super) whole: bool,
    /// Whose view it is.
    pub(super) view: View,
}

/// One mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mount {
    /// Names the file system within the kernel: `8:1`.
    pub(super) filesystem: String,
    /// The folder of the file system that is mounted; `/` for the whole of it.
    pub(super) subtree: String,
    /// Where it is mounted.
    pub(super) mount_point: String,
    /// Such as `ext4`.
    pub(super) kind: String,
    /// What is mounted: a device, a share.
    pub(super) source: Option<String>,
    /// Whether it cannot be written to here.
    pub(super) read_only: bool,
    /// Whether the file system itself cannot be written to, wherever it is mounted.
    pub(super) filesystem_read_only: bool,
    /// Whether a later mount at the same place hides it.
    pub(super) hidden: bool,
    /// Options of this mount.
    pub(super) options: Vec<String>,
    /// Options of the file system.
    pub(super) filesystem_options: Vec<String>,
    /// How mounts below it reach other namespaces.
    pub(super) propagation: Vec<String>,
}

impl Mount {
    /// Whether it holds data rather than the kernel's figures. What serves a whole machine from memory counts too.
    pub(super) fn is_real(&self) -> bool {
        self.mount_point == "/" || !PSEUDO.contains(&self.kind.as_str())
    }

    /// Whether asking for its room can hang: a server is behind it, or a program that answers for it.
    pub(super) fn is_remote(&self) -> bool {
        REMOTE.contains(&self.kind.as_str()) || self.kind == "fuse" || self.kind.starts_with("fuse.")
    }

    /// Whether asking for its room would mount something.
    pub(super) fn is_trigger(&self) -> bool {
        self.kind == "autofs"
    }
}

/// Every mount of the machine, or, where the kernel does not tell that, every one that the daemon sees.
///
/// # Errors
/// [`Code::ToolFailed`] when the host does not show them or they make no sense, and as [`Ask::go_on`].
pub(super) fn read(ask: &Ask<'_>) -> Result<Seen, Failure> {
    let _ = match list(ask, MACHINE)? {
        Ok((mounts, whole)) if !mounts.is_empty() => return Ok(Seen { mounts, whole, view: View::Machine }),
        other => other,
    };
    own(ask)
}

/// Every mount that the daemon sees: what it can reach, and measure, itself.
///
/// # Errors
/// As those of [`read`].
pub(super) fn own(ask: &Ask<'_>) -> Result<Seen, Failure> {
    let (mounts, whole) = list(ask, OWN)?
        .map_err(|error| Failure::new(Code::ToolFailed, format!("this host does not show {OWN}")).because(error))?;
    if mounts.is_empty() {
        return Err(Failure::new(Code::ToolFailed, format!("{OWN} of this host makes no sense")));
    }
    Ok(Seen { mounts, whole, view: View::Daemon })
}

/// The mounts in a file and whether they are all, or why it cannot be read; lines that make no sense are passed over.
fn list(ask: &Ask<'_>, path: &str) -> Result<io::Result<(Vec<Mount>, bool)>, Failure> {
    let (mut mounts, mut stopped) = (Vec::new(), Ok(()));
    let whole = ask.host.each_line(path, |line| {
        stopped = ask.go_on();
        mounts.extend(mount(line));
        if stopped.is_err() || mounts.len() >= MOUNTS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    stopped?;
    hide(&mut mounts);
    Ok(whole.map(|whole| (mounts, whole)))
}

/// Where, among mounts that the daemon sees, the file system of `mount` is: at the same place if it is there.
pub(super) fn within_reach<'a>(own: &'a [Mount], mount: &Mount) -> Option<&'a Mount> {
    let same = || own.iter().filter(|one| !one.hidden && one.filesystem == mount.filesystem);
    same().find(|one| one.mount_point == mount.mount_point).or_else(|| same().next())
}

/// Marks the mounts over which another was made later.
fn hide(mounts: &mut [Mount]) {
    let mut last = HashMap::new();
    for (at, mount) in mounts.iter().enumerate() {
        last.insert(mount.mount_point.clone(), at);
    }
    for (at, mount) in mounts.iter_mut().enumerate() {
        mount.hidden = last.get(&mount.mount_point) != Some(&at);
    }
}

/// One mount for each real file system: the one that shows the most of it, nearest to the root.
pub(super) fn principal(mounts: Vec<Mount>) -> Vec<Mount> {
    let mut chosen: BTreeMap<String, Mount> = BTreeMap::new();
    for mount in mounts.into_iter().filter(|mount| mount.is_real() && !mount.hidden) {
        let better = |old: &Mount| rank(&mount) < rank(old);
        if chosen.get(&mount.filesystem).is_none_or(better) {
            chosen.insert(mount.filesystem.clone(), mount);
        }
    }
    let mut chosen: Vec<Mount> = chosen.into_values().collect();
    chosen.sort_by(|one, other| one.mount_point.cmp(&other.mount_point));
    chosen
}

fn rank(mount: &Mount) -> (usize, usize) {
    (mount.subtree.len(), mount.mount_point.len())
}

/// Columns: id, parent, number, subtree, place, options, any number of tags up to a dash, kind, source, options.
fn mount(line: &str) -> Option<Mount> {
    let mut words = line.split(' ');
    let filesystem = words.nth(2).filter(|number| number.contains(':'))?.to_owned();
    let (subtree, mount_point) = (unescape(words.next()?), unescape(words.next()?));
    let list =
        |text: &str| -> Vec<String> { text.split(',').filter(|option| !option.is_empty()).map(unescape).collect() };
    let options = list(words.next()?);
    let mut propagation = Vec::new();
    loop {
        match words.next()? {
            "-" => break,
            tag => propagation.push(tag.to_owned()),
        }
    }
    let kind = words.next().filter(|kind| !kind.is_empty())?.to_owned();
    let source = Some(words.next()?).filter(|source| !matches!(*source, "" | "none")).map(unescape);
    let filesystem_options = list(words.next().unwrap_or_default());
    let filesystem_read_only = filesystem_options.iter().any(|option| option == "ro");
    let read_only = filesystem_read_only || options.iter().any(|option| option == "ro");
    Some(Mount {
        filesystem,
        subtree,
        mount_point,
        kind,
        source,
        read_only,
        filesystem_read_only,
        hidden: false,
        options,
        filesystem_options,
        propagation,
    })
}

/// proc_pid_mountinfo(5): blank, tab, newline and backslash stand as `\` and three octal digits.
pub(super) fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
        let sign = code.and_then(|code| u8::from_str_radix(code, 8).ok()).filter(u8::is_ascii);
        if let Some(sign) = sign {
            plain.push(char::from(sign));
            plain.push_str(part.get(3..).unwrap_or_default());
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = text.lines().filter_map(mount).collect();
        hide(&mut mounts);
        mounts
    }

    const TEXT: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 8:1 /srv/data /mnt/bound rw,relatime shared:1 - ext4 /dev/sda1 rw
23 21 0:5 / /proc rw,nosuid - proc proc rw
24 21 0:40 / /mnt/with\\040blank rw - nfs4 nas:/export rw,vers=4.2
25 21 8:17 / /data rw - xfs /dev/sdb1 rw
26 21 8:33 / /data ro - xfs /dev/sdc1 ro
not a mount
27 21 0:41 / /home/a/remote rw - fuse.sshfs a@b: rw
";

    #[test]
    fn each_file_system_is_shown_once_where_it_can_be_seen() {
        let mounts = parse(TEXT);
        assert_eq!(mounts.len(), 7);
        let chosen = principal(mounts);
        let places: Vec<&str> = chosen.iter().map(|mount| mount.mount_point.as_str()).collect();
        assert_eq!(places, ["/", "/data", "/home/a/remote", "/mnt/with blank"]);
        assert_eq!(chosen[1].source.as_deref(), Some("/dev/sdc1"));
        assert!(chosen[1].read_only && !chosen[0].read_only);
        assert_eq!(
            (chosen[0].propagation.join(" "), chosen[0].filesystem_options.join(",")),
            ("shared:1".to_owned(), "rw,errors=remount-ro".to_owned())
        );
    }

    #[test]
    fn what_can_hang_is_known_by_its_kind() {
        let remote: Vec<bool> = principal(parse(TEXT)).iter().map(Mount::is_remote).collect();
        assert_eq!(remote, [false, false, true, true]);
    }

    #[test]
    fn only_whole_octal_codes_are_signs() {
        assert_eq!(unescape("a\\040b\\134c\\011"), "a b\\c\t");
        assert_eq!(unescape("\\04 \\999 \\é \\"), "\\04 \\999 \\é \\");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([0-9]{1,11} 1 8:1 /[\\\\0-9é]{0,5} /[\\\\0-9]{0,5} r[ow] (shared:[0-9]{0,11} )?- ext4 x rw\n){0,4}") {
            let _ = principal(parse(&text));
        }
    }
}
