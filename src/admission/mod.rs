//! Before anything runs: a place among the running calls and a share of each rate, given back (the place) and used up (the
//! share); and how far one caller gets. What is refused here takes nothing.

mod fold;
mod keys;
mod places;
mod queue;
mod refusal;
mod rules;
mod settings;
mod sources;
mod spread;
mod target;
mod unknown;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::authn::Caller;
use crate::call::{Impact, ToolSpec};
use crate::clock::Clock;
use crate::cluster::{Cluster, Dry, Memory, Purpose};
use crate::error::{Code, Failure};
use crate::telemetry::{BudgetReached, BudgetsHeld};

use fold::Fold;
pub use fold::{Among, Leftover};
use keys::{Keys, Who, short};
use places::{Count, Held, Kind, Places, Room, Wish};
pub use refusal::seconds;
pub use rules::DEFAULT_RULE;
use rules::{Draws, Known, Rules};
pub use settings::{
    BudgetsSection, Dimension, FailuresSection, ImpactPlaces, PlacesSection, RateLimitSection, RateRule,
    ResourcesSection, SpreadSection, StrangersSection,
};
use sources::{Sources, Wariness};
use spread::Ledger;
pub use target::Contact;
pub use view::{CallerView, Overview, Quota, RateView};

/// Tokens that a gate of its own remembers; it is asked for rates only.
const NO_TOKENS: usize = 0;

/// Lets calls in, as one configuration says.
pub struct Gate {
    accounts: Arc<Accounts>,
    rules: Rules,
    budgets: BudgetsSection,
    wariness: Wariness,
    most: u32,
    patience: Duration,
}

/// What was used up, and who runs; it outlives a reload.
pub struct Accounts {
    clock: Clock,
    origin: Instant,
    keys: Keys,
    cluster: Arc<Cluster>,
    places: Arc<Places>,
    ledger: Ledger,
    sources: Sources,
    fold: Fold,
}

/// What a call is aimed at: a tool that the caller may see.
#[derive(Clone, Copy)]
pub struct Aim<'a> {
    /// The tool's declaration.
    pub spec: &'a ToolSpec,
    /// The scope by which it is open to the caller.
    pub scope: Option<&'a str>,
}

/// A place among the running calls. Dropping it gives it back.
#[derive(Debug)]
pub struct Admission {
    held: Option<Held>,
    who: Who,
}

/// Bytes of a caller's name that are remembered to show it to operators.
const LONGEST_NAME: usize = 128;

impl Accounts {
    /// Nothing used up yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, clock: Clock) -> Self {
        Self {
            origin: clock.instant(),
            clock,
            keys: Keys::new(),
            cluster,
            places: Arc::default(),
            ledger: Ledger::default(),
            sources: Sources::default(),
            fold: Fold::default(),
        }
    }

    /// Nanoseconds since the beginning; never zero.
    fn nanos(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

impl Gate {
    /// A gate with accounts of its own.
    #[must_use]
    pub fn new(resources: &ResourcesSection) -> Self {
        let cluster = Arc::new(Cluster::Memory(Memory::new(NO_TOKENS)));
        Self::over(resources, &BudgetsSection::default(), Arc::new(Accounts::new(cluster, Clock::system())))
    }

    /// As configured, going on from what was used up.
    #[must_use]
    pub fn over(resources: &ResourcesSection, budgets: &BudgetsSection, accounts: Arc<Accounts>) -> Self {
        let rules = Rules::new(resources, budgets, &accounts.keys);
        for rule in rules.names() {
            BudgetReached::begin(rule);
        }
        Self {
            rules,
            wariness: Wariness::new(&budgets.failures, &budgets.strangers, &accounts.clock),
            most: u32::try_from(resources.max_concurrent_queries.max(1)).unwrap_or(u32::MAX),
            patience: Duration::from_millis(budgets.places.queue_timeout),
            budgets: budgets.clone(),
            accounts,
        }
    }

    /// What is used up.
    #[must_use]
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Takes a place, waiting for it a short while, and a share of every rate that holds for the call; all of them or none.
    /// `aim` is none where there is no such tool for the caller: rules about tools then do not hold.
    ///
    /// # Errors
    /// [`Code::TooManyCalls`], [`Code::RateLimited`] or [`Code::VolumeUsedUp`], with the time to wait.
    pub async fn admit(&self, caller: &Caller, aim: Option<Aim<'_>>) -> Result<Admission, Failure> {
        let Accounts { clock, keys, places, ledger, .. } = &*self.accounts;
        let (who, now) = (keys.who(caller), clock.instant());
        let (nanos, room) = (self.accounts.nanos(now), self.budgets.max_keys);
        let name = || {
            let mut name = caller.principal().to_string();
            name.truncate(name.floor_char_boundary(LONGEST_NAME));
            name.into_boxed_str()
        };
        ledger.open(&who, &self.budgets.spread, room, nanos, name).map_err(|failure| reached("spread", failure))?;
        let draws = self.rules.draws(Known::Call(caller, who, aim), keys);
        let wish = self.wish(&who, aim);
        let held = match places.at_once(&wish) {
            Some(held) => held,
            None => {
                // Who has no share left is not to wait in the way of others.
                self.draw(&draws, who.holder, now, Purpose::Look)?;
                self.enter(wish).await?
            }
        };
        self.draw(&draws, who.holder, clock.instant(), Purpose::Take)?;
        if !draws.all().is_empty() {
            let buckets = draws.with_rules().filter_map(|(rule, draw)| {
                let rule = self.rules.get(rule)?;
                Some((draw.key, &rule.name, aim.map(|aim| &aim.spec.name).filter(|_| rule.tells_tools())))
            });
            ledger.draws(&who, room, nanos, buckets);
        }
        Ok(Admission { held: Some(held), who })
    }

    /// Whether a call of this caller would be refused whatever it asks for; nothing is taken.
    ///
    /// # Errors
    /// [`Code::RateLimited`] with the time to wait.
    pub fn foresee(&self, caller: &Caller) -> Result<(), Failure> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let Accounts { clock, keys, .. } = &*self.accounts;
        let who = keys.who(caller);
        let draws = self.rules.draws(Known::Caller(caller, who), keys);
        self.draw(&draws, who.holder, clock.instant(), Purpose::Look)
    }

    /// Whether a rate would refuse this call now; nothing is taken, and no refusal is counted.
    #[must_use]
    pub fn is_hindered(&self, caller: &Caller, aim: Option<Aim<'_>>) -> bool {
        if !self.rules.tells_tools() {
            // Then it was foreseen when it was known who calls.
            return false;
        }
        let Accounts { clock, keys, cluster, .. } = &*self.accounts;
        let who = keys.who(caller);
        let draws = self.rules.draws(Known::Call(caller, who, aim), keys);
        let (owner, room) = (short(who.holder), self.budgets.max_keys);
        cluster.draw(draws.all(), owner, room, clock.instant(), Purpose::Look).is_err()
    }

    /// Takes a share of the caller's rates for a request that is no call: those that hold whatever the tool.
    ///
    /// # Errors
    /// [`Code::RateLimited`] with the time to wait.
    pub fn spend(&self, caller: &Caller) -> Result<(), Failure> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let Accounts { clock, keys, .. } = &*self.accounts;
        let who = keys.who(caller);
        let draws = self.rules.draws(Known::Call(caller, who, None), keys);
        self.draw(&draws, who.holder, clock.instant(), Purpose::Take)
    }

    /// The same for a request that was refused already: it takes what is left, and is no refusal more.
    pub fn charge(&self, caller: &Caller) {
        if self.rules.is_empty() {
            return;
        }
        let Accounts { clock, keys, cluster, .. } = &*self.accounts;
        let who = keys.who(caller);
        let draws = self.rules.draws(Known::Call(caller, who, None), keys);
        let (owner, room) = (short(who.holder), self.budgets.max_keys);
        let _ = cluster.draw(draws.all(), owner, room, clock.instant(), Purpose::Take);
    }

    /// Counts a refusal of this caller; how many refusals a record that is written now stands for, or `None` when none is
    /// to be written.
    pub fn due(&self, caller: &Arc<Caller>, failure: &Failure, clock: &Clock) -> Option<u64> {
        let who = self.accounts.keys.who(caller);
        self.accounts.fold.count(&who, caller, failure, clock.instant())
    }

    /// The refusals of windows that are over and that no record stands for yet. Whoever calls this writes a record for each.
    #[must_use = "refusals that are taken out here and not recorded are lost"]
    pub fn settle(&self, clock: &Clock) -> Vec<Leftover> {
        self.accounts.fold.settle(Some(clock.instant()))
    }

    /// The same for all windows, over or not; for the end.
    #[must_use = "refusals that are taken out here and not recorded are lost"]
    pub fn settle_all(&self) -> Vec<Leftover> {
        self.accounts.fold.settle(None)
    }

    /// Forgets whoever's share is whole again; to be called every few seconds, as [`Gate::settle`] is.
    pub fn sweep(&self) {
        let Accounts { clock, cluster, ledger, sources, places, .. } = &*self.accounts;
        let now = clock.instant();
        let nanos = self.accounts.nanos(now);
        cluster.sweep(now);
        ledger.sweep(nanos);
        sources.sweep(now, nanos);
        let (running, waiting) = places.taken();
        BudgetsHeld {
            buckets: cluster.buckets(),
            callers: ledger.len(),
            sources: sources.len(),
            running: usize::try_from(running).unwrap_or(usize::MAX),
            waiting,
        }
        .emit();
    }

    async fn enter(&self, wish: Wish) -> Result<Held, Failure> {
        let PlacesSection { queue, queue_per_caller, .. } = &self.budgets.places;
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let room = Room { all: size(*queue), line: size(*queue_per_caller) };
        let entered = self.accounts.places.enter(wish, room, tokio::time::sleep(self.patience)).await;
        entered.map_err(|lacking| reached("places", refusal::no_place(lacking)))
    }

    fn wish(&self, who: &Who, aim: Option<Aim<'_>>) -> Wish {
        let section = &self.budgets.places;
        let keys = &self.accounts.keys;
        let impact = aim.and_then(|aim| match aim.spec.impact {
            Impact::Minimal => section.per_impact.minimal.map(|most| (1, most)),
            Impact::Low => section.per_impact.low.map(|most| (2, most)),
            Impact::Medium => section.per_impact.medium.map(|most| (3, most)),
            Impact::High => None,
        });
        let of = |kind, name: &str, most| Count { kind, key: keys.of([name.as_bytes()]), most };
        let counts = [
            section.per_caller.map(|most| Count { kind: Kind::Caller, key: who.caller, most }),
            aim.zip(section.per_tool).map(|(aim, most)| of(Kind::Tool, &aim.spec.name, most)),
            aim.zip(section.per_toolset).map(|(aim, most)| of(Kind::Toolset, aim.spec.toolset, most)),
            impact.map(|(class, most)| Count { kind: Kind::Impact, key: class, most }),
            None,
        ];
        Wish { most: self.most, line: who.caller, channel: who.holder, counts }
    }

    fn draw(&self, draws: &Draws, channel: u128, now: Instant, purpose: Purpose) -> Result<(), Failure> {
        if draws.all().is_empty() {
            return Ok(());
        }
        let drawn = self.accounts.cluster.draw(draws.all(), short(channel), self.budgets.max_keys, now, purpose);
        drawn.map_err(|dry| match dry {
            Dry::Used { draw, rate, wait } => match self.rules.get(draws.rule(draw)) {
                Some(rule) => reached(&rule.name, refusal::used_up(rule, rate, wait)),
                None => refusal::full(Code::RateLimited),
            },
            Dry::Full => reached("full", refusal::full(Code::RateLimited)),
        })
    }
}

/// Counts by what somebody was refused; each name is one of the configuration's, or of this program's.
fn reached(rule: &str, failure: Failure) -> Failure {
    BudgetReached { rule }.emit();
    failure
}

#[cfg(test)]
mod contacts;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod tests;
