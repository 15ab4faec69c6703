//! The allowlist of client certificates: each entry names one kind of name and is compared with that kind only.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Certificate, DistinguishedName, NameError};
use crate::secret::hex;

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
pub struct Allowlist(Vec<(SubjectPattern, Arc<str>)>);

impl Allowlist {
    /// From entries.
    #[must_use]
    pub fn new(entries: Vec<SubjectPattern>) -> Self {
        let named = |entry: SubjectPattern| {
            let name = format!("entry {entry}").into();
            (entry, name)
        };
        Self(entries.into_iter().map(named).collect())
    }

    /// Whether any entry names `certificate`, or there are none.
    #[must_use]
    pub fn admits(&self, certificate: &Certificate) -> bool {
        self.0.is_empty() || self.0.iter().any(|(entry, _)| entry.matches(certificate))
    }

    /// What stays the same when a certificate is renewed: the first entry that names it, and where none does its issuer and
    /// all of its names. No two entries have the same, and no entry has that of a certificate without one.
    #[must_use]
    pub fn holder(&self, certificate: &Certificate) -> Arc<str> {
        let entry = self.0.iter().find(|(entry, _)| entry.matches(certificate));
        entry.map_or_else(|| all_names(certificate).into(), |(_, name)| Arc::clone(name))
    }
}

/// A digest of the names of each kind, each behind its length, so that no name can pass for several.
fn all_names(certificate: &Certificate) -> String {
    let Certificate { issuer, subject, dns_names, uris, emails, .. } = certificate;
    let mut text = String::new();
    for (kind, names) in [
        ("issuer", &[issuer.to_string()][..]),
        ("subject", &[subject.to_string()]),
        ("DNS", dns_names),
        ("URI", uris),
        ("EMAIL", emails),
    ] {
        // Names of hosts have no case (RFC 4343).
        let plain = |name: &String| if kind == "DNS" { name.to_ascii_lowercase() } else { name.clone() };
        let mut names: Vec<String> = names.iter().map(plain).collect();
        names.sort_unstable();
        for name in names {
            // Writing to a `String` cannot fail.
            let _ = write!(text, " {kind} {}:{name}", name.len());
        }
    }
    format!("names {}", hex(digest(&SHA256, text.as_bytes()).as_ref()))
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

    #[test]
    fn a_renewed_certificate_has_the_same_holder_and_nobody_else_has() {
        let list = |entries: &[&str]| {
            Allowlist::new(entries.iter().map(|entry| SubjectPattern::parse(entry).unwrap()).collect())
        };
        let bot = certificate("CN=bot,O=Acme", &["bot.example"], &["spiffe://acme/bot"]);
        let mut renewed = bot.clone();
        (renewed.serial, renewed.thumbprint) = ("02".to_owned(), Thumbprint::of(b"renewed"));
        let other = certificate("CN=bot,O=Other", &["bot.example"], &[]);
        for entries in [&["CN=bot,O=Acme", "DNS:bot.example"][..], &[]] {
            let list = list(entries);
            assert_eq!(list.holder(&bot), list.holder(&renewed), "{entries:?}");
            assert_ne!(list.holder(&bot), list.holder(&other), "{entries:?}");
        }
        // Whoever the list does not tell apart is one, whatever else the certificate says.
        let by_name = list(&["CN=bot"]);
        assert_eq!(by_name.holder(&bot), by_name.holder(&other));
        let mut odd = renewed.clone();
        odd.subject = DistinguishedName::parse("CN=bot,OU=issued-today").unwrap();
        assert_eq!(by_name.holder(&bot), by_name.holder(&odd));
    }

    #[test]
    fn nobody_can_take_a_name_that_makes_another_holder_of_him() {
        let nobody = Allowlist::default();
        let listed = Allowlist::new(vec![SubjectPattern::parse("DNS:a").unwrap()]);
        let made = [
            certificate("CN=a", &["b", "c"], &[]),
            certificate("CN=a", &["b DNS 1:c"], &[]),
            certificate("CN=a", &["b"], &["c"]),
            certificate("CN=a", &["b"], &[]),
            certificate("CN=entry DNS:a", &[], &[]),
            certificate("CN=a", &["c"], &["b"]),
        ];
        for (index, one) in made.iter().enumerate() {
            for other in &made[index + 1..] {
                assert_ne!(nobody.holder(one), nobody.holder(other));
            }
            assert_ne!(nobody.holder(one), listed.holder(&certificate("CN=x", &["a"], &[])));
        }
        let swapped = certificate("CN=a", &["c", "b"], &[]);
        assert_eq!(nobody.holder(&made[0]), nobody.holder(&swapped), "the order of names says nothing");
        let mut elsewhere = made[0].clone();
        elsewhere.issuer = DistinguishedName::parse("CN=Other CA").unwrap();
        assert_ne!(nobody.holder(&made[0]), nobody.holder(&elsewhere), "another authority's namesake");
    }
}
