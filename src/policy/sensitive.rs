//! Sensitive queries: off by default, then the allow-list, and the deny-list wins. A scope is needed besides.

use std::collections::HashSet;

use async_trait::async_trait;

use super::settings::SensitiveSection;
use super::{Decision, DecisionPoint, Request};
use crate::call::ToolSpec;
use crate::error::{Code, Failure};

/// Which sensitive queries the configuration opens.
#[derive(Clone, Default, Debug)]
pub struct SensitiveList {
    allowed: HashSet<String>,
}

impl SensitiveList {
    /// From the configuration.
    #[must_use]
    pub fn new(section: &SensitiveSection) -> Self {
        let mut allowed = HashSet::new();
        if section.enabled {
            allowed.extend(section.allow.iter().filter(|tool| !section.deny.contains(tool)).cloned());
        }
        Self { allowed }
    }

    /// Whether the tool is harmless or opened by name.
    #[must_use]
    pub fn opens(&self, spec: &ToolSpec) -> bool {
        !spec.sensitive || self.allowed.contains(&*spec.name)
    }
}

#[async_trait]
impl DecisionPoint for SensitiveList {
    async fn decide(&self, request: &Request<'_>) -> Result<Decision, Failure> {
        Ok(if self.opens(request.spec) {
            Decision::Abstain
        } else {
            Decision::Forbid { by: "queries.sensitive".to_owned(), code: Code::SensitiveDisabled }
        })
    }
}
