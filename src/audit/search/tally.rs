//! Counts what is in a journal, in bounded memory: names that strangers choose are counted up to a limit, the rest as one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::reading::Reading;

/// Names that are counted apart.
const NAMES: usize = 10_000;
/// Tools whose durations are: each of them can take a hundred kilobytes.
const TIMED: usize = 1000;
/// Bytes of a name that are kept. Names that begin alike for so long are counted as one.
const LONGEST_NAME: usize = 256;
/// Under which name the rest is counted.
const REST: &str = "(others)";
/// Under which name those are counted of whom it is not known.
const UNKNOWN: &str = "(unknown)";

/// How often each name occurs.
#[derive(Default, Debug)]
pub struct Counts(HashMap<String, u64>);

impl Counts {
    fn add(&mut self, name: &str, count: u64) {
        let name = cut(name);
        let name = if self.0.contains_key(&*name) || self.0.len() < NAMES { name } else { REST.into() };
        let slot = self.0.entry(name.into_owned()).or_default();
        *slot = slot.saturating_add(count);
    }

    /// The most frequent, at most `most`.
    #[must_use]
    pub fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.0.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }
}

/// A name, or as much of it as is kept.
fn cut(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST_NAME {
        return Cow::Borrowed(name);
    }
    Cow::Owned(format!("{}…", name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or_default()))
}

/// How long calls took, in milliseconds: how often each duration occurs.
#[derive(Default, Debug)]
pub struct Durations {
    counts: BTreeMap<u64, u64>,
    total: u64,
}

impl Durations {
    /// Longer ones, one hour and more, are counted as that.
    const LONGEST: u64 = 3_600_000;

    fn add(&mut self, ms: u64) {
        // To three digits, which keeps the number of different ones small.
        let step = match ms {
            0..=999 => 1,
            1000..=9_999 => 10,
            10_000..=99_999 => 100,
            _ => 1000,
        };
        let ms = ms.min(Self::LONGEST);
        let rounded = ms.saturating_sub(ms.checked_rem(step).unwrap_or(0));
        let slot = self.counts.entry(rounded).or_default();
        *slot = slot.saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that `percent` of the calls did not exceed (nearest rank), to three digits.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let rank = self.total.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0_u64;
        self.counts.iter().find_map(|(ms, count)| {
            seen = seen.saturating_add(*count);
            (seen >= rank).then_some(*ms)
        })
    }
}

/// The counts of a journal.
#[derive(Default, Debug)]
pub struct Tally {
    /// Records.
    pub records: u64,
    /// Lines that are no records.
    pub others: u64,
    /// Time of the first and of the last record.
    pub times: Option<(String, String)>,
    /// By `event`.
    pub events: Counts,
    /// By `decision`, or by `result` where a record has none; only records that decide.
    pub decisions: Counts,
    /// Decisions by `user`.
    pub users: Counts,
    /// Decisions by each of `agent`.
    pub agents: Counts,
    /// Decisions by `query`.
    pub tools: Counts,
    /// Refusals by `reason`, with those that a record stands for.
    pub reasons: Counts,
    /// Refusals by `user`, else by `client.subject`, with those that a record stands for.
    pub refused: Counts,
    /// Refusals by `client.ip`, with those that a record stands for.
    pub addresses: Counts,
    /// Refusals, with those that a record stands for.
    pub refusals: u64,
    /// By tool.
    pub durations: HashMap<String, Durations>,
    /// Number and time of the last checkpoint.
    pub checkpoint: Option<(u64, String)>,
}

impl Tally {
    /// Counts a record.
    pub fn add(&mut self, record: &Reading) {
        self.records = self.records.saturating_add(1);
        match &mut self.times {
            Some((_, last)) => last.clone_from(&record.ts),
            None => self.times = Some((record.ts.clone(), record.ts.clone())),
        }
        self.events.add(&record.event, 1);
        if record.checkpoint.is_some() {
            self.checkpoint = Some((record.seq, record.ts.clone()));
        }
        let refused = record.result.as_deref() == Some("refused");
        if refused {
            let count = record.count.unwrap_or(1);
            self.refusals = self.refusals.saturating_add(count);
            self.reasons.add(record.reason.as_deref().unwrap_or("(none)"), count);
            let who = record.user.as_deref().or(record.client.subject.as_deref());
            self.refused.add(who.unwrap_or(UNKNOWN), count);
            self.addresses.add(record.client.ip.as_deref().unwrap_or(UNKNOWN), count);
        }
        let outcome = record.stage.as_deref() == Some("outcome");
        if let Some(decision) = record.decision.as_deref().or(record.result.as_deref())
            && record.query.is_some()
            && !outcome
        {
            self.decisions.add(decision, 1);
            record.user.iter().for_each(|user| self.users.add(user, 1));
            record.agent.iter().for_each(|agent| self.agents.add(agent, 1));
            record.query.iter().for_each(|tool| self.tools.add(tool, 1));
        }
        if let (Some(tool), Some(ms)) = (&record.query, record.duration_ms) {
            let tool = cut(tool);
            if !self.durations.contains_key(&*tool) && self.durations.len() < TIMED {
                self.durations.insert(tool.clone().into_owned(), Durations::default());
            }
            if let Some(durations) = self.durations.get_mut(&*tool) {
                durations.add(ms);
            }
        }
    }

    /// Tools by how long all but one call in a hundred took, the slowest first.
    #[must_use]
    pub fn slowest(&self, most: usize) -> Vec<Slow<'_>> {
        let slow = self.durations.iter().filter_map(|(tool, durations)| {
            let (p50, p99) = (durations.percentile(50)?, durations.percentile(99)?);
            Some(Slow { tool, calls: durations.total(), p50_ms: p50, p99_ms: p99 })
        });
        let mut all: Vec<Slow<'_>> = slow.collect();
        all.sort_by(|a, b| b.p99_ms.cmp(&a.p99_ms).then(a.tool.cmp(b.tool)));
        all.truncate(most);
        all
    }
}

/// How long the calls of a tool took.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Slow<'a> {
    /// The tool.
    pub tool: &'a str,
    /// How many calls.
    pub calls: u64,
    /// Half of them took no longer.
    pub p50_ms: u64,
    /// All but one in a hundred took no longer.
    pub p99_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank_to_three_digits() {
        let mut durations = Durations::default();
        (1..=200).for_each(|ms| durations.add(ms));
        assert_eq!((durations.percentile(50), durations.percentile(99)), (Some(100), Some(198)));
        durations.add(123_456);
        assert_eq!(durations.percentile(100), Some(123_000));
        assert_eq!(Durations::default().percentile(50), None);
        (0..5_000_000).step_by(7).for_each(|ms| durations.add(ms));
        assert!(durations.counts.len() < 7000);
    }

    #[test]
    fn names_beyond_the_limit_are_counted_as_one() {
        let mut counts = Counts::default();
        (0..NAMES + 5).for_each(|number| counts.add(&format!("{number:06}"), 1));
        counts.add("000001", 7);
        assert_eq!(counts.top(2), [("000001", 8), (REST, 5)]);
        assert_eq!(counts.0.len(), NAMES + 1);
    }

    #[test]
    fn of_a_long_name_only_the_beginning_is_kept() {
        let mut tally = Tally::default();
        let long = |end: char| format!("x{}{end}", "ü".repeat(450_000));
        for number in 0..TIMED + 50 {
            let end = if number.is_multiple_of(2) { 'a' } else { 'b' };
            tally.add(&Reading {
                event: if number < 4 { long(end) } else { "query".to_owned() },
                query: Some(if number < 4 { long(end) } else { format!("tool{number}") }),
                user: (number < 4).then(|| long(end)),
                agent: if number < 4 { vec![long(end); 2] } else { Vec::new() },
                decision: Some("permit".to_owned()),
                duration_ms: Some(1),
                ..Reading::default()
            });
        }
        let kept = format!("x{}…", "ü".repeat(127));
        assert_eq!((tally.users.top(9), tally.agents.top(9)), (vec![(&*kept, 4)], vec![(&*kept, 8)]));
        assert_eq!((tally.events.0[&kept], tally.tools.0[&kept], tally.durations[&kept].total()), (4, 4, 4));
        assert_eq!(tally.durations.len(), TIMED);
    }
}
