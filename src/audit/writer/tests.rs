//! The writer on a disk that fails as the tests say.

use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::audit::chain::{Hash, Link};
use crate::pki::{KeyKind, SigningKey};

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
    /// What it takes back fails, as on a file that may only grow.
    stubborn: bool,
    full: Vec<(u64, Vec<u8>)>,
    syncs: usize,
}

impl Paper for Disk {
    fn open(&mut self) -> io::Result<Opened> {
        let mut disk = self.0.lock().unwrap();
        disk.open = !disk.shut;
        if disk.shut {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        let end = disk.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        disk.bytes.truncate(end);
        let first = disk.bytes.split(|byte| *byte == b'\n').next().and_then(Link::of).map(|link| link.seq);
        Ok(Opened { size: u64::try_from(end).unwrap(), first, day: 19_675, torn: None })
    }
    fn close(&mut self) {
        self.0.lock().unwrap().open = false;
    }
    fn is_open(&self) -> bool {
        self.0.lock().unwrap().open
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock().unwrap();
        let count = bytes.len().min(disk.room).min(disk.chunk);
        if count == 0 || !disk.open {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        disk.room = disk.room.saturating_sub(count);
        disk.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
    fn cut_back(&mut self, bytes: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.stubborn {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let end = disk.bytes.len().saturating_sub(usize::try_from(bytes).unwrap());
        disk.bytes.truncate(end);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.syncs = disk.syncs.saturating_add(1);
        Ok(())
    }
    fn rotate(&mut self, first: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        let bytes = std::mem::take(&mut disk.bytes);
        disk.full.push((first, bytes));
        disk.open = false;
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

    /// All lines there are, which must be one chain, without their places in it.
    fn lines(&self) -> Vec<String> {
        let disk = self.0.lock().unwrap();
        // Where nothing can be taken back, half a line is there until the file is opened anew.
        let end = match disk.stubborn {
            true => disk.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1)),
            false => disk.bytes.len(),
        };
        let all: Vec<u8> = disk.full.iter().flat_map(|(_, bytes)| bytes).chain(&disk.bytes[..end]).copied().collect();
        let mut head = Head::START;
        let mut lines = Vec::new();
        for line in String::from_utf8(all).unwrap().lines() {
            let link = Link::of(line.as_bytes()).unwrap_or_else(|| panic!("{line:?}"));
            assert!(link.follows(head), "{line}");
            head = Head { seq: link.seq, hash: Hash::of(line.as_bytes()) };
            let (_, body) = line.split_once(',').unwrap();
            let (body, _) = body.rsplit_once(",\"prev\"").unwrap();
            lines.push(format!("{{{body}}}"));
        }
        lines
    }

    /// As [`Disk::lines`], without checkpoints and gaps.
    fn sent(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| !line.contains("\"event\"")).collect()
    }
}

fn item(text: &str) -> (Item, oneshot::Receiver<Told>) {
    let (told, answer) = oneshot::channel();
    (Item { bytes: text.as_bytes().to_vec(), durable: true, told: Some(told), ..Item::default() }, answer)
}

fn habits() -> Habits {
    Habits { max_size: 1 << 30, daily: false, fsync: false, every_records: 1000, every: Duration::from_secs(3600) }
}

fn writer_with(disk: &Disk, habits: Habits) -> (Writer<Disk>, Clock) {
    let clock = Clock::manual(Timestamp::from_seconds(1_700_000_000));
    let mut disk = disk.clone();
    let opened = disk.open().unwrap();
    let signer = Signer::new(SigningKey::generate(KeyKind::Ed25519).unwrap()).unwrap();
    (Writer::new(disk, opened, Head::START, signer, habits, clock.clone()), clock)
}

fn writer(disk: &Disk) -> (Writer<Disk>, Clock) {
    writer_with(disk, habits())
}

fn work(texts: &[&str]) -> Work {
    Work { items: texts.iter().map(|text| item(text).0).collect(), ..Work::default() }
}

#[test]
fn a_full_disk_refuses_and_a_freed_one_goes_on_with_a_gap_record() {
    for stubborn in [false, true] {
        let disk = Disk::default();
        disk.set(100, 4, false);
        disk.0.lock().unwrap().stubborn = stubborn;
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
        assert_eq!(lines[0], "{\"a\":1}");
        assert!(lines[1].contains("audit_gap") && lines[1].contains("2023-11-14T22:13:20.000Z"), "{lines:?}");
        assert_eq!(lines[2..], ["{\"b\":2}"]);
        assert!(writer.turn(Work::default()));
        assert_eq!(disk.lines().len(), 3, "a sound journal writes nothing of its own");
    }
}

#[test]
fn checkpoints_come_with_records_and_with_time() {
    let disk = Disk::default();
    disk.set(1 << 20, 1 << 20, false);
    let (mut writer, clock) =
        writer_with(&disk, Habits { every_records: 3, every: Duration::from_secs(60), ..habits() });
    assert!(writer.turn(work(&["{\"a\":1}", "{\"a\":2}"])));
    assert_eq!(disk.lines().len(), 2);
    assert!(writer.turn(work(&["{\"a\":3}"])));
    assert!(disk.lines()[3].contains("\"covers\":3"), "{:?}", disk.lines());
    clock.advance(Duration::from_secs(59));
    assert!(writer.turn(Work::default()));
    assert_eq!(disk.lines().len(), 4);
    clock.advance(Duration::from_secs(1));
    assert!(writer.turn(Work::default()));
    assert!(disk.lines()[4].contains("\"covers\":4"), "also when nothing happens");
    assert!(writer.finish());
    assert!(disk.lines()[5].contains("\"cause\":\"stop\""));
}

#[test]
fn a_full_file_ends_with_a_checkpoint_and_is_named_by_its_first_record() {
    let disk = Disk::default();
    disk.set(1 << 20, 1 << 20, false);
    let (mut writer, clock) = writer_with(&disk, Habits { max_size: 300, daily: true, ..habits() });
    for _ in 0..7 {
        assert!(writer.turn(work(&["{\"a\":1}"])));
    }
    assert_eq!(disk.sent().len(), 7);
    let firsts: Vec<u64> = disk.0.lock().unwrap().full.iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [1, 5], "three records and a checkpoint");
    clock.advance(Duration::from_secs(86_400));
    assert!(writer.turn(work(&["{\"a\":5}"])));
    assert_eq!(disk.0.lock().unwrap().full.len(), 3, "another day");
    assert!(disk.lines().iter().filter(|line| line.contains("\"cause\":\"rotation\"")).count() == 3);
}

#[test]
fn decisions_share_one_wait_for_the_disk_and_outcomes_have_none() {
    let disk = Disk::default();
    disk.set(1 << 20, 1 << 20, false);
    let (mut writer, _) = writer_with(&disk, Habits { fsync: true, ..habits() });
    let (outcome, mut told) = item("{\"o\":1}");
    assert!(writer.turn(Work { items: vec![Item { durable: false, ..outcome }], ..Work::default() }));
    assert_eq!((told.try_recv().unwrap(), disk.0.lock().unwrap().syncs), (Ok(()), 0));
    assert!(writer.turn(work(&["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"])));
    assert_eq!(disk.0.lock().unwrap().syncs, 1);
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
    let big = format!("{{{}}}", "x".repeat(HELD / 2 - 2));
    assert!(!writer.turn(Work { items: (0..5).map(|_| item(&big).0).collect(), ..Work::default() }));
    assert_eq!(writer.abandoned(), 5);
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
        turns in proptest::collection::vec((0_usize..1200, 1_usize..64, any::<bool>(), 0_usize..6), 1..30),
        max_size in 200_u64..2000,
        stubborn in any::<bool>(),
    ) {
        let disk = Disk::default();
        disk.set(0, 1, false);
        disk.0.lock().unwrap().stubborn = stubborn;
        let habits = Habits { max_size, every_records: 5, every: Duration::from_secs(3), ..habits() };
        let (mut writer, clock) = writer_with(&disk, habits);
        let mut sent = Vec::new();
        let mut kept = Vec::new();
        for (room, chunk, shut, count) in turns {
            disk.set(room, chunk, shut);
            clock.advance(Duration::from_millis(700));
            let mut waiting = Vec::new();
            let mut items = Vec::new();
            for _ in 0..count {
                let text = format!("{{\"n\":{}}}", sent.len());
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
            let there = disk.sent();
            for text in &kept {
                prop_assert_eq!(there.iter().filter(|line| *line == text).count(), 1, "{}", text);
            }
        }
        disk.set(usize::MAX, usize::MAX, false);
        prop_assert!(writer.turn(Work::default()));
        prop_assert_eq!(disk.sent(), sent, "in order, late ones too");
    }
}
