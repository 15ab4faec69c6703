//! What a journal finds when it is opened: where the chain has come to, and whether the last one ended as it should. Only
//! what its own key signed is believed.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use super::chain::Head;
use super::checkpoint::{Cause, Checkpoint};
use super::file::Opened;
use super::headfile::HeadFile;
use super::layout::Layout;
use super::tail::{Last, last_record, last_record_of_plain};
use crate::pki::PublicKey;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The next record follows this one.
    pub(super) head: Head,
    /// What was not as a clean stop leaves it, in words; `None` when all was.
    pub(super) unclean: Option<String>,
}

/// The lock that keeps two processes from writing one chain; the kernel lets go of it when this process ends.
pub(super) fn lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR);
    locked(File::from(opened.map_err(|error| beside(path, error))?))
}

/// The cause names the file: it stands beside the one that the configuration names, and is not it.
pub(super) fn beside(path: &Path, error: rustix::io::Errno) -> io::Error {
    let name = path.file_name().unwrap_or(path.as_os_str());
    io::Error::other(format!("{}: {}", name.display(), io::Error::from(error)))
}

/// A file that no other process has locked.
pub(super) fn locked(file: File) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(io::Error::other("another process writes it; give each its own audit.path"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Looks at what is there: the file that was just opened, else the newest of the others, and the head that was noted.
pub(super) fn find(layout: &Layout, opened: &Opened, noted: &HeadFile, key: &PublicKey) -> io::Result<Found> {
    let mut said = Vec::new();
    let written = match opened.size {
        0 => newest(layout, &mut said)?,
        _ => last_record_of_plain(layout.active())?,
    };
    let stopped = written.as_ref().is_some_and(|last| is_stop(last, key));
    let head = written.as_ref().map_or(Head::START, |last| last.head);
    let noted = noted.read(key);
    match noted {
        Some(noted) if noted.seq > head.seq => said.push(format!(
            "records {} to {} were written and are not here: moved away, cut off or lost with the machine",
            head.seq.saturating_add(1),
            noted.seq
        )),
        Some(noted) if noted.seq == head.seq && noted.hash != head.hash => {
            said.push(format!("record {} is not the one that was written", head.seq));
        }
        Some(_) => {}
        None if written.is_some() => {
            said.push(format!("{} has no word of it that its key signed", layout.beside("head").display()));
        }
        None => {}
    }
    if written.is_some() && !stopped {
        said.push(format!("it ends at record {} without a stop that its key signed", head.seq));
    }
    if let Some(torn) = &opened.torn {
        said.push(format!("what stood after its last whole record is in {}", torn.display()));
    }
    let head = noted.filter(|noted| noted.seq > head.seq).unwrap_or(head);
    Ok(Found { head, unclean: (!said.is_empty()).then(|| said.join("; ")) })
}

fn is_stop(last: &Last, key: &PublicKey) -> bool {
    let checkpoint = Checkpoint::parse(&last.line);
    checkpoint.is_some_and(|checkpoint| checkpoint.cause == Cause::Stop && checkpoint.is_signed_by(key))
}

/// The last record of the files besides the active one. What is another user's is not asked, and what cannot be read is
/// told and passed over.
fn newest(layout: &Layout, said: &mut Vec<String>) -> io::Result<Option<Last>> {
    let others = layout.segments()?.into_iter().filter(|segment| segment.path != layout.active());
    for segment in others.rev().filter(|segment| segment.first.is_some()) {
        if !is_ours(&segment.path) {
            said.push(format!("{} is another user's", segment.path.display()));
            continue;
        }
        let compressed = segment.path.extension().is_some_and(|ending| ending == "gz");
        match if compressed { last_record(&segment.path) } else { last_record_of_plain(&segment.path) } {
            Ok(Some(last)) => return Ok(Some(last)),
            Ok(None) => {}
            Err(error) => said.push(format!("{} cannot be read: {error}", segment.path.display())),
        }
    }
    Ok(None)
}

/// Whether a file is a regular one of this process's user.
pub(super) fn is_ours(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.uid() == geteuid().as_raw())
}
