//! Reading a journal for a person: line by line in order, in bounded memory, only the files that can matter, and no word
//! on whether it is as it was written; that is what [`super::verify`] is for.

mod filter;
mod follow;
mod reading;
mod tally;

use std::collections::VecDeque;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use super::layout::Layout;
use super::lines::Lines;
use super::verify::Files;
use crate::clock::Timestamp;
use crate::error::{Code, Failure};

pub use filter::{Filter, Sieve};
pub use follow::Follower;
pub use reading::{Reading, Remote};
pub use tally::{Counts, Durations, Slow, Tally};

/// Records are stamped before they wait for the writer, so times in a file may be a little out of order.
const SLACK: Duration = Duration::from_secs(60);

/// The time of a record, as it is written; `None` unless it is written as a time is.
#[must_use]
pub fn stamp(line: &[u8]) -> Option<&str> {
    const KEY: &[u8] = b",\"ts\":\"";
    // It follows `seq` and `v`.
    let begin = line.get(..line.len().min(64))?.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = line.get(begin.checked_add(KEY.len())?..)?;
    let text = rest.get(..rest.iter().take(40).position(|byte| *byte == b'"')?)?;
    let sound = text.iter().all(|byte| byte.is_ascii_digit() || b"-:.TZ+".contains(byte));
    sound.then(|| std::str::from_utf8(text).ok()).flatten()
}

/// A stretch of time, open at an end without a bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Nothing before this.
    pub since: Option<Timestamp>,
    /// Nothing after this.
    pub until: Option<Timestamp>,
}

/// A journal that is there.
#[derive(Debug)]
pub struct Journal {
    layout: Layout,
    files: Files,
}

/// What could not be read, in words; the rest was.
pub type Troubles = Vec<String>;

impl Journal {
    /// Finds the files of a journal.
    ///
    /// # Errors
    /// [`Code::Io`] when there are none, or they cannot be read.
    pub fn find(layout: Layout) -> Result<Self, Failure> {
        let active = layout.active().display().to_string();
        let segments = layout
            .segments()
            .map_err(|error| Failure::new(Code::Io, "there is no journal").because(format!("{active}: {error}")))?;
        let paths: Vec<PathBuf> = segments.into_iter().map(|segment| segment.path).collect();
        if paths.is_empty() {
            return Err(Failure::new(Code::Io, "there is no journal").because(active));
        }
        let files = Files::gather(&paths)?;
        Ok(Self { layout, files })
    }

    /// Where its files are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many files it has, and how many bytes they have.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        let sizes = (0..self.files.len()).filter_map(|index| fs::metadata(self.files.path(index)).ok());
        (self.files.len(), sizes.map(|metadata| metadata.len()).fold(0, u64::saturating_add))
    }

    /// Hands over every line, in order, of the files that may have records of `span`, until `visit` breaks off. A
    /// half-written last line is left out.
    ///
    /// # Errors
    /// [`Code::Io`] when a file cannot be opened. What is damaged within a file is among the troubles.
    pub fn each(&self, span: Span, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<Troubles, Failure> {
        let mut troubles = Troubles::new();
        for index in self.touched(span) {
            let mut lines = self.files.open(index)?;
            let mut line = Vec::new();
            loop {
                match lines.read(&mut line) {
                    Ok(Some(true)) => {
                        if visit(&line).is_break() {
                            return Ok(troubles);
                        }
                    }
                    Ok(Some(false) | None) => break,
                    Err(error) => {
                        troubles.push(format!("{}: {error}", self.files.path(index).display()));
                        break;
                    }
                }
            }
        }
        Ok(troubles)
    }

    /// The files that may have records of `span`: those that do not end before it and do not begin after it. When a clock
    /// was set back, a file begins earlier than one before it; what was written between such two may be of any time.
    fn touched(&self, span: Span) -> Vec<usize> {
        let all = 0..self.files.len();
        if span == Span::default() {
            return all.collect();
        }
        let since = span.since.map(|since| since.minus(SLACK).to_string());
        let until = span.until.map(|until| until.plus(SLACK).to_string());
        let begins: Vec<Option<String>> = all.clone().map(|index| self.begin(index)).collect();
        // Beginnings that are the latest so far, and those before which none of the later ones lies.
        let mut latest = None;
        let rising = begins.iter().map(|begin| {
            let begin = begin.as_ref().filter(|begin| latest.is_none_or(|latest| *begin >= latest));
            latest = begin.or(latest);
            begin
        });
        let rising: Vec<Option<&String>> = rising.collect();
        let mut earliest = None;
        let lasting = begins.iter().rev().map(|begin| {
            let begin = begin.as_ref().filter(|begin| earliest.is_none_or(|earliest| *begin <= earliest));
            earliest = begin.or(earliest);
            begin
        });
        let mut lasting: Vec<Option<&String>> = lasting.collect();
        lasting.reverse();
        let may = |index: &usize| {
            let next = rising.get(index.saturating_add(1)).copied().flatten();
            let ended = since.as_ref().zip(next).is_some_and(|(since, next)| next < since);
            let begin = lasting.get(*index).copied().flatten();
            let later = until.as_ref().zip(begin).is_some_and(|(until, begin)| begin > until);
            !ended && !later
        };
        all.filter(may).collect()
    }

    fn begin(&self, index: usize) -> Option<String> {
        let line = self.files.open(index).ok()?.next()?.ok()?;
        stamp(&line.bytes).map(str::to_owned)
    }

    /// The last `count` lines, oldest first.
    ///
    /// # Errors
    /// As [`Journal::each`].
    pub fn last(&self, count: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let mut kept: VecDeque<Vec<u8>> = VecDeque::new();
        for index in (0..self.files.len()).rev() {
            let wanted = count.saturating_sub(kept.len());
            if wanted == 0 {
                break;
            }
            let mut earlier = ending(self.files.open(index)?, wanted);
            earlier.append(&mut kept);
            kept = earlier;
        }
        Ok(kept.into())
    }
}

/// The last whole lines of a file, as far as it can be read.
fn ending(mut lines: Lines, count: usize) -> VecDeque<Vec<u8>> {
    let mut kept = VecDeque::with_capacity(count.min(1024));
    let mut line = Vec::new();
    while let Ok(Some(true)) = lines.read(&mut line) {
        // The oldest one's memory is used for the newest.
        let mut room = if kept.len() == count { kept.pop_front().unwrap_or_default() } else { Vec::new() };
        std::mem::swap(&mut room, &mut line);
        kept.push_back(room);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::audit::chain::Head;

    /// Records a minute apart, in files of ten.
    fn journal(home: &Path) -> Journal {
        let layout = Layout::of(&home.join("audit.jsonl"));
        let mut head = Head::START;
        let mut at = Timestamp::from_seconds(0);
        for file in 0..4 {
            let mut page = Vec::new();
            let path = if file == 3 { layout.active().to_owned() } else { layout.rotated(head.seq.saturating_add(1)) };
            for _ in 0..10 {
                head = head.append(format!("{{\"v\":1,\"ts\":\"{at}\"}}").as_bytes(), &mut page).unwrap();
                at = at.plus(Duration::from_secs(60));
            }
            fs::write(path, page).unwrap();
        }
        Journal::find(layout).unwrap()
    }

    #[test]
    fn files_outside_the_time_are_not_read() {
        let home = tempfile::tempdir().unwrap();
        let journal = journal(home.path());
        let at = |minute: i64| Some(Timestamp::from_seconds(minute.saturating_mul(60)));
        for (since, until, files) in [
            (None, None, &[0, 1, 2, 3][..]),
            (at(25), None, &[2, 3]),
            (None, at(12), &[0, 1]),
            (at(12), at(13), &[1]),
            (at(100), None, &[3]),
            (at(20), None, &[1, 2, 3]),
        ] {
            assert_eq!(journal.touched(Span { since, until }), files, "{since:?} {until:?}");
        }
        assert_eq!(journal.size().0, 4);
    }

    #[test]
    fn files_are_read_whose_times_went_back() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::of(&home.path().join("audit.jsonl"));
        let mut head = Head::START;
        // At minute 300 in the second file the clock is set back.
        for minutes in [[100, 150], [200, 300], [50, 80], [90, 140]] {
            let (path, mut page) = (layout.rotated(head.seq.saturating_add(1)), Vec::new());
            for minute in minutes {
                let at = Timestamp::from_seconds(minute * 60);
                head = head.append(format!("{{\"v\":1,\"ts\":\"{at}\"}}").as_bytes(), &mut page).unwrap();
            }
            fs::write(path, page).unwrap();
        }
        let journal = Journal::find(layout).unwrap();
        let at = |minute: i64| Some(Timestamp::from_seconds(minute.saturating_mul(60)));
        for (since, until, files) in [
            (at(160), None, &[0, 1, 2, 3][..]),
            (at(250), None, &[1, 2, 3]),
            (None, at(60), &[0, 1, 2]),
            (None, at(40), &[0, 1]),
        ] {
            assert_eq!(journal.touched(Span { since, until }), files, "{since:?} {until:?}");
        }
    }

    #[test]
    fn the_last_lines_come_from_as_many_files_as_it_takes() {
        let home = tempfile::tempdir().unwrap();
        let journal = journal(home.path());
        for count in [0, 1, 10, 13, 40, 50] {
            let lines = journal.last(count).unwrap();
            assert_eq!(lines.len(), count.min(40));
            let last = lines.last().map(|line| stamp(line).unwrap().to_owned());
            assert_eq!(last, (count > 0).then(|| Timestamp::from_seconds(2340).to_string()));
        }
        assert!(Journal::find(Layout::of(&home.path().join("other.jsonl"))).is_err());
        assert!(Journal::find(Layout::of(&home.path().join("absent/audit.jsonl"))).is_err());
    }

    #[test]
    fn a_time_is_read_only_where_it_stands_and_as_it_is_written() {
        assert_eq!(
            stamp(b"{\"seq\":1,\"v\":1,\"ts\":\"2026-11-20T10:30:45.123Z\",\"e"),
            Some("2026-11-20T10:30:45.123Z")
        );
        assert_eq!(stamp(b"{\"seq\":1,\"v\":1,\"ts\":\"\x1b[2J\",\"e"), None);
        assert_eq!(stamp(b"{\"seq\":1,\"v\":1}"), None);
    }
}
