//! What is taken out before anybody filters or cuts: a filter over the secret itself tells how the secret goes on, a filter
//! that leaves lines out hides what made a secret known, and half a secret has no form any more.

use std::borrow::Cow;
use std::fmt;

use super::Redactor;
use crate::guard::column::{self, Span};
use crate::guard::tally::Tally;
use crate::guard::walk::Leaf;

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
            self.within(&mut leaves, &mut tally);
        }
    }

    /// `text` from the byte `from` on, by the rules that go over several lines; what stands before counts for them. Each of
    /// its lines is still to be given to [`Redactor::clean`].
    #[must_use]
    pub fn clean_across(&self, mut text: String, from: usize) -> String {
        let mut spans: Vec<Span> = Vec::new();
        if self.enabled && (self.may_span() || self.suspicious(&text).1) {
            spans = self.spans(&text, &mut |_, _| {});
            spans.retain(|(_, end, _)| *end > from);
            for (start, end, _) in &mut spans {
                (*start, *end) = (start.saturating_sub(from), end.saturating_sub(from));
            }
        }
        match text.get(from..).and_then(|rest| column::cut(rest, &spans)) {
            Some(clean) => clean,
            None => {
                text.drain(..from.min(text.len()));
                text
            }
        }
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

    #[test]
    fn a_key_that_begins_before_what_is_given_is_known_by_its_beginning() {
        let text = format!("one\n{}\ntwo\n", key());
        let from = text.find(LINE).unwrap() + LINE.len() + 1;
        for text in [text.clone(), text.replace("-----END PRIVATE KEY-----\n", "")] {
            assert_eq!(redactor(true).clean_across(text, from), "[REDACTED]\ntwo\n");
        }
        assert_eq!(redactor(true).clean_across(text.clone(), 4), "[REDACTED]\ntwo\n");
        assert_eq!(redactor(true).clean_across(text.clone(), text.len()), "");
        assert_eq!(redactor(false).clean_across(text.clone(), 4), text.strip_prefix("one\n").unwrap());
        assert_eq!(redactor(true).clean_across("a\nb".to_owned(), 2), "b");
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
