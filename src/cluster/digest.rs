//! Keys that are digests already are not hashed once more: eight bytes of one are as good a hash as there is. They are not
//! those by which a table chose the part that the key is in, or all keys of a part would be alike.

use std::hash::Hasher;

/// The last eight bytes of a key, or the low half of a number.
#[derive(Default)]
pub(super) struct Tail(u64);

impl Hasher for Tail {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((_, last)) = bytes.split_last_chunk::<8>() {
            self.0 = u64::from_ne_bytes(*last);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }

    fn write_u128(&mut self, digest: u128) {
        self.0 = u64::try_from(digest & u128::from(u64::MAX)).unwrap_or(0);
    }

    /// The length of an array says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher as _, BuildHasherDefault};

    use super::*;

    #[test]
    fn the_part_of_a_key_that_does_not_choose_its_place_in_a_table_is_its_hash() {
        let of = BuildHasherDefault::<Tail>::default();
        // A shelf is divided by the highest bits of a number, the register of tokens by the first byte of a digest.
        assert_eq!(of.hash_one((7_u128 << 64) | 9), 9);
        assert_eq!(of.hash_one(9_u64), 9);
        let mut digest = [0_u8; 16];
        (digest[0], digest[15]) = (200, 1);
        let same_end = of.hash_one(digest);
        digest[0] = 100;
        assert_eq!(of.hash_one(digest), same_end);
        digest[15] = 2;
        assert_ne!(of.hash_one(digest), same_end);
    }
}
