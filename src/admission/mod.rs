//! Before anything runs: a place among the running calls and a share of the rate, given back when the place is dropped.

mod fold;
mod rate;
mod settings;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::authn::Caller;
use crate::clock::Clock;
use crate::error::{Code, Failure};

use fold::Fold;
pub use fold::Leftover;
use rate::Rates;
pub use settings::{RateLimitSection, ResourcesSection};

/// Lets calls in.
pub struct Gate {
    places: Arc<Semaphore>,
    most: usize,
    rates: Option<Rates>,
    fold: Fold,
}

/// A place among the running calls. Dropping it gives it back.
#[derive(Debug)]
pub struct Admission {
    _place: OwnedSemaphorePermit,
}

impl Gate {
    /// As configured.
    #[must_use]
    pub fn new(section: &ResourcesSection) -> Self {
        let most = section.max_concurrent_queries.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            rates: section.rate_limit.as_ref().map(Rates::new),
            fold: Fold::default(),
        }
    }

    /// Takes a place and a share of the caller's rate. A call that finds no place has used its share all the same: who
    /// hammers a full gate gets no more tries than anybody else.
    ///
    /// # Errors
    /// [`Code::TooManyCalls`], or [`Code::RateLimited`] with the time to wait in the message.
    pub fn admit(&self, caller: &Caller) -> Result<Admission, Failure> {
        if let Some(rates) = &self.rates {
            rates.check(&key(caller))?;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Failure::new(Code::TooManyCalls, format!("{} calls are running, which is the limit; try again", self.most))
        })?;
        Ok(Admission { _place: place })
    }

    /// Counts a refusal of this caller; how many refusals a record that is written now stands for, or `None` when none is
    /// to be written.
    pub fn due(&self, caller: &Arc<Caller>, clock: &Clock) -> Option<u64> {
        self.fold.count(key(caller), caller, clock.instant())
    }

    /// The refusals of windows that are over and that no record stands for yet. Whoever calls this writes a record for each.
    #[must_use = "refusals that are taken out here and not recorded are lost"]
    pub fn settle(&self, clock: &Clock) -> Vec<Leftover> {
        self.fold.settle(Some(clock.instant()))
    }

    /// The same for all windows, over or not; for the end.
    #[must_use = "refusals that are taken out here and not recorded are lost"]
    pub fn settle_all(&self) -> Vec<Leftover> {
        self.fold.settle(None)
    }

    /// Forgets callers whose share is whole again; to be called every few seconds, as [`Gate::settle`] is.
    pub fn sweep(&self) {
        if let Some(rates) = &self.rates {
            rates.sweep();
        }
    }
}

/// The same user through the same agent over the same channel. What stands in it is escaped, so that no name can pretend to
/// be two.
fn key(caller: &Caller) -> String {
    let channel =
        caller.peer().thumbprint().map_or_else(|| caller.peer().subject(), |thumbprint| thumbprint.to_string());
    let principal = caller.principal();
    let mut key = format!("{channel} {:?}", principal.subject);
    for agent in principal.agents() {
        key.push_str(&format!(" {agent:?}"));
    }
    key
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "sums of a few small numbers")]

    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;
    use crate::identity::{Actor, PeerIdentity, Principal, Scopes};

    fn caller(subject: &str, agent: Option<&str>) -> Arc<Caller> {
        let actor = agent.map(|agent| Actor { subject: agent.to_owned(), prior: None });
        let principal = Principal { subject: subject.to_owned(), actor };
        Arc::new(Caller::for_test(principal, Scopes::default(), Arc::new(PeerIdentity::Stdio { uid: 1000 })))
    }

    fn gate(places: usize, rate_limit: Option<RateLimitSection>) -> Gate {
        Gate::new(&ResourcesSection { max_concurrent_queries: places, rate_limit, ..ResourcesSection::default() })
    }

    fn clock() -> Clock {
        Clock::manual(Timestamp::from_seconds(0))
    }

    #[test]
    fn a_place_is_given_back_when_it_is_dropped() {
        let gate = gate(2, None);
        let alice = caller("alice", None);
        let first = gate.admit(&alice).unwrap();
        let _second = gate.admit(&alice).unwrap();
        assert_eq!(gate.admit(&alice).unwrap_err().code(), Code::TooManyCalls);
        drop(first);
        assert!(gate.admit(&alice).is_ok());
    }

    #[test]
    fn a_rate_belongs_to_user_agent_and_channel_together() {
        let gate = gate(100, Some(RateLimitSection { requests_per_minute: 1, requests_per_hour: 10, burst: 1 }));
        for who in [caller("alice", None), caller("alice", Some("bot")), caller("bob", Some("bot"))] {
            assert!(gate.admit(&who).is_ok());
            assert_eq!(gate.admit(&who).unwrap_err().code(), Code::RateLimited);
        }
    }

    #[test]
    fn no_name_can_pretend_to_be_two() {
        assert_ne!(key(&caller("alice via bot", None)), key(&caller("alice", Some("bot"))));
        assert_ne!(key(&caller("a\" \"b", None)), key(&caller("a", Some("b"))));
    }

    #[test]
    fn a_flood_is_two_records() {
        let (gate, clock, alice) = (gate(1, None), clock(), caller("alice", None));
        assert_eq!(gate.due(&alice, &clock), Some(1));
        assert!((0..99).all(|_| gate.due(&alice, &clock).is_none()));
        assert!(gate.settle(&clock).is_empty(), "the window is not over");
        clock.advance(fold::WINDOW);
        let left = gate.settle(&clock);
        assert_eq!((left.len(), left[0].refusals, left[0].caller.principal().subject.as_str()), (1, 99, "alice"));
        assert!(gate.settle(&clock).is_empty());
    }

    #[test]
    fn a_refusal_after_the_window_takes_the_leftover_with_it() {
        let (gate, clock, alice) = (gate(1, None), clock(), caller("alice", None));
        let counts: Vec<_> = [0, 1, 1, 10, 1]
            .map(|wait| {
                clock.advance(Duration::from_secs(wait));
                gate.due(&alice, &clock)
            })
            .into();
        assert_eq!(counts, [Some(1), None, None, Some(3), None]);
        assert_eq!(gate.settle_all()[0].refusals, 1);
    }

    proptest! {
        #[test]
        fn every_refusal_is_in_exactly_one_record(
            steps in proptest::collection::vec((0_u64..12_000, 0_usize..4, any::<bool>()), 0..200)
        ) {
            let (gate, clock) = (gate(1, None), clock());
            let callers: Vec<_> = ["a", "b", "c", "d"].map(|name| caller(name, None)).into();
            let mut refused: HashMap<String, u64> = HashMap::new();
            let mut recorded: HashMap<String, u64> = HashMap::new();
            let tell = |left: Vec<Leftover>, recorded: &mut HashMap<String, u64>| {
                for left in left {
                    *recorded.entry(left.caller.principal().subject.clone()).or_default() += left.refusals;
                }
            };
            for (wait, who, settle) in steps {
                clock.advance(Duration::from_millis(wait));
                let name = callers[who].principal().subject.clone();
                *refused.entry(name.clone()).or_default() += 1;
                if let Some(count) = gate.due(&callers[who], &clock) {
                    *recorded.entry(name).or_default() += count;
                }
                if settle {
                    tell(gate.settle(&clock), &mut recorded);
                }
            }
            tell(gate.settle_all(), &mut recorded);
            prop_assert_eq!(refused, recorded);
        }
    }
}
