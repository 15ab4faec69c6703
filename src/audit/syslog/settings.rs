//! The words of the configuration that forwarding owns.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Forwarding of the audit log to syslog (RFC 5424).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SyslogSection {
    /// Default: false.
    pub enabled: bool,
    /// The collector: `unix:PATH`, `udp://HOST:PORT`, `tcp://HOST:PORT` or `tls://HOST:PORT`. Default: unix:/dev/log
    pub target: String,
    /// Facility by name. Default: auth
    pub facility: Facility,
    /// APP-NAME: up to 48 printable characters, no blanks. Default: doorward
    pub tag: String,
    /// HOSTNAME. Default: the system's.
    pub hostname: Option<String>,
    /// What the message is. Default: json
    pub format: Format,
    /// The private enterprise number in the name of the structured data. Default: 32473, which RFC 5612 keeps for examples.
    #[schemars(range(min = 1))]
    pub enterprise_id: u32,
    /// Longest message in bytes; a longer one is cut and marked. Default: 2048 over UDP, 65536 to a unix socket, no limit
    /// over TCP and TLS.
    #[schemars(range(min = 480, max = 1_048_576))]
    pub max_message_bytes: Option<u32>,
    /// Seconds for which a collector that takes nothing, or does not end a connection, is waited for. Default: 30
    #[schemars(range(min = 1, max = 600))]
    pub timeout: u64,
    /// With `tls://`: the authorities that the collector's certificate must come from, PEM. Default: the system's.
    pub ca: Option<PathBuf>,
    /// With `tls://`: the certificate to show, PEM.
    pub cert: Option<PathBuf>,
    /// With `tls://`: its private key, PEM.
    pub key: Option<PathBuf>,
    /// With `tls://`: the name in the collector's certificate. Default: the target's host.
    pub server_name: Option<String>,
}

impl Default for SyslogSection {
    fn default() -> Self {
        Self {
            enabled: false,
            target: "unix:/dev/log".to_owned(),
            facility: Facility::Auth,
            tag: "doorward".to_owned(),
            hostname: None,
            format: Format::Json,
            enterprise_id: 32473,
            max_message_bytes: None,
            timeout: 30,
            ca: None,
            cert: None,
            key: None,
            server_name: None,
        }
    }
}

/// What the message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The line of the journal, byte for byte.
    Json,
    /// Common Event Format, version 0 (ArcSight).
    Cef,
}

/// RFC 5424 section 6.2.1, by the names that syslog daemons use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Facility {
    /// 0
    Kern,
    /// 1
    User,
    /// 2
    Mail,
    /// 3
    Daemon,
    /// 4
    Auth,
    /// 5
    Syslog,
    /// 6
    Lpr,
    /// 7
    News,
    /// 8
    Uucp,
    /// 9
    Cron,
    /// 10
    Authpriv,
    /// 11
    Ftp,
    /// 12
    Ntp,
    /// 13
    Audit,
    /// 14
    Alert,
    /// 15
    Clock,
    /// 16
    Local0,
    /// 17
    Local1,
    /// 18
    Local2,
    /// 19
    Local3,
    /// 20
    Local4,
    /// 21
    Local5,
    /// 22
    Local6,
    /// 23
    Local7,
}

impl Facility {
    /// Its number.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Kern => 0,
            Self::User => 1,
            Self::Mail => 2,
            Self::Daemon => 3,
            Self::Auth => 4,
            Self::Syslog => 5,
            Self::Lpr => 6,
            Self::News => 7,
            Self::Uucp => 8,
            Self::Cron => 9,
            Self::Authpriv => 10,
            Self::Ftp => 11,
            Self::Ntp => 12,
            Self::Audit => 13,
            Self::Alert => 14,
            Self::Clock => 15,
            Self::Local0 => 16,
            Self::Local1 => 17,
            Self::Local2 => 18,
            Self::Local3 => 19,
            Self::Local4 => 20,
            Self::Local5 => 21,
            Self::Local6 => 22,
            Self::Local7 => 23,
        }
    }
}
