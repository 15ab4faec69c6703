//! Who waits for a place: a line for each caller, and the lines in turn, so that nobody gets ahead by coming often. Both the
//! lines together and each of them are bounded, and those of one channel hold no more than are free beside them.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::places::{Held, Room, Wish};

/// The lines.
#[derive(Default)]
pub(super) struct Queue {
    lines: VecDeque<Line>,
    waiting: usize,
    next: u64,
}

/// Those of one caller, in the order in which they came.
pub(super) struct Line {
    caller: u128,
    channel: u128,
    pub(super) waiters: VecDeque<Waiter>,
}

/// One who waits.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) wish: Wish,
    pub(super) sender: oneshot::Sender<Held>,
}

impl Queue {
    /// Puts somebody at the end of a line; the number to leave it by, or `None` when there is no room.
    pub(super) fn join(&mut self, wish: &Wish, room: Room, mut waiter: Waiter) -> Option<u64> {
        let (caller, channel) = (wish.line, wish.channel);
        let of_channel: usize =
            self.lines.iter().filter(|line| line.channel == channel).map(|line| line.waiters.len()).sum();
        // A certificate may have as many callers as it likes. What one of them may have it may have, too.
        if of_channel >= room.line && of_channel >= room.all.saturating_sub(self.waiting) {
            return None;
        }
        let known = self.lines.iter().position(|line| line.caller == caller);
        let in_line = known.and_then(|index| self.lines.get(index)).map_or(0, |line| line.waiters.len());
        if self.waiting >= room.all || in_line >= room.line {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        waiter.number = self.next;
        self.waiting = self.waiting.saturating_add(1);
        match known.and_then(|index| self.lines.get_mut(index)) {
            Some(line) => line.waiters.push_back(waiter),
            None => self.lines.push_back(Line { caller, channel, waiters: VecDeque::from([waiter]) }),
        }
        Some(self.next)
    }

    /// Takes somebody out of a line; whether he was in it.
    pub(super) fn leave(&mut self, caller: u128, number: u64) -> bool {
        let Some(index) = self.lines.iter().position(|line| line.caller == caller) else { return false };
        let Some(line) = self.lines.get_mut(index) else { return false };
        let before = line.waiters.len();
        line.waiters.retain(|waiter| waiter.number != number);
        let left = line.waiters.len() < before;
        if line.waiters.is_empty() {
            self.lines.remove(index);
        }
        if left {
            self.waiting = self.waiting.saturating_sub(1);
        }
        left
    }

    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Takes out the line whose turn it is.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        let line = self.lines.pop_front()?;
        self.waiting = self.waiting.saturating_sub(line.waiters.len());
        Some(line)
    }

    /// Puts a line behind all others, unless nobody is left in it.
    pub(super) fn put_back(&mut self, line: Line) {
        self.waiting = self.waiting.saturating_add(line.waiters.len());
        if !line.waiters.is_empty() {
            self.lines.push_back(line);
        }
    }
}
