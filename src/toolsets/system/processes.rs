//! `get_processes`: which processes run. Processes come and go while the list is made; one that goes is left out.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget;
use super::extent::{self, Extent};
use super::host::ENTRIES;
use super::process::{self, Process, Surroundings};
use super::process_stat::{ProcessStat, ProcessStatus, State};
use super::quantity::{milliseconds, percent};
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use super::{process_tree, sample};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// Processes in an answer to a caller who gives no number.
const USUAL: usize = 50;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// What comes first.
    sort: Sort,
    /// Most processes to list.
    #[schemars(range(min = 1))]
    limit: usize,
    /// Only processes with this in their name, in capitals or not. The kernel keeps 15 bytes of a
    /// program's name.
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    /// Only processes with the rights of this user: a name of the host's password file, or a number.
    #[schemars(length(min = 1, max = 64))]
    user: Option<String>,
    /// Only processes in this state.
    state: Option<State>,
    /// Only the process of this id.
    pid: Option<u32>,
    /// Only the children of this process.
    parent_pid: Option<u32>,
    /// List each process behind its parent, with its depth; of processes that fit, also all below them.
    tree: bool,
    /// Milliseconds to watch the processes for, to tell what they use right now; sort by cpu is then by that. The kernel
    /// counts in steps of 10 ms, so under 100 the figures are coarse.
    #[schemars(range(min = 0, max = 1000))]
    sample_ms: u64,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            sort: Sort::Cpu,
            limit: USUAL,
            name: None,
            user: None,
            state: None,
            pid: None,
            parent_pid: None,
            tree: false,
            sample_ms: 0,
        }
    }
}

/// What comes first.
#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    /// The most processor time since the process started.
    Cpu,
    /// The most memory.
    Memory,
    /// The lowest process id.
    Pid,
    /// The latest start.
    Start,
}

/// Processes.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed: of the processes that the daemon can see, those that fit the arguments, in a tree with those
    /// below them.
    #[serde(flatten)]
    extent: Extent,
    /// The processes.
    processes: Vec<Process>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_processes",
            "Processes",
            "The host's processes by processor time, memory, id or start, as a list or a tree, with user, memory, \
             processor time and command line; with sample_ms what they use right now.",
            Impact::Medium,
        )
        .reading(["/etc/passwd"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, USUAL, limits.processes.max_count);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let (mut found, mut whole) = read_all(ask)?;
        let mut watched = Watched::default();
        if args.sample_ms > 0 {
            let elapsed = sample::watch(ask, args.sample_ms, "the processes")?;
            let before = found;
            (found, whole) = read_all(ask)?;
            watched = Watched::between(&before, &found, elapsed);
        }
        let total = found.len();
        sort(&mut found, args.sort, &watched);
        let around = Surroundings::read(ask);
        let wanted = wanted(ask, &args, &around, &found)?;
        let ordered: Vec<(Option<usize>, ProcessStat)> = if args.tree {
            let fits = |process: &ProcessStat| wanted.as_ref().is_none_or(|pids| pids.contains(&process.pid));
            let roots: Option<&dyn Fn(&ProcessStat) -> bool> = if wanted.is_some() { Some(&fits) } else { None };
            process_tree::order(found, roots).into_iter().map(|(depth, process)| (Some(depth), process)).collect()
        } else {
            found.retain(|process| wanted.as_ref().is_none_or(|pids| pids.contains(&process.pid)));
            found.into_iter().map(|process| (None, process)).collect()
        };
        let limit = args.limit.min(ask.limits.processes.max_count);
        let mut processes = Vec::new();
        for (depth, process) in ordered.iter().take(limit) {
            ask.go_on()?;
            let _passing = ask.passing();
            let Some(mut described) = process::describe(ask, process, &around) else { continue };
            described.depth = *depth;
            described.sampled_cpu_percent = watched.percent(process.pid);
            processes.push(described);
        }
        if limit == ask.limits.processes.max_count && ordered.len() > limit {
            budget::cut(&format!("processes were left out (limits.processes.max_count is {limit})"));
        }
        let extent = Extent::new(total, ordered.len(), processes.len())
            .of_whole(whole)
            .narrow("raise limit, or narrow with name, user, state, pid or parent_pid");
        Ok(Answer { extent, processes })
    }
}

/// Puts in order what comes first.
fn sort(found: &mut [ProcessStat], by: Sort, watched: &Watched) {
    match by {
        Sort::Cpu => found.sort_by_key(|process| {
            let now = watched.ticks.get(&process.pid).copied().unwrap_or(0);
            (Reverse(now), Reverse(process.cpu_ticks), process.pid)
        }),
        Sort::Memory => found.sort_by_key(|process| (Reverse(process.resident_pages), process.pid)),
        Sort::Pid => found.sort_by_key(|process| process.pid),
        Sort::Start => found.sort_by_key(|process| (Reverse(process.start_ticks), process.pid)),
    }
}

/// The processes that fit; `None` when nothing is asked of them.
fn wanted(
    ask: &Ask<'_>,
    args: &Args,
    around: &Surroundings,
    found: &[ProcessStat],
) -> Result<Option<HashSet<u32>>, Failure> {
    let name = args.name.as_ref().map(|part| part.to_lowercase());
    for pid in [args.pid, args.parent_pid].into_iter().flatten() {
        if !found.iter().any(|process| process.pid == pid) {
            // Of the numbers of others none is any nearer.
            let text =
                format!("there is no process {pid}, or it has gone; without pid and parent_pid the others are listed");
            return Err(Failure::new(Code::ToolFailed, text));
        }
    }
    let uid = args.user.as_ref().map(|user| around.uid(user));
    if let (Some(user), Some(None)) = (&args.user, uid) {
        return Err(unknown("user", user, running(ask, around, found)?));
    }
    if (&name, uid, args.state, args.pid, args.parent_pid) == (&None, None, None, None, None) {
        return Ok(None);
    }
    let mut pids = HashSet::new();
    for process in found {
        ask.go_on()?;
        let fits = name.as_ref().is_none_or(|part| process.name.to_lowercase().contains(part))
            && args.state.is_none_or(|state| state == process.state)
            && args.pid.is_none_or(|pid| pid == process.pid)
            && args.parent_pid.is_none_or(|pid| pid == process.parent);
        let owner = || {
            let _passing = ask.passing();
            let status = ask.host.find(&format!("proc/{}/status", process.pid))?;
            ProcessStatus::parse(&status).uid
        };
        // The user stands in a file of its own, so it is asked for last.
        if fits && uid.is_none_or(|uid| uid.is_some() && owner() == uid) {
            pids.insert(process.pid);
        }
    }
    Ok(Some(pids))
}

/// The names of the users who have processes; who else there is get_user_accounts tells.
fn running(ask: &Ask<'_>, around: &Surroundings, found: &[ProcessStat]) -> Result<HashSet<String>, Failure> {
    let mut names = HashSet::new();
    for process in found {
        ask.go_on()?;
        let _passing = ask.passing();
        let status = ask.host.find(&format!("proc/{}/status", process.pid));
        let uid = status.and_then(|status| ProcessStatus::parse(&status).uid);
        names.extend(uid.map(|uid| around.name(uid).map_or_else(|| uid.to_string(), str::to_owned)));
    }
    Ok(names)
}

/// What processes used while they were watched, in ticks by process id.
#[derive(Default)]
struct Watched {
    ticks: HashMap<u32, u64>,
    elapsed: Duration,
}

impl Watched {
    fn between(before: &[ProcessStat], after: &[ProcessStat], elapsed: Duration) -> Self {
        let earlier: HashMap<(u32, u64), u64> =
            before.iter().map(|process| ((process.pid, process.start_ticks), process.cpu_ticks)).collect();
        // A process that began in the meantime used all it used in the meantime.
        let spent = |process: &ProcessStat| {
            let earlier = earlier.get(&(process.pid, process.start_ticks)).copied().unwrap_or(0);
            (process.pid, process.cpu_ticks.saturating_sub(earlier))
        };
        Self { ticks: after.iter().map(spent).collect(), elapsed }
    }

    fn percent(&self, pid: u32) -> Option<f64> {
        let millis = u64::try_from(self.elapsed.as_millis()).ok()?;
        percent(milliseconds(*self.ticks.get(&pid)?), millis)
    }
}

/// The processes, and whether they are all that the host shows.
fn read_all(ask: &Ask<'_>) -> Result<(Vec<ProcessStat>, bool), Failure> {
    let names = ask.host.list("proc");
    let pids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let count = u32::try_from(pids.len()).unwrap_or(u32::MAX);
    let mut found = Vec::with_capacity(pids.len());
    for (at, pid) in (0_u32..).zip(pids) {
        ask.go_on()?;
        if at.is_multiple_of(1024) {
            ask.progress.report(f64::from(at), Some(f64::from(count)), "reading the processes");
        }
        let _passing = ask.passing();
        found.extend(ask.host.find(&format!("proc/{pid}/stat")).and_then(|text| ProcessStat::parse(&text)));
    }
    if found.is_empty() {
        return Err(Failure::new(Code::ToolFailed, "this host does not show its processes"));
    }
    Ok((found, names.len() < ENTRIES))
}

#[cfg(test)]
mod tests;
