//! The forwarder: what a collector has not taken is sent again. Two marks move over the journal, `sent` and, behind it,
//! `taken`; whatever breaks, sending goes on from `taken`, so records may come twice and none is left out.

mod delivery;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::credentials::Credentials;
use super::cursor::{Cursor, Mark};
use super::message::Form;
use super::pace::{Backoff, Bell};
use super::settings::SyslogSection;
use super::target::Target;
use super::wire::Wire;
use crate::audit::follow::{Follower, Found};
use crate::audit::layout::Layout;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::telemetry::{ForwardDropped, ForwardLag, ForwardRestarted, ForwardUnreadable};

/// How often the journal is looked at when there is nothing new.
const LOOK: Duration = Duration::from_millis(100);
/// Most records, and bytes, that are sent before the collector is asked whether it has them.
const RECORDS: u64 = 5_000;
const BYTES: usize = 4 << 20;
/// The same for datagrams.
const DATAGRAMS: u64 = 1_024;
/// Longest time in which a record is sent and not known to be taken.
const AGE: Duration = Duration::from_secs(5);
/// The same on a connection that has proven nothing yet: whether a certificate is refused shows only then.
const FIRST_AGE: Duration = Duration::from_millis(300);
/// How often the metrics are set.
const REPORT: Duration = Duration::from_secs(1);
/// A forwarder that runs.
pub struct Forwarder {
    bell: Arc<Bell>,
    clock: Clock,
    thread: JoinHandle<()>,
}

impl Forwarder {
    /// Begins to forward the journal at `journal`. The collector need not be there.
    ///
    /// # Errors
    /// [`Code::Config`] when the section or a file that it names cannot be used; [`Code::Io`] without a thread.
    pub fn start(section: &SyslogSection, journal: &Path, clock: Clock) -> Result<Self, Failure> {
        let target = Target::parse(&section.target)
            .map_err(|problem| Failure::new(Code::Config, format!("audit.syslog.target {problem}")))?;
        let mut credentials = Credentials::of(section, &target);
        if let Some(credentials) = &mut credentials {
            let _ = credentials.current()?;
        }
        let bell = Arc::new(Bell::default());
        let work = Work::new(section, target, credentials, journal, (clock.clone(), Arc::clone(&bell)));
        let thread =
            std::thread::Builder::new().name("audit-syslog".to_owned()).spawn(move || work.run()).map_err(|error| {
                Failure::new(Code::Io, "the thread of the syslog forwarder cannot start").because(error)
            })?;
        Ok(Self { bell, clock, thread })
    }

    /// Sends what there is and ends, within `limit`; what is left goes after the next start.
    pub async fn stop(self, limit: Duration) {
        let now = self.clock.instant();
        self.bell.ring(now.checked_add(limit).unwrap_or(now));
        // A name that is being looked up cannot be hurried; then the thread ends with the process.
        let most = limit.saturating_add(LOOK);
        while !self.thread.is_finished() && self.clock.instant().saturating_duration_since(now) < most {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

struct Work {
    target: Target,
    credentials: Option<Credentials>,
    form: Form,
    clock: Clock,
    bell: Arc<Bell>,
    /// How long a silent collector is waited for.
    silence: Duration,
    follower: Follower,
    cursor: Cursor,
    wire: Option<Wire>,
    /// The record that was read and is not sent.
    held: Option<Found>,
    line: Vec<u8>,
    message: Vec<u8>,
    /// The last record that was sent.
    sent: Mark,
    /// How many records and bytes were sent since the collector was asked, and when the first.
    pending: (u64, usize),
    since: Option<Instant>,
    /// When the oldest record that is not taken was written, in milliseconds since the epoch.
    oldest: Option<i64>,
    /// Most records between two questions: fewer when the collector is slow.
    batch: u64,
    waits: u32,
    backoff: Backoff,
    /// The cause of the outage there is, and when it began.
    outage: Option<Instant>,
    /// The connection, or one like it, has proven that what is sent is taken.
    proven: bool,
    /// Up to which record gaps have been told.
    told: u64,
    /// A break of the chain has been told.
    broken: bool,
    /// Whether the journal is known to be the one of the cursor.
    fits: bool,
    reported: Option<Instant>,
    /// The journal could not be read at the last look.
    unreadable: bool,
}

enum Next {
    /// There may be more to do.
    More,
    /// There is nothing new.
    Rest,
    /// All is done that can be.
    End,
}

impl Work {
    fn new(
        section: &SyslogSection,
        target: Target,
        credentials: Option<Credentials>,
        journal: &Path,
        (clock, bell): (Clock, Arc<Bell>),
    ) -> Self {
        let layout = Layout::of(journal);
        let (cursor, wrong) = Cursor::load(layout.beside("cursor"), &target.to_string());
        if let Some(cause) = wrong {
            ForwardRestarted { cause: &format!("the cursor cannot be read: {cause}") }.emit();
        }
        let most = match (&target, section.max_message_bytes) {
            (_, Some(most)) => usize::try_from(most).unwrap_or(usize::MAX),
            (Target::Udp(_), None) => 2048,
            (Target::Unix(_), None) => 65_536,
            (Target::Tcp(_) | Target::Tls(_), None) => usize::MAX,
        };
        Self {
            form: Form::new(section, most),
            follower: Follower::new(layout, cursor.mark.seq.saturating_add(1), cursor.head(), cursor.mark.place),
            sent: cursor.mark,
            told: cursor.mark.seq,
            broken: false,
            batch: most_records(&target),
            backoff: Backoff::new(matches!(target, Target::Unix(_))),
            target,
            credentials,
            clock,
            bell,
            silence: Duration::from_secs(section.timeout),
            cursor,
            wire: None,
            held: None,
            line: Vec::new(),
            message: Vec::new(),
            pending: (0, 0),
            since: None,
            oldest: None,
            waits: 0,
            outage: None,
            proven: false,
            fits: false,
            reported: None,
            unreadable: false,
        }
    }

    fn run(mut self) {
        loop {
            match self.turn() {
                Ok(Next::More) => {}
                Ok(Next::Rest) => self.bell.wait(LOOK),
                Ok(Next::End) => break,
                Err(error) => {
                    self.go_back(&error);
                    if self.bell.rung().is_some() {
                        break;
                    }
                    self.report(true);
                    self.bell.wait(self.backoff.next());
                }
            }
            self.report(false);
        }
        self.report(true);
    }

    /// One record, or what is due without one.
    fn turn(&mut self) -> io::Result<Next> {
        if self.held.is_none() {
            match self.follower.next(&mut self.line) {
                Ok(found) => {
                    self.unreadable = false;
                    self.held = found.filter(|found| self.accept(found));
                }
                Err(error) => {
                    let begins = !std::mem::replace(&mut self.unreadable, true);
                    ForwardUnreadable { cause: &error, begins }.emit();
                }
            }
        }
        let late = self.bell.rung().is_some() && self.bell.left(&self.clock, FOREVER) < SETTLE;
        let Some(found) = self.held.filter(|_| !late) else { return self.idle() };
        self.send(found)?;
        if self.pending.0 >= self.batch || self.pending.1 >= BYTES || self.is_aged(AGE) {
            self.confirm()?;
        }
        Ok(Next::More)
    }

    fn idle(&mut self) -> io::Result<Next> {
        let ending = self.bell.rung().is_some();
        if self.pending.0 == 0 {
            return Ok(if ending { Next::End } else { Next::Rest });
        }
        let age = if self.proven { AGE } else { FIRST_AGE };
        if ending || self.is_aged(age) {
            self.confirm()?;
        } else if let Some(wire) = &mut self.wire {
            let patience = patience(&self.bell, &self.clock, self.silence);
            wire.flush(&patience)?;
        }
        Ok(if ending { Next::End } else { Next::Rest })
    }

    fn is_aged(&self, age: Duration) -> bool {
        self.since.is_some_and(|since| self.clock.instant().saturating_duration_since(since) >= age)
    }

    /// Looks at a record that was read: whether it belongs to what was sent before it.
    fn accept(&mut self, found: &Found) -> bool {
        if !std::mem::replace(&mut self.fits, true) {
            if !std::mem::replace(&mut self.cursor.known, true) {
                // What was deleted before there was a cursor was never to be sent.
                let seq = found.link.seq.saturating_sub(1);
                self.cursor.mark = Mark { seq, hash: found.link.prev, place: None };
                (self.sent, self.told) = (self.cursor.mark, seq);
                self.store();
                return true;
            }
            if found.broken && found.missing == 0 && !found.sequel {
                self.begin_anew("the journal is not the one that was forwarded");
                return false;
            }
        }
        if found.missing > 0 && found.link.seq > self.told {
            ForwardDropped { records: found.missing }.emit();
        }
        if found.broken && found.missing == 0 && !std::mem::replace(&mut self.broken, true) {
            tracing::warn!(
                seq = found.link.seq,
                "a record of the journal does not name the hash of the one before it; such records are forwarded with \
                 chain=\"broken\", and this is said once"
            );
        }
        self.told = match found.link.seq {
            // A number that goes back came after one that nothing had been told of truly.
            seq if found.sequel && !found.broken => seq,
            seq => self.told.max(seq),
        };
        true
    }

    fn begin_anew(&mut self, cause: &str) {
        ForwardRestarted { cause }.emit();
        self.cursor.mark = Mark::START;
        (self.cursor.known, self.fits) = (false, false);
        self.rewind();
    }

    fn report(&mut self, now: bool) {
        let at = self.clock.instant();
        if !now && self.reported.is_some_and(|last| at.saturating_duration_since(last) < REPORT) {
            return;
        }
        self.reported = Some(at);
        let taken = self.cursor.mark.seq;
        let head = self.follower.head();
        if head.is_some_and(|head| head < taken) && !self.follower.is_in_flow() {
            self.begin_anew("the journal ends before what was forwarded");
            return;
        }
        let records = head.unwrap_or_default().max(self.sent.seq).saturating_sub(taken);
        let behind = |oldest: i64| self.clock.now().millis().saturating_sub(oldest);
        let millis = self.oldest.filter(|_| records > 0).map_or(0, behind);
        ForwardLag { records, age: Duration::from_millis(u64::try_from(millis).unwrap_or_default()) }.emit();
    }
}

/// What is kept of the time to end for asking whether all was taken.
const SETTLE: Duration = Duration::from_millis(800);
const FOREVER: Duration = Duration::MAX;

fn patience<'a>(bell: &'a Bell, clock: &'a Clock, most: Duration) -> impl Fn(Duration) -> bool + use<'a> {
    move |silent| silent < bell.left(clock, most)
}

fn most_records(target: &Target) -> u64 {
    match target {
        Target::Tcp(_) | Target::Tls(_) => RECORDS,
        Target::Unix(_) | Target::Udp(_) => DATAGRAMS,
    }
}
