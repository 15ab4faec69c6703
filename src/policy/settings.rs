//! The words of the configuration that the policy owns: `scopes` and `queries`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Scope → the tools it opens. A scope that is not named here opens nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ScopesSection(pub BTreeMap<String, Vec<String>>);

impl Default for ScopesSection {
    /// A scope for each family, with every query of it.
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
        let logs = ["get_journal_logs", "get_syslog", "get_app_logs", "get_kernel_logs"];
        let hooks = [
            "get_block_devices",
            "get_connections",
            "get_cron_jobs",
            "get_dns_config",
            "get_firewall_rules",
            "get_kernel_modules",
            "get_listening_ports",
            "get_mounts",
            "get_network_config",
            "get_pci_devices",
            "get_sysctl",
            "get_systemd_timers",
            "get_systemd_units",
        ];
        let sbom = ["get_packages", "get_containers", "get_container_images", "get_dependencies"];
        let sensitive = [
            "get_user_accounts",
            "get_sudo_config",
            "get_ssh_config",
            "get_env_vars",
            "get_open_files",
            "get_auth_logs",
            "get_event_log",
        ];
        let families: [(&str, &[&str]); 5] =
            [("core", &core), ("logs", &logs), ("hooks", &hooks), ("sbom", &sbom), ("sensitive", &sensitive)];
        let owned =
            |(scope, tools): (&str, &[&str])| (scope.to_owned(), tools.iter().map(|&tool| tool.to_owned()).collect());
        Self(families.map(owned).into())
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
