//! The alarm: more refusals of who is there than so many within a window, from one source or from all together, are a
//! warning, once per window. What is remembered is bounded, and a refusal beyond the bound still counts.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::record::Record;
use crate::clock::{Clock, Timestamp};
use crate::identity::Network;
use crate::telemetry::ManyAuthFailures;

/// Sources that are told apart; all others are one, which has its own warning.
const MOST: usize = 10_000;
/// Refusals of one source whose times are kept exactly.
const EXACT: usize = 32;
/// Beyond those, refusals within this part of a window are one entry and are forgotten together, with the last of them.
const STEPS: u32 = 32;

/// When refusals of who is there (`auth_failure`) are worth a warning.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlertsSection {
    /// More of them than this within the window are a warning: from one IPv4 address or IPv6 /64, and from all together.
    /// 0 is never. Default: 10.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub auth_failures: u64,
    /// Seconds, which is also the shortest time between two warnings about one source. Default: 300.
    #[schemars(range(min = 1, max = 86_400))]
    pub window: u64,
}

impl Default for AlertsSection {
    fn default() -> Self {
        Self { auth_failures: 10, window: 300 }
    }
}

/// Counts refusals and says when they are many.
#[derive(Default)]
pub(super) struct Alerts(Mutex<State>);

#[derive(Default)]
struct State {
    section: AlertsSection,
    all: Tally,
    sources: HashMap<Source, Tally>,
    swept: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Source {
    Network(Network),
    /// Whoever came when there were too many to tell apart.
    Other,
}

/// There were more than the limit.
#[derive(PartialEq, Eq, Debug)]
struct Raised {
    /// `None` for all together.
    source: Option<Source>,
    count: u64,
    section: AlertsSection,
}

impl Alerts {
    /// The limits from now on; what was counted stays counted.
    pub(super) fn set(&self, section: &AlertsSection) {
        self.lock().section = section.clone();
    }

    /// Counts what a record says. Whatever this raises is logged and counted already; these are the records of it.
    pub(super) fn see(&self, record: &Record, clock: &Clock) -> Vec<Record> {
        let Some((address, count)) = record.auth_failures() else { return Vec::new() };
        let raised = self.count(address.map(Network::of), count, clock.instant());
        raised.iter().map(|raised| raised.tell(record, clock.now())).collect()
    }

    /// A refusal whose source is not known counts among all.
    fn count(&self, network: Option<Network>, count: u64, now: Instant) -> Vec<Raised> {
        let mut state = self.lock();
        let section = state.section.clone();
        if section.auth_failures == 0 {
            return Vec::new();
        }
        let all = state.all.add(count, now, &section).map(|count| (None, count));
        let one = network.and_then(|network| {
            let source = state.source(network, now);
            let count = state.sources.entry(source).or_default().add(count, now, &section)?;
            Some((Some(source), count))
        });
        let raised = one.into_iter().chain(all);
        raised.map(|(source, count)| Raised { source, count, section: section.clone() }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// As whom to count a network. Those that have been quiet for a window make room.
    fn source(&mut self, network: Network, now: Instant) -> Source {
        let source = Source::Network(network);
        if self.sources.len() < MOST || self.sources.contains_key(&source) {
            return source;
        }
        let (window, step) = (self.section.length(), self.section.step());
        // Looking at all of them for each newcomer would make a flood dear.
        if self.swept.is_none_or(|swept| now.saturating_duration_since(swept) >= step) {
            self.swept = Some(now);
            self.sources.retain(|_, tally| {
                tally.forget(now, window);
                !tally.seen.is_empty() || tally.raised.is_some()
            });
        }
        if self.sources.len() < MOST { source } else { Source::Other }
    }
}

impl AlertsSection {
    fn length(&self) -> Duration {
        Duration::from_secs(self.window)
    }

    fn step(&self) -> Duration {
        self.length().checked_div(STEPS).unwrap_or_default()
    }
}

/// The refusals of one source within the last window.
#[derive(Default)]
struct Tally {
    seen: VecDeque<Entry>,
    raised: Option<Instant>,
}

struct Entry {
    first: Instant,
    last: Instant,
    count: u64,
}

impl Tally {
    /// How many there are within the window, if these are too many and nobody was told within it.
    fn add(&mut self, count: u64, now: Instant, section: &AlertsSection) -> Option<u64> {
        self.forget(now, section.length());
        let crowded = self.seen.len() >= EXACT;
        match self.seen.back_mut() {
            Some(entry) if crowded && now.saturating_duration_since(entry.first) < section.step() => {
                entry.last = now;
                entry.count = entry.count.saturating_add(count);
            }
            _ => self.seen.push_back(Entry { first: now, last: now, count }),
        }
        let total = self.seen.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.count));
        if total <= section.auth_failures || self.raised.is_some() {
            return None;
        }
        self.raised = Some(now);
        Some(total)
    }

    /// What is a window old counts no more.
    fn forget(&mut self, now: Instant, window: Duration) {
        let old = |at: Instant| now.saturating_duration_since(at) >= window;
        while self.seen.pop_front_if(|entry| old(entry.last)).is_some() {}
        self.raised = self.raised.filter(|at| !old(*at));
    }
}

impl Raised {
    /// Logs and counts it, and makes the record of it.
    fn tell(&self, cause: &Record, at: Timestamp) -> Record {
        let Self { source, count, section: AlertsSection { auth_failures, window } } = self;
        let name = source.map(|source| source.to_string());
        ManyAuthFailures { source: name.as_deref(), count: *count, window: *window }.emit();
        let ip = match source {
            Some(Source::Network(network)) => Some(network.address()),
            Some(Source::Other) | None => None,
        };
        let from = name.as_deref().unwrap_or("all sources together");
        cause
            .warning("auth_failures", at, Client { ip, ..Client::default() })
            .counted(*count)
            .saying(&format!("{count} refusals from {from} within {window} s; more than {auth_failures} are a warning"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Other => f.write_str("sources beyond those told apart"),
        }
    }
}

#[cfg(test)]
mod tests;
