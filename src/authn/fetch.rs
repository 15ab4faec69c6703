//! One fetch of the issuer's keys: https only, within the configured time and size.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::JwtSection;
use crate::error::{Code, Failure};
use crate::net::Outbound;

/// Fetches a key set; what it gives is not judged yet.
pub(super) type Fetch = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send>> + Send + Sync>;

/// Where to fetch from, and how.
///
/// # Errors
/// [`Code::Config`] without an https address.
pub(super) fn fetcher(section: &JwtSection, outbound: Outbound) -> Result<(String, Fetch), Failure> {
    let uri = section.jwks_uri.clone().filter(|uri| uri.starts_with("https://"));
    let uri = uri.ok_or_else(|| Failure::new(Code::Config, "auth.jwt.jwks_uri must be an https address"))?;
    let (limit, cap) = (Duration::from_secs(section.jwks_timeout), section.jwks_max_bytes);
    let address = uri.clone();
    let fetch: Fetch = Box::new(move || {
        let (outbound, address) = (outbound.clone(), address.clone());
        Box::pin(async move { outbound.get(&address, limit, cap).await })
    });
    Ok((uri, fetch))
}
