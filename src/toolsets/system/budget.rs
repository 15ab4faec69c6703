//! What one query may take of the host: processor time and memory, measured in the thread that runs it. Over its share of
//! the processor it is made to wait, over its memory it fails; what it was called off from it does not go on with.
//!
//! A query is free until it has used its class's share of its class's time, or [`TICK`] if that is more; from there on it
//! goes no faster than that share. What it reads counts as held until its end, unless it says that it only passes through.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::admission::ResourcesSection;
use crate::call::Impact;
use crate::clock;
use crate::error::{Code, Failure};

/// The least processor time that can be told apart: a share of less is none.
const TICK: Duration = Duration::from_millis(10);

/// How long a query that waits goes without asking whether it was called off.
const PAUSE: Duration = Duration::from_millis(5);

/// The processor time is asked for with every so many files: asking costs about as much as a small read.
const FILES: u32 = 8;

/// Limits that are noted for one answer.
const CUTS: usize = 16;

const MIB: u64 = 1 << 20;

/// What a query of one class may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Allowance {
    /// Of one processor, in percent; 1 to 100.
    share: u32,
    /// Processor time without any wait.
    free: Duration,
    /// Bytes.
    memory: u64,
}

impl Allowance {
    /// The same memory, and as much of a processor as there is.
    #[cfg(test)]
    pub(super) fn unhurried(self) -> Self {
        Self { share: 100, free: Duration::from_secs(3600), ..self }
    }

    /// The class's own, or the configured where that is less.
    pub(super) fn of(impact: Impact, section: &ResourcesSection) -> Self {
        let share = u32::from(impact.cpu_percent().min(section.query_cpu_percent).clamp(1, 100));
        let time = impact.limit().unwrap_or_default().min(Duration::from_millis(section.query_timeout));
        let memory = impact.memory_mib().min(section.query_memory_mb).saturating_mul(MIB);
        let free = time.saturating_mul(share).checked_div(100).unwrap_or_default().max(TICK);
        Self { share, free, memory }
    }
}

thread_local! {
    static RUNNING: RefCell<Option<Rc<Account>>> = const { RefCell::new(None) };
}

/// What the query of this thread has taken so far.
struct Account {
    allowance: Allowance,
    stopped: Arc<AtomicBool>,
    /// The thread's processor time when the query began.
    began: Duration,
    /// Processor time beyond the free part that was waited for already.
    paid: Cell<Duration>,
    held: Cell<u64>,
    files: Cell<u32>,
    over: Cell<bool>,
    /// The limits that cut the answer.
    cut: RefCell<Vec<String>>,
}

impl Account {
    fn check(&self) -> Result<(), Failure> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Failure::new(Code::Cancelled, "the query was called off"));
        }
        if self.over.get() {
            let memory = self.allowance.memory.checked_div(MIB).unwrap_or_default();
            let text = format!("the query would hold more than the {memory} MiB it may; ask for less");
            return Err(Failure::new(Code::OverBudget, text));
        }
        Ok(())
    }

    /// Waits for as long as it takes that what was used is the share of the time that has passed.
    fn pace(&self) {
        let used = clock::thread_time().saturating_sub(self.began).saturating_sub(self.allowance.free);
        let owed = used.saturating_sub(self.paid.get());
        let rest = 100_u32.saturating_sub(self.allowance.share);
        let mut wait = owed.saturating_mul(rest).checked_div(self.allowance.share).unwrap_or_default();
        while !wait.is_zero() && !self.stopped.load(Ordering::Relaxed) {
            let now = wait.min(PAUSE);
            std::thread::sleep(now);
            wait = wait.saturating_sub(now);
        }
        self.paid.set(self.paid.get().saturating_add(owed));
    }

    fn hold(&self, bytes: u64) {
        let held = self.held.get().saturating_add(bytes);
        self.held.set(held);
        self.over.set(self.over.get() || held > self.allowance.memory);
    }
}

/// Does `work`, which is a query of this thread, within `allowance`; `stopped` says that nobody waits for it any more.
///
/// # Errors
/// Those of `work`, [`Code::Cancelled`], and [`Code::OverBudget`] also where `work` made nothing of a read that failed for it.
pub(super) fn within<T>(
    allowance: Allowance,
    stopped: &Arc<AtomicBool>,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let account = Rc::new(Account {
        allowance,
        stopped: Arc::clone(stopped),
        began: clock::thread_time(),
        paid: Cell::default(),
        held: Cell::default(),
        files: Cell::default(),
        over: Cell::default(),
        cut: RefCell::default(),
    });
    let closing = Closing(RUNNING.replace(Some(Rc::clone(&account))));
    account.check()?;
    let result = work();
    drop(closing);
    account.check().and(result)
}

/// Puts back what was there; the thread is used again, also after a query that broke off.
struct Closing(Option<Rc<Account>>);

impl Drop for Closing {
    fn drop(&mut self) {
        RUNNING.set(self.0.take());
    }
}

fn running() -> Option<Rc<Account>> {
    RUNNING.with_borrow(Clone::clone)
}

/// Whether the query of this thread may go on; it waits here when it has to.
///
/// # Errors
/// [`Code::Cancelled`] or [`Code::OverBudget`].
pub(super) fn check() -> Result<(), Failure> {
    let Some(account) = running() else { return Ok(()) };
    account.pace();
    account.check()
}

/// What `work` comes to, which is waited for on this thread, unless the query is called off before.
///
/// # Errors
/// [`Code::Cancelled`]; `work` is dropped then.
pub(super) async fn unless_called_off<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let Some(account) = running() else { return Ok(work.await) };
    let called_off = async {
        loop {
            account.check()?;
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        result = work => Ok(result),
        failed = called_off => failed,
    }
}

/// Counts a file that is about to be opened.
///
/// # Errors
/// When the query may not go on.
pub(super) fn open() -> io::Result<()> {
    let Some(account) = running() else { return Ok(()) };
    let files = account.files.get().wrapping_add(1);
    account.files.set(files);
    if files.is_multiple_of(FILES) {
        account.pace();
    }
    account.check().map_err(io::Error::other)
}

/// The most bytes that may still be held.
pub(super) fn room() -> u64 {
    running().map_or(u64::MAX, |account| account.allowance.memory.saturating_sub(account.held.get()))
}

/// Counts bytes that were read.
///
/// # Errors
/// When they are more than may be held; from then on nothing can be opened, and the query fails.
pub(super) fn hold(bytes: usize) -> io::Result<()> {
    let Some(account) = running() else { return Ok(()) };
    account.hold(u64::try_from(bytes).unwrap_or(u64::MAX));
    account.check().map_err(io::Error::other)
}

/// Notes that a configured limit cut the answer of this thread's query; `what` names the key. Each is noted once.
pub(super) fn cut(what: &str) {
    let Some(account) = running() else { return };
    let mut noted = account.cut.borrow_mut();
    if noted.len() < CUTS && !noted.iter().any(|other| other == what) {
        noted.push(what.to_owned());
    }
}

/// What was noted so far.
pub(super) fn cuts() -> Vec<String> {
    running().map(|account| account.cut.take()).unwrap_or_default()
}

/// What is read while this lives is no longer held when it is dropped: for one of many files of which a line is kept.
#[must_use = "what is read is given back when this is dropped"]
pub(super) fn passing() -> Passing {
    Passing(running().map(|account| (account.held.get(), account)))
}

/// See [`passing`].
pub(super) struct Passing(Option<(u64, Rc<Account>)>);

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some((before, account)) = &self.0 {
            account.held.set(*before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within_class<T>(impact: Impact, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        within(Allowance::of(impact, &ResourcesSection::default()), &Arc::default(), work)
    }

    #[test]
    fn the_configuration_makes_a_class_smaller_and_never_larger() {
        let milliseconds = Duration::from_millis;
        let of = |impact, cpu, memory, timeout| {
            let section = ResourcesSection {
                query_cpu_percent: cpu,
                query_memory_mb: memory,
                query_timeout: timeout,
                ..ResourcesSection::default()
            };
            let Allowance { share, free, memory } = Allowance::of(impact, &section);
            (share, free, memory / MIB)
        };
        assert_eq!(of(Impact::Minimal, 100, 1000, 60_000), (1, TICK, 1));
        assert_eq!(of(Impact::Low, 100, 1000, 60_000), (5, milliseconds(50), 10));
        assert_eq!(of(Impact::Medium, 100, 1000, 60_000), (10, milliseconds(500), 50));
        assert_eq!(of(Impact::Medium, 2, 7, 1000), (2, milliseconds(20), 7));
        assert_eq!(of(Impact::Low, 1, 1, 1), (1, TICK, 1));
    }

    #[test]
    fn over_its_share_a_query_is_slowed_to_it() {
        let stopped = Arc::new(AtomicBool::new(false));
        let allowance = Allowance { share: 10, free: TICK, memory: MIB };
        let waiter = Arc::clone(&stopped);
        let watch = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            waiter.store(true, Ordering::Relaxed);
        });
        let (clock, before) = (clock::Clock::system(), clock::thread_time());
        let began = clock.instant();
        let ended = within(allowance, &stopped, || -> Result<(), Failure> {
            loop {
                std::hint::black_box((0..2_000).sum::<u64>());
                check()?;
            }
        });
        let (used, took) = (clock::thread_time().saturating_sub(before), clock.instant().duration_since(began));
        watch.join().unwrap();
        assert_eq!(ended.unwrap_err().code(), Code::Cancelled);
        // 10 ms at once and then a tenth of some 600 ms; that the thread sleeps and wakes costs something too.
        assert!(used >= TICK && used < took / 3, "{used:?} of {took:?}");
    }

    #[test]
    fn over_its_memory_a_query_fails_whatever_it_made_of_it() {
        let answer = within_class(Impact::Minimal, || {
            hold(1 << 20).unwrap();
            assert_eq!(room(), 0);
            assert!(open().is_ok());
            assert!(hold(1).is_err() && open().is_err());
            Ok("an answer with a part missing")
        });
        let failure = answer.unwrap_err();
        assert_eq!(failure.code(), Code::OverBudget);
        assert!(failure.public().contains("1 MiB"), "{failure}");
    }

    #[test]
    fn what_only_passes_through_is_not_held() {
        let answer = within_class(Impact::Minimal, || {
            for _ in 0..10 {
                let _passing = passing();
                hold(1 << 20).unwrap();
            }
            assert_eq!(room(), MIB);
            let _passing = passing();
            hold((1 << 20) + 1).unwrap_err();
            Ok(())
        });
        assert_eq!(answer.unwrap_err().code(), Code::OverBudget, "one file that is too large stays too large");
    }

    #[test]
    fn a_limit_that_cuts_is_noted_once_and_of_the_query_alone() {
        cut("limits.logs.max_lines");
        let noted = within_class(Impact::Low, || {
            (0..40).for_each(|number| cut(&format!("limit {}", number % 20)));
            Ok((cuts(), cuts()))
        });
        let (noted, then) = noted.unwrap();
        assert_eq!((noted.len(), noted.first().map(String::as_str)), (CUTS, Some("limit 0")));
        assert!(then.is_empty() && cuts().is_empty());
    }

    #[test]
    fn outside_a_query_nothing_is_counted_and_a_query_that_breaks_leaves_nothing() {
        let unwound = std::panic::catch_unwind(|| within_class(Impact::Low, || -> Result<(), Failure> { panic!("x") }));
        assert!(unwound.is_err());
        assert!(check().is_ok() && open().is_ok() && hold(usize::MAX).is_ok());
        assert_eq!(room(), u64::MAX);
    }
}
