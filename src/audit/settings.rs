//! The words of the configuration that the audit log owns.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::syslog::SyslogSection;

/// The audit log: one JSON object a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditSection {
    /// Whether records are written. Default: true, except with `transport: stdio`. Over https it cannot be switched off.
    pub enabled: Option<bool>,
    /// The journal. Default: /var/log/doorward/audit.jsonl
    pub path: PathBuf,
    /// Rotate when the file reaches this size. Default: 100. No effect in this version: rotate with logrotate and SIGHUP.
    #[schemars(range(min = 1))]
    pub max_size_mb: u64,
    /// How many rotated files are kept. Default: 10. No effect in this version.
    pub max_files: u32,
    /// Compress rotated files. Default: true. No effect in this version.
    pub compress: bool,
    /// Record the arguments of calls. Default: true.
    pub log_params: bool,
    /// Record the size of answers. Default: true.
    pub log_output_size: bool,
    /// Record the address of the caller. Default: true.
    pub log_client_ip: bool,
    /// Record what was redacted (never the value). Default: true.
    pub log_redactions: bool,
    /// Forwarding to syslog.
    pub syslog: SyslogSection,
}

impl Default for AuditSection {
    fn default() -> Self {
        Self {
            enabled: None,
            path: PathBuf::from("/var/log/doorward/audit.jsonl"),
            max_size_mb: 100,
            max_files: 10,
            compress: true,
            log_params: true,
            log_output_size: true,
            log_client_ip: true,
            log_redactions: true,
            syslog: SyslogSection::default(),
        }
    }
}
