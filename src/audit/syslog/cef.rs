//! One record in the Common Event Format (ArcSight, "Implementing ArcSight CEF", revision 25): a header between bars, then
//! `key=value` pairs of its dictionary.

use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use super::fields::{Fields, Severity};

/// The event of a journal line.
pub(super) fn event(line: &[u8], fields: &Fields<'_>, host: &str) -> String {
    let event = if fields.event().is_empty() { "record" } else { fields.event() };
    let mut text = String::from("CEF:0|Doorward|doorward|");
    for part in [env!("CARGO_PKG_VERSION"), event, &event.replace('_', " ")] {
        header(&mut text, part);
        text.push('|');
    }
    let severity = match Severity::of(fields.event()) {
        Severity::Error => "8|",
        Severity::Warning => "6|",
        Severity::Notice => "4|",
        Severity::Informational => "3|",
    };
    text.push_str(severity);
    let mut pairs = Pairs { text, any: false };
    if let Some((millis, _)) = fields.time() {
        pairs.put("rt", millis);
    }
    pairs.put("externalId", fields.seq);
    if host != "-" {
        pairs.put("dvchost", host);
    }
    source(&mut pairs, fields);
    pairs.text("act", fields.query.as_deref(), 63);
    pairs.text("outcome", fields.result.as_deref().or(fields.decision.as_deref()), 63);
    pairs.text("reason", fields.reason.as_deref(), 1023);
    if let Some(count) = fields.count {
        pairs.put("cnt", count);
    }
    if let Some(bytes) = fields.output_bytes {
        pairs.put("out", bytes);
    }
    if let Some(millis) = fields.duration_ms {
        pairs.put("cn1Label", "duration_ms");
        pairs.put("cn1", millis);
    }
    let agents = (!fields.agent.is_empty()).then(|| fields.agent.join(","));
    // Of a checkpoint the statement and its signature leave, or losing the end of the journal would not be seen.
    let third = fields.checkpoint.map_or(("policy", fields.policy), |statement| ("checkpoint", Some(statement)));
    for (number, (label, value)) in (1_u8..).zip([
        ("resource", fields.resource.as_deref()),
        ("agent", agents.as_deref()),
        (third.0, third.1.map(|raw| raw.get())),
        ("call", fields.id.as_deref()),
        ("params", fields.params.map(|raw| raw.get())),
        ("prev", fields.prev.as_deref()),
    ]) {
        if let Some(value) = value {
            pairs.put(&format!("cs{number}Label"), label);
            pairs.text(&format!("cs{number}"), Some(value), 4000);
        }
    }
    pairs.text("deviceFacility", fields.stage.as_deref(), 1023);
    pairs.text("msg", fields.detail.as_deref(), 1023);
    if fields.event.is_none() {
        // It is not as this version writes records, so it is told as it stands.
        pairs.text("msg", Some(&String::from_utf8_lossy(line)), 1023);
    }
    pairs.text
}

fn source(pairs: &mut Pairs, fields: &Fields<'_>) {
    match fields.client.ip.as_deref().and_then(|text| text.parse().ok()) {
        Some(IpAddr::V4(address)) => pairs.put("src", address),
        // The dictionary's `src` is an IPv4 address.
        Some(IpAddr::V6(address)) => {
            pairs.put("c6a2Label", "Source IPv6 Address");
            pairs.put("c6a2", address);
        }
        None => {}
    }
    pairs.text("app", fields.client.transport.as_deref(), 31);
    pairs.text("suid", fields.client.subject.as_deref(), 1023);
    pairs.text("suser", fields.user.as_deref(), 1023);
    if !fields.scopes.is_empty() {
        pairs.text("spriv", Some(&fields.scopes.join(" ")), 1023);
    }
}

/// The extension.
struct Pairs {
    text: String,
    any: bool,
}

impl Pairs {
    fn put(&mut self, key: &str, value: impl Display) {
        let value = value.to_string();
        self.text(key, Some(&value), usize::MAX);
    }

    /// At most `most` characters of the value, as the dictionary says for the key.
    fn text(&mut self, key: &str, value: Option<&str>, most: usize) {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return };
        if std::mem::replace(&mut self.any, true) {
            self.text.push(' ');
        }
        let _ = write!(self.text, "{key}=");
        for c in value.chars().take(most) {
            match c {
                '\\' | '=' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                c if c.is_control() => self.text.push(' '),
                c => self.text.push(c),
            }
        }
    }
}

/// A field of the header: a bar and the escape itself are escaped; it has no lines.
fn header(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' | '|' => text.extend(['\\', c]),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
