//! The writer: makes lines of records, hands batches of them to the kernel and says of each whether it is kept. A record
//! gets its place in the chain when it is written and not before, so whatever fails, the chain has no hole.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::chain::Head;
use super::checkpoint::{Cause, Signer};
use super::client::Client;
use super::file::{Opened, Paper};
use super::headfile::HeadFile;
use super::page::{Kind, Page};
use super::record::{Event, Record};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{AuditFailed, AuditRecovered, AuditSynced, AuditUnclean, AuditWritten};

/// How often the path is looked at, and the head noted.
const LOOK: Duration = Duration::from_secs(1);
/// How long a full file that could not be renamed is written on.
const AGAIN: Duration = Duration::from_secs(60);
/// Bytes that the place in the chain takes in a line, about.
const PLACE: usize = 100;
/// Bytes of unkept lines that are held for a better time.
const HELD: usize = 4 << 20;

/// The answer to one who waits: kept, or why not.
pub(super) type Told = Result<(), Arc<str>>;

/// A record, or a mark (an empty one) that only waits for its turn and for the disk.
#[derive(Default)]
pub(super) struct Item {
    pub(super) bytes: Vec<u8>,
    /// Whether the sender waits for the disk, where the journal is one that does.
    pub(super) durable: bool,
    /// Whether it was to be written before, and could not be.
    pub(super) late: bool,
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

/// When files and checkpoints end, and what is waited for.
pub(super) struct Habits {
    /// Bytes after which a file is full.
    pub(super) max_size: u64,
    /// Whether a file ends with its day (UTC) too.
    pub(super) daily: bool,
    /// Whether a decision waits for the disk.
    pub(super) fsync: bool,
    /// Records from one checkpoint to the next.
    pub(super) every_records: u64,
    /// Time from one checkpoint to the next, also when nothing happens.
    pub(super) every: Duration,
}

pub(super) struct Writer<P> {
    paper: P,
    clock: Clock,
    habits: Habits,
    signer: Signer,
    /// Told of every full file.
    full: Option<mpsc::Sender<()>>,
    noted: Option<(HeadFile, Head)>,
    head: Head,
    file: Opened,
    checkpoint: (u64, Instant),
    looked: Instant,
    rotate_from: Instant,
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
    /// Goes on after `head` in a file that is open.
    pub(super) fn new(paper: P, file: Opened, head: Head, signer: Signer, habits: Habits, clock: Clock) -> Self {
        let now = clock.instant();
        Self {
            paper,
            clock,
            habits,
            signer,
            full: None,
            noted: None,
            head,
            file,
            checkpoint: (head.seq, now),
            looked: now,
            rotate_from: now,
            outage: None,
            held: Vec::new(),
        }
    }

    /// Tells of every full file.
    pub(super) fn telling(mut self, full: Option<mpsc::Sender<()>>) -> Self {
        self.full = full;
        self
    }

    /// Notes the head beside the journal.
    pub(super) fn noting(mut self, file: HeadFile) -> Self {
        self.noted = Some((file, self.head));
        self
    }

    /// Does the work, or what is due without any; returns whether the journal is sound.
    pub(super) fn turn(&mut self, work: Work) -> bool {
        let now = self.clock.instant();
        let look = now.saturating_duration_since(self.looked) >= LOOK;
        if work.reopen || self.paper.is_unlinked() || (look && self.paper.is_replaced()) {
            self.paper.close();
        }
        if look {
            self.looked = now;
            self.note_head();
        }
        if work.lost > 0 {
            let outage = self.outage("more came in than there was room for".into());
            outage.lost = outage.lost.saturating_add(work.lost);
        }
        let due = now.saturating_duration_since(self.checkpoint.1) >= self.habits.every;
        if work.items.is_empty() && self.outage.is_none() && self.paper.is_open() && !due {
            return true;
        }
        let mut items = std::mem::take(&mut self.held);
        items.extend(work.items);
        let (kept, result) = self.write(&mut items, due.then_some(Cause::Interval));
        AuditWritten { records: items.iter().take(kept).filter(|item| !item.is_mark()).count() }.emit();
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
    pub(super) fn abandoned(&self) -> u64 {
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        held.saturating_add(self.outage.as_ref().map_or(0, |outage| outage.lost))
    }

    /// Ends the journal as it should be ended; returns whether that could be done.
    pub(super) fn finish(&mut self) -> bool {
        if self.abandoned() > 0 && !self.turn(Work::default()) {
            return false;
        }
        let (_, result) = self.write(&mut [Item::default()], Some(Cause::Stop));
        self.note_head();
        result.is_ok()
    }

    fn note_head(&mut self) {
        if let Some((file, noted)) = &mut self.noted
            && *noted != self.head
            // It is a help and no promise: the journal itself says more.
            && file.write(self.head, &self.signer).is_ok()
        {
            *noted = self.head;
        }
    }

    /// Writes all of it at once; returns how many of `items` are kept, and why it ended if it did not end well.
    fn write(&mut self, items: &mut [Item], checkpoint: Option<Cause>) -> (usize, Told) {
        let room = items.iter().map(|item| item.bytes.len().saturating_add(PLACE)).sum();
        if let Err(error) = self.ready(room) {
            return (0, Err(error));
        }
        let mut page =
            Page { bytes: Vec::with_capacity(room), places: Vec::with_capacity(items.len()), head: self.head };
        if let Some(outage) = &self.outage {
            page.add(&outage.body(self.clock.now()), Kind::Gap);
        }
        let gap = page.places.len();
        for item in items.iter_mut().filter(|item| !item.is_mark()) {
            if !page.add(&item.bytes, Kind::Sent) {
                // The queue lets no such record in.
                item.tell(Err("a record is not one JSON object in one line".into()));
                item.bytes.clear();
            }
        }
        if let Err(cause) = self.add_checkpoint(&mut page, checkpoint) {
            return (0, Err(cause));
        }
        let (whole, mut result) = self.put(&page);
        if whole >= gap
            && gap > 0
            && let Some(outage) = self.outage.take()
        {
            AuditRecovered { since: outage.since, lost: outage.lost }.emit();
        }
        let mut kept = page.places.iter().take(whole).filter(|place| place.kind == Kind::Sent).count();
        // Marks go with the record before them.
        let mut count = 0;
        for item in items.iter() {
            if !item.is_mark() {
                let Some(less) = kept.checked_sub(1) else { break };
                kept = less;
            } else if result.is_err() {
                break;
            }
            count = usize::saturating_add(count, 1);
        }
        let wanted = |item: &Item| item.is_mark() || (self.habits.fsync && item.durable);
        if items.iter().take(count).any(wanted) {
            match self.paper.sync() {
                Ok(()) => AuditSynced.emit(),
                Err(error) => {
                    let cause: Arc<str> = error.to_string().into();
                    // They are in the file, but who waits for the disk must not be told that they are on it.
                    let waiting = items.iter_mut().take(count).filter(|item| wanted(item));
                    waiting.for_each(|item| item.tell(Err(Arc::clone(&cause))));
                    self.paper.close();
                    result = Err(cause);
                }
            }
        }
        (count, result)
    }

    /// Opens the file if it is not open, and begins another if it is full.
    fn ready(&mut self, adding: usize) -> Told {
        let said = |error: io::Error| -> Arc<str> { error.to_string().into() };
        if !self.paper.is_open() {
            self.file = self.paper.open().map_err(said)?;
            if let Some(torn) = &self.file.torn {
                AuditUnclean { found: &format!("what stood after its last whole record is in {}", torn.display()) }
                    .emit();
            }
        }
        let day = self.today();
        let size = self.file.size.saturating_add(u64::try_from(adding).unwrap_or(u64::MAX));
        let full = size > self.habits.max_size || (self.habits.daily && day != self.file.day);
        let now = self.clock.instant();
        if self.file.size == 0 || !full || now < self.rotate_from {
            return Ok(());
        }
        let mut page = Page { bytes: Vec::new(), places: Vec::new(), head: self.head };
        self.add_checkpoint(&mut page, Some(Cause::Rotation))?;
        let (_, result) = self.put(&page);
        result?;
        let Some(first) = self.file.first else { return Ok(()) };
        match self.paper.rotate(first) {
            Ok(()) => {
                if let Some(full) = &self.full {
                    let _ = full.send(());
                }
                self.file = self.paper.open().map_err(said)?;
                Ok(())
            }
            Err(error) => {
                // A file that is too long is better than one that is lost.
                tracing::warn!(cause = %error, "the audit log cannot be rotated; it is written on for a minute");
                self.rotate_from = now.checked_add(AGAIN).unwrap_or(now);
                Ok(())
            }
        }
    }

    fn today(&self) -> i64 {
        self.clock.now().seconds().div_euclid(86_400)
    }

    fn add_checkpoint(&mut self, page: &mut Page, cause: Option<Cause>) -> Told {
        let since = page.head.seq.saturating_sub(self.checkpoint.0);
        let cause = cause.or_else(|| (since >= self.habits.every_records).then_some(Cause::Interval));
        let Some(cause) = cause else { return Ok(()) };
        let body = self.signer.sign(page.head, cause, self.clock.now());
        page.add(&body.map_err(|failure| Arc::<str>::from(failure.to_string()))?, Kind::Checkpoint);
        Ok(())
    }

    /// Hands a page to the kernel; returns how many of its lines are whole in the file. The beginning of one that is not is
    /// taken away again.
    fn put(&mut self, page: &Page) -> (usize, Told) {
        let mut rest = page.bytes.as_slice();
        let mut result = Ok(());
        while !rest.is_empty() {
            match self.paper.write(rest) {
                Ok(0) => result = Err("nothing could be written".into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error.to_string().into()),
            }
            if result.is_err() {
                break;
            }
        }
        let written = page.bytes.len().saturating_sub(rest.len());
        let whole = page.places.partition_point(|place| place.end <= written);
        let last = whole.checked_sub(1).and_then(|last| page.places.get(last));
        let end = last.map_or(0, |place| place.end);
        if let Some(torn) = u64::try_from(written.saturating_sub(end)).ok().filter(|torn| *torn > 0)
            && let Err(error) = self.paper.cut_back(torn)
        {
            // Then it is moved aside when the file is opened anew.
            tracing::warn!(cause = %error, "half a line could not be taken back from the audit log");
        }
        if let Some(place) = last {
            self.file.first = self.file.first.or_else(|| self.head.seq.checked_add(1));
            self.file.size = self.file.size.saturating_add(u64::try_from(end).unwrap_or(u64::MAX));
            self.file.day = self.today();
            self.head = place.head;
        }
        if last.is_some_and(|place| place.kind == Kind::Checkpoint) {
            self.checkpoint = (self.head.seq, self.clock.instant());
        }
        if result.is_err() {
            self.paper.close();
        }
        (whole, result)
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
            failed = failed.saturating_add(usize::from(!item.late));
            item.late = true;
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
    fn body(&self, now: Timestamp) -> Vec<u8> {
        let mut record = Record::new(Event::AuditGap, now, Client::default())
            .saying(&format!("records could not be kept since {}: {}", self.since, self.cause));
        if self.lost > 0 {
            record = record.counted(self.lost);
        }
        serde_json::to_vec(&record).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
