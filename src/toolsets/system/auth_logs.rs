//! `get_auth_logs`: who came in, who tried to, who became somebody else. Sensitive: it names people and where they are.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth_event::{self, Kind, Meaning};
use super::budget;
use super::journal_entries::{self, Condition, Way};
use super::log_files::{self, Format, Log, why};
use super::log_filter::{self, Asked, Looked, Wanted, shown};
use super::log_line::Line;
use super::log_time::Stamps;
use super::login_records::{self, Event as LoginEvent, Record};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::guard::LimitsSection;

/// Where the log is: Debian and its kin, Red Hat and its kin.
const LOGS: [&str; 2] = ["var/log/auth.log", "var/log/secure"];

pub(super) struct Query;

/// Which events.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Where to look.
    source: Source,
    /// Only events of this kind.
    kind: Option<Kind>,
    /// Only events with this user, as the one who acts or the one acted upon.
    #[schemars(length(min = 1, max = 256))]
    user: Option<String>,
    /// Only events from this address or host name.
    #[schemars(length(min = 1, max = 256))]
    address: Option<String>,
    /// Time, text and number.
    #[serde(flatten)]
    asked: Asked,
}

/// Where events are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// The log of authentication: /var/log/auth.log or /var/log/secure, or else the journal.
    #[default]
    Log,
    /// Logins and logouts that were recorded: /var/log/wtmp.
    Logins,
    /// Logins that failed: /var/log/btmp.
    FailedLogins,
    /// The last login of each user, however long ago: /var/log/lastlog.
    LastLogins,
}

/// Events.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The newest events that fit, the oldest of them first.
    events: Vec<Event>,
    /// Where it was looked, and what is missing.
    #[serde(flatten)]
    looked: Looked,
}

/// One event.
#[derive(Serialize, JsonSchema)]
struct Event {
    /// When: RFC 3339, UTC.
    time: String,
    /// What happened.
    kind: Kind,
    /// Who did it, or tried to, as the log names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Whether the host has no such user; only where the log says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unknown_user: bool,
    /// Whom they became.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_user: Option<String>,
    /// Where they came from: an address or a host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// The port there.
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// How they proved who they are: password, publickey and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// The terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    tty: Option<String>,
    /// What was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// When they left: RFC 3339, UTC; only with logins.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// The program that logged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    /// Process id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// The message as it was logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Whether the end of the message is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Event {
    fn new(time: Timestamp, program: Option<&str>, pid: Option<u32>, message: &str) -> Self {
        let message = message.trim_start();
        let meaning = auth_event::read(program.unwrap_or_default(), message);
        let Meaning { kind, user, target_user, address, port, method, tty, command, unknown_user } = meaning;
        let (message, truncated) = shown(message);
        Self {
            time: time.to_string(),
            kind: kind.unwrap_or(Kind::Other),
            user,
            unknown_user,
            target_user,
            address,
            port,
            method,
            tty,
            command: command.map(|command| shown(&command).0),
            ended: None,
            program: program.map(str::to_owned),
            pid,
            message: Some(message),
            truncated,
        }
    }

    fn of(record: &Record, kind: Kind) -> Self {
        let written = record.address.map(|address| address.to_string());
        let person = matches!(kind, Kind::Login | Kind::Failure | Kind::Logout);
        Self {
            time: record.time.to_string(),
            kind,
            user: record.user.clone().filter(|_| person),
            unknown_user: false,
            target_user: None,
            address: written.or_else(|| record.host.clone().filter(|_| person)),
            port: None,
            method: None,
            tty: record.line.clone().filter(|line| line != "~"),
            command: None,
            ended: None,
            program: None,
            pid: record.pid,
            // With a start or stop of the host it is the release of the kernel.
            message: record.host.clone().filter(|_| !person),
            truncated: false,
        }
    }

    fn fits(&self, args: &Args) -> bool {
        let user = |wanted: &String| self.user.as_ref() == Some(wanted) || self.target_user.as_ref() == Some(wanted);
        args.kind.is_none_or(|kind| kind == self.kind)
            && args.user.as_ref().is_none_or(user)
            && args.address.as_ref().is_none_or(|wanted| self.address.as_ref() == Some(wanted))
    }
}

/// Lines of the log, filtered.
struct Lines<'a> {
    stamps: Stamps,
    args: &'a Args,
}

impl Format for Lines<'_> {
    type Entry = Event;

    const FIELD: &'static str = "events.message";

    fn time(&self, line: &str) -> Option<Timestamp> {
        Line::parse(&self.stamps, line).map(|line| line.time)
    }

    fn message(&self, line: &str) -> usize {
        Line::parse(&self.stamps, line).map_or(0, |parsed| line.len().saturating_sub(parsed.message.len()))
    }

    fn entry(&self, line: &str) -> Option<Event> {
        let line = Line::parse(&self.stamps, line)?;
        Some(Event::new(line.time, line.program, line.pid, line.message)).filter(|event| event.fits(self.args))
    }
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_auth_logs",
            "Authentication log",
            "Logins, failed logins, sudo, su, sessions and changes of accounts, each with user, address and time: from the \
             log of authentication or the journal, or the records of logins, failed logins and last logins.",
            Impact::Medium,
        )
        .reading(["/var/log", "/run/log/journal", "/etc/passwd", "/etc/localtime", "/usr/share/zoneinfo"]).better_with("CAP_DAC_READ_SEARCH");
        ToolSpec { sensitive: true, ..spec }
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(ask, &args.asked)?;
        match args.source {
            Source::Log => log(ask, &args, &wanted),
            Source::Logins => recorded(ask, &args, &wanted, "var/log/wtmp"),
            Source::FailedLogins => recorded(ask, &args, &wanted, "var/log/btmp"),
            Source::LastLogins => last_logins(ask, &args),
        }
    }
}

fn log(ask: &Ask<'_>, args: &Args, wanted: &Wanted) -> Result<Answer, Failure> {
    if let Some(log) = LOGS.into_iter().find(|log| log_files::exists(ask.host, log)) {
        let open = |path: &str| ask.host.file(path);
        let log = Log { open: &open, files: log_files::rotated(ask.host, log) };
        let found = log_files::read(ask, &log, wanted, &Lines { stamps: Stamps::of(ask.host), args })?;
        return Ok(Answer { events: found.entries, looked: found.looked });
    }
    // 4 is auth and 10 is authpriv.
    let way = |value: &str| Way { name: "SYSLOG_FACILITY", value: value.to_owned(), vouched: None };
    let conditions = vec![Condition { one_of: vec![way("4"), way("10")] }];
    let Some(found) = journal_entries::search(ask, wanted, &conditions)? else {
        return Ok(nothing("this host has neither /var/log/auth.log nor /var/log/secure nor a journal".to_owned()));
    };
    let events = found.records.iter().map(|record| {
        let program = record.word("SYSLOG_IDENTIFIER").or_else(|| record.word("_COMM"));
        let message = record.text("MESSAGE").unwrap_or_default().0;
        Event::new(record.time, program.as_deref(), record.number("_PID"), &message)
    });
    let events: Vec<Event> = events.filter(|event| event.fits(args)).collect();
    Ok(Answer { events, looked: found.looked })
}

fn nothing(why: String) -> Answer {
    Answer { events: Vec::new(), looked: Looked { files: Vec::new(), left_out: vec![why] } }
}

/// wtmp, or btmp, which has the same form.
fn recorded(ask: &Ask<'_>, args: &Args, wanted: &Wanted, path: &str) -> Result<Answer, Failure> {
    let failed = path.ends_with("btmp");
    let cap = ask.limits.logs.max_bytes_per_file;
    let read = ask.host.file(path).and_then(|(file, about)| login_records::records(file, about.len(), cap));
    let (records, more) = match read {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(nothing(format!("/{path} of this host makes no sense"))),
        Err(error) => return Ok(nothing(format!("/{path} could not be read: {}", why(&error)))),
    };
    let mut events: Vec<Event> = Vec::new();
    // By terminal, the login that is still open.
    let mut open: HashMap<String, usize> = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        if at.checked_rem(4096) == Some(0) {
            ask.go_on()?;
        }
        let kind = match record.event {
            LoginEvent::Login if failed => Kind::Failure,
            LoginEvent::Login => Kind::Login,
            LoginEvent::Logout => Kind::Logout,
            LoginEvent::Boot => Kind::Boot,
            LoginEvent::Shutdown => Kind::Shutdown,
        };
        let event = Event::of(record, kind);
        let ended = |index: usize, events: &mut Vec<Event>| {
            if let Some(login) = events.get_mut(index) {
                login.ended = Some(event.time.clone());
            }
        };
        match (kind, &record.line) {
            (Kind::Logout, Some(line)) => {
                if let Some(index) = open.remove(line) {
                    ended(index, &mut events);
                }
            }
            (Kind::Boot | Kind::Shutdown, _) => open.drain().for_each(|(_, index)| ended(index, &mut events)),
            (Kind::Login, Some(line)) => {
                open.insert(line.clone(), events.len());
            }
            _ => {}
        }
        events.push(event);
    }
    let counts = |(event, record): (Event, &Record)| {
        let words = [event.user.as_deref(), event.address.as_deref(), event.tty.as_deref()];
        let text: Vec<&str> = words.into_iter().flatten().collect();
        (wanted.covers(record.time) && event.fits(args) && wanted.fits(&text.join(" "))).then_some(event)
    };
    let mut events: Vec<Event> = events.into_iter().zip(&records).filter_map(counts).collect();
    let left = events.len().saturating_sub(wanted.lines);
    events.drain(..left);
    if more {
        budget::cut(&format!("only the last {cap} bytes of a log were read (limits.logs.max_bytes_per_file)"));
    }
    let note = format!("only the last {cap} bytes of /{path} were read, or fewer (limits.logs.max_bytes_per_file)");
    let left_out = wanted.left_out(left, more.then_some(note).into_iter().collect());
    Ok(Answer { events, looked: Looked { files: vec![format!("/{path}")], left_out } })
}

/// One event a user; the age does not count, for it is a table and no log.
fn last_logins(ask: &Ask<'_>, args: &Args) -> Result<Answer, Failure> {
    const PATH: &str = "var/log/lastlog";
    let (file, about) = match ask.host.file(PATH) {
        Ok(found) => found,
        Err(error) => return Ok(nothing(format!("/{PATH} could not be read: {}", why(&error)))),
    };
    let passwd = ask.host.find("etc/passwd").unwrap_or_default();
    let users: HashMap<u32, &str> = passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, uid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
            Some((uid, name))
        })
        .collect();
    let uids: Vec<u32> = users.keys().copied().collect();
    let mut found = login_records::last_logins(&file, about.len(), &uids);
    found.sort_by_key(|(uid, record)| (record.time, *uid));
    let mut events = Vec::new();
    for (uid, record) in found {
        let user = users.get(&uid).map(|name| (*name).to_owned());
        let event = Event { user, ..Event::of(&record, Kind::Login) };
        if event.fits(args) {
            events.push(event);
        }
    }
    let left = events.len().saturating_sub(args.asked.lines);
    events.drain(..left);
    let left_out =
        (left > 0).then(|| format!("{left} users with an older last login were left out: ask for more with lines"));
    let looked = Looked { files: vec![format!("/{PATH}")], left_out: left_out.into_iter().collect() };
    Ok(Answer { events, looked })
}
