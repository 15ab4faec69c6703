//! `get_syslog`: the newest lines of the system's text log, with its rotated files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log_files::{self, Format, Log};
use super::log_filter::{self, Asked, USUAL, Wanted, shown};
use super::log_line::{Line, Severity, facility};
use super::log_time::Stamps;
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::guard::LimitsSection;

/// Where the system's log is: Debian and its kin, Red Hat and its kin.
const LOGS: [&str; 2] = ["var/log/syslog", "var/log/messages"];

pub(super) struct Query;

/// Which lines.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only what this program wrote: its name as it stands in the log, such as sshd.
    #[schemars(length(min = 1, max = 128))]
    program: Option<String>,
    /// Only what is at least as bad. Most hosts do not keep the severity in this log: what has none is left out then.
    severity: Option<Severity>,
    /// Only lines that contain this text, in capitals or not.
    #[schemars(length(min = 1, max = 512))]
    pattern: Option<String>,
    /// Take the pattern for a regular expression (syntax of Rust's regex crate) and not for plain text.
    regex: bool,
    /// Only lines from this moment on: RFC 3339, such as 2025-11-03T06:12:56Z.
    #[schemars(length(max = 64))]
    since: Option<String>,
    /// Only lines up to this moment: RFC 3339.
    #[schemars(length(max = 64))]
    until: Option<String>,
    /// Only lines of so many last minutes; `since` goes before it.
    #[schemars(range(min = 1, max = 5_256_000))]
    minutes: Option<u32>,
    /// Most lines to give: the newest that fit.
    #[schemars(range(min = 1))]
    lines: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            program: None,
            severity: None,
            pattern: None,
            regex: false,
            since: None,
            until: None,
            minutes: None,
            lines: USUAL,
        }
    }
}

/// Lines of the system's log.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The newest lines that fit, the oldest of them first.
    entries: Vec<Entry>,
    /// The files they were looked for in, the newest first.
    files: Vec<String>,
    /// What the answer lacks and how to narrow; empty when nothing is missing.
    left_out: Vec<String>,
}

/// One line.
#[derive(Serialize, JsonSchema)]
struct Entry {
    /// When it was written: RFC 3339, UTC. A log without a zone is read in that of the host. Absent where the line does not
    /// begin with a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The host that it came from, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The program that wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// The process id of that program then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// How bad it is, where the log keeps that.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    /// The part of the system it is about, where the log keeps that: auth, cron, daemon and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    facility: Option<String>,
    /// What it says.
    message: String,
    /// Whether the end of the message is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// The traditional form, filtered.
struct Lines<'a> {
    stamps: Stamps,
    args: &'a Args,
}

impl Format for Lines<'_> {
    type Entry = Entry;

    fn time(&self, line: &str) -> Option<Timestamp> {
        Line::parse(&self.stamps, line).map(|line| line.time)
    }

    fn entry(&self, text: &str) -> Option<Entry> {
        let Some(line) = Line::parse(&self.stamps, text) else {
            // It goes on from a line before, whose writer is not known here.
            let plain = self.args.program.is_none() && self.args.severity.is_none() && !text.trim().is_empty();
            return plain.then(|| entry(None, text));
        };
        let severity = line.severity();
        let program = self.args.program.as_deref().is_none_or(|wanted| line.program == Some(wanted));
        let bad = self.args.severity.is_none_or(|most| severity.is_some_and(|severity| severity <= most));
        (program && bad).then(|| entry(Some(&line), line.message))
    }
}

fn entry(line: Option<&Line<'_>>, message: &str) -> Entry {
    let (message, truncated) = shown(message);
    Entry {
        time: line.map(|line| line.time.to_string()),
        host: line.and_then(|line| line.host).map(str::to_owned),
        program: line.and_then(|line| line.program).map(str::to_owned),
        pid: line.and_then(|line| line.pid),
        severity: line.and_then(Line::severity),
        facility: line.and_then(|line| facility(line.priority?)).map(str::to_owned),
        message,
        truncated,
    }
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_syslog",
            "System log",
            "The newest lines of the host's text log (/var/log/syslog or /var/log/messages, rotated and packed files \
             included), filtered by program, severity, time and text. Hosts with systemd may keep their log in the journal \
             alone: ask get_journal_logs then.",
            Impact::Medium,
        )
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(
            ask,
            &Asked {
                since: args.since.as_deref(),
                until: args.until.as_deref(),
                minutes: args.minutes,
                pattern: args.pattern.as_deref(),
                regex: args.regex,
                lines: args.lines,
            },
        )?;
        let log = LOGS.into_iter().find(|log| log_files::exists(ask.host, log));
        let Some(log) = log else {
            let what = "this host has neither /var/log/syslog nor /var/log/messages: ask get_journal_logs";
            return Ok(Answer { entries: Vec::new(), files: Vec::new(), left_out: vec![what.to_owned()] });
        };
        let open = |path: &str| ask.host.file(path);
        let log = Log { open: &open, files: log_files::rotated(ask.host, log) };
        let found = log_files::read(ask, &log, &wanted, &Lines { stamps: Stamps::of(ask.host), args: &args })?;
        Ok(Answer { entries: found.entries, files: found.files, left_out: found.left_out })
    }
}
