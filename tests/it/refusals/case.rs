//! A row of the table.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::world::Choice;

/// What is said at the top of `tests/cases/refusals.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// Which configuration; see [`choice`].
    #[serde(default)]
    pub world: String,
    pub certificate: Option<String>,
    pub client: Option<String>,
    pub token: Option<bool>,
    pub claims: Option<Map<String, Value>>,
    pub header: Option<Map<String, Value>>,
    #[serde(default)]
    pub raw: BTreeMap<String, String>,
    pub claims_more: Option<String>,
    pub header_more: Option<String>,
    pub raw_claims: Option<String>,
    pub raw_header: Option<String>,
    pub text: Option<String>,
    pub sign: Option<String>,
    pub mangle: Option<String>,
    #[serde(default)]
    pub request: Request,
    pub after: Option<String>,
    pub again: Option<String>,
    pub expect: Expect,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    pub method: Option<String>,
    pub path: Option<String>,
    pub http: Option<String>,
    /// `null` leaves the header out, here and below.
    #[serde(deserialize_with = "some")]
    pub host: Option<Option<String>>,
    #[serde(deserialize_with = "some")]
    pub content_type: Option<Option<String>>,
    #[serde(deserialize_with = "some")]
    pub accept: Option<Option<String>>,
    #[serde(deserialize_with = "some")]
    pub version: Option<Option<String>>,
    #[serde(deserialize_with = "some")]
    pub length: Option<Option<String>>,
    pub chunked: bool,
    #[serde(deserialize_with = "some")]
    pub authorization: Option<Option<String>>,
    pub add: Vec<String>,
    pub tool: Option<String>,
    pub arguments: Option<Value>,
    pub params: Option<Value>,
    pub body: Option<String>,
    pub body_hex: Option<String>,
    pub encode: Option<String>,
    pub nested: Option<usize>,
    pub size: Option<usize>,
    pub wide: Option<usize>,
    pub wide_last: Option<String>,
    pub objects: Option<usize>,
    pub notification: bool,
    pub era: Option<String>,
    pub method_name: Option<String>,
    pub filler: Option<usize>,
}

/// Without reason and audited the row is a control: nothing is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// A number, or `handshake` where there is no HTTP answer.
    pub status: Value,
    /// What the caller is told.
    pub reason: Option<String>,
    /// What the log says, where that is more or the caller is told nothing.
    pub audited: Option<String>,
    pub event: Option<String>,
}

fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

pub fn cases() -> Vec<Case> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/refusals.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// The configuration that a row names.
pub fn choice(world: &str) -> Choice {
    let jwt = |line: &str| Choice { jwt: format!("    {line}"), ..Choice::default() };
    match world {
        "" => Choice { http: "  max_body_bytes: 65536".to_owned(), ..Choice::default() },
        "roomy" => Choice::default(),
        "outdated_list" => Choice { list_life: Some(Duration::from_secs(3600 + 15)), ..Choice::default() },
        "sender_bound" => jwt("replay: sender_bound"),
        "bound" => jwt("require_cert_binding: true"),
        "full" => jwt("jti_cache_size: 1"),
        "keyless" => Choice {
            key_source: Some("    jwks_uri: https://localhost:1/jwks.json".to_owned()),
            unready: true,
            ..Choice::default()
        },
        other => panic!("no world {other}"),
    }
}
