//! Whether a daemon still has its lookout: without one it serves on, and says less of what other processes have open.

use std::fs;

/// Whether a lookout that lives was started by the process `pid`.
pub(super) fn is_beside(pid: u32) -> bool {
    let pids = fs::read_dir("/proc").into_iter().flatten();
    pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).any(|other| {
        let read = |file: &str| fs::read(format!("/proc/{other}/{file}")).unwrap_or_default();
        is_lookout(&read("cmdline"), &String::from_utf8_lossy(&read("stat")), pid)
    })
}

/// By the words it was started with, which one that has ended has no longer, and by the fourth field of proc_pid_stat(5). The
/// name, which may hold anything, ends with the last parenthesis.
fn is_lookout(words: &[u8], stat: &str, parent: u32) -> bool {
    let parents = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
    words.split(|byte| *byte == 0).nth(1) == Some(b"lookout") && parents == Some(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookout_is_the_child_that_was_started_as_one() {
        let words = b"/usr/bin/doorward\0lookout\0--environments\0";
        let stat = "8 (a) S 1) S 7 8 8 0 -1 4194560";
        assert!(is_lookout(words, stat, 7));
        assert!(!is_lookout(words, stat, 8) && !is_lookout(words, "8 (x)", 7));
        assert!(!is_lookout(b"", stat, 7), "it has ended");
        assert!(!is_lookout(b"/usr/bin/doorward\0serve\0lookout\0", stat, 7));
        assert!(!is_beside(u32::MAX));
    }
}
