//! The words of the configuration that the host queries own: `toolsets.system`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the host queries may see beyond the system's own files.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SystemSection {
    /// Directories with logs of applications, for get_app_logs. Nothing else is read as one. Default: none.
    pub app_logs: Vec<PathBuf>,
}
