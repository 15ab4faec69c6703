//! Tools: what can be called, and the catalog from which a caller sees only its own part.

mod catalog;

use async_trait::async_trait;

use crate::call::{Arguments, Output, Progress, Resource, ToolSpec};
use crate::error::Failure;
use crate::policy::Permit;

pub use catalog::{Catalog, Entry};

/// Something that can be called. It runs only with a permit, and what it returns goes through the guard.
#[async_trait]
pub trait Tool: Send + Sync {
    /// Its declaration.
    fn spec(&self) -> &ToolSpec;

    /// What a call with these arguments would act on.
    ///
    /// # Errors
    /// When the arguments name nothing that exists.
    fn resource(&self, arguments: &Arguments) -> Result<Resource, Failure>;

    /// Does it. Dropping the future cancels it.
    ///
    /// # Errors
    /// [`crate::error::Code::ToolFailed`] and the like, with a message that the caller may read.
    async fn run(&self, permit: &Permit, progress: &Progress) -> Result<Output, Failure>;
}

impl std::fmt::Debug for dyn Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tool({})", self.spec().name)
    }
}
