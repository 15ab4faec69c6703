//! A value that is fetched when it is needed and kept while it lasts. However many ask, one fetch is under way, and what it
//! comes to is the answer for all who waited.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::error::{Code, Failure};

/// The longest time before its end at which a token is given up.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// One value, or none yet.
pub(super) struct Kept<T> {
    state: Mutex<State<T>>,
    /// How many fetches have ended.
    ended: AtomicU64,
}

struct State<T> {
    /// The value and when it ends.
    value: Option<(T, Instant)>,
    /// What the last fetch failed with.
    failed: Option<(Code, String, Option<String>)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State { value: None, failed: None }), ended: AtomicU64::new(0) }
    }
}

impl<T: Clone> Kept<T> {
    /// The value that is kept, or what `fetch` gives together with how long it lasts from the start of the fetch.
    ///
    /// # Errors
    /// That of the fetch that was waited for.
    pub(super) async fn get(
        &self,
        clock: &Clock,
        fetch: impl Future<Output = Result<(T, Duration), Failure>>,
    ) -> Result<T, Failure> {
        let before = self.ended.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        let start = clock.instant();
        if let Some((value, until)) = &state.value
            && start < *until
        {
            return Ok(value.clone());
        }
        if let Some((code, public, cause)) = &state.failed
            && self.ended.load(Ordering::Acquire) != before
        {
            let failure = Failure::new(*code, public.clone());
            return Err(cause.iter().fold(failure, |failure, cause| failure.because(cause.clone())));
        }
        (state.value, state.failed) = (None, None);
        let fetched = fetch.await;
        match &fetched {
            Ok((value, life)) => state.value = start.checked_add(*life).map(|until| (value.clone(), until)),
            Err(failure) => state.failed = Some((failure.code(), failure.public().to_owned(), failure.cause())),
        }
        self.ended.fetch_add(1, Ordering::AcqRel);
        fetched.map(|(value, _)| value)
    }

    /// Keeps it no longer. A fetch that is under way brings a new one anyway.
    pub(super) fn forget(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            state.value = None;
        }
    }
}

/// For how long of its `life` a token is used: not to its very end, for it has a way to go.
pub(super) fn safely(life: Duration) -> Duration {
    life.saturating_sub(LONGEST_MARGIN.min(life.checked_div(4).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;

    use futures_util::FutureExt as _;

    use crate::clock::Timestamp;

    const LIFE: Duration = Duration::from_secs(60);

    struct World {
        kept: Kept<u32>,
        fetches: AtomicU32,
        clock: Clock,
    }

    impl World {
        fn new() -> Arc<Self> {
            let clock = Clock::manual(Timestamp::from_seconds(1000));
            Arc::new(Self { kept: Kept::default(), fetches: AtomicU32::new(0), clock })
        }

        async fn get(&self, fails: bool) -> Result<u32, Failure> {
            let fetch = async {
                let count = self.fetches.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                if fails { Err(Failure::new(Code::Upstream, "down").because("why")) } else { Ok((count, LIFE)) }
            };
            self.kept.get(&self.clock, fetch).await
        }
    }

    async fn together(world: &Arc<World>, fails: bool) -> Vec<Result<u32, Failure>> {
        let asked: Vec<_> = (0..20)
            .map(|_| {
                let world = Arc::clone(world);
                tokio::spawn(async move { world.get(fails).await })
            })
            .collect();
        let mut answers = Vec::new();
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        answers
    }

    #[tokio::test]
    async fn many_who_ask_at_once_cause_one_fetch() {
        let world = World::new();
        assert!(together(&world, false).await.into_iter().all(|answer| answer.unwrap() == 0));
        assert_eq!(world.get(false).await.unwrap(), 0);
        assert_eq!(world.fetches.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_shared_by_those_who_waited_and_not_kept() {
        let world = World::new();
        for answer in together(&world, true).await {
            let failure = answer.unwrap_err();
            assert_eq!((failure.code(), failure.cause().as_deref()), (Code::Upstream, Some("why")));
        }
        assert_eq!(world.fetches.load(Ordering::SeqCst), 1);
        assert_eq!(world.get(false).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn what_has_ended_or_is_given_up_is_fetched_anew() {
        let world = World::new();
        assert_eq!(world.get(false).await.unwrap(), 0);
        world.clock.advance(Duration::from_millis(59_999));
        assert_eq!(world.get(false).await.unwrap(), 0);
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.get(false).await.unwrap(), 1);
        world.kept.forget();
        assert_eq!(world.get(false).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn one_who_goes_away_leaves_the_fetch_to_the_next() {
        let world = World::new();
        assert!(world.get(false).now_or_never().is_none(), "it has begun and gone away");
        assert_eq!(world.get(false).await.unwrap(), 1);
    }

    #[test]
    fn a_token_is_not_used_to_its_very_end() {
        let seconds = [0, 1, 4, 60, 300, 3600].map(|life| safely(Duration::from_secs(life)).as_millis());
        assert_eq!(seconds, [0, 750, 3000, 45_000, 270_000, 3_570_000]);
    }
}
