//! The forwarder: what a collector has not taken is sent again. Two marks move over the journal, `sent` and, behind it,
//! `taken`; whatever breaks, sending goes on from `taken`, so records may come twice and none is left out.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::credentials::Credentials;
use super::cursor::{Cursor, Mark};
use super::fields::Fields;
use super::message::Form;
use super::pace::{Backoff, Bell};
use super::settings::SyslogSection;
use super::target::Target;
use super::wire::{Taken, Wire};
use crate::audit::chain::Hash;
use crate::audit::follow::{Follower, Found};
use crate::audit::layout::Layout;
use crate::clock::Clock;
use crate::error::{Code, Failure};
use crate::telemetry::{
    ForwardBroken, ForwardCut, ForwardDropped, ForwardLag, ForwardRecovered, ForwardRestarted, ForwardSent,
    ForwardUnended,
};

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
/// After so many waits without an end a collector is one that does not end its side.
const WAITS: u32 = 3;

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
    /// The last record that was sent, and its line.
    sent: Mark,
    last: Vec<u8>,
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
    /// Whether the journal is known to be the one of the cursor.
    fits: bool,
    reported: Option<Instant>,
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
            follower: Follower::new(layout, cursor.mark.seq.saturating_add(1), cursor.mark.place),
            sent: cursor.mark,
            told: cursor.mark.seq,
            batch: most_records(&target),
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
            last: Vec::new(),
            pending: (0, 0),
            since: None,
            oldest: None,
            waits: 0,
            backoff: Backoff::default(),
            outage: None,
            proven: false,
            fits: false,
            reported: None,
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
                Ok(found) => self.held = found.filter(|found| self.accept(found)),
                Err(error) => tracing::warn!(%error, "the audit journal could not be read for forwarding"),
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
            let follows = found.missing > 0 || found.link.prev == self.cursor.mark.hash;
            if !follows {
                self.begin_anew("the journal is not the one that was forwarded");
                return false;
            }
        }
        if found.missing > 0 && found.link.seq > self.told {
            ForwardDropped { records: found.missing }.emit();
        }
        self.told = self.told.max(found.link.seq);
        true
    }

    fn begin_anew(&mut self, cause: &str) {
        ForwardRestarted { cause }.emit();
        self.cursor.mark = Mark::START;
        (self.cursor.known, self.fits) = (false, false);
        self.rewind();
    }

    fn send(&mut self, found: Found) -> io::Result<()> {
        let fields = Fields::of(&self.line, found.link.seq);
        self.oldest = self.oldest.or(fields.time().map(|(millis, _)| millis));
        if self.wire.is_none() {
            let secured = self.credentials.as_mut().map(Credentials::current).transpose();
            let secured = secured
                .map_err(|failure| io::Error::other(format!("{failure}: {}", failure.cause().unwrap_or_default())))?;
            self.wire = Some(Wire::connect(&self.target, secured.as_ref())?);
        }
        let Some(wire) = &mut self.wire else { return Err(io::ErrorKind::NotConnected.into()) };
        let patience = patience(&self.bell, &self.clock, self.silence);
        let is_cut = loop {
            let is_cut = self.form.write(&self.line, &fields, &mut self.message);
            match wire.send(&self.message, &patience) {
                Ok(()) => break is_cut,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::MSGSIZE) && self.form.shrink() => {}
                Err(error) => return Err(error),
            }
        };
        if is_cut {
            ForwardCut.emit();
        }
        ForwardSent.emit();
        let (records, bytes) = self.pending;
        self.pending = (records.saturating_add(1), bytes.saturating_add(self.message.len()));
        let now = self.clock.instant();
        self.since.get_or_insert(now);
        self.sent = Mark { seq: found.link.seq, hash: Hash::NONE, place: found.place };
        self.held = None;
        std::mem::swap(&mut self.last, &mut self.line);
        Ok(())
    }

    /// Asks whether what was sent is taken, and if so, moves the mark.
    fn confirm(&mut self) -> io::Result<()> {
        let Some(wire) = self.wire.take() else { return Ok(()) };
        let (taken, wire) = wire.confirm(&patience(&self.bell, &self.clock, self.silence))?;
        self.wire = wire;
        match taken {
            Taken::All => {
                self.cursor.ends = matches!(self.target, Target::Tcp(_) | Target::Tls(_));
                self.waits = 0;
                self.batch = self.batch.saturating_mul(2).min(most_records(&self.target));
            }
            Taken::NotYet => {
                self.since = Some(self.clock.instant());
                return Ok(());
            }
            Taken::Unended => {
                // A slow collector ends later than it is waited for; with less to take it is in time.
                self.batch = self.batch.checked_div(4).unwrap_or_default().max(16);
                self.waits = self.waits.saturating_add(1);
                if self.cursor.ends || self.waits < WAITS || self.bell.rung().is_some() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the collector does not end its side"));
                }
                ForwardUnended { target: &self.target, again: self.waits > WAITS }.emit();
            }
        }
        self.cursor.mark = Mark { hash: Hash::of(&self.last), ..self.sent };
        self.settle();
        self.store();
        Ok(())
    }

    fn settle(&mut self) {
        (self.pending, self.since, self.oldest, self.proven) = ((0, 0), None, None, true);
        self.backoff.reset();
        if let Some(since) = self.outage.take() {
            let lasted = self.clock.instant().saturating_duration_since(since);
            ForwardRecovered { target: &self.target, lasted }.emit();
        }
    }

    fn store(&self) {
        if let Err(error) = self.cursor.store(&self.target.to_string()) {
            tracing::warn!(%error, "the cursor of the syslog forwarder could not be written; records may be sent twice");
        }
    }

    /// The connection broke: whatever the collector is not known to have is sent again.
    fn go_back(&mut self, error: &io::Error) {
        let begins = self.outage.is_none();
        ForwardBroken { target: &self.target, cause: error, begins, unconfirmed: self.pending.0 }.emit();
        let now = self.clock.instant();
        self.outage.get_or_insert(now);
        self.rewind();
    }

    fn rewind(&mut self) {
        (self.wire, self.proven, self.pending, self.since) = (None, false, (0, 0), None);
        let mark = self.cursor.mark;
        if self.sent.seq != mark.seq || mark.seq == 0 {
            self.held = None;
            self.sent = mark;
            self.follower.seek(mark.seq.saturating_add(1), mark.place);
        }
    }

    fn report(&mut self, now: bool) {
        let at = self.clock.instant();
        if !now && self.reported.is_some_and(|last| at.saturating_duration_since(last) < REPORT) {
            return;
        }
        self.reported = Some(at);
        let taken = self.cursor.mark.seq;
        let head = self.follower.head();
        if head.is_some_and(|head| head < taken) {
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
