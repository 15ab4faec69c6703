//! What can be observed about the budgets. A rule is named as the configuration names it, so nobody who calls can grow a label.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::METRICS;

/// Names of rules that are counted apart, whatever reloads bring.
const MOST_RULES: usize = 256;

/// Somebody was refused because of a budget.
pub struct BudgetReached<'a> {
    /// The rule of the configuration, or one of those that every configuration has.
    pub rule: &'a str,
}

impl BudgetReached<'_> {
    /// Begins to count by a rule.
    pub fn begin(rule: &str) {
        METRICS.budgets.begin(rule);
    }

    /// Logs and counts.
    pub fn emit(&self) {
        METRICS.budgets.reached(self.rule);
        tracing::debug!(rule = self.rule, "a budget is used up");
    }
}

/// What the budgets hold in memory.
pub struct BudgetsHeld {
    /// Buckets of rates.
    pub buckets: usize,
    /// Callers.
    pub callers: usize,
    /// Networks and certificates that were refused.
    pub sources: usize,
    /// Calls that run.
    pub running: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
}

impl BudgetsHeld {
    /// Measures.
    pub fn emit(&self) {
        METRICS.budgets.held(self);
    }
}

/// The metrics.
#[derive(Default)]
pub(super) struct Budgets {
    refusals: Family<[(&'static str, String); 1], Counter>,
    entries: Family<[(&'static str, &'static str); 1], Gauge>,
    calls: Family<[(&'static str, &'static str); 1], Gauge>,
    rules: std::sync::Mutex<std::collections::BTreeSet<String>>,
}

impl Budgets {
    pub(super) fn register(&self, registry: &mut Registry) {
        for rule in ["failures", "full", "places", "spread", "strangers"] {
            self.begin(rule);
        }
        let help = "Refusals by a budget, each by the rule that had to be waited for longest";
        registry.register("budget_refusals", help, self.refusals.clone());
        registry.register("budget_entries", "What the budgets remember", self.entries.clone());
        registry.register("budget_calls", "Calls that run or wait for a place", self.calls.clone());
    }

    fn begin(&self, rule: &str) {
        let mut rules = self.rules.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if rules.len() < MOST_RULES && rules.insert(rule.to_owned()) {
            drop(self.refusals.get_or_create(&[("rule", rule.to_owned())]));
        }
    }

    /// A rule that was not begun with has no series.
    fn reached(&self, rule: &str) {
        if let Some(counter) = self.refusals.get(&[("rule", rule.to_owned())]) {
            counter.inc();
        }
    }

    fn held(&self, held: &BudgetsHeld) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (kind, count) in [("buckets", held.buckets), ("callers", held.callers), ("sources", held.sources)] {
            self.entries.get_or_create(&[("kind", kind)]).set(gauge(count));
        }
        for (state, count) in [("running", held.running), ("waiting", held.waiting)] {
            self.calls.get_or_create(&[("state", state)]).set(gauge(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn refusals_are_counted_by_rules_that_there_are_and_no_others() {
        let (budgets, mut registry) = (Budgets::default(), Registry::default());
        budgets.register(&mut registry);
        budgets.begin("nightly");
        budgets.reached("nightly");
        budgets.reached("made up");
        (0..1000).for_each(|number| budgets.begin(&number.to_string()));
        budgets.held(&BudgetsHeld { buckets: 3, callers: 2, sources: 1, running: 5, waiting: 4 });
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "budget_refusals_total{rule=\"nightly\"} 1\n",
            "budget_refusals_total{rule=\"places\"} 0\n",
            "budget_entries{kind=\"buckets\"} 3\n",
            "budget_calls{state=\"waiting\"} 4\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("made up"));
        assert_eq!(text.matches("budget_refusals_total{").count(), MOST_RULES);
    }
}
