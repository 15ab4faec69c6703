//! The headers of one POST, for both eras of MCP: since 2026-07-28 each request carries its version and repeats method and
//! name in headers; before, the version is the one that `initialize` agreed on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::message::{Kind, Message};
use super::promoted::Promoted;
use crate::error::{Code, Failure};
use crate::secret::Secret;

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// What was learned from answers that passed by.
#[derive(Default, Debug)]
pub(super) struct Learned {
    /// The version that `initialize` agreed on.
    version: Option<HeaderValue>,
    promoted: Promoted,
}

impl Learned {
    /// Takes note of `answer` to `request`.
    pub(super) fn learn(&mut self, request: &Message, answer: &Message) {
        let Some(result) = &answer.result else { return };
        match request.method.as_str() {
            "initialize" => {
                let result: Option<Value> = serde_json::from_str(result.get()).ok();
                let version = result.as_ref().and_then(|result| result.get("protocolVersion")?.as_str());
                self.version = version.and_then(|version| HeaderValue::from_str(version).ok());
            }
            "tools/list" => self.promoted.learn(result.get()),
            _ => {}
        }
    }

    /// The headers for `message`.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] when its protocol version cannot be a header, [`Code::TokenMissing`] when the token cannot.
    pub(super) fn headers(&self, message: &Message, token: Option<&Secret<String>>) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| Failure::new(Code::TokenMissing, "the token cannot be sent in a header"))?;
            authorization.set_sensitive(true);
            headers.insert(AUTHORIZATION, authorization);
        }
        match own_version(message) {
            Some(version) => self.modern(message, version, &mut headers)?,
            None if message.method == "initialize" => {}
            None => headers.extend(self.version.clone().map(|version| (PROTOCOL_VERSION, version))),
        }
        Ok(headers)
    }

    fn modern(&self, message: &Message, version: &str, headers: &mut HeaderMap) -> Result<(), Failure> {
        let version = HeaderValue::from_str(version)
            .map_err(|_| Failure::new(Code::InvalidRequest, "the protocol version cannot be sent in a header"))?;
        headers.insert(PROTOCOL_VERSION, version);
        // A method that is no header value is left out: the door then says what is wrong with it.
        headers.extend(HeaderValue::from_str(&message.method).ok().map(|method| (METHOD, method)));
        let name = name(message);
        headers.extend(name.and_then(|name| HeaderValue::try_from(encoded(name)).ok()).map(|name| (NAME, name)));
        if let ("tools/call", Some(tool), Some(arguments)) =
            (message.method.as_str(), name, message.params.get("arguments"))
        {
            for (header, value) in self.promoted.headers(tool, arguments) {
                headers.extend(HeaderValue::try_from(value).ok().map(|value| (header, value)));
            }
        }
        Ok(())
    }
}

/// The version a message of the modern era carries itself; an answer carries none.
fn own_version(message: &Message) -> Option<&str> {
    if matches!(message.kind, Kind::Response(_)) {
        return None;
    }
    message.params.get("_meta")?.get("io.modelcontextprotocol/protocolVersion")?.as_str()
}

/// What `Mcp-Name` repeats, by method; the last row is the tasks extension's.
fn name(message: &Message) -> Option<&str> {
    let key = match message.method.as_str() {
        "tools/call" | "prompts/get" => "name",
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => "uri",
        "tasks/get" | "tasks/update" | "tasks/cancel" => "taskId",
        _ => return None,
    };
    message.params.get(key)?.as_str()
}

/// A value as a header may carry it: as it is when that is safe, else `=?base64?…?=`; so is one that looks encoded.
pub(super) fn encoded(value: &str) -> String {
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim_ascii() == value;
    if plain && !value.starts_with("=?") { value.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(value)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parse(value: &Value) -> Message {
        Message::parse(&value.to_string()).unwrap()
    }

    fn headers(learned: &Learned, message: &Value) -> HeaderMap {
        learned.headers(&parse(message), Some(&Secret::from("tok"))).unwrap()
    }

    fn names(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut all: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        all.retain(|(name, _)| name.starts_with("mcp-"));
        all.sort_unstable();
        all
    }

    fn modern(method: &str, mut params: Value) -> Value {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
        params.as_object_mut().unwrap().insert("_meta".to_owned(), meta);
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
    }

    #[test]
    fn every_post_takes_both_forms_of_answer_and_hides_its_token() {
        let headers = headers(&Learned::default(), &json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
        assert_eq!(headers[ACCEPT], "application/json, text/event-stream");
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(headers[AUTHORIZATION], "Bearer tok");
        assert!(headers[AUTHORIZATION].is_sensitive());
        let ping = parse(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
        assert!(!Learned::default().headers(&ping, None).unwrap().contains_key(AUTHORIZATION));
        assert_eq!(names(&headers), []);
    }

    #[test]
    fn a_modern_request_repeats_version_method_and_name() {
        let learned = Learned::default();
        let version = ("mcp-protocol-version", "2026-07-28");
        let list = headers(&learned, &modern("tools/list", json!({ "name": "not a name here" })));
        assert_eq!(names(&list), [("mcp-method", "tools/list"), version]);
        let call = headers(&learned, &modern("tools/call", json!({ "name": "get_cpu_info" })));
        assert_eq!(names(&call), [("mcp-method", "tools/call"), ("mcp-name", "get_cpu_info"), version]);
        let read = headers(&learned, &modern("resources/read", json!({ "uri": "test://ü" })));
        assert_eq!(names(&read), [("mcp-method", "resources/read"), ("mcp-name", "=?base64?dGVzdDovL8O8?="), version]);
    }

    #[test]
    fn a_legacy_request_carries_what_initialize_agreed_on() {
        let mut learned = Learned::default();
        let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
        let answer = json!({ "jsonrpc": "2.0", "id": 0, "result": { "protocolVersion": "2025-11-25" } });
        assert_eq!(names(&headers(&learned, &initialize)), []);
        learned.learn(&parse(&initialize), &parse(&answer));
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "x" } });
        let expected = [("mcp-protocol-version", "2025-11-25")];
        assert_eq!(names(&headers(&learned, &call)), expected);
        assert_eq!(names(&headers(&learned, &json!({ "jsonrpc": "2.0", "id": 1, "result": {} }))), expected);
        assert_eq!(names(&headers(&learned, &initialize)), []);
        let call = headers(&learned, &modern("tools/call", json!({ "name": "x" })));
        assert_eq!(call["mcp-protocol-version"], "2026-07-28");
    }

    #[test]
    fn arguments_go_into_headers_when_the_list_said_so() {
        let mut learned = Learned::default();
        let schema = json!({ "properties": { "r": { "type": "string", "x-mcp-header": "Region" } } });
        let result = json!({ "tools": [{ "name": "t", "inputSchema": schema }] });
        let call = modern("tools/call", json!({ "name": "t", "arguments": { "r": "eu" } }));
        assert!(!headers(&learned, &call).contains_key("mcp-param-region"));
        learned.learn(
            &parse(&modern("tools/list", json!({}))),
            &parse(&json!({ "jsonrpc": "2.0", "id": 1, "result": result })),
        );
        assert_eq!(headers(&learned, &call)["mcp-param-region"], "eu");
    }

    #[test]
    fn a_version_that_cannot_be_a_header_is_refused() {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "1\r\nx: y" });
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "m", "params": { "_meta": meta } });
        let failure = Learned::default().headers(&parse(&message), Some(&Secret::from("tok"))).unwrap_err();
        assert_eq!(failure.code(), Code::InvalidRequest);
    }

    #[test]
    fn unsafe_values_are_encoded() {
        assert_eq!(encoded("a b"), "a b");
        assert_eq!(encoded(""), "");
        assert_eq!(encoded(" a"), "=?base64?IGE=?=");
        assert_eq!(encoded("a\r\nb"), "=?base64?YQ0KYg==?=");
        assert_eq!(encoded("=?base64?YQ==?="), "=?base64?PT9iYXNlNjQ/WVE9PT89?=");
    }

    proptest! {
        #[test]
        fn an_encoded_value_is_a_header_value_and_comes_back(value in ".*") {
            let header = HeaderValue::try_from(encoded(&value)).unwrap();
            let text = header.to_str().unwrap();
            let inner = text.strip_prefix("=?base64?").and_then(|text| text.strip_suffix("?="));
            let back = inner.map_or_else(|| text.as_bytes().to_vec(), |inner| STANDARD.decode(inner).unwrap());
            prop_assert_eq!(back, value.as_bytes());
        }
    }
}
