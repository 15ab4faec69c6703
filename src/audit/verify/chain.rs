//! Follows the chain from line to line. A line that does not fit is judged together with the one after it, for only that
//! one tells whether this line or the one before was changed.

mod end;

use super::elsewhere::{Elsewhere, signed};
use super::files::Files;
use super::flaw::{Finding, Flaw, MOST};
use super::late::Watch;
use super::pages::Page;
use super::report::{Agreement, Edge, Ending, FileRead, Proof};
use super::suspect::{CLOSED, Candidate, Gap, Known, Onward, Place, Wrong, judge};
use crate::audit::chain::{Hash, Head, Link};
use crate::audit::checkpoint::Checkpoint;
use crate::audit::search::stamp;
use crate::pki::PublicKey;

/// Judges lines and remembers what the report needs.
pub(super) struct Examiner<'a> {
    files: &'a Files,
    keys: &'a [PublicKey],
    elsewhere: Elsewhere,
    /// Checkpoints kept elsewhere that are dealt with.
    compared: usize,
    agreement: Agreement,
    begun: Option<(Edge, Hash)>,
    start: Place,
    known: Option<Known>,
    gap: Gap,
    suspect: Option<Candidate>,
    last: Vec<u8>,
    read: Vec<FileRead>,
    reading: Option<usize>,
    /// Lines that were read. All other numbers are about what comes before the first flaw.
    lines: u64,
    records: u64,
    checkpoints: u64,
    proof: Proof,
    watch: Watch,
    findings: Vec<Finding>,
    /// Where the last of them is, if it is about the line itself.
    flawed: Option<Place>,
    /// What came last when the first of them was found.
    before: Option<(Option<Edge>, Ending)>,
}

impl<'a> Examiner<'a> {
    pub(super) fn new(files: &'a Files, keys: &'a [PublicKey], elsewhere: Elsewhere) -> Self {
        let proof = if keys.is_empty() { Proof::NoKey } else { Proof::NoCheckpoint };
        Self {
            files,
            keys,
            elsewhere,
            compared: 0,
            agreement: Agreement::default(),
            begun: None,
            start: Place::default(),
            known: None,
            gap: CLOSED,
            suspect: None,
            last: Vec::new(),
            read: Vec::new(),
            reading: None,
            lines: 0,
            records: 0,
            checkpoints: 0,
            proof,
            watch: Watch::default(),
            findings: Vec::new(),
            flawed: None,
            before: None,
        }
    }

    /// How many lines were read.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    /// Judges the lines of a page; false once enough was found.
    pub(super) fn page(&mut self, page: &Page) -> bool {
        let mut place = Place { file: page.file, line: page.before };
        let count = page.len();
        for (index, line) in page.lines().enumerate() {
            place.line = place.line.saturating_add(1);
            self.lines = self.lines.saturating_add(1);
            if page.torn && index.saturating_add(1) == count {
                self.suspicion(None);
                self.lost(place, Flaw::HalfWritten);
            } else {
                self.line(line, place);
            }
            if self.is_full() {
                return false;
            }
        }
        true
    }

    /// Nothing more can be read of a file; false once enough was found.
    pub(super) fn damaged(&mut self, file: usize, line: u64, why: String) -> bool {
        self.suspicion(None);
        self.lost(Place { file, line: line.saturating_add(1) }, Flaw::Unreadable { why });
        // Nobody knows how many records were in it.
        self.gap = self.expected().unwrap_or(1)..=u64::MAX;
        !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= MOST
    }

    fn line(&mut self, line: &[u8], place: Place) {
        let link = Link::of(line);
        self.suspicion(link);
        let Some(link) = link else {
            self.lost(place, Flaw::NotARecord);
            return;
        };
        let checkpoint = Checkpoint::is_one(line).then(|| self.checkpoint(line));
        let candidate = Candidate { link, hash: Hash::of(line), place, checkpoint };
        match &self.known {
            Some(known) if link.follows(known.head) || self.gap.contains(&link.seq) => {
                self.accept(candidate.head(), candidate, line);
            }
            Some(_) => self.suspect = Some(candidate),
            None => match self.begins(link, place) {
                Ok(()) => self.accept(candidate.head(), candidate, line),
                Err(flaw) => {
                    let seq = if let Flaw::ChangedNumber { expected } = flaw { expected } else { link.seq };
                    let changed = matches!(flaw, Flaw::Changed | Flaw::ChangedNumber { .. });
                    self.found((place, Some(link.seq), flaw));
                    self.go_on(Head { seq, hash: candidate.hash }, candidate, changed);
                }
            },
        }
    }

    /// A line that is no record, at the place of one or beside it.
    fn lost(&mut self, place: Place, flaw: Flaw) {
        let next = self.expected().unwrap_or(1).saturating_add(1);
        self.gap = match self.gap.is_empty() {
            true => next..=next,
            false => *self.gap.start()..=self.gap.end().saturating_add(1),
        };
        self.found((place, self.expected(), flaw));
    }

    /// Earlier files may not have been given. What the first of all records names is known, and so is the number of the
    /// first record of a file that has it in its name.
    fn begins(&self, link: Link, place: Place) -> Result<(), Flaw> {
        let named = self.files.number(place.file).unwrap_or(link.seq);
        let flaw = if (link.seq == 1) != (link.prev == Hash::NONE) {
            if link.seq == 1 { Flaw::Changed } else { Flaw::ChangedNumber { expected: 1 } }
        } else if !self.findings.is_empty() {
            // What stood before it was told.
            return Ok(());
        } else if named < link.seq {
            Flaw::Removed { from: named, to: link.seq.saturating_sub(1) }
        } else if named > link.seq {
            Flaw::Misplaced { expected: named }
        } else {
            return Ok(());
        };
        Err(flaw)
    }

    /// Takes a line as the next record.
    fn accept(&mut self, head: Head, candidate: Candidate, line: &[u8]) {
        let (place, checkpoint) = (candidate.place, self.witnessed(head, candidate));
        if self.findings.is_empty() {
            self.count(line, head, place, checkpoint.as_ref());
        }
        self.gap = CLOSED;
        self.known = Some(Known { head, place, checkpoint: checkpoint.map(|checkpoint| checkpoint.cause) });
    }

    /// Takes a line after a flaw as the record with which the chain goes on.
    fn go_on(&mut self, head: Head, candidate: Candidate, changed: bool) {
        let (place, checkpoint) = (candidate.place, self.witnessed(head, candidate));
        let next = head.seq.saturating_add(1);
        self.gap = if changed { next..=next } else { CLOSED };
        self.known = Some(Known { head, place, checkpoint: checkpoint.map(|checkpoint| checkpoint.cause) });
    }

    /// Looks at a record by itself: whether it is a good checkpoint, and what was kept elsewhere about it.
    fn witnessed(&mut self, head: Head, candidate: Candidate) -> Option<Checkpoint> {
        let Candidate { place, checkpoint, .. } = candidate;
        let compared = self.compare(head.seq, head.hash);
        let (checkpoint, flaw) = match checkpoint.transpose() {
            Ok(checkpoint) => (checkpoint, compared.err()),
            Err(flaw) => (None, Some(flaw)),
        };
        // A line of which something bad was said already needs no second word.
        if let Some(flaw) = flaw.filter(|_| self.flawed != Some(place)) {
            self.found((place, Some(head.seq), flaw));
        }
        checkpoint
    }

    fn count(&mut self, line: &[u8], head: Head, place: Place, checkpoint: Option<&Checkpoint>) {
        self.last.clear();
        self.last.extend_from_slice(line);
        self.records = self.records.saturating_add(1);
        if self.begun.is_none() {
            self.start = place;
            self.begun = Some((Edge { seq: head.seq, ts: stamp(line).map(str::to_owned) }, head.hash));
        }
        if self.reading == Some(place.file) {
            if let Some(read) = self.read.last_mut() {
                read.last = head.seq;
            }
        } else {
            self.reading = Some(place.file);
            let path = self.files.path(place.file).to_owned();
            self.read.push(FileRead { path, first: head.seq, last: head.seq });
        }
        if let Some(Checkpoint { ts, key, .. }) = checkpoint {
            self.checkpoints = self.checkpoints.saturating_add(1);
            if !self.keys.is_empty() {
                self.proof = Proof::UpTo { seq: head.seq, ts: ts.clone(), key: key.clone() };
            }
        }
        // Without keys nothing was seen to be signed at any time.
        if !self.keys.is_empty() {
            self.watch.see(head.seq, line, checkpoint.is_some());
        }
    }

    fn checkpoint(&self, line: &[u8]) -> Result<Checkpoint, Flaw> {
        let checkpoint = Checkpoint::parse(line).ok_or(Flaw::CheckpointForm)?;
        signed(&checkpoint, self.keys)?;
        Ok(checkpoint)
    }

    /// Compares a record with what was kept elsewhere about it.
    fn compare(&mut self, seq: u64, hash: Hash) -> Result<(), Flaw> {
        while let Some(stated) = self.elsewhere.stated.get(self.compared) {
            if stated.seq > seq {
                break;
            }
            self.compared = self.compared.saturating_add(1);
            if stated.seq < seq {
                // One within a hole is neither here nor there; the hole is told.
                let is_before = self.begun.as_ref().is_none_or(|(edge, _)| stated.seq < edge.seq);
                self.agreement.before = self.agreement.before.saturating_add(u64::from(is_before));
            } else if stated.own == hash {
                self.agreement.agree = self.agreement.agree.saturating_add(1);
            } else {
                return Err(Flaw::Rewritten { checkpoint: stated.line });
            }
        }
        Ok(())
    }

    /// The number of the next record.
    fn expected(&self) -> Option<u64> {
        self.known.and_then(|known| known.head.seq.checked_add(1))
    }

    /// Says why the line that did not fit does not, if there is one, now that the place of the next line is known.
    fn suspicion(&mut self, next: Option<Link>) {
        let (Some(suspect), Some(known)) = (self.suspect.take(), self.known) else { return };
        let first = self.begun.as_ref().map(|begun| begun.1);
        let (wrong, onward) = judge(&suspect, &known, next, !self.keys.is_empty(), first);
        self.found(wrong);
        match onward {
            Onward::Before => {}
            Onward::Anywhere => self.gap = 0..=u64::MAX,
            Onward::Here(head) => self.go_on(head, suspect, false),
            Onward::Changed(head) => self.go_on(head, suspect, true),
        }
    }

    fn found(&mut self, (place, seq, flaw): Wrong) {
        if self.before.is_none() {
            self.before = Some(self.state());
        }
        self.flawed = (!matches!(flaw, Flaw::Removed { .. })).then_some(place);
        // A key that was not given is told once, not with each checkpoint.
        let told = matches!(flaw, Flaw::UnknownKey { .. }) && self.findings.iter().any(|one| one.flaw == flaw);
        if !told && !self.is_full() {
            let file = self.files.path(place.file).to_owned();
            self.findings.push(Finding { file, line: place.line, seq, flaw });
        }
    }
}
