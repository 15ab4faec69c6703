//! That a token was good is in the log however its request goes on: before the answer, or in one line with the many calls that a
//! budget refused.

use std::sync::Arc;

use super::Door;
use crate::audit::{Client, Event, Receipt, Record};
use crate::authn::Caller;
use crate::error::Failure;
use crate::telemetry::Refused;

/// A caller who is known, and of whom that is not yet recorded. What is dropped before it is decided is recorded all the same.
#[must_use = "nothing may be answered before it is recorded"]
pub struct Arrival {
    door: Arc<Door>,
    caller: Arc<Caller>,
    due: bool,
}

impl Arrival {
    pub(super) fn of(door: &Arc<Door>, caller: Arc<Caller>) -> Self {
        Self { door: Arc::clone(door), caller, due: true }
    }

    /// Who it is.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Records it. Nothing may be answered before the receipt says that the record is kept.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`](crate::error::Code::AuditUnavailable).
    pub async fn record(mut self) -> Result<Receipt, Failure> {
        self.due = false;
        self.door.announce(&self.caller).await
    }

    /// The same, unless a call of this tool would be refused by a rate now: such a refusal is counted, and one that were recorded
    /// apart from it would let a flood fill the log. Then it is `None`, and for the pipeline to record with the call, if that
    /// passes after all.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`](crate::error::Code::AuditUnavailable).
    pub async fn record_with(mut self, tool: Option<&str>) -> Result<Option<Receipt>, Failure> {
        if self.door.is_hindered(&self.caller, tool) {
            self.due = false;
            return Ok(None);
        }
        self.record().await.map(Some)
    }

    /// A refusal that is counted stands for it.
    pub fn fold(mut self) {
        self.due = false;
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.due {
            self.door.trail.leave(&self.door.arrival(&self.caller));
        }
    }
}

impl Door {
    fn arrival(&self, caller: &Caller) -> Record {
        let record = self.bare(Event::AuthSuccess, Client::from(&**caller.peer()));
        record.by(caller.principal(), caller.scopes()).succeeded()
    }

    async fn announce(&self, caller: &Caller) -> Result<Receipt, Failure> {
        let record = self.arrival(caller);
        let recorded = match self.trail.healthy() {
            true => self.trail.promise(record).await,
            // Nobody needs to wait for the rest if this cannot be kept.
            false => self.trail.note(record).await.map(|()| Receipt::kept_already()),
        };
        recorded.inspect_err(|failure| Refused { code: failure.code() }.emit())
    }

    /// Records that somebody is known, and waits until that is kept.
    pub(super) async fn welcome(&self, caller: &Caller) -> Result<(), Failure> {
        let recorded = self.announce(caller).await?;
        recorded.kept().await.inspect_err(|failure| Refused { code: failure.code() }.emit())
    }

    fn is_hindered(&self, caller: &Caller, tool: Option<&str>) -> bool {
        let offer = tool.and_then(|tool| self.catalog.find(tool, &self.policy, caller.scopes()).ok());
        self.gate.is_hindered(caller, offer.as_ref().map(|offer| self.aim(offer, caller)))
    }
}
