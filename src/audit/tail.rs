//! Finds the end of a journal file: its last record that is sound in form. Whatever stands after it is not guessed at.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use super::chain::{Hash, Head, Link};
use super::lines::{LONGEST, Lines};
use crate::pki::file;

/// How much is read from the end before the whole file is.
const GLANCE: u64 = 2 << 20;

/// Where a file ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    /// Its last sound record.
    pub(super) last: Option<Head>,
    /// The byte after that record's newline.
    pub(super) at: u64,
}

/// The end of a plain file.
pub(super) fn end(file: &mut File) -> io::Result<End> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(GLANCE);
    file.seek(SeekFrom::Start(from))?;
    let mut chunk = Vec::new();
    file.by_ref().take(GLANCE).read_to_end(&mut chunk)?;
    // Unless the chunk is the whole file, its first line may be half a line.
    let begin = match from {
        0 => Some(0),
        _ => chunk.iter().position(|byte| *byte == b'\n').and_then(|newline| newline.checked_add(1)),
    };
    let found = begin.and_then(|begin| last_in(chunk.get(begin..)?, from.saturating_add(u64::try_from(begin).ok()?)));
    match found {
        Some(end) => Ok(end),
        None if from == 0 => Ok(End { last: None, at: 0 }),
        None => from_the_beginning(file),
    }
}

/// The last record in whole lines; `offset` is where they begin.
fn last_in(lines: &[u8], offset: u64) -> Option<End> {
    let mut rest = lines;
    while let Some(newline) = rest.iter().rposition(|byte| *byte == b'\n') {
        let before = rest.get(..newline)?;
        let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let line = before.get(begin..)?;
        if let Some(link) = Link::of(line) {
            let at = offset.checked_add(u64::try_from(newline).ok()?)?.checked_add(1)?;
            return Some(End { last: Some(Head { seq: link.seq, hash: Hash::of(line) }), at });
        }
        rest = before;
    }
    None
}

fn from_the_beginning(file: &mut File) -> io::Result<End> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut end = End { last: None, at: 0 };
    let (mut at, mut line) = (0_u64, Vec::new());
    loop {
        line.clear();
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        let count = reader.by_ref().take(most).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(end);
        }
        at = at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if let Some(text) = line.strip_suffix(b"\n")
            && let Some(link) = Link::of(text)
        {
            end = End { last: Some(Head { seq: link.seq, hash: Hash::of(text) }), at };
        }
    }
}

/// The last record of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Last {
    /// Its number and hash.
    pub(super) head: Head,
    /// Itself.
    pub(super) line: Vec<u8>,
}

/// The last record of a file, plain or compressed.
pub(super) fn last_record(path: &Path) -> io::Result<Option<Last>> {
    let mut lines = Lines::open(path)?;
    let (mut line, mut last) = (Vec::new(), None);
    while let Some(whole) = lines.read(&mut line)? {
        if whole && let Some(link) = Link::of(&line) {
            last = Some((link.seq, std::mem::take(&mut line)));
        }
    }
    Ok(last.map(|(seq, line)| Last { head: Head { seq, hash: Hash::of(&line) }, line }))
}

/// As [`last_record`], for a plain file, whose end is found without reading what comes before.
pub(super) fn last_record_of_plain(path: &Path) -> io::Result<Option<Last>> {
    let mut file = file::open(path)?;
    let End { last, at } = end(&mut file)?;
    let Some(head) = last else { return Ok(None) };
    let from = at.saturating_sub(u64::try_from(LONGEST).unwrap_or(u64::MAX));
    file.seek(SeekFrom::Start(from))?;
    let mut chunk = Vec::new();
    file.take(at.saturating_sub(from)).read_to_end(&mut chunk)?;
    let text = chunk.strip_suffix(b"\n").unwrap_or(&chunk);
    let line = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
    Ok(Some(Last { head, line }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(records: u64) -> (Vec<u8>, Head) {
        let (mut page, mut head) = (Vec::new(), Head::START);
        for _ in 0..records {
            head = head.append(format!("{{\"v\":1,\"pad\":\"{}\"}}", "x".repeat(300)).as_bytes(), &mut page).unwrap();
        }
        (page, head)
    }

    #[test]
    fn the_end_is_found_from_behind_and_from_the_beginning() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        for records in [0, 1, 2, 9000] {
            for torn in [0, 1, 5, 3 << 20] {
                let (page, head) = journal(records);
                std::fs::write(&path, [&page[..], &vec![b'x'; torn]].concat()).unwrap();
                let last = (records > 0).then_some(head);
                let found = end(&mut File::open(&path).unwrap()).unwrap();
                assert_eq!(found, End { last, at: u64::try_from(page.len()).unwrap() }, "{records} {torn}");
                let found = last_record_of_plain(&path).unwrap();
                assert_eq!(found.as_ref().map(|last| last.head), last);
                assert_eq!(found.map(|last| Hash::of(&last.line)), last.map(|head| head.hash));
            }
        }
    }
}
