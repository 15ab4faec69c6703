//! The journal: JSON lines appended to one file by one thread, each chained to the one before. A record that was
//! acknowledged is with the kernel, so it outlives this process however that ends; an error means "not kept in time", and
//! the record is written later if it can be.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::archive::Archive;
use super::checkpoint::Signer;
use super::client::Client;
use super::file::{AppendFile, Paper};
use super::headfile::HeadFile;
use super::layout::Layout;
use super::queue::{Ended, Queue};
use super::receipt::{PATIENCE, Receipt, late};
use super::record::{Event, Record};
use super::recovery;
use super::settings::{AuditSection, Durability};
use super::writer::{Habits, Writer};
use super::{Sink, signing};
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::telemetry::{AuditLost, AuditUnclean, AuditWritable};

/// The audit log's files and the threads that write them.
pub struct Journal {
    queue: Arc<Queue>,
    ended: Mutex<mpsc::Receiver<()>>,
    gone: watch::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
    archive: Archive,
}

impl Journal {
    /// Opens the journal at the section's `path` (its directory must exist), goes on where it ended, and starts to write.
    /// At the first start the key that signs checkpoints is made.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] when it cannot be opened, is a symbolic link or no regular file, or another process
    /// writes it; [`Code::Config`] when the key cannot be used.
    pub fn open(section: &AuditSection, clock: Clock) -> Result<Arc<Self>, Failure> {
        let layout = Layout::of(&section.path);
        let said = |error: io::Error| {
            Failure::new(Code::AuditUnavailable, "the audit log cannot be opened")
                .because(format!("{}: {error}", section.path.display()))
        };
        let mut paper = AppendFile::of(layout.clone());
        let opened = paper.open().map_err(said)?;
        let noted = HeadFile::open(&layout.beside("head")).map_err(said)?;
        let signer = signer(section, &layout)?;
        let found = recovery::find(&layout, &opened, &noted, signer.public()).map_err(said)?;
        let archive =
            Archive::start(layout.clone(), section.compress, usize::try_from(section.max_files).unwrap_or(usize::MAX));
        let archive = archive.map_err(said)?;
        let writer = Writer::new(paper, opened, found.head, signer, Habits::from(section), clock.clone())
            .telling(archive.bell())
            .noting(noted);
        let journal = Self::start(writer, clock.clone(), archive).map_err(said)?;
        if let Some(found) = found.unclean {
            AuditUnclean { found: &found }.emit();
            let record = Record::new(Event::UncleanStop, clock.now(), Client::default()).saying(&found);
            journal.queue.leave(super::line(&record)?);
        }
        Ok(Arc::new(journal))
    }

    fn start<P: Paper>(writer: Writer<P>, clock: Clock, archive: Archive) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(clock));
        let (end, ended) = mpsc::channel();
        let (going, gone) = watch::channel(());
        let thread = {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name("audit".to_owned()).spawn(move || run(writer, &queue, (end, going)))?
        };
        Ok(Self { queue, ended: Mutex::new(ended), gone, thread: Some(thread), archive })
    }
}

impl From<&AuditSection> for Habits {
    fn from(section: &AuditSection) -> Self {
        Self {
            max_size: section.max_size_mb.saturating_mul(1 << 20),
            daily: section.rotate_daily,
            fsync: section.durability == Durability::Fsync,
            every_records: section.checkpoint.every_records,
            every: Duration::from_secs(section.checkpoint.every_seconds),
        }
    }
}

/// The key that signs checkpoints, made if there is none; its public half stands beside the journal.
fn signer(section: &AuditSection, layout: &Layout) -> Result<Signer, Failure> {
    let path = section.checkpoint.key.clone().unwrap_or_else(|| layout.beside("key"));
    signing::key(&path, &layout.beside("pub"))
}

#[async_trait]
impl Sink for Journal {
    async fn post(&self, line: Vec<u8>, durable: bool) -> Result<Receipt, Failure> {
        let posted = tokio::time::timeout(PATIENCE, self.queue.post(line, durable)).await;
        Ok(Receipt::awaiting(posted.map_err(|_| late())??, &self.queue))
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

    async fn close(&self) {
        self.archive.stop();
        self.queue.close();
        let mut gone = self.gone.clone();
        let _ = tokio::time::timeout(PATIENCE, async move { while gone.changed().await.is_ok() {} }).await;
    }
}

/// Writes what is left and ends the thread; a disk that does not answer is not waited for.
impl Drop for Journal {
    fn drop(&mut self) {
        // Before the writer lets go of the lock, so that the next process finds nobody at its files.
        self.archive.stop();
        self.queue.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE);
        if !matches!(ended, Err(mpsc::RecvTimeoutError::Timeout))
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn run<P: Paper>(mut writer: Writer<P>, queue: &Queue, _end: (mpsc::Sender<()>, watch::Sender<()>)) {
    let _ended = Ended(queue);
    while let Some(work) = queue.next() {
        let healthy = writer.turn(work);
        AuditWritable { now: healthy }.emit();
        queue.done(healthy);
    }
    if !writer.finish() {
        AuditLost { records: usize::try_from(writer.abandoned()).unwrap_or(usize::MAX) }.emit();
    }
}

#[cfg(test)]
mod tests;
