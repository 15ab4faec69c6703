//! What must hold for every input. Each target takes bytes, and panics when something does not hold. The ordinary tests
//! run the same functions on all inputs that are kept.

mod body;
mod certificate;
mod config_yaml;
mod headers;
mod jwks;
mod jwt;
mod names;

/// A target: its name, and what takes the bytes and tells whether they were accepted.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("body", body::run),
    ("certificate", certificate::run),
    ("config_yaml", config_yaml::run),
    ("headers", headers::run),
    ("jwks", jwks::run),
    ("jwt", jwt::run),
    ("names", names::run),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) -> bool {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.expect("every binary is named like its target").1(bytes)
}
