//! The words of the configuration that the guard owns: `redaction` and `limits`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Redaction of all output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedactionSection {
    /// Default: true.
    pub enabled: bool,
    /// Patterns for free text, applied before the built-in ones, which stay in force. Default: none.
    pub patterns: Vec<Pattern>,
    /// Paths of structured values, added to the built-in ones: `*.password`, `env.AWS_*`. Parts are joined by dots; `*` as the
    /// first part stands for any number of parts, `*` as a later one for one, `*` within a part for any characters.
    pub fields: Vec<FieldPattern>,
    /// Built-in patterns, by name, and built-in paths that are not in force. Default: none.
    pub without: Vec<String>,
}

impl Default for RedactionSection {
    fn default() -> Self {
        Self { enabled: true, patterns: Vec::new(), fields: Vec::new(), without: Vec::new() }
    }
}

/// A regular expression and what stands in its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Named in the audit log.
    pub name: String,
    /// Syntax of the regex crate: linear time, no look-around, no back-references.
    pub pattern: String,
    /// `$1` stands for the first group; `${1}` where a letter, digit or underscore follows, as in `${1}_gone`.
    pub replacement: String,
}

/// A path such as `*.password`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct FieldPattern(pub String);

/// Caps on output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Bytes of one answer. Default: 1048576.
    #[schemars(range(min = 1))]
    pub max_output_bytes: usize,
    /// Lines of one text value. Default: 10000.
    #[schemars(range(min = 1))]
    pub max_output_lines: usize,
    /// Items of one array. Default: 1000.
    #[schemars(range(min = 1))]
    pub max_array_items: usize,
    /// For the log queries.
    pub logs: LogLimits,
    /// For the process list.
    pub processes: ProcessLimits,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            max_output_bytes: 1_048_576,
            max_output_lines: 10_000,
            max_array_items: 1000,
            logs: LogLimits::default(),
            processes: ProcessLimits::default(),
        }
    }
}

/// Caps of the log queries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogLimits {
    /// Entries in one answer. Default: 1000.
    #[schemars(range(min = 1))]
    pub max_lines: usize,
    /// Nothing older is read. Default: 24.
    #[schemars(range(min = 1))]
    pub max_age_hours: u64,
    /// Bytes of one file that are looked at: the last ones. Default: 10485760.
    #[schemars(range(min = 1))]
    pub max_bytes_per_file: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { max_lines: 1000, max_age_hours: 24, max_bytes_per_file: 10_485_760 }
    }
}

/// Caps of the process list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessLimits {
    /// Processes in one answer. Default: 500.
    #[schemars(range(min = 1))]
    pub max_count: usize,
    /// Bytes of a command line. Default: 1024.
    #[schemars(range(min = 1))]
    pub max_cmdline_length: usize,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self { max_count: 500, max_cmdline_length: 1024 }
    }
}
