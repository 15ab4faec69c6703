//! `get_journal_logs`: the newest entries of systemd's journal, read from its files; no process, and no permission but to
//! read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::journal_entries::{self, Condition, Record, Way};
use super::log_filter::{self, Asked, USUAL, Wanted, shown};
use super::log_line::Severity;
use super::query::{Ask, HostQuery};
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
#[derive(Deserialize, JsonSchema)]
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
    /// Only messages that contain this text, in capitals or not.
    #[schemars(length(min = 1, max = 512))]
    pattern: Option<String>,
    /// Take the pattern for a regular expression (syntax of Rust's regex crate) and not for plain text.
    regex: bool,
    /// Only entries from this moment on: RFC 3339, such as 2025-11-03T06:12:56Z.
    #[schemars(length(max = 64))]
    since: Option<String>,
    /// Only entries up to this moment: RFC 3339.
    #[schemars(length(max = 64))]
    until: Option<String>,
    /// Only entries of so many last minutes; `since` goes before it.
    #[schemars(range(min = 1, max = 5_256_000))]
    minutes: Option<u32>,
    /// Most entries to give: the newest that fit.
    #[schemars(range(min = 1))]
    lines: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            unit: None,
            identifier: None,
            priority: None,
            boot: None,
            kernel: false,
            pattern: None,
            regex: false,
            since: None,
            until: None,
            minutes: None,
            lines: USUAL,
        }
    }
}

/// Entries of the journal.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The newest entries that fit, the oldest of them first.
    entries: Vec<Entry>,
    /// The files they were looked for in, those that were written last first.
    files: Vec<String>,
    /// What the answer lacks and how to narrow; empty when nothing is missing.
    left_out: Vec<String>,
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
        let boot = args.boot.map(|back| boot(ask, back)).transpose()?;
        let found = journal_entries::search(ask, &wanted, &conditions(&args, boot))?;
        let Some(found) = found else {
            let what = "this host keeps no journal: ask get_syslog";
            return Ok(Answer { entries: Vec::new(), files: Vec::new(), left_out: vec![what.to_owned()] });
        };
        let entries = found.records.iter().map(describe).collect();
        Ok(Answer { entries, files: found.files, left_out: found.left_out })
    }
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

/// journalctl(1), `--unit`: what its processes wrote, and what systemd and the catcher of core dumps wrote of it.
fn of_unit(unit: &str) -> Condition {
    let unit = if KINDS.iter().any(|kind| unit.ends_with(kind)) { unit.to_owned() } else { format!("{unit}.service") };
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
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::{ask, ask_within};
    use super::*;
    use crate::call::Progress;
    use crate::exec;

    fn asked(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    fn count(answer: &Value) -> usize {
        answer["entries"].as_array().unwrap().len()
    }

    #[test]
    fn a_unit_is_what_it_wrote_and_what_systemd_wrote_of_it_but_not_what_others_say_of_it() {
        let answer = asked(json!({"unit": "postgresql"}));
        let who: Vec<&Value> = answer["entries"].as_array().unwrap().iter().map(|entry| &entry["identifier"]).collect();
        assert_eq!(who, ["postgres", "systemd"]);
    }

    #[test]
    fn caps_hold_and_what_they_take_is_said() {
        let mut limits = LimitsSection::default();
        limits.logs.max_lines = 2;
        let host = Host::fixture("debian-vm");
        let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
        assert_eq!(count(&answer), 2);
        assert!(answer["left_out"][0].as_str().unwrap().contains("there was enough"), "{answer}");
        let failure = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({"lines": 3})).unwrap_err();
        assert_eq!(failure.code(), Code::ArgumentsInvalid);
        limits.logs.max_lines = 100;
        limits.logs.max_age_hours = 1;
        let since = json!({"since": "2025-11-01T00:00:00Z"});
        let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), since).unwrap();
        assert_eq!(count(&answer), 0, "nothing is younger than an hour: {answer}");
        assert!(answer["left_out"][0].as_str().unwrap().contains("limits.logs.max_age_hours"), "{answer}");
        limits.logs.max_age_hours = 24;
        limits.logs.max_bytes_per_file = 8192;
        let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
        assert!(answer["left_out"].to_string().contains("limits.logs.max_bytes_per_file"), "{answer}");
    }

    #[test]
    fn arguments_that_cannot_be_understood_are_refused() {
        for arguments in
            [json!({"since": "yesterday"}), json!({"pattern": "(", "regex": true}), json!({"boot": 1}), json!({"x": 1})]
        {
            let failure = ask::<Query>(&Host::fixture("debian-vm"), arguments.clone()).unwrap_err();
            assert_eq!(failure.code(), Code::ArgumentsInvalid, "{arguments}");
        }
        let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"boot": -9})).unwrap_err();
        assert_eq!(failure.code(), Code::ToolFailed);
    }

    /// What `program` writes; `None` without it, which must be allowed.
    async fn said(argv: &[&str], cap: usize) -> Option<Vec<u8>> {
        if !Path::new(argv[0]).exists() {
            let names = std::env::var("DOORWARD_MAY_SKIP").unwrap_or_default();
            let name = Path::new(argv[0]).file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                names.split(' ').any(|one| one == name),
                "{name} is not there (DOORWARD_MAY_SKIP={name} leaves it out)"
            );
            return None;
        }
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        // One of them writes a journal, more than a program may that is asked for facts.
        Some(exec::output_of_own(&argv, Duration::from_secs(60), cap).await.unwrap().expose().clone())
    }

    /// 6000 entries of three units, in the form that systemd-journal-remote takes.
    fn export() -> String {
        let mut text = String::new();
        for n in 0..6000_u64 {
            let unit = ["a", "b", "rare"][if n % 1000 == 7 { 2 } else { usize::from(n % 2 == 0) }];
            let message = if n % 50 == 0 { format!("long {n} {}", "x ".repeat(700)) } else { format!("message {n}") };
            text += &format!(
                "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=5f0c1d2e3a4b4c5d8e9f001122334455\n\
                 PRIORITY={}\n_SYSTEMD_UNIT={unit}.service\n_PID={}\nSYSLOG_IDENTIFIER={unit}\nMESSAGE={message}\n\n",
                n.saturating_mul(1000).saturating_add(1_762_240_000_000_000),
                n.saturating_mul(1000).saturating_add(1_000_000),
                n % 8,
                (n % 3).saturating_add(100),
            );
        }
        text
    }

    #[tokio::test]
    async fn neither_a_filter_nor_the_cut_leaves_a_part_of_a_secret() {
        const LINE: &str = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVG";
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("var/log/journal/0123");
        std::fs::create_dir_all(&folder).unwrap();
        let start = u64::try_from(crate::clock::Clock::system().now().millis()).unwrap() - 200_000;
        let long = format!("{} dop_v1_{}", "y".repeat(4096 - 21), "a1b2c3d4".repeat(8));
        let mut messages = vec!["-----BEGIN PRIVATE KEY-----"];
        messages.extend([LINE; 100]);
        messages.extend(["-----END PRIVATE KEY-----", "password=Qz7kLm", &long]);
        let text: String = (0_u64..)
            .zip(&messages)
            .map(|(n, message)| {
                format!(
                    "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=5f0c1d2e3a4b4c5d8e9f001122334455\n\
                     PRIORITY=6\nMESSAGE={message}\n\n",
                    (start + n * 1000) * 1000,
                    n * 1000 + 1,
                )
            })
            .collect();
        let (input, output) = (root.path().join("export"), folder.join("system.journal"));
        std::fs::write(&input, text).unwrap();
        let output = format!("--output={}", output.display());
        let remote = "/lib/systemd/systemd-journal-remote";
        if said(&[remote, &output, &input.to_string_lossy()], 1 << 16).await.is_none() {
            return;
        }
        let time = |n: u64| crate::clock::Timestamp::from_millis(i64::try_from(start + n * 1000).unwrap()).to_string();
        for (arguments, most) in [
            (json!({"pattern": "^[A-Za-z0-9+/=]{40,64}$", "regex": true}), 0),
            (json!({"pattern": "(?-i)password=Q", "regex": true}), 0),
            (json!({"since": time(20), "until": time(40), "lines": 1000}), 21),
            (json!({"until": time(50), "lines": 3}), 3),
            (json!({"lines": 10}), 10),
            (json!({"lines": 1000}), messages.len()),
        ] {
            let answer = ask::<Query>(&Host::folder(root.path()), arguments.clone()).unwrap();
            assert_eq!(count(&answer), most, "{arguments}");
            let text = answer.to_string();
            assert!(![LINE, "Qz7", "dop_"].iter().any(|secret| text.contains(secret)), "{arguments}: {text}");
        }
    }

    #[tokio::test]
    async fn the_answers_are_those_of_journalctl() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("var/log/journal/0123");
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["stat", "uptime"] {
            std::fs::create_dir_all(root.path().join("proc")).unwrap();
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host/debian-vm/proc").join(file);
            std::fs::copy(from, root.path().join("proc").join(file)).unwrap();
        }
        let (input, journal) = (root.path().join("export"), folder.join("system.journal"));
        std::fs::write(&input, export()).unwrap();
        let output = format!("--output={}", journal.display());
        let remote = "/lib/systemd/systemd-journal-remote";
        if said(&[remote, &output, &input.to_string_lossy()], 1 << 16).await.is_none() {
            return;
        }
        let file = format!("--file={}", journal.display());
        for (options, arguments) in [
            (&["--lines=1000"][..], json!({"lines": 1000})),
            (&["--unit=rare.service"], json!({"unit": "rare", "lines": 1000})),
            (
                &["--unit=a.service", "--priority=err", "--lines=300"],
                json!({"unit": "a", "priority": "error", "lines": 300}),
            ),
            (&["--identifier=b", "--lines=7"], json!({"identifier": "b", "lines": 7})),
            (
                &["--since=2025-11-04 07:06:41 UTC", "--until=2025-11-04 07:06:42 UTC", "--priority=0..2"],
                json!({"since": "2025-11-04T07:06:41Z", "until": "2025-11-04T07:06:42Z", "priority": "critical", "lines": 1000}),
            ),
        ] {
            let mut argv = vec!["/usr/bin/journalctl", &file, "--output=json", "--no-pager", "--all"];
            argv.extend(options);
            let Some(bytes) = said(&argv, 64 << 20).await else { return };
            let theirs: Vec<(u64, String, String)> = String::from_utf8(bytes)
                .unwrap()
                .lines()
                .map(|line| {
                    let entry: Value = serde_json::from_str(line).unwrap();
                    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                    (
                        text("__REALTIME_TIMESTAMP").parse::<u64>().unwrap() / 1000,
                        text("_SYSTEMD_UNIT"),
                        text("MESSAGE"),
                    )
                })
                .collect();
            assert!(!theirs.is_empty(), "{options:?}");
            let answer = ask::<Query>(&Host::folder(root.path()), arguments).unwrap();
            let ours: Vec<(u64, String, String)> = answer["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| {
                    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
                    let time = super::super::log_time::rfc3339(&text("time")).unwrap();
                    (u64::try_from(time.millis()).unwrap(), text("unit"), text("message"))
                })
                .collect();
            assert_eq!(ours, theirs, "{options:?}");
        }
    }
}
