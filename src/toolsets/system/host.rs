//! A host is a folder: every file is read below one root, up to a cap, and no path leads out of it.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};

use super::SystemSection;
use super::budget;
use super::kernel_stat::KernelStat;
use super::quantity::fixed;
use super::reread::Reread;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::sandbox::lookout;

/// The largest file that is read whole: `/proc/cpuinfo` of a machine with 2048 processors fits.
const FILE_BYTES: usize = 4 << 20;

/// The longest directory that is listed: four times the default greatest process id.
const ENTRIES: usize = 4 * 32_768;

/// How everything is opened that is read.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// Where the facts are read: the machine itself, or a folder with the files of one.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    measure: fn(&Path) -> io::Result<Space>,
    /// This machine's files that are read most often; `None` for a folder, which says all by its files.
    live: Option<Arc<Live>>,
    section: Arc<SystemSection>,
}

#[derive(Default, Debug)]
struct Live {
    uptime: Reread,
    load: Reread,
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
        Self { root: PathBuf::from("/"), measure: statvfs, live: Some(Arc::default()), section: Arc::default() }
    }

    /// A folder that holds the `/proc`, `/sys` and `/etc` of some host. Links in it stay in it. The room on its file
    /// systems is not known: asking the kernel would give the figures of the machine that the folder lies on.
    #[must_use]
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        let measure = |_: &Path| Err(io::ErrorKind::Unsupported.into());
        Self { root: root.into(), measure, live: None, section: Arc::default() }
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

    /// `/proc/uptime`.
    ///
    /// # Errors
    /// As [`Host::read`].
    pub(super) fn uptime(&self) -> Result<String, Failure> {
        self.reread("proc/uptime", |live| &live.uptime)
    }

    /// `/proc/loadavg`.
    ///
    /// # Errors
    /// As [`Host::read`].
    pub(super) fn load(&self) -> Result<String, Failure> {
        self.reread("proc/loadavg", |live| &live.load)
    }

    fn reread(&self, path: &str, of: impl FnOnce(&Live) -> &Reread) -> Result<String, Failure> {
        match &self.live {
            None => self.read(path),
            Some(live) => of(live).read(|| Ok(self.open(path, OFlags::empty())?.into())).map_err(|error| {
                Failure::new(Code::ToolFailed, format!("this host does not show {path}")).because(error)
            }),
        }
    }

    /// When the host started, in seconds since the Unix epoch. Of this machine it is asked without `/proc/stat`, for which
    /// the kernel counts all interrupts there ever were.
    pub(super) fn booted(&self) -> Option<u64> {
        match self.live {
            Some(_) => u64::try_from(crate::clock::booted().seconds()).ok(),
            None => KernelStat::parse(&self.find("proc/stat")?)?.boot_seconds,
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
        let most = u64::try_from(cap).unwrap_or(u64::MAX).min(budget::room()).saturating_add(1);
        let file = match self.open(path, OFlags::empty()) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return self.through_the_lookout(path, cap, error);
            }
            opened => File::from(opened?),
        };
        // Room for most files at once: the kernel makes many of them anew for each read.
        let mut bytes = Vec::with_capacity(8192);
        file.take(most).read_to_end(&mut bytes)?;
        budget::hold(bytes.len())?;
        let more = bytes.len() > cap;
        bytes.truncate(cap);
        Ok((bytes, more))
    }

    /// What the sandbox keeps shut, and has a lookout for.
    fn through_the_lookout(&self, path: &str, cap: usize, denied: io::Error) -> io::Result<(Vec<u8>, bool)> {
        let pid = path.strip_prefix("proc/").and_then(|rest| rest.strip_suffix("/environ")?.parse().ok());
        let room = usize::try_from(budget::room()).unwrap_or(usize::MAX);
        match pid.filter(|_| self.root == Path::new("/")).and_then(|pid| lookout::environment(pid, cap.min(room))) {
            Some(found) => {
                let (bytes, more) = found?;
                budget::hold(bytes.len())?;
                Ok((bytes, more))
            }
            None => Err(denied),
        }
    }

    /// The first `cap` bytes of a regular file as text, and whether there are more. What is no regular file is not even
    /// opened: users can put links where this looks, and of some devices the opening alone has effects.
    pub(super) fn text(&self, path: &str, cap: usize) -> io::Result<(String, bool)> {
        let found = self.resolve(path, OFlags::PATH | OFlags::CLOEXEC)?;
        if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        let (bytes, more) = match rustix::fs::open(again, READ, Mode::empty()) {
            Err(rustix::io::Errno::ACCESS) => {
                self.through_the_lookout(path, cap, io::ErrorKind::PermissionDenied.into())?
            }
            opened => regular(opened?, cap)?,
        };
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Ok((text, more))
    }

    /// A directory, for whoever goes on from it by himself.
    pub(super) fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        self.open(path, OFlags::DIRECTORY)
    }

    /// Whether there is something at this path, readable or not.
    pub(super) fn has(&self, path: &str) -> bool {
        self.open(path, OFlags::empty()).map_or_else(|error| error.kind() == io::ErrorKind::PermissionDenied, |_| true)
    }

    /// Calls `each` with the name of every link in a directory and where it points, in the order of the kernel.
    pub(super) fn links(&self, path: &str, mut each: impl FnMut(&str, String)) -> io::Result<()> {
        let opened = match self.open(path, OFlags::DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return self.links_through_the_lookout(path, error, each);
            }
            opened => opened?,
        };
        let mut directory = Dir::new(opened)?;
        while let Some(entry) = directory.read() {
            let entry = entry?;
            let target = match readlinkat(directory.fd()?, entry.file_name(), Vec::new()) {
                // The sandbox lets the names be seen and not where they lead.
                Err(rustix::io::Errno::ACCESS) => {
                    return self.links_through_the_lookout(path, io::ErrorKind::PermissionDenied.into(), each);
                }
                Err(_) => continue,
                Ok(target) => target,
            };
            if let Ok(name) = entry.file_name().to_str() {
                each(name, target.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }

    /// The open files of a process, which the sandbox keeps shut as well.
    fn links_through_the_lookout(
        &self,
        path: &str,
        denied: io::Error,
        mut each: impl FnMut(&str, String),
    ) -> io::Result<()> {
        let pid = path.strip_prefix("proc/").and_then(|rest| rest.strip_suffix("/fd")?.parse().ok());
        let found = pid.filter(|_| self.is_this()).and_then(lookout::descriptors).ok_or(denied)??;
        found.into_iter().for_each(|(name, target)| each(&name, target));
        Ok(())
    }

    /// The names in a directory, sorted; none when it cannot be read.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        self.names(path).unwrap_or_default()
    }

    /// The same, and why it cannot be read.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        listed(self.open(path, OFlags::DIRECTORY)?)
    }

    /// A regular file to read parts of, and what is known of it. A pipe, a socket or a device is none.
    pub(super) fn file(&self, path: &str) -> io::Result<(File, Metadata)> {
        only_regular(File::from(self.open(path, OFlags::empty())?))
    }

    /// The same for `path` within `directory`, which neither the path nor a link on it may leave.
    pub(super) fn file_within(&self, directory: &str, path: &str) -> io::Result<(File, Metadata)> {
        only_regular(File::from(self.within(directory, path, OFlags::empty())?))
    }

    /// The names in `folder`, a path below the root that neither leaves `directory` nor is reached by a link, sorted.
    pub(super) fn list_within(&self, directory: &str, folder: &str) -> Vec<String> {
        let inside = folder.strip_prefix(directory).map(|rest| rest.trim_start_matches('/'));
        let inside = inside.map(|rest| if rest.is_empty() { "." } else { rest });
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        inside.and_then(|inside| listed(self.within(directory, inside, flags).ok()?).ok()).unwrap_or_default()
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

    /// The room on the file system that is mounted at `mount_point`. This can hang when its server is gone.
    pub(super) fn space(&self, mount_point: &str) -> io::Result<Space> {
        (self.measure)(Path::new(mount_point))
    }

    fn within(&self, directory: &str, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let directory = self.open(directory, OFlags::DIRECTORY)?;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(directory, path, flags | READ, Mode::empty(), within)?)
    }

    /// Opens without waiting, so a pipe in the folder holds nobody up.
    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        self.resolve(path, flags | READ)
    }

    /// The kernel keeps links inside a folder; the machine's own root has no outside, and older kernels have no `openat2`.
    fn resolve(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        budget::open()?;
        let path = Path::new(path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if self.is_this() {
            return Ok(rustix::fs::open(self.root.join(path), flags, Mode::empty())?);
        }
        let root = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, root, Mode::empty())?;
        Ok(openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)?)
    }
}

/// The names in a directory, sorted, up to a number that no honest host reaches.
fn listed(directory: OwnedFd) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = Dir::new(directory)?
        .take(ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .collect();
    budget::hold(names.iter().map(|name| size_of::<String>().saturating_add(name.len())).sum())?;
    names.sort_unstable();
    Ok(names)
}

fn only_regular(file: File) -> io::Result<(File, Metadata)> {
    let about = file.metadata()?;
    if about.is_file() { Ok((file, about)) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The first `cap` bytes of what is open.
pub(super) fn beginning(open: impl io::Read, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open.take(cap.min(budget::room().saturating_add(1))).read_to_end(&mut bytes)?;
    budget::hold(bytes.len())?;
    Ok(bytes)
}

/// The first `cap` bytes of what was opened, and whether there are more, if it is a regular file.
pub(super) fn regular(file: OwnedFd, cap: usize) -> io::Result<(Vec<u8>, bool)> {
    let about = fstat(&file)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    // The kernel gives some of its files the size 0 or 4096 whatever is in them.
    let room = usize::try_from(about.st_size).unwrap_or(0).clamp(4096, cap.max(4096)).saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    let most = u64::try_from(cap).unwrap_or(u64::MAX).min(budget::room()).saturating_add(1);
    File::from(file).take(most).read_to_end(&mut bytes)?;
    budget::hold(bytes.len())?;
    let more = bytes.len() > cap;
    bytes.truncate(cap);
    Ok((bytes, more))
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
    fn only_a_regular_file_is_read_as_text() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("file"), "a\u{e9}\n").unwrap();
        std::fs::create_dir(root.path().join("folder")).unwrap();
        symlink("file", root.path().join("link")).unwrap();
        symlink("self", root.path().join("self")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, root.path().join("pipe"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let host = Host::folder(root.path());
        assert_eq!(host.text("link", 16).unwrap(), ("a\u{e9}\n".to_owned(), false));
        assert_eq!(host.text("file", 2).unwrap(), ("a\u{fffd}".to_owned(), true));
        for path in ["folder", "pipe", "self", "none", "../file"] {
            assert!(host.text(path, 16).is_err(), "{path}");
        }
        assert!(Host::this().text("dev/null", 16).is_err());
        assert!(Host::this().text("proc/self/status", 1 << 20).unwrap().0.starts_with("Name:"));
    }

    #[test]
    fn a_folder_knows_no_room_and_the_machine_knows_its_own() {
        assert!(Host::folder("/").space("/").is_err());
        assert!(Host::this().space("/").unwrap().size > 0);
    }
}
