//! Carrying the path over sockets.

mod settings;

pub use settings::{
    HttpSection, MetricsSection, PipeSection, SocketMode, SocketSection, TlsSection, TlsVersion, TransportKind,
};
