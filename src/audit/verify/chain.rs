//! Follows the chain from line to line. A line that does not fit is judged together with the one after it, for only that
//! one tells whether this line or the one before was changed.

use super::elsewhere::{Elsewhere, Stated, signed};
use super::files::Files;
use super::flaw::{Finding, Flaw};
use super::pages::Page;
use super::report::{Agreement, Edge, Ending, FileRead, Proof, Report};
use crate::audit::chain::{Hash, Head, Link};
use crate::audit::checkpoint::{Cause, Checkpoint};
use crate::audit::search::stamp;
use crate::pki::PublicKey;

/// A line of a file.
#[derive(Clone, Copy, Default)]
struct Place {
    file: usize,
    line: u64,
}

/// The last record that is as it was written.
#[derive(Clone, Copy)]
struct Known {
    head: Head,
    place: Place,
    /// The checkpoint that it is. With keys its signature is good, so it cannot have been changed.
    checkpoint: Option<Cause>,
}

/// A line that does not follow the last record.
struct Suspect {
    link: Link,
    hash: Hash,
    place: Place,
    sealed: bool,
}

/// Judges lines and remembers what the report needs.
pub(super) struct Examiner<'a> {
    files: &'a Files,
    keys: &'a [PublicKey],
    elsewhere: Elsewhere,
    /// Checkpoints kept elsewhere that are dealt with.
    compared: usize,
    agreement: Agreement,
    begun: Option<(Edge, Hash)>,
    known: Option<Known>,
    suspect: Option<Suspect>,
    last: Vec<u8>,
    read: Vec<FileRead>,
    reading: Option<usize>,
    records: u64,
    checkpoints: u64,
    proof: Proof,
    finding: Option<Finding>,
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
            known: None,
            suspect: None,
            last: Vec::new(),
            read: Vec::new(),
            reading: None,
            records: 0,
            checkpoints: 0,
            proof,
            finding: None,
        }
    }

    /// How many records are as they were written.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Judges the lines of a page; false once something was found.
    pub(super) fn page(&mut self, page: &Page) -> bool {
        let mut place = Place { file: page.file, line: page.before };
        let count = page.len();
        for (index, line) in page.lines().enumerate() {
            place.line = place.line.saturating_add(1);
            let torn = page.torn && index.saturating_add(1) == count;
            let judged = if torn { self.torn(place) } else { self.line(line, place) };
            if let Err((place, seq, flaw)) = judged {
                self.found(place, seq, flaw);
                return false;
            }
        }
        true
    }

    /// Nothing more can be read of a file. Always false.
    pub(super) fn damaged(&mut self, file: usize, line: u64, why: String) -> bool {
        let place = Place { file, line: line.saturating_add(1) };
        let (place, seq, flaw) =
            self.suspicion(None).unwrap_or_else(|| (place, self.expected(), Flaw::Unreadable { why }));
        self.found(place, seq, flaw);
        false
    }

    fn torn(&mut self, place: Place) -> Judged {
        Err(self.suspicion(None).unwrap_or_else(|| (place, self.expected(), Flaw::HalfWritten)))
    }

    fn line(&mut self, line: &[u8], place: Place) -> Judged {
        let link = Link::of(line);
        if let Some(wrong) = self.suspicion(link) {
            return Err(wrong);
        }
        let Some(link) = link else { return Err((place, self.expected(), Flaw::NotARecord)) };
        let hash = Hash::of(line);
        let follows = match &self.known {
            Some(known) => link.follows(known.head),
            None => self.begins(link, place)?,
        };
        let checkpoint = Checkpoint::is_one(line).then(|| self.checkpoint(line));
        if !follows {
            let sealed = matches!(checkpoint, Some(Ok(_))) && !self.keys.is_empty();
            self.suspect = Some(Suspect { link, hash, place, sealed });
            return Ok(());
        }
        let checkpoint = checkpoint.transpose().map_err(|flaw| (place, Some(link.seq), flaw))?;
        self.compare(link.seq, hash).map_err(|flaw| (place, Some(link.seq), flaw))?;
        self.accept(line, Head { seq: link.seq, hash }, place, checkpoint);
        Ok(())
    }

    /// Earlier files may not have been given. What the first of all records names is known, and so is the number of the
    /// first record of a file that has it in its name.
    fn begins(&self, link: Link, place: Place) -> Result<bool, Wrong> {
        let named = self.files.number(place.file).unwrap_or(link.seq);
        let flaw = if (link.seq == 1) != (link.prev == Hash::NONE) {
            if link.seq == 1 { Flaw::Changed } else { Flaw::ChangedNumber { expected: 1 } }
        } else if named < link.seq {
            Flaw::Removed { from: named, to: link.seq.saturating_sub(1) }
        } else if named > link.seq {
            Flaw::Misplaced { expected: named }
        } else {
            return Ok(true);
        };
        Err((place, Some(link.seq), flaw))
    }

    fn accept(&mut self, line: &[u8], head: Head, place: Place, checkpoint: Option<Checkpoint>) {
        self.last.clear();
        self.last.extend_from_slice(line);
        self.records = self.records.saturating_add(1);
        if self.begun.is_none() {
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
        let cause = checkpoint.as_ref().map(|checkpoint| checkpoint.cause);
        if let Some(Checkpoint { ts, key, .. }) = checkpoint {
            self.checkpoints = self.checkpoints.saturating_add(1);
            if !self.keys.is_empty() {
                self.proof = Proof::UpTo { seq: head.seq, ts, key };
            }
        }
        self.known = Some(Known { head, place, checkpoint: cause });
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
                self.agreement.before = self.agreement.before.saturating_add(1);
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

    /// Why the line that did not fit does not, now that the place of the next line is known, if there is one.
    fn suspicion(&mut self, next: Option<Link>) -> Option<Wrong> {
        let (suspect, known) = (self.suspect.take()?, self.known?);
        let Suspect { link, hash, place, sealed } = suspect;
        let expected = known.head.seq.saturating_add(1);
        let here = |flaw| Some((place, Some(link.seq), flaw));
        let follows_known = next.is_some_and(|next| next.follows(known.head));
        let follows_this = next.is_some_and(|next| next.follows(Head { seq: link.seq, hash }));
        if hash == known.head.hash {
            here(Flaw::Repeated)
        } else if follows_known {
            here(if link.seq <= known.head.seq { Flaw::Repeated } else { Flaw::Inserted })
        } else if link.prev == known.head.hash {
            Some((place, Some(expected), Flaw::ChangedNumber { expected }))
        } else if link.seq == expected {
            // Its number is right and the hash that it names is not: what follows says which of the two was changed.
            let before = (known.place, Some(known.head.seq), Flaw::Changed);
            let guarded = known.checkpoint.is_some() && !self.keys.is_empty();
            match (guarded, sealed || follows_this, next) {
                (true, _, _) | (false, false, Some(_)) => here(Flaw::Changed),
                (false, true, _) => Some(before),
                (false, false, None) => here(Flaw::Unfit),
            }
        } else if link.seq > expected {
            let moved = next.is_some_and(|next| (expected..link.seq).contains(&next.seq));
            here(if moved {
                Flaw::Misplaced { expected }
            } else {
                Flaw::Removed { from: expected, to: link.seq.saturating_sub(1) }
            })
        } else if link.seq == 1 && link.prev == Hash::NONE && self.begun.as_ref().is_none_or(|begun| begun.1 != hash) {
            here(Flaw::SecondChain)
        } else {
            here(Flaw::Misplaced { expected })
        }
    }

    fn found(&mut self, place: Place, seq: Option<u64>, flaw: Flaw) {
        let file = self.files.path(place.file).to_owned();
        self.finding = Some(Finding { file, line: place.line, seq, flaw });
    }

    /// What is left to say when all lines were judged.
    pub(super) fn report(mut self) -> Report {
        if self.finding.is_none()
            && let Err((place, seq, flaw)) = self.end()
        {
            self.found(place, seq, flaw);
        }
        let ending = match self.known.and_then(|known| known.checkpoint) {
            Some(Cause::Stop) => Ending::Stop,
            Some(Cause::Interval | Cause::Rotation) => Ending::Checkpoint,
            None => Ending::Open,
        };
        Report {
            files: self.read,
            last: self.known.map(|known| Edge { seq: known.head.seq, ts: stamp(&self.last).map(str::to_owned) }),
            first: self.begun.map(|(edge, _)| edge),
            records: self.records,
            checkpoints: self.checkpoints,
            proof: self.proof,
            ending,
            elsewhere: self.elsewhere.given().then_some(self.agreement),
            finding: self.finding,
        }
    }

    fn end(&mut self) -> Judged {
        if let Some(wrong) = self.suspicion(None) {
            return Err(wrong);
        }
        let Some(Known { head, place, checkpoint }) = self.known else {
            return Err((Place { file: 0, line: 0 }, None, Flaw::Empty));
        };
        // No record follows that would name the hash of the last one. What can be said of it without that is said.
        if checkpoint.is_none() {
            let flaw = match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&self.last) {
                Err(_) => Some(Flaw::NotARecord),
                Ok(members) => (members.contains_key("checkpoint")
                    || members.get("event").is_some_and(|event| event == "checkpoint"))
                .then_some(Flaw::CheckpointForm),
            };
            if let Some(flaw) = flaw {
                return Err((place, Some(head.seq), flaw));
            }
        }
        let left = self.elsewhere.stated.get(self.compared..).unwrap_or_default();
        if let Some(next) = left.first()
            && next.seq == head.seq.saturating_add(1)
            && next.covered != head.hash
        {
            return Err((place, Some(head.seq), Flaw::Rewritten { checkpoint: next.line }));
        }
        match left.last() {
            Some(Stated { seq, line, .. }) => {
                let from = head.seq.saturating_add(1);
                Err((place, Some(head.seq), Flaw::CutOff { from, to: *seq, checkpoint: *line }))
            }
            None => Ok(()),
        }
    }
}

/// Where it is, the number of the record as far as it is known, and what is wrong.
type Wrong = (Place, Option<u64>, Flaw);
type Judged = Result<(), Wrong>;
