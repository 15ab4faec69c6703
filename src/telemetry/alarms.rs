//! What an operator should look at now: logged as a warning and counted by alarm.

use super::metrics::METRICS;

/// There were many refusals of who is there within a window.
pub struct ManyAuthFailures<'a> {
    /// From where; `None` for all together.
    pub source: Option<&'a str>,
    /// How many.
    pub count: u64,
    /// Within how many seconds.
    pub window: u64,
}

impl ManyAuthFailures<'_> {
    /// Logs and counts.
    pub fn emit(&self) {
        let Self { source, count, window } = self;
        METRICS.alarm("auth_failures", source.is_some());
        match source {
            Some(source) => tracing::warn!(source, count, window, "many refusals from one source"),
            None => tracing::warn!(count, window, "many refusals from all sources together"),
        }
    }
}
