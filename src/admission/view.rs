//! What is left of the budgets, for callers (of their own) and for operators (of all). Looking takes nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::places::Kind;
use super::refusal::seconds;
use super::rules::{Draws, Known, Rule};
use super::spread::Page;
use super::{Accounts, Aim, Gate};
use crate::authn::Caller;
use crate::cluster::{Draw, Rate, Standing};
use crate::identity::PeerIdentity;

/// Callers that are shown at once.
const MOST_SHOWN: usize = 1000;

/// One rate of one rule, as a caller is told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Of its rule, with `-hour` for its second rate.
    pub name: String,
    /// Calls that may come at once. Whoever never asks for more in any window of this length is never refused by it.
    pub calls: u32,
    /// The window, in whole seconds: after so long without a call all may come at once again.
    pub window: Duration,
    /// The tool, toolset or scope that it is about, where it does not hold whatever the tool.
    pub part: Option<String>,
    /// Calls that would pass now.
    pub left: u32,
    /// Until one more would.
    pub more_in: Duration,
}

/// What the budgets hold.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Overview {
    /// Calls that run.
    pub running: u32,
    /// Calls that wait for a place.
    pub waiting: usize,
    /// Calls that may run.
    pub places: u32,
    /// Buckets of rates that are not whole.
    pub buckets: usize,
    /// Callers that are remembered.
    pub known_callers: usize,
    /// Networks and certificates whose handshakes or tokens were refused lately.
    pub sources: usize,
    /// Entries that each of these may have.
    pub max_keys: usize,
    /// Those that were asked for, by name; no more than a thousand.
    pub callers: Vec<CallerView>,
    /// Callers that fit and are not shown.
    pub not_shown: usize,
}

/// What one caller has used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallerView {
    /// `alice via coding-bot`
    pub caller: String,
    /// The first digits of a digest that tells callers of the same name apart, as those over another certificate.
    pub id: String,
    /// Calls that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<u32>,
    /// The rates.
    pub rates: Vec<RateView>,
    /// Different targets within an hour.
    pub targets: usize,
    /// How many it may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets_per_hour: Option<u32>,
    /// Bytes of answers within a day, counted only if there is a limit.
    pub bytes: u64,
    /// The limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
    /// Rows of answers within a day, counted only if there is a limit.
    pub rows: u64,
    /// The limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_day: Option<u64>,
}

/// How a rate of a rule stands for a caller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RateView {
    /// The rule.
    pub rule: String,
    /// The tool, where the rule depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// `minute` or `hour`.
    pub per: String,
    /// Calls in it.
    pub calls: u32,
    /// Calls that may come at once.
    pub at_once: u32,
    /// Calls that would pass now.
    pub left: u32,
    /// Seconds until one more would.
    pub next_seconds: u64,
    /// Seconds until all would.
    pub whole_seconds: u64,
}

impl Gate {
    /// What is left to a caller of all that such a call draws from; without an aim, of what any other request does.
    #[must_use]
    pub fn quotas(&self, caller: &Caller, aim: Option<Aim<'_>>) -> Vec<Quota> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let keys = &self.accounts.keys;
        self.quotas_of(&self.rules.draws(Known::Call(caller, keys.who(caller), aim), keys), aim)
    }

    /// What is left of the rates that whoever comes over this channel draws from.
    #[must_use]
    pub fn quotas_over(&self, peer: &PeerIdentity) -> Vec<Quota> {
        let keys = &self.accounts.keys;
        self.quotas_of(&self.rules.draws(Known::Channel(peer, keys.holder(peer)), keys), None)
    }

    fn quotas_of(&self, draws: &Draws, aim: Option<Aim<'_>>) -> Vec<Quota> {
        let Accounts { clock, cluster, .. } = &*self.accounts;
        let now = clock.instant();
        let mut quotas = Vec::new();
        for (rule, draw) in draws.with_rules() {
            let Some(rule) = self.rules.get(rule) else { continue };
            let standings = cluster.standing(draw, now).into_iter().zip(rule.rates).zip(["", "-hour"]);
            for ((standing, rate), suffix) in standings {
                let Some((standing, rate)) = standing.zip(rate) else { continue };
                quotas.push(Quota {
                    name: format!("{}{suffix}", rule.name),
                    calls: rate.burst(),
                    window: rate.window(),
                    part: rule.part(aim),
                    left: standing.left,
                    more_in: standing.next_in,
                });
            }
        }
        quotas
    }

    /// What the budgets hold, and of callers whose name has `wanted` in it what they have used.
    #[must_use]
    pub fn overview(&self, wanted: Option<&str>) -> Overview {
        let Accounts { clock, cluster, ledger, sources, places, .. } = &*self.accounts;
        let now = self.accounts.nanos(clock.instant());
        let (running, waiting) = places.taken();
        let (mut callers, mut not_shown) = (Vec::new(), 0_usize);
        ledger.each(|page| {
            if !page.name.is_empty() && wanted.is_none_or(|wanted| page.name.contains(wanted)) {
                match callers.len() < MOST_SHOWN {
                    // Its buckets are looked at when its part of the table is not locked any more.
                    true => callers.push(self.half_seen(page, now)),
                    false => not_shown = not_shown.saturating_add(1),
                }
            }
        });
        let mut callers: Vec<CallerView> = callers.into_iter().map(|half| self.seen(half)).collect();
        callers.sort_by(|one, other| (&one.caller, &one.id).cmp(&(&other.caller, &other.id)));
        Overview {
            running,
            waiting,
            places: self.most,
            buckets: cluster.buckets(),
            known_callers: ledger.len(),
            sources: sources.len(),
            max_keys: self.budgets.max_keys,
            callers,
            not_shown,
        }
    }

    fn half_seen(&self, page: &Page, now: u64) -> (CallerView, Vec<super::spread::Bucket>) {
        let (used, section) = (page.used(now), &self.budgets.spread);
        let running = self.accounts.places.counted(Kind::Caller, page.who.caller);
        let view = CallerView {
            caller: page.name.to_string(),
            id: format!("{:08x}", page.who.caller >> 96),
            // Counted only where there is a limit.
            running: self.budgets.places.per_caller.map(|_| running),
            rates: Vec::new(),
            targets: used.targets,
            targets_per_hour: section.targets_per_hour,
            bytes: used.bytes,
            bytes_per_day: section.bytes_per_day,
            rows: used.rows,
            rows_per_day: section.rows_per_day,
        };
        (view, page.buckets.clone())
    }

    fn seen(&self, (mut view, buckets): (CallerView, Vec<super::spread::Bucket>)) -> CallerView {
        let Accounts { clock, cluster, .. } = &*self.accounts;
        let now = clock.instant();
        for bucket in buckets {
            // A rule that is gone holds for nobody.
            let Some(rule) = self.rules.named(&bucket.rule) else { continue };
            let standings = cluster.standing(&Draw { key: bucket.key, rates: rule.rates }, now);
            for (rate, standing) in standings.into_iter().enumerate() {
                let Some((calls, Standing { left, whole_in, next_in })) = said(rule, rate).zip(standing) else {
                    continue;
                };
                view.rates.push(RateView {
                    rule: rule.name.to_string(),
                    tool: bucket.tool.as_deref().map(str::to_owned),
                    per: (if rate == 0 { "minute" } else { "hour" }).to_owned(),
                    calls,
                    at_once: rule.rates.get(rate).copied().flatten().map_or(calls, Rate::burst),
                    left,
                    next_seconds: if next_in.is_zero() { 0 } else { seconds(next_in) },
                    whole_seconds: if whole_in.is_zero() { 0 } else { seconds(whole_in) },
                });
            }
        }
        view
    }
}

fn said(rule: &Rule, rate: usize) -> Option<u32> {
    rule.said.get(rate).copied().flatten()
}
