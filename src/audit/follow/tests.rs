//! A journal under the follower that is rotated, compressed, renamed, cut off and damaged.

#![expect(clippy::arithmetic_side_effects, reason = "sums of a few small numbers")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use super::*;
use crate::audit::chain::Head;

struct World {
    home: tempfile::TempDir,
    head: Head,
}

impl World {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), head: Head::START }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn follower(&self, next: u64, hint: Option<Place>) -> Follower {
        Follower::new(Layout::of(&self.path("audit.jsonl")), next, hint)
    }

    /// The next `count` lines, not written anywhere.
    fn lines(&mut self, count: u64) -> Vec<u8> {
        let mut page = Vec::new();
        for _ in 0..count {
            self.head = self.head.append(br#"{"v":1,"event":"query"}"#, &mut page).unwrap();
        }
        page
    }

    fn write(&mut self, name: &str, count: u64) {
        let page = self.lines(count);
        self.put(name, &page);
    }

    fn put(&self, name: &str, page: &[u8]) {
        OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap().write_all(page).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn compress(&self, name: &str) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&std::fs::read(self.path(name)).unwrap()).unwrap();
        std::fs::write(self.path(&format!("{name}.gz")), encoder.finish().unwrap()).unwrap();
        std::fs::remove_file(self.path(name)).unwrap();
    }
}

/// What there is now: the numbers, and how many were missing.
fn all(follower: &mut Follower) -> (Vec<u64>, u64) {
    let (mut numbers, mut missing, mut line) = (Vec::new(), 0, Vec::new());
    while let Some(found) = follower.next(&mut line).unwrap() {
        assert_eq!(Link::of(&line).unwrap(), found.link);
        numbers.push(found.link.seq);
        missing += found.missing;
    }
    (numbers, missing)
}

fn whole(range: std::ops::RangeInclusive<u64>) -> (Vec<u64>, u64) {
    (range.collect(), 0)
}

#[test]
fn new_lines_are_found_and_half_lines_waited_for() {
    let mut world = World::new();
    let mut follower = world.follower(1, None);
    assert_eq!(all(&mut follower), (vec![], 0));
    assert_eq!(follower.head(), None);
    world.write("audit.jsonl", 3);
    assert_eq!(all(&mut follower), whole(1..=3));
    let page = world.lines(2);
    world.put("audit.jsonl", &page[..20]);
    assert_eq!((all(&mut follower), follower.head()), ((vec![], 0), Some(3)));
    world.put("audit.jsonl", &page[20..]);
    assert_eq!((all(&mut follower), follower.head()), (whole(4..=5), Some(5)));
}

#[test]
fn all_files_are_read_rotated_compressed_and_renamed_by_others() {
    let mut world = World::new();
    world.write("audit.000000000001.jsonl", 5);
    world.compress("audit.000000000001.jsonl");
    world.write("audit.jsonl.1", 5);
    world.write("audit.jsonl", 5);
    for next in [1, 3, 5, 6, 8, 11, 14] {
        assert_eq!(all(&mut world.follower(next, None)), whole(next..=15), "{next}");
    }
}

#[test]
fn a_file_that_is_renamed_is_read_to_its_end_and_no_further_than_it_is_written() {
    let mut world = World::new();
    let mut follower = world.follower(1, None);
    world.write("audit.jsonl", 2);
    assert_eq!(all(&mut follower), whole(1..=2));
    // As logrotate does it, before the writer has been told.
    world.rename("audit.jsonl", "audit.jsonl.1");
    world.write("audit.jsonl.1", 2);
    assert_eq!(all(&mut follower), whole(3..=4));
    world.write("audit.jsonl.1", 2);
    world.write("audit.jsonl", 2);
    assert_eq!(all(&mut follower), whole(5..=8));
    // As the journal does it, twice between two looks, with compression.
    world.write("audit.jsonl", 1);
    world.rename("audit.jsonl", "audit.000000000007.jsonl");
    world.compress("audit.000000000007.jsonl");
    world.write("audit.jsonl", 1);
    world.rename("audit.jsonl", "audit.000000000010.jsonl");
    world.write("audit.jsonl", 1);
    assert_eq!(all(&mut follower), whole(9..=11));
}

#[test]
fn what_was_deleted_is_counted_and_the_rest_is_read() {
    let mut world = World::new();
    let mut follower = world.follower(1, None);
    world.write("audit.000000000001.jsonl", 5);
    world.write("audit.000000000006.jsonl", 5);
    world.write("audit.jsonl", 5);
    std::fs::remove_file(world.path("audit.000000000001.jsonl")).unwrap();
    assert_eq!(all(&mut follower), ((6..=15).collect(), 5));
    // While it is being read.
    let mut follower = world.follower(6, None);
    assert_eq!(follower.next(&mut Vec::new()).unwrap().unwrap().link.seq, 6);
    world.rename("audit.jsonl", "audit.000000000011.jsonl");
    world.write("audit.jsonl", 5);
    std::fs::remove_file(world.path("audit.000000000011.jsonl")).unwrap();
    assert_eq!(all(&mut follower), ((7..=10).chain(16..=20).collect(), 5));
}

#[test]
fn a_hint_saves_the_way_and_a_wrong_one_costs_nothing() {
    let mut world = World::new();
    world.write("audit.jsonl", 10);
    let mut follower = world.follower(1, None);
    let mut places = Vec::new();
    while let Some(found) = follower.next(&mut Vec::new()).unwrap() {
        places.push(found.place);
    }
    assert_eq!(all(&mut world.follower(5, places[3])), whole(5..=10));
    assert_eq!(all(&mut world.follower(5, places[7])), whole(5..=10), "too far");
    assert_eq!(all(&mut world.follower(5, places[0])), whole(5..=10), "too near");
    let odd = places[3].map(|place| Place { offset: place.offset + 7, ..place });
    assert_eq!(all(&mut world.follower(5, odd)), whole(5..=10), "in the midst of a line");
    assert_eq!(all(&mut world.follower(11, places[9])), (vec![], 0));
    follower.seek(9, places[7]);
    assert_eq!(all(&mut follower), whole(9..=10));
    world.rename("audit.jsonl", "audit.jsonl.1");
    assert_eq!(all(&mut world.follower(5, places[3])), whole(5..=10), "under another name");
}

#[test]
fn a_torn_line_that_was_taken_away_and_one_that_is_damaged_are_told_apart() {
    let mut world = World::new();
    world.write("audit.jsonl", 3);
    let length = std::fs::metadata(world.path("audit.jsonl")).unwrap().len();
    let mut follower = world.follower(1, None);
    world.put("audit.jsonl", b"{\"seq\":4,\"v\":1,\"half");
    assert_eq!(all(&mut follower), whole(1..=3));
    // A new start cut it off and wrote on, all between two looks.
    OpenOptions::new().write(true).open(world.path("audit.jsonl")).unwrap().set_len(length).unwrap();
    world.write("audit.jsonl", 2);
    assert_eq!(all(&mut follower), whole(4..=5));
    let mut page = world.lines(2);
    page[12] ^= 1;
    page[1] ^= 1;
    world.put("audit.jsonl", &page);
    world.write("audit.jsonl", 1);
    assert_eq!(all(&mut follower), (vec![7, 8], 1));
}

#[test]
fn a_compressed_file_that_is_damaged_is_left_and_what_follows_is_read() {
    let mut world = World::new();
    world.write("audit.000000000001.jsonl", 2000);
    world.compress("audit.000000000001.jsonl");
    world.write("audit.jsonl", 2);
    let path = world.path("audit.000000000001.jsonl.gz");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let mut follower = world.follower(1, None);
    let (mut line, mut errors, mut numbers, mut missing) = (Vec::new(), 0, Vec::new(), 0);
    loop {
        match follower.next(&mut line) {
            Ok(Some(found)) => {
                numbers.push(found.link.seq);
                missing += found.missing;
            }
            Ok(None) => break,
            Err(_) => errors += 1,
        }
    }
    assert_eq!((errors, u64::try_from(numbers.len()).unwrap() + missing), (1, 2002));
    assert!(numbers.len() > 100 && numbers.ends_with(&[2001, 2002]), "{}", numbers.len());
}
