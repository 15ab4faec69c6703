//! What a call acts on, in the policy's words.

use std::borrow::Cow;
use std::fmt;

/// A typed name such as `Host::"web01"` or `Table::"salaries"`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    kind: Cow<'static, str>,
    id: Cow<'static, str>,
}

impl Resource {
    /// A resource of this kind with this id.
    pub fn new(kind: impl Into<Cow<'static, str>>, id: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }

    /// The host that the daemon itself runs on.
    #[must_use]
    pub fn this_host() -> Self {
        Self::new("Host", "localhost")
    }

    /// The entity type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The entity id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// As Cedar writes an entity, the id escaped.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{:?}", self.kind, self.id)
    }
}
