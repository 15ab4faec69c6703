//! What an admitted call is about and what it is given: how many targets a caller names, with which of them it was, and how
//! much it got. A call that is refused was with no target.

use super::places::{Count, Kind};
use super::{Accounts, Admission, Gate, reached};
use crate::call::Resource;
use crate::error::Failure;

/// What the budgets know of a call and its target, for whoever judges it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contact {
    /// No call of this caller was handed to a tool for this target within a day, as far as is remembered.
    pub first: bool,
}

impl Gate {
    /// Takes a place on the target of an admitted call besides, and counts that the caller has named it. While there is no
    /// place the call gives its other ones back, so that nobody else waits for this target.
    ///
    /// # Errors
    /// [`crate::error::Code::TooManyCalls`] or [`crate::error::Code::TargetsUsedUp`].
    pub async fn reach(&self, admission: &mut Admission, resource: &Resource) -> Result<Contact, Failure> {
        let Accounts { clock, keys, places, ledger, .. } = &*self.accounts;
        let target = keys.target(resource);
        let now = self.accounts.nanos(clock.instant());
        let named = ledger.name(&admission.who, target, &self.budgets.spread, self.budgets.max_keys, now);
        let first = named.map_err(|failure| reached("spread", failure))?;
        if let Some(most) = self.budgets.places.per_target
            && let Some(held) = admission.held.take()
        {
            let mut wish = *held.wish();
            if let Some(place) = wish.counts.iter_mut().find(|count| count.is_none()) {
                *place = Some(Count { kind: Kind::Target, key: target, most });
            }
            drop(held);
            admission.held = match places.at_once(&wish) {
                Some(held) => Some(held),
                None => Some(self.enter(wish).await?),
            };
        }
        Ok(Contact { first })
    }

    /// Notes that a call is handed to its tool: from now on the caller was with this target.
    pub fn met(&self, admission: &Admission, resource: &Resource) {
        let Accounts { clock, keys, ledger, .. } = &*self.accounts;
        let now = self.accounts.nanos(clock.instant());
        ledger.meet(&admission.who, keys.target(resource), &self.budgets.spread, self.budgets.max_keys, now);
    }

    /// Notes what a call is about to be given.
    ///
    /// # Errors
    /// [`crate::error::Code::VolumeUsedUp`] when that is more than is left of the day; it must not be given then.
    pub fn hand_out(&self, admission: &Admission, bytes: usize, rows: usize) -> Result<(), Failure> {
        let amount = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let now = self.accounts.nanos(self.accounts.clock.instant());
        let given = (amount(bytes), amount(rows));
        self.accounts
            .ledger
            .hand_out(&admission.who, given, &self.budgets.spread, self.budgets.max_keys, now)
            .map_err(|failure| reached("spread", failure))
    }
}
