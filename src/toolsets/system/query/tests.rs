//! The adapter: threads, places, and queries that hang, run away or break.

use std::sync::Condvar;
use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::{Map, json};

use super::*;
use crate::call::ArgumentSchema;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::toolsets::system) struct Nothing {}

#[derive(Serialize, JsonSchema)]
pub(in crate::toolsets::system) struct Done {
    done: bool,
}

/// What a query of these tests does.
trait Deed: Send + Sync + 'static {
    const NAME: &'static str;
    const IMPACT: Impact;

    fn done(ask: &Ask<'_>) -> Result<bool, Failure>;
}

impl<D: Deed> HostQuery for D {
    type Args = Nothing;
    type Answer = Done;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Nothing, Done>(D::NAME, "Test", "Tests.", D::IMPACT)
    }

    fn answer(ask: &Ask<'_>, _args: Nothing) -> Result<Done, Failure> {
        Ok(Done { done: D::done(ask)? })
    }
}

/// What queries of a test hang on, until the test lets go.
struct Hold {
    let_go: Mutex<bool>,
    changed: Condvar,
    /// How many have come to hang.
    came: AtomicUsize,
}

impl Hold {
    const fn new() -> Self {
        Self { let_go: Mutex::new(false), changed: Condvar::new(), came: AtomicUsize::new(0) }
    }

    fn wait(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        drop(self.changed.wait_while(self.let_go.lock().unwrap(), |let_go| !*let_go));
    }

    fn set(&self, let_go: bool) {
        *self.let_go.lock().unwrap() = let_go;
        self.changed.notify_all();
    }

    /// Asks `tool`, and goes away when it hangs here.
    async fn left_by<Q: HostQuery>(&self, tool: &HostTool<Q>, arguments: &Arguments) {
        let (before, unheard) = (self.came.load(Ordering::SeqCst), Progress::unheard());
        let hangs = async {
            while self.came.load(Ordering::SeqCst) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = tool.answer(arguments, &unheard) => panic!("nobody lets go"),
            () = hangs => {}
        }
    }
}

/// A runtime does not end before its threads do, nor does a test that fails.
struct LetGo(&'static Hold);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Hangs as a read of a dead mount does.
struct Hanging;

static HANGING: Hold = Hold::new();

impl Deed for Hanging {
    const NAME: &'static str = "hang";
    const IMPACT: Impact = Impact::Low;

    fn done(_ask: &Ask<'_>) -> Result<bool, Failure> {
        HANGING.wait();
        Ok(true)
    }
}

/// Runs until it is called off.
struct Endless;

impl Deed for Endless {
    const NAME: &'static str = "run";
    const IMPACT: Impact = Impact::Low;

    fn done(ask: &Ask<'_>) -> Result<bool, Failure> {
        loop {
            ask.go_on()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Fails the way a bug does.
struct Broken;

impl Deed for Broken {
    const NAME: &'static str = "break";
    const IMPACT: Impact = Impact::Low;

    fn done(_ask: &Ask<'_>) -> Result<bool, Failure> {
        Ok(burst())
    }
}

fn burst() -> bool {
    panic!("a secret detail");
}

/// For what comes soon on any machine.
const LONG: Duration = Duration::from_secs(60);

fn made<Q: HostQuery>() -> (HostTool<Q>, Arguments) {
    made_within(&Host::this(), &ResourcesSection::default(), &Threads::default())
}

fn made_within<Q: HostQuery>(host: &Host, resources: &ResourcesSection, threads: &Threads) -> (HostTool<Q>, Arguments) {
    let tool = HostTool::new(&Arc::new(host.clone()), &Arc::default(), resources, threads);
    let arguments = ArgumentSchema::of(&tool.spec).parse(Map::new()).unwrap();
    (tool, arguments)
}

#[tokio::test]
async fn a_query_that_hangs_holds_few_threads_and_no_other_query() {
    let (mut hanging, arguments) = made::<Hanging>();
    let (unheard, _end) = (Progress::unheard(), LetGo(&HANGING));
    for _ in 0..THREADS {
        HANGING.left_by(&hanging, &arguments).await;
    }
    assert!(hanging.answer(&arguments, &unheard).now_or_never().is_none(), "it waits for a thread");
    assert_eq!(hanging.threads.available_permits(), 0);
    let failure = hanging.answer(&arguments, &unheard).await.unwrap_err();
    assert_eq!(failure.code(), Code::TooManyCalls);
    assert!(failure.public().starts_with("8 calls of hang are running or hang"), "{failure}");
    let (uptime, none) = made::<super::super::uptime::Query>();
    assert!(uptime.answer(&none, &unheard).await.is_ok());

    HANGING.set(true);
    hanging.patience = LONG;
    let output = hanging.answer(&arguments, &unheard).await.unwrap();
    assert_eq!(output.into_structured(), json!({"done": true}));
}

#[test]
fn what_hangs_holds_its_threads_over_a_reload() {
    let (host, section, threads) = (Host::this(), ResourcesSection::default(), Threads::default());
    let (before, _) = made_within::<Endless>(&host, &section, &threads);
    let _held = before.threads.try_acquire_many(5).unwrap();
    let (after, _) = made_within::<Endless>(&host, &section, &threads);
    assert_eq!(after.threads.available_permits(), THREADS - 5);
    let (other, _) = made_within::<Hanging>(&host, &section, &threads);
    assert_eq!(other.threads.available_permits(), THREADS);
}

#[tokio::test]
async fn a_query_nobody_waits_for_stops() {
    let (endless, arguments) = made::<Endless>();
    let unheard = Progress::unheard();
    let wait = Duration::from_millis(20);
    assert!(tokio::time::timeout(wait, endless.answer(&arguments, &unheard)).await.is_err());
    let all = u32::try_from(THREADS).unwrap();
    let given_back = tokio::time::timeout(LONG, endless.threads.acquire_many(all)).await;
    assert!(given_back.is_ok());
}

#[tokio::test]
async fn a_query_that_breaks_is_a_failure_that_says_nothing() {
    let (broken, arguments) = made::<Broken>();
    let failure = broken.answer(&arguments, &Progress::unheard()).await.unwrap_err();
    assert_eq!((failure.code(), failure.public()), (Code::ToolFailed, "the query broke off"));
    assert_eq!(broken.threads.available_permits(), THREADS);
}

/// Reads one file twice.
struct Reader;

impl Deed for Reader {
    const NAME: &'static str = "read";
    const IMPACT: Impact = Impact::Medium;

    fn done(ask: &Ask<'_>) -> Result<bool, Failure> {
        // What a query makes of a read that failed does not matter.
        let (first, second) = (ask.host.find("file"), ask.host.find("file"));
        Ok(first.is_some() && second.is_some())
    }
}

#[tokio::test]
async fn a_query_over_its_memory_fails_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), vec![b'x'; 600 << 10]).unwrap();
    let (host, unheard) = (Host::folder(root.path()), Progress::unheard());
    for (query_memory_mb, fits) in [(2, true), (1, false)] {
        let section = ResourcesSection { query_memory_mb, ..ResourcesSection::default() };
        let (reader, arguments) = made_within::<Reader>(&host, &section, &Threads::default());
        match reader.answer(&arguments, &unheard).await {
            Ok(output) => assert!(fits && output.into_structured() == json!({"done": true})),
            Err(failure) => assert!(!fits && failure.code() == Code::OverBudget, "{failure:?}"),
        }
    }
}

#[tokio::test]
async fn a_class_has_so_many_places_and_gives_them_back_when_nobody_waits() {
    let (threads, unheard) = (Threads::default(), Progress::unheard());
    let section = ResourcesSection { query_timeout: 200, ..ResourcesSection::default() };
    let (reader, arguments) = made_within::<Reader>(&Host::this(), &section, &threads);
    let places = threads.places(Impact::Medium).unwrap();
    assert_eq!((places.available_permits(), threads.places(Impact::Minimal).is_none()), (3, true));
    let held = places.try_acquire_many(3).unwrap();
    let failure = reader.answer(&arguments, &unheard).await.unwrap_err();
    assert_eq!(failure.code(), Code::TooManyCalls);
    assert!(failure.public().starts_with("3 queries"), "{failure}");
    let (uptime, none) = made_within::<super::super::uptime::Query>(&Host::this(), &section, &threads);
    assert!(uptime.answer(&none, &unheard).await.is_ok(), "another class has places of its own");
    drop(held);
    assert!(reader.answer(&arguments, &unheard).await.is_ok());

    // Whoever is called off gives it back when its thread ends, which is soon.
    let (endless, _) = made_within::<Endless>(&Host::this(), &section, &threads);
    let wait = Duration::from_millis(20);
    assert!(tokio::time::timeout(wait, endless.answer(&arguments, &unheard)).await.is_err());
    let low = threads.places(Impact::Low).unwrap();
    let given_back = tokio::time::timeout(LONG, low.acquire_many(10)).await;
    assert!(given_back.is_ok());
}

/// Does not ask whether it may go on, and goes on until the test lets go.
struct Deaf;

static DEAF: Hold = Hold::new();

impl Deed for Deaf {
    const NAME: &'static str = "deaf";
    const IMPACT: Impact = Impact::Medium;

    fn done(_ask: &Ask<'_>) -> Result<bool, Failure> {
        DEAF.wait();
        Ok(true)
    }
}

#[tokio::test]
async fn a_query_that_runs_on_keeps_its_place_until_it_is_taken_for_one_that_hangs() {
    let (threads, unheard, _end) = (Threads::default(), Progress::unheard(), LetGo(&DEAF));
    let section = ResourcesSection::default();
    let (mut deaf, arguments) = made_within::<Deaf>(&Host::this(), &section, &threads);
    deaf.hangs = LONG * 60;
    let places = threads.places(Impact::Medium).unwrap();
    let free = || (places.available_permits(), deaf.threads.available_permits());
    assert_eq!(free(), (3, 2), "one query never has all places of its class");
    for _ in 0..2 {
        DEAF.left_by(&deaf, &arguments).await;
    }
    assert_eq!(free(), (1, 0), "nobody waits, and they run");
    let (reader, none) = made_within::<Reader>(&Host::this(), &section, &threads);
    assert!(reader.answer(&none, &unheard).await.is_ok(), "others of the class have a place left");
    DEAF.set(true);
    drop(tokio::time::timeout(LONG, places.acquire_many(3)).await.unwrap());
    assert_eq!(deaf.threads.available_permits(), 2, "it has ended");

    DEAF.set(false);
    deaf.hangs = Duration::from_millis(100);
    DEAF.left_by(&deaf, &arguments).await;
    drop(tokio::time::timeout(LONG, places.acquire_many(3)).await.unwrap());
    assert_eq!(deaf.threads.available_permits(), 1, "it has not ended");
}

#[tokio::test]
async fn who_waits_for_a_thread_of_one_query_keeps_no_place_of_another() {
    let (threads, unheard) = (Threads::default(), Progress::unheard());
    let section = ResourcesSection::default();
    let (mut deaf, arguments) = made_within::<Deaf>(&Host::this(), &section, &threads);
    deaf.patience = LONG;
    let _hang = deaf.threads.try_acquire_many(2).unwrap();
    let (reader, none) = made_within::<Reader>(&Host::this(), &section, &threads);
    {
        let waiting = (0..3).map(|_| deaf.answer(&arguments, &unheard));
        tokio::select! {
            biased;
            _ = futures_util::future::select_all(waiting.map(Box::pin)) => panic!("nobody lets go"),
            other = reader.answer(&none, &unheard) => assert!(other.is_ok()),
        }
    }
    deaf.patience = Duration::from_millis(20);
    assert_eq!(deaf.answer(&arguments, &unheard).await.unwrap_err().code(), Code::TooManyCalls);
}

#[test]
fn a_query_acts_on_the_host_it_runs_on() {
    let (tool, arguments) = made::<Hanging>();
    assert_eq!(tool.resource(&arguments).unwrap(), Resource::this_host());
}
