//! What is left open: plain data, so that it can be looked at before and compared afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Capability;

/// Everything that those within may do.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Files and directories that may be read, by absolute path. One that is not there is left out.
    pub read: BTreeSet<PathBuf>,
    /// Directories in which files may be made, changed, renamed and removed.
    pub write: BTreeSet<PathBuf>,
    /// Whether programs of the system may be started.
    pub programs: bool,
    /// TCP ports that may be listened on; 0 stands for any that the system chooses.
    pub listen: BTreeSet<u16>,
    /// TCP ports that may be connected to.
    pub connect: BTreeSet<u16>,
    /// Sockets that may be opened.
    pub families: Families,
    /// Whether a lookout looks into processes of others for those within.
    pub processes: bool,
    /// Whether it tells their environments as well.
    pub environments: bool,
    /// Capabilities that are kept.
    pub capabilities: BTreeSet<Capability>,
    /// Those of them that programs get which are started within.
    pub handed_on: BTreeSet<Capability>,
}

/// Kinds of sockets.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Families {
    /// IPv4 and IPv6.
    pub internet: bool,
    /// Unix.
    pub unix: bool,
    /// To the kernel.
    pub netlink: bool,
}

impl Plan {
    /// What `other` needs and this does not leave open, a line each.
    #[must_use]
    pub fn lacks(&self, other: &Self) -> Vec<String> {
        let mut lacking = Vec::new();
        let paths = |own: &BTreeSet<PathBuf>, others: &BTreeSet<PathBuf>, what: &str| -> Vec<String> {
            let closed = others.iter().filter(|path| !own.iter().any(|open| path.starts_with(open)));
            closed.map(|path| format!("{what} {}", path.display())).collect()
        };
        lacking.extend(paths(&self.read.union(&self.write).cloned().collect(), &other.read, "reading"));
        lacking.extend(paths(&self.write, &other.write, "writing below"));
        lacking.extend(other.listen.difference(&self.listen).map(|port| format!("listening on port {port}")));
        lacking.extend(other.connect.difference(&self.connect).map(|port| format!("connecting to port {port}")));
        let flags = [
            (self.programs, other.programs, "starting programs"),
            (self.families.internet, other.families.internet, "sockets of IP"),
            (self.families.unix, other.families.unix, "unix sockets"),
            (self.families.netlink, other.families.netlink, "asking the kernel over netlink"),
            (self.processes, other.processes, "looking into processes"),
            (self.environments, other.environments, "reading environments of processes"),
        ];
        lacking.extend(flags.iter().filter(|(own, others, _)| *others && !own).map(|(.., what)| (*what).to_owned()));
        lacking.extend(other.capabilities.difference(&self.capabilities).map(ToString::to_string));
        let new = |one: &&Capability| self.capabilities.contains(one);
        let programs = other.handed_on.difference(&self.handed_on).filter(new);
        lacking.extend(programs.map(|one| format!("{one} for programs")));
        lacking
    }

    /// Opens the directory that `path` lies in for reading, so that a file that is put in its place later can be read as
    /// well; where others keep their files there too, the file alone, and links to it are followed once.
    pub fn read_file(&mut self, path: &Path) {
        for path in [absolute(path), path.canonicalize().ok()].into_iter().flatten() {
            let open = match path.parent() {
                Some(parent) if !is_shared(parent) => parent.to_owned(),
                _ => path,
            };
            self.read.insert(open);
        }
    }

    /// Opens the directory that `path` lies in for writing.
    pub fn write_file(&mut self, path: &Path) {
        let parent = absolute(path).and_then(|path| path.parent().map(Path::to_owned));
        self.write.extend(parent.map(|parent| parent.canonicalize().unwrap_or(parent)));
    }
}

fn absolute(path: &Path) -> Option<PathBuf> {
    std::path::absolute(path).ok()
}

/// Directories in which everybody keeps files: the first level, homes, and some that are known.
fn is_shared(directory: &Path) -> bool {
    const KNOWN: [&str; 12] = [
        "/etc/pki",
        "/etc/ssl",
        "/etc/ssl/private",
        "/usr/lib",
        "/usr/local",
        "/usr/share",
        "/var/cache",
        "/var/lib",
        "/var/log",
        "/var/run",
        "/var/tmp",
        "/run/user",
    ];
    let depth = directory.components().count();
    // The root itself is one component.
    depth <= 2
        || (depth == 3 && directory.starts_with("/home"))
        || KNOWN.iter().any(|known| directory == Path::new(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_among_those_of_others_is_opened_alone() {
        for (path, open) in [
            ("/etc/doorward/server.crt", "/etc/doorward"),
            ("/etc/doorward.yaml", "/etc/doorward.yaml"),
            ("/home/alice/doorward.yaml", "/home/alice/doorward.yaml"),
            ("/home/alice/.config/doorward/c.yaml", "/home/alice/.config/doorward"),
            ("/etc/ssl/private/server.key", "/etc/ssl/private/server.key"),
            ("/root/door/c.yaml", "/root/door"),
            ("/root/c.yaml", "/root/c.yaml"),
        ] {
            let mut plan = Plan::default();
            plan.read_file(Path::new(path));
            assert_eq!(plan.read, BTreeSet::from([PathBuf::from(open)]), "{path}");
        }
    }

    #[test]
    fn what_a_link_leads_to_is_opened_too() {
        let folder = tempfile::tempdir().unwrap();
        let (live, archive) = (folder.path().join("live"), folder.path().join("archive"));
        std::fs::create_dir(&live).unwrap();
        std::fs::create_dir(&archive).unwrap();
        std::fs::write(archive.join("cert1"), "x").unwrap();
        std::os::unix::fs::symlink("../archive/cert1", live.join("cert")).unwrap();
        let mut plan = Plan::default();
        plan.read_file(&live.join("cert"));
        let archive = archive.canonicalize().unwrap();
        assert!(plan.read.contains(&live) && plan.read.contains(&archive), "{plan:?}");
    }

    #[test]
    fn what_a_later_plan_needs_more_is_told() {
        let now = Plan { read: ["/etc/doorward".into()].into(), connect: [443].into(), ..Plan::default() };
        let mut later = now.clone();
        later.read.insert("/etc/doorward/more".into());
        assert!(now.lacks(&later).is_empty());
        later.read.insert("/var/lib/dpkg".into());
        later.write.insert("/var/log/doorward".into());
        later.connect.insert(6514);
        later.listen.insert(8443);
        later.programs = true;
        later.families = Families { internet: true, unix: true, netlink: true };
        later.processes = true;
        later.capabilities.insert(Capability::parse("CAP_SYS_PTRACE").unwrap());
        later.handed_on = later.capabilities.clone();
        let lacking = now.lacks(&later);
        assert_eq!(
            lacking,
            [
                "reading /var/lib/dpkg",
                "writing below /var/log/doorward",
                "listening on port 8443",
                "connecting to port 6514",
                "starting programs",
                "sockets of IP",
                "unix sockets",
                "asking the kernel over netlink",
                "looking into processes",
                "CAP_SYS_PTRACE",
            ]
        );
        assert!(later.lacks(&now).is_empty());
    }
}
