//! What is opened to be read in parts, or below a directory of the configuration that nothing may lead out of.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::sync::PoisonError;

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::{ENTRIES, Host, READ, budget};

impl Host {
    /// A regular file to read parts of, and what is known of it. A pipe, a socket or a device is none.
    pub(in crate::toolsets::system) fn file(&self, path: &str) -> io::Result<(File, Metadata)> {
        only_regular(File::from(self.open(path, OFlags::empty())?))
    }

    /// The same for `path` within `directory`, which neither the path nor a link on it may leave.
    pub(in crate::toolsets::system) fn file_within(&self, directory: &str, path: &str) -> io::Result<(File, Metadata)> {
        only_regular(File::from(self.within(directory, path, OFlags::empty())?))
    }

    /// The names in `folder`, a path below the root that neither leaves `directory` nor is reached by a link, sorted.
    pub(in crate::toolsets::system) fn list_within(&self, directory: &str, folder: &str) -> Vec<String> {
        let inside = folder.strip_prefix(directory).map(|rest| rest.trim_start_matches('/'));
        let inside = inside.map(|rest| if rest.is_empty() { "." } else { rest });
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
        inside.and_then(|inside| listed(self.within(directory, inside, flags).ok()?).ok()).unwrap_or_default()
    }

    /// A device that gives a record a read and never blocks; in a folder, a file with the records.
    pub(in crate::toolsets::system) fn device(&self, path: &str) -> io::Result<File> {
        Ok(File::from(self.open(path, OFlags::empty())?))
    }

    /// Opens a directory of the configuration, if it is the one that it was: a link or a directory that was put in its
    /// place since would lead elsewhere.
    ///
    /// # Errors
    /// [`io::ErrorKind::StaleNetworkFileHandle`] when it is another.
    pub(in crate::toolsets::system) fn place(&self, directory: &str) -> io::Result<OwnedFd> {
        let opened = self.open(directory, OFlags::DIRECTORY)?;
        let about = fstat(&opened)?;
        let is = (about.st_dev, about.st_ino);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        match *places.entry(directory.to_owned()).or_insert(is) == is {
            true => Ok(opened),
            false => Err(io::ErrorKind::StaleNetworkFileHandle.into()),
        }
    }

    fn within(&self, directory: &str, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let directory = self.place(directory)?;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(directory, path, flags | READ, Mode::empty(), within)?)
    }
}

/// The names in a directory, sorted, up to a number that no honest host reaches.
pub(super) fn listed(directory: OwnedFd) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = Dir::new(directory)?
        .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .take(ENTRIES)
        .collect();
    budget::hold(names.iter().map(|name| size_of::<String>().saturating_add(name.len())).sum())?;
    names.sort_unstable();
    Ok(names)
}

fn only_regular(file: File) -> io::Result<(File, Metadata)> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok((file, about))
}

/// The first `cap` bytes of what is open.
pub(in crate::toolsets::system) fn beginning(open: impl io::Read, cap: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open.take(cap.min(budget::room().saturating_add(1))).read_to_end(&mut bytes)?;
    budget::hold(bytes.len())?;
    Ok(bytes)
}

/// The first `cap` bytes of what was opened, and whether there are more, if it is a regular file.
pub(in crate::toolsets::system) fn regular(file: OwnedFd, cap: usize) -> io::Result<(Vec<u8>, bool)> {
    let (file, about) = only_regular(File::from(file))?;
    // The kernel gives some of its files the size 0 or 4096 whatever is in them.
    let room = usize::try_from(about.len()).unwrap_or(0).clamp(4096, cap.max(4096)).saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    let most = u64::try_from(cap).unwrap_or(u64::MAX).min(budget::room()).saturating_add(1);
    file.take(most).read_to_end(&mut bytes)?;
    budget::hold(bytes.len())?;
    let more = bytes.len() > cap;
    bytes.truncate(cap);
    Ok((bytes, more))
}
