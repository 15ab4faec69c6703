//! What stands between the senders and the writer: bounded in bytes, never waited for by a runtime thread, and a line whose
//! sender goes away is still written.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::writer::{Item, Told, Work};
use crate::clock::Clock;
use crate::error::{Code, Failure};

/// Longest record in bytes; a longer one is refused, and its call with it.
const LONGEST: usize = 256 << 10;
/// Bytes of lines whose senders wait.
const ROOM: usize = 8 << 20;
/// Bytes of lines that were left by senders who do not wait.
const LEFT: usize = 2 << 20;
/// What a line takes besides its bytes, so that the number of lines is bounded too.
const OVERHEAD: usize = 256;
/// A write that takes longer than this makes the journal unhealthy before it fails.
const STUCK: Duration = Duration::from_secs(2);
/// How often the writer looks round without being asked.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    /// Bytes that senders who wait may still put into the queue.
    room: Arc<Semaphore>,
    clock: Clock,
}

#[derive(Default)]
struct State {
    queue: Vec<Item>,
    left: usize,
    lost: u64,
    reopen: bool,
    closing: bool,
    ended: bool,
    healthy: bool,
    /// The writer waits to be woken.
    asleep: bool,
    busy_since: Option<Instant>,
}

impl Queue {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            state: Mutex::new(State { healthy: true, ..State::default() }),
            wake: Condvar::new(),
            room: Arc::new(Semaphore::new(ROOM)),
            clock,
        }
    }

    /// Queues a record. The answer comes once it is with the kernel, or, if it is to be `durable` and the journal is one
    /// that waits, on the disk. The writer is not woken for it: that is for [`Queue::ring`], once for many.
    pub(super) async fn post(&self, line: Vec<u8>, durable: bool) -> Result<oneshot::Receiver<Told>, Failure> {
        if !is_record(&line) {
            return Err(unavailable(format!(
                "a record of {} bytes is not one JSON object in one line of {LONGEST} at most",
                line.len()
            )));
        }
        let size =
            u32::try_from(line.len().saturating_add(OVERHEAD)).map_err(|error| unavailable(error.to_string()))?;
        let mut waiting = Waiting { queue: self, line };
        let room = Arc::clone(&self.room).acquire_many_owned(size).await;
        let room = room.map_err(|error| unavailable(error.to_string()))?;
        let (told, answer) = oneshot::channel();
        let bytes = std::mem::take(&mut waiting.line);
        self.push(Item { bytes, durable, told: Some(told), room: Some(room), late: false });
        Ok(answer)
    }

    /// Wakes the writer if it sleeps and there is work.
    pub(super) fn ring(&self) {
        let mut state = self.lock();
        if state.asleep && !state.is_idle() {
            state.asleep = false;
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn leave(&self, line: Vec<u8>) {
        let mut state = self.lock();
        let left = state.left.saturating_add(line.len()).saturating_add(OVERHEAD);
        if left > LEFT || !is_record(&line) {
            state.lost = state.lost.saturating_add(1);
        } else if !state.ended {
            state.left = left;
            state.queue.push(Item { bytes: line, ..Item::default() });
        }
        drop(state);
        self.ring();
    }

    /// Returns once everything before it had its turn.
    pub(super) async fn mark(&self) {
        let (told, answer) = oneshot::channel();
        self.push(Item { told: Some(told), ..Item::default() });
        self.ring();
        let _ = answer.await;
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.ring();
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.ring();
    }

    pub(super) fn is_healthy(&self) -> bool {
        let now = self.clock.instant();
        let state = self.lock();
        let stuck = state.busy_since.is_some_and(|since| now.saturating_duration_since(since) > STUCK);
        state.healthy && !state.ended && !stuck
    }

    /// Drops the item when there is no writer any more; whoever waits for it sees that.
    fn push(&self, item: Item) {
        let mut state = self.lock();
        if !state.ended {
            state.queue.push(item);
        }
    }

    /// Waits for work, but not longer than `TICK`; `None` when there is none and there will be none.
    pub(super) fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        if state.is_idle() {
            state.asleep = true;
            let woken = self.wake.wait_timeout_while(state, TICK, |state| state.is_idle());
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = false;
        }
        if state.closing && state.queue.is_empty() && state.lost == 0 {
            state.ended = true;
            return None;
        }
        state.busy_since = Some(self.clock.instant());
        state.left = 0;
        Some(Work {
            items: std::mem::take(&mut state.queue),
            lost: std::mem::take(&mut state.lost),
            reopen: std::mem::take(&mut state.reopen),
        })
    }

    pub(super) fn done(&self, healthy: bool) {
        let mut state = self.lock();
        state.busy_since = None;
        state.healthy = healthy;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.lost == 0 && !self.reopen && !self.closing
    }
}

/// Whether the chain can take it: one JSON object, not empty, in one line.
fn is_record(line: &[u8]) -> bool {
    (3..=LONGEST).contains(&line.len()) && line.starts_with(b"{") && line.ends_with(b"}") && !line.contains(&b'\n')
}

/// A line whose sender waits for room. If the sender goes away first, the line is left: a record is never lost because a
/// caller hung up.
struct Waiting<'a> {
    queue: &'a Queue,
    line: Vec<u8>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.queue.leave(std::mem::take(&mut self.line));
        }
    }
}

/// Tells everybody, however the thread ends, that nobody writes any more.
pub(super) struct Ended<'a>(pub(super) &'a Queue);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.queue.clear();
    }
}

pub(super) fn unavailable(cause: String) -> Failure {
    Failure::new(Code::AuditUnavailable, "the audit log cannot be written, so nothing is done").because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        format!("{{{}}}", "x".repeat(98)).into_bytes()
    }

    fn queue() -> (Arc<Queue>, Clock) {
        let clock = Clock::manual(crate::clock::Timestamp::from_seconds(0));
        (Arc::new(Queue::new(clock.clone())), clock)
    }

    #[tokio::test]
    async fn a_sender_that_gives_up_leaves_its_line() {
        let (queue, _) = queue();
        let all = Arc::clone(&queue.room).acquire_many_owned(u32::try_from(ROOM).unwrap()).await.unwrap();
        let given_up = tokio::time::timeout(Duration::from_millis(20), queue.post(b"{1}".to_vec(), false)).await;
        assert!(given_up.is_err());
        drop(all);
        let work = queue.next().unwrap();
        assert_eq!(work.items.iter().map(|item| item.bytes.as_slice()).collect::<Vec<_>>(), [b"{1}"]);
        assert_eq!(queue.room.available_permits(), ROOM);
    }

    #[test]
    fn what_is_left_is_bounded_and_the_rest_is_counted() {
        let (queue, _) = queue();
        let most = LEFT / (100 + OVERHEAD);
        (0..most + 5).for_each(|_| queue.leave(record()));
        let work = queue.next().unwrap();
        assert_eq!((work.items.len(), work.lost), (most, 5));
        queue.leave(record());
        assert_eq!(queue.next().unwrap().items.len(), 1, "there is room again");
    }

    #[test]
    fn a_stuck_write_is_unhealthy() {
        let (queue, clock) = queue();
        queue.leave(b"{1}".to_vec());
        let _work = queue.next().unwrap();
        assert!(queue.is_healthy());
        clock.advance(STUCK + Duration::from_millis(1));
        assert!(!queue.is_healthy());
        queue.done(true);
        assert!(queue.is_healthy());
    }

    #[tokio::test]
    async fn without_a_writer_nothing_is_kept() {
        let (queue, _) = queue();
        drop(Ended(&queue));
        let answer = queue.post(b"{1}".to_vec(), false).await.unwrap();
        assert!(answer.await.is_err());
        queue.mark().await;
        assert!(!queue.is_healthy());
    }
}
