//! What of a journal line the header, the structured data and CEF name.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 5424 section 6.2.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Severity {
    /// 3
    Error,
    /// 4
    Warning,
    /// 5
    Notice,
    /// 6
    Informational,
}

impl Severity {
    /// How much an event matters to one who watches.
    pub(super) fn of(event: &str) -> Self {
        match event {
            "audit_gap" => Self::Error,
            "auth_failure" | "query_denied" | "limit_exceeded" | "warning" | "unclean_stop" => Self::Warning,
            "start" | "stop" | "config_reload" => Self::Notice,
            _ => Self::Informational,
        }
    }

    /// Its number in syslog: the lower the worse.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Informational => 6,
        }
    }
}

type Text<'a> = Option<Cow<'a, str>>;

/// The members of a journal line.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields<'a> {
    pub(super) seq: u64,
    pub(super) ts: Text<'a>,
    pub(super) event: Text<'a>,
    pub(super) stage: Text<'a>,
    pub(super) id: Text<'a>,
    pub(super) query: Text<'a>,
    #[serde(borrow)]
    pub(super) params: Option<&'a RawValue>,
    pub(super) client: Client<'a>,
    pub(super) user: Text<'a>,
    pub(super) agent: Vec<Cow<'a, str>>,
    pub(super) scopes: Vec<Cow<'a, str>>,
    pub(super) resource: Text<'a>,
    pub(super) decision: Text<'a>,
    pub(super) result: Text<'a>,
    pub(super) reason: Text<'a>,
    pub(super) detail: Text<'a>,
    #[serde(borrow)]
    pub(super) policy: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) checkpoint: Option<&'a RawValue>,
    pub(super) duration_ms: Option<u64>,
    pub(super) output_bytes: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) prev: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Client<'a> {
    pub(super) transport: Text<'a>,
    pub(super) ip: Text<'a>,
    pub(super) subject: Text<'a>,
}

impl<'a> Fields<'a> {
    /// Reads a line. One that is not as this version writes them has no fields but its number: it is sent all the same.
    pub(super) fn of(line: &'a [u8], seq: u64) -> Self {
        let read: Option<Self> = serde_json::from_slice(line).ok();
        Self { seq, ..read.unwrap_or_default() }
    }

    /// The event; empty when there is none.
    pub(super) fn event(&self) -> &str {
        self.event.as_deref().unwrap_or_default()
    }

    /// When it happened, in milliseconds since the epoch, and as it is written.
    pub(super) fn time(&self) -> Option<(i64, &str)> {
        let text = self.ts.as_deref()?;
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = i64::try_from(at.unix_timestamp_nanos().checked_div(1_000_000)?).ok()?;
        // RFC 5424 section 6.2.3 takes no more than six digits of a second, and nothing in lower case.
        (text.len() <= 27 && text.ends_with('Z') && text.contains('T')).then_some((millis, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_found_and_an_odd_line_has_its_number() {
        let line = br#"{"seq":7,"v":1,"ts":"2026-11-20T10:30:45.123Z","event":"query","client":{"ip":"::1"},"agent":["a\"b"],"new":1}"#;
        let fields = Fields::of(line, 7);
        assert_eq!((fields.seq, fields.event(), fields.client.ip.as_deref()), (7, "query", Some("::1")));
        assert_eq!(fields.agent, ["a\"b"]);
        assert_eq!(fields.time(), Some((1_795_170_645_123, "2026-11-20T10:30:45.123Z")));
        for odd in [&b"{\"seq\":7,\"event\":3}"[..], b"{\"seq\":7,", b"\xff"] {
            let fields = Fields::of(odd, 7);
            assert_eq!((fields.seq, fields.event(), fields.time()), (7, "", None));
        }
    }

    #[test]
    fn a_time_that_syslog_does_not_take_is_none() {
        for ts in ["2026-11-20T10:30:45.123456789Z", "2026-11-20T10:30:45", "yesterday", "2026-11-20T10:30:45+01:00"] {
            let line = format!("{{\"ts\":\"{ts}\"}}");
            assert_eq!(Fields::of(line.as_bytes(), 1).time(), None, "{ts}");
        }
    }
}
