//! Scopes to tools: the first lock. A token opens a tool when one of its scopes lists that tool.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;

use super::{Decision, DecisionPoint, Request};
use crate::call::ToolSpec;
use crate::error::{Code, Failure};
use crate::identity::Scopes;

/// Which scopes open which tool.
#[derive(Clone, Debug)]
pub struct ScopeMap {
    by_tool: HashMap<String, Vec<String>>,
    names: HashSet<String>,
}

impl ScopeMap {
    /// From scope → tools, as the configuration writes it.
    #[must_use]
    pub fn new(scopes: &BTreeMap<String, Vec<String>>) -> Self {
        let mut by_tool: HashMap<String, Vec<String>> = HashMap::new();
        for (scope, tools) in scopes {
            for tool in tools {
                by_tool.entry(tool.clone()).or_default().push(scope.clone());
            }
        }
        Self { by_tool, names: scopes.keys().cloned().collect() }
    }

    /// Whether any of `scopes` lists the tool.
    #[must_use]
    pub fn opens(&self, spec: &ToolSpec, scopes: &Scopes) -> bool {
        self.opener(&spec.name, scopes).is_some()
    }

    /// Whether any of `scopes` is one that the configuration names.
    #[must_use]
    pub fn knows(&self, scopes: &Scopes) -> bool {
        scopes.iter().any(|scope| self.names.contains(scope.as_str()))
    }

    pub(super) fn opener(&self, tool: &str, scopes: &Scopes) -> Option<&str> {
        self.by_tool.get(tool)?.iter().map(String::as_str).find(|scope| scopes.contains(scope))
    }
}

#[async_trait]
impl DecisionPoint for ScopeMap {
    async fn decide(&self, request: &Request<'_>) -> Result<Decision, Failure> {
        Ok(match self.opener(request.action, request.caller.scopes()) {
            Some(scope) => Decision::Permit { by: format!("scope:{scope}") },
            None => Decision::Forbid { by: "scopes".to_owned(), code: Code::InsufficientScope },
        })
    }
}
