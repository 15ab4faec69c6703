//! A record of the kernel's audit log: `type=… msg=audit(TIME:SERIAL): name=value …`, with values that may be quoted,
//! written in hexadecimal when they hold anything odd, or packed into one more `msg='…'`.

use crate::clock::Timestamp;

/// Fields of one record that are looked at.
const FIELDS: usize = 256;

/// A record, as far as it is understood.
pub(super) struct AuditRecord<'a> {
    /// Its type, such as SYSCALL.
    pub(super) kind: &'a str,
    pub(super) time: Timestamp,
    /// The number of the event that it tells of.
    pub(super) serial: u64,
    /// What follows the head, as it stands.
    pub(super) text: &'a str,
    fields: Vec<(&'a str, Value<'a>)>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Quoted(&'a str),
    Plain(&'a str),
}

impl<'a> AuditRecord<'a> {
    /// `None` for a line of another form.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        // auditd can put the host's name before it.
        let line = line.strip_prefix("node=").and_then(|rest| rest.split_once(' ')).map_or(line, |(_, rest)| rest);
        let (kind, rest) = line.strip_prefix("type=")?.split_once(' ')?;
        let (stamp, text) = rest.strip_prefix("msg=audit(")?.split_once("):")?;
        let (time, serial) = stamp.split_once(':')?;
        let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let millis = format!("{fraction:0<3.3}").parse::<i64>().ok()?;
        let millis = seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(millis)?;
        // With `log_format = ENRICHED` names follow behind a group separator; the numbers before it are enough.
        let text = text.split('\u{1d}').next().unwrap_or(text).trim();
        let mut fields = Vec::new();
        split(text, &mut fields);
        Some(Self { kind, time: Timestamp::from_millis(millis), serial: serial.parse().ok()?, text, fields })
    }

    fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A value as it is written, without quotes.
    pub(super) fn plain(&self, name: &str) -> Option<&'a str> {
        self.field(name).map(|value| match value {
            Value::Quoted(text) | Value::Plain(text) => text,
        })
    }

    /// A text: one that is not quoted may be in hexadecimal.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.field(name).map(|value| match value {
            Value::Quoted(text) => text.to_owned(),
            Value::Plain(text) => unhex(text).unwrap_or_else(|| text.to_owned()),
        })
    }

    /// What is written in hexadecimal and long enough to hold a secret, and what it says.
    pub(super) fn hidden(&self) -> Vec<(&'a str, String)> {
        let plain = self.fields.iter().filter_map(|(_, value)| match value {
            Value::Plain(text) if text.len() >= 16 => {
                Some((*text, line(decoded(text)?.trim_end_matches('\0').split('\0'))))
            }
            _ => None,
        });
        plain.collect()
    }

    /// The command line of an EXECVE record: `argc=2 a0="ls" a1="-l"`.
    pub(super) fn arguments(&self) -> Option<String> {
        self.words().map(|words| words.join(" "))
    }

    /// The same with quotes around what has blanks in it.
    pub(super) fn quoted_arguments(&self) -> Option<String> {
        self.words().map(|words| line(words.iter().map(String::as_str)))
    }

    fn words(&self) -> Option<Vec<String>> {
        let count: usize = self.plain("argc").filter(|_| self.kind == "EXECVE")?.parse().ok()?;
        let words: Vec<String> = (0..count.min(FIELDS)).map_while(|at| self.value(&format!("a{at}"))).collect();
        (!words.is_empty()).then_some(words)
    }
}

/// The fields of a text, those in a quoted `msg` too.
fn split<'a>(text: &'a str, fields: &mut Vec<(&'a str, Value<'a>)>) {
    let mut rest = text;
    while fields.len() < FIELDS {
        rest = rest.trim_start_matches([' ', ',']);
        let Some((name, after)) = rest.split_once('=') else { return };
        // Words without a value stand before some names.
        let name = name.rsplit(' ').next().unwrap_or(name);
        if let Some(inner) = after.strip_prefix('\'') {
            let (inner, tail) = inner.split_once('\'').unwrap_or((inner, ""));
            if name == "msg" {
                // Never deeper than one: the inner text has no single quote in it.
                split(inner, fields);
            } else {
                fields.push((name, Value::Quoted(inner)));
            }
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('"') {
            let (inner, tail) = inner.split_once('"').unwrap_or((inner, ""));
            fields.push((name, Value::Quoted(inner)));
            rest = tail;
        } else {
            let (value, tail) = after.split_once(' ').unwrap_or((after, ""));
            fields.push((name, Value::Plain(value)));
            rest = tail;
        }
    }
}

/// Arguments as one line: those with blanks in them in quotes, and of `--name=value` the value.
fn line<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let quoted = words.map(|word| {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if !name.contains([' ', '\t']) => (format!("{name}="), value),
            _ => (String::new(), word),
        };
        if value.contains([' ', '\t', '\n']) {
            format!("{name}'{}'", value.replace('\'', "\""))
        } else {
            word.to_owned()
        }
    });
    quoted.collect::<Vec<String>>().join(" ")
}

/// What hexadecimal digits say, arguments with blanks between them.
fn unhex(text: &str) -> Option<String> {
    decoded(text).map(|text| text.replace('\0', " ").trim_end().to_owned())
}

/// An even number of capital hexadecimal digits as text, in which NUL parts arguments.
fn decoded(text: &str) -> Option<String> {
    let digits = text.len() >= 4 && text.len().is_multiple_of(2);
    if !digits || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    Some(String::from_utf8_lossy(&bytes?).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_in_every_form_they_have() {
        let line = "type=USER_AUTH msg=audit(1762150364.123:456): pid=812 uid=0 auid=4294967295 ses=4294967295 \
                    msg='op=PAM:authentication grantors=? acct=\"root\" exe=\"/usr/sbin/sshd\" hostname=192.0.2.9 \
                    addr=192.0.2.9 terminal=ssh res=failed'";
        let record = AuditRecord::parse(line).unwrap();
        assert_eq!(
            (record.kind, record.serial, record.time.to_string().as_str()),
            ("USER_AUTH", 456, "2025-11-03T06:12:44.123Z")
        );
        assert_eq!(record.value("acct").as_deref(), Some("root"));
        assert_eq!((record.plain("res"), record.plain("pid")), (Some("failed"), Some("812")));
        let line = "type=EXECVE msg=audit(1762150364.5:7): argc=3 a0=\"sh\" a1=\"-c\" a2=6563686F2022612062223B";
        assert_eq!(AuditRecord::parse(line).unwrap().arguments().as_deref(), Some("sh -c echo \"a b\";"));
        let line = "node=web01 type=PROCTITLE msg=audit(1762150364.5:7): proctitle=6C73002D6C";
        assert_eq!(AuditRecord::parse(line).unwrap().value("proctitle").as_deref(), Some("ls -l"));
        let line =
            "type=AVC msg=audit(1.2:3): avc:  denied  { read } for  pid=5 comm=\"x\" name=\"shadow\"\u{1d}UID=\"root\"";
        let record = AuditRecord::parse(line).unwrap();
        assert_eq!((record.plain("pid"), record.plain("name"), record.plain("UID")), (Some("5"), Some("shadow"), None));
        for line in ["", "type=X", "type=X msg=audit(a:1): b", "type=X msg=audit(1:b): c"] {
            assert!(AuditRecord::parse(line).is_none(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|type=[A-Z]{0,6} msg=audit\\([0-9.]{0,22}:[0-9]{0,22}\\): ([a-z0-9]{0,4}=['\"]?[a-zé ]{0,4}['\"]? ?){0,9}") {
            if let Some(record) = AuditRecord::parse(&text) {
                let _ = (record.value("a"), record.arguments());
            }
        }
    }
}
