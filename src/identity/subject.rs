//! The allowlist of client certificates: each entry names one kind of name and is compared with that kind only.

use std::fmt;

use super::{Certificate, DistinguishedName, NameError};

/// One entry of `tls.allowed_subjects`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubjectPattern {
    /// `CN=name` alone: the certificate's subject has exactly one common name, and this is it.
    CommonName(String),
    /// A full distinguished name of two parts or more.
    Subject(DistinguishedName),
    /// `DNS:name`, without regard to ASCII case (RFC 4343).
    Dns(String),
    /// `URI:value`, byte for byte. A SPIFFE id counts only where it is the certificate's one URI (SPIFFE X509-SVID
    /// section 2): with two, readers may take either.
    Uri(String),
    /// `EMAIL:address`, byte for byte.
    Email(String),
}

impl SubjectPattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// When it is neither `DNS:`, `URI:`, `EMAIL:` with a value nor a distinguished name. Wildcards are not patterns here.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if let Some(value) = text.strip_prefix("DNS:") {
            return plain(value).map(Self::Dns);
        }
        if let Some(value) = text.strip_prefix("URI:") {
            return plain(value).map(Self::Uri);
        }
        if let Some(value) = text.strip_prefix("EMAIL:") {
            return plain(value).map(Self::Email);
        }
        let name = DistinguishedName::parse(text)?;
        let only_common_name = {
            let mut names = name.common_names();
            match (names.next(), names.next()) {
                (Some(common), None) if name == single(common) => Some(common.to_owned()),
                _ => None,
            }
        };
        Ok(only_common_name.map_or(Self::Subject(name), Self::CommonName))
    }

    /// Whether this entry names `certificate`.
    #[must_use]
    pub fn matches(&self, certificate: &Certificate) -> bool {
        match self {
            Self::CommonName(wanted) => {
                let mut names = certificate.subject.common_names();
                names.next() == Some(wanted) && names.next().is_none()
            }
            Self::Subject(wanted) => certificate.subject == *wanted,
            Self::Dns(wanted) => certificate.dns_names.iter().any(|name| name.eq_ignore_ascii_case(wanted)),
            Self::Uri(wanted) if wanted.starts_with("spiffe://") => certificate.spiffe_id() == Some(wanted),
            Self::Uri(wanted) => certificate.uris.contains(wanted),
            Self::Email(wanted) => certificate.emails.contains(wanted),
        }
    }
}

fn single(common: &str) -> DistinguishedName {
    let pair = ("2.5.4.3".to_owned(), common.to_owned());
    DistinguishedName::new(vec![super::RelativeName::new(vec![pair])])
}

fn plain(value: &str) -> Result<String, NameError> {
    let fits = !value.is_empty() && value.is_ascii() && value.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(NameError::not_plain());
    }
    if value.contains('*') {
        return Err(NameError::wildcard());
    }
    Ok(value.to_owned())
}

/// The entry as the configuration writes it.
impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommonName(name) => write!(f, "{}", single(name)),
            Self::Subject(name) => write!(f, "{name}"),
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(address) => write!(f, "EMAIL:{address}"),
        }
    }
}

/// Which certificates may knock. An empty list lets in every certificate that the client CA signed.
#[derive(Clone, Default, Debug)]
pub struct Allowlist(Vec<SubjectPattern>);

impl Allowlist {
    /// From entries.
    #[must_use]
    pub fn new(entries: Vec<SubjectPattern>) -> Self {
        Self(entries)
    }

    /// Whether any entry names `certificate`, or there are none.
    #[must_use]
    pub fn admits(&self, certificate: &Certificate) -> bool {
        self.0.is_empty() || self.0.iter().any(|entry| entry.matches(certificate))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Spelling, Thumbprint};
    use super::*;
    use crate::clock::Timestamp;

    fn certificate(subject: &str, dns: &[&str], uris: &[&str]) -> Certificate {
        Certificate {
            subject: DistinguishedName::parse(subject).unwrap(),
            issuer: DistinguishedName::parse("CN=CA").unwrap(),
            serial: "01".to_owned(),
            dns_names: dns.iter().map(|s| (*s).to_owned()).collect(),
            uris: uris.iter().map(|s| (*s).to_owned()).collect(),
            emails: vec![],
            not_before: Timestamp::from_seconds(0),
            not_after: Timestamp::from_seconds(1),
            thumbprint: Thumbprint::of(b""),
            spelling: Spelling::default(),
        }
    }

    fn admits(entry: &str, certificate: &Certificate) -> bool {
        Allowlist::new(vec![SubjectPattern::parse(entry).unwrap()]).admits(certificate)
    }

    #[test]
    fn each_kind_matches_only_its_own_kind() {
        let bot = certificate("CN=bot,O=Acme", &["bot.example"], &["spiffe://acme/bot"]);
        for entry in ["CN=bot", "CN=bot,O=Acme", "DNS:BOT.example", "URI:spiffe://acme/bot"] {
            assert!(admits(entry, &bot), "{entry}");
        }
        for entry in [
            "CN=bo",
            "CN=bot2",
            "CN=BOT",
            "CN=bot.example",
            "O=Acme",
            "O=Acme,CN=bot",
            "CN=bot+O=Acme",
            "DNS:bot",
            "DNS:example",
            "URI:spiffe://acme/bo",
            "URI:SPIFFE://acme/bot",
            "EMAIL:bot.example",
        ] {
            assert!(!admits(entry, &bot), "{entry}");
        }
    }

    #[test]
    fn two_common_names_are_nobody() {
        assert!(!admits("CN=bot", &certificate("CN=bot,CN=eve", &[], &[])));
        assert!(!admits("CN=bot", &certificate("CN=bot+CN=eve", &[], &[])));
    }

    #[test]
    fn two_spiffe_ids_are_nobody() {
        let two = certificate("CN=x", &[], &["spiffe://acme/bot", "spiffe://acme/eve"]);
        assert!(!admits("URI:spiffe://acme/bot", &two));
        assert!(admits("URI:urn:a", &certificate("CN=x", &[], &["urn:a", "urn:b"])));
    }

    #[test]
    fn wildcards_and_blanks_are_refused() {
        for entry in ["DNS:*.example", "DNS:", "URI:a b", "EMAIL:é@x", "*"] {
            assert!(SubjectPattern::parse(entry).is_err(), "{entry}");
        }
    }
}
