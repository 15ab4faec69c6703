//! What other processes have: where the sandbox keeps it shut, the lookout tells it.

use std::io;
use std::ops::ControlFlow;

use super::{Host, budget};
use crate::sandbox::descriptor::{self, Access, Descriptor};
use crate::sandbox::lookout;

impl Host {
    /// Gives `take` every open file of a process, in the order of the kernel, until it breaks off; says whether there was
    /// no more to give. What the sandbox keeps shut is asked of the lookout, which tells no end of them.
    pub(in crate::toolsets::system) fn open_files(
        &self,
        pid: u32,
        mut take: impl FnMut(Descriptor) -> ControlFlow<()>,
    ) -> io::Result<bool> {
        let told = |mut one: Descriptor| {
            if !self.is_this() {
                // Links in a folder are like any others; the files beside them say it.
                let info = self.find(&format!("proc/{pid}/fdinfo/{}", one.number));
                one.access = info.as_deref().and_then(Access::of_flags);
                one.lost = None;
            }
            take(one)
        };
        match self.directory(&format!("proc/{pid}/fd")).and_then(|directory| descriptor::each(directory, told)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.is_this() => {
                let (found, whole) = lookout::descriptors(pid).ok_or(error)??;
                let _ = found.into_iter().try_for_each(take);
                Ok(whole)
            }
            found => found.map(|()| true),
        }
    }

    /// What the sandbox keeps shut, and has a lookout for.
    pub(super) fn through_the_lookout(&self, path: &str, cap: usize, denied: io::Error) -> io::Result<(Vec<u8>, bool)> {
        let pid = path.strip_prefix("proc/").and_then(|rest| rest.strip_suffix("/environ")?.parse().ok());
        let room = usize::try_from(budget::room()).unwrap_or(usize::MAX);
        match pid.filter(|_| self.is_this()).and_then(|pid| lookout::environment(pid, cap.min(room))) {
            Some(found) => {
                let (bytes, more) = found?;
                budget::hold(bytes.len())?;
                Ok((bytes, more))
            }
            None => Err(denied),
        }
    }
}
