//! Whatever is done to a journal, `verify` finds it; what it cannot know it says that it does not know.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::audit::chain::{Head, Link};
use doorward::audit::verify::{Elsewhere, Ending, Files, Flaw, Proof, Report, verify};
use doorward::pki::PublicKey;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::world::journal::{Ledger, gzip};

/// The content of each file, decompressed, by name.
#[derive(Clone)]
struct Copy {
    files: Vec<(String, Vec<u8>)>,
}

impl Copy {
    fn of(ledger: &Ledger) -> Self {
        let files = ledger.files().into_iter().map(|(path, bytes)| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut plain = Vec::new();
            let unpacked = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*bytes), &mut plain);
            (name, if unpacked.is_ok() { plain } else { bytes })
        });
        Self { files: files.collect() }
    }

    /// Where each line is, with its newline.
    fn lines(&self) -> Vec<(usize, Range<usize>)> {
        let mut all = Vec::new();
        for (file, (_, bytes)) in self.files.iter().enumerate() {
            let mut begin = 0;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                all.push((file, begin..begin + line.len()));
                begin += line.len();
            }
        }
        all
    }

    fn line(&self, place: &(usize, Range<usize>)) -> Vec<u8> {
        self.files[place.0].1[place.1.clone()].to_vec()
    }

    fn replace(&mut self, place: &(usize, Range<usize>), with: &[u8]) {
        self.files[place.0].1.splice(place.1.clone(), with.iter().copied());
    }

    fn write(&self, to: &Path) -> Vec<PathBuf> {
        let write = |(name, bytes): &(String, Vec<u8>)| {
            let path = to.join(name);
            fs::write(&path, if name.ends_with(".gz") { gzip(bytes) } else { bytes.clone() }).unwrap();
            path
        };
        self.files.iter().map(write).collect()
    }
}

fn examine(paths: &[PathBuf], key: &PublicKey, checkpoints: Option<&Path>) -> Report {
    let keys = [key.clone()];
    let elsewhere = checkpoints.map_or_else(Elsewhere::default, |path| {
        let (elsewhere, wrong) = Elsewhere::read(path, &keys).unwrap();
        assert_eq!(wrong, []);
        elsewhere
    });
    let files = Files::gather(paths).unwrap();
    // Nobody writes to most of them.
    let patience = if checkpoints.is_some() || paths.len() > 1 { Duration::ZERO } else { Duration::from_millis(300) };
    verify(&files.waiting(patience), &keys, elsewhere, &mut |_| {}).unwrap()
}

/// Nothing is bad, all is proven, and it ends as it should.
fn is_whole(report: &Report) -> bool {
    let last = report.last.as_ref().map(|edge| edge.seq);
    report.finding.is_none()
        && report.first.as_ref().map(|edge| edge.seq) == Some(1)
        && report.ending == Ending::Stop
        && matches!(&report.proof, Proof::UpTo { seq, .. } if Some(*seq) == last)
}

#[derive(Clone, Debug)]
enum Tamper {
    Flip {
        byte: Index,
        bit: u8,
    },
    Remove {
        line: Index,
    },
    Swap {
        one: Index,
        other: Index,
    },
    Duplicate {
        line: Index,
        before: Index,
    },
    /// A record with the right number and hash, after a line.
    Forge {
        after: Index,
    },
    RemoveFile {
        file: Index,
    },
    Cut {
        file: Index,
        at: Index,
    },
}

fn tamper() -> impl Strategy<Value = Tamper> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), 0..8_u8).prop_map(|(byte, bit)| Tamper::Flip { byte, bit }),
        1 => index().prop_map(|line| Tamper::Remove { line }),
        2 => (index(), index()).prop_map(|(one, other)| Tamper::Swap { one, other }),
        2 => (index(), index()).prop_map(|(line, before)| Tamper::Duplicate { line, before }),
        1 => index().prop_map(|after| Tamper::Forge { after }),
        1 => index().prop_map(|file| Tamper::RemoveFile { file }),
        3 => (index(), index()).prop_map(|(file, at)| Tamper::Cut { file, at }),
    ]
}

/// Where the damage must be reported, and as what, where there is one answer.
struct Expected {
    place: Option<(String, u64)>,
    flaw: Option<Flaw>,
}

/// Does it, and says what must be reported; `None` if it changed nothing.
fn apply(copy: &mut Copy, tamper: &Tamper) -> Option<Expected> {
    let before = copy.files.clone();
    let lines = copy.lines();
    let last = lines.len() - 1;
    let place = |index: usize| {
        let (file, _) = lines[index];
        let number = lines[..=index].iter().filter(|(one, _)| *one == file).count();
        Some((before[file].0.clone(), u64::try_from(number).unwrap()))
    };
    let mut expected = Expected { place: None, flaw: None };
    match tamper {
        Tamper::Flip { byte, bit } => {
            let line = byte.index(lines.iter().map(|(_, range)| range.len()).sum());
            // The byte of that number over all files.
            let mut left = line;
            let index = lines.iter().position(|(_, range)| {
                let inside = left < range.len();
                left -= if inside { 0 } else { range.len() };
                inside
            });
            let index = index.unwrap();
            let (file, range) = &lines[index];
            copy.files[*file].1[range.start + left] ^= 1 << bit;
            expected.place = place(index);
        }
        Tamper::Remove { line } => {
            let index = line.index(lines.len());
            copy.replace(&lines[index], b"");
            let seq = u64::try_from(index).unwrap() + 1;
            if index < last {
                expected.flaw = Some(Flaw::Removed { from: seq, to: seq });
            }
        }
        Tamper::Swap { one, other } => {
            let (one, other) = (one.index(lines.len()), other.index(lines.len()));
            let (one, other) = (one.min(other), one.max(other));
            let (first, second) = (copy.line(&lines[one]), copy.line(&lines[other]));
            copy.replace(&lines[other], &first);
            copy.replace(&lines[one], &second);
            expected.place = place(one);
        }
        Tamper::Duplicate { line, before } => {
            let text = copy.line(&lines[line.index(lines.len())]);
            let (file, range) = lines[before.index(lines.len())].clone();
            copy.replace(&(file, range.start..range.start), &text);
        }
        Tamper::Forge { after } => {
            let (file, range) = lines[after.index(lines.len())].clone();
            let line = copy.line(&(file, range.clone()));
            let line = line.strip_suffix(b"\n").unwrap();
            let head = Head { seq: Link::of(line).unwrap().seq, hash: doorward::audit::chain::Hash::of(line) };
            let mut page = Vec::new();
            let _ = head.append(br#"{"v":1,"ts":"2027-01-15T08:00:00.000Z","event":"query"}"#, &mut page).unwrap();
            copy.replace(&(file, range.end..range.end), &page);
        }
        Tamper::RemoveFile { file } => {
            copy.files.remove(file.index(copy.files.len()));
        }
        Tamper::Cut { file, at } => {
            let file = file.index(copy.files.len());
            let at = at.index(copy.files[file].1.len());
            copy.files[file].1.truncate(at);
        }
    }
    (copy.files != before).then_some(expected)
}

#[test]
fn a_journal_that_nobody_touched_is_proven_to_its_end() {
    let ledger = Ledger::usual();
    let report = examine(&[ledger.home().to_owned()], &ledger.public, None);
    assert!(is_whole(&report), "{report:?}");
    assert_eq!((report.records, report.checkpoints, report.files.len()), (ledger.last(), 5, 3));
}

#[test]
fn whatever_is_done_to_a_journal_is_found() {
    let ledger = Ledger::usual();
    let whole = Copy::of(&ledger);
    let lines = whole.lines();
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kept");
    fs::write(&kept, whole.line(lines.last().unwrap())).unwrap();
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(tamper in tamper())| {
        let mut copy = whole.clone();
        let expected = apply(&mut copy, &tamper);
        prop_assume!(expected.is_some());
        let Expected { place, flaw } = expected.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut paths = copy.write(directory.path());
        paths.reverse();
        // The files alone: only a missing end or beginning is no finding, and then it is said.
        let report = examine(&paths, &ledger.public, None);
        prop_assert!(!is_whole(&report), "{:?}", report);
        if let Some((name, line)) = place {
            let finding = report.finding.clone();
            prop_assert!(finding.is_some(), "{:?}", report);
            let finding = finding.unwrap();
            prop_assert_eq!((finding.file.file_name().unwrap().to_str().unwrap(), finding.line), (&*name, line), "{}", finding);
        }
        if let Some(flaw) = flaw {
            prop_assert_eq!(report.finding.clone().map(|finding| finding.flaw), Some(flaw));
        }
        // With the last checkpoint kept elsewhere, only a missing beginning is none.
        let report = examine(&paths, &ledger.public, Some(&kept));
        let begins_later = report.first.as_ref().is_some_and(|edge| edge.seq > 1);
        let appended = report.last.as_ref().is_some_and(|edge| edge.seq > ledger.last());
        prop_assert!(report.finding.is_some() || begins_later || appended, "{:?}", report);
    });
}

#[test]
fn a_byte_of_a_compressed_file_is_found_or_says_nothing() {
    let ledger = Ledger::usual();
    let (path, bytes) = ledger.files().remove(0);
    assert!(path.extension().is_some_and(|extension| extension == "gz"));
    let content = Copy::of(&ledger).files;
    let mut harmless = 0;
    for index in (0..20).chain((20..bytes.len()).step_by(3)) {
        for change in [Some(1 << (index % 8)), None] {
            let mut changed = bytes.clone();
            match change {
                Some(bits) => changed[index] ^= bits,
                None => changed.truncate(index),
            }
            fs::write(&path, changed).unwrap();
            let report = examine(&[ledger.home().to_owned()], &ledger.public, None);
            // Time and system (RFC 1952 section 2.3), and codes of deflate that nothing uses, say nothing about the content.
            if is_whole(&report) {
                assert_eq!(Copy::of(&ledger).files, content, "byte {index} ^ {change:?}: {report:?}");
                harmless += 1;
            }
        }
    }
    assert!(harmless > 0, "the modification time of a gzip file matters to nobody");
}

#[test]
fn an_end_that_was_cut_off_after_a_checkpoint_is_told_by_a_later_one() {
    let ledger = Ledger::usual();
    let whole = Copy::of(&ledger);
    let lines = whole.lines();
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join("kept");
    fs::write(&kept, whole.line(lines.last().unwrap())).unwrap();
    let checkpoint = |place: &(usize, Range<usize>)| {
        String::from_utf8(whole.line(place)).unwrap().contains("\"event\":\"checkpoint\"")
    };
    let cuts: Vec<usize> = (1..lines.len()).filter(|index| checkpoint(&lines[index - 1])).collect();
    assert_eq!(cuts.len(), 4);
    for index in cuts {
        let mut copy = whole.clone();
        let (file, range) = &lines[index - 1];
        copy.files[*file].1.truncate(range.end);
        copy.files.truncate(file + 1);
        let directory = tempfile::tempdir().unwrap();
        let paths = copy.write(directory.path());
        let report = examine(&paths, &ledger.public, None);
        assert_eq!((&report.finding, report.ending), (&None, Ending::Checkpoint));
        let finding = examine(&paths, &ledger.public, Some(&kept)).finding.unwrap();
        assert_eq!(
            finding.flaw,
            Flaw::CutOff { from: u64::try_from(index).unwrap() + 1, to: ledger.last(), checkpoint: 1 }
        );
    }
}

#[test]
fn another_chain_by_the_holder_of_the_key_differs_from_what_was_kept_elsewhere() {
    let (ledger, directory) = (Ledger::usual(), tempfile::tempdir().unwrap());
    let whole = Copy::of(&ledger);
    let kept = directory.path().join("kept");
    let lines = whole.lines();
    let is_checkpoint =
        |index: &usize| whole.line(&lines[*index]).windows(13).any(|window| window == b"\"checkpoint\":");
    let first = (0..lines.len()).find(is_checkpoint).unwrap();
    fs::write(&kept, whole.line(&lines[first])).unwrap();
    let mut other = Ledger::new();
    (0..40).for_each(|number| other.call(number));
    other.stop();
    let files = Files::gather(&[other.home().to_owned()]).unwrap();
    let keys = [other.public.clone(), ledger.public.clone()];
    let (elsewhere, wrong) = Elsewhere::read(&kept, &keys).unwrap();
    assert_eq!(wrong, []);
    let report = verify(&files, &keys, elsewhere, &mut |_| {}).unwrap();
    let finding = report.finding.unwrap();
    assert_eq!(
        (finding.seq, finding.flaw),
        (Some(u64::try_from(first).unwrap() + 1), Flaw::Rewritten { checkpoint: 1 })
    );
}

#[test]
fn a_checkpoint_of_another_key_and_a_second_chain_are_told_as_such() {
    let (ledger, mut other) = (Ledger::usual(), Ledger::new());
    other.now += 7;
    other.note(serde_json::json!({"event": "start"}));
    other.stop();
    let report = examine(&[ledger.home().to_owned()], &other.public, None);
    let finding = report.finding.unwrap();
    assert_eq!(finding.flaw, Flaw::UnknownKey { key: ledger.public.id().to_owned() });
    let text: Vec<u8> =
        Copy::of(&ledger).files.into_iter().chain(Copy::of(&other).files).flat_map(|(_, text)| text).collect();
    let both = ledger.home().join("both.jsonl");
    fs::write(&both, text).unwrap();
    let finding = examine(&[both], &ledger.public, None).finding.unwrap();
    assert_eq!((finding.line, finding.flaw), (ledger.last() + 1, Flaw::SecondChain));
}

#[test]
fn a_record_that_no_checkpoint_covers_is_unproven_and_said_to_be() {
    let mut ledger = Ledger::usual();
    ledger.note(serde_json::json!({"event": "start"}));
    ledger.call(1);
    ledger.write();
    let report = examine(&[ledger.home().to_owned()], &ledger.public, None);
    assert_eq!((&report.finding, report.ending), (&None, Ending::Open));
    assert!(matches!(&report.proof, Proof::UpTo { seq, .. } if *seq == ledger.last() - 3), "{report:?}");
    let text = fs::read_to_string(ledger.active()).unwrap();
    let at = text.rfind("success").unwrap();
    fs::write(ledger.active(), [&text[..at], "Success", &text[at + 7..]].concat()).unwrap();
    let changed = examine(&[ledger.home().to_owned()], &ledger.public, None);
    assert_eq!((changed.finding, changed.proof), (None, report.proof), "no more can be known, and no more is said");
}

#[test]
fn a_line_that_the_daemon_is_about_to_end_is_waited_for() {
    let mut ledger = Ledger::usual();
    ledger.call(1);
    ledger.write();
    let text = fs::read(ledger.active()).unwrap();
    fs::write(ledger.active(), &text[..text.len() - 40]).unwrap();
    let finding = examine(&[ledger.home().to_owned()], &ledger.public, None).finding.unwrap();
    assert_eq!((finding.seq, finding.flaw), (Some(ledger.last()), Flaw::HalfWritten));
    let (active, rest) = (ledger.active(), text[text.len() - 40..].to_vec());
    let writing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        let mut file = fs::OpenOptions::new().append(true).open(active).unwrap();
        std::io::Write::write_all(&mut file, &rest).unwrap();
    });
    let report = examine(&[ledger.home().to_owned()], &ledger.public, None);
    writing.join().unwrap();
    assert_eq!((report.finding, report.last.unwrap().seq), (None, ledger.last()));
}

#[test]
fn a_journal_that_is_written_and_rotated_meanwhile_is_as_it_should_be() {
    let mut ledger = Ledger::usual();
    let (home, public) = (ledger.home().to_owned(), ledger.public.clone());
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..100 {
                (0..4).for_each(|_| ledger.call(number));
                ledger.write();
                ledger.rotate(number.is_multiple_of(2));
                std::thread::sleep(Duration::from_millis(10));
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut seen = Vec::new();
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let report = examine(std::slice::from_ref(&home), &public, None);
            assert_eq!(report.finding, None);
            seen.push(report.last.unwrap().seq);
        }
        assert!(seen.len() > 3 && seen.is_sorted() && seen.first() < seen.last(), "{seen:?}");
    });
    assert_eq!(examine(&[home], &public, None).last.unwrap().seq, ledger.last());
}

/// The flaws of the only file of a journal of which some lines are other ones, each with its line.
fn flaws(ledger: &Ledger, change: impl FnOnce(&mut Vec<String>)) -> Vec<(u64, Flaw)> {
    let text: Vec<u8> = Copy::of(ledger).files.into_iter().flat_map(|(_, text)| text).collect();
    let mut lines: Vec<String> = String::from_utf8(text).unwrap().lines().map(str::to_owned).collect();
    change(&mut lines);
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("all.jsonl");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    let report = examine(&[path], &ledger.public, None);
    report.finding.into_iter().chain(report.further).map(|finding| (finding.line, finding.flaw)).collect()
}

fn edit(line: &mut String) {
    *line = line.replace("10.0.0.", "10.9.9.");
}

#[test]
fn after_a_flaw_the_next_one_is_still_seen_and_each_is_told_once() {
    let ledger = Ledger::usual();
    let removed = |from, to| Flaw::Removed { from, to };
    assert_eq!(flaws(&ledger, |_| ()), []);
    // Records 3 and 4 are gone, and another one far behind them is edited.
    let seen = flaws(&ledger, |lines| {
        edit(&mut lines[25]);
        lines.drain(2..4);
    });
    assert_eq!(seen, [(3, removed(3, 4)), (24, Flaw::Changed)]);
    let seen = flaws(&ledger, |lines| [3, 14, 23].into_iter().for_each(|index| edit(&mut lines[index])));
    assert_eq!(seen, [(4, Flaw::Changed), (15, Flaw::Changed), (24, Flaw::Changed)]);
    let seen = flaws(&ledger, |lines| {
        edit(&mut lines[25]);
        lines[14] = lines[14].replace("\"seq\":15,", "\"seq\":16,");
        lines.insert(8, lines[7].clone());
        lines[3] = "nothing".to_owned();
        lines[4] = String::new();
    });
    let number = Flaw::ChangedNumber { expected: 15 };
    let junk = Flaw::NotARecord;
    assert_eq!(seen, [(4, junk.clone()), (5, junk), (9, Flaw::Repeated), (16, number), (27, Flaw::Changed)]);
    let seen = flaws(&ledger, |lines| {
        edit(&mut lines[25]);
        lines.swap(2, 6);
    });
    let moved = |expected| Flaw::Misplaced { expected };
    assert_eq!(seen, [(3, moved(3)), (7, moved(7)), (26, Flaw::Changed)]);
    // The checkpoint after a hole is looked at as well.
    let seen = flaws(&ledger, |lines| {
        let at = lines.iter().rposition(|line| line.contains("\"checkpoint\":")).unwrap();
        lines[at] = lines[at].replace("\"signature\":\"", "\"signature\":\"AAAA");
        lines.remove(at - 1);
    });
    let last = ledger.last();
    assert_eq!(
        seen,
        [(last - 1, removed(last - 1, last - 1)), (last - 1, Flaw::Signature { key: ledger.public.id().to_owned() })]
    );
    let seen = flaws(&ledger, |lines| lines.iter_mut().step_by(1).for_each(|line| *line = String::new()));
    assert_eq!(seen.len(), 20);
}

#[test]
fn a_damaged_file_does_not_hide_the_next_one() {
    let ledger = Ledger::usual();
    let files = ledger.files();
    let (path, bytes) = &files[0];
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    let text = fs::read_to_string(ledger.active()).unwrap();
    fs::write(ledger.active(), text.replacen("10.0.0.", "10.9.9.", 1)).unwrap();
    let report = examine(&[ledger.home().to_owned()], &ledger.public, None);
    assert!(matches!(report.finding.unwrap().flaw, Flaw::Unreadable { .. }));
    let further: Vec<(PathBuf, u64, Flaw)> =
        report.further.into_iter().map(|finding| (finding.file, finding.line, finding.flaw)).collect();
    assert_eq!(further, [(ledger.active(), 1, Flaw::Changed)]);
    assert!(!report.given_up);
}

#[test]
fn a_journal_that_no_checkpoint_kept_elsewhere_knows_is_not_believed() {
    let (ledger, home) = (Ledger::usual(), tempfile::tempdir().unwrap());
    let whole = Copy::of(&ledger);
    let kept = home.path().join("kept");
    // The checkpoint at the end of the first file, record 10, is known elsewhere.
    let lines = whole.lines();
    let rotation = whole.files[0].1.split_inclusive(|byte| *byte == b'\n').count();
    fs::write(&kept, whole.line(&lines[rotation - 1])).unwrap();
    let seq = u64::try_from(rotation).unwrap();
    assert_eq!(examine(&[ledger.home().to_owned()], &ledger.public, Some(&kept)).finding, None);
    // What is given begins after it: a forger's chain could.
    let mut page = Vec::new();
    let mut head = Head { seq: seq + 3, hash: doorward::audit::chain::Hash::of(b"anything") };
    for _ in 0..5 {
        head = head.append(br#"{"v":1,"ts":"2027-01-15T08:00:00.000Z","event":"query"}"#, &mut page).unwrap();
    }
    let forged = home.path().join("audit.jsonl");
    fs::write(&forged, page).unwrap();
    let report = examine(std::slice::from_ref(&forged), &ledger.public, Some(&kept));
    let finding = report.finding.unwrap();
    assert_eq!(
        (finding.file, finding.line, finding.seq, finding.flaw),
        (forged.clone(), 1, Some(seq + 4), Flaw::Unwitnessed { from: seq, to: seq })
    );
    assert_eq!(examine(&[forged], &ledger.public, None).finding, None, "nothing is known against it");
}
