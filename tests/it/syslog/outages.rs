//! A collector that is stopped, frozen, killed and started under load: every record arrives, in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::journal::{Written, compare};
use super::{forward, section, until};
use crate::world::rsyslogd::Rsyslogd;

/// How many records: `scripts/torture-syslog` asks for more.
fn records() -> usize {
    std::env::var("DOORWARD_SYSLOG_RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

/// Writes records, with rotation and compression, for as long as the collector is being tormented.
fn write(journal: &mut Written, count: usize, done: &AtomicBool) {
    const PAGE: usize = 50;
    const FILES: usize = 12;
    let (mut rotated, pause) = (Vec::new(), Duration::from_millis(15));
    for page in 0..count / PAGE {
        journal.append_many(PAGE);
        if page % (count / PAGE / FILES).max(1) == 7 {
            rotated.push(journal.first());
            journal.rotate();
            // What is compressed may be what is being read.
            if let [.., before, _] = rotated[..] {
                journal.compress(before);
            }
        }
        if !done.load(Ordering::Relaxed) {
            std::thread::sleep(pause);
        }
    }
}

async fn torment(kind: &str) {
    let Some(mut collector) = Rsyslogd::new(false) else { return };
    let count = records();
    let mut journal = Written::new();
    // The collector is not there at the start.
    let forwarder = forward(&section(&collector, kind), &journal);
    let done = AtomicBool::new(false);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(&mut journal, count, &done));
        let short = Duration::from_millis(300);
        std::thread::sleep(short);
        let mut round = 0;
        while !writing.is_finished() || round < 4 {
            collector.start();
            // It goes in the midst of what it is sent.
            let (before, waited) = (collector.size(), Instant::now());
            while collector.size() < before + 200_000 && waited.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(2));
            }
            match round % 2 {
                0 => collector.stop(),
                _ => collector.freeze_and_kill(short),
            }
            std::thread::sleep(short / 2);
            round += 1;
            // Longer than this nobody need wait; the rest is written as fast as it goes.
            if begin.elapsed() > Duration::from_secs(8 + u64::try_from(count).unwrap() / 2000) {
                done.store(true, Ordering::Relaxed);
            }
        }
        eprintln!("{kind}: {round} outages in {:?}", begin.elapsed());
    });
    collector.start();
    let wait = Instant::now();
    let last = journal.lines().pop().unwrap();
    until("the last record", || collector.has_lately(&last).then_some(()));
    forwarder.stop(Duration::from_secs(2)).await;
    let arrived = collector.messages();
    let again = compare(&arrived, &journal.lines());
    eprintln!("{kind}: {count} records, {again} of them again, the rest in {:?}", wait.elapsed());
}

#[tokio::test]
async fn over_tcp_nothing_is_missing() {
    torment("tcp").await;
}

#[tokio::test]
async fn over_tls_nothing_is_missing() {
    torment("tls").await;
}

#[tokio::test]
async fn to_a_unix_socket_nothing_is_missing() {
    torment("unix").await;
}
