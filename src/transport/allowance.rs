//! What is left of a budget, in the header fields of an answer: `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-11, and `Retry-After` of RFC 9110 section 10.2.3.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admission::{Quota, seconds};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Says what is left, and in `Retry-After`, where it stands, nothing that this contradicts (section 6 of the draft).
pub(super) fn tell(headers: &mut HeaderMap, quotas: &[Quota]) {
    let (mut policy, mut standing) = (String::new(), String::new());
    for Quota { name, calls, window, part, left, more_in } in quotas {
        if !policy.is_empty() {
            policy.push_str(", ");
            standing.push_str(", ");
        }
        // Writing to a `String` cannot fail.
        let _ = write!(policy, "\"{name}\";q={calls};w={}", window.as_secs());
        let _ = write!(standing, "\"{name}\";r={left}");
        if !more_in.is_zero() {
            let _ = write!(standing, ";t={}", seconds(*more_in));
        }
        if let Some(part) = part {
            let key = STANDARD.encode(part);
            let _ = write!(policy, ";pk=:{key}:");
            let _ = write!(standing, ";pk=:{key}:");
        }
    }
    insert(headers, POLICY, &policy);
    insert(headers, STANDING, &standing);
    let longest = quotas.iter().map(|quota| quota.more_in).max().unwrap_or_default();
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if said.is_some_and(|said: u64| Duration::from_secs(said) < longest) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(longest)));
    }
}

/// Says for how long the same would be refused again.
pub(super) fn tell_wait(headers: &mut HeaderMap, wait: Duration) {
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
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
    use super::*;

    fn quota(name: &str, (calls, window): (u32, u64), left: u32, more_in: u64) -> Quota {
        let (window, more_in) = (Duration::from_secs(window), Duration::from_millis(more_in));
        Quota { name: name.to_owned(), calls, window, part: None, left, more_in }
    }

    #[test]
    fn what_is_left_is_told_as_the_draft_has_it() {
        let about = Quota { part: Some("get_uptime".to_owned()), ..quota("load", (2, 60), 1, 0) };
        let quotas = [quota("caller", (10, 10), 9, 0), quota("caller-hour", (1000, 3600), 0, 3100), about];
        let mut headers = HeaderMap::new();
        tell(&mut headers, &quotas);
        let policy = "\"caller\";q=10;w=10, \"caller-hour\";q=1000;w=3600, \"load\";q=2;w=60;pk=:Z2V0X3VwdGltZQ==:";
        assert_eq!(headers[POLICY], policy);
        let standing = "\"caller\";r=9, \"caller-hour\";r=0;t=4, \"load\";r=1;pk=:Z2V0X3VwdGltZQ==:";
        assert_eq!(headers[STANDING], standing);
        assert!(!headers.contains_key(RETRY_AFTER), "nobody was refused");
        let mut headers = HeaderMap::new();
        tell(&mut headers, &[]);
        assert!(headers.is_empty());
    }

    #[test]
    fn nobody_is_told_to_come_back_before_there_is_anything_left() {
        let mut headers = HeaderMap::new();
        tell_wait(&mut headers, Duration::from_millis(2500));
        assert_eq!(headers[RETRY_AFTER], "3");
        tell(&mut headers, &[quota("caller", (10, 10), 0, 2500)]);
        assert_eq!(headers[RETRY_AFTER], "3");
        tell(&mut headers, &[quota("caller", (10, 10), 0, 2500), quota("caller-hour", (9, 3600), 0, 9000)]);
        assert_eq!(headers[RETRY_AFTER], "9");
    }
}
