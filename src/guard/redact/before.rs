//! What is taken out before anybody filters or cuts: a filter over the secret itself tells how the secret goes on, a filter
//! that leaves lines out hides what made a secret known, and half a secret has no form any more.

use std::borrow::Cow;
use std::fmt;

use super::Redactor;
use crate::guard::column::{self, Span};
use crate::guard::rule::Rule;
use crate::guard::tally::Tally;
use crate::guard::walk::Leaf;

/// Finds between two questions whether to go on.
const ASKING: usize = 64;

impl Redactor {
    /// One text by all rules.
    #[must_use]
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let clean = self.enabled.then(|| self.text(text, 0, &mut Vec::new())).flatten();
        clean.map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// Texts that follow one another by all rules, as the lines of a log: what goes over several of them is seen too.
    pub fn clean_rows(&self, rows: &mut [String]) {
        if self.enabled {
            let mut leaves: Vec<Leaf<'_>> = rows.iter_mut().map(|text| Leaf { text, place: 0 }).collect();
            let mut tally = Tally::default();
            self.across(&mut leaves, &mut tally);
            self.within(&mut leaves, &mut tally);
        }
    }

    /// `text` from the byte `from` on, by the rules that go over several lines; what stands before counts for them. Each of
    /// its lines is still to be given to [`Redactor::clean`]. On its way it asks `go_on`.
    ///
    /// # Errors
    /// Those of `go_on`; then nothing is given.
    pub fn clean_across<E>(
        &self,
        mut text: String,
        from: usize,
        mut go_on: impl FnMut() -> Result<(), E>,
    ) -> Result<String, E> {
        let mut spans: Vec<Span> = Vec::new();
        let (mut found, mut stopped) = (0_usize, Ok(()));
        let mut go_on = || {
            if found.is_multiple_of(ASKING) && stopped.is_ok() {
                stopped = go_on();
            }
            found = found.wrapping_add(1);
            stopped.is_ok()
        };
        if self.enabled && (self.may_span(&text) || self.given.iter().any(Rule::may_span)) {
            spans = self.spans(&text, &mut |_, _| {}, &mut go_on);
            spans.retain(|(_, end, _)| *end > from);
            for (start, end, _) in &mut spans {
                (*start, *end) = (start.saturating_sub(from), end.saturating_sub(from));
            }
        }
        stopped?;
        Ok(match text.get(from..).and_then(|rest| column::cut(rest, &spans)) {
            Some(clean) => clean,
            None => {
                text.drain(..from.min(text.len()));
                text
            }
        })
    }
}

/// Its rules tell what an operator looks for.
impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::{RedactionSection, Redactor};

    /// Invented, and of the form of a line of a key.
    const LINE: &str = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVG";

    fn redactor(enabled: bool) -> Redactor {
        Redactor::new(&RedactionSection { enabled, ..RedactionSection::default() }).unwrap()
    }

    fn key() -> String {
        let marker = |word: &str| format!("-----{word} PRIVATE KEY-----");
        format!("{}\n{LINE}\n{LINE}\n{}", marker("BEGIN"), marker("END"))
    }

    fn across(enabled: bool, text: &str, from: usize) -> String {
        let text = redactor(enabled).clean_across(text.to_owned(), from, || Ok::<(), ()>(()));
        text.unwrap()
    }

    #[test]
    fn a_key_that_begins_before_what_is_given_is_known_by_its_beginning() {
        let text = format!("one\n{}\ntwo\n", key());
        let from = text.find(LINE).unwrap() + LINE.len() + 1;
        for text in [text.clone(), text.replace("-----END PRIVATE KEY-----\n", "")] {
            assert_eq!(across(true, &text, from), "[REDACTED]\ntwo\n");
        }
        assert_eq!(across(true, &text, 4), "[REDACTED]\ntwo\n");
        assert_eq!(across(true, &text, text.len()), "");
        assert_eq!(across(false, &text, 4), text.strip_prefix("one\n").unwrap());
        assert_eq!(across(true, "a\nb", 2), "b");
    }

    #[test]
    fn whoever_is_called_off_gets_nothing_and_looks_for_no_more() {
        let text = format!("{}\n", key()).repeat(1000);
        for most in [0, 1, 5] {
            let mut asked = 0;
            let stopped = redactor(true).clean_across(text.clone(), 0, || {
                asked += 1;
                if asked > most { Err("called off") } else { Ok(()) }
            });
            assert_eq!((stopped, asked), (Err("called off"), most + 1));
        }
        let mut asked = 0;
        let whole = redactor(true).clean_across::<()>(text, 0, || {
            asked += 1;
            Ok(())
        });
        assert!(whole.unwrap().lines().all(|line| line == "[REDACTED]") && asked > 20, "{asked}");
    }

    #[test]
    fn rows_stay_where_they_were() {
        let mut rows: Vec<String> = format!("one\n{}\ntoken=Wq8rTz1\n", key()).lines().map(str::to_owned).collect();
        let before = rows.clone();
        redactor(false).clean_rows(&mut rows);
        assert_eq!((&rows, &*redactor(false).clean("token=Wq8rTz1")), (&before, "token=Wq8rTz1"));
        redactor(true).clean_rows(&mut rows);
        assert_eq!((rows.len(), &*rows[0], &*rows[5]), (6, "one", "token=[REDACTED]"));
        assert!(rows[1..5].iter().all(|row| row == "[REDACTED]"), "{rows:?}");
    }
}
