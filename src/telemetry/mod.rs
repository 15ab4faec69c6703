//! Operational logs and metrics. One struct per fact; `emit` logs and counts together.

mod facts;
mod logs;
mod metrics;
mod settings;

pub use facts::{CallEnded, HandshakeRefused, KeysFetched, Refused};
pub use logs::start as start_logs;
pub use metrics::text as metrics_text;
pub use settings::{LogFormat, LogLevel, LogSection};
