//! A line of a syslog file, in the traditional form (RFC 3164) or with an ISO time, as rsyslog and syslog-ng write them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::log_time::Stamps;
use crate::clock::Timestamp;

/// RFC 5424, table 2: how bad it is, from the worst down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    /// The system is unusable.
    Emergency,
    /// Something must be done at once.
    Alert,
    /// A critical condition.
    Critical,
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// Normal, but worth notice.
    Notice,
    /// For information.
    Info,
    /// For those who look for a fault.
    Debug,
}

impl Severity {
    const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Info,
        Self::Debug,
    ];

    /// From its number, or from the last three bits of a priority.
    pub(super) fn of(priority: u32) -> Self {
        let number = usize::try_from(priority & 7).unwrap_or(7);
        Self::ALL.get(number).copied().unwrap_or(Self::Debug)
    }

    /// Those that are at least as bad, with their numbers.
    pub(super) fn and_worse(self) -> impl Iterator<Item = usize> {
        Self::ALL.into_iter().enumerate().filter(move |(_, severity)| *severity <= self).map(|(number, _)| number)
    }
}

/// RFC 5424, table 1: the names of the facilities by their numbers.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The facility in a priority.
pub(super) fn facility(priority: u32) -> Option<&'static str> {
    FACILITIES.get(usize::try_from(priority >> 3).ok()?).copied()
}

/// What one line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// When it was written.
    pub(super) time: Timestamp,
    /// The severity and the facility, where the file keeps them.
    pub(super) priority: Option<u32>,
    /// The host that it came from.
    pub(super) host: Option<&'a str>,
    /// Who wrote it.
    pub(super) program: Option<&'a str>,
    /// The process that wrote it.
    pub(super) pid: Option<u32>,
    /// What it says.
    pub(super) message: &'a str,
}

impl<'a> Line<'a> {
    /// `None` for what does not begin with a time: it goes on from the line before.
    pub(super) fn parse(stamps: &Stamps, line: &'a str) -> Option<Self> {
        let (priority, line) = priority(line);
        let (time, rest) = stamps.leading(line)?;
        let rest = rest.strip_prefix(' ')?;
        let (host, rest) = match rest.split_once(' ') {
            // Some leave the host out; a tag has a colon, a name has none.
            Some((word, after)) if !word.contains([':', '[']) => (Some(word), after),
            _ => (None, rest),
        };
        let (program, pid, message) = tag(rest);
        Some(Self { time, priority, host, program, pid, message })
    }

    /// How bad it is, where the file says.
    pub(super) fn severity(&self) -> Option<Severity> {
        self.priority.map(Severity::of)
    }
}

/// `<34>` at the start of a line, for files that keep it.
fn priority(line: &str) -> (Option<u32>, &str) {
    let found = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match found.and_then(|(number, rest)| Some((number.parse().ok().filter(|number| *number < 192)?, rest))) {
        Some((number, rest)) => (Some(number), rest),
        None => (None, line),
    }
}

/// `program[123]: message` in its parts.
fn tag(text: &str) -> (Option<&str>, Option<u32>, &str) {
    let Some((tag, message)) = text.split_once(": ").or_else(|| Some((text.strip_suffix(':')?, ""))) else {
        return (None, None, text);
    };
    if tag.is_empty() || tag.len() > 128 || tag.contains(' ') {
        return (None, None, text);
    }
    match tag.strip_suffix(']').and_then(|tag| tag.rsplit_once('[')) {
        Some((program, pid)) => (Some(program), pid.parse().ok(), message),
        None => (Some(tag), None, message),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Host;
    use super::*;

    fn line(text: &str) -> Option<Line<'_>> {
        Line::parse(&Stamps::of(&Host::folder("/nonexistent")), text)
    }

    #[test]
    fn a_line_comes_apart_into_its_fields() {
        let found = line("2025-11-03T06:12:56.340Z web01 sshd[812]: Connection closed: [preauth]").unwrap();
        assert_eq!((found.host, found.program, found.pid), (Some("web01"), Some("sshd"), Some(812)));
        assert_eq!((found.message, found.severity()), ("Connection closed: [preauth]", None));
        assert_eq!(found.time.to_string(), "2025-11-03T06:12:56.340Z");
        let found = line("<30>Nov  3 06:12:56 web01 postfix/smtpd[7]: connect").unwrap();
        assert_eq!((found.program, found.severity()), (Some("postfix/smtpd"), Some(Severity::Info)));
        assert_eq!(found.priority.and_then(facility), Some("daemon"));
        let found = line("Nov  3 06:12:56 web01 kernel: [    0.5] x: y").unwrap();
        assert_eq!((found.program, found.pid, found.message), (Some("kernel"), None, "[    0.5] x: y"));
        let found = line("Nov  3 06:12:56 web01 -- MARK --").unwrap();
        assert_eq!((found.program, found.message), (None, "-- MARK --"));
        let found = line("Nov  3 06:12:56 sudo: alice : TTY=pts/0").unwrap();
        assert_eq!((found.host, found.program, found.message), (None, Some("sudo"), "alice : TTY=pts/0"));
        assert_eq!(line("    at Main.java:7"), None);
        assert_eq!(line("<999>Nov  3 06:12:56 h p: m"), None);
    }

    #[test]
    fn numbers_have_the_names_of_the_standard() {
        assert_eq!((Severity::of(0), Severity::of(34)), (Severity::Emergency, Severity::Critical));
        assert_eq!(Severity::Error.and_worse().collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!((facility(34), facility(10 << 3), facility(24 << 3)), (Some("auth"), Some("authpriv"), None));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|(<[0-9]{0,4}>)?Nov  3 06:12:56 [a-z\\[\\]: é]{0,40}") {
            let _ = line(&text);
        }
    }
}
