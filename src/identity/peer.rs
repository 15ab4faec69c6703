//! What the channel itself proved, before any token is looked at.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Certificate, Thumbprint};

/// The other end of the channel.
#[derive(Clone, Debug)]
pub enum PeerIdentity {
    /// TLS with a verified client certificate.
    Certificate {
        /// Where the connection comes from.
        address: IpAddr,
        /// Whose certificate it is.
        certificate: Arc<Certificate>,
        /// What stays the same when it is renewed ([`super::Allowlist::holder`]).
        holder: Arc<str>,
    },
    /// A unix socket; the kernel vouches for these numbers (`SO_PEERCRED`).
    Unix {
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
        /// Process, where the kernel tells it.
        pid: Option<i32>,
    },
    /// Standard input and output of a process that this user started.
    Stdio {
        /// User.
        uid: u32,
    },
}

impl PeerIdentity {
    /// The transport's name in the audit log.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "https",
            Self::Unix { .. } => "unix",
            Self::Stdio { .. } => "stdio",
        }
    }

    /// The network address, where there is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Certificate { address, .. } => Some(*address),
            Self::Unix { .. } | Self::Stdio { .. } => None,
        }
    }

    /// Where the channel comes from, for the operational log: an address, or a user of this machine.
    #[must_use]
    pub fn origin(&self) -> String {
        self.address().map_or_else(|| self.subject(), |address| address.to_string())
    }

    /// The subject for the audit log: a distinguished name, or a uid.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Certificate { certificate, .. } => certificate.subject.to_string(),
            Self::Unix { uid, .. } | Self::Stdio { uid } => format!("uid={uid}"),
        }
    }

    /// The client certificate's thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> Option<Thumbprint> {
        match self {
            Self::Certificate { certificate, .. } => Some(certificate.thumbprint),
            Self::Unix { .. } | Self::Stdio { .. } => None,
        }
    }
}
