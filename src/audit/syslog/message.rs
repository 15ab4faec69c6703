//! One record as an RFC 5424 message. The header and the structured data say what an operator filters by; the message
//! itself is the journal's line, or CEF.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::cef;
use super::fields::{Fields, Severity};
use super::settings::{Format, SyslogSection};

/// Section 6.4: a message in UTF-8 begins with it.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// What every receiver of datagrams takes: RFC 5426 section 3.2.
const SHORTEST: usize = 480;
/// Characters of one value of structured data. The message has the whole.
const VALUE: usize = 255;

/// Writes messages.
pub(super) struct Form {
    facility: u8,
    tag: String,
    hostname: String,
    process: u32,
    sd_id: String,
    format: Format,
    most: usize,
}

impl Form {
    /// `most` is the longest message in bytes.
    pub(super) fn new(section: &SyslogSection, most: usize) -> Self {
        let system = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let hostname = section.hostname.clone().unwrap_or_else(system);
        Self {
            facility: section.facility.number(),
            tag: word(&section.tag, 48),
            hostname: word(&hostname, 255),
            process: std::process::id(),
            sd_id: format!("doorward@{}", section.enterprise_id),
            format: section.format,
            most,
        }
    }

    /// Puts the message of a journal line into `out`; returns whether it had to be cut. `broken` marks one that does not
    /// name the hash of the one sent before it.
    pub(super) fn write(&self, line: &[u8], fields: &Fields<'_>, broken: bool, out: &mut Vec<u8>) -> bool {
        out.clear();
        let severity = Severity::of(fields.event());
        let priority = self.facility.saturating_mul(8).saturating_add(severity.number());
        let time = fields.time().map_or("-", |(_, text)| text);
        let (tag, host, process, event) = (&self.tag, &self.hostname, self.process, word(fields.event(), 32));
        let header = format!("<{priority}>1 {time} {host} {tag} {process} {event} ");
        let body = match self.format {
            Format::Json => Cow::Borrowed(line),
            Format::Cef => Cow::Owned(cef::event(line, fields, &self.hostname).into_bytes()),
        };
        let bom = if std::str::from_utf8(&body).is_ok() { BOM } else { &[] };
        let data = self.data(fields, broken, None, true);
        let mut room = self.most.saturating_sub(header.len().saturating_add(1).saturating_add(bom.len()));
        out.extend_from_slice(header.as_bytes());
        let is_cut = data.len().saturating_add(body.len()) > room;
        let data = match is_cut {
            false => data,
            true => {
                let whole = self.data(fields, broken, Some(body.len()), true);
                if whole.len() <= room { whole } else { self.data(fields, broken, Some(body.len()), false) }
            }
        };
        out.extend_from_slice(data.as_bytes());
        room = room.saturating_sub(data.len());
        out.push(b' ');
        out.extend_from_slice(bom);
        out.extend_from_slice(cut(&body, room));
        is_cut
    }

    /// Makes do with shorter messages from now on; `false` when they cannot be shorter.
    pub(super) fn shrink(&mut self) -> bool {
        let less = self.most.min(1 << 20).checked_div(2).unwrap_or_default().max(SHORTEST);
        std::mem::replace(&mut self.most, less) > less
    }

    /// Section 6.3. `cut` is the length of a message that is not sent whole.
    fn data(&self, fields: &Fields<'_>, broken: bool, cut: Option<usize>, whole: bool) -> String {
        let mut text = format!("[{} seq=\"{}\"", self.sd_id, fields.seq);
        if broken {
            text.push_str(" chain=\"broken\"");
        }
        if let Some(length) = cut {
            let _ = write!(text, " cut=\"{length}\"");
        }
        if whole {
            for (name, value) in [
                ("id", &fields.id),
                ("stage", &fields.stage),
                ("query", &fields.query),
                ("user", &fields.user),
                ("resource", &fields.resource),
                ("decision", &fields.decision),
                ("result", &fields.result),
                ("reason", &fields.reason),
                ("ip", &fields.client.ip),
                ("subject", &fields.client.subject),
            ] {
                if let Some(value) = value {
                    parameter(&mut text, name, value);
                }
            }
            if !fields.agent.is_empty() {
                parameter(&mut text, "agent", &fields.agent.join(","));
            }
        }
        text.push(']');
        text
    }
}

/// Section 6.3.3: three characters are escaped. Control characters are written as the journal writes those of strangers.
fn parameter(text: &mut String, name: &str, value: &str) {
    let _ = write!(text, " {name}=\"");
    for c in value.chars().take(VALUE) {
        match c {
            '"' | '\\' | ']' => text.extend(['\\', c]),
            c if c.is_control() => text.extend(c.escape_unicode().flat_map(|c| match c {
                '\\' => "\\\\".chars().collect::<Vec<_>>(),
                c => vec![c],
            })),
            c => text.push(c),
        }
    }
    text.push('"');
}

/// A field of the header: printable ASCII without blanks, `-` for none.
fn word(text: &str, most: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// At most `most` bytes, and no part of a character.
fn cut(body: &[u8], most: usize) -> &[u8] {
    let end = match std::str::from_utf8(body) {
        Ok(text) => text.floor_char_boundary(most),
        Err(_) => body.len().min(most),
    };
    body.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
