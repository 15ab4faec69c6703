//! Signing keys as files: made here, read from any usual PEM form, written as PKCS#8.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair, RsaPublicKeyComponents,
};
use rustls::pki_types::PrivateKeyDer;
use serde::Serialize;

use super::store;
use crate::error::{Code, Failure};
use crate::secret::Secret;

/// What a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum KeyKind {
    /// ECDSA on P-256 (FIPS 186-5).
    #[serde(rename = "ECDSA P-256")]
    P256,
    /// ECDSA on P-384.
    #[serde(rename = "ECDSA P-384")]
    P384,
    /// EdDSA on edwards25519 (RFC 8032).
    Ed25519,
    /// RSA; new ones have 3072 bits.
    #[serde(rename = "RSA")]
    Rsa,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        })
    }
}

/// How to sign, where the key leaves a choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signature {
    /// The one way of the key's kind: ECDSA with the curve's own hash as r and s, or Ed25519.
    Plain,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2).
    RsaPkcs1,
    /// RSASSA-PSS with SHA-256 (RFC 8017 section 8.1).
    RsaPss,
}

/// The numbers of a public key, big-endian.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublicParts {
    /// A point: both coordinates at the full length of the field.
    Ec {
        /// First coordinate.
        x: Vec<u8>,
        /// Second coordinate.
        y: Vec<u8>,
    },
    /// The 32 bytes of RFC 8032.
    Ed25519(Vec<u8>),
    /// Without leading zero bytes.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Exponent.
        e: Vec<u8>,
    },
}

/// A private key, ready to sign.
pub struct SigningKey(Pair);

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`Code::Internal`] when the cryptographic library fails.
    pub fn generate(kind: KeyKind) -> Result<Self, Failure> {
        let pair = match kind {
            KeyKind::P256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256),
            KeyKind::P384 => EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map(Pair::P384),
            KeyKind::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            KeyKind::Rsa => RsaKeyPair::generate(KeySize::Rsa3072).map(Pair::Rsa),
        };
        pair.map(Self).map_err(|_| broken("no key could be made"))
    }

    /// From the one private key in a PEM text: PKCS#8, SEC 1 or PKCS#1.
    ///
    /// # Errors
    /// [`Code::Config`] when there is none, there are several, or it is of a kind that is not used here.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Failure> {
        Self::from_der(&store::private_key_in(pem)?)
    }

    pub(super) fn from_der(key: &PrivateKeyDer<'_>) -> Result<Self, Failure> {
        let pair = match key {
            PrivateKeyDer::Pkcs8(der) => {
                let der = der.secret_pkcs8_der();
                let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256);
                p256.or_else(|_| EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map(Pair::P384))
                    // Keys without the public half (PKCS#8 v1) are what OpenSSL writes.
                    .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519))
                    .or_else(|_| RsaKeyPair::from_pkcs8(der).map(Pair::Rsa))
            }
            PrivateKeyDer::Sec1(der) => {
                let der = der.secret_sec1_der();
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256).or_else(
                    |_| EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map(Pair::P384),
                )
            }
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()).map(Pair::Rsa),
            _ => return Err(Failure::new(Code::Config, "the private key is in a form that is not known here")),
        };
        pair.map(Self).map_err(|_| {
            Failure::new(
                Code::Config,
                "the private key is not ECDSA P-256 or P-384, Ed25519, or RSA of 2048 bits or more",
            )
        })
    }

    /// What kind of key this is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            Pair::P256(_) => KeyKind::P256,
            Pair::P384(_) => KeyKind::P384,
            Pair::Ed25519(_) => KeyKind::Ed25519,
            Pair::Rsa(_) => KeyKind::Rsa,
        }
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`Code::Internal`] when the key cannot sign this way, or the cryptographic library fails.
    pub fn sign(&self, how: Signature, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let random = SystemRandom::new();
        let signed = match (&self.0, how) {
            (Pair::P256(pair) | Pair::P384(pair), Signature::Plain) => {
                pair.sign(&random, message).map(|signature| signature.as_ref().to_vec())
            }
            (Pair::Ed25519(pair), Signature::Plain) => pair.try_sign(message).map(|made| made.as_ref().to_vec()),
            (Pair::Rsa(pair), Signature::RsaPkcs1) => rsa(pair, &RSA_PKCS1_SHA256, message),
            (Pair::Rsa(pair), Signature::RsaPss) => rsa(pair, &RSA_PSS_SHA256, message),
            (Pair::Rsa(_), Signature::Plain) | (_, Signature::RsaPkcs1 | Signature::RsaPss) => {
                return Err(broken("the key is not of the kind for this signature"));
            }
        };
        signed.map_err(|_| broken("nothing could be signed"))
    }

    /// The private key as PKCS#8 version 1 in PEM, which every library reads.
    ///
    /// # Errors
    /// [`Code::Internal`] when the cryptographic library fails.
    pub fn private_pem(&self) -> Result<Secret<String>, Failure> {
        let text = match &self.0 {
            Pair::P256(pair) | Pair::P384(pair) => pair.to_pkcs8v1().map(|der| store::pem("PRIVATE KEY", der.as_ref())),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map(|der| store::pem("PRIVATE KEY", der.as_ref())),
            Pair::Rsa(pair) => {
                let der: Result<Pkcs8V1Der<'_>, Unspecified> = pair.as_der();
                der.map(|der| store::pem("PRIVATE KEY", der.as_ref()))
            }
        };
        text.map(Secret::new).map_err(|_| broken("the key cannot be written"))
    }

    /// The public key as `SubjectPublicKeyInfo` in PEM.
    ///
    /// # Errors
    /// [`Code::Internal`] when the cryptographic library fails.
    pub fn public_pem(&self) -> Result<String, Failure> {
        let der: Result<PublicKeyX509Der<'_>, Unspecified> = match &self.0 {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        };
        der.map(|der| store::pem("PUBLIC KEY", der.as_ref())).map_err(|_| broken("the public key cannot be written"))
    }

    /// The public key's numbers.
    ///
    /// # Errors
    /// [`Code::Internal`] when the cryptographic library gives them in a form that is not its own.
    pub fn public_parts(&self) -> Result<PublicParts, Failure> {
        match &self.0 {
            Pair::P256(pair) => point(pair, 32),
            Pair::P384(pair) => point(pair, 48),
            Pair::Ed25519(pair) => Ok(PublicParts::Ed25519(pair.public_key().as_ref().to_vec())),
            Pair::Rsa(pair) => {
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                Ok(PublicParts::Rsa { n: parts.n, e: parts.e })
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kind())
    }
}

fn rsa(pair: &RsaKeyPair, padding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message, &mut signature).map(|()| signature)
}

/// The uncompressed point of SEC 1 section 2.3.3: 4, then both coordinates.
fn point(pair: &EcdsaKeyPair, length: usize) -> Result<PublicParts, Failure> {
    let coordinates = match pair.public_key().as_ref() {
        [4, coordinates @ ..] => coordinates.split_at_checked(length),
        _ => None,
    };
    match coordinates {
        Some((x, y)) if y.len() == length => Ok(PublicParts::Ec { x: x.to_vec(), y: y.to_vec() }),
        _ => Err(broken("the public key is not a point of its curve")),
    }
}

fn broken(what: &'static str) -> Failure {
    Failure::new(Code::Internal, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };

    fn public(key: &SigningKey) -> Vec<u8> {
        match &key.0 {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    #[test]
    fn a_key_that_was_written_and_read_signs_for_the_same_public_key() {
        let cases: [(KeyKind, Signature, &'static dyn VerificationAlgorithm); 5] = [
            (KeyKind::P256, Signature::Plain, &ECDSA_P256_SHA256_FIXED),
            (KeyKind::P384, Signature::Plain, &ECDSA_P384_SHA384_FIXED),
            (KeyKind::Ed25519, Signature::Plain, &ED25519),
            (KeyKind::Rsa, Signature::RsaPkcs1, &RSA_PKCS1_2048_8192_SHA256),
            (KeyKind::Rsa, Signature::RsaPss, &RSA_PSS_2048_8192_SHA256),
        ];
        for (kind, how, algorithm) in cases {
            let made = SigningKey::generate(kind).unwrap();
            let read = SigningKey::from_pem(made.private_pem().unwrap().expose().as_bytes()).unwrap();
            assert_eq!(read.kind(), kind);
            let signature = read.sign(how, b"message").unwrap();
            UnparsedPublicKey::new(algorithm, public(&made)).verify(b"message", &signature).unwrap();
            assert_eq!(made.public_parts().unwrap(), read.public_parts().unwrap());
        }
    }

    #[test]
    fn a_key_does_not_sign_in_another_kinds_way() {
        let key = SigningKey::generate(KeyKind::P256).unwrap();
        assert!(key.sign(Signature::RsaPss, b"").is_err());
    }

    #[test]
    fn keys_of_both_pkcs8_versions_are_read() {
        let pair = Ed25519KeyPair::generate().unwrap();
        for der in [pair.to_pkcs8v1().unwrap(), pair.to_pkcs8().unwrap()] {
            let key = SigningKey::from_pem(store::pem("PRIVATE KEY", der.as_ref()).as_bytes()).unwrap();
            assert_eq!(public(&key), pair.public_key().as_ref());
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", SigningKey::generate(KeyKind::Ed25519).unwrap()), "SigningKey(Ed25519)");
    }
}
