//! Outbound HTTPS: own roots, no proxies, no redirects, time limits, size caps.

use std::time::Duration;

use crate::error::{Code, Failure};

/// A client for one remote party.
#[derive(Clone, Debug)]
pub struct Outbound {}

impl Outbound {
    /// GET, with a cap on the body.
    ///
    /// # Errors
    /// [`Code::Upstream`].
    pub async fn get(&self, _url: &str, _limit: Duration, _cap: usize) -> Result<Vec<u8>, Failure> {
        Err(Failure::new(Code::Upstream, "placeholder"))
    }
}
