//! Fields that journald packed: a bound on what is unpacked, and nothing of what makes no sense.

use std::io::Read as _;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use super::FIELD_BYTES;

/// The largest window of a packed field, in bytes.
const WINDOW: u64 = 1 << 20;

/// The length in eight bytes, then a block; journald of systemd 246 and before packs so.
pub(super) fn unpack_lz4(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, block) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|length| *length <= FIELD_BYTES)?;
    let mut unpacked = vec![0; length];
    let written = lz4_flex::block::decompress_into(block, &mut unpacked).ok()?;
    unpacked.truncate(written);
    Some(unpacked)
}

/// The beginning of what a frame holds, and whether there is more.
pub(super) fn unpack_zstd(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let decoder = StreamingDecoder::<_, FrameDecoder>::new_with_max_window_size(bytes, WINDOW).ok()?;
    let mut unpacked = Vec::new();
    let most = u64::try_from(FIELD_BYTES).ok()?;
    // What a damaged end leaves is shown; it is cut all the same.
    let ended = decoder.take(most.saturating_add(1)).read_to_end(&mut unpacked).is_ok();
    let cut = !ended || unpacked.len() > FIELD_BYTES;
    unpacked.truncate(FIELD_BYTES);
    Some((unpacked, cut))
}
