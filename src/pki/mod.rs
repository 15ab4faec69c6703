//! Certificates as files: making them, reading them, looking into them, revoking them.

mod authority;
pub mod describe;
pub mod file;
mod inspect;
mod key;
mod ledger;
pub mod lists;
mod name;
mod public;
mod request;
mod revocation;
mod signature;
pub mod store;
#[cfg(test)]
mod tests;
mod usage;

pub use authority::{Authority, Issued, Profile};
pub use inspect::{certificate, not_after};
pub use key::{KeyKind, PublicParts, Signature, SigningKey};
pub use ledger::Kind;
pub use public::PublicKey;
pub use request::{AlternativeName, Request};
pub use revocation::{RevocationList, next_update};
pub use usage::{is_authority, is_for_servers};
