//! Which rules of rate a call meets. Rules of one kind tell the same apart (`per`); of those that fit a call, the ones that
//! name the most hold, and the others of that kind do not. All kinds hold together.

use std::sync::Arc;
use std::time::Duration;

use super::keys::{Keys, Who};
use super::{Aim, BudgetsSection, Dimension, RateRule, ResourcesSection};
use crate::authn::Caller;
use crate::cluster::{Draw, MOST_DRAWS, Rate, Rates};
use crate::identity::{PeerIdentity, SubjectPattern};

/// The name of the rule that `resources.rate_limit` makes.
pub const DEFAULT_RULE: &str = "caller";

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Calls at once where a rule does not say.
const BURST: u32 = 10;

/// A rule.
pub(super) struct Rule {
    pub(super) name: Arc<str>,
    pub(super) per: Vec<Dimension>,
    only: Only,
    pub(super) rates: Rates,
    /// Calls a minute and an hour, as they are told.
    pub(super) said: [Option<u32>; 2],
    /// Begins the digest of each bucket: by its name, so that the same rule with other numbers goes on where it was.
    seed: u128,
}

/// Whom a rule is for.
#[derive(Default)]
struct Only {
    user: Option<String>,
    agent: Option<String>,
    certificate: Option<SubjectPattern>,
    tool: Option<String>,
    toolset: Option<String>,
    scope: Option<String>,
}

/// What is known of a call by the time it is asked.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    /// The channel alone, and whose it is.
    Channel(&'a PeerIdentity, u128),
    /// Who calls.
    Caller(&'a Caller, Who),
    /// And what; without an aim the tool is none that there is.
    Call(&'a Caller, Who, Option<Aim<'a>>),
}

/// All rules, by kind.
pub(super) struct Rules {
    rules: Vec<Rule>,
    /// The rules of each kind, those that name the most first; and what they need to know.
    kinds: Vec<(Vec<usize>, u8)>,
}

/// The buckets that a call draws from, each with the place of its rule.
pub(super) struct Draws {
    draws: [Draw; MOST_DRAWS],
    rules: [usize; MOST_DRAWS],
    count: usize,
}

impl Draws {
    pub(super) fn all(&self) -> &[Draw] {
        self.draws.get(..self.count).unwrap_or_default()
    }

    pub(super) fn with_rules(&self) -> impl Iterator<Item = (usize, &Draw)> {
        self.rules.iter().copied().zip(self.all())
    }

    /// The place of the rule of a draw.
    pub(super) fn rule(&self, draw: usize) -> usize {
        self.rules.get(draw).copied().unwrap_or(usize::MAX)
    }
}

impl Rules {
    /// As configured. Rules beyond what one call may draw from are left out; the check of the configuration refuses them.
    pub(super) fn new(resources: &ResourcesSection, budgets: &BudgetsSection, keys: &Keys) -> Self {
        let base = resources.rate_limit.as_ref().map(|limit| RateRule {
            name: DEFAULT_RULE.to_owned(),
            per: vec![Dimension::Caller],
            user: None,
            agent: None,
            certificate: None,
            tool: None,
            toolset: None,
            scope: None,
            requests_per_minute: Some(limit.requests_per_minute),
            requests_per_hour: Some(limit.requests_per_hour),
            burst: Some(limit.burst),
        });
        let rules = base.iter().chain(&budgets.rates).take(MOST_DRAWS).map(|rule| Rule::new(rule, keys));
        let rules: Vec<Rule> = rules.collect();
        let mut kinds: Vec<(&[Dimension], Vec<usize>, u8)> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            match kinds.iter_mut().find(|(per, _, _)| *per == rule.per) {
                Some((_, members, needs)) => {
                    members.push(index);
                    *needs |= rule.needs();
                }
                None => kinds.push((&rule.per, vec![index], rule.needs())),
            }
        }
        let weight = |index: &usize| rules.get(*index).map_or(0, |rule| rule.only.count());
        let mut kinds: Vec<(Vec<usize>, u8)> = kinds.into_iter().map(|(_, members, needs)| (members, needs)).collect();
        kinds.iter_mut().for_each(|(members, _)| members.sort_by_key(|index| std::cmp::Reverse(weight(index))));
        Self { rules, kinds }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether one of them depends on the tool.
    pub(super) fn tells_tools(&self) -> bool {
        self.rules.iter().any(Rule::tells_tools)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// The rule of this name.
    pub(super) fn named(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| &*rule.name == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// The buckets of a call. Before all is known of it, only those that hold whatever else it turns out to be.
    pub(super) fn draws(&self, known: Known<'_>, keys: &Keys) -> Draws {
        let mut draws = Draws {
            draws: [Draw { key: 0, rates: [None, None] }; MOST_DRAWS],
            rules: [usize::MAX; MOST_DRAWS],
            count: 0,
        };
        for (members, needs) in &self.kinds {
            let undecided = needs & !known.tells() != 0;
            let mut weight = 0;
            for index in members {
                let Some(rule) = self.rules.get(*index) else { continue };
                let own = rule.only.count();
                if own < weight {
                    break;
                }
                if undecided && rule.needs() & !known.tells() != 0 {
                    // Where this one may turn out to hold, those that name less may turn out not to.
                    if rule.may_fit(known) {
                        weight = own;
                    }
                    continue;
                }
                let Some(key) = rule.fits(known).then(|| rule.key(known, keys)).flatten() else { continue };
                weight = own;
                let places = draws.draws.get_mut(draws.count).zip(draws.rules.get_mut(draws.count));
                if let Some((draw, place)) = places {
                    (*draw, *place) = (Draw { key, rates: rule.rates }, *index);
                    draws.count = draws.count.saturating_add(1);
                }
            }
        }
        draws
    }
}

impl Rule {
    fn new(rule: &RateRule, keys: &Keys) -> Self {
        let mut per = rule.per.clone();
        per.sort_unstable();
        per.dedup();
        let by_minute = rule.requests_per_minute.map(|calls| {
            let burst = rule.burst.unwrap_or_else(|| BURST.min(calls));
            Rate::new(calls, MINUTE, burst)
        });
        let by_hour = rule.requests_per_hour.map(|calls| Rate::new(calls, HOUR, calls));
        let only = Only {
            user: rule.user.clone(),
            agent: rule.agent.clone(),
            // The check of the configuration has refused what is no name.
            certificate: rule.certificate.as_deref().and_then(|text| SubjectPattern::parse(text).ok()),
            tool: rule.tool.clone(),
            toolset: rule.toolset.clone(),
            scope: rule.scope.clone(),
        };
        let seed = keys.of([b"rule", rule.name.as_bytes()]);
        let said = [rule.requests_per_minute, rule.requests_per_hour];
        Self { name: rule.name.as_str().into(), per, only, rates: [by_minute, by_hour], said, seed }
    }

    /// Whether it depends on the tool.
    pub(super) fn tells_tools(&self) -> bool {
        self.needs() & (bit(Dimension::Tool) | bit(Dimension::Toolset) | bit(Dimension::Scope)) != 0
    }

    /// What of the tool it depends on, in words that its caller knows; none for a rule that holds whatever the tool.
    pub(super) fn part(&self, aim: Option<Aim<'_>>) -> Option<String> {
        let (needs, aim) = (self.needs(), aim.filter(|_| self.tells_tools())?);
        let words = [
            (Dimension::Tool, Some(&*aim.spec.name)),
            (Dimension::Toolset, Some(aim.spec.toolset)),
            (Dimension::Scope, aim.scope),
        ];
        let words = words.into_iter().filter(|(dimension, _)| needs & bit(*dimension) != 0);
        Some(words.filter_map(|(_, word)| word).collect::<Vec<_>>().join(" "))
    }

    fn needs(&self) -> u8 {
        self.per.iter().fold(self.only.needs(), |needs, dimension| needs | bit(*dimension))
    }

    fn fits(&self, known: Known<'_>) -> bool {
        let Only { tool, toolset, scope, .. } = &self.only;
        let aim = known.aim();
        self.may_fit(known)
            && tool.as_ref().is_none_or(|tool| aim.is_some_and(|aim| aim.spec.name == tool.as_str()))
            && toolset.as_ref().is_none_or(|toolset| aim.is_some_and(|aim| aim.spec.toolset == toolset.as_str()))
            && scope.as_ref().is_none_or(|scope| aim.is_some_and(|aim| aim.scope == Some(scope.as_str())))
    }

    /// Whether it fits if what is not known yet turns out to.
    fn may_fit(&self, known: Known<'_>) -> bool {
        let Only { user, agent, certificate, .. } = &self.only;
        let fits = |caller: &Caller| {
            let principal = caller.principal();
            user.as_ref().is_none_or(|user| principal.subject == *user)
                && agent.as_ref().is_none_or(|agent| principal.agents().next() == Some(agent.as_str()))
        };
        known.caller().is_none_or(fits)
            && certificate.as_ref().is_none_or(|pattern| match known.peer() {
                PeerIdentity::Certificate { certificate, .. } => pattern.matches(certificate),
                PeerIdentity::Unix { .. } | PeerIdentity::Stdio { .. } => false,
            })
    }

    /// The bucket of this call; none if it lacks what the rule tells apart, as a user without an agent does.
    fn key(&self, known: Known<'_>, keys: &Keys) -> Option<u128> {
        let mut parts = [0_u128; 8];
        let mut places = parts.iter_mut();
        *places.next()? = self.seed;
        let (who, aim) = (known.who(), known.aim());
        for (dimension, place) in self.per.iter().zip(places) {
            *place = match dimension {
                Dimension::Caller => who?.caller,
                Dimension::User => who?.user,
                Dimension::Agent => who?.agent?,
                Dimension::Certificate => known.holder(),
                Dimension::Tool => keys.of([b"tool", aim?.spec.name.as_bytes()]),
                Dimension::Toolset => keys.of([b"toolset", aim?.spec.toolset.as_bytes()]),
                Dimension::Scope => keys.of([b"scope", aim?.scope?.as_bytes()]),
            };
        }
        Some(keys.joined(parts.into_iter().take(self.per.len().saturating_add(1))))
    }
}

impl Only {
    fn count(&self) -> usize {
        usize::try_from(self.needs().count_ones()).unwrap_or(0)
    }

    fn needs(&self) -> u8 {
        let named = [
            (self.user.is_some(), Dimension::User),
            (self.agent.is_some(), Dimension::Agent),
            (self.certificate.is_some(), Dimension::Certificate),
            (self.tool.is_some(), Dimension::Tool),
            (self.toolset.is_some(), Dimension::Toolset),
            (self.scope.is_some(), Dimension::Scope),
        ];
        named.into_iter().filter(|(named, _)| *named).fold(0, |needs, (_, dimension)| needs | bit(dimension))
    }
}

fn bit(dimension: Dimension) -> u8 {
    match dimension {
        Dimension::Caller => 1,
        Dimension::User => 2,
        Dimension::Agent => 4,
        Dimension::Certificate => 8,
        Dimension::Tool => 16,
        Dimension::Toolset => 32,
        Dimension::Scope => 64,
    }
}

impl<'a> Known<'a> {
    /// What can be asked by now.
    fn tells(self) -> u8 {
        match self {
            Self::Channel(..) => bit(Dimension::Certificate),
            Self::Caller(..) => 0b1111,
            Self::Call(..) => u8::MAX,
        }
    }

    fn peer(self) -> &'a PeerIdentity {
        match self {
            Self::Channel(peer, _) => peer,
            Self::Caller(caller, _) | Self::Call(caller, _, _) => caller.peer(),
        }
    }

    fn caller(self) -> Option<&'a Caller> {
        match self {
            Self::Channel(..) => None,
            Self::Caller(caller, _) | Self::Call(caller, _, _) => Some(caller),
        }
    }

    fn who(self) -> Option<Who> {
        match self {
            Self::Channel(..) => None,
            Self::Caller(_, who) | Self::Call(_, who, _) => Some(who),
        }
    }

    fn holder(self) -> u128 {
        match self {
            Self::Channel(_, holder) => holder,
            Self::Caller(_, who) | Self::Call(_, who, _) => who.holder,
        }
    }

    fn aim(self) -> Option<Aim<'a>> {
        match self {
            Self::Channel(..) | Self::Caller(..) => None,
            Self::Call(_, _, aim) => aim,
        }
    }
}
