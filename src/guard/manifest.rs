//! The data of a Secret of Kubernetes, as it stands in YAML: whatever its members are named, their values are secrets.

use std::ops::Range;

use super::blocks::{blanks, trimmed};

/// Lines of one document that are looked at before and behind the one that tells its kind.
const MOST_LINES: usize = 1024;

/// The values of the Secrets that these lines of `text` may tell of.
pub(super) fn data(text: &str, kinds: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut at: usize = 0;
    let lines: Vec<Range<usize>> = text
        .split('\n')
        .map(|line| {
            let start = at;
            at = at.saturating_add(line.len()).saturating_add(1);
            start..start.saturating_add(line.trim_end_matches('\r').len())
        })
        .collect();
    let (mut found, mut done) = (Vec::new(), 0);
    for kind in kinds {
        let at = lines.partition_point(|line| line.start < kind.start);
        if at >= done {
            let (values, last) = document(text, &lines, at);
            found.extend(values);
            done = last.saturating_add(1);
        }
    }
    found
}

/// The values of the Secret of which the line at `at` tells the kind, and the last line of its document.
fn document(text: &str, lines: &[Range<usize>], at: usize) -> (Vec<Range<usize>>, usize) {
    let line = |at: usize| lines.get(at).and_then(|range| text.get(range.clone())).unwrap_or_default();
    let own = line(at);
    let indent = depth(own);
    let kind = own.get(indent..).and_then(|rest| rest.strip_prefix("kind:"));
    if kind.map(|kind| kind.trim().trim_matches(['"', '\''])) != Some("Secret") {
        return (Vec::new(), at);
    }
    let apart = |text: &str| text.starts_with("---") || text.starts_with("...");
    let within = |text: &str| !apart(text) && (text.trim().is_empty() || depth(text) >= indent);
    let begins = |text: &str| depth(text) == indent && blanks(text) < indent;
    let heads =
        |text: &str, word: &str| depth(text) == indent && text.get(indent..).is_some_and(|rest| rest.starts_with(word));
    // Whoever writes the version writes it first.
    let starts = |text: &str| begins(text) || heads(text, "apiVersion:");
    let before = (0..at).rev().take(MOST_LINES);
    let first = before.take_while(|at| within(line(*at)) && !starts(line(at.saturating_add(1)))).last().unwrap_or(at);
    let behind = (at.saturating_add(1)..lines.len()).take(MOST_LINES);
    let ends = |text: &str| {
        begins(text) || heads(text, "kind:") || (heads(line(first), "apiVersion:") && heads(text, "apiVersion:"))
    };
    let last = behind.take_while(|at| within(line(*at)) && !ends(line(*at))).last().unwrap_or(at);
    let mut found = Vec::new();
    let (mut inside, mut member) = (false, None);
    for at in first..=last {
        let (Some(range), now) = (lines.get(at), line(at)) else { continue };
        if now.trim().is_empty() {
            continue;
        }
        if depth(now) <= indent {
            let name = now.get(indent..).unwrap_or_default().trim_end();
            inside = matches!(name, "data:" | "stringData:");
            member = None;
            continue;
        }
        if !inside {
            continue;
        }
        let level = *member.get_or_insert(blanks(now));
        let from = match now.find(':').filter(|_| blanks(now) == level) {
            Some(colon) => range.start.saturating_add(colon).saturating_add(1),
            None => range.start,
        };
        found.extend(trimmed(text, from..range.end).filter(|value| {
            let value = text.get(value.clone()).unwrap_or_default();
            !matches!(value, "|" | "|-" | "|+" | ">" | ">-" | ">+" | "\"\"" | "''")
        }));
    }
    (found, last)
}

/// The same with the dash of a list counted as a blank.
fn depth(line: &str) -> usize {
    let blanks = blanks(line);
    let rest = line.get(blanks..).unwrap_or_default();
    match rest.strip_prefix("- ") {
        Some(more) => blanks.saturating_add(2).saturating_add(self::blanks(more)),
        None => blanks,
    }
}
