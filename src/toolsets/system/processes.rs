//! `get_processes`: which processes run. Processes come and go while the list is made; one that goes is left out.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kernel_stat::KernelStat;
use super::process_stat::{ProcessStat, ProcessStatus, State, command_line};
use super::quantity::{fixed, milliseconds, moment, percent, seconds};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// Processes in an answer to a caller who gives no number.
const USUAL: usize = 50;

/// The kernel's own bound for one argument; no command line is read further.
const LONGEST_ARGUMENT: usize = 128 << 10;

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
}

impl Default for Args {
    fn default() -> Self {
        Self { sort: Sort::Cpu, limit: USUAL, name: None }
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
    /// Number of processes that the daemon can see.
    total: usize,
    /// Number of those that fit the filter; the list may hold fewer.
    matching: usize,
    /// The processes.
    processes: Vec<Process>,
}

/// One process.
#[derive(Serialize, JsonSchema)]
struct Process {
    /// Process id.
    pid: u32,
    /// Process id of its parent; 0 for none.
    parent_pid: u32,
    /// Its name; the kernel keeps 15 bytes of a program's.
    name: String,
    /// What it is doing.
    state: State,
    /// Id of the user whose rights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Name of that user, if the host's password file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Bytes of memory it holds, shared ones counted in full.
    rss_bytes: u64,
    /// Number of threads.
    threads: u64,
    /// Seconds of processor time, in user mode and in the kernel.
    cpu_seconds: f64,
    /// Processor time in percent of the time since it started; over 100 when it used several processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
    /// When it started: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    /// Its command line, arguments parted by blanks. Kernel threads have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
    /// Whether arguments are missing at the end of the command line.
    command_line_truncated: bool,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_processes",
            "Processes",
            "The host's processes by processor time, memory, id or start, with user, memory, processor time and \
             command line.",
            Impact::Medium,
        )
        .reading(["/etc/passwd"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        let most = limits.processes.max_count.max(1);
        let schema = Arc::make_mut(&mut spec.input_schema);
        let limit = schema.get_mut("properties").and_then(|properties| properties.get_mut("limit"));
        if let Some(limit) = limit.and_then(Value::as_object_mut) {
            limit.insert("maximum".to_owned(), Value::from(most));
            limit.insert("default".to_owned(), Value::from(USUAL.min(most)));
        }
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut found = read_all(ask)?;
        let total = found.len();
        if let Some(part) = args.name.map(|part| part.to_lowercase()) {
            found.retain(|process| process.name.to_lowercase().contains(&part));
        }
        match args.sort {
            Sort::Cpu => found.sort_by_key(|process| (Reverse(process.cpu_ticks), process.pid)),
            Sort::Memory => found.sort_by_key(|process| (Reverse(process.resident_pages), process.pid)),
            Sort::Pid => found.sort_by_key(|process| process.pid),
            Sort::Start => found.sort_by_key(|process| (Reverse(process.start_ticks), process.pid)),
        }
        let surroundings = Surroundings::read(ask);
        let mut processes = Vec::new();
        for process in found.iter().take(args.limit.min(ask.limits.processes.max_count)) {
            ask.go_on()?;
            let _passing = ask.passing();
            processes.extend(describe(ask, process, &surroundings));
        }
        Ok(Answer { total, matching: found.len(), processes })
    }
}

fn read_all(ask: &Ask<'_>) -> Result<Vec<ProcessStat>, Failure> {
    let pids: Vec<u32> = ask.host.list("proc").iter().filter_map(|name| name.parse().ok()).collect();
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
    Ok(found)
}

/// What is needed to say more of a process than it says of itself.
struct Surroundings {
    boot_seconds: Option<u64>,
    uptime_ticks: Option<u64>,
    users: HashMap<u32, String>,
}

impl Surroundings {
    fn read(ask: &Ask<'_>) -> Self {
        let uptime = ask.host.find("proc/uptime").unwrap_or_default();
        Self {
            boot_seconds: ask.host.find("proc/stat").and_then(|text| KernelStat::parse(&text)?.boot_seconds),
            // A tick is a hundredth of a second, and so is the last digit here.
            uptime_ticks: uptime.split_whitespace().next().and_then(|seconds| fixed(seconds, 2)),
            users: ask.host.find("etc/passwd").map(|text| users(&text)).unwrap_or_default(),
        }
    }
}

/// `None` when the process has gone.
fn describe(ask: &Ask<'_>, process: &ProcessStat, around: &Surroundings) -> Option<Process> {
    let path = |file: &str| format!("proc/{}/{file}", process.pid);
    let status = ProcessStatus::parse(&ask.host.find(&path("status"))?);
    let cap = ask.limits.processes.max_cmdline_length;
    let (start, more) = ask.host.start(&path("cmdline"), cap.min(LONGEST_ARGUMENT)).unwrap_or_default();
    let (command_line, command_line_truncated) = command_line(&start, more, cap);
    let age_ticks = around.uptime_ticks.map(|uptime| uptime.saturating_sub(process.start_ticks));
    let started = around.boot_seconds.map(|boot| boot.saturating_mul(1000));
    Some(Process {
        pid: process.pid,
        parent_pid: process.parent,
        name: process.name.clone(),
        state: process.state,
        uid: status.uid,
        user: status.uid.and_then(|uid| around.users.get(&uid).cloned()),
        rss_bytes: status.resident_bytes,
        threads: process.threads,
        cpu_seconds: seconds(process.cpu_ticks),
        cpu_percent: age_ticks.and_then(|age| percent(process.cpu_ticks, age)),
        started: started.and_then(|boot| moment(boot.saturating_add(milliseconds(process.start_ticks)))),
        command_line,
        command_line_truncated,
    })
}

/// The names by user id; of two names for one id the first counts, as for getpwuid(3).
fn users(passwd: &str) -> HashMap<u32, String> {
    let mut users = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok()));
        if let (Some(name), Some(uid)) = (name, uid) {
            users.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

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

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([a-z:]{0,6}:x:[0-9]{0,12}:\n){0,4}") {
            let _ = users(&text);
        }
    }
}
