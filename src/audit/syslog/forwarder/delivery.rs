//! Sending, asking whether it was taken, and going back when that cannot be known.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

use super::{Work, most_records, patience};
use crate::audit::follow::Found;
use crate::audit::syslog::credentials::Credentials;
use crate::audit::syslog::cursor::Mark;
use crate::audit::syslog::fields::Fields;
use crate::audit::syslog::target::Target;
use crate::audit::syslog::wire::{Taken, Wire};
use crate::telemetry::{ForwardBroken, ForwardCut, ForwardRecovered, ForwardSent, ForwardUnended};

/// After so many waits without an end a collector is one that does not end its side.
const WAITS: u32 = 3;

impl Work {
    /// Sends the record that is held.
    pub(super) fn send(&mut self, found: Found) -> io::Result<()> {
        let fields = Fields::of(&self.line, found.link.seq);
        self.oldest = self.oldest.or(fields.time().map(|(millis, _)| millis));
        if self.wire.is_none() {
            let secured = self.credentials.as_mut().map(Credentials::current).transpose();
            let secured = secured
                .map_err(|failure| io::Error::other(format!("{failure}: {}", failure.cause().unwrap_or_default())))?;
            self.wire = Some(Wire::connect(&self.target, secured.as_ref())?);
        }
        let Some(wire) = &mut self.wire else { return Err(ErrorKind::NotConnected.into()) };
        let patience = patience(&self.bell, &self.clock, self.silence);
        let is_cut = loop {
            let is_cut = self.form.write(&self.line, &fields, found.broken, &mut self.message);
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
        self.sent = Mark { seq: found.link.seq, hash: found.hash, place: found.place };
        self.held = None;
        Ok(())
    }

    /// Asks whether what was sent is taken, and if so, moves the mark.
    pub(super) fn confirm(&mut self) -> io::Result<()> {
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
                    return Err(io::Error::new(ErrorKind::TimedOut, "the collector does not end its side"));
                }
                ForwardUnended { target: &self.target, again: self.waits > WAITS }.emit();
            }
        }
        self.cursor.mark = self.sent;
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

    pub(super) fn store(&self) {
        if let Err(error) = self.cursor.store(&self.target.to_string()) {
            tracing::warn!(%error, "the cursor of the syslog forwarder could not be written; records may be sent twice");
        }
    }

    /// The connection broke: whatever the collector is not known to have is sent again.
    pub(super) fn go_back(&mut self, error: &io::Error) {
        let begins = self.outage.is_none();
        // Not every collector says why it breaks a connection whose certificate it does not like.
        let hint = match (error.kind(), &self.target) {
            (ErrorKind::BrokenPipe | ErrorKind::ConnectionReset, Target::Tls(_)) if !self.proven => {
                "; the collector may have refused this side's certificate"
            }
            _ => "",
        };
        let cause = format!("{error}{hint}");
        ForwardBroken { target: &self.target, cause: &cause, begins, unconfirmed: self.pending.0 }.emit();
        let now = self.clock.instant();
        self.outage.get_or_insert(now);
        self.rewind();
    }

    pub(super) fn rewind(&mut self) {
        (self.wire, self.proven, self.pending, self.since) = (None, false, (0, 0), None);
        let mark = self.cursor.mark;
        if self.sent != mark || mark.seq == 0 {
            self.held = None;
            self.sent = mark;
            self.follower.seek(mark.seq.saturating_add(1), self.cursor.head(), mark.place);
        }
    }
}
