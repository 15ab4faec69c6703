//! What must hold for every input. Each target takes bytes, and panics when something does not hold. The ordinary tests
//! run the same functions on all inputs that are kept.

mod body;
mod certificate;
mod config_yaml;
mod headers;
mod jwks;
mod jwt;
mod names;

/// Every target by its name.
pub const TARGETS: [(&str, fn(&[u8])); 7] = [
    ("body", body::run),
    ("certificate", certificate::run),
    ("config_yaml", config_yaml::run),
    ("headers", headers::run),
    ("jwks", jwks::run),
    ("jwt", jwt::run),
    ("names", names::run),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    for (known, target) in TARGETS {
        if known == name {
            target(bytes);
        }
    }
}
