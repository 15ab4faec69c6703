//! Doorward: one hardened door between AI agents and infrastructure.
//!
//! The modules are listed in the order in which a call passes them, which is also the order in which they may use one
//! another: a module uses only what stands above it.
//!
//! A connection proves a [`identity::PeerIdentity`]; [`authn`] makes a caller of it; [`admission`] gives the caller a
//! place; [`tools`] finds the tool among those this caller may see; [`call`] checks the arguments; [`policy`] decides and
//! [`audit`] records the decision, and only then is there a permit; a [`toolsets`] tool runs with it; [`guard`] redacts
//! and caps what came out. [`pipeline`] is that path in one function. [`mcp`] and [`transport`] carry it, [`config`] and
//! [`daemon`] put it together, [`cli`] is what a person types.

pub mod clock;
pub mod error;
pub mod secret;

pub mod identity;

pub mod telemetry;

pub mod exec;
pub mod net;
pub mod sandbox;

pub mod audit;
pub mod cluster;
pub mod pki;

pub mod authn;

pub mod call;

pub mod admission;
pub mod policy;

pub mod guard;

pub mod tools;

pub mod toolsets;

pub mod pipeline;

pub mod mcp;

pub mod transport;

pub mod config;

pub mod daemon;

pub mod cli;

// The fuzz targets name this crate from outside; their inputs are replayed here under the same name.
#[cfg(test)]
mod replay;

#[cfg(test)]
extern crate self as doorward;
