//! The other end of a call, as a record names it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::printable::printable;
use crate::identity::PeerIdentity;

/// The other end, as far as it is known.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Client {
    /// `https`, `unix` or `stdio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<&'static str>,
    /// Network address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// Certificate subject in RFC 4514 form, or `uid=N`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub subject: Option<Arc<str>>,
    /// The certificate's SHA-256.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub certificate: Option<Arc<str>>,
    /// The token's `sub`, once it is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_sub: Option<String>,
}

impl Client {
    /// A client of which only the address is known.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self { transport: Some("https"), ip: Some(address), ..Self::default() }
    }
}

impl From<&PeerIdentity> for Client {
    fn from(peer: &PeerIdentity) -> Self {
        let (subject, certificate) = match peer {
            PeerIdentity::Certificate { certificate, .. } => {
                let (subject, thumbprint) = certificate.spelled(|subject| printable(&subject.to_string(), 1024));
                (subject, Some(thumbprint))
            }
            PeerIdentity::Unix { .. } | PeerIdentity::Stdio { .. } => (peer.subject().into(), None),
        };
        Self {
            transport: Some(peer.transport()),
            ip: peer.address(),
            subject: Some(subject),
            certificate,
            jwt_sub: None,
        }
    }
}

pub(super) fn shared<S: Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}
