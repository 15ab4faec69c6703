//! Packed logs, unpacked in safe code: the memory of a decoder is bounded, and so is what comes out of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use xz4rust::{XzDecoder, XzError};

use super::{Ask, budget};

/// The largest window of a zstd frame or of an xz block, in bytes: that of zstd(1) without `--ultra`, of xz(1) up to `-6`.
const WINDOW: u64 = 8 << 20;

/// Bytes of a packed file that are read at a time.
const CHUNK: usize = 8192;

/// The decoder for a file with this ending.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] when there is none for it.
pub(super) fn decoder(file: File, ending: &str) -> io::Result<Box<dyn Read>> {
    match ending {
        "gz" => Ok(Box::new(MultiGzDecoder::new(file))),
        "zst" => {
            let decoder = StreamingDecoder::<_, FrameDecoder>::new_with_max_window_size(file, WINDOW);
            Ok(Box::new(decoder.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?))
        }
        "xz" => Ok(Box::new(Xz::new(file))),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Streams of xz, one behind the other; zeros behind the last one are padding.
struct Xz {
    decoder: Box<XzDecoder<'static>>,
    file: File,
    /// What was read of the file, and how much of that was understood.
    input: Vec<u8>,
    from: usize,
    /// Whether a stream has ended and no other has begun.
    between: bool,
}

impl Xz {
    fn new(file: File) -> Self {
        let most = usize::try_from(WINDOW).unwrap_or(usize::MAX);
        let decoder = XzDecoder::in_heap_with_alloc_dict_size(0, most);
        Self { decoder, file, input: Vec::new(), from: 0, between: false }
    }
}

impl Read for Xz {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if self.from >= self.input.len() {
                self.input.resize(CHUNK, 0);
                let count = self.file.read(&mut self.input)?;
                self.input.truncate(count);
                self.from = 0;
                if count == 0 {
                    return if self.between { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
                }
            }
            let input = self.input.get(self.from..).unwrap_or_default();
            if self.between {
                if input.first() == Some(&0) {
                    return Ok(0);
                }
                self.decoder.reset();
                self.between = false;
            }
            let step = self.decoder.decode(input, buffer).map_err(|error| understood(&error))?;
            if !step.made_progress() && !step.is_end_of_stream() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.from = self.from.saturating_add(step.input_consumed());
            self.between = step.is_end_of_stream();
            if step.output_produced() > 0 {
                return Ok(step.output_produced());
            }
        }
        Ok(0)
    }
}

/// What is not damaged but beyond this decoder.
fn understood(error: &XzError) -> io::Error {
    let beyond = matches!(
        error,
        XzError::DictionaryTooLarge(_)
            | XzError::LzmaPropertiesTooLarge
            | XzError::UnsupportedCheckType(_)
            | XzError::Sha256NotSupported
            | XzError::UnsupportedBlockHeaderOption
    );
    if beyond { io::ErrorKind::Unsupported.into() } else { io::ErrorKind::InvalidData.into() }
}

/// The last `keep` bytes of what a decoder gives, which are no more than `most`.
pub(super) fn last(ask: &Ask<'_>, mut decoder: impl Read, keep: u64, most: u64) -> io::Result<(Vec<u8>, bool)> {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut kept = VecDeque::new();
    let mut chunk = vec![0; 64 << 10];
    let (mut total, mut cut) = (0_u64, false);
    loop {
        ask.go_on().map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let count = decoder.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if total > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        kept.extend(chunk.get(..count).unwrap_or_default());
        let over = kept.len().saturating_sub(keep);
        kept.drain(..over);
        cut |= over > 0;
    }
    budget::hold(kept.len())?;
    Ok((kept.into(), cut))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// By xz(1): "one\ntwo\n", "three\n", a hundred zeros with a window of 16 MiB, "sha\n" with SHA-256.
    const ONE: &str = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAHb25lCnR3bwoAUauer1d1cEkAASAIuxnZux+2830BAAAAAARZWg==";
    const TWO: &str = "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAFdGhyZWUKAAAALOfhsoKxk2UAAR4GwS+kHR+2830BAAAAAARZWg==";
    const WIDE: &str = "/Td6WFoAAATm1rRGAgAhARgAAABHWDpD4ABjAAZdAABuoEV4AAAAANpU80sOfGu8AAEiZEpW680ftvN9AQAAAAAEWVo=";
    const SHA: &str = "/Td6WFoAAArh+wyhAgAhARYAAAB0L+WjAQADc2hhCgBGUJ55we7DYOG2ae5rvjVHhdn7Ss0keYNcGrpCkOxPWAABNATFgsGcGJtLmgEAAAAAClla";

    fn packed(text: &str) -> Vec<u8> {
        BASE64_STANDARD.decode(text).unwrap()
    }

    fn unpacked(bytes: &[u8], ending: &str) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.rewind()?;
        let mut text = Vec::new();
        decoder(file, ending)?.take(1 << 20).read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn streams_of_xz_are_read_to_the_last_and_padding_is_none() {
        let (one, two) = (packed(ONE), packed(TWO));
        assert_eq!(unpacked(&one, "xz").unwrap(), b"one\ntwo\n");
        assert_eq!(unpacked(&[one.clone(), two, vec![0; 8]].concat(), "xz").unwrap(), b"one\ntwo\nthree\n");
        for (bytes, kind) in [
            (&one[..one.len() - 5], io::ErrorKind::UnexpectedEof),
            (&[one.as_slice(), b"more than a header".as_slice()].concat(), io::ErrorKind::InvalidData),
            (b"this is no file of xz".as_slice(), io::ErrorKind::InvalidData),
            (&packed(WIDE), io::ErrorKind::Unsupported),
            (&packed(SHA), io::ErrorKind::Unsupported),
        ] {
            assert_eq!(unpacked(bytes, "xz").unwrap_err().kind(), kind);
        }
        assert_eq!(unpacked(&one, "bz2").unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    proptest! {
        #[test]
        fn what_is_damaged_is_an_error_and_never_a_panic(
            at in any::<prop::sample::Index>(),
            bytes in prop::collection::vec(any::<u8>(), 1..8),
            end in any::<prop::sample::Index>(),
        ) {
            let mut wrong = packed(ONE);
            let at = at.index(wrong.len());
            for (place, byte) in wrong.iter_mut().skip(at).zip(&bytes) {
                *place = *byte;
            }
            wrong.truncate(end.index(wrong.len()).saturating_add(1));
            for ending in ["xz", "zst", "gz"] {
                let _ = unpacked(&wrong, ending);
            }
        }
    }
}
