//! What is in a file: certificates, revocation lists and keys, told apart and put in words for a person.

use std::path::Path;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;
use zeroize::Zeroizing;

use super::key::SigningKey;
use super::usage::Usage;
use super::{inspect, revocation, store};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::identity::{Certificate, SubjectPattern};

/// Revocation lists are the largest files looked into, in bytes.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// One thing in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A certificate.
    Certificate {
        /// Authority, server, client, or what else.
        role: &'static str,
        /// What it says of its holder.
        certificate: Box<Certificate>,
        /// `iPAddress` entries of its alternative names.
        addresses: Vec<String>,
        /// For a client: entries of `tls.allowed_subjects` that name it, each of them enough.
        entries: Vec<String>,
    },
    /// A revocation list.
    RevocationList {
        /// Whose list.
        issuer: String,
        /// Its number in decimal, if it has one.
        number: Option<String>,
        /// When it was signed.
        this_update: Timestamp,
        /// When it is out of date.
        next_update: Option<Timestamp>,
        /// Serial numbers in lower-case hexadecimal.
        revoked: Vec<String>,
    },
    /// A private key; of its secret nothing is told.
    PrivateKey {
        /// Its kind.
        algorithm: String,
    },
    /// A public key.
    PublicKey {
        /// Its kind.
        algorithm: String,
    },
    /// Something that cannot be read.
    Unreadable {
        /// What it claims to be, and what is wrong with it.
        why: String,
    },
}

/// Everything in a PEM file, in order; or the one certificate or revocation list that a DER file is.
///
/// # Errors
/// [`crate::error::Code::Io`] when it cannot be read, [`crate::error::Code::Config`] when it is too large or there is
/// nothing known in it; the cause names the file.
pub fn file(path: &Path) -> Result<Vec<Item>, Failure> {
    let bytes = store::read(path, MAX_BYTES)?;
    let items: Vec<Item> = <(SectionKind, Vec<u8>)>::pem_slice_iter(&bytes)
        .map(|section| match section {
            Ok((kind, der)) => item(kind, Zeroizing::new(der)),
            Err(error) => unreadable(format!("broken PEM: {error}")),
        })
        .collect();
    if !items.is_empty() {
        return Ok(items);
    }
    let known = |item: &Item| !matches!(item, Item::Unreadable { .. });
    let whole = [certificate(&bytes), revocation_list(&bytes)].into_iter().find(known);
    whole.map(|item| vec![item]).ok_or_else(|| store::wrong(path, "no certificate, revocation list or key in it"))
}

fn item(kind: SectionKind, der: Zeroizing<Vec<u8>>) -> Item {
    match kind {
        SectionKind::Certificate => certificate(&der),
        SectionKind::Crl => revocation_list(&der),
        SectionKind::PublicKey => public_key(&der),
        SectionKind::PrivateKey => private_key(&PrivateKeyDer::Pkcs8(der.as_slice().into())),
        SectionKind::EcPrivateKey => private_key(&PrivateKeyDer::Sec1(der.as_slice().into())),
        SectionKind::RsaPrivateKey => private_key(&PrivateKeyDer::Pkcs1(der.as_slice().into())),
        SectionKind::Csr | SectionKind::EchConfigList | _ => unreadable("a section that is not used here".to_owned()),
    }
}

fn certificate(der: &[u8]) -> Item {
    let read = inspect::certificate(der).map_err(|failure| failure.cause().unwrap_or_default());
    match (read, Usage::of(der)) {
        (Ok(certificate), Some(usage)) => Item::Certificate {
            role: usage.role(),
            entries: if usage.client && !usage.authority { entries(&certificate) } else { Vec::new() },
            certificate: Box::new(certificate),
            addresses: usage.addresses,
        },
        (Ok(_), None) => unreadable("a certificate: an extension cannot be read".to_owned()),
        (Err(why), _) => unreadable(format!("a certificate: {why}")),
    }
}

/// The entries that name the certificate, the most telling first. Each is tried as the daemon would try it.
fn entries(certificate: &Certificate) -> Vec<String> {
    let mut candidates = vec![certificate.subject.to_string()];
    candidates
        .extend(certificate.subject.common_names().map(|name| SubjectPattern::CommonName(name.to_owned()).to_string()));
    candidates.extend(certificate.uris.iter().map(|uri| format!("URI:{uri}")));
    candidates.extend(certificate.dns_names.iter().map(|name| format!("DNS:{name}")));
    candidates.extend(certificate.emails.iter().map(|address| format!("EMAIL:{address}")));
    let mut entries: Vec<String> = Vec::new();
    for candidate in candidates {
        let names = SubjectPattern::parse(&candidate).is_ok_and(|pattern| pattern.matches(certificate));
        if names && !entries.contains(&candidate) {
            entries.push(candidate);
        }
    }
    entries
}

fn revocation_list(der: &[u8]) -> Item {
    match revocation::contents(der) {
        Ok(contents) => Item::RevocationList {
            issuer: contents.issuer.to_string(),
            number: contents.number,
            this_update: contents.this_update,
            next_update: contents.next_update,
            revoked: contents.revoked,
        },
        Err(why) => unreadable(format!("a revocation list: {why}")),
    }
}

fn private_key(der: &PrivateKeyDer<'_>) -> Item {
    match SigningKey::from_der(der) {
        Ok(key) => Item::PrivateKey { algorithm: key.kind().to_string() },
        Err(failure) => unreadable(failure.public().to_owned()),
    }
}

fn public_key(der: &[u8]) -> Item {
    let algorithm = match SubjectPublicKeyInfo::from_der(der) {
        Ok(([], info)) => match info.parsed() {
            Ok(PublicKey::RSA(key)) => format!("RSA, {} bits", key.key_size()),
            Ok(PublicKey::EC(point)) => format!("ECDSA, {} bits", point.key_size()),
            _ if info.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".to_owned(),
            _ => info.algorithm.algorithm.to_id_string(),
        },
        _ => return unreadable("a public key: not DER".to_owned()),
    };
    Item::PublicKey { algorithm }
}

fn unreadable(why: String) -> Item {
    Item::Unreadable { why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::KeyKind;
    use crate::pki::store::{Existing, write_private};

    #[test]
    fn keys_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.pem");
        for (kind, words) in [
            (KeyKind::P256, "ECDSA, 256 bits"),
            (KeyKind::P384, "ECDSA, 384 bits"),
            (KeyKind::Ed25519, "Ed25519"),
            (KeyKind::Rsa, "RSA, 3072 bits"),
        ] {
            let key = SigningKey::generate(kind).unwrap();
            let text = format!("{}{}", key.private_pem().unwrap().expose(), key.public_pem().unwrap());
            write_private(&path, text.as_bytes(), Existing::Replace).unwrap();
            let private = Item::PrivateKey { algorithm: kind.to_string() };
            let public = Item::PublicKey { algorithm: words.to_owned() };
            assert_eq!(file(&path).unwrap(), [private, public]);
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.pem");
        let text = format!("{}{}", store::pem("CERTIFICATE", b"x"), store::pem("X509 CRL", b"y"));
        write_private(&path, text.as_bytes(), Existing::Replace).unwrap();
        let items = file(&path).unwrap();
        assert!(matches!(&items[0], Item::Unreadable { why } if why.contains("certificate")));
        assert!(matches!(&items[1], Item::Unreadable { why } if why.contains("revocation list")));
        write_private(&path, b"hello", Existing::Replace).unwrap();
        assert!(file(&path).unwrap_err().cause().unwrap().contains("x.pem"));
    }
}
