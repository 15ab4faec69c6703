//! What is asked of the authority: a kind, names and a lifetime, checked before anything is signed.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::ledger::Kind;
use crate::error::{Code, Failure};

/// The longest common name and organization (RFC 5280 appendix A.1, `ub-common-name`).
const MAX_NAME: usize = 64;

/// One name of the subject alternative name extension (RFC 5280 section 4.2.1.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AlternativeName {
    /// A host name; for a server it may begin with `*.`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI, for instance a SPIFFE id.
    Uri(String),
    /// A mail address.
    Email(String),
}

impl AlternativeName {
    /// A server's name as a person writes it: an address if it can be one, else a host name.
    #[must_use]
    pub fn host(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Dns(text.to_owned()), Self::Ip)
    }
}

impl fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(address) => write!(f, "EMAIL:{address}"),
        }
    }
}

/// A certificate that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub(super) kind: Kind,
    pub(super) common_name: String,
    pub(super) organization: Option<String>,
    pub(super) names: Vec<AlternativeName>,
    pub(super) lifetime: Duration,
}

impl Request {
    /// For a server under these names; the first is its common name too.
    #[must_use]
    pub fn server(names: &[&str], lifetime: Duration) -> Self {
        let common_name = names.first().map(|first| (*first).to_owned()).unwrap_or_default();
        let names = names.iter().map(|name| AlternativeName::host(name)).collect();
        Self { kind: Kind::Server, common_name, organization: None, names, lifetime }
    }

    /// For a client of this name.
    #[must_use]
    pub fn client(common_name: impl Into<String>, lifetime: Duration) -> Self {
        let common_name = common_name.into();
        Self { kind: Kind::Client, common_name, organization: None, names: Vec::new(), lifetime }
    }

    /// Adds the organization to the subject.
    #[must_use]
    pub fn organization(mut self, organization: impl Into<String>) -> Self {
        self.organization = Some(organization.into());
        self
    }

    /// Adds an alternative name.
    #[must_use]
    pub fn name(mut self, name: AlternativeName) -> Self {
        self.names.push(name);
        self
    }

    /// Looks for what must not be signed.
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.fault()
            .map_or(Ok(()), |why| Err(Failure::new(Code::Config, "this certificate is not issued").because(why)))
    }

    fn fault(&self) -> Option<String> {
        if self.lifetime < Duration::from_secs(60) {
            return Some("a certificate lives for a minute at least".to_owned());
        }
        if self.kind == Kind::Server && self.names.is_empty() {
            return Some("a server needs a host name or an address".to_owned());
        }
        let subject = [Some(&self.common_name), self.organization.as_ref()];
        if let Some(bad) = subject.into_iter().flatten().find(|text| !is_name(text)) {
            return Some(format!("{bad:?} is not a name of 1 to {MAX_NAME} visible characters"));
        }
        let wildcard = self.kind == Kind::Server;
        if let Some(bad) = self.names.iter().find(|name| !is_proper(name, wildcard)) {
            return Some(format!("{bad} is not such a name"));
        }
        let uris =
            self.names.iter().filter_map(|name| if let AlternativeName::Uri(uri) = name { Some(uri) } else { None });
        let spiffe = uris.clone().any(|uri| uri.starts_with("spiffe:"));
        (spiffe && uris.count() > 1).then(|| "a certificate with a SPIFFE id has no other URI".to_owned())
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let length = text.chars().count();
    (1..=MAX_NAME).contains(&length) && text.trim() == text && !text.contains(char::is_control)
}

fn is_proper(name: &AlternativeName, wildcard: bool) -> bool {
    match name {
        AlternativeName::Dns(host) => is_host(host.strip_prefix("*.").filter(|_| wildcard).unwrap_or(host)),
        AlternativeName::Ip(_) => true,
        AlternativeName::Uri(uri) => is_uri(uri),
        AlternativeName::Email(address) => is_address(address),
    }
}

/// Labels of letters, digits and inner hyphens (RFC 1123 section 2.1), and underscores, which service names have.
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// Scheme and the rest, in visible ASCII; a SPIFFE id as its own standard has it (SPIFFE-ID sections 2 and 2.3).
fn is_uri(uri: &str) -> bool {
    let plain = uri.len() <= 2048 && uri.bytes().all(|byte| byte.is_ascii_graphic());
    let Some((scheme, rest)) = uri.split_once(':').filter(|_| plain) else { return false };
    let schemed = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !scheme.eq_ignore_ascii_case("spiffe") {
        return schemed && !rest.is_empty();
    }
    let Some(id) = rest.strip_prefix("//").filter(|_| scheme == "spiffe") else { return false };
    let (domain, path) = id.split_once('/').map_or((id, None), |(domain, path)| (domain, Some(path)));
    let domain_fits = !domain.is_empty()
        && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'));
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    domain_fits && path.is_none_or(|path| path.split('/').all(segment))
}

fn is_address(address: &str) -> bool {
    let plain = address.len() <= 254 && address.bytes().all(|byte| byte.is_ascii_graphic());
    let parts = address.rsplit_once('@').filter(|_| plain);
    parts.is_some_and(|(local, host)| !local.is_empty() && !local.contains('@') && is_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlternativeName::{Dns, Email, Uri};

    const DAY: Duration = Duration::from_secs(86_400);

    fn client(name: AlternativeName) -> Result<(), Failure> {
        Request::client("bot", DAY).name(name).check()
    }

    #[test]
    fn proper_names_pass() {
        let names = [
            Dns("bot.example".to_owned()),
            Uri("spiffe://acme.example/ns/prod/bot".to_owned()),
            Uri("https://acme.example/bot?x=1".to_owned()),
            Uri("urn:uuid:1".to_owned()),
            Email("bot@acme.example".to_owned()),
        ];
        for name in names {
            assert!(client(name.clone()).is_ok(), "{name}");
        }
        assert!(Request::server(&["*.acme.example", "::1", "127.0.0.1"], DAY).check().is_ok());
    }

    #[test]
    fn improper_names_do_not() {
        let names = [
            Dns("*.example".to_owned()),
            Dns("bot..example".to_owned()),
            Dns("-bot.example".to_owned()),
            Dns("bot example".to_owned()),
            Dns("bé.example".to_owned()),
            Uri("no scheme".to_owned()),
            Uri("spiffe://Acme/bot".to_owned()),
            Uri("spiffe://acme/bot?x".to_owned()),
            Uri("spiffe://acme/../bot".to_owned()),
            Uri("spiffe://acme/".to_owned()),
            Uri("SPIFFE://acme/bot".to_owned()),
            Uri("spiffe://user@acme/bot".to_owned()),
            Email("bot".to_owned()),
            Email("a@b@c".to_owned()),
        ];
        for name in names {
            assert!(client(name.clone()).is_err(), "{name}");
        }
        let two = Request::client("bot", DAY).name(Uri("spiffe://a/b".to_owned())).name(Uri("urn:x:y".to_owned()));
        assert!(two.check().is_err());
        for common in ["", " bot", "bot\0", &"x".repeat(65)] {
            assert!(Request::client(common, DAY).check().is_err(), "{common:?}");
        }
        assert!(Request::server(&[], DAY).check().is_err());
        assert!(Request::client("bot", Duration::ZERO).check().is_err());
    }
}
