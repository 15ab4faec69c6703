//! The walls around this process: files, ports, system calls, privileges, its memory. They are put up once, before there is
//! a second thread, and never come down; threads and processes that are started later stand within them.
//!
//! What cannot be put up is said and, where the configuration demands it, keeps the program from starting.

mod calls;
pub mod descriptor;
mod files;
pub mod lookout;
mod plan;
mod privileges;
mod settings;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Code, Failure};

pub use plan::{Families, Plan};
pub use privileges::Capability;
pub use settings::{Mode, Processes, SandboxSection};

/// Most users may not lock memory, and then what is secret may be written to swap: no wall, and no reason to warn each time.
const MEMORY: &str = "memory";
const PRIVILEGES: &str = "privileges";
const FILES: &str = "files";
const CALLS: &str = "system calls";
const DUMPS: &str = "dumps";

/// The walls of this process; there is one process.
static ENTERED: OnceLock<Sandbox> = OnceLock::new();

/// How far one wall stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// As it should.
    Whole,
    /// It leaves something open, and what.
    Partly(String),
    /// It does not stand, and why.
    Missing(String),
}

/// A wall by its name, and how far it stands.
pub type Wall = (&'static str, Standing);

/// What was put up.
#[derive(Debug)]
pub struct Sandbox {
    plan: Plan,
    walls: Vec<Wall>,
    watched: Mutex<Vec<files::Fixed>>,
}

/// The sandbox that this process is in, if it is in one.
#[must_use]
pub fn entered() -> Option<&'static Sandbox> {
    ENTERED.get()
}

/// Puts up the walls around `plan`. This thread and all that come after it are within them; those there are already are not,
/// so it is called while there is but one. Nothing is put up when the configuration switches it off.
///
/// # Errors
/// [`Code::Config`] when `mode` is [`Mode::Required`] and a wall does not stand whole, [`Code::Internal`] when there was a
/// sandbox already.
pub fn enter(plan: Plan, mode: Mode) -> Result<Option<&'static Sandbox>, Failure> {
    if mode == Mode::Off {
        return Ok(None);
    }
    if ENTERED.get().is_some() {
        return Err(Failure::new(Code::Internal, "the sandbox was entered before"));
    }
    let dumps = privileges::keep_memory_inside();
    let memory = privileges::lock_memory();
    let watched = files::fixed(&plan);
    let privileges = privileges::drop_all_but(&plan.capabilities, &plan.handed_on);
    let files = files::restrict(&plan);
    let calls = calls::restrict(&plan);
    let walls = vec![(FILES, files), (CALLS, calls), (PRIVILEGES, privileges), (DUMPS, dumps), (MEMORY, memory)];
    let sandbox = Sandbox { plan, walls, watched: Mutex::new(watched) };
    let lacking: Vec<String> = sandbox.lacking().collect();
    if mode == Mode::Required && !lacking.is_empty() {
        let failure = Failure::new(Code::Config, "sandbox.mode is required, and this machine does not give all of it");
        return Err(failure.because(lacking.join("; ")));
    }
    Ok(Some(ENTERED.get_or_init(|| sandbox)))
}

/// What of it this kernel gives, without putting anything up: the walls that not every kernel has.
#[must_use]
pub fn given() -> Vec<Wall> {
    vec![(FILES, files::given()), (CALLS, calls::given())]
}

/// The walls that every door has to have and that do not stand in `told`, which a [`Sandbox`] said of itself. Privileges
/// that the configuration keeps are no gap.
#[must_use]
pub fn lacking_of(told: &str) -> Vec<&'static str> {
    let mut parts = told.split("; ");
    let whole: Vec<&str> = parts.next().unwrap_or_default().split(", ").collect();
    let kept = parts.any(|part| part.starts_with("privileges: CAP_"));
    [FILES, CALLS, PRIVILEGES, DUMPS]
        .into_iter()
        .filter(|wall| !(whole.contains(wall) || kept && *wall == PRIVILEGES))
        .collect()
}

impl Sandbox {
    /// What it leaves open for those within.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Every wall.
    #[must_use]
    pub fn walls(&self) -> &[Wall] {
        &self.walls
    }

    /// The walls that do not stand whole, and why, a line each. Memory is not among them, nor are privileges of which some
    /// are kept: those are what the configuration needs.
    pub fn lacking(&self) -> impl Iterator<Item = String> + '_ {
        let meant = |(name, standing): &&Wall| *name == PRIVILEGES && matches!(standing, Standing::Partly(_));
        self.walls
            .iter()
            .filter(|(name, _)| *name != MEMORY)
            .filter(move |wall| !meant(wall))
            .filter_map(short_of_whole)
    }

    /// Files that were opened one by one and are other files now, so that they can no longer be read. Each is named once.
    pub fn replaced(&self) -> Vec<PathBuf> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let (same, other) = std::mem::take(&mut *watched).into_iter().partition(files::Fixed::is_same);
        *watched = same;
        let other: Vec<files::Fixed> = other;
        other.into_iter().map(|fixed| fixed.path).collect()
    }
}

/// What a wall lacks, such as `files: none, this kernel has no landlock`.
#[must_use]
pub fn short_of_whole((name, standing): &Wall) -> Option<String> {
    match standing {
        Standing::Whole => None,
        Standing::Partly(why) => Some(format!("{name}: {why}")),
        Standing::Missing(why) => Some(format!("{name}: none, {why}")),
    }
}

/// `files, system calls, privileges, dumps; memory: none, …`.
impl fmt::Display for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.walls.iter().filter(|(_, standing)| *standing == Standing::Whole).map(|(name, _)| *name);
        f.write_str(&whole.collect::<Vec<_>>().join(", "))?;
        self.walls.iter().filter_map(short_of_whole).try_for_each(|text| write!(f, "; {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_comes_first_and_what_does_not_says_why() {
        let walls = vec![
            ("files", Standing::Whole),
            ("dumps", Standing::Whole),
            ("privileges", Standing::Partly("CAP_X is kept".to_owned())),
            ("memory", Standing::Missing("it is too small".to_owned())),
        ];
        let sandbox = Sandbox { plan: Plan::default(), walls, watched: Mutex::default() };
        assert_eq!(sandbox.to_string(), "files, dumps; privileges: CAP_X is kept; memory: none, it is too small");
        assert_eq!(lacking_of(&sandbox.to_string()), ["system calls"]);
        assert_eq!(lacking_of("system calls, privileges; files: this kernel's; dumps: none"), ["files", "dumps"]);
        assert_eq!(lacking_of(""), ["files", "system calls", "privileges", "dumps"]);
    }

    #[test]
    fn asking_what_the_kernel_gives_puts_nothing_up() {
        assert_eq!(given().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["files", "system calls"]);
        assert!(std::fs::read("/proc/self/status").is_ok() && entered().is_none());
    }

    #[test]
    fn switched_off_nothing_is_put_up() {
        assert!(enter(Plan::default(), Mode::Off).unwrap().is_none());
        assert!(entered().is_none());
    }
}
