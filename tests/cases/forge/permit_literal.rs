//~ E0451
// A permit cannot be written down.
use doorward::call::{Arguments, Resource};
use doorward::policy::Permit;

pub fn forge(arguments: Arguments) -> Permit {
    Permit { arguments, resource: Resource::this_host(), by: vec![], leased: Default::default() }
}
