//! The question a decision point is asked.

use crate::authn::Caller;
use crate::call::{Arguments, Resource, ToolSpec};

/// May `caller` do `action` with `arguments` to `resource`?
#[derive(Debug)]
pub struct Request<'a> {
    /// User via agent, with scopes and channel.
    pub caller: &'a Caller,
    /// The tool's name.
    pub action: &'a str,
    /// What it would act on.
    pub resource: &'a Resource,
    /// The very arguments the tool would get.
    pub arguments: &'a Arguments,
    /// The tool's declaration.
    pub spec: &'a ToolSpec,
    /// What else is known of the moment.
    pub context: Context,
}

/// What is known of a call besides who, what and with what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// The caller was not with this resource within a day, as far as is remembered: what is forgotten is new again.
    pub first_contact: bool,
}
