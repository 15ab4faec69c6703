//! A request's body: what goes on means the same to the door, to a plain JSON reader and to the protocol's own reader.

use doorward::identity::{StrictError, check_strict, parse_strict};
use doorward::mcp::versions;
use doorward::transport::fuzzing::{Message, message};
use http::{HeaderMap, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, GetMeta as _, NumberOrString};
use serde_json::Value;

/// Where a message of the newer protocol says its version.
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// The bytes are a body, sent with a version header and without one.
pub fn run(bytes: &[u8]) -> bool {
    for depth in [0, 3, 32, usize::MAX] {
        strict_readers_agree(bytes, depth);
    }
    let bare = HeaderMap::new();
    let mut versioned = HeaderMap::new();
    versioned.insert("mcp-protocol-version", HeaderValue::from_static(versions()[0]));
    let without = message(bytes, &bare);
    let with = message(bytes, &versioned);
    assert!(without.is_err() || with.is_ok(), "a version header makes a good message bad");
    if let Ok(message) = &with {
        readers_agree(bytes, message);
    }
    with.is_ok()
}

fn strict_readers_agree(bytes: &[u8], depth: usize) {
    let parsed = parse_strict(bytes, depth);
    assert_eq!(check_strict(bytes, depth), parsed.as_ref().map(|_| ()).map_err(|error| *error));
    let plain = serde_json::from_slice::<Value>(bytes);
    match (parsed, plain) {
        (Ok(parsed), plain) => assert_eq!(parsed, plain.expect("a strict reader is stricter")),
        (Err(StrictError::Malformed | StrictError::DuplicateKey | StrictError::TooDeep | StrictError::TooMany), _) => {}
    }
}

fn readers_agree(bytes: &[u8], message: &Message) {
    let plain: Value = serde_json::from_slice(bytes).expect("what is accepted is JSON");
    let members = plain.as_object().expect("what is accepted is an object");
    assert!(members.keys().all(|key| matches!(key.as_str(), "jsonrpc" | "id" | "method" | "params")));
    assert_eq!(members.get("jsonrpc"), Some(&Value::from("2.0")));
    assert_eq!(members.get("method"), Some(&Value::from(message.method.as_str())));
    assert_eq!(members.get("id"), message.id.as_ref());
    let params = members.get("params").filter(|params| !params.is_null());
    assert!(params.is_none_or(Value::is_object));
    let version = params.and_then(|params| params.get("_meta")).and_then(|meta| meta.get(VERSION));
    let version = version.filter(|version| !version.is_null());
    assert!(version.is_none_or(Value::is_string), "a version goes on that is no text");
    match serde_json::from_slice::<ClientJsonRpcMessage>(bytes) {
        Ok(ClientJsonRpcMessage::Request(request)) => {
            assert!(same_id(&request.id, message.id.as_ref()), "{:?} is not {:?}", request.id, message.id);
            assert_eq!(request.request.method(), message.method);
            let declared = request.request.get_meta().protocol_version();
            let declared = declared.as_ref().map(|version| version.as_str());
            assert_eq!(declared, version.and_then(Value::as_str));
            if let ClientRequest::CallToolRequest(call) = &request.request {
                let params = params.expect("a call has parameters");
                assert_eq!(params.get("name"), Some(&Value::from(&*call.params.name)));
                let arguments = params.get("arguments").filter(|arguments| !arguments.is_null());
                assert_eq!(arguments, call.params.arguments.clone().map(Value::Object).as_ref());
            }
        }
        Ok(ClientJsonRpcMessage::Notification(_)) => assert!(message.id.is_none(), "a request is taken for a notice"),
        Ok(ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_)) => {
            panic!("a request is taken for an answer")
        }
        Err(_) => {}
    }
}

fn same_id(read: &NumberOrString, sent: Option<&Value>) -> bool {
    match (read, sent) {
        (NumberOrString::String(read), Some(Value::String(sent))) => **read == *sent,
        (NumberOrString::Number(read), Some(Value::Number(sent))) => sent.as_i64() == Some(*read),
        _ => false,
    }
}
