//! May this caller do this to that? Every decision point is asked; forbid wins, then permit, and silence is a refusal.
//! A permit exists only after the decision is in the audit log.

mod decision;
mod permit;
mod request;
mod scopes;
mod sensitive;
mod settings;

use crate::call::{Arguments, Call, Resource, ToolSpec};
use crate::error::{Code, Failure};
use crate::identity::Scopes;

pub use decision::{Decision, DecisionPoint};
pub use permit::{Judged, Permit, SHORTEST_LEASE};
pub use request::{Context, Request};
pub use scopes::ScopeMap;
pub use sensitive::{SENSITIVE, SensitiveList};
pub use settings::{QueriesSection, ScopesSection, SensitiveSection};

/// Everything that has a say.
pub struct Policy {
    scopes: ScopeMap,
    sensitive: SensitiveList,
    points: Vec<Box<dyn DecisionPoint>>,
}

impl Policy {
    /// The scope map and the sensitive list are always asked; `points` are asked besides.
    #[must_use]
    pub fn new(scopes: ScopeMap, sensitive: SensitiveList, points: Vec<Box<dyn DecisionPoint>>) -> Self {
        Self { scopes, sensitive, points }
    }

    /// Whether a caller with `scopes` may know that the tool exists.
    #[must_use]
    pub fn shows(&self, spec: &ToolSpec, scopes: &Scopes) -> bool {
        self.visibility(spec, scopes).is_ok()
    }

    /// The scope, of those of a caller, by which a tool is open to it.
    #[must_use]
    pub fn opener(&self, spec: &ToolSpec, scopes: &Scopes) -> Option<&str> {
        self.scopes.opener(&spec.name, scopes)
    }

    /// Whether `scopes` open anything at all.
    #[must_use]
    pub fn knows(&self, scopes: &Scopes) -> bool {
        self.scopes.knows(scopes)
    }

    /// Why a tool is hidden from a caller.
    ///
    /// # Errors
    /// [`Code::SensitiveDisabled`] or [`Code::InsufficientScope`]; [`Code::UnknownTool`] for one that is never run.
    pub fn visibility(&self, spec: &ToolSpec, scopes: &Scopes) -> Result<(), Failure> {
        if spec.impact.limit().is_none() {
            return Err(Failure::new(Code::UnknownTool, "queries of high impact are never run"));
        }
        if !self.sensitive.opens(spec) {
            return Err(Failure::new(Code::SensitiveDisabled, "this query is switched off"));
        }
        if !self.scopes.opens(spec, scopes) {
            return Err(Failure::new(Code::InsufficientScope, "the token's scopes do not open this tool"));
        }
        Ok(())
    }

    /// Judges the call. The judgement is worth nothing until it is recorded.
    ///
    /// # Errors
    /// The refusal.
    pub async fn judge(
        &self,
        call: &Call,
        spec: &ToolSpec,
        arguments: Arguments,
        resource: Resource,
        context: Context,
    ) -> Result<Judged, Failure> {
        let request = Request {
            caller: &call.caller,
            action: &spec.name,
            resource: &resource,
            arguments: &arguments,
            spec,
            context,
        };
        let by = self.decide(&request).await?;
        Ok(Judged { arguments, resource, by, context })
    }

    async fn decide(&self, request: &Request<'_>) -> Result<Vec<String>, Failure> {
        let mut permits = Vec::new();
        let own: [&dyn DecisionPoint; 2] = [&self.sensitive, &self.scopes];
        for point in own.into_iter().chain(self.points.iter().map(AsRef::as_ref)) {
            match point.decide(request).await? {
                Decision::Abstain => {}
                Decision::Permit { by } => permits.push(by),
                Decision::Forbid { by, code } => {
                    return Err(Failure::new(code, "this call is not permitted").because(by));
                }
            }
        }
        if permits.is_empty() {
            return Err(Failure::new(Code::PolicyForbidden, "nothing permits this call"));
        }
        Ok(permits)
    }
}
