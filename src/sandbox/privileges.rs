//! Privileges and memory: capabilities(7), no_new_privs, no core dumps, nobody who attaches, nothing in swap.

use std::fmt;

use rustix::io;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use std::collections::BTreeSet;

use super::Standing;

/// One of root's powers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capability(CapabilitySet);

impl Capability {
    /// To listen on ports below 1024.
    pub const NET_BIND_SERVICE: Self = Self(CapabilitySet::NET_BIND_SERVICE);
    /// To have sockets for whole packets.
    pub const NET_RAW: Self = Self(CapabilitySet::NET_RAW);

    /// By its name in capabilities(7), such as `CAP_SYS_PTRACE`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        CapabilitySet::from_name(name.strip_prefix("CAP_")?).map(Self)
    }
}

impl PartialOrd for Capability {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Capability {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.bits().cmp(&other.0.bits())
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.iter_names().next().map_or("UNKNOWN", |(name, _)| name);
        write!(f, "CAP_{name}")
    }
}

/// No core dump, and no process of the same user reads this one's memory or attaches to it.
pub(super) fn keep_memory_inside() -> Standing {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    match setrlimit(Resource::Core, none).and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable)) {
        Ok(()) => Standing::Whole,
        Err(error) => Standing::Missing(error.to_string()),
    }
}

/// Keeps keys and tokens out of swap, with all other memory. A limit on locked memory would one day fail an allocation, so
/// it is done only where there is none.
pub(super) fn lock_memory() -> Standing {
    let all = Rlimit { current: None, maximum: None };
    // Raising the limit takes a privilege that may be there; lifting the soft one to a hard one that is not set does not.
    if setrlimit(Resource::Memlock, all).is_err() || getrlimit(Resource::Memlock).current.is_some() {
        return Standing::Missing("locked memory is limited (LimitMEMLOCK=infinity lifts it)".to_owned());
    }
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => Standing::Whole,
        Err(error) => Standing::Missing(error.to_string()),
    }
}

/// No program that is started gets more than this one has, and this one has no capability but those in `kept`. Of these, a
/// program that is started has those in `handed_on`; without that it would have none, unless this one runs as root.
pub(super) fn drop_all_but(kept: &BTreeSet<Capability>, handed_on: &BTreeSet<Capability>) -> Standing {
    match dropped(kept, handed_on) {
        Ok(left) if left.is_empty() => Standing::Whole,
        Ok(left) => {
            let names: Vec<String> = left.iter().map(|one| Capability(one).to_string()).collect();
            Standing::Partly(format!("{} kept", names.join(", ")))
        }
        Err(error) => Standing::Missing(error.to_string()),
    }
}

/// The capabilities that are left.
fn dropped(kept: &BTreeSet<Capability>, handed_on: &BTreeSet<Capability>) -> io::Result<CapabilitySet> {
    set_no_new_privs(true)?;
    let all = |set: &BTreeSet<Capability>| set.iter().fold(CapabilitySet::empty(), |all, one| all | one.0);
    let kept = all(kept);
    let own = capabilities(None)?;
    // Only who has this one may narrow what programs can get; whoever has not starts none that gets anything.
    if own.effective.contains(CapabilitySet::SETPCAP) {
        for one in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
            if capability_is_in_bounding_set(one).unwrap_or(false) {
                remove_capability_from_bounding_set(one)?;
            }
        }
    }
    clear_ambient_capability_set()?;
    let left = own.permitted & kept;
    let inheritable = left & all(handed_on);
    let next = CapabilitySets { effective: left, permitted: left, inheritable };
    // A supervisor that took them all may have taken the call as well.
    if own != next {
        set_capabilities(None, next)?;
    }
    for one in inheritable.iter() {
        configure_capability_in_ambient_set(one, true)?;
    }
    Ok(capabilities(None)?.permitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_has_the_name_of_the_manual() {
        for name in ["CAP_SYS_PTRACE", "CAP_NET_BIND_SERVICE", "CAP_DAC_READ_SEARCH", "CAP_SYSLOG", "CAP_CHOWN"] {
            assert_eq!(Capability::parse(name).unwrap().to_string(), name);
        }
        for name in ["", "CAP_", "SYS_PTRACE", "cap_sys_ptrace", "CAP_EVERYTHING"] {
            assert!(Capability::parse(name).is_none(), "{name}");
        }
    }
}
