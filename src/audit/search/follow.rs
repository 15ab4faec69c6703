//! Follows a journal that is being written, through every rotation: what was begun is read to its end first, and no
//! record is told twice.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::audit::chain::Link;
use crate::audit::layout::Layout;
use crate::audit::lines::Lines;
use crate::error::{Code, Failure};

/// A place in the journal, after everything that was told.
pub struct Follower {
    layout: Layout,
    reading: Option<Reading>,
    /// Number of the last record that was told.
    told: u64,
}

struct Reading {
    lines: Lines,
    /// Device and inode.
    file: (u64, u64),
    /// The beginning of a line whose end is not yet there.
    partial: Vec<u8>,
}

impl Follower {
    /// Begins after record `told`.
    #[must_use]
    pub fn after(layout: Layout, told: u64) -> Self {
        Self { layout, reading: None, told }
    }

    /// Tells every line that is new.
    ///
    /// # Errors
    /// [`Code::Io`] when a file cannot be read. One that is not there is waited for.
    pub fn poll(&mut self, tell: &mut dyn FnMut(&[u8])) -> Result<(), Failure> {
        self.turn(tell).map_err(|error| {
            Failure::new(Code::Io, "the journal cannot be read")
                .because(format!("{}: {error}", self.layout.active().display()))
        })
    }

    fn turn(&mut self, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let now = identity(&self.layout)?;
        if let Some(reading) = &mut self.reading {
            // Once there is another file of the name, nobody writes to this one any more: now it can be read to its end.
            reading.lines(&mut self.told, tell)?;
            if now.is_none() || now == Some(reading.file) {
                return Ok(());
            }
        }
        let Some(file) = now else { return Ok(()) };
        self.reading = None;
        self.rotated(tell)?;
        match Lines::open(self.layout.active()) {
            Ok(lines) if identity(&self.layout)? == Some(file) => {
                let reading = self.reading.insert(Reading { lines, file, partial: Vec::new() });
                reading.lines(&mut self.told, tell)
            }
            // Rotated in this very moment: the next turn sees it.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Files that were begun and rotated since the last turn.
    fn rotated(&mut self, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let segments = self.layout.segments()?;
        let ends = segments.iter().skip(1).map(|segment| segment.first).chain([None]);
        for (segment, next) in segments.iter().zip(ends) {
            let is_told = next.is_some_and(|next| next <= self.told.saturating_add(1));
            if segment.path == self.layout.active() || segment.first.is_none() || is_told {
                continue;
            }
            match Lines::open(&segment.path) {
                Ok(lines) => {
                    let mut reading = Reading { lines, file: (0, 0), partial: Vec::new() };
                    reading.lines(&mut self.told, tell)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Reading {
    /// Tells the whole lines that are there and new.
    fn lines(&mut self, told: &mut u64, tell: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut line = Vec::new();
        while let Some(whole) = self.lines.read(&mut line)? {
            self.partial.extend_from_slice(&line);
            if !whole {
                break;
            }
            match Link::of(&self.partial).map(|link| link.seq) {
                Some(seq) if seq <= *told => {}
                Some(seq) => {
                    *told = seq;
                    tell(&self.partial);
                }
                None => tell(&self.partial),
            }
            self.partial.clear();
        }
        Ok(())
    }
}

fn identity(layout: &Layout) -> io::Result<Option<(u64, u64)>> {
    match fs::metadata(layout.active()) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::audit::chain::Head;

    struct World {
        home: tempfile::TempDir,
        head: Head,
        first: u64,
    }

    impl World {
        fn layout(&self) -> Layout {
            Layout::of(&self.home.path().join("audit.jsonl"))
        }

        fn record(&mut self) -> Vec<u8> {
            let mut page = Vec::new();
            self.head = self.head.append(b"{\"v\":1}", &mut page).unwrap();
            page
        }

        fn write(&mut self, bytes: &[u8]) {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(self.layout().active()).unwrap();
            file.write_all(bytes).unwrap();
        }

        fn records(&mut self, count: usize) {
            (0..count).for_each(|_| {
                let line = self.record();
                self.write(&line);
            });
        }

        fn rotate(&mut self) {
            fs::rename(self.layout().active(), self.layout().rotated(self.first)).unwrap();
            self.first = self.head.seq.saturating_add(1);
        }
    }

    fn told(follower: &mut Follower) -> Vec<u64> {
        let mut all = Vec::new();
        follower.poll(&mut |line| all.push(Link::of(line).unwrap().seq)).unwrap();
        all
    }

    #[test]
    fn every_record_is_told_once_through_rotations() {
        let mut world = World { home: tempfile::tempdir().unwrap(), head: Head::START, first: 1 };
        let mut follower = Follower::after(world.layout(), 2);
        assert!(told(&mut follower).is_empty(), "the file is not there yet");
        world.records(4);
        assert_eq!(told(&mut follower), [3, 4]);
        world.records(1);
        world.rotate();
        assert_eq!(told(&mut follower), [5], "renamed, and no new file yet");
        world.records(2);
        world.rotate();
        world.records(2);
        world.rotate();
        world.records(1);
        assert_eq!(told(&mut follower), [6, 7, 8, 9, 10]);
        let line = world.record();
        world.write(&line[..20]);
        assert!(told(&mut follower).is_empty(), "a half line is not told");
        world.write(&line[20..]);
        assert_eq!(told(&mut follower), [11]);
        assert!(told(&mut follower).is_empty());
    }
}
