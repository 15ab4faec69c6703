//! Operational logs and metrics. One struct per fact; `emit` logs and counts together.

mod alarms;
mod budgets;
mod facts;
mod forwarding;
mod journal;
mod line;
mod logs;
mod metrics;
mod settings;

pub use alarms::ManyAuthFailures;
pub use budgets::{BudgetReached, BudgetsHeld};
pub use facts::{
    AuditFailed, AuditLost, AuditRecovered, AuditWritten, CallEnded, ConnectionClosed, ConnectionCut, ConnectionOpened,
    FilesLast, HandshakeRefused, KeysFetched, LookoutLost, Refused, RunsOut, ToolOffered,
};
pub use forwarding::{
    ForwardBroken, ForwardCut, ForwardDropped, ForwardLag, ForwardRecovered, ForwardRestarted, ForwardSent,
    ForwardUnended, ForwardUnreadable,
};
pub use journal::{AuditFileFailed, AuditFileRemoved, AuditSynced, AuditUnclean, AuditWritable};
pub use logs::{LogGuard, start as start_logs};
pub use metrics::{CONTENT_TYPE as METRICS_CONTENT_TYPE, text as metrics_text};
pub use settings::{LogFormat, LogLevel, LogSection};
