//! Carrying the path over sockets: from bytes to a peer, from a request to a call, and back.

mod accept;
pub mod activation;
mod activity;
pub mod admin;
mod allowance;
mod bearer;
mod bodies;
mod body;
mod brief;
mod connection;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod https;
mod hygiene;
mod message;
mod owner;
mod params;
mod probe;
mod publish;
mod reply;
mod resource;
mod settings;
mod slots;
pub mod socket;
pub mod stdio;
mod strangers;
mod stream;
pub mod tls;
pub mod trust;
mod turned;
mod unheard;
mod unix;

pub use bearer::Challenge;
pub use https::{Front, Server};
pub use hygiene::Names;
pub use probe::{Probes, Readiness};
pub use publish::Published;
pub use settings::{
    HttpSection, MetricsSection, OperatorSection, PipeSection, SocketMode, SocketSection, TlsSection, TlsVersion,
    TransportKind, Transports,
};
