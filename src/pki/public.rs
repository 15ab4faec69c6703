//! The public half of an Ed25519 key: what a stranger needs to check a signature, and the short name it goes by.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, ParsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use super::key::SigningKey;
use crate::error::{Code, Failure};
use crate::secret::hex;

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Debug)]
pub struct PublicKey {
    id: String,
    key: ParsedPublicKey,
}

impl PublicKey {
    /// From the one `PUBLIC KEY` section of a PEM text.
    ///
    /// # Errors
    /// [`Code::Config`] when there is none, or it is of another kind.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Failure> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem)
            .map_err(|_| Failure::new(Code::Config, "there is no public key in PEM form in it"))?;
        let key = ParsedPublicKey::new(&ED25519, der.as_ref())
            .map_err(|_| Failure::new(Code::Config, "the public key is not an Ed25519 key"))?;
        let mut id = hex(digest(&SHA256, der.as_ref()).as_ref());
        id.truncate(16);
        Ok(Self { id, key })
    }

    /// The public half of a private key.
    ///
    /// # Errors
    /// As [`PublicKey::from_pem`].
    pub fn of(key: &SigningKey) -> Result<Self, Failure> {
        Self::from_pem(key.public_pem()?.as_bytes())
    }

    /// The first 16 hexadecimal digits of the SHA-256 of its `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `signature` is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{KeyKind, Signature};

    #[test]
    fn it_verifies_what_its_private_half_signed_and_nothing_else() {
        let private = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let public = PublicKey::of(&private).unwrap();
        let signature = private.sign(Signature::Plain, b"message").unwrap();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        let other = PublicKey::of(&SigningKey::generate(KeyKind::Ed25519).unwrap()).unwrap();
        assert!(!other.verifies(b"message", &signature));
        assert_eq!(public.id().len(), 16);
        assert_ne!(public.id(), other.id());
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let other = SigningKey::generate(KeyKind::P256).unwrap();
        assert!(PublicKey::of(&other).is_err());
        assert!(PublicKey::from_pem(b"nothing").is_err());
    }
}
