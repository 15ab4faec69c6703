//! What only the end tells: how a journal ends, what the checkpoints kept elsewhere miss in it, and the report.

use super::Examiner;
use crate::audit::checkpoint::Cause;
use crate::audit::search::stamp;
use crate::audit::verify::elsewhere::Stated;
use crate::audit::verify::flaw::Flaw;
use crate::audit::verify::report::{Edge, Ending, Report};
use crate::audit::verify::suspect::{Known, Place};

impl Examiner<'_> {
    /// The last record, and what it is.
    pub(super) fn state(&self) -> (Option<Edge>, Ending) {
        let ending = match self.known.and_then(|known| known.checkpoint) {
            Some(Cause::Stop) => Ending::Stop,
            Some(Cause::Interval | Cause::Rotation) => Ending::Checkpoint,
            None => Ending::Open,
        };
        (self.known.map(|known| Edge { seq: known.head.seq, ts: stamp(&self.last).map(str::to_owned) }), ending)
    }

    /// What is left to say when all lines were judged.
    pub(in crate::audit::verify) fn report(mut self) -> Report {
        let given_up = self.is_full();
        if !given_up {
            self.end();
        }
        let (last, ending) = self.before.take().unwrap_or_else(|| self.state());
        let mut findings = self.findings.into_iter();
        Report {
            files: self.read,
            last,
            first: self.begun.map(|(edge, _)| edge),
            records: self.records,
            checkpoints: self.checkpoints,
            proof: self.proof,
            late: self.watch.late(),
            ending,
            elsewhere: self.elsewhere.given().then_some(self.agreement),
            finding: findings.next(),
            further: findings.collect(),
            given_up,
        }
    }

    fn end(&mut self) {
        self.suspicion(None);
        let Some(Known { head, place, checkpoint }) = self.known else {
            if self.findings.is_empty() {
                self.found((Place { file: 0, line: 0 }, None, Flaw::Empty));
            }
            return;
        };
        // No record follows that would name the hash of the last one. What can be said of it without that is said.
        if checkpoint.is_none() && self.findings.is_empty() {
            let flaw = match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&self.last) {
                Err(_) => Some(Flaw::NotARecord),
                Ok(members) => (members.contains_key("checkpoint")
                    || members.get("event").is_some_and(|event| event == "checkpoint"))
                .then_some(Flaw::CheckpointForm),
            };
            if let Some(flaw) = flaw {
                self.found((place, Some(head.seq), flaw));
            }
        }
        let left = self.elsewhere.stated.get(self.compared..).unwrap_or_default();
        let (next, last) = (left.first().copied(), left.last().copied());
        if let Some(next) = next
            && next.seq == head.seq.saturating_add(1)
            && next.covered != head.hash
            && self.flawed != Some(place)
        {
            self.found((place, Some(head.seq), Flaw::Rewritten { checkpoint: next.line }));
        }
        let witnesses = self.elsewhere.stated.first().zip(self.elsewhere.stated.last());
        if let Some((from, to)) = witnesses
            && self.agreement.agree == 0
            && self.findings.is_empty()
            && last.is_none()
        {
            let (from, to) = (from.seq, to.seq);
            let first = self.begun.as_ref().map(|(edge, _)| edge.seq);
            self.found((self.start, first, Flaw::Unwitnessed { from, to }));
        }
        if let Some(Stated { seq, line, .. }) = last {
            let from = head.seq.saturating_add(1);
            self.found((place, Some(head.seq), Flaw::CutOff { from, to: seq, checkpoint: line }));
        }
    }
}
