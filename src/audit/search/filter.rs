//! Which records are asked for. Bytes are looked at first and JSON is parsed after, for most lines are not.

use regex::bytes::Regex;

use super::reading::Reading;
use super::{Span, stamp};
use crate::error::{Code, Failure};

/// What a record must say; an absent wish admits all.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// `user`.
    pub user: Option<String>,
    /// One of `agent`.
    pub agent: Option<String>,
    /// `query`.
    pub tool: Option<String>,
    /// `event`.
    pub event: Option<String>,
    /// `decision`, or `result`.
    pub decision: Option<String>,
    /// `reason`.
    pub reason: Option<String>,
    /// `client.ip`.
    pub ip: Option<String>,
    /// The time.
    pub span: Span,
}

/// A filter made ready.
pub struct Sieve {
    filter: Filter,
    since: Option<String>,
    until: Option<String>,
    needles: Vec<Regex>,
}

impl Filter {
    /// Makes it ready.
    ///
    /// # Errors
    /// [`Code::Internal`] when a text cannot be searched for.
    pub fn ready(self) -> Result<Sieve, Failure> {
        let texts = [&self.user, &self.agent, &self.tool, &self.event, &self.decision, &self.reason, &self.ip];
        let needles = texts.into_iter().flatten().map(|text| needle(text)).collect::<Result<_, _>>()?;
        let since = self.span.since.map(|at| at.to_string());
        let until = self.span.until.map(|at| at.to_string());
        Ok(Sieve { filter: self, since, until, needles })
    }
}

/// Finds a text as JSON writes it, between quotes.
fn needle(text: &str) -> Result<Regex, Failure> {
    let broken = |cause: String| Failure::new(Code::Internal, "this text cannot be searched for").because(cause);
    let json = serde_json::to_string(text).map_err(|error| broken(error.to_string()))?;
    Regex::new(&regex::escape(&json)).map_err(|error| broken(error.to_string()))
}

impl Sieve {
    /// The record in a line, if it is asked for.
    #[must_use]
    pub fn pass(&self, line: &[u8]) -> Option<Reading> {
        if self.is_outside(line) || !self.needles.iter().all(|needle| needle.is_match(line)) {
            return None;
        }
        Reading::of(line).filter(|record| self.admits(record))
    }

    /// Whether a line is of another time, or of none where one is asked for.
    #[must_use]
    pub fn is_outside(&self, line: &[u8]) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return false;
        }
        // Times are written so that their order is that of their letters.
        let at = stamp(line);
        at.is_none()
            || self.since.as_deref().is_some_and(|since| at < Some(since))
            || self.until.as_deref().is_some_and(|until| at > Some(until))
    }

    fn admits(&self, record: &Reading) -> bool {
        let filter = &self.filter;
        let is = |wish: &Option<String>, found: Option<&str>| wish.is_none() || wish.as_deref() == found;
        is(&filter.user, record.user.as_deref())
            && is(&filter.tool, record.query.as_deref())
            && is(&filter.event, Some(&record.event))
            && is(&filter.reason, record.reason.as_deref())
            && is(&filter.ip, record.client.ip.as_deref())
            && (is(&filter.decision, record.decision.as_deref()) || is(&filter.decision, record.result.as_deref()))
            && filter.agent.as_ref().is_none_or(|agent| record.agent.contains(agent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const LINE: &[u8] = br#"{"seq":7,"v":1,"ts":"2027-01-15T08:00:00.000Z","event":"query","query":"get_uptime","client":{"ip":"10.0.0.1"},"user":"al\"ice","agent":["one","two"],"decision":"forbid","result":"refused","reason":"policy_forbidden","prev":""}"#;

    fn passes(change: impl FnOnce(&mut Filter)) -> bool {
        let mut filter = Filter::default();
        change(&mut filter);
        filter.ready().unwrap().pass(LINE).is_some()
    }

    #[test]
    fn every_wish_counts() {
        let some = |text: &str| Some(text.to_owned());
        assert!(passes(|_| {}));
        assert!(passes(|filter| filter.user = some("al\"ice")) && !passes(|filter| filter.user = some("alice")));
        assert!(passes(|filter| filter.agent = some("two")) && !passes(|filter| filter.agent = some("al\"ice")));
        assert!(passes(|filter| filter.tool = some("get_uptime")) && !passes(|filter| filter.tool = some("get_up")));
        assert!(passes(|filter| filter.event = some("query")) && !passes(|filter| filter.event = some("one")));
        assert!(
            passes(|filter| filter.decision = some("forbid")) && passes(|filter| filter.decision = some("refused"))
        );
        assert!(!passes(|filter| filter.decision = some("permit")));
        assert!(
            passes(|filter| filter.reason = some("policy_forbidden")) && !passes(|filter| filter.reason = some("x"))
        );
        assert!(passes(|filter| filter.ip = some("10.0.0.1")) && !passes(|filter| filter.ip = some("10.0.0.10")));
        let at = Timestamp::from_seconds(1_800_000_000);
        let before = at.minus(std::time::Duration::from_millis(1));
        assert!(passes(|filter| filter.span = Span { since: Some(at), until: Some(at) }));
        assert!(!passes(|filter| filter.span.until = Some(before)));
        assert!(passes(|filter| filter.span.since = Some(before)));
    }
}
