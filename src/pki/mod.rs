//! Certificates as files: making them, reading them, looking into them, revoking them.

mod authority;
pub mod describe;
mod inspect;
mod key;
mod ledger;
mod name;
mod public;
mod request;
mod revocation;
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
pub use revocation::{RevocationList, Signed, signed_by, validity};
pub use usage::{serves, vouches};
