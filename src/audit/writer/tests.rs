//! The writer on a disk that fails as the tests say.

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
        let count = bytes.len().min(disk.room).min(disk.chunk);
        if count == 0 || !disk.open {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        disk.room = disk.room.saturating_sub(count);
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
