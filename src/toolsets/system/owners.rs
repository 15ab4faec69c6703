//! Which process holds a socket: the open files of each process name it. Of other users' processes only root may know.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::Serialize;

use super::host::ENTRIES;
use super::query::Ask;
use crate::error::Failure;

/// The most sockets that are kept: more than one process may open by default, times a thousand.
const SOCKETS: usize = 1 << 20;

/// A process that holds a socket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
pub(super) struct Owner {
    /// Its process id.
    pid: u32,
    /// Its name; the kernel keeps 15 bytes of a program's.
    name: String,
}

/// Who holds what.
#[derive(Default, Debug)]
pub(super) struct Owners {
    by_inode: HashMap<u64, BTreeSet<Owner>>,
    /// Number of processes that keep their open files from the daemon, or have too many to look at.
    pub(super) closed_processes: usize,
}

/// Of which sockets the owners are looked for.
pub(super) enum Wanted<'a> {
    /// Of these, by inode.
    Sockets(&'a HashSet<u64>),
    /// Of all that processes with this in their name hold; in small letters.
    Named(&'a str),
}

impl Owners {
    /// Looks through the open files of every process.
    ///
    /// # Errors
    /// When nobody waits for the answer any more.
    pub(super) fn find(ask: &Ask<'_>, wanted: &Wanted<'_>) -> Result<Self, Failure> {
        let mut found = Self::default();
        if matches!(wanted, Wanted::Sockets(inodes) if inodes.is_empty()) {
            return Ok(found);
        }
        for folder in ask.host.list("proc") {
            let Ok(pid) = folder.parse::<u32>() else { continue };
            ask.go_on()?;
            let _passing = ask.passing();
            found.look(ask, pid, wanted);
        }
        Ok(found)
    }

    fn look(&mut self, ask: &Ask<'_>, pid: u32, wanted: &Wanted<'_>) {
        let name = || ask.host.line(&format!("proc/{pid}/comm")).unwrap_or_default();
        if let Wanted::Named(part) = wanted
            && !name().to_lowercase().contains(part)
        {
            return;
        }
        let mut owner = None;
        let mut files = 0_usize;
        let told = ask.host.open_files(pid, |file| {
            files = files.saturating_add(1);
            if let Some(inode) = inode(&file.target)
                && match wanted {
                    Wanted::Sockets(inodes) => inodes.contains(&inode),
                    Wanted::Named(_) => self.by_inode.len() < SOCKETS,
                }
            {
                let owner = owner.get_or_insert_with(|| Owner { pid, name: name() });
                self.by_inode.entry(inode).or_default().insert(owner.clone());
            }
            if files < ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        let closed = match told {
            Ok(whole) => !whole || files >= ENTRIES,
            Err(error) => error.kind() == ErrorKind::PermissionDenied,
        };
        if closed {
            self.closed_processes = self.closed_processes.saturating_add(1);
        }
    }

    /// Whether a process is known that holds it.
    pub(super) fn knows(&self, inode: u64) -> bool {
        self.by_inode.contains_key(&inode)
    }

    /// The processes that hold it, by process id.
    pub(super) fn of(&self, inode: u64) -> Vec<Owner> {
        self.by_inode.get(&inode).map(|owners| owners.iter().cloned().collect()).unwrap_or_default()
    }
}

/// From a link such as `socket:[15102]`.
fn inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_have_an_inode_that_counts() {
        assert_eq!(inode("socket:[15102]"), Some(15_102));
        for link in ["", "pipe:[7]", "/dev/null", "socket:[x]", "socket:[7", "anon_inode:[eventpoll]"] {
            assert_eq!(inode(link), None, "{link}");
        }
    }
}
