//! Events read by a parser of their own.

#![expect(clippy::arithmetic_side_effects, reason = "positions in a short text")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// CEF read from the other side: seven fields and an extension.
fn parse(text: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut header, mut field) = (Vec::new(), String::new());
    let mut chars = text.chars();
    while header.len() < 7 {
        match chars.next().unwrap() {
            '\\' => field.push(chars.next().filter(|c| matches!(c, '\\' | '|')).unwrap()),
            '|' => header.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    // A key is the word before an equals sign that is not escaped; its value goes to the next key.
    let extension: Vec<char> = chars.collect();
    let mut signs = Vec::new();
    let mut index = 0;
    while index < extension.len() {
        match extension[index] {
            '\\' => index += 1,
            '=' => signs.push(index),
            _ => {}
        }
        index += 1;
    }
    let key_of = |sign: usize| sign - extension[..sign].iter().rev().take_while(|c| c.is_ascii_alphanumeric()).count();
    let mut pairs = BTreeMap::new();
    for (number, sign) in signs.iter().enumerate() {
        let key: String = extension[key_of(*sign)..*sign].iter().collect();
        let end = signs.get(number + 1).map_or(extension.len(), |next| key_of(*next) - 1);
        let (mut value, mut raw) = (String::new(), extension[sign + 1..end].iter());
        while let Some(c) = raw.next() {
            match c {
                '\\' => value.push(match raw.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    c => *c,
                }),
                c => value.push(*c),
            }
        }
        assert!(pairs.insert(key.clone(), value).is_none(), "{key} twice: {text}");
    }
    (header, pairs)
}

fn made(record: &Value) -> (Vec<String>, BTreeMap<String, String>) {
    let line = serde_json::to_vec(record).unwrap();
    let text = event(&line, &Fields::of(&line, 42), "door1");
    assert!(!text.contains(['\n', '\r']), "{text:?}");
    parse(&text)
}

#[test]
fn a_record_is_an_event_of_the_dictionary() {
    let (header, pairs) = made(&json!({
        "seq": 42, "v": 1, "ts": "2026-11-20T10:30:45.123Z", "event": "query", "stage": "outcome", "id": "c-1",
        "query": "get_cpu_info", "params": { "a": "b=c" }, "user": "alice", "agent": ["bot"], "scopes": ["core", "logs"],
        "client": { "transport": "https", "ip": "192.0.2.7", "subject": "CN=bot,O=Acme" }, "resource": "Host::\"web01\"",
        "result": "success", "policy": { "by": ["scope:core"], "set": "0123" }, "duration_ms": 12, "output_bytes": 2048,
        "prev": "00ff",
    }));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(header, ["CEF:0", "Doorward", "doorward", version, "query", "query", "3"]);
    for (key, value) in [
        ("rt", "1795170645123"),
        ("externalId", "42"),
        ("dvchost", "door1"),
        ("src", "192.0.2.7"),
        ("app", "https"),
        ("suid", "CN=bot,O=Acme"),
        ("suser", "alice"),
        ("spriv", "core logs"),
        ("act", "get_cpu_info"),
        ("outcome", "success"),
        ("out", "2048"),
        ("cn1", "12"),
        ("cs1", "Host::\"web01\""),
        ("cs2", "bot"),
        ("cs3", "{\"by\":[\"scope:core\"],\"set\":\"0123\"}"),
        ("cs3Label", "policy"),
        ("cs4", "c-1"),
        ("cs5", "{\"a\":\"b=c\"}"),
        ("cs6", "00ff"),
        ("deviceFacility", "outcome"),
    ] {
        assert_eq!(pairs.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn a_checkpoint_leaves_whole_and_an_ipv6_address_has_its_own_key() {
    let statement = "{\"covers\":41,\"head\":\"ab\",\"cause\":\"stop\",\"key\":\"k\",\"signature\":\"a+/b==\"}";
    let line =
        format!("{{\"seq\":42,\"event\":\"checkpoint\",\"checkpoint\":{statement},\"client\":{{\"ip\":\"::1\"}}}}");
    let (_, pairs) = parse(&event(line.as_bytes(), &Fields::of(line.as_bytes(), 42), "-"));
    assert_eq!((pairs["cs3Label"].as_str(), pairs["cs3"].as_str()), ("checkpoint", statement));
    assert_eq!(
        (pairs["c6a2"].as_str(), pairs.contains_key("src"), pairs.contains_key("dvchost")),
        ("::1", false, false)
    );
    let odd = b"{\"seq\":42,\"event\":[]}";
    let (header, pairs) = parse(&event(odd, &Fields::of(odd, 42), "-"));
    assert_eq!((header[4].as_str(), pairs["msg"].as_str()), ("record", "{\"seq\":42,\"event\":[]}"));
}

proptest! {
    #[test]
    fn whatever_strangers_write_comes_out_as_it_was(
        user in "[\\\\=|a b\n\r\u{e9}]{1,40}", detail in "\\PC{1,200}", name in "[a-z|\\\\=]{1,20}",
    ) {
        let record = json!({ "seq": 42, "event": name, "user": user, "detail": detail, "reason": "a=b c=d" });
        let (header, pairs) = made(&record);
        prop_assert_eq!(&header[4], &name);
        prop_assert_eq!(&pairs["suser"], &user);
        prop_assert_eq!(&pairs["msg"], &detail);
        prop_assert_eq!(&pairs["reason"], "a=b c=d");
        prop_assert_eq!(pairs.len(), 5 + usize::from(header.len() != 7));
    }
}
