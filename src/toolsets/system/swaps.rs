//! `/proc/swaps`: where memory goes that does not fit.

use schemars::JsonSchema;
use serde::Serialize;

use super::mounts::unescape;

/// One swap device or file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Swap {
    /// The device or the file.
    pub(super) path: String,
    /// Whether it is a partition or a file.
    kind: String,
    /// Bytes in all.
    size_bytes: u64,
    /// Bytes in use.
    used_bytes: u64,
    /// Those with a higher one are used first.
    priority: i32,
}

/// Columns: path, kind, size and use in units of 1024 bytes, priority; the headings have no such form.
pub(super) fn parse(text: &str) -> Vec<Swap> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (path, kind) = (words.next()?, words.next()?);
        let mut kibibytes = || Some(words.next()?.parse::<u64>().ok()?.saturating_mul(1024));
        let (size_bytes, used_bytes) = (kibibytes()?, kibibytes()?);
        let priority = words.next()?.parse().ok()?;
        Some(Swap { path: unescape(path), kind: kind.to_owned(), size_bytes, used_bytes, priority })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_and_a_partition_are_read_and_the_headings_are_none() {
        let swaps = parse(
            "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/vda14  partition\t1000000\t\t250000\t\t-2\n/swap\\040file file 8 0 5\n",
        );
        assert_eq!((swaps.len(), swaps[0].used_bytes, swaps[0].priority), (2, 256_000_000, -2));
        assert_eq!((swaps[1].path.as_str(), swaps[1].size_bytes), ("/swap file", 8192));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|(/[a-z\\\\0-9]{0,6} file [0-9]{0,22} [0-9]{1,4} -?[0-9]{1,12}\n){0,3}") {
            let _ = parse(&text);
        }
    }
}
