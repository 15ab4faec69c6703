//! The writer: hands batches of lines to the kernel and says of each whether it is kept. After a failure no record is
//! ever glued to a broken one, what was not kept is tried again, and the gap has a record of its own.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::file::Paper;
use super::record::{Client, Event, Record};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{AuditFailed, AuditRecovered, AuditWritten};

/// How often the path is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes of unkept lines that are held for a better time.
const HELD: usize = 4 << 20;

/// The answer to one who waits: kept, or why not.
pub(super) type Told = Result<(), Arc<str>>;

/// A line, or a mark (an empty line) that only waits for its turn.
#[derive(Default)]
pub(super) struct Item {
    pub(super) bytes: Vec<u8>,
    pub(super) told: Option<oneshot::Sender<Told>>,
    pub(super) room: Option<OwnedSemaphorePermit>,
}

impl Item {
    fn tell(&mut self, told: Told) {
        self.room = None;
        if let Some(waiting) = self.told.take() {
            let _ = waiting.send(told);
        }
    }

    fn is_mark(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// What there is to do.
#[derive(Default)]
pub(super) struct Work {
    pub(super) items: Vec<Item>,
    /// Lines for which the queue had no room.
    pub(super) lost: u64,
    pub(super) reopen: bool,
}

pub(super) struct Writer<P> {
    paper: P,
    clock: Clock,
    torn: bool,
    looked: Instant,
    outage: Option<Outage>,
    held: Vec<Item>,
}

/// A time in which the journal did not keep what it got.
struct Outage {
    since: Timestamp,
    cause: Arc<str>,
    lost: u64,
}

impl<P: Paper> Writer<P> {
    pub(super) fn open(mut paper: P, clock: Clock) -> io::Result<Self> {
        let torn = paper.open()?;
        let looked = clock.instant();
        Ok(Self { paper, clock, torn, looked, outage: None, held: Vec::new() })
    }

    /// Does the work, or tries to end an outage when there is none; returns whether the journal is sound.
    pub(super) fn turn(&mut self, work: Work) -> bool {
        if work.reopen || self.is_elsewhere() {
            self.paper.close();
        }
        if work.lost > 0 {
            let outage = self.outage("more came in than there was room for".into());
            outage.lost = outage.lost.saturating_add(work.lost);
        }
        if work.items.is_empty() && self.outage.is_none() && self.paper.is_open() {
            return true;
        }
        let mut items = std::mem::take(&mut self.held);
        items.extend(work.items);
        let (kept, result) = self.write(&items);
        let lines = items.iter().take(kept).filter(|item| !item.is_mark()).count();
        AuditWritten { records: lines }.emit();
        items.drain(..kept).for_each(|mut item| item.tell(Ok(())));
        match result {
            Ok(()) => true,
            Err(cause) => {
                self.fail(items, &cause);
                false
            }
        }
    }

    /// Lines that were not kept and never will be.
    pub(super) fn abandoned(&self) -> usize {
        self.held.len()
    }

    /// Whether the open file is not the one at the path: its last name is looked at each time, the path now and then.
    fn is_elsewhere(&mut self) -> bool {
        if self.paper.is_unlinked() {
            return true;
        }
        let now = self.clock.instant();
        if now.saturating_duration_since(self.looked) < LOOK {
            return false;
        }
        self.looked = now;
        self.paper.is_replaced()
    }

    /// Writes all of it at once; returns how many of `items` are whole in the file, and why it ended if it did not end well.
    fn write(&mut self, items: &[Item]) -> (usize, Told) {
        if !self.paper.is_open() {
            match self.paper.open() {
                Ok(torn) => self.torn = torn,
                Err(error) => return (0, Err(error.to_string().into())),
            }
        }
        let mut page = Vec::new();
        if self.torn {
            page.push(b'\n');
        }
        if let Some(outage) = &self.outage {
            page.extend(outage.line(self.clock.now()));
        }
        // What counts as whole is the text without its newline: whatever is written next begins with the missing one.
        let head = page.len().saturating_sub(1);
        let mut ends = Vec::with_capacity(items.len());
        for item in items {
            page.extend_from_slice(&item.bytes);
            ends.push(page.len());
            if !item.is_mark() {
                page.push(b'\n');
            }
        }
        let (written, mut result) = self.put(&page);
        if result.is_ok() && items.iter().any(Item::is_mark) {
            result = self.paper.sync().map_err(|error| error.to_string().into());
        }
        if result.is_ok() {
            self.torn = false;
        } else {
            // Whether the last line has an end is read from the file when it is opened anew.
            self.paper.close();
        }
        if written >= head
            && let Some(outage) = self.outage.take()
        {
            AuditRecovered { since: outage.since, lost: outage.lost }.emit();
        }
        (ends.iter().take_while(|end| **end <= written).count(), result)
    }

    fn put(&mut self, page: &[u8]) -> (usize, Told) {
        let mut rest = page;
        let result = loop {
            if rest.is_empty() {
                break Ok(());
            }
            match self.paper.write(rest) {
                Ok(0) => break Err("nothing could be written".into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error.to_string().into()),
            }
        };
        (page.len().saturating_sub(rest.len()), result)
    }

    fn fail(&mut self, items: Vec<Item>, cause: &Arc<str>) {
        let mut bytes: usize = 0;
        let mut lost: u64 = 0;
        let mut failed: usize = 0;
        for mut item in items {
            item.tell(Err(Arc::clone(cause)));
            if item.is_mark() {
                continue;
            }
            failed = failed.saturating_add(1);
            bytes = bytes.saturating_add(item.bytes.len());
            if bytes <= HELD {
                self.held.push(item);
            } else {
                lost = lost.saturating_add(1);
            }
        }
        let begins = self.outage.is_none();
        let outage = self.outage(Arc::clone(cause));
        outage.lost = outage.lost.saturating_add(lost);
        AuditFailed { records: failed, cause, begins }.emit();
    }

    fn outage(&mut self, cause: Arc<str>) -> &mut Outage {
        let since = self.clock.now();
        self.outage.get_or_insert(Outage { since, cause, lost: 0 })
    }
}

impl Outage {
    /// The gap's own record; writing it is also the proof that the outage is over.
    fn line(&self, now: Timestamp) -> Vec<u8> {
        let mut record = Record::new(Event::AuditGap, now, Client::default())
            .saying(&format!("records could not be kept since {}: {}", self.since, self.cause));
        if self.lost > 0 {
            record = record.counted(self.lost);
        }
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests;
