//! The words of the configuration that the host queries own: what they may look at besides the files of the system itself.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the host queries may look at besides the system's own files.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SystemSection {
    /// Directories with logs of applications, for get_app_logs. Nothing else is read as one. Default: none.
    pub app_logs: Vec<PathBuf>,
    /// For get_containers and get_container_images.
    pub containers: ContainersSection,
    /// For get_dependencies.
    pub dependencies: DependenciesSection,
}

/// Where container engines are asked.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContainersSection {
    /// Unix sockets of the Docker API, which Podman speaks too: /run/docker.sock, /run/podman/podman.sock. Lists are read, and
    /// nothing else is asked; but whoever may open such a socket could do everything, so the daemon's user gains by it.
    /// Default: none.
    pub sockets: Vec<PathBuf>,
}

/// Where lock files are looked for.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DependenciesSection {
    /// Folders with projects; those in them are looked into too. Default: none.
    pub paths: Vec<PathBuf>,
}
