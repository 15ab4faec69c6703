//! What a certificate may be used for, by its own extensions.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Key usage, extended key usage and basic constraints (RFC 5280 sections 4.2.1.3, 4.2.1.12 and 4.2.1.9).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Usage {
    pub(super) authority: bool,
    pub(super) signs_certificates: bool,
    pub(super) signs_lists: bool,
    pub(super) server: bool,
    pub(super) client: bool,
    /// The subject key identifier.
    pub(super) key_identifier: Option<Vec<u8>>,
    /// `iPAddress` entries of the subject alternative name, as text.
    pub(super) addresses: Vec<String>,
}

impl Usage {
    /// Reads it from DER; `None` when an extension cannot be read.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut usage = Self::default();
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => usage.authority = constraints.ca,
                ParsedExtension::KeyUsage(key) => {
                    usage.signs_certificates = key.key_cert_sign();
                    usage.signs_lists = key.crl_sign();
                }
                ParsedExtension::ExtendedKeyUsage(extended) => {
                    usage.server = extended.server_auth || extended.any;
                    usage.client = extended.client_auth || extended.any;
                }
                ParsedExtension::SubjectKeyIdentifier(identifier) => {
                    usage.key_identifier = Some(identifier.0.to_vec());
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    usage.addresses.extend(names.general_names.iter().filter_map(address));
                }
                ParsedExtension::ParseError { .. } => return None,
                _ => {}
            }
        }
        Some(usage)
    }

    /// In words.
    pub(super) fn role(&self) -> &'static str {
        match (self.authority, self.server, self.client) {
            (true, ..) => "authority",
            (false, true, true) => "server and client",
            (false, true, false) => "server",
            (false, false, true) => "client",
            (false, false, false) => "neither server nor client",
        }
    }
}

fn address(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::IPAddress(bytes) = name else { return None };
    let four = <[u8; 4]>::try_from(*bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    four.or_else(|| <[u8; 16]>::try_from(*bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()))
}
