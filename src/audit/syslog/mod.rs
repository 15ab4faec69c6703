//! Forwarding of the journal to syslog (RFC 5424): every record, in order, at least once. It reads the journal's files on a
//! thread of its own and is in nobody's way.

mod cef;
mod credentials;
mod cursor;
mod fields;
mod forwarder;
mod message;
mod pace;
mod settings;
mod target;
mod wire;

pub use cursor::Delivered;
pub use forwarder::Forwarder;
pub use settings::{Facility, Format, SyslogSection};
pub use target::{Host, Target};
