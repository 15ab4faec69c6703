//! A host is a folder: every file is read below one root, up to a cap, and no path leads out of it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};
use rustix::io::Errno;

use super::SystemSection;
use super::budget;
use super::kernel_stat::KernelStat;
use super::reread::Reread;
use crate::error::{Code, Failure};
use crate::sandbox::descriptor::{self, Access, Descriptor};
use crate::sandbox::lookout;

/// The largest file that is read whole: `/proc/cpuinfo` of a machine with 2048 processors fits.
const FILE_BYTES: usize = 4 << 20;

/// The longest directory that is listed: four times the default greatest process id.
pub(super) const ENTRIES: usize = 4 * 32_768;

/// The most of a file that is read line by line: `/proc/net/tcp` with 400000 connections.
const STREAM_BYTES: u64 = 64 << 20;

/// The longest line that is kept of such a file; what stands behind is passed over.
const LINE_BYTES: u64 = 64 << 10;

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

    /// Gives a file to `take` line by line, until it breaks off: for files that grow with what the host does. Long lines
    /// are cut. Returns whether the whole file was read.
    pub(super) fn each_line(&self, path: &str, mut take: impl FnMut(&str) -> ControlFlow<()>) -> io::Result<bool> {
        let file = File::from(self.open(path, OFlags::empty())?);
        let mut reader = BufReader::with_capacity(32 << 10, file.take(STREAM_BYTES));
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(reader.into_inner().limit() > 0);
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            } else {
                reader.skip_until(b'\n')?;
            }
            if take(&String::from_utf8_lossy(&line)).is_break() {
                return Ok(false);
            }
        }
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
            Err(Errno::ACCESS) => self.through_the_lookout(path, cap, io::ErrorKind::PermissionDenied.into())?,
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

    /// Gives `take` every open file of a process, in the order of the kernel, until it breaks off. What the sandbox keeps
    /// shut is asked of the lookout.
    pub(super) fn open_files(&self, pid: u32, mut take: impl FnMut(Descriptor) -> ControlFlow<()>) -> io::Result<()> {
        let told = |mut one: Descriptor| {
            if !self.is_this() {
                // Links in a folder are like any others; the files beside them say it.
                let info = self.find(&format!("proc/{pid}/fdinfo/{}", one.number));
                one.access = info.as_deref().and_then(Access::of_flags);
            }
            take(one)
        };
        match self.directory(&format!("proc/{pid}/fd")).and_then(|directory| descriptor::each(directory, told)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.is_this() => {
                let _ = lookout::descriptors(pid).ok_or(error)??.into_iter().try_for_each(take);
                Ok(())
            }
            found => found,
        }
    }

    /// The names in a directory, sorted; none when it cannot be read.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        self.names(path).unwrap_or_default()
    }

    /// The names in a directory, sorted, up to a number that no honest host reaches.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let directory = Dir::new(self.open(path, OFlags::DIRECTORY)?)?;
        let mut names: Vec<String> = directory
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name != "." && name != "..")
            .take(ENTRIES)
            .collect();
        budget::hold(names.iter().map(|name| size_of::<String>().saturating_add(name.len())).sum())?;
        names.sort_unstable();
        Ok(names)
    }

    /// Where a link leads, in words; `None` of what is no link.
    pub(super) fn link(&self, path: &str) -> Option<String> {
        let target = if self.is_this() {
            // The folder it lies in may be shut, and a link in it be read all the same.
            let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
            readlinkat(rustix::fs::CWD, self.root.join(path), Vec::new()).ok().filter(|_| plain)?
        } else {
            let (folder, name) = path.rsplit_once('/')?;
            readlinkat(self.open(folder, OFlags::DIRECTORY).ok()?, name, Vec::new()).ok()?
        };
        Some(target.to_string_lossy().into_owned())
    }

    /// The last name in where a link leads: the driver of a device, for one.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        self.link(path)?.rsplit('/').next().map(str::to_owned).filter(|name| !name.is_empty())
    }

    /// The room on the file system that is mounted at `mount_point`. This can hang when its server is gone.
    pub(super) fn space(&self, mount_point: &str) -> io::Result<Space> {
        (self.measure)(Path::new(mount_point))
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
    fn a_long_file_is_read_line_by_line_and_no_further_than_the_cap() {
        let root = tempfile::tempdir().unwrap();
        let long = "y".repeat(usize::try_from(LINE_BYTES).unwrap() + 9);
        std::fs::write(root.path().join("lines"), format!("one\n{long}\n\nlast")).unwrap();
        let host = Host::folder(root.path());
        let mut lengths = Vec::new();
        let mut take = |line: &str| {
            lengths.push(line.len());
            ControlFlow::Continue(())
        };
        assert!(host.each_line("lines", &mut take).unwrap());
        assert_eq!(lengths, [3, usize::try_from(LINE_BYTES).unwrap(), 0, 4]);
        assert!(!host.each_line("lines", |_| ControlFlow::Break(())).unwrap());
        let sparse = File::create(root.path().join("sparse")).unwrap();
        sparse.set_len(STREAM_BYTES + 1).unwrap();
        assert!(!host.each_line("sparse", |_| ControlFlow::Continue(())).unwrap());
        assert!(host.each_line("gone", |_| ControlFlow::Continue(())).is_err());
    }

    #[test]
    fn links_are_read_and_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let fd = root.path().join("fd");
        std::fs::create_dir(&fd).unwrap();
        std::fs::write(fd.join("3"), "").unwrap();
        symlink("socket:[42]", fd.join("4")).unwrap();
        symlink("../fd", fd.join("5")).unwrap();
        let host = Host::folder(root.path());
        assert_eq!((host.link("fd/4").as_deref(), host.link("fd/3")), (Some("socket:[42]"), None));
        assert_eq!(host.link_name("fd/5").as_deref(), Some("fd"));
        assert_eq!(host.open_files(7, |_| ControlFlow::Continue(())).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(host.has("fd/3") && !host.has("fd/4"));
    }

    #[test]
    fn a_pipe_and_a_circle_of_links_hold_nobody_up() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        symlink("circle", root.path().join("circle")).unwrap();
        let host = Host::folder(root.path());
        assert_eq!(host.find("pipe").unwrap_or_default(), "");
        assert!(host.each_line("pipe", |_| ControlFlow::Continue(())).is_ok());
        assert!(host.find("circle").is_none() && host.names("circle").is_err());
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
