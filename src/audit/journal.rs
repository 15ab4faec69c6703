//! The journal: JSON lines appended to one file by one thread. A line that was acknowledged is with the kernel, so it
//! outlives this process however that ends; an error means "not kept in time", and the line is written later if it can be.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;

use super::Sink;
use super::file::{AppendFile, Paper};
use super::queue::{Ended, Queue, unavailable};
use super::writer::{Work, Writer};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::telemetry::AuditLost;

/// How long a sender waits at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// The audit log's file and the thread that writes it.
pub struct Journal {
    queue: Arc<Queue>,
    ended: Mutex<mpsc::Receiver<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Journal {
    /// Opens the file at `path` (made with mode 0600 if there is none; its directory must exist) and starts the writer.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when it cannot be opened, is a symbolic link, or is not a regular file.
    pub fn open(path: &Path) -> Result<Arc<Self>, Failure> {
        let clock = Clock::system();
        let opened = Writer::open(AppendFile::at(path), clock.clone());
        let started = opened.and_then(|writer| Self::start(writer, clock));
        started.map(Arc::new).map_err(|error| {
            Failure::new(Code::AuditUnavailable, "the audit log cannot be opened")
                .because(format!("{}: {error}", path.display()))
        })
    }

    fn start<P: Paper>(writer: Writer<P>, clock: Clock) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(clock));
        let (end, ended) = mpsc::channel();
        let thread = {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name("audit".to_owned()).spawn(move || run(writer, &queue, end))?
        };
        Ok(Self { queue, ended: Mutex::new(ended), thread: Some(thread) })
    }
}

#[async_trait]
impl Sink for Journal {
    async fn keep(&self, line: Vec<u8>) -> Result<(), Failure> {
        match tokio::time::timeout(PATIENCE, self.queue.keep(line)).await {
            Ok(result) => result,
            Err(_) => Err(unavailable(format!("not written within {} s", PATIENCE.as_secs()))),
        }
    }

    fn leave(&self, line: Vec<u8>) {
        self.queue.leave(line);
    }

    fn healthy(&self) -> bool {
        self.queue.is_healthy()
    }

    fn reopen(&self) {
        self.queue.reopen();
    }

    async fn flush(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.queue.mark()).await;
    }
}

/// Writes what is left and ends the thread; a disk that does not answer is not waited for.
impl Drop for Journal {
    fn drop(&mut self) {
        self.queue.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE);
        if !matches!(ended, Err(mpsc::RecvTimeoutError::Timeout))
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn run<P: Paper>(mut writer: Writer<P>, queue: &Queue, _end: mpsc::Sender<()>) {
    let _ended = Ended(queue);
    while let Some(work) = queue.next() {
        let healthy = writer.turn(work);
        queue.done(healthy);
    }
    if writer.abandoned() > 0 && !writer.turn(Work::default()) {
        AuditLost { records: writer.abandoned() }.emit();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    async fn until(mut holds: impl FnMut() -> bool) {
        for _ in 0..400 {
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
        let journal = Journal::open(&path).unwrap();
        let tasks: Vec<_> = (0..48)
            .map(|task| {
                let (journal, path) = (Arc::clone(&journal), path.clone());
                tokio::spawn(async move {
                    for number in 0..60 {
                        let line =
                            format!("{{\"task\":{task},\"number\":{number},\"pad\":\"{}\"}}", "x".repeat(number * 7));
                        journal.keep(line.clone().into_bytes()).await.unwrap();
                        if number % 20 == 0 {
                            // Nothing was flushed: another reader sees what was acknowledged.
                            assert!(lines(&path).contains(&line));
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let lines = lines(&path);
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
    async fn a_half_written_last_line_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        std::fs::write(&path, "{\"a\":1}\n{\"b\":").unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.keep(b"{}".to_vec()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":\n{}\n");
    }

    #[tokio::test]
    async fn dropping_it_writes_what_was_left() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let journal = Journal::open(&path).unwrap();
        (0..100).for_each(|number| journal.leave(format!("{number}").into_bytes()));
        drop(journal);
        assert_eq!(lines(&path), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn flush_waits_for_what_was_left() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let journal = Journal::open(&path).unwrap();
        journal.leave(b"left".to_vec());
        journal.flush().await;
        assert_eq!(lines(&path), ["left"]);
    }

    #[tokio::test]
    async fn after_a_rotation_the_next_line_goes_to_a_new_file() {
        let home = tempfile::tempdir().unwrap();
        let (path, rotated) = (home.path().join("audit.jsonl"), home.path().join("audit.jsonl.1"));
        let journal = Journal::open(&path).unwrap();
        journal.keep(b"one".to_vec()).await.unwrap();
        std::fs::rename(&path, &rotated).unwrap();
        journal.reopen();
        journal.keep(b"two".to_vec()).await.unwrap();
        assert_eq!((lines(&rotated), lines(&path)), (vec!["one".to_owned()], vec!["two".to_owned()]));
        std::fs::remove_file(&path).unwrap();
        journal.keep(b"three".to_vec()).await.unwrap();
        assert_eq!(lines(&path), ["three"], "a removed file is noticed at the very next line");
    }

    #[tokio::test]
    async fn a_vanished_directory_refuses_and_its_return_heals() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("log");
        let path = folder.join("audit.jsonl");
        std::fs::create_dir(&folder).unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.keep(b"one".to_vec()).await.unwrap();
        assert!(journal.healthy());
        std::fs::remove_dir_all(&folder).unwrap();
        let failure = journal.keep(b"two".to_vec()).await.unwrap_err();
        assert_eq!(failure.code(), Code::AuditUnavailable);
        assert!(failure.cause().is_some() && !failure.public().contains("log/"));
        until(|| !journal.healthy()).await;
        std::fs::create_dir(&folder).unwrap();
        until(|| journal.healthy()).await;
        let lines = lines(&path);
        assert!(lines[0].contains("audit_gap"), "{lines:?}");
        assert_eq!(lines[1], "two", "what was refused is told late rather than never");
    }

    #[tokio::test]
    async fn a_record_that_is_not_one_line_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        let journal = Journal::open(&path).unwrap();
        assert!(journal.keep(b"a\nb".to_vec()).await.is_err());
        assert!(journal.keep(vec![b'x'; (256 << 10) + 1]).await.is_err());
        assert!(journal.keep(vec![b'x'; 256 << 10]).await.is_ok());
        assert!(journal.healthy());
        assert_eq!(lines(&path).len(), 1);
    }

    #[test]
    fn a_path_that_cannot_be_opened_is_said_to_the_operator_only() {
        let failure = Journal::open(Path::new("/nowhere/audit.jsonl")).err().unwrap();
        assert!(failure.cause().unwrap().contains("/nowhere/audit.jsonl"));
        assert!(!failure.public().contains("nowhere"));
    }
}
