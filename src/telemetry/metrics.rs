//! Counters and histograms, in the Prometheus text form.

use std::sync::LazyLock;
use std::time::Duration;

use crate::error::Code;

pub(super) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::default);

#[derive(Default)]
pub(super) struct Metrics {}

impl Metrics {
    pub(super) fn refused(&self, _code: Code) {}
    pub(super) fn call(&self, _tool: &str, _result: Option<Code>, _took: Duration) {}
    pub(super) fn keys_fetched(&self, _ok: bool) {}
}

/// All metrics as OpenMetrics text.
pub fn text() -> String {
    String::new()
}
