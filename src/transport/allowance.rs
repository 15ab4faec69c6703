//! What is left of a budget, in the header fields of an answer: `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-11, and `Retry-After` of RFC 9110 section 10.2.3.

use std::fmt::Write as _;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admission::{Quota, seconds};
use crate::error::{Failure, Limit};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Says what is left.
pub(super) fn tell(headers: &mut HeaderMap, quotas: &[Quota]) {
    let (mut policy, mut standing) = (String::new(), String::new());
    for Quota { limit, left, more_in } in quotas {
        if !policy.is_empty() {
            policy.push_str(", ");
            standing.push_str(", ");
        }
        let Limit { name, calls, window } = limit;
        // Writing to a `String` cannot fail.
        let _ = write!(policy, "\"{name}\";q={calls};w={}", window.as_secs());
        let _ = write!(standing, "\"{name}\";r={left}");
        if !more_in.is_zero() {
            let _ = write!(standing, ";t={}", seconds(*more_in));
        }
    }
    insert(headers, POLICY, &policy);
    insert(headers, STANDING, &standing);
}

/// Says for how long the same would be refused again, and by which limit.
pub(super) fn tell_refusal(headers: &mut HeaderMap, failure: &Failure) {
    let Some(wait) = failure.wait() else { return };
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
    if let Some(limit) = failure.limit() {
        tell(headers, &[Quota { limit: limit.clone(), left: 0, more_in: wait }]);
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Code;

    #[test]
    fn what_is_left_is_told_as_the_draft_has_it() {
        let limit =
            |name: &str, calls, window| Limit { name: name.to_owned(), calls, window: Duration::from_secs(window) };
        let quotas = [
            Quota { limit: limit("caller", 60, 60), left: 9, more_in: Duration::ZERO },
            Quota { limit: limit("caller-hour", 1000, 3600), left: 0, more_in: Duration::from_millis(3100) },
        ];
        let mut headers = HeaderMap::new();
        tell(&mut headers, &quotas);
        assert_eq!(headers[POLICY], "\"caller\";q=60;w=60, \"caller-hour\";q=1000;w=3600");
        assert_eq!(headers[STANDING], "\"caller\";r=9, \"caller-hour\";r=0;t=4");
        let mut headers = HeaderMap::new();
        tell(&mut headers, &[]);
        assert!(headers.is_empty());
        let failure =
            Failure::new(Code::RateLimited, "").until(Duration::from_millis(2500)).about(limit("bots", 5, 60));
        tell_refusal(&mut headers, &failure);
        assert_eq!(
            (&headers[RETRY_AFTER], &headers[STANDING]),
            (&"3".parse().unwrap(), &"\"bots\";r=0;t=3".parse().unwrap())
        );
    }
}
