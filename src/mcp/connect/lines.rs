//! Lines from a stream that may never send one: a line has a greatest length, and what is longer is read past, not held.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// What stood between two line ends.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// UTF-8, without its line feed.
    Text(String),
    /// More bytes than are accepted.
    TooLong,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

/// Reads lines of at most `cap` bytes.
pub(super) struct Lines<R> {
    input: R,
    cap: usize,
    held: Vec<u8>,
    too_long: bool,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R, cap: usize) -> Self {
        Self { input, cap, held: Vec::new(), too_long: false }
    }

    /// The next line, `None` at the end. May be dropped while it waits: nothing that was read is lost.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let available = self.input.fill_buf().await?;
            if available.is_empty() {
                return Ok((self.too_long || !self.held.is_empty()).then(|| self.take()));
            }
            let piece = available.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let ended = piece.len() < available.len();
            let used = piece.len().saturating_add(usize::from(ended));
            if self.held.len().saturating_add(piece.len()) > self.cap {
                self.too_long = true;
                self.held = Vec::new();
            } else if !self.too_long {
                self.held.extend_from_slice(piece);
            }
            self.input.consume(used);
            if ended {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Line {
        let held = std::mem::take(&mut self.held);
        if std::mem::take(&mut self.too_long) {
            return Line::TooLong;
        }
        String::from_utf8(held).map_or(Line::NotUtf8, Line::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::BufReader;

    async fn read(bytes: &[u8], cap: usize, buffer: usize) -> Vec<Line> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, bytes), cap);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_costs_only_itself() {
        let lines = read(b"ab\n123456\ncd\n", 4, 3).await;
        assert_eq!(lines, [text("ab"), Line::TooLong, text("cd")]);
        assert_eq!(read(b"1234\n12345", 4, 64).await, [text("1234"), Line::TooLong]);
    }

    #[tokio::test]
    async fn a_last_line_needs_no_line_feed() {
        assert_eq!(read(b"a\n\nb", 9, 2).await, [text("a"), text(""), text("b")]);
        assert_eq!(read(b"", 9, 2).await, []);
    }

    #[tokio::test]
    async fn bytes_that_are_not_utf8_are_told_apart() {
        assert_eq!(read(b"\xff\nok\n", 9, 2).await, [Line::NotUtf8, text("ok")]);
    }

    proptest! {
        #[test]
        fn the_size_of_the_buffer_makes_no_difference(bytes in "[a\n]{0,40}", buffer in 1_usize..9) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (small, large) =
                runtime.block_on(async { (read(bytes.as_bytes(), 5, buffer).await, read(bytes.as_bytes(), 5, 99).await) });
            prop_assert_eq!(small, large);
        }
    }
}
