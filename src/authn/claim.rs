//! One claim: it has its type, or the token is refused.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::error::{Code, Failure};

/// The longest name of a user, an agent or a token, in bytes.
const LONGEST_NAME: usize = 256;

/// The end of the year 9999 in seconds since the epoch; a time beyond it is a mistake or an attack.
pub(super) const LAST_SECOND: u64 = 253_402_300_799;

/// A NumericDate (RFC 7519 section 2): seconds since the epoch, perhaps with a fraction.
pub(super) fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Timestamp>, Failure> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let seconds = value.as_u64().map(Duration::from_secs);
    let seconds = seconds.or_else(|| Duration::try_from_secs_f64(value.as_f64()?).ok());
    seconds
        .filter(|seconds| seconds.as_secs() <= LAST_SECOND)
        .and_then(|seconds| i64::try_from(seconds.as_millis()).ok())
        .map(|millis| Some(Timestamp::from_millis(millis)))
        .ok_or_else(|| wrong(format!("the claim {claim} is not a time")))
}

/// Any text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<Option<&'a str>, Failure> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(format!("the claim {claim} is not a text"))),
    }
}

/// A text that can stand in a log line and in a policy.
pub(super) fn name<'a>(claims: &'a Map<String, Value>, claim: &'static str) -> Result<Option<&'a str>, Failure> {
    match text(claims, claim)? {
        Some(name) if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) => {
            Err(wrong(format!("the claim {claim} is not a text of 1 to 256 bytes without control characters")))
        }
        name => Ok(name),
    }
}

/// What must be there.
pub(super) fn require<T>(value: Option<T>, claim: &'static str) -> Result<T, Failure> {
    value.ok_or_else(|| wrong(format!("the token has no {claim}")))
}

/// The refusal of a claim.
pub(super) fn wrong(text: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(Code::TokenClaim, text)
}
