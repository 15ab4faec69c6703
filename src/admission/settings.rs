//! The words of the configuration that admission owns: `resources`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one query and all queries may take.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ResourcesSection {
    /// Milliseconds a query may take, below its impact class's own limit. Default: 5000.
    #[schemars(range(min = 1))]
    pub query_timeout: u64,
    /// Share of one CPU that a query may take, in percent, below its impact class's own. Over it, it is
    /// slowed. Default: 10.
    #[schemars(range(min = 1, max = 100))]
    pub query_cpu_percent: u8,
    /// Memory that a query may hold, in MiB, below its impact class's own. Over it, it fails. Default: 50.
    #[schemars(range(min = 1))]
    pub query_memory_mb: u64,
    /// Queries that run at the same time. Default: 5.
    #[schemars(range(min = 1))]
    pub max_concurrent_queries: usize,
    /// How often one caller may call; none when the section is absent.
    pub rate_limit: Option<RateLimitSection>,
}

impl Default for ResourcesSection {
    fn default() -> Self {
        Self {
            query_timeout: 5000,
            query_cpu_percent: 10,
            query_memory_mb: 50,
            max_concurrent_queries: 5,
            rate_limit: None,
        }
    }
}

/// Rates per caller: the same user through the same agent over the same certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSection {
    /// Default: 60.
    #[schemars(range(min = 1))]
    pub requests_per_minute: u32,
    /// Default: 1000.
    #[schemars(range(min = 1))]
    pub requests_per_hour: u32,
    /// Calls that may come at once. Default: 10.
    #[schemars(range(min = 1))]
    pub burst: u32,
}

impl Default for RateLimitSection {
    fn default() -> Self {
        Self { requests_per_minute: 60, requests_per_hour: 1000, burst: 10 }
    }
}
