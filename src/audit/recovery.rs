//! What a journal finds when it is opened: where the chain has come to, and whether the last one ended as it should.

use std::fs::File;
use std::io;

use rustix::fs::{Mode, OFlags};

use super::chain::Head;
use super::file::Opened;
use super::headfile::HeadFile;
use super::layout::Layout;
use super::tail::{last_record, last_record_of_plain};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// The next record follows this one.
    pub(super) head: Head,
    /// What was not as a clean stop leaves it, in words; `None` when all was.
    pub(super) unclean: Option<String>,
}

/// The lock that keeps two processes from writing one chain; the kernel lets go of it when this process ends.
pub(super) fn lock(layout: &Layout) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = layout.beside("lock");
    let file = File::from(rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)?);
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(io::Error::other("another process writes it; give each its own audit.path"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Looks at what is there: the file that was just opened, else the newest of the others, and the head that was noted.
pub(super) fn find(layout: &Layout, opened: &Opened, noted: &HeadFile) -> io::Result<Found> {
    let written = match opened.size {
        0 => newest(layout)?,
        _ => last_record_of_plain(layout.active())?,
    };
    let (head, stopped) = written.unwrap_or((Head::START, false));
    let noted = noted.read();
    let mut said = Vec::new();
    if let Some(noted) = noted {
        if noted.seq > head.seq {
            let first = head.seq.saturating_add(1);
            said.push(format!(
                "records {first} to {} were written and are not here: moved away, cut off or lost with the machine",
                noted.seq
            ));
        } else if noted.seq == head.seq && noted.hash != head.hash {
            said.push(format!("record {} is not the one that was written", head.seq));
        }
    }
    if written.is_some() && !stopped {
        said.push(format!("it ends at record {} without a stop", head.seq));
    }
    if let Some(torn) = &opened.torn {
        said.push(format!("what stood after its last whole record is in {}", torn.display()));
    }
    let head = noted.filter(|noted| noted.seq > head.seq).unwrap_or(head);
    Ok(Found { head, unclean: (!said.is_empty()).then(|| said.join("; ")) })
}

/// The last record of the files besides the active one.
fn newest(layout: &Layout) -> io::Result<Option<(Head, bool)>> {
    let mut newest: Option<(Head, bool)> = None;
    let others = layout.segments()?.into_iter().filter(|segment| segment.path != layout.active());
    // Names do not bind what others rotated; but the last file by first record holds the last record.
    for segment in others.rev().filter(|segment| segment.first.is_some()) {
        let compressed = segment.path.extension().is_some_and(|ending| ending == "gz");
        let last = if compressed { last_record(&segment.path)? } else { last_record_of_plain(&segment.path)? };
        if let Some(last) = last
            && newest.is_none_or(|(head, _)| last.0.seq > head.seq)
        {
            newest = Some(last);
        }
        if newest.is_some() {
            break;
        }
    }
    Ok(newest)
}
