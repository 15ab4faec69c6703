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
        Follower::new(Layout::of(&self.path("audit.jsonl")), next, None, hint)
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
    follower.seek(9, None, places[7]);
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

/// Lines from after `head` on, each with the mark of a forger.
fn forged(mut head: Head, count: u64) -> Vec<u8> {
    let mut page = Vec::new();
    for _ in 0..count {
        head = head.append(br#"{"v":1,"event":"forged"}"#, &mut page).unwrap();
    }
    page
}

/// What there is now: the numbers, those that are marked, and those that a forger wrote.
fn told(follower: &mut Follower) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let (mut numbers, mut broken, mut false_ones, mut line) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // A file that is not believed any further is left at the next look.
    for _ in 0..4 {
        while let Some(found) = follower.next(&mut line).unwrap() {
            numbers.push(found.link.seq);
            broken.extend(found.broken.then_some(found.link.seq));
            false_ones.extend(line.windows(6).any(|part| part == b"forged").then_some(found.link.seq));
        }
    }
    (numbers, broken, false_ones)
}

#[test]
fn a_planted_file_does_not_stand_in_for_the_records_that_belong() {
    let mut world = World::new();
    world.write("audit.000000000001.jsonl", 12);
    let head = world.head;
    world.write("audit.000000000001.jsonl", 8);
    world.put("audit.jsonl.0", &forged(Head { hash: Hash::NONE, ..head }, 5));
    world.write("audit.jsonl", 5);
    for planted in ["audit.jsonl.0", "audit.000000000013.jsonl"] {
        world.rename("audit.jsonl.0", planted);
        let follower = |next, head| Follower::new(Layout::of(&world.path("audit.jsonl")), next, head, None);
        assert_eq!(told(&mut follower(13, Some(head.hash))), ((13..=25).collect(), vec![], vec![]), "{planted}");
        assert_eq!(told(&mut follower(1, None)), ((1..=25).collect(), vec![], vec![]), "{planted}");
        world.rename(planted, "audit.jsonl.0");
    }
}

#[test]
fn a_chain_that_is_broken_is_given_and_marked_once() {
    let mut world = World::new();
    world.write("audit.jsonl", 5);
    let forged = forged(Head { hash: Hash::NONE, ..world.head }, 1);
    world.put("audit.jsonl", &forged);
    // What was written in its place was not by the one that writes the rest.
    let _ = world.lines(1);
    world.write("audit.jsonl", 3);
    assert_eq!(told(&mut world.follower(1, None)), ((1..=9).collect(), vec![6, 7], vec![6]));
}

#[test]
fn a_number_far_away_does_not_hide_what_comes_after_it() {
    const FAR: u64 = 1_000_000_000_000_000;
    let mut world = World::new();
    world.write("audit.000000000001.jsonl", 5);
    let far = forged(Head { seq: FAR - 1, hash: Hash::NONE }, 2);
    // In a file of its own it is not believed, in the file that is written it is marked; neither takes a record away.
    world.put("audit.jsonl.0", &far);
    let mut follower = world.follower(1, None);
    world.write("audit.jsonl", 3);
    assert_eq!(told(&mut follower), ((1..=8).collect(), vec![], vec![]));
    world.put("audit.jsonl", &far);
    let mut line = Vec::new();
    let found = follower.next(&mut line).unwrap().unwrap();
    assert_eq!((found.link.seq, found.broken), (FAR, true));
    world.write("audit.jsonl", 3);
    assert_eq!(told(&mut follower), (vec![FAR + 1, 9, 10, 11], vec![], vec![FAR + 1]));
    assert!(follower.is_in_flow());
    // The same for one that begins after it.
    let mut later = Follower::new(Layout::of(&world.path("audit.jsonl")), FAR + 1, Some(found.hash), found.place);
    assert_eq!(told(&mut later), (vec![FAR + 1, 9, 10, 11], vec![9], vec![FAR + 1]));
    let forgotten = world.path("audit.jsonl.0");
    std::fs::remove_file(forgotten).unwrap();
    world.put("audit.jsonl.0", &[forged(Head { hash: Hash::NONE, ..world.head }, 50), far].concat());
    world.rename("audit.jsonl", "audit.jsonl.1");
    let _ = world.lines(1);
    world.write("audit.jsonl", 2);
    assert_eq!(told(&mut follower).0, [12, 13, 14], "what was put in the gap ends where the written file begins");
}

#[test]
fn a_line_without_end_is_passed_in_pieces() {
    let mut world = World::new();
    world.write("audit.jsonl", 2);
    let file = OpenOptions::new().write(true).open(world.path("audit.jsonl")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length + (64 << 20)).unwrap();
    let mut follower = world.follower(1, None);
    let mut line = Vec::new();
    while follower.next(&mut line).unwrap().is_some() {}
    assert!(line.capacity() <= 4 * LONGEST, "{}", line.capacity());
    let mut page = b"\n".to_vec();
    page.extend(world.lines(2));
    world.put("audit.jsonl", &page);
    assert_eq!(told(&mut follower).0, [3, 4]);
}

#[test]
fn many_damaged_lines_are_read_once_each() {
    let mut world = World::new();
    world.write("audit.jsonl", 2);
    let mut follower = world.follower(1, None);
    assert_eq!(told(&mut follower).0, [1, 2]);
    let damaged = b"damaged\n".repeat(200_000);
    world.put("audit.jsonl", &damaged);
    world.write("audit.jsonl", 1);
    let (tell, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(told(&mut follower).0));
    assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(30)), Ok(vec![3]));
}

#[test]
fn a_planted_file_that_begins_with_the_next_number_holds_nothing_up() {
    let mut world = World::new();
    world.write("audit.000000000001.jsonl", 5);
    let mut follower = world.follower(1, None);
    world.write("audit.jsonl", 2);
    assert_eq!(told(&mut follower).0, (1..=7).collect::<Vec<_>>());
    // It follows on what was sent, and so does what the daemon writes after it.
    world.put("audit.jsonl.0", &forged(world.head, 90));
    let head = world.head;
    world.write("audit.jsonl", 2);
    for hint in [None, Some(Place { inode: 1, offset: 1 })] {
        let layout = Layout::of(&world.path("audit.jsonl"));
        assert_eq!(told(&mut Follower::new(layout, 8, Some(head.hash), hint)), (vec![8, 9], vec![], vec![]));
    }
    // While another file is read to its end.
    assert_eq!(told(&mut follower), (vec![8, 9], vec![], vec![]));
}
