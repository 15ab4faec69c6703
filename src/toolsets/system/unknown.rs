//! A name that the host does not have is a failure that says which names it has: an empty list would say that all is well
//! with something that is not there.

use std::cmp::Reverse;

use crate::error::{Code, Failure};

/// Names that are told; of more those that are most like the one asked for.
const TOLD: usize = 20;

/// Names that are looked at: no honest host has more.
const LOOKED_AT: usize = 65_536;

/// Characters of a name that are repeated.
const CHARACTERS: usize = 100;

/// The failure `there is no {what} {asked}; there are …`, with the names that there are.
pub(super) fn unknown<S: AsRef<str>>(what: &str, asked: &str, there: impl IntoIterator<Item = S>) -> Failure {
    let mut names: Vec<String> = there.into_iter().take(LOOKED_AT).map(|name| cut(name.as_ref())).collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(TOLD);
    if more > 0 {
        let wanted = asked.to_lowercase();
        names.sort_by_cached_key(|name| Reverse(likeness(&wanted, &name.to_lowercase())));
        names.truncate(TOLD);
    }
    let there = match names.as_slice() {
        [] => "there is none at all".to_owned(),
        [one] => format!("there is {one}"),
        _ if more > 0 => format!("there are {} and {more} more", names.join(", ")),
        _ => format!("there are {}", names.join(", ")),
    };
    Failure::new(Code::ToolFailed, format!("there is no {what} {}; {there}", cut(asked)))
}

/// How much two names have in common: one within the other, then the beginning, then pairs of characters.
fn likeness(wanted: &str, name: &str) -> (bool, usize, usize) {
    let within = !name.is_empty() && (name.contains(wanted) || wanted.contains(name));
    let beginning = wanted.chars().zip(name.chars()).take_while(|(one, other)| one == other).count();
    let pairs = wanted.as_bytes().windows(2).filter(|pair| name.as_bytes().windows(2).any(|other| other == *pair));
    (within, beginning, pairs.count())
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(CHARACTERS) {
        Some((end, _)) => name.get(..end).unwrap_or_default().chars().chain(['…']).collect(),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(asked: &str, there: &[String]) -> String {
        unknown("unit", asked, there).public().to_owned()
    }

    #[test]
    fn a_few_names_are_told_in_order_and_of_many_the_most_alike() {
        let names = |list: &[&str]| -> Vec<String> { list.iter().map(|&name| name.to_owned()).collect() };
        assert_eq!(said("eth9", &names(&["lo", "eth0", "lo"])), "there is no unit eth9; there are eth0, lo");
        assert_eq!(said("eth9", &names(&["lo"])), "there is no unit eth9; there is lo");
        assert_eq!(said("eth9", &[]), "there is no unit eth9; there is none at all");
        let mut many: Vec<String> = (0..30).map(|number| format!("other{number:02}")).collect();
        many.push("my-nginx.service".to_owned());
        many.push("ngircd.service".to_owned());
        let text = said("NGINX", &many);
        assert!(
            text.starts_with("there is no unit NGINX; there are my-nginx.service, ngircd.service, other"),
            "{text}"
        );
        assert!(text.ends_with(" and 12 more"), "{text}");
    }

    proptest! {
        #[test]
        fn what_is_told_is_short_whatever_the_names(
            asked in "\\PC{0,300}",
            there in proptest::collection::vec("\\PC{0,300}", 0..60),
        ) {
            let text = said(&asked, &there);
            prop_assert!(text.chars().count() < 22 * (CHARACTERS + 3) + 100);
        }
    }
}
