//! Follows the journal from one record to the next, over its files: rotated, compressed, renamed by others, and the one
//! that is written. Every record that is there is found, in order; of those that are not there the number is told.
//!
//! A record belongs after another when it names its hash. One that names another hash is given only when no file has one
//! that belongs there, and is marked; in a file that is being read every line is given, whatever its number says.

mod entry;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};

use serde::{Deserialize, Serialize};

use super::chain::{Hash, Link};
use super::layout::Layout;
use super::lines::{LONGEST, Lines};

/// So many places are remembered where the chain was left for a record that did not belong there.
const LEFT: usize = 8;

/// Where a record ends in a file that is not compressed: a hint for coming back to it quickly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    inode: u64,
    offset: u64,
}

/// A record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) link: Link,
    /// The hash of its line.
    pub(super) hash: Hash,
    /// How many records before it are not there.
    pub(super) missing: u64,
    /// It does not name the hash of the record that was given before it.
    pub(super) broken: bool,
    /// It stands after that record in one file.
    pub(super) sequel: bool,
    /// Where it ends.
    pub(super) place: Option<Place>,
}

/// A reader of the whole journal.
pub(super) struct Follower {
    layout: Layout,
    /// Number of the record that is looked for.
    next: u64,
    /// Hash of the record before it; `None` when that is not known.
    head: Option<Hash>,
    hint: Option<Place>,
    open: Option<Open>,
    /// What would have belonged where a record stood that did not: it may still come.
    left: Vec<(u64, Hash)>,
}

struct Open {
    from: Source,
    inode: u64,
    /// How far a plain file was read.
    offset: u64,
    /// It was not read from its beginning, on the word of a hint.
    jumped: bool,
    /// Its end was seen since the last record, so it may have been written anew.
    paused: bool,
    /// The last record that was given stands before what is read now.
    flowing: bool,
    /// Other files were asked for what belongs here.
    asked: bool,
    /// What is read now is the rest of a line that is longer than any record.
    overlong: bool,
    /// Its records from this number on are not believed: the file that is written begins with it.
    bound: Option<u64>,
    /// Its end was seen after it had been replaced, so nothing more comes.
    drained: bool,
}

enum Source {
    Plain(BufReader<File>),
    Gzip(Lines),
    Ended,
}

impl Follower {
    /// Begins with record `next`, which follows on `hint` and names the hash `head`, if that is known.
    pub(super) fn new(layout: Layout, next: u64, head: Option<Hash>, hint: Option<Place>) -> Self {
        Self { layout, next, head, hint, open: None, left: Vec::new() }
    }

    /// Goes to record `next`, which follows on `hint` and names the hash `head`, if that is known.
    pub(super) fn seek(&mut self, next: u64, head: Option<Hash>, hint: Option<Place>) {
        (self.next, self.head, self.hint, self.open) = (next, head, hint, None);
    }

    /// Reads the next record into `line`; `None` when there is none yet.
    ///
    /// # Errors
    /// When a file cannot be read. A compressed one that is damaged is left then, and its rest is missing.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Option<Found>> {
        loop {
            if self.open.is_none() {
                self.open = self.enter()?;
            }
            let Some(open) = &mut self.open else { return Ok(None) };
            if !open.read(line)? {
                if !self.goes_on()? {
                    return Ok(None);
                }
                continue;
            }
            let (jumped, paused, flowing, asked) = (open.jumped, open.paused, open.flowing, open.asked);
            let link = match Link::of(line) {
                Some(link) if self.belongs(link) && (link.seq == self.next || !jumped) => {
                    return Ok(self.give(link, line));
                }
                // It may have been cut off and written anew between two looks; so it is read again, once for each look.
                _ if jumped || paused => {
                    self.reopen();
                    continue;
                }
                None => continue,
                Some(link) => link,
            };
            if link.seq < self.next && !flowing {
                let last = self.head.filter(|_| link.seq.checked_add(1) == Some(self.next));
                if let (Some(open), Some(last)) = (&mut self.open, last) {
                    open.flowing = last == Hash::of(line);
                }
            } else if flowing || asked || !self.ask_others(link)? {
                return Ok(self.give(link, line));
            }
        }
    }

    /// Whether the record that was given last has been seen in the file that is written: then that is the journal it
    /// belongs to, whatever the numbers in it say.
    pub(super) fn is_in_flow(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.flowing && self.is_active(open))
    }

    /// Number of the last record of the file that is written; `None` when it has none.
    pub(super) fn head(&self) -> Option<u64> {
        let mut file = entry::open(self.layout.active()).ok()?;
        let length = file.metadata().ok()?.len();
        let longest = u64::try_from(LONGEST).ok()?.saturating_mul(2);
        [1 << 16, longest].into_iter().find_map(|most: u64| {
            let mut end = Vec::new();
            file.seek(SeekFrom::Start(length.saturating_sub(most))).ok()?;
            file.by_ref().take(most).read_to_end(&mut end).ok()?;
            let whole = end.iter().rposition(|byte| *byte == b'\n')?;
            let whole = end.get(..whole)?;
            whole.rsplit(|byte| *byte == b'\n').find_map(Link::of).map(|link| link.seq)
        })
    }

    fn belongs(&self, link: Link) -> bool {
        match self.head {
            Some(head) => (link.seq == self.next && link.prev == head) || self.left.contains(&(link.seq, link.prev)),
            None => link.seq >= self.next,
        }
    }

    /// Goes on from this record; `None` when the file is not believed so far.
    fn give(&mut self, link: Link, line: &[u8]) -> Option<Found> {
        let belongs = self.belongs(link);
        let elsewhere = !belongs && self.open.as_ref().is_some_and(|open| !self.is_active(open));
        let bound = elsewhere.then(|| self.first_written().unwrap_or_default());
        let open = self.open.as_mut()?;
        open.bound = bound.or(open.bound);
        if open.bound.is_some_and(|bound| link.seq >= bound) {
            open.from = Source::Ended;
            return None;
        }
        let sequel = open.flowing;
        (open.jumped, open.paused, open.drained, open.flowing) = (false, false, false, true);
        let (hash, place) = (Hash::of(line), open.place());
        let mut missing = link.seq.saturating_sub(self.next);
        if let Some(index) = self.left.iter().position(|left| *left == (link.seq, link.prev)) {
            self.left.remove(index);
            missing = 0;
        } else if let Some(head) = self.head.filter(|_| !belongs) {
            if self.left.len() >= LEFT {
                self.left.remove(0);
            }
            self.left.push((self.next, head));
        }
        (self.next, self.head) = (link.seq.saturating_add(1), Some(hash));
        Some(Found { link, hash, missing, broken: !belongs, sequel, place })
    }

    fn reopen(&mut self) {
        self.hint = None;
        self.open = self.open.take().and_then(|open| {
            let Source::Plain(mut from) = open.from else { return Some(Open { jumped: false, paused: false, ..open }) };
            from.seek(SeekFrom::Start(0)).ok()?;
            Some(Open::new(Source::Plain(from), open.inode))
        });
    }
}

impl Open {
    fn new(from: Source, inode: u64) -> Self {
        let (jumped, paused, flowing, asked, overlong, drained) = (false, false, false, false, false, false);
        Self { from, inode, offset: 0, jumped, paused, flowing, asked, overlong, bound: None, drained }
    }

    /// Reads the next whole line; `false` when there is none. Of one that is longer than any record only pieces are read,
    /// and each is given as an empty line.
    fn read(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        match &mut self.from {
            Source::Ended => Ok(false),
            Source::Gzip(lines) => match lines.read(line) {
                Ok(Some(whole)) => Ok(whole),
                Ok(None) => Ok(false),
                Err(error) => {
                    self.from = Source::Ended;
                    Err(error)
                }
            },
            Source::Plain(from) => {
                let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
                let count = from.by_ref().take(most).read_until(b'\n', line)?;
                let whole = line.pop_if(|last| *last == b'\n').is_some();
                if !whole && line.len() <= LONGEST {
                    // Half a line may be cut off and written anew, so it is never put together from two looks.
                    from.seek(SeekFrom::Start(self.offset))?;
                    self.paused = true;
                    return Ok(false);
                }
                if std::mem::replace(&mut self.overlong, !whole) || !whole {
                    line.clear();
                }
                self.offset = self.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                Ok(true)
            }
        }
    }

    fn place(&self) -> Option<Place> {
        matches!(self.from, Source::Plain(_)).then_some(Place { inode: self.inode, offset: self.offset })
    }
}

#[cfg(test)]
mod tests;
