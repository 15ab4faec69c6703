//! A host is a folder: every file is read below one root, up to a cap, and no path leads out of it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat2, readlinkat};

use super::SystemSection;
use super::kernel_stat::KernelStat;
use super::quantity::fixed;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};

/// The largest file that is read whole: `/proc/cpuinfo` of a machine with 2048 processors fits.
const FILE_BYTES: usize = 4 << 20;

/// The longest directory that is listed: four times the default greatest process id.
const ENTRIES: usize = 4 * 32_768;

/// Where the facts are read: the machine itself, or a folder with the files of one.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    measure: fn(&Path) -> io::Result<Space>,
    section: Arc<SystemSection>,
}

/// The room on one file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Space {
    /// In bytes.
    pub(super) size: u64,
    /// Bytes that are not in use.
    pub(super) free: u64,
    /// Bytes that a user without privileges may still use.
    pub(super) available: u64,
    /// Inodes in all; zero where the file system has no fixed number.
    pub(super) inodes: u64,
    /// Inodes that are not in use.
    pub(super) inodes_free: u64,
}

impl Host {
    /// The machine that the process runs on, as its namespaces show it.
    #[must_use]
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), measure: statvfs, section: Arc::default() }
    }

    /// A folder that holds the `/proc`, `/sys` and `/etc` of some host. Links in it stay in it. The room on its file
    /// systems is not known: asking the kernel would give the figures of the machine that the folder lies on.
    #[must_use]
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        let measure = |_: &Path| Err(io::ErrorKind::Unsupported.into());
        Self { root: root.into(), measure, section: Arc::default() }
    }

    /// The same host with all that the configuration opens of it.
    #[must_use]
    pub fn opened(self, section: &SystemSection) -> Self {
        Self { section: Arc::new(section.clone()), ..self }
    }

    /// What the configuration opens of it.
    pub(super) fn section(&self) -> &SystemSection {
        &self.section
    }

    /// Whether it is the machine itself, and not a folder.
    pub(super) fn is_this(&self) -> bool {
        self.root == Path::new("/")
    }

    /// One of the hosts that the tests know by heart.
    #[cfg(test)]
    pub(super) fn fixture(name: &str) -> Self {
        Self::folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host").join(name))
    }

    /// The same host with the figures that `measure` gives for a mount point.
    #[cfg(test)]
    pub(super) fn measured(self, measure: fn(&Path) -> io::Result<Space>) -> Self {
        Self { measure, ..self }
    }

    /// A file that the answer cannot do without, as text; bytes that are not UTF-8 become replacement characters.
    ///
    /// # Errors
    /// [`Code::ToolFailed`] when it cannot be read or is too large.
    pub(super) fn read(&self, path: &str) -> Result<String, Failure> {
        match self.start(path, FILE_BYTES) {
            Ok((bytes, false)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok((_, true)) => Err(Failure::new(Code::ToolFailed, format!("{path} of this host is too large to read"))),
            Err(error) => Err(Failure::new(Code::ToolFailed, format!("this host does not show {path}")).because(error)),
        }
    }

    /// A file that not every host has or shows.
    pub(super) fn find(&self, path: &str) -> Option<String> {
        self.read(path).ok()
    }

    /// The text of a file with one line, unless it is empty.
    pub(super) fn line(&self, path: &str) -> Option<String> {
        self.find(path).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The number in a file with one number.
    pub(super) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.line(path)?.parse().ok()
    }

    /// The first `cap` bytes of a file, and whether there are more.
    pub(super) fn start(&self, path: &str, cap: usize) -> io::Result<(Vec<u8>, bool)> {
        let most = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
        let file = File::from(self.open(path, OFlags::empty())?);
        // Room for most files at once: the kernel makes many of them anew for each read.
        let mut bytes = Vec::with_capacity(8192);
        file.take(most).read_to_end(&mut bytes)?;
        let more = bytes.len() > cap;
        bytes.truncate(cap);
        Ok((bytes, more))
    }

    /// The names in a directory, sorted; none when it cannot be read.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        self.names(path).unwrap_or_default()
    }

    /// The names in a directory, sorted, up to a number that no honest host reaches.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        Ok(listed(self.open(path, OFlags::DIRECTORY)?))
    }

    /// A regular file to read parts of, and what is known of it. A pipe, a socket or a device is none.
    pub(super) fn file(&self, path: &str) -> io::Result<(File, Metadata)> {
        regular(File::from(self.open(path, OFlags::empty())?))
    }

    /// The same for `path` within `directory`, which neither the path nor a link on it may leave.
    pub(super) fn file_within(&self, directory: &str, path: &str) -> io::Result<(File, Metadata)> {
        regular(File::from(self.within(directory, path, OFlags::empty())?))
    }

    /// The names in `folder`, a path below the root that neither leaves `directory` nor is reached by a link, sorted.
    pub(super) fn list_within(&self, directory: &str, folder: &str) -> Vec<String> {
        let inside = folder.strip_prefix(directory).map(|rest| rest.trim_start_matches('/'));
        let inside = inside.map(|rest| if rest.is_empty() { "." } else { rest });
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        inside.and_then(|inside| self.within(directory, inside, flags).ok()).map(listed).unwrap_or_default()
    }

    fn within(&self, directory: &str, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let directory = self.open(directory, OFlags::DIRECTORY)?;
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(directory, path, flags, Mode::empty(), within)?)
    }

    /// A device that gives a record a read and never blocks; in a folder, a file with the records.
    pub(super) fn device(&self, path: &str) -> io::Result<File> {
        Ok(File::from(self.open(path, OFlags::empty())?))
    }

    /// Where a link leads, in words; `None` of what is no link.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let (folder, name) = path.rsplit_once('/')?;
        let folder = self.open(folder, OFlags::DIRECTORY).ok()?;
        Some(readlinkat(&folder, name, Vec::new()).ok()?.to_string_lossy().into_owned())
    }

    /// The time of day; of a folder, the moment its files were taken at, if they tell when and how long the host ran.
    pub(super) fn now(&self) -> Timestamp {
        let taken = || {
            let boot = KernelStat::parse(&self.find("proc/stat")?)?.boot_seconds?;
            let uptime = fixed(self.line("proc/uptime")?.split_whitespace().next()?, 3)?;
            Some(Timestamp::from_millis(i64::try_from(boot.checked_mul(1000)?.checked_add(uptime)?).ok()?))
        };
        (!self.is_this()).then(taken).flatten().unwrap_or_else(|| Clock::system().now())
    }

    /// Whether there is something at `path` that this process may open.
    pub(super) fn has(&self, path: &str) -> bool {
        self.open(path, OFlags::empty()).is_ok()
    }

    /// The room on the file system that is mounted at `mount_point`. This can hang when its server is gone.
    pub(super) fn space(&self, mount_point: &str) -> io::Result<Space> {
        (self.measure)(Path::new(mount_point))
    }

    /// Opens without waiting, so a pipe in the folder holds nobody up. The kernel keeps links inside a folder; the
    /// machine's own root has no outside, and older kernels have no `openat2`.
    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = Path::new(path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        if self.is_this() {
            return Ok(rustix::fs::open(self.root.join(path), flags, Mode::empty())?);
        }
        let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, root, Mode::empty())?;
        Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?)
    }
}

fn listed(directory: OwnedFd) -> Vec<String> {
    let Ok(directory) = Dir::new(directory) else { return Vec::new() };
    let mut names: Vec<String> = directory
        .take(ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .collect();
    names.sort_unstable();
    names
}

fn regular(file: File) -> io::Result<(File, Metadata)> {
    let about = file.metadata()?;
    if about.is_file() { Ok((file, about)) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn statvfs(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Space {
        size: bytes(found.f_blocks),
        free: bytes(found.f_bfree),
        available: bytes(found.f_bavail),
        inodes: found.f_files,
        inodes_free: found.f_ffree,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_and_no_link_leads_out_of_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("proc")).unwrap();
        std::fs::write(outer.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("proc/inside"), "inside").unwrap();
        symlink("../../secret", root.join("proc/up")).unwrap();
        symlink(outer.path().join("secret"), root.join("proc/absolute")).unwrap();
        symlink("/proc/inside", root.join("proc/rooted")).unwrap();
        let host = Host::folder(&root);
        for path in ["../secret", "proc/../../secret", "/etc/passwd", "./proc/inside", "proc/up", "proc/absolute"] {
            assert_eq!(host.read(path).unwrap_err().code(), Code::ToolFailed, "{path}");
        }
        assert_eq!(host.read("proc/inside").unwrap(), "inside");
        assert_eq!(host.read("proc/rooted").unwrap(), "inside");
        assert_eq!(host.list("proc"), ["absolute", "inside", "rooted", "up"]);
        assert!(host.list("proc/..").is_empty());
        assert!(Host::this().read("../etc/passwd").is_err());
    }

    #[test]
    fn a_file_over_the_cap_is_a_failure_not_half_an_answer() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("large"), vec![b'x'; FILE_BYTES + 1]).unwrap();
        let host = Host::folder(root.path());
        assert!(host.read("large").unwrap_err().public().contains("too large"));
        assert_eq!(host.start("large", 3).unwrap(), (b"xxx".to_vec(), true));
        assert!(host.read("").is_err());
    }

    #[test]
    fn a_folder_knows_no_room_and_the_machine_knows_its_own() {
        assert!(Host::folder("/").space("/").is_err());
        assert!(Host::this().space("/").unwrap().size > 0);
    }
}
