//! The path of every call, a line a station. No other code runs a tool.

mod arrival;
mod refusals;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};

use crate::admission::{Admission, Aim, Gate, Quota};
use crate::audit::{Basis, Client, Entry, Event, Outcome, Record, Trail, Verdict};
use crate::authn::{Authenticator, Caller, Presented};
use crate::call::{Arguments, Call, Output, Progress};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::guard::{Guard, Released};
use crate::identity::PeerIdentity;
use crate::policy::{Context, Permit, Policy};
use crate::telemetry::{CallEnded, Refused};
use crate::tools::{Catalog, Entry as Offer, Tool};

pub use arrival::Arrival;

/// Bytes of arguments that a record may hold; larger ones are recorded by their size.
const MOST_PARAMS: usize = 8192;

/// Everything a call passes, as one configuration made it.
pub struct Door {
    /// Who is there.
    pub authenticator: Authenticator,
    /// How much at a time.
    pub gate: Arc<Gate>,
    /// What there is.
    pub catalog: Catalog,
    /// What is allowed.
    pub policy: Policy,
    /// What may leave.
    pub guard: Guard,
    /// What is remembered.
    pub trail: Trail,
    /// What of it is remembered.
    pub recording: Recording,
    /// Longest time for any tool.
    pub query_timeout: Duration,
    /// What time it is.
    pub clock: Clock,
}

/// What of a call goes into the audit log.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The hashes that say under which configuration.
    pub basis: Basis,
    /// The arguments, redacted.
    pub params: bool,
    /// The size of the answer.
    pub output_size: bool,
    /// The caller's address.
    pub client_ip: bool,
    /// What was redacted.
    pub redactions: bool,
}

/// Whom the entrance has refused, where that was proven by then, and why.
#[derive(Debug)]
pub struct TurnedAway {
    /// Why.
    pub failure: Failure,
    /// Who.
    pub caller: Option<Arc<Caller>>,
}

impl From<Failure> for TurnedAway {
    fn from(failure: Failure) -> Self {
        Self { failure, caller: None }
    }
}

impl Door {
    /// From a channel and what was presented over it to a caller; asked anew for every request.
    ///
    /// # Errors
    /// The refusal, already recorded.
    pub async fn identify(&self, peer: &Arc<PeerIdentity>, presented: &Presented) -> Result<Arc<Caller>, Failure> {
        let identified = self.identified(peer, presented, |_| true, |_| Ok(())).await;
        let caller = identified.map_err(|turned| turned.failure)?;
        self.welcome(&caller).await?;
        Ok(caller)
    }

    /// The same for askers who may be many: who has nothing left, or was refused too often, is refused before it costs more.
    /// That somebody is known is recorded by what this gives. A refusal has a record of its own if `due` says so; if not it is
    /// counted by who said so, and recorded by [`Door::turned_away`].
    ///
    /// # Errors
    /// The refusal.
    pub async fn identify_if_due(
        self: &Arc<Self>,
        peer: &Arc<PeerIdentity>,
        presented: &Presented,
        due: impl FnOnce(Code) -> bool,
    ) -> Result<Arrival, TurnedAway> {
        if let Err(failure) = self.gate.listen(peer) {
            match due(failure.code()) {
                true => self.turn_away(Client::from(&**peer), &failure).await,
                false => Refused { code: failure.code() }.emit(),
            }
            return Err(failure.into());
        }
        let caller = self.identified(peer, presented, due, |caller| self.gate.foresee(caller)).await?;
        Ok(Arrival::of(self, caller))
    }

    async fn identified(
        &self,
        peer: &Arc<PeerIdentity>,
        presented: &Presented,
        due: impl FnOnce(Code) -> bool,
        foresee: impl FnOnce(&Caller) -> Result<(), Failure>,
    ) -> Result<Arc<Caller>, TurnedAway> {
        let now = self.clock.now();
        match self.authenticator.authenticate(peer, presented, now).await {
            Ok(caller) => {
                self.gate.proved(&caller);
                let caller = Arc::new(caller);
                if let Err(failure) = foresee(&caller) {
                    self.deny_early(&caller, &failure).await;
                    return Err(TurnedAway { failure, caller: Some(caller) });
                }
                Ok(caller)
            }
            Err(failure) => {
                self.gate.failed(peer, failure.code());
                if due(failure.code()) {
                    self.turn_away(Client::from(&**peer), &failure).await;
                } else {
                    Refused { code: failure.code() }.emit();
                }
                Err(failure.into())
            }
        }
    }

    /// From a caller and a wish to an answer.
    ///
    /// # Errors
    /// The refusal or failure, already recorded.
    pub async fn pass(&self, mut call: Call, progress: &Progress) -> Result<Released, Failure> {
        let mut record = Some(self.record(&call));
        let result = self.stations(&mut call, &mut record, progress).await;
        if let (Err(failure), Some(record)) = (&result, record) {
            self.deny(&call, record, failure).await;
        }
        result
    }

    /// Arguments are judged after the tool is known to be visible, so a schema tells nothing about a hidden tool; the
    /// policy comes after the arguments, so it judges what the tool will get.
    async fn stations(
        &self,
        call: &mut Call,
        record: &mut Option<Record>,
        progress: &Progress,
    ) -> Result<Released, Failure> {
        // Looked up first, for there are rules about tools; but a hidden one is told of only by who may have it at all.
        let offer = self.catalog.find(&call.tool, &self.policy, call.caller.scopes());
        let aim = offer.as_ref().ok().map(|offer| self.aim(offer, &call.caller));
        let mut place = self.gate.admit(&call.caller, aim).await.inspect_err(|_| {
            // It has taken no share, and has cost the check of a token.
            self.gate.charge(&call.caller);
        })?;
        if !call.announced {
            self.welcome(&call.caller).await?;
        }
        let offer = offer?;
        let arguments = offer.schema().parse(std::mem::take(&mut call.arguments))?;
        self.describe(record, &arguments);
        let resource = offer.tool().resource(&arguments)?;
        let contact = self.gate.reach(&mut place, &resource).await?;
        let context = Context { first_contact: contact.first };
        let judged = self.policy.judge(call, offer.tool().spec(), arguments, resource, context).await?;
        let recorded = judged.record(record, &self.trail).await;
        let (permit, entry) = recorded.inspect_err(|failure| Refused { code: failure.code() }.emit())?;
        // From here on the tool has it, whatever becomes of it there.
        self.gate.met(&place, permit.resource());
        let released = self.answer(offer.tool(), &permit, progress, &place).await;
        self.close(call, entry, &released).await?;
        released
    }

    fn aim<'a>(&'a self, offer: &'a Offer, caller: &Caller) -> Aim<'a> {
        let spec = offer.tool().spec();
        Aim { spec, scope: self.policy.opener(spec, caller.scopes()) }
    }

    /// What is left to a caller of the rates that a call of this tool draws from, or where there is none for it any other
    /// request.
    #[must_use]
    pub fn quotas(&self, caller: &Caller, tool: Option<&str>) -> Vec<Quota> {
        let offer = tool.and_then(|tool| self.catalog.find(tool, &self.policy, caller.scopes()).ok());
        self.gate.quotas(caller, offer.as_ref().map(|offer| self.aim(offer, caller)))
    }

    /// A defect in a tool or in the guard ends the call and nothing else; without this the caller would wait for ever.
    async fn answer(
        &self,
        tool: &dyn Tool,
        permit: &Permit,
        progress: &Progress,
        place: &Admission,
    ) -> Result<Released, Failure> {
        let answering = async {
            let began = self.clock.instant();
            let output = self.run(tool, permit, &progress.leasing(permit.leased())).await;
            let output = output.map_err(|failure| self.guard.release_failure(failure, permit))?;
            let took = || self.clock.instant().saturating_duration_since(began);
            let left = || self.limit(tool).unwrap_or_default().saturating_sub(took());
            let released = self.guard.release_within(output, permit, left).await?;
            self.gate.hand_out(place, released.bytes(), released.rows())?;
            Ok(released)
        };
        let broken =
            |_| Err(Failure::new(Code::Internal, "the query broke off").because("a panic; see standard error"));
        AssertUnwindSafe(answering).catch_unwind().await.unwrap_or_else(broken)
    }

    /// The longest time for a tool and for the redaction of what it gives; `None` for one that is never run.
    fn limit(&self, tool: &dyn Tool) -> Option<Duration> {
        tool.spec().impact.limit().map(|limit| limit.min(self.query_timeout))
    }

    async fn run(&self, tool: &dyn Tool, permit: &Permit, progress: &Progress) -> Result<Output, Failure> {
        let Some(limit) = self.limit(tool) else {
            return Err(Failure::new(Code::PolicyForbidden, "queries of high impact are never run"));
        };
        match tokio::time::timeout(limit, tool.run(permit, progress)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Code::TimedOut, format!("the query took longer than {} ms", limit.as_millis()))),
        }
    }

    /// Records the outcome; an outcome that cannot be recorded keeps the answer back.
    async fn close(&self, call: &Call, entry: Entry, released: &Result<Released, Failure>) -> Result<(), Failure> {
        let took = self.clock.instant().saturating_duration_since(call.started);
        CallEnded { tool: &call.tool, result: released.as_ref().err().map(Failure::code), took }.emit();
        match released {
            Ok(released) => self.note_changes(call, released).await?,
            Err(failure) if is_limit(failure.code()) => {
                let cause = failure.cause().map(|cause| format!(": {cause}")).unwrap_or_default();
                let said = format!("{}{cause}", failure.public());
                self.trail.note(self.event(Event::LimitExceeded, call).saying(&said)).await?;
            }
            Err(_) => {}
        }
        let duration_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let outcome = match released {
            Ok(released) => Outcome {
                verdict: Verdict::Success,
                reason: None,
                detail: None,
                duration_ms,
                output_bytes: u64::try_from(released.bytes()).ok().filter(|_| self.recording.output_size),
            },
            Err(failure) => Outcome {
                verdict: Verdict::Failed,
                reason: Some(failure.code()),
                detail: failure.cause(),
                duration_ms,
                output_bytes: None,
            },
        };
        entry.finish(&outcome).await
    }

    /// Says in the log what was redacted and cut, never the data.
    async fn note_changes(&self, call: &Call, released: &Released) -> Result<(), Failure> {
        if self.recording.redactions {
            for redacted in released.redactions() {
                let record = self.event(Event::Redaction, call).saying(&redacted.to_string()).counted(redacted.count);
                self.trail.note(record).await?;
            }
        }
        for cut in released.cuts() {
            self.trail.note(self.event(Event::LimitExceeded, call).saying(cut)).await?;
        }
        Ok(())
    }

    /// Takes a share of a caller's rates for a request that is no call.
    ///
    /// # Errors
    /// The refusal, already recorded.
    pub async fn spend(&self, caller: &Arc<Caller>) -> Result<(), Failure> {
        match self.gate.spend(caller) {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.deny_early(caller, &failure).await;
                Err(failure)
            }
        }
    }

    fn record(&self, call: &Call) -> Record {
        self.event(Event::Query, call)
    }

    fn event(&self, event: Event, call: &Call) -> Record {
        self.bare(event, Client::from(&**call.caller.peer()))
            .about(call.id.as_str(), &call.tool)
            .by(call.caller.principal(), call.caller.scopes())
    }

    fn bare(&self, event: Event, mut client: Client) -> Record {
        if !self.recording.client_ip {
            client.ip = None;
        }
        Record::new(event, self.clock.now(), client).under(&self.recording.basis)
    }

    fn describe(&self, record: &mut Option<Record>, arguments: &Arguments) {
        if self.recording.params
            && let Some(bare) = record.take()
        {
            if arguments.values().is_empty() {
                *record = Some(bare.with_params(Map::new()));
                return;
            }
            let params = self.guard.redact_params(Value::Object(arguments.values().clone()));
            let size = params.to_string().len();
            *record = Some(match params {
                Value::Object(params) if size <= MOST_PARAMS => bare.with_params(params),
                _ => bare.with_params(Map::from_iter([("omitted_bytes".to_owned(), Value::from(size))])),
            });
        }
    }
}

/// Whether a call that ran came to nothing because of a limit.
fn is_limit(code: Code) -> bool {
    matches!(code, Code::OverBudget | Code::TimedOut | Code::TooManyCalls | Code::VolumeUsedUp)
}
