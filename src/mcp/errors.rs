//! How a refusal or a failure reads to an MCP client.

use rmcp::ErrorData;
use rmcp::model::{CallToolResult, ContentBlock, ErrorCode};
use serde_json::{Value, json};

use crate::call::CallId;
use crate::error::{Code, Failure, JsonRpc};

/// The answer to a call that came to nothing: a protocol error, or a result the agent can read and act on.
pub(super) fn answer(tool: &str, id: &CallId, failure: &Failure) -> Result<CallToolResult, ErrorData> {
    match failure.code() {
        Code::UnknownTool | Code::InsufficientScope | Code::SensitiveDisabled => Err(unknown_tool(tool, id)),
        code => match code.json_rpc() {
            JsonRpc::Error(number) => {
                Err(ErrorData::new(ErrorCode(number), failure.public().to_owned(), Some(data(code, id))))
            }
            JsonRpc::ToolError => {
                let text = format!("{} (reason: {code}, call: {id})", failure.public());
                let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
                result.meta = None;
                Ok(result)
            }
        },
    }
}

/// A hidden tool and a missing one are the same to the caller.
fn unknown_tool(tool: &str, id: &CallId) -> ErrorData {
    let name: String = tool.chars().take(128).collect();
    ErrorData::invalid_params(format!("Unknown tool: {}", name.escape_debug()), Some(data(Code::UnknownTool, id)))
}

fn data(code: Code, id: &CallId) -> Value {
    json!({ "reason": code.as_str(), "call": id.as_str() })
}

/// For a request whose caller is not known (a defect: the transport always sends one).
pub(super) fn without_caller() -> ErrorData {
    ErrorData::internal_error("the request has no caller", None)
}

/// For a local caller who is refused.
pub(super) fn refused(failure: &Failure) -> ErrorData {
    let number = match failure.code().json_rpc() {
        JsonRpc::Error(number) => number,
        JsonRpc::ToolError => -32603,
    };
    ErrorData::new(ErrorCode(number), failure.public().to_owned(), Some(json!({ "reason": failure.code().as_str() })))
}
