//! The words of the configuration that the policy owns: `scopes` and `queries`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scope → the tools it opens. A scope that is not named here opens nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ScopesSection(pub BTreeMap<String, Vec<String>>);

impl Default for ScopesSection {
    /// A scope for each family of queries, with every query of it.
    fn default() -> Self {
        let core = [
            "get_cpu_info",
            "get_memory_info",
            "get_disk_info",
            "get_network_info",
            "get_processes",
            "get_uptime",
            "get_temperature",
        ];
        let hooks = [
            "get_block_devices",
            "get_connections",
            "get_dns_config",
            "get_firewall_rules",
            "get_kernel_modules",
            "get_listening_ports",
            "get_mounts",
            "get_network_config",
            "get_pci_devices",
            "get_sysctl",
        ];
        Self(BTreeMap::from([
            ("core".to_owned(), core.map(str::to_owned).to_vec()),
            ("hooks".to_owned(), hooks.map(str::to_owned).to_vec()),
        ]))
    }
}

/// What may be asked at all.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueriesSection {
    /// Queries that can expose credentials or personal data.
    pub sensitive: SensitiveSection,
}

/// Sensitive queries need this section and the scope besides.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SensitiveSection {
    /// Opens the queries listed in `allow`. Default: false.
    pub enabled: bool,
    /// The queries that are opened. Default: none.
    pub allow: Vec<String>,
    /// The queries that stay shut whatever `allow` says. Default: none.
    pub deny: Vec<String>,
}
