//! What a caller wants of a log. The configured caps hold whatever is asked for, and what an answer lacks is said in it,
//! with how to narrow.

use std::collections::VecDeque;
use std::time::Duration;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::budget;
use super::log_time::rfc3339;
use super::query::Ask;
use crate::call::ToolSpec;
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// Lines in an answer to a caller who gives no number.
pub(super) const USUAL: usize = 100;

/// Bytes of one message that are shown.
const MESSAGE_BYTES: usize = 4096;

/// Bytes of a line or message that are looked at: those of a long key in one line. Nothing that fits or is shown lies
/// behind them.
const LOOKED_AT: usize = 64 << 10;

/// Memory that a caller's pattern may take once it is compiled, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

/// The words that every log query shares, as its caller wrote them. They stand among its own; which others there may be, the
/// struct says that has them.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Asked {
    /// Only what contains this text, in capitals or not.
    #[schemars(length(min = 1, max = 512))]
    pub(super) pattern: Option<String>,
    /// Take the pattern for a regular expression (syntax of Rust's regex crate) and not for plain text.
    pub(super) regex: bool,
    /// Only what is from this moment on: RFC 3339, such as 2025-11-03T06:12:56Z. A line without a time belongs to the one
    /// before.
    #[schemars(length(max = 64))]
    pub(super) since: Option<String>,
    /// Only what is from before this moment, or from it: RFC 3339.
    #[schemars(length(max = 64))]
    pub(super) until: Option<String>,
    /// Only what is of so many last minutes; `since` goes before it.
    #[schemars(range(min = 1, max = 5_256_000))]
    pub(super) minutes: Option<u32>,
    /// Most entries to give: the newest that fit.
    #[schemars(range(min = 1))]
    pub(super) lines: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { pattern: None, regex: false, since: None, until: None, minutes: None, lines: USUAL }
    }
}

/// What every answer about a log says of itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Looked {
    /// The files it was looked for in, the newest first.
    pub(super) files: Vec<String>,
    /// What the answer lacks and how to narrow; empty when nothing is missing.
    pub(super) left_out: Vec<String>,
}

impl Looked {
    /// Nowhere, and why.
    pub(super) fn without(why: &str) -> Self {
        Self { files: Vec::new(), left_out: vec![why.to_owned()] }
    }
}

/// The same, understood and brought under the caps.
pub(super) struct Wanted {
    /// Nothing older counts.
    pub(super) from: Timestamp,
    /// Nothing newer counts.
    pub(super) until: Option<Timestamp>,
    /// How many entries there may be.
    pub(super) lines: usize,
    pattern: Option<Regex>,
    most: usize,
    /// What was asked for and is not given.
    refused: Option<String>,
}

impl Wanted {
    /// Brings `asked` under the limits.
    ///
    /// # Errors
    /// [`Code::ArgumentsInvalid`] when a time or a pattern cannot be understood.
    pub(super) fn new(ask: &Ask<'_>, asked: &Asked) -> Result<Self, Failure> {
        let limits = &ask.limits.logs;
        let now = ask.host.now();
        let oldest = now.minus(Duration::from_secs(limits.max_age_hours.saturating_mul(3600)));
        let minutes = |minutes: u32| now.minus(Duration::from_secs(u64::from(minutes).saturating_mul(60)));
        let since = time("since", asked.since.as_deref())?.or(asked.minutes.map(minutes));
        let refused = since.filter(|since| *since < oldest).map(|_| {
            let hours = limits.max_age_hours;
            let text =
                format!("nothing older than {hours} hours is read, whatever `since` says (limits.logs.max_age_hours)");
            budget::cut(&text);
            text
        });
        Ok(Self {
            from: since.map_or(oldest, |since| since.max(oldest)),
            until: time("until", asked.until.as_deref())?,
            lines: asked.lines.clamp(1, limits.max_lines.max(1)),
            pattern: asked.pattern.as_deref().map(|pattern| compile(pattern, asked.regex)).transpose()?,
            most: limits.max_lines,
            refused,
        })
    }

    /// Whether something of this time counts.
    pub(super) fn covers(&self, time: Timestamp) -> bool {
        time >= self.from && self.until.is_none_or(|until| time <= until)
    }

    /// Whether the text of an entry decides.
    pub(super) fn has_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// Whether a text fits the pattern. It must be redacted, or the answer tells what is in a secret.
    pub(super) fn fits(&self, text: &str) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
    }

    /// Notes that older entries are left out, or were not even looked at, where that is for the cap and not as asked.
    pub(super) fn enough(&self) {
        if self.lines >= self.most {
            budget::cut(&format!("older entries were left out (limits.logs.max_lines is {})", self.most));
        }
    }

    /// What an answer lacks, in words for whoever asked: `others` and what the caps took.
    pub(super) fn left_out(&self, left: usize, others: Vec<String>) -> Vec<String> {
        let mut said: Vec<String> = self.refused.iter().cloned().collect();
        if left > 0 {
            self.enough();
        }
        if left > 0 {
            said.push(format!(
                "{left} older entries that fit were left out: narrow with since, until, minutes or pattern, or ask for \
                 more with lines (at most {})",
                self.most
            ));
        }
        said.extend(others);
        said
    }
}

/// The newest of all that is pushed, in the order it came in.
pub(super) struct Newest<T> {
    most: usize,
    kept: VecDeque<T>,
    /// How many older ones were dropped.
    pub(super) dropped: usize,
}

impl<T> Newest<T> {
    /// Keeps at most so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: VecDeque::new(), dropped: 0 }
    }

    /// One that is newer than all before.
    pub(super) fn push(&mut self, item: T) {
        if self.kept.len() >= self.most {
            self.kept.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        if self.most > 0 {
            self.kept.push_back(item);
        }
    }

    /// Those that were kept.
    pub(super) fn into_vec(self) -> Vec<T> {
        self.kept.into()
    }
}

/// Brings the declared bounds of `lines` under the configured ones.
pub(super) fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
    let most = limits.logs.max_lines.max(1);
    spec.change_argument("lines", move |lines| {
        lines.insert("maximum".to_owned(), Value::from(most));
        lines.insert("default".to_owned(), Value::from(USUAL.min(most)));
    });
}

/// The beginning of a text that takes no unbounded time to look at.
pub(super) fn looked_at(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or_default()
}

/// The beginning of a message, and whether there was more. It must be redacted, for half a secret has no form any more.
pub(super) fn shown(message: &str) -> (String, bool) {
    let end = message.floor_char_boundary(MESSAGE_BYTES);
    (message.get(..end).unwrap_or_default().to_owned(), end < message.len())
}

fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let understood = |text: &str| {
        rfc3339(text).ok_or_else(|| {
            let what = format!("{name} is no time in the form of RFC 3339, such as 2025-11-03T06:12:56Z");
            Failure::new(Code::ArgumentsInvalid, what)
        })
    };
    text.map(understood).transpose()
}

fn compile(pattern: &str, is_regex: bool) -> Result<Regex, Failure> {
    let literal = if is_regex { pattern.to_owned() } else { regex::escape(pattern) };
    RegexBuilder::new(&literal)
        .case_insensitive(true)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| {
            let what = "pattern is not a regular expression that can be used (syntax of Rust's regex crate)";
            Failure::new(Code::ArgumentsInvalid, what).because(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_literal_until_a_regular_expression_is_asked_for() {
        assert!(compile("a.c", false).unwrap().is_match("xA.Cx") && !compile("a.c", false).unwrap().is_match("abc"));
        assert!(compile("a.c", true).unwrap().is_match("ABC"));
        for bad in ["(", "\\w{1000}{1000}"] {
            assert_eq!(compile(bad, true).unwrap_err().code(), Code::ArgumentsInvalid, "{bad}");
        }
    }

    #[test]
    fn the_newest_stay_and_the_others_are_counted() {
        let mut newest = Newest::new(2);
        (0..5).for_each(|n| newest.push(n));
        assert_eq!((newest.dropped, newest.into_vec()), (3, vec![3, 4]));
        let mut none = Newest::new(0);
        none.push(1);
        assert_eq!((none.dropped, none.into_vec()), (1, vec![]));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let (text, more) = shown(&"é".repeat(MESSAGE_BYTES));
        assert_eq!((text.len(), more), (MESSAGE_BYTES, true));
        assert_eq!(shown("short"), ("short".to_owned(), false));
    }
}
