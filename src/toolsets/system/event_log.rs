//! `get_event_log`: the kernel's audit log, which says who did what, allowed or not. Sensitive: it has commands and paths.

use std::borrow::Cow;
use std::io::ErrorKind;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audit_record::AuditRecord;
use super::log_files::{self, Format, Log};
use super::log_filter::{self, Asked, Looked, Wanted, shown};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::guard::{Before, LimitsSection};

/// Where auditd(8) writes.
const LOG: &str = "var/log/audit/audit.log";

pub(super) struct Query;

/// Which events.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only records of this type, such as USER_LOGIN, USER_AUTH, SYSCALL, AVC, EXECVE or CONFIG_CHANGE.
    #[schemars(length(min = 1, max = 64))]
    r#type: Option<String>,
    /// Only records about this account, or by this user id or login user id.
    #[schemars(length(min = 1, max = 256))]
    user: Option<String>,
    /// Only records of a rule with this key (auditctl -k).
    #[schemars(length(min = 1, max = 256))]
    key: Option<String>,
    /// Only what was done (true) or what was refused or failed (false).
    success: Option<bool>,
    /// Time, text and number.
    #[serde(flatten)]
    asked: Asked,
}

/// Records of the audit log.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The newest records that fit, the oldest of them first. Records of one event have one serial number.
    events: Vec<Event>,
    /// Where it was looked, and what is missing.
    #[serde(flatten)]
    looked: Looked,
}

/// One record.
#[derive(Serialize, JsonSchema)]
struct Event {
    /// When: RFC 3339, UTC.
    time: String,
    /// The number of the event; several records can tell of one.
    serial: u64,
    /// The type of the record.
    r#type: String,
    /// Whether it was done; absent where the record does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    /// What was tried, such as PAM:authentication or login.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<String>,
    /// The account it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Id of the user it was done as.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    /// Id of the user who logged in first, through whatever they became since. Absent for what nobody logged in for.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_uid: Option<u32>,
    /// Number of the login session.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u32>,
    /// Process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// Name of the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// The command line, where the record has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// The file it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The address it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<String>,
    /// The number of the system call, as the architecture counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    syscall: Option<u32>,
    /// The key of the rule that made the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// All that the record says, as it was written; what is in hexadecimal and has a secret in it is written out without.
    text: String,
    /// Whether the end of the text is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Lines of the log, filtered.
struct Lines<'a> {
    args: &'a Args,
    redactor: &'a Before<'a>,
}

impl Format for Lines<'_> {
    type Entry = Event;

    const FIELD: &'static str = "events.text";

    fn time(&self, line: &str) -> Option<Timestamp> {
        AuditRecord::parse(line).map(|record| record.time)
    }

    /// Arguments and titles of processes are in hexadecimal, or each in quotes of its own: no form of a secret is seen there.
    fn disclosed(&self, line: &str, redactor: &Before<'_>) -> Option<String> {
        let record = AuditRecord::parse(line)?;
        let quoted = |text: &str| {
            let plain = text.chars().map(|c| {
                if c.is_control() {
                    ' '
                } else if c == '"' {
                    '\''
                } else {
                    c
                }
            });
            format!("\"{}\"", plain.collect::<String>())
        };
        if let Some(arguments) = record.quoted_arguments()
            && let Cow::Owned(clean) = redactor.clean(&arguments)
        {
            let head = line.get(..line.find(" a0=")?)?;
            return Some(format!("{head} cmd={}", quoted(&clean)));
        }
        let mut told: Option<String> = None;
        for (written, plain) in record.hidden() {
            if let Cow::Owned(clean) = redactor.clean(&plain) {
                told = Some(told.as_deref().unwrap_or(line).replace(written, &quoted(&clean)));
            }
        }
        told
    }

    fn entry(&self, line: &str) -> Option<Event> {
        let event = describe(&AuditRecord::parse(line)?, self.redactor);
        let args = self.args;
        let user = |wanted: &String| {
            let id = |uid: Option<u32>| uid.is_some_and(|uid| uid.to_string() == *wanted);
            event.account.as_ref() == Some(wanted) || id(event.uid) || id(event.login_uid)
        };
        let fits = args.r#type.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(&event.r#type))
            && args.user.as_ref().is_none_or(user)
            && args.key.as_ref().is_none_or(|wanted| event.key.as_ref() == Some(wanted))
            && args.success.is_none_or(|wanted| event.success == Some(wanted));
        fits.then_some(event)
    }
}

fn describe(record: &AuditRecord<'_>, redactor: &Before<'_>) -> Event {
    // What is unset is written as the largest number.
    let number =
        |name: &str| record.plain(name).and_then(|text| text.parse().ok()).filter(|number| *number != u32::MAX);
    let known = |name: &str| record.value(name).filter(|text| text != "?" && text != "(null)" && text != "(none)");
    let result = record.plain("success").or_else(|| record.plain("res"));
    let command = record.arguments().or_else(|| known("proctitle")).or_else(|| known("cmd"));
    // Security modules say so in words of their own.
    let refused =
        record.kind == "AVC" && (record.plain("apparmor") == Some("DENIED") || record.text.starts_with("avc:  denied"));
    let (text, truncated) = shown(record.text);
    Event {
        time: record.time.to_string(),
        serial: record.serial,
        r#type: record.kind.to_owned(),
        success: match result {
            Some("yes" | "success" | "1") => Some(true),
            Some("no" | "failed" | "0") => Some(false),
            _ => refused.then_some(false),
        },
        operation: known("op"),
        account: known("acct"),
        uid: number("uid"),
        login_uid: number("auid"),
        session: number("ses"),
        pid: number("pid"),
        process: known("comm"),
        program: known("exe"),
        // It may have been in hexadecimal, where no secret is seen.
        command: command.map(|command| shown(&redactor.clean(&command)).0),
        path: known("name"),
        address: known("addr"),
        tty: known("terminal").or_else(|| known("tty")),
        syscall: number("syscall"),
        key: known("key"),
        text,
        truncated,
    }
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_event_log",
            "Security events",
            "Records of the kernel's audit log (auditd): logins, authentication, commands, file access and refusals by \
             security modules, with user, process, outcome and rule.",
            Impact::Medium,
        )
        .reading(["/var/log/audit"])
        .better_with("CAP_DAC_READ_SEARCH");
        ToolSpec { sensitive: true, ..spec }
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(ask, &args.asked)?;
        let missing = match ask.host.names("var/log/audit").map_err(|error| error.kind()) {
            Ok(_) => None,
            Err(ErrorKind::PermissionDenied) => {
                Some("/var/log/audit is shut: the daemon's user needs the group that auditd.conf names (log_group)")
            }
            Err(_) => Some("this host has no /var/log/audit, so auditd does not run on it: ask get_auth_logs"),
        };
        if let Some(what) = missing {
            return Ok(Answer { events: Vec::new(), looked: Looked::without(what) });
        }
        let open = |path: &str| ask.host.file(path);
        let log = Log { open: &open, files: log_files::rotated(ask.host, LOG) };
        let redactor = ask.redactor("events.command")?;
        let lines = Lines { args: &args, redactor: &redactor };
        let found = log_files::read(ask, &log, &wanted, &lines)?;
        Ok(Answer { events: found.entries, looked: found.looked })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Clock;
    use crate::toolsets::system::Host;
    use crate::toolsets::system::query::ask;

    /// What the log answers that has these records, of now.
    fn events(records: &[(&str, &str)], arguments: serde_json::Value) -> serde_json::Value {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("var/log/audit")).unwrap();
        let seconds = Clock::system().now().millis() / 1000;
        let line = |(kind, text): &(&str, &str)| format!("type={kind} msg=audit({seconds}.000:7): {text}\n");
        let lines: String = records.iter().map(line).collect();
        std::fs::write(folder.path().join("var/log/audit/audit.log"), lines).unwrap();
        ask::<Query>(&Host::folder(folder.path()), arguments).unwrap()["events"].clone()
    }

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02X}")).collect()
    }

    #[test]
    fn a_secret_in_hexadecimal_is_in_no_field_and_is_not_found_by_a_pattern() {
        let title = hex("mysql\0-uroot\0-pVq3LmWz8");
        let records = [("PROCTITLE", &*format!("proctitle={title}"))];
        let found = events(&records, json!({}));
        assert_eq!(found[0]["command"], "mysql -uroot -p[REDACTED]");
        assert_eq!(found[0]["text"], "proctitle=\"mysql -uroot -p[REDACTED]\"");
        assert_eq!(events(&records, json!({"pattern": title.get(30..44)})), json!([]));
        let plain = hex("nginx: worker\0process");
        let found = events(&[("PROCTITLE", &*format!("proctitle={plain}"))], json!({}));
        assert_eq!(
            (&found[0]["text"], &found[0]["command"]),
            (&json!(format!("proctitle={plain}")), &json!("nginx: worker process"))
        );
    }

    #[test]
    fn a_secret_among_arguments_in_quotes_of_their_own_is_in_no_field() {
        let hidden = hex("Correct Horse 42");
        for (text, wanted) in [
            (r#"argc=3 a0="app" a1="--password" a2="Vq3LmWz8""#.to_owned(), "app --password [REDACTED]"),
            (format!(r#"argc=3 a0="sshpass" a1="-p" a2={hidden}"#), "sshpass -p [REDACTED]"),
            (r#"argc=2 a0="mysql" a1="-pVq3LmWz8""#.to_owned(), "mysql -p[REDACTED]"),
        ] {
            let found = events(&[("EXECVE", &text)], json!({}));
            assert_eq!(found[0]["command"], wanted, "{text}");
            let shown = found[0]["text"].as_str().unwrap();
            assert!(shown.ends_with(&format!("cmd=\"{wanted}\"")) && shown.starts_with("argc="), "{shown}");
        }
        let plain = r#"argc=2 a0="ls" a1="-l""#;
        assert_eq!(events(&[("EXECVE", plain)], json!({}))[0]["text"], plain);
    }
}
