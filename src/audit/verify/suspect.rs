//! Judges a line that does not follow the last record, and says where the chain goes on after it: at the first line that
//! can be trusted to stand where it was written, so that one flaw is told once and the next one is still seen.

use std::ops::RangeInclusive;

use super::flaw::Flaw;
use crate::audit::chain::{Hash, Head, Link};
use crate::audit::checkpoint::{Cause, Checkpoint};

/// A line of a file.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) line: u64,
}

/// The last record that is as it was written, or with which the chain goes on after a flaw.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) head: Head,
    pub(super) place: Place,
    /// The checkpoint that it is. With keys its signature is good, so it cannot have been changed.
    pub(super) checkpoint: Option<Cause>,
}

/// A line that has a place in a chain.
pub(super) struct Candidate {
    pub(super) link: Link,
    pub(super) hash: Hash,
    pub(super) place: Place,
    /// What it is worth, if it says that it is a checkpoint.
    pub(super) checkpoint: Option<Result<Checkpoint, Flaw>>,
}

impl Candidate {
    pub(super) fn head(&self) -> Head {
        Head { seq: self.link.seq, hash: self.hash }
    }
}

/// Where the flaw is, the number of the record as far as it is known, and what is wrong.
pub(super) type Wrong = (Place, Option<u64>, Flaw);

/// Numbers that the next record may have although it does not name the hash of the last one. Nothing but a flaw that was
/// told opens one.
pub(super) type Gap = RangeInclusive<u64>;

/// With which line the chain goes on.
pub(super) enum Onward {
    /// With the last record, as if this line were not there.
    Before,
    /// With the last record, and whatever line comes next.
    Anywhere,
    /// With this line as the record that it is.
    Here(Head),
    /// With this line, whose hash need not be the one that the next record names.
    Changed(Head),
}

/// No number.
#[expect(clippy::reversed_empty_ranges, reason = "a gap without a number in it is what is meant")]
pub(super) const CLOSED: Gap = 1..=0;

/// Why a line that does not follow `known` does not, now that the place of the next line is known, if there is one.
pub(super) fn judge(
    suspect: &Candidate,
    known: &Known,
    next: Option<Link>,
    keyed: bool,
    first: Option<Hash>,
) -> (Wrong, Onward) {
    let &Candidate { link, hash, place, .. } = suspect;
    let expected = known.head.seq.saturating_add(1);
    let wrong = |flaw| (place, Some(link.seq), flaw);
    let this = suspect.head();
    let follows_known = next.is_some_and(|next| next.follows(known.head));
    let follows_this = next.is_some_and(|next| next.follows(this));
    if hash == known.head.hash {
        (wrong(Flaw::Repeated), Onward::Before)
    } else if follows_known {
        (wrong(if link.seq <= known.head.seq { Flaw::Repeated } else { Flaw::Inserted }), Onward::Before)
    } else if link.prev == known.head.hash {
        let flaw = Flaw::ChangedNumber { expected };
        ((place, Some(expected), flaw), Onward::Changed(Head { seq: expected, hash }))
    } else if link.seq == expected {
        // Its number is right and the hash that it names is not: what follows says which of the two was changed.
        let guarded = known.checkpoint.is_some() && keyed;
        let sealed = matches!(suspect.checkpoint, Some(Ok(_))) && keyed;
        match (guarded, sealed || follows_this, next) {
            (true, _, _) | (false, false, Some(_)) => (wrong(Flaw::Changed), Onward::Changed(this)),
            (false, true, _) => ((known.place, Some(known.head.seq), Flaw::Changed), Onward::Here(this)),
            (false, false, None) => (wrong(Flaw::Unfit), Onward::Changed(this)),
        }
    } else if link.seq > expected {
        if next.is_some_and(|next| (expected..link.seq).contains(&next.seq)) {
            (wrong(Flaw::Misplaced { expected }), Onward::Anywhere)
        } else {
            let flaw = Flaw::Removed { from: expected, to: link.seq.saturating_sub(1) };
            (wrong(flaw), Onward::Here(this))
        }
    } else if link.seq == 1 && link.prev == Hash::NONE && first.is_none_or(|first| first != hash) {
        (wrong(Flaw::SecondChain), Onward::Here(this))
    } else {
        (wrong(Flaw::Misplaced { expected }), Onward::Anywhere)
    }
}
