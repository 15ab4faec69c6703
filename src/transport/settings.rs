//! The words of the configuration that the transports own: `transport`, `socket`, `pipe`, `tls`, `http`, `metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How callers reach the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransportKind {
    /// Standard input and output of the process.
    #[default]
    Stdio,
    /// A unix socket.
    Unix,
    /// A Windows named pipe.
    Pipe,
    /// HTTPS with client certificates.
    Https,
    /// Refused: there is no plaintext.
    Http,
}

/// The ways by which callers reach the daemon: one, or several in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Transports {
    /// One.
    One(TransportKind),
    /// Several at once.
    Several(Vec<TransportKind>),
}

impl Transports {
    /// As they are written.
    #[must_use]
    pub fn all(&self) -> &[TransportKind] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }

    /// Whether `kind` is among them.
    #[must_use]
    pub fn uses(&self, kind: TransportKind) -> bool {
        self.all().contains(&kind)
    }
}

impl Default for Transports {
    fn default() -> Self {
        Self::One(TransportKind::default())
    }
}

/// The unix socket, and what is asked of those who use it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SocketSection {
    /// Absolute, in a directory that only root and the user of the daemon can write to. Default: /run/doorward/doorward.sock
    pub path: PathBuf,
    /// File mode in octal: who can write to the socket can connect. Default: 0600.
    pub mode: SocketMode,
    /// Owner by name or number. Default: the user of the daemon.
    pub owner: Option<String>,
    /// Group by name or number. Default: the group of the daemon.
    pub group: Option<String>,
    /// Whether `mode` may let in users beside the owner and the group. Default: false.
    pub allow_others: bool,
    /// Whether callers present a token as over https; without one they are known by their uid. Default: true if `auth` says how
    /// tokens are verified.
    pub require_token: Option<bool>,
    /// The scopes of a caller without a token. Default: every one of `scopes` but sensitive.
    pub scopes: Option<Vec<String>>,
}

impl Default for SocketSection {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/run/doorward/doorward.sock"),
            mode: SocketMode("0600".to_owned()),
            owner: None,
            group: None,
            allow_others: false,
            require_token: None,
            scopes: None,
        }
    }
}

/// A file mode as it is written: three octal digits, a zero before them or not, as a number or as text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("type" = ["string", "integer"], "format" = "file-mode"))]
pub struct SocketMode(pub String);

impl SocketMode {
    /// The nine permission bits; none for what is no mode, which the reading of the file refuses.
    #[must_use]
    pub fn bits(&self) -> u32 {
        u32::from_str_radix(&self.0, 8).unwrap_or_default() & 0o777
    }

    /// Whether it has a right for users beside the owner and the group.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.bits() & 0o007 != 0
    }
}

/// The Windows named pipe. No effect in this version.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PipeSection {
    /// `\\.\pipe\…`
    pub name: String,
    /// Security descriptor in SDDL.
    pub acl: Option<String>,
}

/// TLS and client certificates.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// Address and port. Default: 127.0.0.1:8443.
    #[schemars(extend("format" = "address-port"))]
    pub bind: SocketAddr,
    /// Server certificate and intermediates, PEM.
    pub cert: Option<PathBuf>,
    /// Private key, PEM, readable by the owner only.
    pub key: Option<PathBuf>,
    /// Authorities that sign client certificates, PEM.
    pub client_ca: Option<PathBuf>,
    /// Revocation lists of these authorities, PEM. With a list, an unknown or outdated status is a refusal.
    pub client_crl: Option<PathBuf>,
    /// Cannot be switched off. Default: true.
    pub require_client_cert: bool,
    /// Who may knock: `CN=name`, a full distinguished name (RFC 4514), `DNS:name`, `URI:spiffe://…`, `EMAIL:address`.
    /// Empty lets in every certificate of `client_ca`, and is a finding unless `bind` is loopback.
    pub allowed_subjects: Vec<String>,
    /// Lowest TLS version. Default: "1.3".
    pub min_version: TlsVersion,
    /// Seconds a handshake may take. Default: 10.
    #[schemars(range(min = 1))]
    pub handshake_timeout: u64,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8443)),
            cert: None,
            key: None,
            client_ca: None,
            client_crl: None,
            require_client_cert: true,
            allowed_subjects: Vec::new(),
            min_version: TlsVersion::Tls13,
            handshake_timeout: 10,
        }
    }
}

/// A TLS version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246) and later.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    Tls13,
}

/// HTTP, over TLS or a unix socket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Names in `Host` under which the daemon answers. Default: the bind address, and localhost when it is loopback.
    pub allowed_hosts: Vec<String>,
    /// Web origins that may call, as `scheme://host[:port]`. Default: none.
    pub cors_allowed_origins: Vec<String>,
    /// The URL callers use, for the protected resource metadata. Default: https:// with the first allowed host and the port.
    pub public_url: Option<String>,
    /// Authorization servers named in the protected resource metadata. Default: `auth.jwt.issuer`, if it is a URL.
    pub authorization_servers: Vec<String>,
    /// Bytes of a request body, and of a line over stdio. Default: 262144.
    #[schemars(range(min = 1))]
    pub max_body_bytes: usize,
    /// Bytes of all request bodies that a transport holds at once; one certificate or user may take a quarter, and in any case one
    /// body.
    /// Default: 33554432.
    #[schemars(range(min = 1))]
    pub max_body_bytes_total: usize,
    /// Bytes of all headers of a request. Default: 65536.
    #[schemars(range(min = 1))]
    pub max_header_bytes: usize,
    /// Seconds until the first complete request, and for the headers of each. Default: 10.
    #[schemars(range(min = 1))]
    pub header_timeout: u64,
    /// Seconds for a request body. Default: 15.
    #[schemars(range(min = 1))]
    pub body_timeout: u64,
    /// Seconds a connection may be idle. Default: 60.
    #[schemars(range(min = 1))]
    pub idle_timeout: u64,
    /// Seconds a connection may live. Default: 3600.
    #[schemars(range(min = 1))]
    pub max_connection_age: u64,
    /// Connections of a transport in total. Default: 1024.
    #[schemars(range(min = 1))]
    pub max_connections: usize,
    /// Connections from one address, or of one user over a unix socket. Default: 128.
    #[schemars(range(min = 1))]
    pub max_connections_per_address: usize,
    /// HTTP/2 streams of one connection. Default: 64.
    #[schemars(range(min = 1))]
    pub max_concurrent_streams: u32,
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            cors_allowed_origins: Vec::new(),
            public_url: None,
            authorization_servers: Vec::new(),
            max_body_bytes: 262_144,
            max_body_bytes_total: 33_554_432,
            max_header_bytes: 65_536,
            header_timeout: 10,
            body_timeout: 15,
            idle_timeout: 60,
            max_connection_age: 3600,
            max_connections: 1024,
            max_connections_per_address: 128,
            max_concurrent_streams: 64,
        }
    }
}

/// For operators of this machine.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorSection {
    /// A unix socket for `doorward budget`: absolute, in a directory that only root and the user of the daemon can write to. Root
    /// and that user may ask. None when absent.
    pub socket: Option<PathBuf>,
}

/// `/health`, `/ready` and `/metrics` on a listener of their own, without certificate or token; over https and a unix socket there
/// are only the first two.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Whether there is this listener; without it there are no metrics. Default: true with https.
    pub enabled: Option<bool>,
    /// Default: 127.0.0.1:9464.
    #[schemars(extend("format" = "address-port"))]
    pub bind: SocketAddr,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self { enabled: None, bind: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}
