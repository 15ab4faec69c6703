//! When a token is good: `exp`, `nbf` and `iat` (RFC 7519 section 4.1), and how long it may live at all.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{Code, Failure};

/// A token's times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lifetime {
    /// `exp`
    pub(super) expires: Timestamp,
    /// `nbf`
    pub(super) not_before: Option<Timestamp>,
    /// `iat`
    pub(super) issued: Option<Timestamp>,
}

/// What is granted to clocks and to issuers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// By how much clocks may differ.
    pub(super) skew: Duration,
    /// Longest life of a token, from its issue and from now.
    pub(super) max_ttl: Duration,
}

impl Lifetime {
    /// Whether the token is good at the time `now`.
    ///
    /// # Errors
    /// [`Code::TokenExpired`], [`Code::TokenNotYetValid`], [`Code::TokenIssuedInFuture`], [`Code::TokenLifetime`].
    pub(super) fn check(&self, limits: &Limits, now: Timestamp) -> Result<(), Failure> {
        if self.ends(limits) <= now {
            return Err(Failure::new(Code::TokenExpired, "the token has expired"));
        }
        if self.not_before.is_some_and(|start| start.minus(limits.skew) > now) {
            return Err(Failure::new(Code::TokenNotYetValid, "the token is not valid yet"));
        }
        if self.issued.is_some_and(|issued| issued.minus(limits.skew) > now) {
            return Err(Failure::new(Code::TokenIssuedInFuture, "the token was issued in the future"));
        }
        if self.issued.is_some_and(|issued| self.expires <= issued) {
            return Err(Failure::new(Code::TokenLifetime, "the token ends before it begins"));
        }
        let whole = self.issued.map(|issued| self.expires.since(issued));
        let left = self.expires.since(now);
        if whole.is_some_and(|whole| whole > limits.max_ttl) || left > limits.max_ttl.saturating_add(limits.skew) {
            let text = format!("the token lives longer than {} seconds", limits.max_ttl.as_secs());
            return Err(Failure::new(Code::TokenLifetime, text));
        }
        Ok(())
    }

    /// The first moment at which nobody accepts the token any more.
    pub(super) fn ends(&self, limits: &Limits) -> Timestamp {
        self.expires.plus(limits.skew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { skew: Duration::from_secs(30), max_ttl: Duration::from_secs(300) };
    const NOW: i64 = 1_000_000;

    fn judge(expires: i64, not_before: Option<i64>, issued: Option<i64>) -> Result<(), Code> {
        let at = |seconds: i64| Timestamp::from_seconds(seconds.saturating_add(NOW));
        let life = Lifetime { expires: at(expires), not_before: not_before.map(at), issued: issued.map(at) };
        life.check(&LIMITS, at(0)).map_err(|failure| failure.code())
    }

    #[test]
    fn the_edges_of_time_are_where_the_configuration_puts_them() {
        assert_eq!(judge(-29, None, Some(-100)), Ok(()));
        assert_eq!(judge(-30, None, Some(-100)), Err(Code::TokenExpired));
        assert_eq!(judge(60, Some(30), None), Ok(()));
        assert_eq!(judge(60, Some(31), None), Err(Code::TokenNotYetValid));
        assert_eq!(judge(60, None, Some(30)), Ok(()));
        assert_eq!(judge(60, None, Some(31)), Err(Code::TokenIssuedInFuture));
    }

    #[test]
    fn a_long_life_is_refused_by_issue_and_by_what_is_left() {
        assert_eq!(judge(200, None, Some(-100)), Ok(()));
        assert_eq!(judge(201, None, Some(-100)), Err(Code::TokenLifetime));
        assert_eq!(judge(330, None, None), Ok(()));
        assert_eq!(judge(331, None, None), Err(Code::TokenLifetime));
        assert_eq!(judge(320, None, Some(25)), Ok(()));
        assert_eq!(judge(10, None, Some(10)), Err(Code::TokenLifetime));
        assert_eq!(judge(-10, None, Some(-5)), Err(Code::TokenLifetime));
    }
}
