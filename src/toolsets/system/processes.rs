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
mod tests {
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::{ask, ask_within};
    use super::*;
    use crate::call::Progress;

    fn pids(answer: &Value) -> Vec<u64> {
        answer["processes"].as_array().unwrap().iter().map(|process| process["pid"].as_u64().unwrap()).collect()
    }

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    #[test]
    fn a_virtual_machine_shows_a_process_in_full() {
        let answer = listed(json!({"name": "POSTGRES"}));
        assert_eq!((&answer["total"], &answer["matching"]), (&json!(5), &json!(1)));
        assert_eq!(
            answer["processes"][0],
            json!({
                "pid": 1311,
                "parent_pid": 1,
                "name": "postgres",
                "state": "sleeping",
                "uid": 112,
                "user": "postgres",
                "rss_bytes": 29_360_128,
                "threads": 1,
                "cpu_seconds": 937.84,
                "cpu_percent": 1.0,
                "started": "2025-11-03T06:12:56.340Z",
                "command_line": "/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main",
                "command_line_truncated": false,
                "virtual_bytes": 30_000_000,
                "swapped_bytes": 1_048_576,
                "nice": 0,
                "control_group": "/system.slice/postgresql.service",
            })
        );
    }

    #[test]
    fn the_order_is_the_one_asked_for() {
        assert_eq!(pids(&listed(json!({}))), [1311, 1, 742, 2, 2040]);
        assert_eq!(pids(&listed(json!({"sort": "memory"}))), [1311, 1, 742, 2, 2040]);
        assert_eq!(pids(&listed(json!({"sort": "pid", "limit": 2}))), [1, 2]);
        assert_eq!(pids(&listed(json!({"sort": "start"}))), [2040, 1311, 742, 1, 2]);
    }

    #[test]
    fn filters_narrow_and_a_tree_shows_what_is_below() {
        assert_eq!(pids(&listed(json!({"user": "postgres"}))), [1311]);
        assert_eq!(pids(&listed(json!({"user": "1000"}))), [2040]);
        let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"user": "ghost"})).unwrap_err();
        assert_eq!(failure.public(), "there is no user ghost; there are 1000, postgres, root");
        assert_eq!(pids(&listed(json!({"state": "zombie"}))), [2040]);
        assert_eq!(pids(&listed(json!({"parent_pid": 1, "sort": "pid"}))), [742, 1311]);
        let tree = listed(json!({"tree": true, "sort": "pid"}));
        assert_eq!(pids(&tree), [1, 742, 2040, 1311, 2]);
        let depths: Vec<&Value> = tree["processes"].as_array().unwrap().iter().map(|one| &one["depth"]).collect();
        assert_eq!(depths, [0, 1, 2, 1, 0]);
        let part = listed(json!({"tree": true, "name": "sshd", "limit": 1}));
        assert_eq!((pids(&part), &part["matching"], &part["left_out"]), (vec![742], &json!(2), &json!(1)));
    }

    #[test]
    fn what_was_used_while_it_was_watched_comes_first() {
        let process = |pid, ticks, start| {
            let text = format!("{pid} (p) S 1 0 0 0 0 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 0 0");
            ProcessStat::parse(&text).unwrap()
        };
        let before = [process(1, 500, 1), process(2, 10, 1), process(3, 9, 1)];
        let after = [process(1, 500, 1), process(2, 30, 1), process(3, 4, 7)];
        let watched = Watched::between(&before, &after, Duration::from_millis(400));
        assert_eq!(
            (watched.percent(1), watched.percent(2), watched.percent(3), watched.percent(4)),
            (Some(0.0), Some(50.0), Some(10.0), None)
        );
        let mut sorted = after.to_vec();
        sort(&mut sorted, Sort::Cpu, &watched);
        assert_eq!(sorted.iter().map(|process| process.pid).collect::<Vec<_>>(), [2, 3, 1]);
        let answer = ask::<Query>(&Host::this(), json!({"sample_ms": 20, "limit": 1})).unwrap();
        assert!(answer["processes"][0]["sampled_cpu_percent"].is_number(), "{answer}");
    }

    #[test]
    fn of_a_host_with_very_many_processes_the_answer_is_bounded_and_so_is_what_it_takes() {
        use crate::admission::ResourcesSection;
        use crate::clock::Clock;
        use crate::toolsets::system::budget::{self, Allowance};
        const MANY: u32 = 60_000;
        let root = tempfile::tempdir().unwrap();
        let proc = root.path().join("proc");
        for pid in 1..=MANY {
            let folder = proc.join(pid.to_string());
            std::fs::create_dir_all(&folder).unwrap();
            let stat = format!("{pid} (worker) S 1 {pid} {pid} 0 -1 0 0 0 0 0 {pid} 0 0 0 20 0 1 0 100 4096 10 0\n");
            std::fs::write(folder.join("stat"), stat).unwrap();
        }
        for pid in (MANY - 200)..=MANY {
            std::fs::write(proc.join(format!("{pid}/status")), "Name:\tworker\nUid:\t0\t0\t0\t0\n").unwrap();
        }
        let host = Host::folder(root.path());
        // Its memory is held to what the class may have; how long it takes is measured here, on a machine that may be busy.
        let allowance = Allowance::of(Impact::Medium, &ResourcesSection::default()).unhurried();
        let clock = Clock::system();
        let began = clock.instant();
        let answer =
            budget::within(allowance, &std::sync::Arc::default(), || ask::<Query>(&host, json!({"limit": 5}))).unwrap();
        let took = clock.instant().saturating_duration_since(began);
        assert_eq!((&answer["total"], &answer["left_out"]), (&json!(MANY), &json!(MANY - 5)), "{answer}");
        let first: Vec<u64> = pids(&answer);
        assert_eq!(
            first,
            (0..5).map(|n| u64::from(MANY - n)).collect::<Vec<_>>(),
            "those with the most processor time"
        );
        assert!(took < Duration::from_secs(120), "{took:?}");
    }

    #[test]
    fn kernel_threads_and_zombies_have_no_command_line() {
        let answer = listed(json!({"sort": "pid"}));
        let (thread, zombie) = (&answer["processes"][1], &answer["processes"][4]);
        assert_eq!(
            (&thread["name"], &thread["state"], &thread["rss_bytes"]),
            (&json!("kthreadd"), &json!("sleeping"), &json!(0))
        );
        assert_eq!((&zombie["name"], &zombie["state"]), (&json!("sh (old) job"), &json!("zombie")));
        assert_eq!((zombie.get("command_line"), &zombie["command_line_truncated"]), (None, &json!(false)));
        assert_eq!((&zombie["uid"], zombie.get("user")), (&json!(1000), None));
    }

    #[test]
    fn configured_caps_hold_and_the_schema_names_them() {
        let mut limits = LimitsSection::default();
        limits.processes.max_count = 2;
        limits.processes.max_cmdline_length = 40;
        let host = Host::fixture("debian-vm");
        let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
        assert_eq!((pids(&answer), &answer["total"]), (vec![1311, 1], &json!(5)));
        assert_eq!(answer["processes"][0]["command_line"], "/usr/lib/postgresql/17/bin/postgres -D");
        assert_eq!(answer["processes"][0]["command_line_truncated"], true);
        for limit in [0, 3] {
            let failure =
                ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({"limit": limit})).unwrap_err();
            assert_eq!(failure.code(), Code::ArgumentsInvalid, "{limit}");
        }
        let mut spec = Query::spec();
        Query::narrow(&mut spec, &limits);
        let limit = &spec.input_schema["properties"]["limit"];
        assert_eq!((&limit["maximum"], &limit["default"], &limit["minimum"]), (&json!(2), &json!(2), &json!(1)));
    }

    #[test]
    fn a_board_shows_numbers_and_names() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"sort": "pid"})).unwrap();
        assert_eq!((pids(&answer), &answer["processes"][0]["uid"]), (vec![1, 311], &json!(0)));
        assert_eq!(answer["processes"][0]["user"], "root");
    }

    #[test]
    fn the_real_host_lists_this_very_process() {
        let answer = ask::<Query>(&Host::this(), json!({"sort": "start", "limit": 500})).unwrap();
        assert!(pids(&answer).contains(&u64::from(std::process::id())), "{answer}");
    }
}
