//! The words of the configuration that the tools own: `toolsets`, a section a family.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::system::SystemSection;

/// What the tools need to be told.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolsetsSection {
    /// The host queries.
    pub system: SystemSection,
}
