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
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    /// A disk with room for so many bytes, which takes at most `chunk` of them at a time.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<Content>>);

    #[derive(Default)]
    struct Content {
        bytes: Vec<u8>,
        room: usize,
        chunk: usize,
        shut: bool,
        open: bool,
    }

    impl Paper for Disk {
        fn open(&mut self) -> io::Result<bool> {
            let mut disk = self.0.lock().unwrap();
            disk.open = !disk.shut;
            if disk.shut {
                return Err(io::Error::from(io::ErrorKind::NotFound));
            }
            Ok(disk.bytes.last().is_some_and(|byte| *byte != b'\n'))
        }
        fn close(&mut self) {
            self.0.lock().unwrap().open = false;
        }
        fn is_open(&self) -> bool {
            self.0.lock().unwrap().open
        }
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            assert!(disk.open);
            let count = bytes.len().min(disk.room).min(disk.chunk);
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            disk.room -= count;
            disk.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }
        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn is_unlinked(&self) -> bool {
            false
        }
        fn is_replaced(&self) -> bool {
            let disk = self.0.lock().unwrap();
            disk.open && disk.shut
        }
    }

    impl Disk {
        fn set(&self, room: usize, chunk: usize, shut: bool) {
            let mut disk = self.0.lock().unwrap();
            (disk.room, disk.chunk, disk.shut) = (room, chunk, shut);
        }

        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().bytes.clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    fn item(text: &str) -> (Item, oneshot::Receiver<Told>) {
        let (told, answer) = oneshot::channel();
        (Item { bytes: text.as_bytes().to_vec(), told: Some(told), room: None }, answer)
    }

    fn writer(disk: &Disk) -> (Writer<Disk>, Clock) {
        let clock = Clock::manual(Timestamp::from_seconds(1_700_000_000));
        (Writer::open(disk.clone(), clock.clone()).unwrap(), clock)
    }

    #[test]
    fn a_full_disk_refuses_and_a_freed_one_goes_on_with_a_gap_record() {
        let disk = Disk::default();
        disk.set(10, 4, false);
        let (mut writer, _) = writer(&disk);
        let (first, mut first_told) = item("{\"a\":1}");
        let (second, mut second_told) = item("{\"b\":2}");
        assert!(!writer.turn(Work { items: vec![first, second], ..Work::default() }));
        assert_eq!(first_told.try_recv().unwrap(), Ok(()));
        assert!(second_told.try_recv().unwrap().is_err());
        assert!(!writer.turn(Work::default()), "the outage is not over by itself");
        disk.set(1000, 1000, false);
        assert!(writer.turn(Work::default()), "it ends without traffic");
        let lines = disk.lines();
        assert_eq!(lines[..2], ["{\"a\":1}", "{\""]);
        assert!(lines[2].contains("audit_gap") && lines[2].contains("2023-11-14T22:13:20.000Z"), "{lines:?}");
        assert_eq!(lines[3..], ["{\"b\":2}"]);
        assert!(writer.turn(Work::default()));
        assert_eq!(disk.lines().len(), 4, "a sound journal writes nothing of its own");
    }

    #[test]
    fn lines_lost_for_want_of_room_are_counted_in_the_gap() {
        let disk = Disk::default();
        disk.set(4000, 4000, false);
        let (mut writer, _) = writer(&disk);
        assert!(writer.turn(Work { lost: 3, ..Work::default() }));
        assert!(disk.lines()[0].contains("\"count\":3"));
    }

    #[test]
    fn held_lines_are_bounded_and_the_rest_is_counted() {
        let disk = Disk::default();
        let (mut writer, _) = writer(&disk);
        let big = "x".repeat(HELD / 2);
        assert!(!writer.turn(Work { items: (0..5).map(|_| item(&big).0).collect(), ..Work::default() }));
        assert_eq!(writer.abandoned(), 2);
        disk.set(usize::MAX, usize::MAX, false);
        assert!(writer.turn(Work::default()));
        assert!(disk.lines()[0].contains("\"count\":3"));
        assert_eq!(disk.lines().len(), 3);
    }

    #[test]
    fn a_lost_path_is_noticed_without_traffic() {
        let disk = Disk::default();
        disk.set(1000, 1000, false);
        let (mut writer, clock) = writer(&disk);
        disk.set(1000, 1000, true);
        assert!(writer.turn(Work::default()), "the path is not looked at all the time");
        clock.advance(LOOK);
        assert!(!writer.turn(Work::default()));
        disk.set(1000, 1000, false);
        assert!(writer.turn(Work::default()));
    }

    proptest! {
        #[test]
        fn every_line_is_in_the_file_once_and_whole_whatever_the_disk_does(
            turns in proptest::collection::vec((0_usize..400, 1_usize..64, any::<bool>(), 0_usize..6), 1..30)
        ) {
            let disk = Disk::default();
            disk.set(0, 1, false);
            let (mut writer, clock) = writer(&disk);
            let mut sent = Vec::new();
            let mut kept = Vec::new();
            for (room, chunk, shut, count) in turns {
                disk.set(room, chunk, shut);
                clock.advance(Duration::from_millis(700));
                let mut waiting = Vec::new();
                let mut items = Vec::new();
                for _ in 0..count {
                    let text = format!("<{}>", sent.len());
                    let (item, told) = item(&text);
                    sent.push(text.clone());
                    items.push(item);
                    waiting.push((text, told));
                }
                writer.turn(Work { items, ..Work::default() });
                for (text, mut told) in waiting {
                    if told.try_recv().unwrap().is_ok() {
                        kept.push(text);
                    }
                }
                let lines = disk.lines();
                for text in &kept {
                    prop_assert_eq!(lines.iter().filter(|line| *line == text).count(), 1, "{}", text);
                }
            }
            disk.set(usize::MAX, usize::MAX, false);
            prop_assert!(writer.turn(Work::default()));
            let whole: Vec<_> = disk.lines().into_iter().filter(|line| line.starts_with('<') && line.ends_with('>')).collect();
            prop_assert_eq!(whole, sent, "in order, late ones too");
        }
    }
}
