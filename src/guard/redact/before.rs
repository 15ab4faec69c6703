//! What is taken out before anybody filters or cuts: a filter over the secret itself tells how the secret goes on, a filter
//! that leaves lines out hides what made a secret known, and half a secret has no form any more.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Redactor;
use crate::call::Taken;
use crate::guard::column::{self, Span};
use crate::guard::tally::Tally;
use crate::guard::walk::Leaf;

/// Finds between two questions whether to go on.
const ASKING: usize = 64;

/// Takes secrets out of the texts of one field, and notes what it took.
pub struct Before<'a> {
    redactor: Arc<Redactor>,
    taken: &'a Taken,
    field: &'static str,
}

impl<'a> Before<'a> {
    /// For the texts that become `field` of the answer, as the audit log is to name it.
    #[must_use]
    pub fn new(redactor: Arc<Redactor>, taken: &'a Taken, field: &'static str) -> Self {
        Self { redactor, taken, field }
    }

    /// One text by all rules.
    #[must_use]
    pub fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut found = Vec::new();
        let clean = self.redactor.enabled.then(|| self.redactor.text(text, 0, &mut found)).flatten();
        self.note(found.into_iter());
        clean.map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// A line whose message begins at the byte `from`: the rules of the configuration are asked of the message too, for
    /// they may look at its beginning.
    #[must_use]
    pub fn clean_message<'t>(&self, line: &'t str, from: impl Fn(&str) -> usize) -> Cow<'t, str> {
        let line = self.clean(line);
        if self.redactor.given.is_empty() {
            return line;
        }
        match line.split_at_checked(from(&line)) {
            Some((head, message)) if !head.is_empty() => match self.clean(message) {
                Cow::Owned(clean) => Cow::Owned(format!("{head}{clean}")),
                Cow::Borrowed(_) => line,
            },
            _ => line,
        }
    }

    /// Texts that follow one another by all rules, as the lines of a log: what goes over several of them is seen too.
    pub fn clean_rows(&self, rows: &mut [String]) {
        if self.redactor.enabled {
            let mut leaves: Vec<Leaf<'_>> = rows.iter_mut().map(|text| Leaf { text, place: 0 }).collect();
            let mut tally = Tally::default();
            self.redactor.within(&mut leaves, &mut tally);
            self.note(tally.0.into_iter().map(|((by, _), count)| (by, count)));
        }
    }

    /// `text` from the byte `from` on, by the rules that go over several lines; what stands before counts for them. Each of
    /// its lines is still to be given to [`Before::clean`]. On its way it asks `go_on`.
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
        let (mut asked, mut stopped) = (0_usize, Ok(()));
        let mut go_on = || {
            if asked.is_multiple_of(ASKING) && stopped.is_ok() {
                stopped = go_on();
            }
            asked = asked.wrapping_add(1);
            stopped.is_ok()
        };
        if self.redactor.enabled && (self.redactor.may_span() || self.redactor.suspicious(&text).1) {
            let mut found = Vec::new();
            spans = self.redactor.spans(&text, &mut |by, count| found.push((by, count)), &mut go_on);
            spans.retain(|(_, end, _)| *end > from);
            if !spans.is_empty() {
                self.note(found.into_iter());
            }
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

    fn note<'r>(&self, found: impl Iterator<Item = (&'r str, u64)>) {
        found.for_each(|(by, count)| self.taken.note(by, self.field, count));
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
    use std::sync::Arc;

    use crate::call::Taken;
    use crate::guard::{Before, Pattern, RedactionSection, Redactor};

    /// Invented, and of the form of a line of a key.
    const LINE: &str = "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6QUJDREVG";

    fn redactor(enabled: bool) -> Before<'static> {
        let redactor = Redactor::new(&RedactionSection { enabled, ..RedactionSection::default() }).unwrap();
        Before::new(Arc::new(redactor), Box::leak(Box::default()), "entries.message")
    }

    #[test]
    fn what_went_is_told_by_rule_and_field() {
        let taken = Taken::default();
        let redactor = Arc::new(Redactor::new(&RedactionSection::default()).unwrap());
        let before = Before::new(redactor, &taken, "entries.message");
        assert_eq!(before.clean("password=abc token=def"), "password=[REDACTED] token=[REDACTED]");
        before.clean_rows(&mut ["x".to_owned(), "password=abc".to_owned()]);
        let _ = before.clean_across(format!("one\n{}\ntwo\n", key()), 0, || Ok::<(), ()>(()));
        let told = taken.list();
        let told: Vec<_> = told.iter().map(|(by, field, count)| (by.as_str(), *field, *count)).collect();
        assert_eq!(told, [("password_field", "entries.message", 3), ("private_key", "entries.message", 1)]);
    }

    #[test]
    fn a_rule_about_the_beginning_of_a_message_is_asked_of_the_message() {
        let pattern =
            Pattern { name: "pin".to_owned(), pattern: r"^pin \d+".to_owned(), replacement: "[PIN]".to_owned() };
        let section = RedactionSection { patterns: vec![pattern], ..RedactionSection::default() };
        let taken = Taken::default();
        let before = Before::new(Arc::new(Redactor::new(&section).unwrap()), &taken, "entries.message");
        let line = "Nov 20 10:00:00 web01 app: pin 4711 was used";
        assert_eq!(before.clean_message(line, |line| line.find("pin").unwrap_or(0)), line.replace("pin 4711", "[PIN]"));
        assert_eq!(before.clean_message(line, |_| 0), line);
        assert_eq!(before.clean_message(line, |_| 1000), line);
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
