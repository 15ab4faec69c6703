//! The largest numbers that still limit something. docs/hardening.md has the same ones, with the reasons.

use crate::admission::RateLimitSection;
use crate::config::Config;

/// Ten a second: more than a model can ask for and read.
pub(super) const PER_MINUTE: u64 = 600;
/// What a day's work of one agent comes to, in an hour.
pub(super) const PER_HOUR: u64 = 10_000;
/// As many as one turn of an agent asks side by side.
pub(super) const BURST: u64 = 100;
/// As many as the impact classes let work at a time, several times over.
pub(super) const AT_ONCE: u64 = 64;
/// More than a model takes in at a time, many times over.
pub(super) const OUTPUT_BYTES: u64 = 16 << 20;
/// Entries of one list.
pub(super) const ITEMS: u64 = 10_000;

/// Every key that is over its bound, with both.
pub(super) fn over(config: &Config, rate: &RateLimitSection) -> Vec<String> {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (resources, limits) = (&config.resources, &config.limits);
    [
        ("resources.rate_limit.requests_per_minute", u64::from(rate.requests_per_minute), PER_MINUTE),
        ("resources.rate_limit.requests_per_hour", u64::from(rate.requests_per_hour), PER_HOUR),
        ("resources.rate_limit.burst", u64::from(rate.burst), BURST),
        ("resources.max_concurrent_queries", number(resources.max_concurrent_queries), AT_ONCE),
        ("limits.max_output_bytes", number(limits.max_output_bytes), OUTPUT_BYTES),
        ("limits.max_array_items", number(limits.max_array_items), ITEMS),
    ]
    .into_iter()
    .filter(|(_, is, most)| is > most)
    .map(|(key, is, most)| format!("{key} is {is}, over {most}"))
    .collect()
}
