//! What of a message's parameters is looked at before the protocol layer reads them: under which names they stand, which
//! version they declare, and what they are about. A key in another case is refused: a reader that does not mind the case
//! would see another message.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Keys of the protocol's parameters. What stands in `arguments` is judged by the tool's schema.
const KEYS: [&str; 11] = [
    "_meta",
    "arguments",
    "capabilities",
    "clientInfo",
    "cursor",
    "name",
    "progressToken",
    "protocolVersion",
    "requestId",
    "taskId",
    "uri",
];

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Keys of `_meta`.
const META_KEYS: [&str; 4] =
    [VERSION, "io.modelcontextprotocol/clientCapabilities", "io.modelcontextprotocol/clientInfo", "progressToken"];

/// Most keys beside one another; the protocol's own messages have a handful.
const MOST_ENTRIES: usize = 256;

/// The parameters of a request or notification.
#[derive(Default)]
pub(super) struct Params<'a> {
    /// The version in `_meta`.
    pub(super) version: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    uri: Option<Cow<'a, str>>,
    task: Option<Cow<'a, str>>,
}

impl Params<'_> {
    /// What `Mcp-Name` must say for this method (MCP 2026-07-28, transports), if there is such a thing.
    pub(super) fn subject(&self, method: &str) -> Option<&str> {
        let subject = match method {
            "tools/call" | "prompts/get" => &self.name,
            "resources/read" | "resources/subscribe" | "resources/unsubscribe" => &self.uri,
            "tasks/get" | "tasks/update" | "tasks/cancel" => &self.task,
            _ => return None,
        };
        subject.as_deref()
    }
}

impl<'de> Deserialize<'de> for Params<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut params = Self::default();
        for (key, value) in deserializer.deserialize_map(Entries(&KEYS))? {
            match &*key {
                "_meta" => params.version = read::<Meta<'de>, _>(value)?.0,
                "name" => params.name = text(value),
                "uri" => params.uri = text(value),
                "taskId" => params.task = text(value),
                _ => {}
            }
        }
        Ok(params)
    }
}

/// The version that `_meta` declares; without `_meta`, and in one that is null, there is none.
struct Meta<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Meta<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_any(Entries(&META_KEYS))?;
        let declared = entries.into_iter().find(|(key, _)| key == VERSION);
        let version = declared.map(|(_, value)| read::<Option<Text<'de>>, _>(value)).transpose()?;
        Ok(Self(version.flatten().map(|text| text.0)))
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn read<'de, T: Deserialize<'de>, E: Error>(value: &'de RawValue) -> Result<T, E> {
    serde_json::from_str(value.get()).map_err(E::custom)
}

/// A value that is no text is nothing here; the protocol layer refuses it.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}

/// The entries of an object in which no key resembles one of these without being it.
struct Entries(&'static [&'static str]);

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Text(key)) = map.next_key()? {
            if resembles(&key, self.0) {
                return Err(Error::custom(format!("the key {key:?} is written in another case")));
            }
            if entries.len() >= MOST_ENTRIES {
                return Err(Error::custom("too many keys"));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(entries)
    }
}

/// Whether `key` is one of `known` to a reader that does not mind the case, and to us it is not.
fn resembles(key: &str, known: &[&str]) -> bool {
    // Two letters beyond ASCII fold to ones within it: the long s and the sign of the kelvin.
    let folded = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    let same = |known: &str| *known != *key && key.chars().map(folded).eq(known.chars().map(folded));
    known.iter().any(|known| same(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_params(text: &str) -> Result<Params<'_>, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_subject_is_what_the_method_is_about() {
        let params = read_params(r#"{"name":"n","uri":"u","taskId":"t","other":[1]}"#).unwrap();
        assert_eq!(params.subject("tools/call"), Some("n"));
        assert_eq!(params.subject("resources/read"), Some("u"));
        assert_eq!(params.subject("tasks/get"), Some("t"));
        assert_eq!(params.subject("tools/list"), None);
        assert_eq!(read_params(r#"{"name":1}"#).unwrap().subject("tools/call"), None);
    }

    #[test]
    fn the_declared_version_is_found() {
        let version = |text| read_params(text).unwrap().version.map(Cow::into_owned);
        assert_eq!(
            version(r#"{"_meta":{"a":{},"io.modelcontextprotocol/protocolVersion":"x"}}"#).as_deref(),
            Some("x")
        );
        for none in [
            "{}",
            r#"{"_meta":null}"#,
            r#"{"_meta":{}}"#,
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":null}}"#,
        ] {
            assert_eq!(version(none), None, "{none}");
        }
        for wrong in [r#"{"_meta":1}"#, r#"{"_meta":[]}"#, r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}"#]
        {
            assert!(read_params(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_in_another_case_is_refused() {
        for wrong in ["Name", "NAME", "Arguments", "_Meta", "argument\u{17f}", "to\u{212a}en", "URI", "taskID"] {
            let known = !wrong.starts_with("to");
            assert_eq!(read_params(&format!("{{\"name\":\"n\",\"{wrong}\":1}}")).is_err(), known, "{wrong}");
        }
        assert!(read_params("{\"progressTo\u{212a}en\":1}").is_err());
        assert!(read_params(r#"{"n\u0041me":1}"#).is_err());
        assert!(read_params(r#"{"_meta":{"IO.modelcontextprotocol/protocolVersion":"x"}}"#).is_err());
        assert!(read_params(r#"{"arguments":{"Name":1,"NAME":2},"Title":1}"#).is_ok());
    }

    #[test]
    fn entries_are_bounded() {
        let keys: Vec<_> = (0..=MOST_ENTRIES).map(|n| format!("\"k{n}\":1")).collect();
        assert!(read_params(&format!("{{{}}}", keys.join(","))).is_err());
    }
}
