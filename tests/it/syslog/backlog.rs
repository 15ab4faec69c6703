//! What was written before: a collector that was away gets it, over a restart of this side too, and also when the journal is
//! another one than before.

use std::time::{Duration, Instant};

use super::journal::{Written, compare};
use super::{forward, section, until};
use crate::world::rsyslogd::Rsyslogd;

#[tokio::test]
async fn a_collector_that_was_away_gets_everything_over_a_restart_too() {
    const COUNT: usize = 20_000;
    for kind in ["unix", "tcp", "tls"] {
        let Some(mut collector) = Rsyslogd::new(false) else { return };
        let mut journal = Written::new();
        for _ in 0..4 {
            let first = journal.first();
            journal.append_many(COUNT / 4);
            journal.rotate();
            journal.compress(first);
        }
        journal.append_many(10);
        collector.start();
        let begin = Instant::now();
        let forwarder = forward(&section(&collector, kind), &journal);
        let cursor = journal.beside("audit.cursor");
        let early = until("the cursor", || std::fs::read(&cursor).ok());
        until("some", || (collector.size() > 2_000_000).then_some(()));
        forwarder.stop(Duration::ZERO).await;
        // As a crash would leave it: with what was confirmed a while ago.
        std::fs::write(&cursor, early).unwrap();
        let forwarder = forward(&section(&collector, kind), &journal);
        journal.append_many(10);
        let last = journal.lines().pop().unwrap();
        until("the last record", || collector.has_lately(&last).then_some(()));
        let took = begin.elapsed();
        forwarder.stop(Duration::from_secs(2)).await;
        let again = compare(&collector.messages(), &journal.lines());
        assert!(again > 0, "{kind}: it did not go back");
        eprintln!("{kind}: {} records in {took:?}, {again} of them again", journal.len());
    }
}

#[tokio::test]
async fn another_journal_in_the_same_place_is_noticed_and_sent_whole() {
    // One that ends before the mark, and one that goes past it but is not what the mark was set in.
    for count in [5, 20] {
        let Some(mut collector) = Rsyslogd::new(false) else { return };
        collector.start();
        let mut journal = Written::new();
        journal.append_many(10);
        let forwarder = forward(&section(&collector, "tcp"), &journal);
        until("the first journal", || (collector.messages().len() == 10).then_some(()));
        forwarder.stop(Duration::from_secs(2)).await;
        let mut other = Written::new();
        other.append(&serde_json::json!({ "event": "start" }));
        other.append_many(count);
        std::fs::copy(other.path(), journal.path()).unwrap();
        let forwarder = forward(&section(&collector, "tcp"), &journal);
        until("the other journal", || (collector.messages().len() >= 11 + count).then_some(()));
        forwarder.stop(Duration::from_secs(2)).await;
        compare(&collector.messages()[10..], &other.lines());
    }
}

#[tokio::test]
async fn a_planted_file_takes_no_record_away_and_a_broken_chain_is_marked() {
    const FAR: u64 = 1_000_000_000_000_000;
    let Some(mut collector) = Rsyslogd::new(true) else { return };
    collector.start();
    let mut journal = Written::new();
    journal.append_many(12);
    let forwarder = forward(&section(&collector, "tcp"), &journal);
    until("the beginning", || (collector.messages().len() == 12).then_some(()));
    forwarder.stop(Duration::from_secs(2)).await;
    let forged = |seq: u64| {
        let prev = "0".repeat(64);
        format!("{{\"seq\":{seq},\"v\":1,\"event\":\"forged\",\"prev\":\"{prev}\"}}\n")
    };
    journal.append_many(8);
    journal.rotate();
    journal.append_many(5);
    std::fs::write(journal.beside("audit.jsonl.0"), (13..=17).map(forged).collect::<String>()).unwrap();
    std::fs::write(journal.beside("audit.jsonl.9"), forged(FAR)).unwrap();
    let forwarder = forward(&section(&collector, "tcp"), &journal);
    until("the rest", || (collector.messages().len() >= 25).then_some(()));
    assert_eq!(collector.messages(), journal.lines(), "something came twice, changed, or from a forger");
    // In the very file that is written: it is sent, marked, and the next genuine one is not lost.
    let mut file = std::fs::OpenOptions::new().append(true).open(journal.path()).unwrap();
    std::io::Write::write_all(&mut file, forged(FAR).as_bytes()).unwrap();
    until("the forged one", || (collector.messages().len() >= 26).then_some(()));
    journal.append_many(2);
    until("what follows", || (collector.messages().len() >= 28).then_some(()));
    // Longer than it takes to look whether the journal is another one now.
    tokio::time::sleep(Duration::from_secs(2)).await;
    forwarder.stop(Duration::from_secs(2)).await;
    let mut arrived = collector.messages();
    let marks: Vec<_> = collector.parsed().iter().map(|one| one["data"]["doorward@32473"]["chain"].clone()).collect();
    assert_eq!(arrived.remove(25), forged(FAR).trim_end().as_bytes());
    assert_eq!(arrived, journal.lines());
    let marked: Vec<_> = (0..).zip(&marks).filter(|(_, mark)| *mark == "broken").map(|(index, _)| index).collect();
    assert_eq!(marked, [25], "{marks:?}");
}
