//! A host is a folder: every file is read below one root, up to a cap, and no path leads out of it.

mod files;
mod processes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2, readlinkat};
use rustix::io::Errno;

use super::SystemSection;
use super::budget;
use super::kernel_stat::KernelStat;
use super::quantity::fixed;
use super::reread::Reread;
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Failure};
use crate::guard::{RedactionSection, Redactor};

use files::listed;
pub(super) use files::{beginning, regular};

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
    /// The directories of the configuration, by device and inode, as they were when it was read or first looked into.
    places: Arc<Places>,
    /// `None` for the rules that are built in.
    redactor: Option<Arc<Redactor>>,
}

type Places = Mutex<BTreeMap<String, (u64, u64)>>;

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
        Self {
            root: PathBuf::from("/"),
            measure: statvfs,
            live: Some(Arc::default()),
            section: Arc::default(),
            places: Arc::default(),
            redactor: None,
        }
    }

    /// A folder that holds the `/proc`, `/sys` and `/etc` of some host. Links in it stay in it. The room on its file
    /// systems is not known: asking the kernel would give the figures of the machine that the folder lies on.
    #[must_use]
    pub fn folder(root: impl Into<PathBuf>) -> Self {
        let measure = |_: &Path| Err(io::ErrorKind::Unsupported.into());
        Self { root: root.into(), measure, live: None, section: Arc::default(), places: Arc::default(), redactor: None }
    }

    /// The same host with all that the configuration opens of it.
    #[must_use]
    pub fn opened(self, section: &SystemSection) -> Self {
        let host = Self { section: Arc::new(section.clone()), places: Arc::default(), ..self };
        for path in section.app_logs.iter().filter_map(|path| path.to_str()) {
            // One that is not there yet is taken as it is when it is first looked into.
            let _ = host.place(path.trim_matches('/'));
        }
        host
    }

    /// The same host with the rules of the configuration about what is a secret.
    #[must_use]
    pub fn redacting(self, redactor: &Arc<Redactor>) -> Self {
        Self { redactor: Some(Arc::clone(redactor)), ..self }
    }

    /// For texts that are filtered or cut before they are an answer: secrets go first.
    ///
    /// # Errors
    /// [`Code::Config`], which a test keeps from happening.
    pub(super) fn redactor(&self) -> Result<Arc<Redactor>, Failure> {
        match &self.redactor {
            Some(redactor) => Ok(Arc::clone(redactor)),
            None => Redactor::new(&RedactionSection::default()).map(Arc::new),
        }
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

    /// The names in a directory, sorted; none when it cannot be read.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        self.names(path).unwrap_or_default()
    }

    /// The same, and why it cannot be read.
    pub(super) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        listed(self.open(path, OFlags::DIRECTORY)?)
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
