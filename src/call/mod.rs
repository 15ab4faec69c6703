//! One call: what a tool declares, what a caller asks, what the tool acts on and gives back.

mod arguments;
mod leases;
mod output;
mod progress;
mod resource;
mod schema;
mod spec;
mod taken;
mod tool_schema;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::authn::Caller;
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::secret::{hex, random};

pub use arguments::{ArgumentSchema, Arguments};
pub use leases::Leases;
pub use output::Output;
pub use progress::{Progress, Step};
pub use resource::Resource;
pub use spec::{Annotations, Impact, Needs, ToolSpec};
pub use taken::Taken;
pub use tool_schema::ToolSchema;

/// Names one call in answers and in every audit record about it: 128 random bits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CallId(String);

impl CallId {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self(hex(&random::<16>()?)))
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a caller asks for. Nothing in it has been judged yet.
#[derive(Debug)]
pub struct Call {
    /// Names the call in answers and records.
    pub id: CallId,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// The tool's name as the caller wrote it.
    pub tool: String,
    /// The arguments as the caller wrote them.
    pub arguments: Map<String, Value>,
    /// When the request came in.
    pub received: Timestamp,
    /// The same on the clock that measures durations.
    pub started: Instant,
    /// Whether it is recorded already that its caller is known.
    pub announced: bool,
}
