//! Asking the lookout: one question at a time, each within a time limit. After an answer that is late, broken off or not
//! understood nothing is asked any more, or what is left of it would be taken for the answer to the next question.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{ANSWER, Descriptor, QUESTION, said};
use crate::clock::Clock;
use crate::telemetry::LookoutLost;

/// What to say where a lookout is missed.
pub const GONE: &str =
    "the part of the daemon that looks into processes of others is gone; restart the daemon to have one again";

/// How long to wait for an answer, and for the answers to others before. A process with as many open files as are told takes
/// a tenth of this.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes that are read at a time.
const PART: usize = 64 << 10;

/// The same of the beginning of an answer, which has its size.
const HEAD: usize = 64;

/// The one of this process.
static LOOKOUT: OnceLock<Lookout> = OnceLock::new();

/// A lookout as those within know it.
struct Lookout {
    standing: Mutex<Standing>,
    turn: Condvar,
    patience: Duration,
    child: Mutex<Option<Child>>,
}

enum Standing {
    Free(Pipes),
    /// Somebody has the pipes.
    Asked,
    Gone,
}

struct Pipes {
    to: File,
    from: File,
}

/// There is no lookout any more.
#[derive(Debug)]
struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(GONE)
    }
}

impl std::error::Error for Gone {}

/// Why an answer is none.
enum Fault {
    /// The lookout says so; it goes on.
    Told(io::Error),
    /// Nothing that it says can be trusted any more.
    Broken(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::Broken(error.into())
    }
}

/// From now on questions go to this process, whose standard input and output are pipes.
pub fn attach(mut child: Child) {
    if let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) {
        let lookout = Lookout::over(to.into(), from.into(), PATIENCE);
        *lookout.child() = Some(child);
        let _ = LOOKOUT.set(lookout);
    }
}

/// Whether there is a lookout, or was one.
#[must_use]
pub fn is_attached() -> bool {
    LOOKOUT.get().is_some()
}

/// Waits, in a thread of its own, for the lookout to end, says so and cleans up behind it. Called once there may be threads.
pub fn watch() {
    let Some(lookout) = LOOKOUT.get() else { return };
    let Some(mut child) = lookout.child().take() else { return };
    let watching = std::thread::Builder::new().name("lookout".to_owned()).spawn(move || {
        let why = match child.wait() {
            Ok(status) => format!("it ended with {status}"),
            Err(error) => format!("it cannot be waited for: {error}"),
        };
        lookout.lose(&why);
    });
    if let Err(error) = watching {
        tracing::warn!(%error, "nobody watches the lookout; if it ends, that is told when it is asked");
    }
}

/// Whether an error means that there is no lookout any more.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Gone>())
}

/// The first `cap` bytes of a process's environment, and whether there are more; `None` when there is no lookout.
///
/// # Errors
/// When the process is gone, the lookout may not look into it or is busy, or is gone itself: [`is_gone`].
pub fn environment(pid: u32, cap: usize) -> Option<io::Result<(Vec<u8>, bool)>> {
    let most = cap.min(ANSWER).saturating_add(1);
    let answer = LOOKOUT.get()?.ask(&format!("environment {pid} {most}\n"), most, Some);
    Some(answer.map(|mut bytes| {
        let more = bytes.len() > cap;
        bytes.truncate(cap);
        (bytes, more)
    }))
}

/// The open files of a process, and whether these are all; `None` when there is no lookout.
///
/// # Errors
/// As those of [`environment`].
pub fn descriptors(pid: u32) -> Option<io::Result<(Vec<Descriptor>, bool)>> {
    Some(LOOKOUT.get()?.ask(&format!("descriptors {pid} {ANSWER}\n"), ANSWER, |bytes| said(&bytes)))
}

impl Lookout {
    fn over(to: OwnedFd, from: OwnedFd, patience: Duration) -> Self {
        let pipes = Pipes { to: to.into(), from: from.into() };
        let standing = Mutex::new(Standing::Free(pipes));
        Self { standing, turn: Condvar::new(), patience, child: Mutex::default() }
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and gives what `understand` makes of an answer of at most so many bytes.
    fn ask<T>(&self, question: &str, most: usize, understand: impl FnOnce(Vec<u8>) -> Option<T>) -> io::Result<T> {
        let mut pipes = self.pipes()?;
        let until = Clock::system().instant().checked_add(self.patience);
        let answer = pipes.ask(question, most, until).and_then(|bytes| {
            understand(bytes).ok_or_else(|| Fault::Broken(io::Error::other("its answer is not understood")))
        });
        match answer {
            Err(Fault::Broken(error)) => {
                drop(pipes);
                self.lose(&error.to_string());
                Err(gone())
            }
            Err(Fault::Told(error)) => {
                self.give_back(pipes);
                Err(error)
            }
            Ok(answer) => {
                self.give_back(pipes);
                Ok(answer)
            }
        }
    }

    /// The pipes, for whoever's turn it is.
    fn pipes(&self) -> io::Result<Pipes> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = |standing: &mut Standing| matches!(standing, Standing::Asked);
        let waited = self.turn.wait_timeout_while(standing, self.patience, asked);
        let (mut standing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *standing, Standing::Asked) {
            Standing::Free(pipes) => Ok(pipes),
            Standing::Asked => Err(io::Error::new(io::ErrorKind::TimedOut, "others are asking the lookout")),
            Standing::Gone => {
                *standing = Standing::Gone;
                Err(gone())
            }
        }
    }

    fn give_back(&self, pipes: Pipes) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been lost meanwhile.
        if matches!(*standing, Standing::Asked) {
            *standing = Standing::Free(pipes);
            self.turn.notify_one();
        }
    }

    /// From now on there is none. With its pipes closed it ends, if it has not. Said once.
    fn lose(&self, why: &str) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *standing, Standing::Gone);
        self.turn.notify_all();
        drop(standing);
        if !matches!(before, Standing::Gone) {
            LookoutLost { why }.emit();
        }
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, Gone)
}

impl Pipes {
    fn ask(&mut self, question: &str, most: usize, until: Option<Instant>) -> Result<Vec<u8>, Fault> {
        if readiness(&self.from, PollFlags::IN, until, Some(Duration::ZERO))? {
            return Err(io::Error::other("it said something unasked, or has ended").into());
        }
        if !readiness(&self.to, PollFlags::OUT, until, None)? {
            return Err(late());
        }
        self.to.write_all(question.as_bytes())?;
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                let rest = bytes.split_off(end.saturating_add(1));
                break std::mem::replace(&mut bytes, rest);
            }
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > QUESTION {
                return Err(io::Error::other("its answer has no beginning").into());
            }
            self.read(&mut bytes, HEAD, until)?;
        };
        let head = String::from_utf8_lossy(&head);
        match head.trim_end().split_once(' ') {
            Some(("found", size)) => {
                let wrong = || io::Error::other("its answer has no size that was asked for");
                let size: usize = size.parse().ok().filter(|size| *size <= most).ok_or_else(wrong)?;
                while bytes.len() < size {
                    let rest = size.saturating_sub(bytes.len());
                    self.read(&mut bytes, rest, until)?;
                }
                if bytes.len() > size {
                    return Err(io::Error::other("its answer is longer than it said").into());
                }
                Ok(bytes)
            }
            Some(("not", error)) if bytes.is_empty() => {
                let error = error.parse().map_err(|_| io::Error::other("it gives no reason"))?;
                Err(Fault::Told(io::Error::from_raw_os_error(error)))
            }
            _ => Err(io::Error::other("its answer is none").into()),
        }
    }

    /// Reads what is there, at most so many bytes, once there is something.
    fn read(&mut self, bytes: &mut Vec<u8>, most: usize, until: Option<Instant>) -> Result<(), Fault> {
        if !readiness(&self.from, PollFlags::IN, until, None)? {
            return Err(late());
        }
        let mut part = vec![0; most.min(PART)];
        let count = self.from.read(&mut part)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        bytes.extend_from_slice(part.get(..count).unwrap_or_default());
        Ok(())
    }
}

fn late() -> Fault {
    Fault::Broken(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"))
}

/// Whether `pipe` becomes ready, or ends, within `wait`; without one, before `until`.
fn readiness(pipe: &File, how: PollFlags, until: Option<Instant>, wait: Option<Duration>) -> Result<bool, Errno> {
    let clock = Clock::system();
    loop {
        let left = until.map(|until| until.saturating_duration_since(clock.instant())).unwrap_or_default();
        let wait = Timespec::try_from(wait.unwrap_or(left)).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::from_borrowed_fd(pipe.as_fd(), how)], Some(&wait)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
