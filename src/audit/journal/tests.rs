//! The journal on a real disk: order, rotation, recovery, and what others put beside it.

use std::collections::HashSet;
use std::path::Path;

use super::*;
use crate::audit::chain::{Hash, Head, Link};
use crate::audit::checkpoint::{Cause, Checkpoint};
use crate::pki::{KeyKind, SigningKey};

fn section(path: &Path) -> AuditSection {
    AuditSection { path: path.to_owned(), ..AuditSection::default() }
}

fn open(path: &Path) -> Arc<Journal> {
    Journal::open(&section(path), Clock::system()).unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// What the senders sent, out of lines that are one chain from `head` on.
fn chained(lines: &[String], mut head: Head) -> (Vec<u64>, Head) {
    let mut sent = Vec::new();
    for line in lines {
        let link = Link::of(line.as_bytes()).unwrap();
        assert!(link.follows(head), "{line}");
        head = Head { seq: link.seq, hash: Hash::of(line.as_bytes()) };
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        sent.extend(value["n"].as_u64());
    }
    (sent, head)
}

fn record(number: usize) -> Vec<u8> {
    format!("{{\"n\":{number}}}").into_bytes()
}

fn sent(path: &Path) -> Vec<u64> {
    chained(&lines(path), Head::START).0
}

fn event(line: &str) -> String {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap_or_default().to_owned()
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to hold");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_line_of_many_tasks_is_there_once_whole_and_in_order() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    let tasks: Vec<_> = (0..48)
        .map(|task| {
            let (journal, path) = (Arc::clone(&journal), path.clone());
            tokio::spawn(async move {
                for number in 0..60 {
                    let line =
                        format!("{{\"task\":{task},\"number\":{number},\"pad\":\"{}\"}}", "x".repeat(number * 7));
                    journal.keep(line.clone().into_bytes(), number % 2 == 0).await.unwrap();
                    if number % 20 == 0 {
                        // Nothing was flushed: another reader sees what was acknowledged.
                        let inner = line.trim_matches(['{', '}']);
                        assert!(lines(&path).iter().any(|have| have.contains(inner)));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let lines = lines(&path);
    chained(&lines, Head::START);
    let lines: Vec<_> = lines.into_iter().filter(|line| line.contains("task")).collect();
    assert_eq!(lines.len(), 48 * 60);
    assert_eq!(lines.iter().collect::<HashSet<_>>().len(), 48 * 60);
    let mut next = [0; 48];
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let task = usize::try_from(value["task"].as_u64().unwrap()).unwrap();
        assert_eq!(value["number"], next[task]);
        next[task] += 1;
    }
}

#[tokio::test]
async fn a_half_written_last_line_is_kept_aside_and_the_chain_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    journal.keep(record(1), true).await.unwrap();
    drop(journal);
    let mut text = std::fs::read(&path).unwrap();
    let whole = lines(&path).len();
    text.extend_from_slice(b"{\"seq\":3,\"half");
    std::fs::write(&path, text).unwrap();
    let journal = open(&path);
    journal.keep(record(2), false).await.unwrap();
    let lines = lines(&path);
    assert_eq!(chained(&lines, Head::START).0, [1, 2]);
    assert_eq!(event(&lines[whole]), "unclean_stop");
    assert!(lines[whole].contains("audit.torn-000000000002"), "{}", lines[whole]);
    assert_eq!(std::fs::read(home.path().join("audit.torn-000000000002")).unwrap(), b"{\"seq\":3,\"half");
}

#[tokio::test]
async fn a_clean_stop_is_signed_and_no_start_complains_of_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    for round in 0..3 {
        let journal = open(&path);
        journal.keep(record(round), true).await.unwrap();
        journal.close().await;
        assert!(journal.keep(record(9), true).await.is_err(), "closed is closed");
    }
    let lines = lines(&path);
    assert_eq!(chained(&lines, Head::START).0, [0, 1, 2]);
    assert_eq!(lines.len(), 6, "a record and a checkpoint each: {lines:?}");
    let public = std::fs::read(home.path().join("audit.pub")).unwrap();
    let public = crate::pki::PublicKey::from_pem(&public).unwrap();
    for line in lines.iter().skip(1).step_by(2) {
        let checkpoint = Checkpoint::parse(line.as_bytes()).unwrap();
        assert!(checkpoint.cause == Cause::Stop && checkpoint.is_signed_by(&public), "{line}");
    }
}

#[tokio::test]
async fn after_a_crash_the_next_start_says_so_and_what_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    for number in 0..3 {
        journal.keep(record(number), true).await.unwrap();
    }
    drop(journal);
    // Somebody cuts the log at a line's end; the checkpoint of the stop goes with it.
    let kept = lines(&path)[..2].join("\n") + "\n";
    std::fs::write(&path, &kept).unwrap();
    drop(open(&path));
    let found = &lines(&path)[2];
    assert!(
        found.contains("unclean_stop") && found.contains("records 3 to 4 were written and are not here"),
        "{found}"
    );
    assert_eq!(Link::of(found.as_bytes()).unwrap().seq, 5, "a number is never given twice");
}

#[tokio::test]
async fn two_processes_do_not_write_one_chain() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    let failure = Journal::open(&section(&path), Clock::system()).err().unwrap();
    assert!(failure.cause().unwrap().contains("another process writes it"));
    std::fs::remove_file(home.path().join("audit.lock")).unwrap();
    let failure = Journal::open(&section(&path), Clock::system()).err().unwrap();
    assert!(failure.cause().unwrap().contains("another process writes it"), "the log itself is locked as well");
    drop(journal);
    drop(open(&path));
}

#[tokio::test]
async fn no_pipe_and_no_broken_file_beside_it_keeps_it_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    drop(open(&path));
    let before = lines(&path).len();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    std::fs::remove_file(home.path().join("audit.pub")).unwrap();
    for name in ["audit.pub", "audit.000000000000.jsonl", "audit.jsonl.9"] {
        rustix::fs::mknodat(rustix::fs::CWD, home.path().join(name), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    std::fs::write(home.path().join("audit.000000000099.jsonl.gz"), "no gzip").unwrap();
    std::fs::rename(&path, home.path().join("audit.jsonl.1")).unwrap();
    let journal = open(&path);
    journal.keep(record(1), true).await.unwrap();
    assert_eq!(Link::of(lines(&path)[0].as_bytes()).unwrap().seq, u64::try_from(before).unwrap().saturating_add(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_files_make_room_for_new_ones_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let section = AuditSection { max_size_mb: 1, max_files: 100, ..section(&path) };
    let journal = Journal::open(&section, Clock::system()).unwrap();
    let pad = "x".repeat(100_000);
    for number in 0..60 {
        journal.keep(format!("{{\"n\":{number},\"pad\":\"{pad}\"}}").into_bytes(), false).await.unwrap();
    }
    let layout = Layout::of(&path);
    until(|| layout.rotated_files().unwrap().iter().all(|file| file.path.extension().unwrap() == "gz")).await;
    drop(journal);
    let segments = layout.segments().unwrap();
    assert!(segments.len() > 5, "{segments:?}");
    let all: Vec<String> = segments
        .iter()
        .flat_map(|segment| crate::audit::lines::Lines::open(&segment.path).unwrap())
        .map(|line| String::from_utf8(line.unwrap().bytes).unwrap())
        .collect();
    assert_eq!(chained(&all, Head::START).0, (0..60).collect::<Vec<u64>>());
    assert!(all.iter().any(|line| line.contains("\"cause\":\"rotation\"")));
}

#[tokio::test]
async fn the_chain_goes_on_where_every_file_was_moved_away() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    journal.keep(record(1), true).await.unwrap();
    drop(journal);
    let before = lines(&path);
    std::fs::rename(&path, home.path().join("elsewhere")).unwrap();
    let journal = open(&path);
    journal.keep(record(2), true).await.unwrap();
    let (_, head) = chained(&before, Head::START);
    assert_eq!(chained(&lines(&path), head).0, [2]);
}

#[tokio::test]
async fn dropping_it_writes_what_was_left() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    (0..100).for_each(|number| journal.leave(record(number)));
    drop(journal);
    assert_eq!(sent(&path), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn flush_waits_for_what_was_left() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    journal.leave(record(7));
    journal.flush().await;
    assert_eq!(sent(&path), [7]);
}

#[tokio::test]
async fn after_a_rotation_the_next_line_goes_to_a_new_file() {
    let home = tempfile::tempdir().unwrap();
    let (path, rotated) = (home.path().join("audit.jsonl"), home.path().join("audit.jsonl.1"));
    let journal = open(&path);
    journal.keep(record(1), true).await.unwrap();
    std::fs::rename(&path, &rotated).unwrap();
    journal.reopen();
    journal.keep(record(2), true).await.unwrap();
    let (first, head) = chained(&lines(&rotated), Head::START);
    let (second, head) = chained(&lines(&path), head);
    assert_eq!((first, second), (vec![1], vec![2]));
    std::fs::remove_file(&path).unwrap();
    journal.keep(record(3), true).await.unwrap();
    assert_eq!(chained(&lines(&path), head).0, [3], "a removed file is noticed at the very next line");
}

#[tokio::test]
async fn a_vanished_directory_refuses_and_its_return_heals() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("log");
    let path = folder.join("audit.jsonl");
    std::fs::create_dir(&folder).unwrap();
    let journal = open(&path);
    journal.keep(record(1), true).await.unwrap();
    assert!(journal.healthy());
    std::fs::remove_dir_all(&folder).unwrap();
    let failure = journal.keep(record(2), true).await.unwrap_err();
    assert_eq!(failure.code(), Code::AuditUnavailable);
    assert!(failure.cause().is_some() && !failure.public().contains("log/"));
    until(|| !journal.healthy()).await;
    std::fs::create_dir(&folder).unwrap();
    until(|| journal.healthy()).await;
    let lines = lines(&path);
    assert!(lines[0].contains("audit_gap"), "{lines:?}");
    assert!(lines[1].contains("\"n\":2"), "what was refused is told late rather than never");
    assert_eq!(Link::of(lines[0].as_bytes()).unwrap().seq, 2, "the chain goes on");
    until(|| ["audit.lock", "audit.head", "audit.pub"].iter().all(|name| folder.join(name).exists())).await;
    assert!(Journal::open(&section(&path), Clock::system()).is_err(), "the chain still has one writer");
}

#[tokio::test]
async fn a_past_that_somebody_else_wrote_is_not_taken_for_a_clean_stop() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    drop(open(&path));
    let (mut page, mut head) = (Vec::new(), Head::START);
    for number in 0..3 {
        head = head.append(&record(number), &mut page).unwrap();
    }
    let forger = Signer::new(SigningKey::generate(KeyKind::Ed25519).unwrap()).unwrap();
    let stop = forger.sign(head, Cause::Stop, Clock::system().now()).unwrap();
    let head = head.append(&stop, &mut page).unwrap();
    std::fs::write(&path, &page).unwrap();
    HeadFile::open(&home.path().join("audit.head")).unwrap().write(head, &forger).unwrap();
    std::fs::write(home.path().join("audit.pub"), "gone").unwrap();
    drop(open(&path));
    let found = &lines(&path)[4];
    assert!(found.contains("unclean_stop"), "{found}");
    assert!(found.contains("without a stop that its key signed"), "{found}");
    assert!(found.contains("audit.head has no word of it that its key signed"), "{found}");
}

#[tokio::test]
async fn a_record_that_is_not_one_line_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let journal = open(&path);
    let long = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2)).into_bytes();
    for no in [&b"{\"a\":\n1}"[..], b"text", b"{}", b""] {
        assert!(journal.keep(no.to_vec(), false).await.is_err());
    }
    assert!(journal.keep(long((256 << 10) + 1), false).await.is_err());
    assert!(journal.keep(long(256 << 10), false).await.is_ok());
    assert!(journal.healthy());
    assert_eq!(lines(&path).len(), 1);
}

#[test]
fn a_path_that_cannot_be_opened_is_said_to_the_operator_only() {
    let failure = Journal::open(&section(Path::new("/nowhere/audit.jsonl")), Clock::system()).err().unwrap();
    assert!(failure.cause().unwrap().contains("/nowhere/audit.jsonl"));
    assert!(!failure.public().contains("nowhere"));
}
