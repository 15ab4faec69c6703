//! What a host query is, and the one adapter that makes a tool of it: it runs beside the runtime's threads, within what its
//! impact class may take, and a query that hangs in the kernel costs a few threads, never the daemon.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Host;
use super::budget::{self, Allowance, Passing};
use crate::admission::ResourcesSection;
use crate::call::{Arguments, Impact, Output, Progress, Resource, Taken, ToolSpec};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::guard::{Before, LimitsSection};
use crate::policy::Permit;
use crate::tools::Tool;

/// How many threads one query may hold at a time, and never all places of its class. A read that the kernel never finishes (a
/// mount whose server is gone) cannot be called off; it keeps its thread, and when all are kept, only calls of that same
/// query are refused.
const THREADS: usize = 8;

/// How long a query that was called off keeps its place in its class at most. One that computes has ended long before, for it
/// asks whether it may go on; one that has not hangs in the kernel, where it takes nothing from the others.
const HANGS: Duration = Duration::from_secs(30);

/// A question to a host, answered by reading files.
pub(super) trait HostQuery: Send + Sync + 'static {
    /// Its arguments; unknown ones are refused.
    type Args: DeserializeOwned + JsonSchema + Send + 'static;
    /// Its answer, each field with its unit.
    type Answer: Serialize + JsonSchema + Send + 'static;

    /// Whether it reads so little, and only what the kernel has in memory, that a thread and an account of its own would
    /// cost more than the answer.
    const AT_ONCE: bool = false;

    /// Its declaration.
    fn spec() -> ToolSpec;

    /// Brings the declared bounds under the configured ones.
    fn narrow(_spec: &mut ToolSpec, _limits: &LimitsSection) {}

    /// Adds to the declaration what it needs of the machine because of how the host's queries are configured.
    fn reach(_spec: &mut ToolSpec, _host: &Host) {}

    /// Reads and answers. It may block; between files it asks [`Ask::go_on`].
    ///
    /// # Errors
    /// [`Code::ToolFailed`] when the host does not show what the answer needs.
    fn answer(ask: &Ask<'_>, args: Self::Args) -> Result<Self::Answer, Failure>;
}

/// What a query gets besides its arguments.
pub(super) struct Ask<'a> {
    /// Whom to ask.
    pub(super) host: &'a Host,
    /// The caps.
    pub(super) limits: &'a LimitsSection,
    /// Where to say how far it is.
    pub(super) progress: &'a Progress,
    /// What was taken out of texts before they were filtered or cut.
    pub(super) taken: &'a Taken,
}

impl Ask<'_> {
    /// Whether anybody still waits for the answer, and the query is within what it may take. Over its share of the processor
    /// it waits here.
    ///
    /// # Errors
    /// [`Code::Cancelled`] when nobody waits, [`Code::OverBudget`].
    pub(super) fn go_on(&self) -> Result<(), Failure> {
        budget::check()
    }

    /// For the texts of `field` that are filtered or cut before they are an answer: secrets go first, and it is noted.
    ///
    /// # Errors
    /// [`Code::Config`], which a test keeps from happening.
    pub(super) fn redactor(&self, field: &'static str) -> Result<Before<'_>, Failure> {
        Ok(Before::new(self.host.redactor()?, self.taken, field))
    }

    /// Counts the bytes that are kept of what only passed through.
    ///
    /// # Errors
    /// As [`Ask::go_on`].
    pub(super) fn keep(&self, bytes: usize) -> Result<(), Failure> {
        budget::hold(bytes).or_else(|_| budget::check())
    }

    /// What is read while this lives only passes through: it counts as memory until this is dropped, and not to the end.
    pub(super) fn passing(&self) -> Passing {
        budget::passing()
    }
}

/// Makes a tool of a query.
pub(super) fn tool<Q: HostQuery>(
    host: &Arc<Host>,
    limits: &Arc<LimitsSection>,
    resources: &ResourcesSection,
    threads: &Threads,
) -> Box<dyn Tool> {
    Box::new(HostTool::<Q>::new(host, limits, resources, threads))
}

/// The threads that each query may take, and the places of each impact class. Kept over a reload: a thread that hangs is
/// not given back by one.
#[derive(Clone, Default, Debug)]
pub struct Threads(Arc<Mutex<Kept>>);

#[derive(Default, Debug)]
struct Kept {
    threads: HashMap<String, Arc<Semaphore>>,
    places: HashMap<Impact, Arc<Semaphore>>,
}

impl Threads {
    fn of(&self, query: &str, impact: Impact) -> Arc<Semaphore> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = || Arc::new(Semaphore::new(threads(impact)));
        Arc::clone(kept.threads.entry(query.to_owned()).or_insert_with(semaphore))
    }

    fn places(&self, impact: Impact) -> Option<Arc<Semaphore>> {
        let many = impact.at_once()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(kept.places.entry(impact).or_insert_with(|| Arc::new(Semaphore::new(many)))))
    }
}

/// How many threads a query of this class may hold.
fn threads(impact: Impact) -> usize {
    impact.at_once().map_or(THREADS, |places| places.saturating_sub(1).clamp(1, THREADS))
}

struct HostTool<Q> {
    spec: ToolSpec,
    host: Arc<Host>,
    limits: Arc<LimitsSection>,
    threads: Arc<Semaphore>,
    places: Option<Arc<Semaphore>>,
    patience: Duration,
    hangs: Duration,
    allowance: Allowance,
    query: PhantomData<fn() -> Q>,
}

impl<Q: HostQuery> HostTool<Q> {
    fn new(host: &Arc<Host>, limits: &Arc<LimitsSection>, resources: &ResourcesSection, threads: &Threads) -> Self {
        let mut spec = Q::spec();
        Q::narrow(&mut spec, limits);
        Q::reach(&mut spec, host);
        let time = spec.impact.limit().unwrap_or_default().min(Duration::from_millis(resources.query_timeout));
        Self {
            host: Arc::clone(host),
            limits: Arc::clone(limits),
            threads: threads.of(&spec.name, spec.impact),
            places: threads.places(spec.impact),
            // Who gets a place any later than this would hardly have the time to use it.
            patience: time.checked_div(2).unwrap_or_default(),
            hangs: HANGS,
            allowance: Allowance::of(spec.impact, resources),
            spec,
            query: PhantomData,
        }
    }

    /// A thread, and a place among the queries of this class. The thread comes first: whoever waits for one that hangs
    /// keeps no place that others could use.
    async fn admitted(&self) -> Result<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>), Failure> {
        let clock = Clock::system();
        let began = clock.instant();
        let thread = within(self.patience, &self.threads).await?.ok_or_else(|| {
            let many = threads(self.spec.impact);
            let text = format!("{many} calls of {} are running or hang, which is the limit; try again", self.spec.name);
            Failure::new(Code::TooManyCalls, text)
        })?;
        let Some(places) = &self.places else { return Ok((thread, None)) };
        let patience = self.patience.saturating_sub(clock.instant().saturating_duration_since(began));
        let place = within(patience, places).await?.ok_or_else(|| {
            let many = self.spec.impact.at_once().unwrap_or_default();
            let text = format!("{many} queries of this impact class are running, which is the limit; try again");
            Failure::new(Code::TooManyCalls, text)
        })?;
        Ok((thread, Some(place)))
    }

    async fn answer(&self, arguments: &Arguments, progress: &Progress) -> Result<Output, Failure> {
        let args: Q::Args = arguments.to()?;
        let taken = Taken::default();
        if Q::AT_ONCE {
            let (host, limits) = (&self.host, &self.limits);
            let answer = Q::answer(&Ask { host, limits, progress, taken: &taken }, args)?;
            return Ok(Output::structured(&answer)?.without(&taken));
        }
        let (thread, place) = self.admitted().await?;
        let (host, limits, progress) = (Arc::clone(&self.host), Arc::clone(&self.limits), progress.clone());
        let waiting = Waiting { stopped: Arc::default(), place: Place::new(place), hangs: self.hangs };
        let (stopped, place, allowance) = (Arc::clone(&waiting.stopped), waiting.place.clone(), self.allowance);
        let noted = taken.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Both are given back when the thread is, not when the caller goes away.
            let _taken = (thread, GivenBack(place));
            budget::within(allowance, &stopped, || {
                let ask = Ask { host: &host, limits: &limits, progress: &progress, taken: &noted };
                let answer = Q::answer(&ask, args)?;
                Ok((answer, budget::cuts()))
            })
        });
        match task.await {
            Ok(answered) => {
                let (answer, cuts) = answered?;
                Ok(Output::structured(&answer)?.cut_by(cuts).without(&taken))
            }
            Err(error) => Err(Failure::new(Code::ToolFailed, "the query broke off").because(error)),
        }
    }
}

#[async_trait]
impl<Q: HostQuery> Tool for HostTool<Q> {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn resource(&self, _arguments: &Arguments) -> Result<Resource, Failure> {
        Ok(Resource::this_host())
    }

    async fn run(&self, permit: &Permit, progress: &Progress) -> Result<Output, Failure> {
        self.answer(permit.arguments(), progress).await
    }
}

/// One of `places`, if there is one within `patience`.
async fn within(patience: Duration, places: &Arc<Semaphore>) -> Result<Option<OwnedSemaphorePermit>, Failure> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Ok(Some(place));
    }
    match tokio::time::timeout(patience, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(place)) => Ok(Some(place)),
        Ok(Err(error)) => Err(Failure::new(Code::Internal, "no place for this query").because(error)),
        Err(_) => Ok(None),
    }
}

/// A place in a class, which the thread has until it ends.
#[derive(Clone)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn new(place: Option<OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Mutex::new(place)))
    }

    fn is_kept(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn give_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Gives the place back when the thread ends, however it ends.
struct GivenBack(Place);

impl Drop for GivenBack {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Lives as long as somebody waits for the answer.
struct Waiting {
    stopped: Arc<AtomicBool>,
    place: Place,
    hangs: Duration,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if self.place.is_kept()
            && let Ok(runtime) = Handle::try_current()
        {
            let (place, hangs) = (self.place.clone(), self.hangs);
            runtime.spawn(async move {
                tokio::time::sleep(hangs).await;
                place.give_back();
            });
        }
    }
}

/// What came of asking in a test.
#[cfg(test)]
pub(super) type Asked = Result<serde_json::Value, Failure>;

/// Asks as the tool does, under default limits, and holds the answer against the query's own output schema.
#[cfg(test)]
pub(super) fn ask<Q: HostQuery>(host: &Host, arguments: serde_json::Value) -> Asked {
    ask_within::<Q>(host, &LimitsSection::default(), &Progress::unheard(), arguments)
}

/// The same under other limits, and listened to.
#[cfg(test)]
pub(super) fn ask_within<Q: HostQuery>(
    host: &Host,
    limits: &LimitsSection,
    progress: &Progress,
    arguments: serde_json::Value,
) -> Asked {
    let mut spec = Q::spec();
    Q::narrow(&mut spec, limits);
    let raw = arguments.as_object().cloned().unwrap_or_default();
    let args = crate::call::ArgumentSchema::of(&spec).parse(raw)?.to()?;
    let answer = Q::answer(&Ask { host, limits, progress, taken: &Taken::default() }, args)?;
    let answer = Output::structured(&answer)?.into_structured();
    let schema = serde_json::Value::Object((*spec.output_schema).clone());
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    let findings: Vec<String> =
        validator.iter_errors(&answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    if !findings.is_empty() {
        let text = format!("{} breaks its own output schema: {findings:?}", spec.name);
        return Err(Failure::new(Code::Internal, text));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
