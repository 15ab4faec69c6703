//! What is found of a key, and that finding it costs no more than a few readings of the text.

use proptest::prelude::*;

use super::*;
use crate::clock::thread_time;

fn marker(word: &str, kind: &str) -> String {
    format!("-----{word} {kind}-----")
}

fn all(text: &str) -> Vec<Range<usize>> {
    find(text, &mut || true)
}

fn without(text: &str) -> String {
    let mut rest = text.to_owned();
    for range in all(text).into_iter().rev() {
        rest.replace_range(range, "#");
    }
    rest
}

#[test]
fn keys_are_found_whole_and_in_part_and_text_around_them_stays() {
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let body = format!("{line}\n{line}\nabcd");
    for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
        let (begin, end) = (marker("BEGIN", kind), marker("END", kind));
        for (text, wanted) in [
            (format!("a\n{begin}\n{body}\n{end}\nb"), "a\n#\nb"),
            (format!("a\n{begin}\n{body}\nand more words"), "a\n#\nand more words"),
            (format!("a\n{begin}\nProc-Type: 4,ENCRYPTED\n\n{body}"), "a\n#"),
            (format!("a {begin}\\n{line}\\n{line}\\n\" b"), "a #\" b"),
            (format!("a {begin} {line} {line}"), "a #"),
            (format!("x y\n{line}\nabcd\n{end}\nb"), "x y\n#\nb"),
            (format!("Nov 1 h: {begin}\nNov 1 h: {line}\nNov 1 h: gone on"), "Nov 1 h: #\nNov 1 h: gone on"),
            (format!("{begin}\n{begin}\n{line}\n{end} {end}"), &*format!("{begin}\n# {end}")),
            (format!("no {begin} in the file"), &*format!("no {begin} in the file")),
            (format!("no {end} in the file"), &*format!("no {end} in the file")),
        ] {
            assert_eq!(without(&text), wanted, "{text}");
        }
    }
    assert_eq!(without(&marker("BEGIN", "CERTIFICATE")), marker("BEGIN", "CERTIFICATE"));
}

#[test]
fn markers_without_end_cost_no_more_than_one_reading() {
    let text = format!("{}\n", marker("BEGIN", "PRIVATE KEY")).repeat(20_000);
    assert!(all(&text).is_empty());
}

#[test]
fn many_ends_on_one_line_cost_no_more_than_a_few_readings() {
    let end = marker("END", "PRIVATE KEY");
    for text in [
        format!("a{}", end.repeat(40_000)),
        format!("a {}", format!("{end} ").repeat(40_000)),
        format!("{}{}", " ".repeat(60_000), end.repeat(40_000)),
        format!("{}!\n{}", "a".repeat(60_000), end.repeat(40_000)),
        format!("{}!\n x {}", "a".repeat(60_000), end.repeat(40_000)),
        format!("{}a\n x {}", "'".repeat(60_000), end.repeat(40_000)),
        format!("{} b\n\n{}", "a ".repeat(30_000), format!("{end} ").repeat(40_000)),
        format!("{}!\n x {}\n", "a".repeat(600), end.repeat(24)).repeat(1000),
    ] {
        let begun = thread_time();
        all(&text);
        // Linear work is less than a second even without optimisation.
        assert!(thread_time().saturating_sub(begun).as_secs() < 10, "{}", text.get(..20).unwrap());
    }
}

/// Looks back from `to` line by line, each line from its beginning: slow, and what is found must stay the same.
fn slowly(text: &str, limit: usize, to: usize) -> Option<usize> {
    let floor = limit.max(to.saturating_sub(LONGEST));
    let floor = (floor..=to).find(|at| text.is_char_boundary(*at))?;
    let mut start = None;
    let mut at = to;
    for line in text.get(floor..to)?.rsplit('\n') {
        let here = at.saturating_sub(line.len());
        let first = at == to;
        at = here.saturating_sub(1);
        let tail = if first { line.trim_end_matches(['\\', 'n', 'r']) } else { line };
        let letters = tail.trim_end();
        let gap = letters.bytes().rposition(|byte| !is_base64(byte) && !matches!(byte, b'=' | b'\\'));
        let run = gap.map_or(0, |gap| gap.saturating_add(1));
        let word = tail.split_whitespace().next_back().unwrap_or_default();
        let alone = word.len() == tail.trim().len();
        let word = word.trim_matches(|c| matches!(c, '"' | '\'' | ',' | '\\'));
        let base64 = !word.is_empty() && word.bytes().all(|byte| is_base64(byte) || byte == b'=');
        let short = alone && (word.len().is_multiple_of(4) || word.starts_with('='));
        if base64 && (word.len() >= LINE || (alone && word.len() >= TELLING) || short) {
            start = Some(here.saturating_add(line.len().saturating_sub(line.trim_start().len())));
        } else if letters.len().saturating_sub(run) >= LINE {
            return Some(here.saturating_add(run));
        } else if !(first && line.split_whitespace().count() != 1) {
            break;
        }
    }
    start.filter(|start| to.saturating_sub(*start) >= TELLING)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn looking_back_finds_what_reading_every_line_anew_finds(
        pieces in prop::collection::vec(
            prop_oneof![
                4 => Just(marker("END", "PRIVATE KEY")),
                1 => Just(marker("BEGIN", "RSA PRIVATE KEY")),
                4 => Just("\n".to_owned()),
                2 => Just(" ".to_owned()),
                2 => "[A-Za-z0-9+/]{1,5}",
                1 => "[A-Za-z0-9+/]{14,18}",
                1 => "[A-Za-z0-9+/]{38,44}={0,2}",
                1 => "[\"',\\\\nr=é!:\u{3000}\t]{1,3}",
            ],
            0..24,
        ),
        between in 0..5_usize,
    ) {
        let text = pieces.concat();
        let mut back = Back::over(&text);
        let mut done = 0;
        for (number, found) in (1_usize..).zip(super::marker().unwrap().find_iter(&text)) {
            let wanted = slowly(&text, done, found.start());
            prop_assert_eq!(back.from(done, found.start()), wanted, "{:?} at {}", text, found.start());
            // What is found, now and then also by other means, is not looked at again.
            if wanted.is_some() || (between > 1 && number.is_multiple_of(between)) {
                done = found.end();
            }
        }
    }
}
