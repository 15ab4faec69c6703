//~ E0451
// What was not judged cannot be recorded into a permit.
use doorward::call::{Arguments, Resource};
use doorward::policy::{Context, Judged};

pub fn forge(arguments: Arguments) -> Judged {
    let context = Context { first_contact: false };
    Judged { arguments, resource: Resource::this_host(), by: vec!["scope:core".to_owned()], context }
}
