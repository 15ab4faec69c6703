//! Reads the lines of a journal file, plain or compressed with gzip.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::pki::file;

/// Longest line that is read; the journal writes none that long.
pub const LONGEST: usize = 1 << 20;

/// One line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The line without its newline.
    pub bytes: Vec<u8>,
    /// Whether there was a newline: a last line without one is half written.
    pub whole: bool,
}

/// The lines of one file, in order.
pub struct Lines {
    from: Box<dyn BufRead + Send>,
}

impl Lines {
    /// Opens a file; one that begins as gzip does (RFC 1952) is decompressed, whatever its name.
    ///
    /// # Errors
    /// When it cannot be opened or is not a regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = file::open(path)?;
        let mut plain = BufReader::with_capacity(256 << 10, file);
        let gzip = plain.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let from: Box<dyn BufRead + Send> = match gzip {
            true => Box::new(BufReader::with_capacity(256 << 10, MultiGzDecoder::new(plain))),
            false => Box::new(plain),
        };
        Ok(Self { from })
    }

    /// Reads the next line into `line` (without its newline) and says whether it was whole; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read, is not sound gzip, or has a line longer than [`LONGEST`].
    pub fn read(&mut self, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        line.clear();
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
        let count = self.from.by_ref().take(most).read_until(b'\n', line)?;
        if count == 0 {
            return Ok(None);
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        if line.len() > LONGEST {
            return Err(io::Error::other(format!("a line is longer than {LONGEST} bytes")));
        }
        Ok(Some(whole))
    }
}

impl Iterator for Lines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        self.read(&mut bytes).transpose().map(|read| read.map(|whole| Line { bytes, whole }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(path: &Path) -> Vec<(String, bool)> {
        Lines::open(path)
            .unwrap()
            .map(|line| line.unwrap())
            .map(|line| (String::from_utf8(line.bytes).unwrap(), line.whole))
            .collect()
    }

    #[test]
    fn plain_and_compressed_lines_are_the_same() {
        let home = tempfile::tempdir().unwrap();
        let (plain, gzip) = (home.path().join("plain"), home.path().join("gzip"));
        let text = "one\n\nthree\nhalf";
        std::fs::write(&plain, text).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        std::fs::write(&gzip, encoder.finish().unwrap()).unwrap();
        let expected: Vec<(String, bool)> =
            [("one", true), ("", true), ("three", true), ("half", false)].map(|(a, b)| (a.to_owned(), b)).into();
        assert_eq!(read(&plain), expected);
        assert_eq!(read(&gzip), expected);
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("long");
        std::fs::write(&path, vec![b'x'; LONGEST + 10]).unwrap();
        assert!(Lines::open(&path).unwrap().next().unwrap().is_err());
        assert!(Lines::open(home.path()).is_err());
    }
}
