//! Files and TCP ports: landlock(7). A rule holds for what lies at a path when it is made, and for all that is below it
//! later; a file that is replaced is another one.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
    Scope,
};

use super::{Plan, Standing};

/// What is asked for: Linux 6.12. An older kernel gives what it knows of it.
const WANTED: ABI = ABI::V6;

/// Where programs and what they load lie.
const PROGRAMS: [&str; 9] =
    ["/bin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/lib", "/lib32", "/lib64", "/sbin", "/usr", "/etc/alternatives"];

/// What programs that are started are given as standard input.
const NOTHING: &str = "/dev/null";

/// Leaves open what `plan` says.
pub(super) fn restrict(plan: &Plan) -> Standing {
    match ruled(plan) {
        Ok(status) => match status.ruleset {
            RulesetStatus::FullyEnforced => Standing::Whole,
            RulesetStatus::PartiallyEnforced => {
                Standing::Partly("this kernel's landlock is older than that of Linux 6.12".to_owned())
            }
            RulesetStatus::NotEnforced => Standing::Missing("this kernel has no landlock".to_owned()),
        },
        Err(error) => Standing::Missing(error.to_string()),
    }
}

fn ruled(plan: &Plan) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()?;
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    for path in &plan.read {
        rules = open(rules, path, reading)?;
    }
    for path in &plan.write {
        let all = AccessFs::from_all(WANTED);
        rules = open(rules, path, all & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar))?;
    }
    if plan.programs {
        for path in PROGRAMS {
            rules = open(rules, Path::new(path), reading | AccessFs::Execute)?;
        }
        rules = open(rules, Path::new(NOTHING), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    for port in &plan.listen {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    for port in &plan.connect {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules.restrict_self()
}

/// How much of it this kernel knows; nothing is restricted by asking.
pub(super) fn given() -> Standing {
    const OLDER: [(ABI, u8); 5] = [(ABI::V5, 5), (ABI::V4, 4), (ABI::V3, 3), (ABI::V2, 2), (ABI::V1, 1)];
    if knows(WANTED) {
        return Standing::Whole;
    }
    match OLDER.into_iter().find(|(abi, _)| knows(*abi)) {
        Some((_, number)) => {
            Standing::Partly(format!("this kernel's landlock has version {number}, that of Linux 6.12 has 6"))
        }
        None => Standing::Missing("this kernel has no landlock".to_owned()),
    }
}

fn knows(abi: ABI) -> bool {
    let rules = || {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(abi))?;
        // Asked for nothing at all it would be an error.
        if !AccessNet::from_all(abi).is_empty() {
            rules = rules.handle_access(AccessNet::from_all(abi))?;
        }
        if !Scope::from_all(abi).is_empty() {
            rules = rules.scope(Scope::from_all(abi))?;
        }
        rules.create()
    };
    rules().is_ok()
}

/// What is not there cannot be opened, and nothing is lost by that.
fn open(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, RulesetError> {
    let (Ok(there), Ok(metadata)) = (PathFd::new(path), path.metadata()) else { return Ok(rules) };
    let access = if metadata.is_dir() { access } else { access & AccessFs::from_file(WANTED) };
    rules.add_rule(PathBeneath::new(there, access))
}

/// A file that was opened for itself.
#[derive(Debug)]
pub(super) struct Fixed {
    pub(super) path: PathBuf,
    device: u64,
    inode: u64,
}

impl Fixed {
    fn at(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok().filter(|metadata| metadata.is_file())?;
        Some(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    /// Whether the same file is there. Looking is not restricted.
    pub(super) fn is_same(&self) -> bool {
        Self::at(&self.path).is_some_and(|now| (now.device, now.inode) == (self.device, self.inode))
    }
}

/// The files that are opened each for itself: when one is replaced, its successor stays shut.
pub(super) fn fixed(plan: &Plan) -> Vec<Fixed> {
    let alone = |path: &&PathBuf| !plan.read.iter().any(|open| open != *path && path.starts_with(open));
    plan.read.iter().filter(alone).filter_map(|path| Fixed::at(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_noticed_and_one_that_is_rewritten_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwd");
        std::fs::write(&path, "one").unwrap();
        let fixed = Fixed::at(&path).unwrap();
        std::fs::write(&path, "two").unwrap();
        assert!(fixed.is_same());
        std::fs::write(folder.path().join("next"), "three").unwrap();
        std::fs::rename(folder.path().join("next"), &path).unwrap();
        assert!(!fixed.is_same());
        assert!(Fixed::at(folder.path()).is_none(), "what is put into a directory later is open as well");
    }

    #[test]
    fn only_what_lies_in_no_open_directory_is_fixed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let mut plan = Plan { read: [path.clone()].into(), ..Plan::default() };
        assert_eq!(fixed(&plan).len(), 1);
        plan.read.insert(folder.path().to_owned());
        assert_eq!(fixed(&plan).len(), 0);
    }
}
