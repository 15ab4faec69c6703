//! The words of the configuration that the sandbox owns: `sandbox`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The walls around the daemon. They are put up when it starts.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxSection {
    /// Whether there is one. Default: enabled.
    pub mode: Mode,
    /// Whether queries see into processes of others (open files, environment). Default: visible.
    pub processes: Processes,
    /// Files and directories that may be read besides those that the configuration and the enabled queries need.
    pub read: Vec<PathBuf>,
    /// Capabilities that are kept, such as CAP_DAC_READ_SEARCH; only those the daemon is started with can be.
    pub capabilities: Vec<String>,
}

/// Whether there is a sandbox.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// As much of it as the kernel knows; a warning says what is missing.
    #[default]
    Enabled,
    /// All of it, or the daemon does not start.
    Required,
    /// None.
    Off,
}

/// Whether queries see into processes of others.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Processes {
    /// They do, as far as the daemon's user may, through a process of its own that does nothing else. There is one only when an
    /// enabled query needs it.
    #[default]
    Visible,
    /// They do not, and answer with less.
    Hidden,
}
