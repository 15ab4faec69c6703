//! One JSON-RPC message as it lies on a line. The text itself is relayed byte for byte; what is read from it here only
//! decides where it goes.

use serde::de::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Code, Failure};

/// The id of a request: a text or a whole number, for nothing else can be compared without doubt.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Id(Value);

impl Id {
    fn read(value: &Value) -> Option<Self> {
        (value.is_string() || value.is_i64() || value.is_u64()).then(|| Self(value.clone()))
    }

    /// As it goes into an answer.
    pub(super) fn json(&self) -> &Value {
        &self.0
    }
}

/// What a message is (JSON-RPC 2.0 sections 4 and 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Wants an answer with this id.
    Request(Id),
    /// Wants none.
    Notification,
    /// Is one; an error that belongs to no request has no id.
    Response(Option<Id>),
}

/// A message and the parts that matter on the way.
#[derive(Debug)]
pub(super) struct Message {
    /// What it is.
    pub(super) kind: Kind,
    /// `method`; empty in a response.
    pub(super) method: String,
    /// `params`, or null.
    pub(super) params: Value,
    /// `result` of a response.
    pub(super) result: Option<Box<RawValue>>,
}

/// Why a line is no message, with the id it asked with, as far as that can be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) failure: Failure,
    /// Whom to tell.
    pub(super) id: Option<Id>,
}

#[derive(serde::Deserialize)]
struct Parts {
    jsonrpc: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    id: Option<Value>,
    method: Option<Value>,
    #[serde(default)]
    params: Value,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    error: Option<serde::de::IgnoredAny>,
}

/// Tells null from nothing at all: `"id": null`, `"result": null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Code::MalformedJson`], [`Code::Batch`] or [`Code::InvalidRequest`].
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        if text.trim_start().starts_with('[') {
            return Err(fault(Code::Batch, "MCP has no batches: send one message per line", None));
        }
        let parts: Parts = match serde_json::from_str(text) {
            Ok(parts) => parts,
            Err(error) => {
                let (code, public) = if error.is_data() {
                    (Code::InvalidRequest, "this is not a JSON-RPC message")
                } else {
                    (Code::MalformedJson, "this line is not one JSON text")
                };
                return Err(Fault { failure: Failure::new(code, public).because(error), id: None });
            }
        };
        let id = parts.id.as_ref().and_then(Id::read);
        if parts.jsonrpc.as_ref().and_then(Value::as_str) != Some("2.0") {
            return Err(fault(Code::InvalidRequest, "`jsonrpc` must be \"2.0\"", id));
        }
        let kind = match (&parts.method, &parts.id, parts.result.is_some() || parts.error.is_some()) {
            (Some(Value::String(_)), None, false) => Kind::Notification,
            (Some(Value::String(_)), Some(_), false) => match id {
                Some(id) => Kind::Request(id),
                None => return Err(fault(Code::InvalidRequest, "`id` must be a text or a whole number", None)),
            },
            (None, _, true) if parts.result.is_some() != parts.error.is_some() => Kind::Response(id),
            _ => return Err(fault(Code::InvalidRequest, "neither a request nor an answer of JSON-RPC", id)),
        };
        let method = match parts.method {
            Some(Value::String(method)) => method,
            _ => String::new(),
        };
        Ok(Self { kind, method, params: parts.params, result: parts.result })
    }

    /// The request that this message calls back, if that is what it does.
    pub(super) fn cancels(&self) -> Option<Id> {
        let cancels = self.kind == Kind::Notification && self.method == "notifications/cancelled";
        Id::read(self.params.get("requestId").filter(|_| cancels)?)
    }
}

/// The message on one line. Line ends inside a valid JSON text can only stand between its tokens, so a space says the
/// same; numbers and the order of keys stay as they were.
pub(super) fn one_line(text: &str) -> String {
    text.trim().replace(['\n', '\r'], " ")
}

fn fault(code: Code, public: &'static str, id: Option<Id>) -> Fault {
    Fault { failure: Failure::new(code, public), id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn kind(text: &str) -> Kind {
        Message::parse(text).unwrap().kind
    }

    fn refused(text: &str) -> (Code, Option<Id>) {
        let fault = Message::parse(text).unwrap_err();
        (fault.failure.code(), fault.id)
    }

    #[test]
    fn requests_notifications_and_responses_are_told_apart() {
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":7,"method":"x"}"#), Kind::Request(Id(json!(7))));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","method":"x","params":{}}"#), Kind::Notification);
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":"a","result":null}"#), Kind::Response(Some(Id(json!("a")))));
        assert_eq!(kind(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#), Kind::Response(None));
    }

    #[test]
    fn what_is_neither_is_refused_with_the_id_if_there_is_one() {
        assert_eq!(refused("{").0, Code::MalformedJson);
        assert_eq!(refused("{} {}").0, Code::MalformedJson);
        assert_eq!(refused("17").0, Code::InvalidRequest);
        assert_eq!(refused(" [{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}]").0, Code::Batch);
        assert_eq!(refused(r#"{"id":1,"method":"x"}"#), (Code::InvalidRequest, Some(Id(json!(1)))));
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":2}"#), (Code::InvalidRequest, Some(Id(json!(2)))));
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#).0, Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#).0, Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#).0, Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#).0, Code::InvalidRequest);
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#).0, Code::InvalidRequest);
    }

    #[test]
    fn numbers_and_order_survive_the_way_to_one_line() {
        let pretty = "{\r\n  \"b\": 123456789012345678901234567890,\n  \"a\": \"x\\ny\"\n}\n";
        assert_eq!(one_line(pretty), "{    \"b\": 123456789012345678901234567890,   \"a\": \"x\\ny\" }");
    }

    proptest! {
        #[test]
        fn one_line_says_what_was_said(key in ".*", text in ".*", number in any::<i64>()) {
            let value = json!({ key: [text, number] });
            let line = one_line(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert!(!line.contains(['\n', '\r']));
            prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), value);
        }
    }
}
