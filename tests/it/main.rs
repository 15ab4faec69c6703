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

mod access;
mod admin;
mod alarm;
mod audit_commands;
mod audit_page;
mod budget;
mod clients;
mod commands;
mod coverage;
mod cve;
mod doctor;
mod documents;
mod floods;
mod forge;
mod hardening;
mod host_apart;
mod host_figures;
mod host_logs;
mod host_network;
mod http;
mod intermediate;
mod inventory;
mod key_commands;
mod keys;
mod layers;
mod limits;
mod lookout;
mod oauth;
mod principal;
mod process;
mod properties;
mod rates;
mod redaction;
mod refusals;
mod reload;
mod replay;
mod review;
mod rmcp_client;
mod sandbox;
mod secrets;
mod sensitive;
mod siem;
mod stdio;
mod syslog;
mod tamper;
mod teleport;
mod torture;
mod transports;
mod trust;
mod unix;
mod versions;
mod world;
