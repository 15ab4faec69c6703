//! What a certificate may be used for, by its own extensions.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER;
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
    /// Reads it from DER; `None` when an extension cannot be read, or is there twice.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let key = certificate.key_usage().ok()?;
        let extended = certificate.extended_key_usage().ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let identifier = certificate.get_extension_unique(&OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).ok()?;
        let identifier = identifier.map(|extension| {
            let ParsedExtension::SubjectKeyIdentifier(found) = extension.parsed_extension() else { return None };
            Some(found.0.to_vec())
        });
        Some(Self {
            authority: certificate.basic_constraints().ok()?.is_some_and(|found| found.value.ca),
            signs_certificates: key.as_ref().is_some_and(|key| key.value.key_cert_sign()),
            signs_lists: key.is_some_and(|key| key.value.crl_sign()),
            // Without the extension a certificate is good for any use.
            server: extended.as_ref().is_none_or(|found| found.value.server_auth || found.value.any),
            client: extended.is_none_or(|found| found.value.client_auth || found.value.any),
            key_identifier: identifier.flatten(),
            addresses: names
                .map(|names| names.value.general_names.iter().filter_map(address).collect())
                .unwrap_or_default(),
        })
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

/// Whether a certificate in DER is an authority's, by its basic constraints; `None` when that cannot be read.
#[must_use]
pub fn is_authority(certificate: &[u8]) -> Option<bool> {
    Usage::of(certificate).map(|usage| usage.authority)
}

/// Whether a certificate in DER is good for servers, by its extended key usage; `None` when that cannot be read.
#[must_use]
pub fn is_for_servers(certificate: &[u8]) -> Option<bool> {
    Usage::of(certificate).map(|usage| usage.server)
}

fn address(name: &GeneralName<'_>) -> Option<String> {
    let GeneralName::IPAddress(bytes) = name else { return None };
    let four = <[u8; 4]>::try_from(*bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    four.or_else(|| <[u8; 16]>::try_from(*bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()))
}
