//! What a decision point can say.

use async_trait::async_trait;

use super::Request;
use crate::error::{Code, Failure};

/// Forbid over permit; nothing said is a refusal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// No opinion.
    Abstain,
    /// No.
    Forbid {
        /// The rule that says so, for the audit log.
        by: String,
        /// The reason the caller gets.
        code: Code,
    },
    /// Yes, unless somebody else forbids it.
    Permit {
        /// The rule that says so, for the audit log.
        by: String,
    },
}

/// Somebody who decides: pure, total, and an error is a refusal.
#[async_trait]
pub trait DecisionPoint: Send + Sync {
    /// Judges one request.
    ///
    /// # Errors
    /// When no decision can be reached; the call is then refused.
    async fn decide(&self, request: &Request<'_>) -> Result<Decision, Failure>;
}
