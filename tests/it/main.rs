//! The integration tests: one binary, a file per subject.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod alarm;
mod audit_commands;
mod audit_page;
mod clients;
mod commands;
mod coverage;
mod cve;
mod documents;
mod forge;
mod host_logs;
mod http;
mod intermediate;
mod key_commands;
mod keys;
mod layers;
mod limits;
mod oauth;
mod principal;
mod process;
mod properties;
mod refusals;
mod reload;
mod replay;
mod review;
mod rmcp_client;
mod secrets;
mod siem;
mod stdio;
mod syslog;
mod tamper;
mod teleport;
mod torture;
mod trust;
mod versions;
mod world;
