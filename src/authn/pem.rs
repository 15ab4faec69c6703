//! Public keys in PEM: SubjectPublicKeyInfo (RFC 5280 section 4.1) on its own or within a certificate.

use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::key::Key;

/// All keys of a PEM text; text between them is passed over.
///
/// # Errors
/// Why one of them is not a public key that can be used: a file that the operator wrote must be right as a whole.
pub(super) fn read(text: &[u8]) -> Result<Vec<Key>, &'static str> {
    Pem::iter_from_buffer(text).map(|section| key(&section.map_err(|_| "the file is not valid PEM")?)).collect()
}

fn key(section: &Pem) -> Result<Key, &'static str> {
    match section.label.as_str() {
        "PUBLIC KEY" => match SubjectPublicKeyInfo::from_der(&section.contents) {
            Ok(([], info)) => from_info(&info),
            _ => Err("a public key cannot be read"),
        },
        "CERTIFICATE" => match X509Certificate::from_der(&section.contents) {
            Ok(([], certificate)) => from_info(certificate.public_key()),
            _ => Err("a certificate cannot be read"),
        },
        label if label.ends_with("PRIVATE KEY") => Err("the file holds a private key; give the public one"),
        _ => Err("the file holds something else than PUBLIC KEY and CERTIFICATE"),
    }
}

fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Key, &'static str> {
    let bytes = &*info.subject_public_key.data;
    let algorithm = &info.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Key::ed25519(bytes);
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Key::p256(bytes),
            Some(curve) if curve == OID_NIST_EC_P384 => Key::p384(bytes),
            _ => Err("a key's curve is neither P-256 nor P-384"),
        };
    }
    match info.parsed() {
        Ok(PublicKey::RSA(key)) => Key::rsa(key.modulus, key.exponent),
        _ => Err("a key is neither RSA, EC nor Ed25519"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_key_bytes_can_make_it_panic(contents in prop::collection::vec(any::<u8>(), 0..80), certificate: bool) {
            let label = if certificate { "CERTIFICATE" } else { "PUBLIC KEY" }.to_owned();
            let section = Pem { label, contents };
            prop_assert!(key(&section).is_err());
        }
    }
}
