//! Follows the journal from one record to the next, over its files: rotated, compressed, renamed by others, and the one
//! that is written. Every record that is there is found, in order; of those that are not there the number is told.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::layout::{Layout, Segment};
use super::lines::{LONGEST, Lines};

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
    /// How many records before it are not there.
    pub(super) missing: u64,
    /// Where it ends.
    pub(super) place: Option<Place>,
}

/// A reader of the whole journal.
pub(super) struct Follower {
    layout: Layout,
    /// Number of the record that is looked for.
    next: u64,
    hint: Option<Place>,
    open: Option<Open>,
}

struct Open {
    from: Source,
    inode: u64,
    /// How far a plain file was read.
    offset: u64,
    /// It was not read from its beginning, on the word of a hint.
    jumped: bool,
    /// The line at this offset is no record; a second look decided that.
    doubted: Option<u64>,
    /// Its end was seen after it had been replaced, so nothing more comes.
    drained: bool,
}

enum Source {
    Plain(BufReader<File>),
    Gzip(Lines),
    Ended,
}

impl Follower {
    /// Begins with record `next`, which follows on `hint`.
    pub(super) fn new(layout: Layout, next: u64, hint: Option<Place>) -> Self {
        Self { layout, next, hint, open: None }
    }

    /// Goes to record `next`, which follows on `hint`.
    pub(super) fn seek(&mut self, next: u64, hint: Option<Place>) {
        (self.next, self.hint, self.open) = (next, hint, None);
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
            let begin = open.offset;
            if !open.read(line)? {
                if !self.goes_on()? {
                    return Ok(None);
                }
                continue;
            }
            match Link::of(line) {
                Some(link) if open.jumped && link.seq != self.next => self.reopen(None),
                Some(link) if link.seq < self.next => open.jumped = false,
                Some(link) => {
                    (open.jumped, open.drained) = (false, false);
                    let missing = link.seq.saturating_sub(self.next);
                    self.next = link.seq.saturating_add(1);
                    return Ok(Some(Found { link, missing, place: open.place() }));
                }
                // The file may have been cut off and written anew between two looks; so it is read again, once.
                None if open.jumped || open.doubted != Some(begin) => self.reopen(Some(begin)),
                None => {}
            }
        }
    }

    /// Number of the last record of the file that is written; `None` when it has none.
    pub(super) fn head(&self) -> Option<u64> {
        let mut file = File::open(self.layout.active()).ok()?;
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

    fn reopen(&mut self, doubted: Option<u64>) {
        self.hint = None;
        self.open = self.open.take().and_then(|open| {
            let Source::Plain(mut from) = open.from else { return Some(Open { doubted, ..open }) };
            from.seek(SeekFrom::Start(0)).ok()?;
            Some(Open::new(Source::Plain(from), open.inode, doubted))
        });
    }

    /// The file that has the next record; without one the first that comes after it.
    fn enter(&self) -> io::Result<Option<Open>> {
        let segments = self.layout.segments()?;
        let before = |segment: &&Segment| segment.first.is_some_and(|first| first <= self.next);
        let chosen = segments.iter().rev().find(before).or_else(|| segments.iter().find(|one| one.first.is_some()));
        let Some(segment) = chosen else { return Ok(None) };
        match self.start(segment) {
            // It was compressed, or deleted, since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            started => started.map(Some),
        }
    }

    fn start(&self, segment: &Segment) -> io::Result<Open> {
        let mut file = File::open(&segment.path)?;
        let metadata = file.metadata()?;
        let mut magic = [0; 2];
        let gzip = file.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
        if gzip {
            return Ok(Open::new(Source::Gzip(Lines::open(&segment.path)?), metadata.ino(), None));
        }
        let hint = self.hint.filter(|hint| hint.inode == metadata.ino() && hint.offset <= metadata.len());
        let offset = hint.map_or(0, |hint| hint.offset);
        file.seek(SeekFrom::Start(offset))?;
        let from = Source::Plain(BufReader::with_capacity(256 << 10, file));
        Ok(Open { offset, jumped: offset > 0, ..Open::new(from, metadata.ino(), None) })
    }

    /// At the end of a file: whether there is more to read, in this file or another.
    fn goes_on(&mut self) -> io::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(true) };
        if let (Source::Plain(_), Ok(active)) = (&open.from, std::fs::metadata(self.layout.active()))
            && active.ino() == open.inode
        {
            if active.len() < open.offset {
                self.reopen(None);
                return Ok(true);
            }
            return Ok(false);
        }
        let segments = self.layout.segments()?;
        let follows = segments.iter().any(|segment| segment.first == Some(self.next));
        let later = segments.iter().any(|segment| segment.first.is_some_and(|first| first > self.next));
        if follows || (later && open.drained) {
            self.open = None;
            self.hint = None;
            return self.enter_later(&segments);
        }
        // Others may have renamed it while it is still written; then what follows it is not there yet.
        open.drained = later;
        Ok(later)
    }

    fn enter_later(&mut self, segments: &[Segment]) -> io::Result<bool> {
        let next = segments.iter().find(|segment| segment.first.is_some_and(|first| first >= self.next));
        match next.map(|segment| self.start(segment)).transpose() {
            Ok(open) => self.open = open,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(self.open.is_some())
    }
}

impl Open {
    fn new(from: Source, inode: u64, doubted: Option<u64>) -> Self {
        Self { from, inode, offset: 0, jumped: false, doubted, drained: false }
    }

    /// Reads the next whole line; `false` when there is none.
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
                let count = from.read_until(b'\n', line)?;
                if line.pop_if(|last| *last == b'\n').is_none() {
                    // Half a line may be cut off and written anew, so it is never put together from two looks.
                    from.seek(SeekFrom::Start(self.offset))?;
                    return Ok(false);
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
