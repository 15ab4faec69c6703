//! Counters and histograms, in the OpenMetrics text form. Every label has a closed set of values: reason codes, and the
//! names of tools that exist. Nothing that a caller writes becomes a label.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::budgets::Budgets;
use super::forwarding::Forwarding;
use crate::clock::Timestamp;
use crate::error::Code;

/// The media type of [`text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics as OpenMetrics text.
#[must_use]
pub fn text() -> String {
    METRICS.text()
}

pub(super) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

pub(super) struct Metrics {
    registry: Registry,
    refusals: Family<[(&'static str, &'static str); 1], Counter>,
    calls: Family<(ToolLabel, ResultLabel), Counter>,
    durations: Family<ToolLabel, Histogram, Buckets>,
    connections: Gauge,
    connections_opened: Counter,
    keys_fetched: Family<[(&'static str, &'static str); 1], Counter>,
    audit_written: Counter,
    audit_failed: Counter,
    not_after: Family<[(&'static str, &'static str); 1], Gauge>,
    audit_syncs: Counter,
    audit_writable: Gauge,
    alarms: Family<AlarmLabel, Counter>,
    pub(super) forwarding: Forwarding,
    pub(super) budgets: Budgets,
}

type ToolLabel = [(&'static str, String); 1];
type AlarmLabel = [(&'static str, &'static str); 2];
type ResultLabel = [(&'static str, &'static str); 1];

/// Seconds: the limits of the impact classes (0.1, 1 and 5) are among them.
#[derive(Clone)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
    }
}

impl Metrics {
    fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("doorward"),
            refusals: Family::default(),
            calls: Family::default(),
            durations: Family::new_with_constructor(Buckets),
            connections: Gauge::default(),
            connections_opened: Counter::default(),
            keys_fetched: Family::default(),
            audit_written: Counter::default(),
            audit_failed: Counter::default(),
            not_after: Family::default(),
            audit_syncs: Counter::default(),
            audit_writable: Gauge::default(),
            alarms: Family::default(),
            forwarding: Forwarding::default(),
            budgets: Budgets::default(),
        };
        // A series that begins with its first increment hides that increment from `rate`, so they all begin with zero.
        for code in Code::ALL {
            drop(metrics.refusals.get_or_create(&[("reason", code.as_str())]));
        }
        for ok in ["true", "false"] {
            drop(metrics.keys_fetched.get_or_create(&[("ok", ok)]));
        }
        for scope in ["source", "all"] {
            drop(metrics.alarms.get_or_create(&[("alarm", "auth_failures"), ("scope", scope)]));
        }
        metrics.register();
        metrics
    }

    /// Counters get `_total` and the info gets `_info` when they are written.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("refusals", "Requests and calls that were refused", self.refusals.clone());
        registry.register("calls", "Calls that ran, by their result", self.calls.clone());
        registry.register("call_duration_seconds", "From request to outcome", self.durations.clone());
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register("connections_opened", "Connections ever opened", self.connections_opened.clone());
        registry.register("keys_fetched", "Fetches of a token key set", self.keys_fetched.clone());
        registry.register("audit_records", "Records in the audit log", self.audit_written.clone());
        let help = "1 while the audit log can be written, 0 while it cannot or there is none";
        registry.register("audit_writable", help, self.audit_writable.clone());
        registry.register("audit_syncs", "Waits for the disk, each for many records", self.audit_syncs.clone());
        registry.register("audit_failures", "Records that could not be written in time", self.audit_failed.clone());
        let help = "When what is in a file runs out, in seconds since 1970";
        registry.register("not_after_seconds", help, self.not_after.clone());
        registry.register("alarms", "Warnings about what an operator should look at", self.alarms.clone());
        self.forwarding.register(registry);
        self.budgets.register(registry);
    }

    pub(super) fn refused(&self, code: Code) {
        self.refusals.get_or_create(&[("reason", code.as_str())]).inc();
    }

    /// A tool that there is begins with no calls, for the same reason.
    pub(super) fn offered(&self, tool: &str) {
        let tool = [("tool", tool.to_owned())];
        drop(self.durations.get_or_create(&tool));
        drop(self.calls.get_or_create(&(tool, [("result", "success")])));
    }

    pub(super) fn call(&self, tool: &str, result: Option<Code>, took: Duration) {
        let tool = [("tool", tool.to_owned())];
        self.durations.get_or_create(&tool).observe(took.as_secs_f64());
        let result = [("result", result.map_or("success", Code::as_str))];
        self.calls.get_or_create(&(tool, result)).inc();
    }

    pub(super) fn keys_fetched(&self, ok: bool) {
        self.keys_fetched.get_or_create(&[("ok", if ok { "true" } else { "false" })]).inc();
    }

    pub(super) fn connection_opened(&self) {
        self.connections.inc();
        self.connections_opened.inc();
    }

    pub(super) fn connection_closed(&self) {
        self.connections.dec();
    }

    pub(super) fn audit_written(&self, records: usize) {
        self.audit_written.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
    }

    pub(super) fn audit_writable(&self, now: bool) {
        self.audit_writable.set(i64::from(now));
    }

    pub(super) fn audit_synced(&self) {
        self.audit_syncs.inc();
    }

    pub(super) fn audit_failed(&self, records: usize) {
        self.audit_failed.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
    }

    /// A file that is not named any more has no end.
    pub(super) fn files_last(&self, ends: &[(&'static str, Timestamp)]) {
        self.not_after.clear();
        for (key, at) in ends {
            self.not_after.get_or_create(&[("file", *key)]).set(at.seconds());
        }
    }

    /// `source`: whether it is about one source, or about all together.
    pub(super) fn alarm(&self, alarm: &'static str, source: bool) {
        let scope = if source { "source" } else { "all" };
        self.alarms.get_or_create(&[("alarm", alarm), ("scope", scope)]).inc();
    }

    fn text(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // A `String` takes everything; and half a page of metrics would be read as a whole one.
            Err(std::fmt::Error) => "# EOF\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_there_before_it_happens() {
        let text = Metrics::new().text();
        for code in Code::ALL {
            let line = format!("doorward_refusals_total{{reason=\"{code}\"}} 0\n");
            assert!(text.contains(&line), "{line}");
        }
        assert!(text.contains(&format!("doorward_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))));
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn a_tool_begins_with_no_calls() {
        let metrics = Metrics::new();
        metrics.offered("get_uptime");
        let text = metrics.text();
        assert!(text.contains("doorward_calls_total{tool=\"get_uptime\",result=\"success\"} 0\n"), "{text}");
        assert!(text.contains("doorward_call_duration_seconds_count{tool=\"get_uptime\"} 0\n"), "{text}");
    }

    #[test]
    fn what_happens_is_counted() {
        let metrics = Metrics::new();
        metrics.refused(Code::TokenReplayed);
        metrics.call("get_cpu_info", None, Duration::from_millis(3));
        metrics.call("get_cpu_info", Some(Code::TimedOut), Duration::from_secs(60));
        metrics.connection_opened();
        metrics.connection_opened();
        metrics.connection_closed();
        metrics.keys_fetched(false);
        metrics.audit_written(7);
        metrics.audit_failed(2);
        metrics.files_last(&[("tls.cert", Timestamp::from_seconds(1)), ("tls.client_crl", Timestamp::from_seconds(2))]);
        metrics.files_last(&[("tls.cert", Timestamp::from_seconds(1_800_000_000))]);
        metrics.alarm("auth_failures", true);
        let text = metrics.text();
        for line in [
            "doorward_refusals_total{reason=\"token_replayed\"} 1",
            "doorward_calls_total{tool=\"get_cpu_info\",result=\"success\"} 1",
            "doorward_calls_total{tool=\"get_cpu_info\",result=\"timed_out\"} 1",
            "doorward_call_duration_seconds_count{tool=\"get_cpu_info\"} 2",
            "doorward_call_duration_seconds_bucket{le=\"0.0025\",tool=\"get_cpu_info\"} 0",
            "doorward_call_duration_seconds_bucket{le=\"0.005\",tool=\"get_cpu_info\"} 1",
            "doorward_connections 1",
            "doorward_connections_opened_total 2",
            "doorward_keys_fetched_total{ok=\"true\"} 0",
            "doorward_keys_fetched_total{ok=\"false\"} 1",
            "doorward_audit_records_total 7",
            "doorward_audit_failures_total 2",
            "doorward_not_after_seconds{file=\"tls.cert\"} 1800000000",
            "doorward_alarms_total{alarm=\"auth_failures\",scope=\"source\"} 1",
            "doorward_alarms_total{alarm=\"auth_failures\",scope=\"all\"} 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(!text.contains("tls.client_crl"), "{text}");
    }

    #[test]
    fn no_two_families_share_a_name() {
        let text = Metrics::new().text();
        let mut names: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
