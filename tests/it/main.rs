//! The integration tests: one binary, a file per subject.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod cve;
mod forge;
mod layers;
mod properties;
mod refusals;
mod secrets;
mod world;
