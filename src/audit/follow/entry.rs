//! Which file has the next record: at the beginning, at the end of a file, and where a line does not belong.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::{Follower, Open, Source};
use crate::audit::chain::Link;
use crate::audit::layout::{Segment, first_record};
use crate::audit::lines::Lines;

impl Follower {
    /// The file that has the next record; without one the first that comes after it.
    pub(super) fn enter(&self) -> io::Result<Option<Open>> {
        let segments = self.layout.segments()?;
        let hinted = |one: &&Segment| {
            let inode = std::fs::metadata(&one.path).map(|metadata| metadata.ino());
            self.hint.is_some_and(|hint| inode.is_ok_and(|inode| inode == hint.inode))
        };
        let active = |one: &&Segment| one.path == self.layout.active();
        let before = |one: &&Segment| one.first.is_some_and(|first| first <= self.next);
        let chosen = segments.iter().find(hinted).or_else(|| {
            let written = segments.iter().filter(before).find(active);
            written.or_else(|| segments.iter().rev().filter(before).max_by_key(|one| one.first))
        });
        chosen.or_else(|| self.later(&segments)).map_or(Ok(None), |segment| self.try_start(segment))
    }

    /// The first file that begins with a record after the next one. The file that is written comes last: what claims to
    /// come after it is not believed.
    fn later<'a>(&self, segments: &'a [Segment]) -> Option<&'a Segment> {
        let written = segments.iter().find(|one| one.path == self.layout.active())?.first?;
        let fits = |one: &&Segment| one.first.is_some_and(|first| first >= self.next && first <= written);
        segments.iter().filter(fits).min_by_key(|one| one.first)
    }

    /// At the end of a file: whether there is more to read, in this file or another.
    pub(super) fn goes_on(&mut self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(true) };
        if self.is_active(open) && !matches!(open.from, Source::Ended) {
            let length = std::fs::metadata(self.layout.active()).map_or(0, |metadata| metadata.len());
            if length < open.offset {
                self.reopen();
                return Ok(true);
            }
            return Ok(false);
        }
        let segments = self.layout.segments()?;
        let active = segments.iter().find(|one| one.path == self.layout.active());
        let written = active.and_then(|one| one.first);
        let mut older = segments.iter().filter(|one| written.is_none_or(|written| one.first < Some(written)));
        let exact = |one: &&Segment| one.first == Some(self.next);
        if let Some(segment) = active.filter(exact).or_else(|| older.find(exact)) {
            return self.change(segment);
        }
        let holds = active.filter(|one| one.first.is_some_and(|first| first < self.next));
        let Some(segment) = holds.or_else(|| self.later(&segments)) else { return Ok(false) };
        let drained = open.drained;
        if !drained {
            // Others may have renamed it while it is still written; then what follows it is not there yet.
            if let Some(open) = &mut self.open {
                open.drained = true;
            }
            return Ok(true);
        }
        self.change(segment)
    }

    /// Looks through other files for the record that belongs where `link` does not, and goes there; without one to the
    /// file that has the least number from the next one on. `false` when that is this file.
    pub(super) fn ask_others(&mut self, link: Link) -> io::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        open.asked = true;
        let own = open.inode;
        let written = self.first_written().unwrap_or(u64::MAX);
        let (mut least, mut best) = (link.seq, None);
        for segment in self.layout.segments()? {
            // One that claims to come after the file that is written is looked into as well.
            let may = segment.first.is_some_and(|first| first <= self.next || first > written);
            if !may || std::fs::metadata(&segment.path).is_ok_and(|metadata| metadata.ino() == own) {
                continue;
            }
            // One that cannot be read to its end has told what it can.
            let Ok(lines) = open_lines(&segment.path) else { continue };
            let links = lines.map_while(Result::ok).filter_map(|line| Link::of(&line.bytes));
            let end = if segment.path == self.layout.active() { u64::MAX } else { written };
            for other in links.filter(|other| other.seq >= self.next && other.seq < end) {
                if self.belongs(other) {
                    return self.turn_to(&segment);
                }
                if other.seq < least {
                    (least, best) = (other.seq, Some(segment.clone()));
                }
            }
        }
        best.map_or(Ok(false), |segment| self.turn_to(&segment))
    }

    fn turn_to(&mut self, segment: &Segment) -> io::Result<bool> {
        let _ = self.change(segment)?;
        if let Some(open) = &mut self.open {
            open.asked = true;
        }
        Ok(true)
    }

    pub(super) fn is_active(&self, open: &Open) -> bool {
        std::fs::metadata(self.layout.active()).is_ok_and(|active| active.ino() == open.inode)
    }

    /// Number of the first record of the file that is written.
    pub(super) fn first_written(&self) -> Option<u64> {
        let active = self.layout.active();
        open(active).ok().and_then(|_| first_record(active))
    }

    fn change(&mut self, segment: &Segment) -> io::Result<bool> {
        (self.open, self.hint) = (None, None);
        self.open = self.try_start(segment)?;
        Ok(self.open.is_some())
    }

    fn try_start(&self, segment: &Segment) -> io::Result<Option<Open>> {
        match self.start(&segment.path) {
            // It was compressed, or deleted, since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            started => started.map(Some),
        }
    }

    fn start(&self, path: &Path) -> io::Result<Open> {
        let mut file = open(path)?;
        let metadata = file.metadata()?;
        let bound = if path == self.layout.active() { None } else { self.first_written() };
        let mut magic = [0; 2];
        let gzip = file.read(&mut magic)? == 2 && magic == [0x1f, 0x8b];
        if gzip {
            return Ok(Open { bound, ..Open::new(Source::Gzip(Lines::open(path)?), metadata.ino()) });
        }
        let hint = self.hint.filter(|hint| hint.inode == metadata.ino() && hint.offset <= metadata.len());
        let offset = hint.map_or(0, |hint| hint.offset);
        file.seek(SeekFrom::Start(offset))?;
        let from = Source::Plain(BufReader::with_capacity(256 << 10, file));
        Ok(Open { offset, bound, jumped: offset > 0, ..Open::new(from, metadata.ino()) })
    }
}

/// Opens a regular file; a pipe that somebody put there is not waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

fn open_lines(path: &Path) -> io::Result<Lines> {
    drop(open(path)?);
    Lines::open(path)
}
