//! `get_syslog`: the newest lines of the system's text log, with its rotated files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log_files::{self, Format, Log};
use super::log_filter::{self, Asked, Looked, Wanted, shown};
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
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only what this program wrote: its name as it stands in the log, such as sshd.
    #[schemars(length(min = 1, max = 128))]
    program: Option<String>,
    /// Only what is at least as bad. Most hosts do not keep the severity in this log: what has none is left out then.
    severity: Option<Severity>,
    /// Time, text and number.
    #[serde(flatten)]
    asked: Asked,
}

/// Lines of the system's log.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The newest lines that fit, the oldest of them first.
    entries: Vec<Entry>,
    /// Where it was looked, and what is missing.
    #[serde(flatten)]
    looked: Looked,
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

    const FIELD: &'static str = "entries.message";

    fn time(&self, line: &str) -> Option<Timestamp> {
        Line::parse(&self.stamps, line).map(|line| line.time)
    }

    fn message(&self, line: &str) -> usize {
        Line::parse(&self.stamps, line).map_or(0, |parsed| line.len().saturating_sub(parsed.message.len()))
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
        .reading(["/var/log", "/etc/localtime", "/usr/share/zoneinfo"])
        .better_in(&["adm"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(ask, &args.asked)?;
        let log = LOGS.into_iter().find(|log| log_files::exists(ask.host, log));
        let Some(log) = log else {
            let what = "this host has neither /var/log/syslog nor /var/log/messages: ask get_journal_logs";
            return Ok(Answer { entries: Vec::new(), looked: Looked::without(what) });
        };
        let open = |path: &str| ask.host.file(path);
        let log = Log { open: &open, files: log_files::rotated(ask.host, log) };
        let found = log_files::read(ask, &log, &wanted, &Lines { stamps: Stamps::of(ask.host), args: &args })?;
        Ok(Answer { entries: found.entries, looked: found.looked })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::{ask, ask_within};
    use super::*;
    use crate::call::Progress;

    fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let log = root.path().join("var/log");
        std::fs::create_dir_all(&log).unwrap();
        (root, log)
    }

    fn now() -> String {
        crate::clock::Clock::system().now().to_string()
    }

    fn messages(answer: &Value) -> Vec<&str> {
        answer["entries"].as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap()).collect()
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_there() {
        let (root, log) = folder();
        std::fs::write(log.join("syslog"), format!("{} h p[1]: good\n", now())).unwrap();
        symlink("syslog.1", log.join("syslog.1")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, log.join("syslog.2"), mode).unwrap();
        std::fs::write(log.join("syslog.3.xz"), "packed").unwrap();
        std::fs::write(log.join("syslog.4.gz"), "no gzip").unwrap();
        std::fs::write(log.join("syslog.5.zst"), "no zstd").unwrap();
        std::fs::create_dir(log.join("syslog.6")).unwrap();
        std::fs::write(log.join("syslog.7.bz2"), "packed").unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
        assert_eq!((messages(&answer), &answer["files"]), (vec!["good"], &json!(["/var/log/syslog"])));
        let said = answer["left_out"].as_array().unwrap();
        assert_eq!(said.len(), 7, "{said:#?}");
        assert!(said[6].as_str().unwrap().contains("packed in a way"), "{said:#?}");
        assert!(
            said[2].as_str().unwrap().contains("/var/log/syslog.3.xz could not be read: it is damaged"),
            "{said:#?}"
        );
    }

    #[test]
    fn a_packed_file_that_grows_without_end_is_given_up() {
        let (root, log) = folder();
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![b'\n'; 1 << 20]).unwrap();
        std::fs::write(log.join("syslog.1.gz"), bomb.finish().unwrap()).unwrap();
        let mut limits = LimitsSection::default();
        limits.logs.max_bytes_per_file = 10_000;
        let host = Host::folder(root.path());
        let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
        assert!(answer["left_out"][0].as_str().unwrap().contains("too large once it is unpacked"), "{answer}");
    }

    #[test]
    fn zstd_is_unpacked_and_the_severity_counts_where_it_is_kept() {
        let (root, log) = folder();
        let line = |priority: u8, text: &str| format!("<{priority}>{} h p[1]: {text}\n", now());
        std::fs::write(log.join("syslog"), line(11, "an error") + &line(14, "a note")).unwrap();
        let packed = ruzstd::encoding::compress_to_vec(
            line(8, "an emergency").as_bytes(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        std::fs::write(log.join("syslog-20251103.zst"), packed).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"severity": "error"})).unwrap();
        assert_eq!(messages(&answer), ["an emergency", "an error"]);
        assert_eq!(
            (&answer["entries"][1]["severity"], &answer["entries"][1]["facility"]),
            (&json!("error"), &json!("user"))
        );
    }

    #[test]
    fn the_newest_lines_win_and_the_others_are_counted() {
        let (root, log) = folder();
        let text: String = (0..20).map(|n| format!("{} h p: {n}\n", now())).collect();
        std::fs::write(log.join("syslog"), text).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"lines": 2, "pattern": "1"})).unwrap();
        assert_eq!(messages(&answer), ["18", "19"]);
        assert!(answer["left_out"][0].as_str().unwrap().contains("older entries that fit were left out"), "{answer}");
    }
}
