//! `get_journal_logs`: the newest entries of systemd's journal, read from its files; no process, and no permission but to
//! read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::journal_entries::{self, Condition, Record, Way};
use super::log_filter::{self, Asked, Looked, Wanted, shown};
use super::log_line::Severity;
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;
use crate::secret::hex;

/// The endings of names of units.
const KINDS: [&str; 12] = [
    ".service",
    ".socket",
    ".target",
    ".timer",
    ".mount",
    ".automount",
    ".path",
    ".slice",
    ".scope",
    ".swap",
    ".device",
    ".snapshot",
];

pub(super) struct Query;

/// Which entries.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only of this unit, such as nginx or nginx.service: what it wrote, and what systemd wrote of it.
    #[schemars(length(min = 1, max = 256))]
    unit: Option<String>,
    /// Only with this syslog identifier, usually the name of a program.
    #[schemars(length(min = 1, max = 256))]
    identifier: Option<String>,
    /// Only what is at least as bad.
    priority: Option<Severity>,
    /// Only of one boot: 0 is the present one, -1 the one before it, and so on.
    #[schemars(range(min = -1000, max = 0))]
    boot: Option<i32>,
    /// Only what the kernel wrote.
    kernel: bool,
    /// Time, text and number.
    #[serde(flatten)]
    asked: Asked,
}

/// Entries of the journal.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The newest entries that fit, the oldest of them first.
    entries: Vec<Entry>,
    /// Where it was looked, and what is missing.
    #[serde(flatten)]
    looked: Looked,
}

/// One entry.
#[derive(Serialize, JsonSchema)]
struct Entry {
    /// When journald took it: RFC 3339, UTC.
    time: String,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Severity>,
    /// The unit it is of, by systemd's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    /// The syslog identifier, or the name of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    /// Process id of who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// User id of who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// The host it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// The boot it was written in: 32 hexadecimal digits.
    boot_id: String,
    /// What it says; absent where it has no message or one that is packed in a way that is not understood (xz).
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Whether the end of the message is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_journal_logs",
            "Journal",
            "The newest entries of systemd's journal, filtered by unit, priority, boot, time and text. With unit and \
             priority the answer is quick however long the journal is.",
            Impact::Medium,
        )
        .reading(["/var/log/journal", "/run/log/journal"])
        .better_in(&["systemd-journal", "adm"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(ask, &args.asked)?;
        let boot = args.boot.map(|back| boot(ask, back)).transpose()?;
        let found = journal_entries::search(ask, &wanted, &conditions(&args, boot))?;
        let Some(found) = found else {
            let what = "this host keeps no journal: ask get_syslog";
            return Ok(Answer { entries: Vec::new(), looked: Looked::without(what) });
        };
        if found.records.is_empty() {
            known(ask, &args)?;
        }
        let entries = found.records.iter().map(describe).collect();
        Ok(Answer { entries, looked: found.looked })
    }
}

/// Refuses a unit or an identifier that the journal has never had an entry of; of one that it had there may be none that
/// fits.
fn known(ask: &Ask<'_>, args: &Args) -> Result<(), Failure> {
    let names = [
        ("unit in the journal", args.unit.as_deref().map(whole_name), &["_SYSTEMD_UNIT", "UNIT"][..]),
        ("identifier in the journal", args.identifier.clone(), &["SYSLOG_IDENTIFIER"][..]),
    ];
    for (what, wanted, fields) in names {
        let Some(wanted) = wanted else { continue };
        let (there, whole) = journal_entries::values(ask, fields)?;
        // What could not be read may have it.
        if whole && !there.is_empty() && !there.contains(&wanted) {
            return Err(unknown(what, &wanted, there));
        }
    }
    Ok(())
}

fn conditions(args: &Args, boot: Option<[u8; 16]>) -> Vec<Condition> {
    let plain = |name, value: String| Way { name, value, vouched: None };
    let mut found = Vec::new();
    if let Some(unit) = &args.unit {
        found.push(of_unit(unit));
    }
    if let Some(identifier) = &args.identifier {
        found.push(Condition { one_of: vec![plain("SYSLOG_IDENTIFIER", identifier.clone())] });
    }
    if let Some(boot) = boot {
        found.push(Condition { one_of: vec![plain("_BOOT_ID", hex(&boot))] });
    }
    if args.kernel {
        found.push(Condition { one_of: vec![plain("_TRANSPORT", "kernel".to_owned())] });
    }
    if let Some(priority) = args.priority {
        let one_of = priority.and_worse().map(|number| plain("PRIORITY", number.to_string())).collect();
        found.push(Condition { one_of });
    }
    found
}

/// The name of a unit with its kind, which is a service where it has none.
fn whole_name(unit: &str) -> String {
    if KINDS.iter().any(|kind| unit.ends_with(kind)) { unit.to_owned() } else { format!("{unit}.service") }
}

/// journalctl(1), `--unit`: what its processes wrote, and what systemd and the catcher of core dumps wrote of it.
fn of_unit(unit: &str) -> Condition {
    let unit = whole_name(unit);
    let way = |name, vouched| Way { name, value: unit.clone(), vouched };
    Condition {
        one_of: vec![
            way("_SYSTEMD_UNIT", None),
            way("UNIT", Some(("_PID", "1"))),
            way("OBJECT_SYSTEMD_UNIT", Some(("_UID", "0"))),
            way("COREDUMP_UNIT", Some(("_UID", "0"))),
        ],
    }
}

/// The boot that lies so many before the present one.
fn boot(ask: &Ask<'_>, back: i32) -> Result<[u8; 16], Failure> {
    let unknown = || Failure::new(Code::ToolFailed, "the journal of this host has no such boot");
    let back = usize::try_from(back.unsigned_abs()).unwrap_or(usize::MAX);
    let present = ask.host.line("proc/sys/kernel/random/boot_id").map(|id| id.replace('-', ""));
    let mut boots = journal_entries::boots(ask)?;
    if let Some(present) = present {
        // The present one counts even before anything of it is in the journal.
        boots.retain(|boot| hex(boot) != present);
        match back.checked_sub(1) {
            None => return parse(&present).ok_or_else(unknown),
            Some(before) => return boots.get(before).copied().ok_or_else(unknown),
        }
    }
    boots.get(back).copied().ok_or_else(unknown)
}

fn parse(id: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(id, 16).ok().filter(|_| id.len() == 32).map(u128::to_be_bytes)
}

fn describe(record: &Record) -> Entry {
    let message = record.text("MESSAGE").map(|(text, cut)| {
        let (text, more) = shown(&text);
        (text, cut || more)
    });
    let own = record.word("_SYSTEMD_UNIT");
    let unit = if record.word("_PID").as_deref() == Some("1") { record.word("UNIT").or(own) } else { own };
    Entry {
        time: record.time.to_string(),
        priority: record.number("PRIORITY").map(Severity::of),
        unit,
        identifier: record.word("SYSLOG_IDENTIFIER").or_else(|| record.word("_COMM")),
        pid: record.number("_PID"),
        uid: record.number("_UID"),
        host: record.word("_HOSTNAME"),
        boot_id: hex(&record.boot),
        truncated: message.as_ref().is_some_and(|(_, cut)| *cut),
        message: message.map(|(text, _)| text),
    }
}

#[cfg(test)]
mod tests;
