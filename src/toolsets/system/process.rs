//! What is told of one process. Whatever the host does not show of it is left out.

use schemars::JsonSchema;
use serde::Serialize;

use super::budget;
use super::process_stat::{ProcessStat, ProcessStatus, State, command_line};
use super::quantity::{fixed, milliseconds, moment, percent, seconds};
use super::query::Ask;
use super::user_names::{self, Users};

/// The kernel's own bound for one argument; no command line is read further.
const LONGEST_ARGUMENT: usize = 128 << 10;

/// One process.
#[derive(Serialize, JsonSchema)]
pub(super) struct Process {
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
    /// Processor time in percent of the time it was watched; over 100 when it used several processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sampled_cpu_percent: Option<f64>,
    /// How many generations it stands below the first of its tree, if a tree was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) depth: Option<usize>,
    /// Bytes of addresses it has set up, used or not.
    virtual_bytes: u64,
    /// Bytes of it in swap space, where the kernel says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    swapped_bytes: Option<u64>,
    /// How nice it is to others: from -20, taking much, to 19.
    nice: i32,
    /// The control group it is in, where the host has them in version 2: names its service or container.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_group: Option<String>,
    /// When it started: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    /// Its command line, arguments parted by blanks. Kernel threads have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    command_line: Option<String>,
    /// Whether arguments are missing at the end of the command line.
    command_line_truncated: bool,
}

/// What is needed to say more of a process than it says of itself.
pub(super) struct Surroundings {
    boot_seconds: Option<u64>,
    uptime_ticks: Option<u64>,
    users: Users,
}

impl Surroundings {
    /// Reads it once for all processes.
    pub(super) fn read(ask: &Ask<'_>) -> Self {
        let uptime = ask.host.find("proc/uptime").unwrap_or_default();
        Self {
            boot_seconds: ask.host.booted(),
            // A tick is a hundredth of a second, and so is the last digit here.
            uptime_ticks: uptime.split_whitespace().next().and_then(|seconds| fixed(seconds, 2)),
            users: user_names::by_id(ask.host),
        }
    }

    /// The id of a user who is named by name or by number; `None` when there is no such user.
    pub(super) fn uid(&self, user: &str) -> Option<u32> {
        let named = self.users.iter().find(|(_, name)| *name == user).map(|(uid, _)| *uid);
        named.or_else(|| user.parse().ok())
    }

    /// The name of a user.
    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.users.get(&uid).map(String::as_str)
    }
}

/// Notes that of a command line the end was left out.
pub(super) fn note_cut(cap: usize) {
    budget::cut(&format!("ends of command lines were left out (limits.processes.max_cmdline_length is {cap})"));
}

/// What a process says of itself, and what follows from it; `None` when it has gone.
pub(super) fn describe(ask: &Ask<'_>, process: &ProcessStat, around: &Surroundings) -> Option<Process> {
    let path = |file: &str| format!("proc/{}/{file}", process.pid);
    let status = ProcessStatus::parse(&ask.host.find(&path("status"))?);
    let cap = ask.limits.processes.max_cmdline_length;
    let (start, more) = ask.host.start(&path("cmdline"), cap.min(LONGEST_ARGUMENT)).unwrap_or_default();
    let (command_line, command_line_truncated) = command_line(&start, more, cap);
    if command_line_truncated {
        note_cut(cap);
    }
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
        sampled_cpu_percent: None,
        depth: None,
        virtual_bytes: process.virtual_bytes,
        swapped_bytes: status.swapped_bytes,
        nice: process.nice,
        control_group: ask
            .host
            .find(&path("cgroup"))
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)),
        started: started.and_then(|boot| moment(boot.saturating_add(milliseconds(process.start_ticks)))),
        command_line,
        command_line_truncated,
    })
}
