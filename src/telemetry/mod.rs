//! Operational logs and metrics. One struct per fact; `emit` logs and counts together.

mod facts;
mod logs;
mod metrics;
mod settings;

pub use facts::{
    AuditFailed, AuditLost, AuditRecovered, AuditWritten, CallEnded, ConnectionClosed, ConnectionCut, ConnectionOpened,
    FilesLast, HandshakeRefused, KeysFetched, Refused, RunsOut,
};
pub use logs::{LogGuard, start as start_logs};
pub use metrics::{CONTENT_TYPE as METRICS_CONTENT_TYPE, text as metrics_text};
pub use settings::{LogFormat, LogLevel, LogSection};
