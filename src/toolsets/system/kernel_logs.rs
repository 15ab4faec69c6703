//! `get_kernel_logs`: what the kernel says, from its own buffer, or from what the host kept of it. The buffer is a device
//! that would block at its end; it is read until then.

use std::fs::File;
use std::io::{ErrorKind, Read as _};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::budget;
use super::journal_entries::{self, Condition, Way};
use super::kernel_stat::KernelStat;
use super::log_files::{self, Format, Log, why};
use super::log_filter::{self, Asked, Looked, Newest, Wanted, looked_at, shown};
use super::log_line::{Line, Severity, facility};
use super::log_time::Stamps;
use super::quantity::seconds_of_micros;
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::guard::LimitsSection;

/// The kernel's buffer has at most 32 MiB (`CONFIG_LOG_BUF_SHIFT`); one that is filled while it is read has no end.
const BUFFER_BYTES: usize = 64 << 20;

/// Messages that are redacted together, so that what goes over several of them is seen; no key has so many lines.
const TOGETHER: usize = 1024;

/// A read gives one record, which has at most 8192 bytes; the kernel refuses less room.
const RECORD_BYTES: usize = 16 << 10;

pub(super) struct Query;

/// Which messages.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Where to look; without it the first of these that the daemon may read: buffer, journal, file.
    source: Option<Source>,
    /// Only what is at least as bad.
    severity: Option<Severity>,
    /// Time, text and number.
    #[serde(flatten)]
    asked: Asked,
}

/// Where messages of the kernel are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// The kernel's own buffer, /dev/kmsg: this boot, until it is overwritten.
    Buffer,
    /// systemd's journal.
    Journal,
    /// The file /var/log/kern.log.
    File,
}

/// Messages of the kernel.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Where they are from; absent when the host shows them nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    /// The newest messages that fit, the oldest of them first.
    entries: Vec<Entry>,
    /// Where it was looked, and what is missing.
    #[serde(flatten)]
    looked: Looked,
}

/// One message.
#[derive(Serialize, JsonSchema)]
struct Entry {
    /// When: RFC 3339, UTC. In the buffer it is reckoned from the start of the host, and early by as long as the host slept.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// Seconds since the host started, where the source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_seconds: Option<f64>,
    /// How bad it is, where the source says.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    /// kern for the kernel itself; programs write to the buffer too.
    #[serde(skip_serializing_if = "Option::is_none")]
    facility: Option<String>,
    /// What it says.
    message: String,
    /// Whether the end of the message is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_kernel_logs",
            "Kernel log",
            "The newest messages of the kernel (as dmesg shows them): hardware, drivers, file systems, memory shortage, \
             crashes. From the kernel's buffer, or where the daemon may not read that, from the journal or kern.log.",
            Impact::Medium,
        )
        .reading(["/dev/kmsg", "/var/log", "/run/log/journal", "/etc/localtime", "/usr/share/zoneinfo"])
        .better_in(&["systemd-journal", "adm"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn reach(spec: &mut ToolSpec, host: &Host) {
        if restricted(host) {
            spec.needs.capabilities.push("CAP_SYSLOG");
        }
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(ask, &args.asked)?;
        let mut shut = Vec::new();
        for source in [Source::Buffer, Source::Journal, Source::File] {
            if args.source.is_some_and(|asked| asked != source) {
                continue;
            }
            let found = match source {
                Source::Buffer => buffer(ask, &args, &wanted)?,
                Source::Journal => journal(ask, &args, &wanted)?,
                Source::File => file(ask, &args, &wanted)?,
            };
            match found {
                Ok(mut answer) => {
                    answer.looked.left_out.extend(shut);
                    return Ok(answer);
                }
                Err(why) => shut.push(why),
            }
        }
        Ok(Answer { source: None, entries: Vec::new(), looked: Looked { files: Vec::new(), left_out: shut } })
    }
}

/// An answer, or why this source gives none.
type Told = Result<Result<Answer, String>, Failure>;

/// Whether the kernel shows its buffer to the privileged alone, whatever the mode of the device.
fn restricted(host: &Host) -> bool {
    host.number::<u32>("proc/sys/kernel/dmesg_restrict").is_some_and(|value| value > 0)
}

fn buffer(ask: &Ask<'_>, args: &Args, wanted: &Wanted) -> Told {
    let file = match ask.host.device("dev/kmsg") {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let hint = if restricted(ask.host) { " (kernel.dmesg_restrict is on: it takes CAP_SYSLOG)" } else { "" };
            return Ok(Err(format!("/dev/kmsg: the daemon may not read it{hint}")));
        }
        Err(error) => return Ok(Err(format!("/dev/kmsg: {}", why(&error)))),
    };
    let _passing = ask.passing();
    let bytes = match drain(ask, file)? {
        Ok(bytes) => bytes,
        Err(why) => return Ok(Err(why)),
    };
    let boot = ask.host.find("proc/stat").and_then(|text| KernelStat::parse(&text)?.boot_seconds);
    let mut newest = Newest::new(wanted.lines);
    let (text, redactor) = (String::from_utf8_lossy(&bytes), ask.redactor("entries.message")?);
    let records: Vec<Kmsg<'_>> = text.lines().filter_map(Kmsg::parse).collect();
    for records in records.chunks(TOGETHER) {
        ask.go_on()?;
        let mut messages: Vec<String> = records.iter().map(|record| unescaped(looked_at(record.message))).collect();
        redactor.clean_rows(&mut messages);
        for (record, message) in records.iter().zip(messages) {
            let time = boot.and_then(|boot| {
                let micros = boot.checked_mul(1_000_000)?.checked_add(record.micros)?;
                Some(Timestamp::from_millis(i64::try_from(micros / 1000).ok()?))
            });
            let bad = args.severity.is_none_or(|most| Severity::of(record.priority) <= most);
            if bad && time.is_none_or(|time| wanted.covers(time)) && wanted.fits(&message) {
                let (message, truncated) = shown(&message);
                newest.push(Entry {
                    time: time.map(|time| time.to_string()),
                    uptime_seconds: Some(seconds_of_micros(record.micros)),
                    severity: Some(Severity::of(record.priority)),
                    facility: facility(record.priority).map(str::to_owned),
                    message,
                    truncated,
                });
            }
        }
    }
    let left_out = wanted.left_out(newest.dropped, Vec::new());
    let looked = Looked { files: vec!["/dev/kmsg".to_owned()], left_out };
    Ok(Ok(Answer { source: Some(Source::Buffer), entries: newest.into_vec(), looked }))
}

/// All records there are now; of a buffer that is too large the last ones. Twice as much is held on the way.
fn drain(ask: &Ask<'_>, mut file: File) -> Result<Result<Vec<u8>, String>, Failure> {
    let most = ask.limits.logs.max_bytes_per_file;
    let cap = usize::try_from(most.min(budget::room() / 4)).unwrap_or(usize::MAX);
    let (mut bytes, mut record, mut total) = (Vec::new(), vec![0; RECORD_BYTES], 0_usize);
    while total < BUFFER_BYTES {
        ask.go_on()?;
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(count) => {
                total = total.saturating_add(count);
                bytes.extend(record.iter().take(count));
                if bytes.len() > cap.saturating_mul(2) {
                    // What is left may be less by the memory that the query has; the cap would have cut as well.
                    if bytes.len() > usize::try_from(most).unwrap_or(usize::MAX) {
                        budget::cut(&format!(
                            "only the last {most} bytes of the buffer were read (limits.logs.max_bytes_per_file)"
                        ));
                    }
                    bytes.drain(..bytes.len().saturating_sub(cap));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            // A record was overwritten before it was read; the next read goes on behind it.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {
                total = total.saturating_add(1);
            }
            Err(error) => return Ok(Err(format!("/dev/kmsg: {}", why(&error)))),
        }
    }
    bytes.drain(..bytes.len().saturating_sub(cap));
    Ok(budget::hold(bytes.len()).map(|()| bytes).map_err(|error| format!("/dev/kmsg: {}", why(&error))))
}

/// Documentation/ABI/testing/dev-kmsg: `priority,sequence,microseconds,flags;message`.
struct Kmsg<'a> {
    priority: u32,
    micros: u64,
    message: &'a str,
}

impl<'a> Kmsg<'a> {
    /// `None` for a line with a blank at its start, which belongs to the record before and says which device it is about.
    fn parse(line: &'a str) -> Option<Self> {
        let (head, message) = line.split_once(';')?;
        let mut fields = head.split(',');
        let (priority, micros) = (fields.next()?.parse().ok()?, fields.nth(1)?.parse().ok()?);
        Some(Self { priority, micros, message })
    }
}

/// The kernel writes what is not printable as `\x0a`; a line feed is the one that says something.
fn unescaped(message: &str) -> String {
    message.replace("\\x0a", "\n").replace("\\x09", "\t").replace("\\x5c", "\\")
}

fn journal(ask: &Ask<'_>, args: &Args, wanted: &Wanted) -> Told {
    let way = |name, value: &str| Way { name, value: value.to_owned(), vouched: None };
    let mut conditions = vec![Condition { one_of: vec![way("_TRANSPORT", "kernel")] }];
    if let Some(severity) = args.severity {
        let one_of = severity.and_worse().map(|number| way("PRIORITY", &number.to_string())).collect();
        conditions.push(Condition { one_of });
    }
    let Some(found) = journal_entries::search(ask, wanted, &conditions)? else {
        return Ok(Err("journal: the host keeps none".to_owned()));
    };
    if found.looked.files.is_empty() && !found.looked.left_out.is_empty() {
        return Ok(Err(format!("journal: {}", found.looked.left_out.join("; "))));
    }
    let entries = found.records.iter().map(|record| {
        let (message, truncated) = shown(&record.text("MESSAGE").unwrap_or_default().0);
        Entry {
            time: Some(record.time.to_string()),
            uptime_seconds: Some(seconds_of_micros(record.monotonic_micros)),
            severity: record.number("PRIORITY").map(Severity::of),
            facility: record
                .number::<u32>("SYSLOG_FACILITY")
                .and_then(|number| facility(number.checked_mul(8)?))
                .map(str::to_owned),
            message,
            truncated,
        }
    });
    let entries = entries.collect();
    Ok(Ok(Answer { source: Some(Source::Journal), entries, looked: found.looked }))
}

/// Lines of kern.log.
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
        Line::parse(&self.stamps, line).map_or(0, |parsed| {
            let uptime = parsed.message.strip_prefix('[').and_then(|rest| rest.split_once("] "));
            line.len().saturating_sub(uptime.map_or(parsed.message, |(_, message)| message).len())
        })
    }

    fn entry(&self, line: &str) -> Option<Entry> {
        let line = Line::parse(&self.stamps, line)?;
        let severity = line.severity();
        if self.args.severity.is_some_and(|most| severity.is_none_or(|severity| severity > most)) {
            return None;
        }
        let uptime = line.message.strip_prefix('[').and_then(|rest| rest.split_once("] "));
        let uptime = uptime.and_then(|(seconds, message)| Some((seconds.trim().parse::<f64>().ok()?, message)));
        let (uptime_seconds, message) = uptime.map_or((None, line.message), |(seconds, text)| (Some(seconds), text));
        let (message, truncated) = shown(message);
        let uptime_seconds = uptime_seconds.filter(|seconds| seconds.is_finite());
        let facility = line.priority.and_then(facility).map(str::to_owned);
        Some(Entry { time: Some(line.time.to_string()), uptime_seconds, severity, facility, message, truncated })
    }
}

fn file(ask: &Ask<'_>, args: &Args, wanted: &Wanted) -> Told {
    const LOG: &str = "var/log/kern.log";
    if !log_files::exists(ask.host, LOG) {
        return Ok(Err("/var/log/kern.log: it is not there".to_owned()));
    }
    let open = |path: &str| ask.host.file(path);
    let log = Log { open: &open, files: log_files::rotated(ask.host, LOG) };
    let found = log_files::read(ask, &log, wanted, &Lines { stamps: Stamps::of(ask.host), args })?;
    Ok(Ok(Answer { source: Some(Source::File), entries: found.entries, looked: found.looked }))
}

#[cfg(test)]
mod tests;
