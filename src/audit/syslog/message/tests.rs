//! Messages read by a parser of their own, written from RFC 5424 section 6.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a short text")]

use proptest::prelude::*;

use super::*;

/// What RFC 5424 section 6 says, read from the other side.
#[derive(Debug)]
struct Parsed {
    priority: u8,
    header: Vec<String>,
    sd_id: String,
    data: Vec<(String, String)>,
    body: Vec<u8>,
}

fn parse(message: &[u8]) -> Parsed {
    let split = |rest: &[u8], at: u8| {
        let end = rest.iter().position(|byte| *byte == at).unwrap();
        (String::from_utf8(rest[..end].to_vec()).unwrap(), rest[end + 1..].to_vec())
    };
    let (priority, mut rest) = split(message.strip_prefix(b"<").unwrap(), b'>');
    let mut header = Vec::new();
    for _ in 0..6 {
        let (field, more) = split(&rest, b' ');
        assert!(!field.is_empty() && field.bytes().all(|byte| byte.is_ascii_graphic()), "{field:?}");
        header.push(field);
        rest = more;
    }
    assert_eq!(rest[0], b'[');
    let (mut end, mut quoted) = (1, false);
    loop {
        match rest[end] {
            b'\\' if quoted => end += 1,
            b'"' => quoted = !quoted,
            b']' if quoted => panic!("an unescaped bracket"),
            b']' => break,
            _ => {}
        }
        end += 1;
    }
    let element = String::from_utf8(rest[1..end].to_vec()).unwrap();
    let (sd_id, mut left) = element.split_once(' ').unwrap();
    let mut data = Vec::new();
    loop {
        let (name, quoted) = left.split_once("=\"").unwrap();
        assert!(!name.is_empty() && name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name:?}");
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let close = loop {
            match chars.next().unwrap() {
                (_, '\\') => {
                    let c = chars.next().unwrap().1;
                    assert!(matches!(c, '"' | '\\' | ']'), "{c}");
                    value.push(c);
                }
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        data.push((name.to_owned(), value));
        match quoted.split_at(close + 1).1.strip_prefix(' ') {
            Some(more) => left = more,
            None => break,
        }
    }
    assert_eq!(rest[end + 1], b' ');
    let body = rest[end + 2..].to_vec();
    Parsed { priority: priority.parse().unwrap(), header, sd_id: sd_id.to_owned(), data, body }
}

fn form(section: &SyslogSection, most: usize) -> Form {
    Form::new(section, most)
}

fn write(form: &Form, line: &[u8], seq: u64) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let is_cut = form.write(line, &Fields::of(line, seq), false, &mut out);
    (out, is_cut)
}

fn line(more: &serde_json::Value) -> Vec<u8> {
    let mut line = serde_json::json!({ "seq": 42, "v": 1, "ts": "2026-11-20T10:30:45.123Z", "event": "query_denied" });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::to_vec(&line).unwrap()
}

#[test]
fn a_record_is_a_message() {
    let section = SyslogSection { hostname: Some("door 1".to_owned()), ..SyslogSection::default() };
    let line = line(&serde_json::json!({ "user": "al]ice \"x\\", "id": "c-1", "agent": ["a", "b"] }));
    let (message, is_cut) = write(&form(&section, usize::MAX), &line, 42);
    let begin = format!(
        "<36>1 2026-11-20T10:30:45.123Z door1 doorward {} query_denied [doorward@32473 seq=\"42\" id=\"c-1\" \
         user=\"al\\]ice \\\"x\\\\\" agent=\"a,b\"] \u{feff}",
        std::process::id()
    );
    assert_eq!(String::from_utf8(message).unwrap(), begin + std::str::from_utf8(&line).unwrap());
    assert!(!is_cut);
}

#[test]
fn the_severity_follows_the_event() {
    for (event, severity) in [
        ("audit_gap", 3),
        ("auth_failure", 4),
        ("query_denied", 4),
        ("limit_exceeded", 4),
        ("warning", 4),
        ("unclean_stop", 4),
        ("start", 5),
        ("stop", 5),
        ("config_reload", 5),
        ("checkpoint", 6),
        ("query", 6),
        ("auth_success", 6),
    ] {
        let section = SyslogSection { facility: crate::audit::syslog::Facility::Local7, ..SyslogSection::default() };
        let line = line(&serde_json::json!({ "event": event }));
        let parsed = parse(&write(&form(&section, usize::MAX), &line, 42).0);
        assert_eq!((parsed.priority, parsed.header[5].as_str()), (23 * 8 + severity, event));
    }
}

#[test]
fn what_is_no_record_of_this_version_is_sent_as_it_stands() {
    let form = form(&SyslogSection::default(), usize::MAX);
    for odd in [&b"{\"seq\":42,\"ts\":1}"[..], b"\xff\xfe"] {
        let parsed = parse(&write(&form, odd, 42).0);
        assert_eq!((parsed.header[1].as_str(), parsed.header[5].as_str()), ("-", "-"));
        assert_eq!(parsed.data, [("seq".to_owned(), "42".to_owned())]);
        assert_eq!(parsed.body.strip_prefix(BOM).unwrap_or(&parsed.body), odd);
    }
}

#[test]
fn a_form_that_is_too_long_becomes_shorter_to_an_end() {
    let mut form = form(&SyslogSection::default(), usize::MAX);
    let mut steps = 0;
    while form.shrink() {
        steps += 1;
    }
    assert_eq!((form.most, steps), (SHORTEST, 12));
}

proptest! {
    #[test]
    fn whatever_strangers_write_comes_out_as_it_was(
        user in ".{0,80}", resource in "[\"\\\\\\]\\[= a\u{e9}]{0,40}", agent in "\\PC{0,20}", event in "\\PC{0,40}",
    ) {
        let line = line(&serde_json::json!({ "user": user, "resource": resource, "agent": [agent], "event": event }));
        let (message, is_cut) = write(&form(&SyslogSection::default(), usize::MAX), &line, 42);
        let parsed = parse(&message);
        let of = |name: &str| parsed.data.iter().find(|(key, _)| key == name).unwrap().1.clone();
        prop_assert!(!is_cut && parsed.sd_id == "doorward@32473");
        prop_assert_eq!(parsed.body.strip_prefix(BOM).unwrap(), &line);
        prop_assert_eq!(of("resource"), resource);
        prop_assert_eq!(of("agent"), agent);
        let shown: String =
            user.chars().flat_map(|c| if c.is_control() { c.escape_unicode().collect() } else { vec![c] }).collect();
        prop_assert_eq!(of("user"), shown);
        prop_assert!(parsed.header[5].len() <= 32);
        let data = message.windows(2).position(|pair| pair == b"] ").unwrap();
        prop_assert!(!message[..data].iter().any(u8::is_ascii_control));
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so(
        text in "[a\u{e9}\u{20ac}\u{1f600}]{0,2000}", most in 480_usize..6000, host in "[a-z]{1,300}",
    ) {
        let section = SyslogSection { hostname: Some(host), ..SyslogSection::default() };
        let line = line(&serde_json::json!({ "detail": text, "user": text, "resource": text, "id": text }));
        let (message, is_cut) = write(&form(&section, most), &line, 42);
        prop_assert!(message.len() <= most, "{} > {most}", message.len());
        let parsed = parse(&message);
        let body = parsed.body.strip_prefix(BOM).unwrap();
        prop_assert!(std::str::from_utf8(body).is_ok());
        prop_assert!(line.starts_with(body));
        let cut = parsed.data.iter().find(|(name, _)| name == "cut").map(|(_, length)| length.clone());
        prop_assert_eq!(is_cut, body.len() < line.len());
        prop_assert_eq!(cut, is_cut.then(|| line.len().to_string()));
        if is_cut && parsed.data.len() > 2 {
            prop_assert!(most - message.len() < 4, "more would have gone in");
        }
    }
}

#[test]
fn a_record_that_does_not_belong_is_marked_whatever_is_left_out() {
    let line = line(&serde_json::json!({ "user": "alice", "detail": "x".repeat(2000) }));
    for most in [480, usize::MAX] {
        let mut out = Vec::new();
        let is_cut = form(&SyslogSection::default(), most).write(&line, &Fields::of(&line, 42), true, &mut out);
        let data = parse(&out).data;
        assert_eq!((data[1].0.as_str(), data[1].1.as_str(), is_cut), ("chain", "broken", most == 480));
    }
}
