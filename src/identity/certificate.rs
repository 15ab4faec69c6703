//! What a client certificate says, read once per connection.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::DistinguishedName;
use crate::clock::Timestamp;
use crate::secret::hex;

/// SHA-256 of a certificate in DER: the `x5t#S256` of RFC 8705 section 3.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest(&SHA256, der).as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }

    /// From base64url without padding, as `cnf` has it; `None` if it is not exactly 32 bytes in canonical form.
    #[must_use]
    pub fn from_base64url(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Base64url without padding.
    #[must_use]
    pub fn base64url(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// The parts of an X.509 certificate that identify its holder. Whether to trust it is decided elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The subject's distinguished name.
    pub subject: DistinguishedName,
    /// The issuer's distinguished name.
    pub issuer: DistinguishedName,
    /// The serial number in lower-case hexadecimal.
    pub serial: String,
    /// `dNSName` entries of the subject alternative name.
    pub dns_names: Vec<String>,
    /// `uniformResourceIdentifier` entries of the subject alternative name.
    pub uris: Vec<String>,
    /// `rfc822Name` entries of the subject alternative name.
    pub emails: Vec<String>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// SHA-256 of the whole certificate.
    pub thumbprint: Thumbprint,
    /// How records spell it.
    pub spelling: Spelling,
}

/// The texts that every record about a certificate repeats, made once. They follow from the rest, so they are no part of
/// what makes two certificates equal.
#[derive(Clone, Default, Debug)]
pub struct Spelling(OnceLock<(Arc<str>, Arc<str>)>);

impl PartialEq for Spelling {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Spelling {}

impl Certificate {
    /// The subject as `spell` writes it, and the thumbprint in hexadecimal; `spell` is asked once.
    pub fn spelled(&self, spell: impl FnOnce(&DistinguishedName) -> String) -> (Arc<str>, Arc<str>) {
        self.spelling.0.get_or_init(|| (spell(&self.subject).into(), self.thumbprint.to_string().into())).clone()
    }

    /// The SPIFFE id, if this is an X.509-SVID: exactly one URI, with the scheme `spiffe` (SPIFFE X509-SVID section 2).
    #[must_use]
    pub fn spiffe_id(&self) -> Option<&str> {
        match self.uris.as_slice() {
            [only] if only.starts_with("spiffe://") => Some(only),
            _ => None,
        }
    }
}
