//! The issuer's keys, fetched over https by one task, read without a lock. What the issuer answers counts at once, also when
//! it is that there are no keys; keys that cannot be renewed are used up to a declared age and not beyond.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::fetch::{Fetch, fetcher};
use super::pace::Pace;
use super::{JwtSection, KeySet};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::net::Outbound;
use crate::telemetry::KeysFetched;

/// A key set that keeps itself up to date for as long as it is held.
pub struct Jwks {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

impl Jwks {
    /// Begins to fetch from `jwks_uri`, and does not wait for the first answer.
    ///
    /// # Errors
    /// [`Code::Config`] without an https address; [`Code::Internal`] outside of a runtime.
    pub fn start(section: &JwtSection, outbound: Outbound, clock: Clock) -> Result<Arc<Self>, Failure> {
        let (uri, fetch) = fetcher(section, outbound)?;
        Self::run(uri, Pace::new(section), fetch, clock, None)
    }

    /// The same keys, fetched from now on as `section` says: it begins with those at hand, as old as they are.
    ///
    /// # Errors
    /// As [`Jwks::start`].
    pub fn renewed(&self, section: &JwtSection, outbound: Outbound) -> Result<Arc<Self>, Failure> {
        let (uri, fetch) = fetcher(section, outbound)?;
        let Shared { clock, loaded, .. } = &*self.shared;
        Self::run(uri, Pace::new(section), fetch, clock.clone(), loaded.load_full())
    }

    /// With another way to fetch, for tests too.
    pub(super) fn run(
        uri: String,
        pace: Pace,
        fetch: Fetch,
        clock: Clock,
        loaded: Option<Arc<Loaded>>,
    ) -> Result<Arc<Self>, Failure> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| Failure::new(Code::Internal, "keys can be fetched in a runtime only").because(error))?;
        let shared = Arc::new(Shared {
            uri,
            pace,
            fetch,
            clock,
            loaded: ArcSwapOption::new(loaded),
            asked: Mutex::new(Asked::default()),
            wanted: Notify::new(),
            served: watch::Sender::new(0),
        });
        let task = runtime.spawn(keep_fresh(Arc::clone(&shared)));
        Ok(Arc::new(Self { shared, _task: AbortOnDropHandle::new(task) }))
    }

    /// The last good keys.
    ///
    /// # Errors
    /// [`Code::KeysUnavailable`] when there are none yet, or they are older than `jwks_max_stale`.
    pub fn current(&self) -> Result<Arc<KeySet>, Failure> {
        let unavailable = |cause| Failure::new(Code::KeysUnavailable, "tokens cannot be verified now").because(cause);
        match &*self.shared.loaded.load() {
            None => Err(unavailable("no key set has been fetched yet")),
            Some(loaded) if self.shared.age(loaded) > self.shared.pace.max_stale => {
                Err(unavailable("the last good key set is older than auth.jwt.jwks_max_stale"))
            }
            Some(loaded) => Ok(Arc::clone(&loaded.keys)),
        }
    }

    /// Whether there is a key to verify with; `/ready` says so.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.current().is_ok_and(|keys| !keys.is_empty())
    }

    /// Keys of another generation than `known`: such as are there by now, or such as the issuer answers with. Whoever asks
    /// while a fetch is under way waits for that one. Asking again within `jwks_min_refresh` is in vain.
    pub(super) async fn newer(&self, known: u64) -> Option<Arc<KeySet>> {
        let changed = || self.current().ok().filter(|keys| keys.generation() != known);
        if let Some(keys) = changed() {
            return Some(keys);
        }
        let mut served = self.shared.served.subscribe();
        let so_far = *served.borrow();
        let ticket = self.shared.ask(so_far)?;
        let answered = served.wait_for(|served| *served >= ticket);
        let _ = tokio::time::timeout(self.shared.pace.patience, answered).await;
        changed()
    }
}

struct Shared {
    uri: String,
    pace: Pace,
    fetch: Fetch,
    clock: Clock,
    loaded: ArcSwapOption<Loaded>,
    asked: Mutex<Asked>,
    wanted: Notify,
    /// Up to which ticket requests are answered.
    served: watch::Sender<u64>,
}

pub(super) struct Loaded {
    keys: Arc<KeySet>,
    digest: Vec<u8>,
    at: Instant,
}

/// Fetches that requests asked for; those that the clock asked for do not count.
#[derive(Clone, Copy, Default)]
struct Asked {
    tickets: u64,
    last: Option<Instant>,
}

impl Shared {
    fn age(&self, loaded: &Loaded) -> Duration {
        self.clock.instant().saturating_duration_since(loaded.at)
    }

    /// A ticket for a fetch that begins after this moment, or is under way because another request asked; `None` when it is
    /// too soon for another. The task fetches whether or not the one who asked is still there, so nobody can use up the
    /// right to ask by going away.
    fn ask(&self, served: u64) -> Option<u64> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.tickets <= served {
            let now = self.clock.instant();
            let soon = |last: Instant| now.saturating_duration_since(last) < self.pace.min_refresh;
            if asked.last.is_some_and(soon) {
                return None;
            }
            *asked = Asked { tickets: asked.tickets.saturating_add(1), last: Some(now) };
            self.wanted.notify_one();
        }
        Some(asked.tickets)
    }

    fn tickets(&self) -> u64 {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).tickets
    }

    /// Whether it brought keys to go on with; if not, it is soon tried again.
    async fn fetch(&self) -> bool {
        let result = (self.fetch)().await.and_then(|body| self.take(&body));
        let cause = result.as_ref().err().map(|failure| failure.cause().unwrap_or_else(|| failure.to_string()));
        let result = result.as_ref().map(|keys| *keys).map_err(|_| cause.as_deref().unwrap_or_default());
        KeysFetched { uri: &self.uri, result }.emit();
        result.is_ok_and(|keys| keys > 0)
    }

    /// Puts a fetched set in the place of the last one, unless it says the same or is no set at all. A set without a key
    /// that can be used takes its place too: whose last key was withdrawn must not go on with it.
    fn take(&self, body: &[u8]) -> Result<usize, Failure> {
        let digest = digest(&SHA256, body).as_ref().to_vec();
        let same = self.loaded.load_full().filter(|loaded| loaded.digest == digest);
        let keys = match same {
            Some(loaded) => Arc::clone(&loaded.keys),
            None => Arc::new(KeySet::from_jwks(body)?),
        };
        let count = keys.len();
        self.loaded.store(Some(Arc::new(Loaded { keys, digest, at: self.clock.instant() })));
        Ok(count)
    }
}

/// The only place that fetches, so there is never more than one fetch at a time.
async fn keep_fresh(shared: Arc<Shared>) {
    let mut failures = 0_u32;
    loop {
        let ticket = shared.tickets();
        failures = if shared.fetch().await { 0 } else { failures.saturating_add(1) };
        shared.served.send_replace(ticket);
        let asked = async {
            while shared.tickets() <= ticket {
                shared.wanted.notified().await;
            }
        };
        let _ = tokio::time::timeout(shared.pace.pause(failures), asked).await;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "durations of a test are short")]

    use super::super::forge;
    use super::*;
    use crate::clock::Timestamp;
    use futures_util::FutureExt as _;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const HOUR: Duration = Duration::from_secs(3600);
    const MOMENT: Duration = Duration::from_millis(20);

    const SLOW: Pace = Pace {
        interval: HOUR,
        min_refresh: HOUR,
        max_stale: HOUR,
        first_retry: HOUR,
        patience: Duration::from_secs(60),
    };

    /// An issuer in this process: what it answers next, and how often it was asked.
    #[derive(Clone)]
    struct Issuer {
        answer: Arc<Mutex<Option<Vec<u8>>>>,
        fetches: Arc<AtomicUsize>,
        clock: Clock,
    }

    impl Issuer {
        fn new() -> Self {
            let clock = Clock::manual(Timestamp::from_seconds(1000));
            Self { answer: Arc::default(), fetches: Arc::default(), clock }
        }

        fn answers(self, ids: &[&str]) -> Self {
            let keys: Vec<_> = ids.iter().map(|id| forge::ES256.jwk(Some(id))).collect();
            *self.answer.lock().unwrap() = Some(json!({ "keys": keys }).to_string().into_bytes());
            self
        }

        fn says(&self, answer: Option<&[u8]>) {
            *self.answer.lock().unwrap() = answer.map(<[u8]>::to_vec);
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::SeqCst)
        }

        /// Runs, and waits for the first fetch.
        async fn run(&self, pace: Pace) -> Arc<Jwks> {
            let issuer = self.clone();
            let fetch: Fetch = Box::new(move || {
                let issuer = issuer.clone();
                Box::pin(async move {
                    issuer.fetches.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(MOMENT).await;
                    let answer = issuer.answer.lock().unwrap().clone();
                    answer.ok_or_else(|| Failure::new(Code::Upstream, "down"))
                })
            });
            let jwks = Jwks::run("https://issuer".to_owned(), pace, fetch, self.clock.clone(), None).unwrap();
            assert_eq!(jwks.current().unwrap_err().code(), Code::KeysUnavailable);
            tokio::time::sleep(MOMENT * 3).await;
            for _ in 0..500 {
                if jwks.current().is_ok() || self.answer.lock().unwrap().is_none() {
                    break;
                }
                tokio::time::sleep(MOMENT / 2).await;
            }
            jwks
        }
    }

    #[tokio::test]
    async fn many_requests_with_an_unknown_key_cause_one_fetch() {
        let issuer = Issuer::new().answers(&["old"]);
        let jwks = issuer.run(SLOW).await;
        let known = jwks.current().unwrap().generation();
        let issuer = issuer.answers(&["old", "new"]);
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let jwks = Arc::clone(&jwks);
                tokio::spawn(async move { jwks.newer(known).await.map(|keys| keys.len()) })
            })
            .collect();
        for answer in waiting {
            assert_eq!(answer.await.unwrap(), Some(2));
        }
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test]
    async fn unknown_keys_cause_no_fetch_before_the_time() {
        let issuer = Issuer::new().answers(&["a"]);
        let jwks = issuer.run(SLOW).await;
        let known = jwks.current().unwrap().generation();
        assert!(jwks.newer(known).await.is_none(), "the issuer has nothing new");
        issuer.clone().answers(&["b"]);
        for _ in 0..20 {
            assert!(jwks.newer(known).await.is_none());
        }
        assert_eq!(issuer.fetches(), 2);
        issuer.clock.advance(SLOW.min_refresh);
        issuer.clone().answers(&["a", "b"]);
        assert!(jwks.newer(known).await.is_some());
        assert_eq!(issuer.fetches(), 3);
    }

    #[tokio::test]
    async fn a_request_that_goes_away_does_not_stop_the_fetch_it_asked_for() {
        let issuer = Issuer::new().answers(&["old"]);
        let jwks = issuer.run(SLOW).await;
        let known = jwks.current().unwrap().generation();
        issuer.clone().answers(&["new"]);
        assert!(jwks.newer(known).now_or_never().is_none(), "it has asked and gone away");
        assert!(jwks.newer(known).await.is_some());
        assert_eq!(issuer.fetches(), 2);
    }

    #[tokio::test]
    async fn a_set_without_usable_keys_takes_the_place_of_the_last_one_at_once() {
        for none in [&b"{\"keys\":[]}"[..], b"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}", b"{\"keys\":[1]}"] {
            let issuer = Issuer::new().answers(&["a"]);
            let jwks = issuer.run(Pace { first_retry: MOMENT, ..SLOW }).await;
            let known = jwks.current().unwrap().generation();
            issuer.says(Some(none));
            assert!(jwks.newer(known).await.is_some_and(|keys| keys.is_empty()));
            assert!(jwks.current().unwrap().is_empty() && !jwks.ready());
            issuer.clone().answers(&["b"]);
            for _ in 0..500 {
                if jwks.ready() {
                    break;
                }
                tokio::time::sleep(MOMENT).await;
            }
            assert!(jwks.ready(), "new keys are looked for soon");
        }
    }

    #[tokio::test]
    async fn a_bad_answer_keeps_the_last_good_keys_until_they_are_too_old() {
        let issuer = Issuer::new().answers(&["a"]);
        let jwks = issuer.run(Pace { min_refresh: Duration::from_secs(60), ..SLOW }).await;
        let known = jwks.current().unwrap().generation();
        for bad in [None, Some(&b"{}"[..]), Some(b"<html>"), Some(b"{\"keys\":{}}")] {
            issuer.says(bad);
            issuer.clock.advance(SLOW.max_stale / 8);
            assert!(jwks.newer(known).await.is_none());
            assert_eq!(jwks.current().unwrap().generation(), known);
        }
        assert_eq!(issuer.fetches(), 5);
        issuer.clock.advance(SLOW.max_stale / 2);
        assert!(jwks.current().is_ok());
        issuer.clock.advance(Duration::from_millis(1));
        assert_eq!(jwks.current().unwrap_err().code(), Code::KeysUnavailable);
    }

    #[tokio::test]
    async fn the_set_is_fetched_again_and_again_and_the_same_answer_is_the_same_set() {
        let issuer = Issuer::new().answers(&["a"]);
        let jwks = issuer.run(Pace { interval: MOMENT, ..SLOW }).await;
        let known = jwks.current().unwrap().generation();
        for _ in 0..500 {
            if issuer.fetches() >= 2 {
                break;
            }
            tokio::time::sleep(MOMENT).await;
        }
        assert!(issuer.fetches() >= 2);
        assert_eq!(jwks.current().unwrap().generation(), known);
        drop(jwks);
        tokio::time::sleep(MOMENT).await;
        let fetches = issuer.fetches();
        tokio::time::sleep(MOMENT * 5).await;
        assert_eq!(issuer.fetches(), fetches, "what nobody holds does not fetch");
    }

    #[tokio::test]
    async fn a_failed_fetch_is_tried_again_soon() {
        let issuer = Issuer::new();
        let jwks = issuer.run(Pace { first_retry: MOMENT, ..SLOW }).await;
        assert!(jwks.current().is_err());
        issuer.clone().answers(&["a"]);
        for _ in 0..500 {
            if jwks.current().is_ok() {
                return;
            }
            tokio::time::sleep(MOMENT).await;
        }
        panic!("it is not tried again");
    }
}
