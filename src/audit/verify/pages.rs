//! Reads the files one after the other and hands their lines over in pages, so that reading and hashing go on at once.

use std::io;
use std::sync::mpsc::SyncSender;
use std::thread::sleep;
use std::time::Duration;

use super::files::Files;
use crate::audit::lines::Lines;
use crate::error::{Code, Failure};

/// Bytes after which a page is handed over.
pub(super) const FULL: usize = 256 << 10;

/// Lines after which it is, however short they are: each takes memory besides its bytes.
const MANY: usize = 8192;

/// How often the rest of a half-written last line is asked for: a daemon may be writing it.
const ASKED: u32 = 10;

/// Lines that follow one another in one file.
#[derive(Default)]
pub(super) struct Page {
    /// Which of the files.
    pub(super) file: usize,
    /// Lines of the file before this page.
    pub(super) before: u64,
    /// The lines without their newlines, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Whether the last one is only half written.
    pub(super) torn: bool,
}

impl Page {
    /// The lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| self.bytes.get(begin..*end).unwrap_or_default())
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= FULL || self.ends.len() >= MANY
    }

    fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    fn next(&mut self) -> Self {
        let read = u64::try_from(self.ends.len()).unwrap_or(u64::MAX);
        let next = Self { file: self.file, before: self.before.saturating_add(read), ..Self::default() };
        std::mem::replace(self, next)
    }
}

/// What the reader hands over.
pub(super) enum Delivery {
    /// The next lines.
    Page(Page),
    /// After this line the file holds nothing that can be read: its compression is damaged, or a line has no end.
    Damaged {
        /// Which of the files.
        file: usize,
        /// Lines that were read of it.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

/// The reader.
pub(super) struct Pages<'a> {
    files: &'a Files,
    to: SyncSender<Delivery>,
}

/// Nobody wants more.
struct Unwanted;

impl<'a> Pages<'a> {
    pub(super) fn new(files: &'a Files, to: SyncSender<Delivery>) -> Self {
        Self { files, to }
    }

    /// Reads everything, unless nobody wants more.
    ///
    /// # Errors
    /// [`Code::Io`] when the system cannot read a file.
    pub(super) fn read(self) -> Result<(), Failure> {
        for file in 0..self.files.len() {
            let lines = self.files.open(file)?;
            let mut page = Page { file, ..Page::default() };
            match self.file(lines, &mut page) {
                Ok(Ok(())) => {}
                Ok(Err(Unwanted)) => return Ok(()),
                // An error of the system has a number; what the content does wrong has none.
                Err(error) if error.raw_os_error().is_some() => {
                    let path = self.files.path(file).display();
                    return Err(
                        Failure::new(Code::Io, "the journal cannot be read").because(format!("{path}: {error}"))
                    );
                }
                Err(error) => {
                    let line = page.before.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
                    let damaged = Delivery::Damaged { file, line, why: error.to_string() };
                    if self.deliver(page).is_err() || self.to.send(damaged).is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn file(&self, mut lines: Lines, page: &mut Page) -> io::Result<Result<(), Unwanted>> {
        let mut line = Vec::new();
        while let Some(whole) = lines.read(&mut line)? {
            let whole = whole || rest(&mut lines, &mut line, self.files.patience())?;
            page.push(&line);
            page.torn = !whole;
            if page.is_full() || page.torn {
                let full = page.next();
                if self.deliver(full).is_err() {
                    return Ok(Err(Unwanted));
                }
            }
        }
        Ok(self.deliver(page.next()))
    }

    fn deliver(&self, page: Page) -> Result<(), Unwanted> {
        if page.len() == 0 {
            return Ok(());
        }
        self.to.send(Delivery::Page(page)).map_err(|_| Unwanted)
    }
}

/// Waits for the rest of a line; says whether it came.
fn rest(lines: &mut Lines, line: &mut Vec<u8>, patience: Duration) -> io::Result<bool> {
    let mut more = Vec::new();
    for _ in 0..ASKED {
        sleep(patience.checked_div(ASKED).unwrap_or_default());
        if let Some(whole) = lines.read(&mut more)? {
            line.extend_from_slice(&more);
            if whole {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_content_fill_pages_too() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        std::fs::write(&path, vec![b'\n'; 3 * MANY + 5]).unwrap();
        let files = Files::gather(&[path]).unwrap();
        let (sender, receiver) = std::sync::mpsc::sync_channel(100);
        Pages::new(&files, sender).read().unwrap();
        let pages: Vec<(u64, usize)> = receiver
            .into_iter()
            .map(|delivery| match delivery {
                Delivery::Page(page) => (page.before, page.len()),
                Delivery::Damaged { why, .. } => panic!("{why}"),
            })
            .collect();
        let many = u64::try_from(MANY).unwrap();
        assert_eq!(pages, [(0, MANY), (many, MANY), (2 * many, MANY), (3 * many, 5)]);
    }
}
