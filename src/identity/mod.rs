//! Who is there: certificates, names, users, agents and scopes as plain data. Nothing here reads or writes.

mod certificate;
mod json;
mod name;
mod network;
mod peer;
mod principal;
mod scope;
mod subject;
mod text;

pub use certificate::{Certificate, Spelling, Thumbprint};
pub use json::{MOST_VALUES, StrictError, check_strict, parse_strict};
pub use name::{DistinguishedName, NameError, RelativeName};
pub use network::Network;
pub use peer::PeerIdentity;
pub use principal::{Actor, Principal};
pub use scope::{Scope, Scopes};
pub use subject::{Allowlist, SubjectPattern};
pub use text::{harmless, is_hidden};
