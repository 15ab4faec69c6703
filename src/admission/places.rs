//! Places among the running calls: in total, and of each caller, tool, toolset, impact class and target. A place is given back
//! when whoever holds it drops it, however the call ends. Who finds none waits a short while, each caller in its own line, and
//! the lines are served in turn.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::queue::{Line, Queue, Waiter};

/// Parts with a lock of their own, so that calls seldom meet.
const SHARDS: usize = 64;

/// What a place is counted by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    Total,
    Caller,
    Tool,
    Toolset,
    Impact,
    Target,
}

/// As a caller may read it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Total => "in all",
            Self::Caller => "of this caller",
            Self::Tool => "of this tool",
            Self::Toolset => "of this toolset",
            Self::Impact => "of this impact class",
            Self::Target => "on this target",
        })
    }
}

/// One count that a call adds to, and what it may come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Count {
    pub(super) kind: Kind,
    pub(super) key: u128,
    pub(super) most: u32,
}

/// Everything that a call needs a place in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    /// Places in all.
    pub(super) most: u32,
    /// Whose line it waits in.
    pub(super) line: u128,
    /// Over which channel it came: the lines of one together have a share of the queue.
    pub(super) channel: u128,
    pub(super) counts: [Option<Count>; 5],
}

/// How many may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Room {
    pub(super) all: usize,
    pub(super) line: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoPlace {
    pub(super) kind: Kind,
    pub(super) most: u32,
}

/// The places.
pub(super) struct Places {
    total: AtomicU32,
    counts: Vec<Mutex<HashMap<(Kind, u128), u32>>>,
    /// How many wait. Who comes while somebody waits asks the queue, and so does who leaves.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            total: AtomicU32::new(0),
            counts: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }
}

/// A place in each count of a wish; dropping it gives them back.
pub(super) struct Held {
    places: Arc<Places>,
    wish: Wish,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({:?})", self.wish)
    }
}

impl Held {
    pub(super) fn wish(&self) -> &Wish {
        &self.wish
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.give_back(&self.wish);
        self.places.serve_those_who_wait();
    }
}

impl Places {
    /// A place at once, if nobody waits and there is one.
    pub(super) fn at_once(self: &Arc<Self>, wish: &Wish) -> Option<Held> {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        if self.take(wish).is_ok() {
            return Some(Held { places: Arc::clone(self), wish: *wish });
        }
        // For a moment it held some of the counts. Who came in that moment, found them full and waits would not be told
        // otherwise that they are free.
        self.serve_those_who_wait();
        None
    }

    /// A place, waited for as long as `patience` lasts.
    pub(super) async fn enter(
        self: &Arc<Self>,
        wish: Wish,
        room: Room,
        patience: impl Future<Output = ()>,
    ) -> Result<Held, NoPlace> {
        let (waiting, mut given) = match self.stand_in_line(wish, room)? {
            Stood::Served(held) => return Ok(held),
            Stood::Waits(waiting, given) => (waiting, given),
        };
        tokio::select! {
            biased;
            held = &mut given => if let Ok(held) = held { return Ok(held) },
            () = patience => {}
        }
        // Out of the line first: what is given from now on is given to somebody else.
        drop(waiting);
        given.try_recv().map_err(|_| self.lacking(&wish))
    }

    /// How many calls run, and how many wait.
    pub(super) fn taken(&self) -> (u32, usize) {
        (self.total.load(Ordering::SeqCst), self.waiting.load(Ordering::SeqCst))
    }

    /// How many count towards this.
    pub(super) fn counted(&self, kind: Kind, key: u128) -> u32 {
        self.part(key).and_then(|counts| counts.get(&(kind, key)).copied()).unwrap_or(0)
    }

    fn stand_in_line(self: &Arc<Self>, wish: Wish, room: Room) -> Result<Stood, NoPlace> {
        let (sender, given) = oneshot::channel();
        let mut queue = self.queue();
        // First those who wait already, for a place that was given back just before nobody has told of. What none of them can
        // use is for whoever comes, however long the lines are.
        let mut unsent = self.serve(&mut queue);
        let stood = if self.take(&wish).is_ok() {
            Ok(Stood::Served(Held { places: Arc::clone(self), wish }))
        } else {
            match queue.join(&wish, room, Waiter { number: 0, wish, sender }) {
                Some(number) => {
                    self.waiting.fetch_add(1, Ordering::SeqCst);
                    // Once more: what is given back from now on sees that somebody waits.
                    unsent.extend(self.serve(&mut queue));
                    Ok(Stood::Waits(Waiting { places: Arc::clone(self), line: wish.line, number }, given))
                }
                None => Err(()),
            }
        };
        drop(queue);
        drop(unsent);
        stood.map_err(|()| self.lacking(&wish))
    }

    /// To be called whenever something was given back, after that.
    fn serve_those_who_wait(self: &Arc<Self>) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            let unsent = self.serve(&mut self.queue());
            drop(unsent);
        }
    }

    /// Gives places to those who wait, a caller at a time. What somebody does not want any more is to be dropped when the
    /// queue is not locked any more.
    fn serve(self: &Arc<Self>, queue: &mut Queue) -> Vec<Held> {
        let mut unsent = Vec::new();
        let mut tries = queue.lines();
        while tries > 0 {
            let Some(mut line) = queue.next_line() else { break };
            match line.first(|wish| self.take(wish).is_ok()) {
                Some(waiter) => {
                    self.waiting.fetch_sub(1, Ordering::SeqCst);
                    let held = Held { places: Arc::clone(self), wish: waiter.wish };
                    unsent.extend(waiter.sender.send(held).err());
                    queue.put_back(line);
                    tries = queue.lines();
                }
                None => {
                    queue.put_back(line);
                    tries = tries.saturating_sub(1);
                }
            }
        }
        unsent
    }

    /// Takes a place in each count or in none.
    fn take(&self, wish: &Wish) -> Result<(), NoPlace> {
        let room = |taken: u32| if taken < wish.most { taken.checked_add(1) } else { None };
        if self.total.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room).is_err() {
            return Err(NoPlace { kind: Kind::Total, most: wish.most });
        }
        for (index, count) in wish.counts.iter().enumerate() {
            let Some(count) = count else { continue };
            if !self.add(count) {
                wish.counts.iter().take(index).flatten().for_each(|count| self.lessen(count));
                self.total.fetch_sub(1, Ordering::SeqCst);
                return Err(NoPlace { kind: count.kind, most: count.most });
            }
        }
        Ok(())
    }

    fn give_back(&self, wish: &Wish) {
        wish.counts.iter().flatten().for_each(|count| self.lessen(count));
        self.total.fetch_sub(1, Ordering::SeqCst);
    }

    /// Which count keeps a wish from its place; by now it may be another one than it was, or none.
    fn lacking(&self, wish: &Wish) -> NoPlace {
        let full = |count: &&Count| self.counted(count.kind, count.key) >= count.most;
        match wish.counts.iter().flatten().find(full) {
            Some(count) => NoPlace { kind: count.kind, most: count.most },
            None => NoPlace { kind: Kind::Total, most: wish.most },
        }
    }

    fn add(&self, count: &Count) -> bool {
        let Some(mut counts) = self.part(count.key) else { return false };
        let taken = counts.entry((count.kind, count.key)).or_default();
        let room = *taken < count.most;
        if room {
            *taken = taken.saturating_add(1);
        }
        room
    }

    fn lessen(&self, count: &Count) {
        let Some(mut counts) = self.part(count.key) else { return };
        match counts.get_mut(&(count.kind, count.key)) {
            Some(taken) if *taken > 1 => *taken = taken.saturating_sub(1),
            _ => drop(counts.remove(&(count.kind, count.key))),
        }
    }

    fn part(&self, key: u128) -> Option<MutexGuard<'_, HashMap<(Kind, u128), u32>>> {
        let part = usize::try_from(key >> 122).unwrap_or(0);
        self.counts.get(part).map(|part| part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes of standing in line.
enum Stood {
    Served(Held),
    Waits(Waiting, oneshot::Receiver<Held>),
}

/// Somebody in a line; dropping it leaves the line.
struct Waiting {
    places: Arc<Places>,
    line: u128,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.places.queue().leave(self.line, self.number) {
            self.places.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Line {
    /// Takes out the first who gets a place.
    fn first(&mut self, mut gets: impl FnMut(&Wish) -> bool) -> Option<Waiter> {
        let index = self.waiters.iter().position(|waiter| gets(&waiter.wish))?;
        self.waiters.remove(index)
    }
}

#[cfg(test)]
mod tests;
