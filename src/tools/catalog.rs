//! Every tool there is, by name, each with the schema of its arguments.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Tool;
use crate::call::{ArgumentSchema, ToolSpec};
use crate::error::{Code, Failure};
use crate::identity::Scopes;
use crate::policy::Policy;

/// A tool and its input schema.
pub struct Entry {
    tool: Box<dyn Tool>,
    schema: ArgumentSchema,
}

impl Entry {
    /// The tool.
    #[must_use]
    pub fn tool(&self) -> &dyn Tool {
        self.tool.as_ref()
    }

    /// Its input schema.
    #[must_use]
    pub fn schema(&self) -> &ArgumentSchema {
        &self.schema
    }
}

/// The tools, in the order of their names.
pub struct Catalog {
    entries: BTreeMap<String, Arc<Entry>>,
}

impl Catalog {
    /// Of these tools.
    ///
    /// # Errors
    /// [`Code::Internal`] when two tools have one name.
    pub fn new(tools: Vec<Box<dyn Tool>>) -> Result<Self, Failure> {
        let mut entries = BTreeMap::new();
        for tool in tools {
            let name = tool.spec().name.to_string();
            let schema = ArgumentSchema::of(tool.spec());
            if entries.insert(name.clone(), Arc::new(Entry { tool, schema })).is_some() {
                return Err(Failure::new(Code::Internal, format!("two tools are called {name}")));
            }
        }
        Ok(Self { entries })
    }

    /// Every name, for checking a configuration against it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The declarations that a caller with `scopes` may see, in order.
    pub fn visible<'a>(&'a self, policy: &'a Policy, scopes: &'a Scopes) -> impl Iterator<Item = &'a ToolSpec> {
        self.entries.values().map(|entry| entry.tool.spec()).filter(move |spec| policy.shows(spec, scopes))
    }

    /// The tool of this name, if a caller with `scopes` may see it. A hidden tool and a missing one differ only in the
    /// reason that is logged.
    ///
    /// # Errors
    /// [`Code::UnknownTool`], [`Code::InsufficientScope`] or [`Code::SensitiveDisabled`].
    pub fn find(&self, name: &str, policy: &Policy, scopes: &Scopes) -> Result<Arc<Entry>, Failure> {
        let entry = self.entries.get(name).ok_or_else(|| Failure::new(Code::UnknownTool, "there is no such tool"))?;
        policy.visibility(entry.tool.spec(), scopes)?;
        Ok(Arc::clone(entry))
    }
}
