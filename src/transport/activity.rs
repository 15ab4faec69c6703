//! When requests run on a connection, when none does, and for how long either may last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Version;

use crate::clock::Clock;

/// How long a connection may be as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From the handshake to the first request.
    pub(super) first: Duration,
    /// From the first byte of a later request to the end of its headers.
    pub(super) header: Duration,
    /// Without a request, and for a client to take what was answered.
    pub(super) idle: Duration,
    /// Until nothing new is begun.
    pub(super) max_age: Duration,
    /// For what was begun before that to end.
    pub(super) last_call: Duration,
    /// Bytes that may come in without a request beginning or ending, with [`READ`] for each time some came.
    pub(super) idle_bytes: u64,
    /// As many more for each request that runs.
    pub(super) body_bytes: u64,
}

impl Limits {
    /// How often a connection must be looked at: whatever happens to it changes nothing sooner than that.
    pub(super) fn look(&self) -> Duration {
        self.first.min(self.idle).min(self.max_age)
    }
}

/// An answer that was handed over has this long to reach the socket before a connection past its age is closed, and a
/// client as long to fall silent after the last word.
pub(super) const PARTING: Duration = Duration::from_secs(1);

/// What it costs to be given bytes, however few, as a number of bytes.
pub(super) const READ: u64 = 256;

/// Requests under way on a connection, and when the last one ended. Bytes alone are no activity, so a client that
/// drips them is as idle as one that sends none.
pub(super) struct Activity {
    clock: Clock,
    opened: Instant,
    running: AtomicUsize,
    multiplexed: AtomicBool,
    /// When a request last began, went on or ended.
    last: Moment,
    /// When the first byte after that came in.
    heard: Moment,
    /// Bytes since then.
    bytes: AtomicU64,
}

/// Milliseconds after a connection was opened; negative for never.
struct Moment(AtomicI64);

impl Moment {
    fn never() -> Self {
        Self(AtomicI64::new(-1))
    }

    fn get(&self) -> Option<Duration> {
        u64::try_from(self.0.load(Ordering::Relaxed)).ok().map(Duration::from_millis)
    }

    fn set(&self, at: Option<Duration>) {
        let at = at.map_or(-1, |at| i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
        self.0.store(at, Ordering::Relaxed);
    }
}

impl Activity {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            opened: clock.instant(),
            clock,
            running: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
            last: Moment::never(),
            heard: Moment::never(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Since the handshake.
    pub(super) fn age(&self) -> Duration {
        self.clock.instant().saturating_duration_since(self.opened)
    }

    fn begins(&self, version: Version) {
        self.multiplexed.store(version >= Version::HTTP_2, Ordering::Relaxed);
        self.goes_on();
    }

    fn goes_on(&self) {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    fn rests(&self) {
        self.touch();
        self.running.fetch_sub(1, Ordering::Relaxed);
    }

    fn touch(&self) {
        self.last.set(Some(self.age()));
        self.heard.set(None);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether so many more bytes, in one piece, can be for requests. HTTP/2 has frames that a peer must answer and that ask for
    /// nothing, so without this a client could keep a connection busy for as long as it may be idle.
    pub(super) fn bears(&self, bytes: usize, limits: &Limits) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(READ);
        let running = u64::try_from(self.running.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let most = limits.idle_bytes.saturating_add(limits.body_bytes.saturating_mul(running));
        self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= most
    }

    /// Bytes came in. Between two requests the first of them begins the next one's headers, and then this is true; over
    /// HTTP/2 they may as well be about the connection.
    pub(super) fn hears(&self) -> bool {
        let between = self.running.load(Ordering::Relaxed) == 0 && self.last.get().is_some();
        if !between || self.heard.get().is_some() || self.multiplexed.load(Ordering::Relaxed) {
            return false;
        }
        self.heard.set(Some(self.age()));
        true
    }

    /// Whether the connection has outlived even what was begun in its time.
    pub(super) fn overdue(&self, limits: &Limits) -> bool {
        self.age() >= limits.max_age.saturating_add(limits.last_call)
    }

    /// How long the connection may still be as it is; `None` when it has been so for too long. `writing` while there are
    /// bytes that the client has yet to take.
    pub(super) fn patience(&self, limits: &Limits, writing: bool) -> Option<Duration> {
        let (age, last) = (self.age(), self.last.get());
        let end = limits.max_age.saturating_add(limits.last_call);
        let deadline = if self.running.load(Ordering::Relaxed) > 0 {
            // Nothing tells when the last request ends, so that is looked for.
            let look = if age < limits.max_age { limits.idle.min(limits.max_age.saturating_sub(age)) } else { PARTING };
            age.saturating_add(look)
        } else {
            let quiet = match (last, self.heard.get()) {
                (None, _) => limits.first,
                (Some(last), None) => last.saturating_add(limits.idle),
                (Some(_), Some(heard)) => heard.saturating_add(limits.header),
            };
            let parted = last.map_or(limits.max_age, |last| limits.max_age.max(last.saturating_add(PARTING)));
            quiet.min(if writing { end } else { parted })
        };
        let left = deadline.min(end).saturating_sub(age);
        (!left.is_zero()).then_some(left)
    }
}

/// Held for as long as a request runs and its answer is being sent.
pub(super) struct Running {
    activity: Arc<Activity>,
    resting: bool,
}

impl Running {
    /// Begins; `version` is the one the request came in by.
    pub(super) fn on(activity: &Arc<Activity>, version: Version) -> Self {
        activity.begins(version);
        Self { activity: Arc::clone(activity), resting: false }
    }

    /// Whether it now waits for the client to take what there is, which keeps no connection alive.
    pub(super) fn rest(&mut self, resting: bool) {
        match (self.resting, resting) {
            (false, true) => self.activity.rests(),
            (true, false) => self.activity.goes_on(),
            _ => {}
        }
        self.resting = resting;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.rest(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: Limits = Limits {
        first: Duration::from_secs(10),
        header: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        max_age: Duration::from_secs(600),
        last_call: Duration::from_secs(100),
        idle_bytes: 1000 + READ,
        body_bytes: 500,
    };

    /// An activity and what moves its clock.
    fn fresh() -> (Activity, impl Fn(u64) -> Option<Duration>) {
        let clock = Clock::manual(Timestamp::from_seconds(0));
        let activity = Activity::new(clock.clone());
        let advance = move |seconds| {
            clock.advance(Duration::from_secs(seconds));
            None
        };
        (activity, advance)
    }

    #[test]
    fn a_client_is_waited_for_until_its_first_request_and_between_two() {
        let (activity, advance) = fresh();
        assert_eq!(activity.patience(&LIMITS, false), Some(SECOND * 10));
        assert!(!activity.hears(), "bytes before the first request do not prolong anything");
        advance(10);
        assert_eq!(activity.patience(&LIMITS, false), None);
        activity.goes_on();
        activity.rests();
        assert_eq!(activity.patience(&LIMITS, false), Some(SECOND * 60));
        advance(58);
        assert!(activity.hears());
        assert!(!activity.hears(), "only the first byte counts");
        assert_eq!(activity.patience(&LIMITS, false), Some(SECOND * 5));
        advance(5);
        assert_eq!(activity.patience(&LIMITS, false), None);
    }

    #[test]
    fn a_running_request_keeps_its_connection_until_the_last_call_is_over() {
        let (activity, advance) = fresh();
        activity.goes_on();
        advance(500);
        assert_eq!(activity.patience(&LIMITS, false), Some(SECOND * 60));
        advance(90);
        assert_eq!(activity.patience(&LIMITS, false), Some(SECOND * 10), "its age is noticed in time");
        advance(10);
        assert_eq!(activity.patience(&LIMITS, false), Some(PARTING));
        advance(99);
        assert!(!activity.overdue(&LIMITS));
        advance(1);
        assert_eq!(activity.patience(&LIMITS, false), None);
        assert!(activity.overdue(&LIMITS));
    }

    #[test]
    fn bytes_are_borne_only_where_requests_come_of_them() {
        let (activity, _) = fresh();
        assert!(activity.bears(1000, &LIMITS));
        assert!(!activity.bears(1, &LIMITS));
        activity.goes_on();
        activity.goes_on();
        assert!(activity.bears(2000, &LIMITS), "two bodies more");
        assert!(!activity.bears(1, &LIMITS));
        activity.rests();
        activity.rests();
        assert!(activity.bears(1000, &LIMITS), "an end begins it anew");
        assert!(!activity.bears(1, &LIMITS));
    }

    #[test]
    fn an_aged_connection_ends_once_its_last_answer_is_out() {
        let (activity, advance) = fresh();
        activity.goes_on();
        advance(650);
        activity.rests();
        assert_eq!(activity.patience(&LIMITS, false), Some(PARTING));
        assert_eq!(activity.patience(&LIMITS, true), Some(SECOND * 50), "a slow client may take its answer");
        advance(1);
        assert_eq!(activity.patience(&LIMITS, false), None);
    }
}
