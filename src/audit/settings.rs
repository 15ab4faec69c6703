//! The words of the configuration that the audit log owns.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alerts::AlertsSection;
use super::syslog::SyslogSection;

/// The audit log: one JSON object a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    /// Whether records are written. Default: true; with `transport: stdio` only where `path` is written. Over https it cannot be switched off.
    pub enabled: Option<bool>,
    /// The journal. Default: /var/log/doorward/audit.jsonl
    pub path: PathBuf,
    /// Begin another file when this one has so many MiB. Default: 100
    #[schemars(range(min = 1))]
    pub max_size_mb: u64,
    /// Begin another file with every day (UTC) too; then `max_files` is a number of days at most. Default: false.
    pub rotate_daily: bool,
    /// How many full files are kept besides the one that is written. Default: 10
    #[schemars(range(min = 1))]
    pub max_files: u32,
    /// Compress full files with gzip. Default: true.
    pub compress: bool,
    /// What a call waits for before its effect. Default: buffered.
    pub durability: Durability,
    /// Signed statements of how far the log has come.
    pub checkpoint: CheckpointSection,
    /// Record the arguments of calls. Default: true.
    pub log_params: bool,
    /// Record the size of answers. Default: true.
    pub log_output_size: bool,
    /// Record the address of the caller. Default: true.
    pub log_client_ip: bool,
    /// Record what was redacted (never the value). Default: true.
    pub log_redactions: bool,
    /// When many refusals are worth a warning.
    pub alerts: AlertsSection,
    /// Forwarding to syslog.
    pub syslog: SyslogSection,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            enabled: None,
            path: PathBuf::from("/var/log/doorward/audit.jsonl"),
            max_size_mb: 100,
            rotate_daily: false,
            max_files: 10,
            compress: true,
            durability: Durability::Buffered,
            checkpoint: CheckpointSection::default(),
            log_params: true,
            log_output_size: true,
            log_client_ip: true,
            log_redactions: true,
            alerts: AlertsSection::default(),
            syslog: SyslogSection::default(),
        }
    }
}

/// What it means that a decision is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The kernel has it: it outlives the daemon however that ends, but not a loss of power.
    #[default]
    Buffered,
    /// The disk has it: it outlives a loss of power. Decisions that come together share one wait.
    Fsync,
}

/// Checkpoints: signed statements of how far the log has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSection {
    /// Records from one to the next. Default: 1000
    #[schemars(range(min = 1))]
    pub every_records: u64,
    /// Seconds from one to the next, also when nothing happens. Default: 60
    #[schemars(range(min = 1, max = 86400))]
    pub every_seconds: u64,
    /// The Ed25519 private key that signs them; made at the first start. Default: `audit.key` beside the log (for a log
    /// that is called audit.jsonl).
    pub key: Option<PathBuf>,
}

impl Default for CheckpointSection {
    fn default() -> Self {
        Self { every_records: 1000, every_seconds: 60, key: None }
    }
}
