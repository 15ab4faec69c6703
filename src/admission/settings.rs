//! The words of the configuration that admission owns: `resources` and `budgets`.

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

/// Rates per caller: the same user through the same agents of the same holder of a certificate.
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

/// What one caller may take beside others: rates, places, spread, and what becomes of those who fail to say who they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetsSection {
    /// Rules of rate beside `resources.rate_limit`, 15 at most. Default: none.
    pub rates: Vec<RateRule>,
    /// Calls that run at the same time, beside `resources.max_concurrent_queries`.
    pub places: PlacesSection,
    /// How far one caller gets.
    pub spread: SpreadSection,
    /// Those whose tokens are refused over and over.
    pub failures: FailuresSection,
    /// Those who come to no request, each network by itself.
    pub strangers: StrangersSection,
    /// Entries that are kept of callers, and of what each rule counts. When full, newcomers are refused. Default: 100000.
    #[schemars(range(min = 1024))]
    pub max_keys: usize,
}

impl Default for BudgetsSection {
    fn default() -> Self {
        Self {
            rates: Vec::new(),
            places: PlacesSection::default(),
            spread: SpreadSection::default(),
            failures: FailuresSection::default(),
            strangers: StrangersSection::default(),
            max_keys: 100_000,
        }
    }
}

/// What a rule tells apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// The same user through the same agents of the same holder of a certificate.
    Caller,
    /// The subject of the token.
    User,
    /// The agent that acts for the user.
    Agent,
    /// The holder of the client certificate, however often that is renewed; over a unix socket and stdio the user of this
    /// machine.
    Certificate,
    /// The tool.
    Tool,
    /// The toolset that the tool is of.
    Toolset,
    /// The scope by which the tool is open to the caller.
    Scope,
}

/// A rule of rate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRule {
    /// Names it in answers, records and metrics: lower-case letters, digits, `-` and `_`, 32 at most.
    pub name: String,
    /// What has a bucket of its own: each combination of these that calls. Empty: one bucket for all.
    pub per: Vec<Dimension>,
    /// Only for this user. Default: for all.
    #[serde(default)]
    pub user: Option<String>,
    /// Only for calls through this agent. Default: for all.
    #[serde(default)]
    pub agent: Option<String>,
    /// Only for certificates that this names, written as in `tls.allowed_subjects`. Default: for all.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Only for this tool. Default: for all.
    #[serde(default)]
    pub tool: Option<String>,
    /// Only for tools of this toolset. Default: for all.
    #[serde(default)]
    pub toolset: Option<String>,
    /// Only for tools that are open by this scope. Default: for all.
    #[serde(default)]
    pub scope: Option<String>,
    /// Default: without limit.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Default: without limit.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub requests_per_hour: Option<u32>,
    /// Calls that may come at once. Default: 10, but not more than `requests_per_minute`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
}

/// Calls that run at the same time, and those that wait for a place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlacesSection {
    /// Of one caller. Default: without limit.
    #[schemars(range(min = 1))]
    pub per_caller: Option<u32>,
    /// Of one tool. Default: without limit.
    #[schemars(range(min = 1))]
    pub per_tool: Option<u32>,
    /// Of one toolset. Default: without limit.
    #[schemars(range(min = 1))]
    pub per_toolset: Option<u32>,
    /// On one target. Default: without limit.
    #[schemars(range(min = 1))]
    pub per_target: Option<u32>,
    /// Of each impact class; host queries have limits of their own below these.
    pub per_impact: ImpactPlaces,
    /// Calls that may wait for a place. Default: 64.
    pub queue: u32,
    /// Calls of one caller that may wait. Default: 8.
    pub queue_per_caller: u32,
    /// Milliseconds that a call waits. Default: 250.
    #[schemars(range(max = 60000))]
    pub queue_timeout: u64,
}

impl Default for PlacesSection {
    fn default() -> Self {
        Self {
            per_caller: None,
            per_tool: None,
            per_toolset: None,
            per_target: None,
            per_impact: ImpactPlaces::default(),
            queue: 64,
            queue_per_caller: 8,
            queue_timeout: 250,
        }
    }
}

/// Places of the impact classes.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImpactPlaces {
    /// Default: without limit.
    #[schemars(range(min = 1))]
    pub minimal: Option<u32>,
    /// Default: without limit.
    #[schemars(range(min = 1))]
    pub low: Option<u32>,
    /// Default: without limit.
    #[schemars(range(min = 1))]
    pub medium: Option<u32>,
}

/// How far one caller gets: not how often, but to how much.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpreadSection {
    /// Different targets (hosts, documents, tables) of one caller in any hour, 4096 at most. Default: without limit.
    #[schemars(range(min = 1, max = 4096))]
    pub targets_per_hour: Option<u32>,
    /// Bytes of answers to one caller in any 24 hours. Default: without limit.
    #[schemars(range(min = 1))]
    pub bytes_per_day: Option<u64>,
    /// Rows (items of the lists in an answer) to one caller in any 24 hours. Default: without limit.
    #[schemars(range(min = 1))]
    pub rows_per_day: Option<u64>,
}

/// Refused tokens, counted for each certificate at each network, and for each user of this machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FailuresSection {
    /// So many have no consequence; a good token that was never sent before makes up for one. Default: 20.
    pub free: u32,
    /// Seconds of refusal after the next one; doubled with each further one. Default: 1.
    #[schemars(range(min = 1, max = 3600))]
    pub first_wait: u64,
    /// Seconds of refusal at most. Default: 300.
    #[schemars(range(min = 1, max = 86400))]
    pub longest_wait: u64,
}

impl Default for FailuresSection {
    fn default() -> Self {
        Self { free: 20, first_wait: 1, longest_wait: 300 }
    }
}

/// Refused handshakes of each IPv4 address and each IPv6 /64.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StrangersSection {
    /// Refused handshakes; beyond them connections are closed before one. Default: 1200.
    #[schemars(range(min = 1))]
    pub handshakes_per_minute: u32,
    /// Refused handshakes that may come at once. Default: 400.
    #[schemars(range(min = 1))]
    pub burst: u32,
    /// Networks and certificates that are told apart. Who has no room there shares one rate with all others. Default: 16384.
    #[schemars(range(min = 1024))]
    pub max_sources: usize,
}

impl Default for StrangersSection {
    fn default() -> Self {
        Self { handshakes_per_minute: 1200, burst: 400, max_sources: 16_384 }
    }
}
