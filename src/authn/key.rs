//! One key: strong enough, on its curve, and for its own algorithms only.

use aws_lc_rs::signature::VerificationAlgorithm;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::JwtAlgorithm;
use super::compact::Compact;

/// RFC 7518 section 3.2: an HS256 key is at least as long as the hash.
const SHORTEST_SECRET: usize = 32;

/// One key and what it is for.
pub(super) struct Key {
    /// `kid`, if it has one.
    pub(super) id: Option<String>,
    /// Which algorithms it may be used with.
    pub(super) algorithms: Vec<JwtAlgorithm>,
    key: DecodingKey,
}

impl Key {
    /// Bytes shared with the issuer, for HS256.
    pub(super) fn secret(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() < SHORTEST_SECRET {
            return Err("the secret for HS256 must have 32 bytes or more");
        }
        Ok(Self::new(DecodingKey::from_secret(bytes), vec![JwtAlgorithm::HS256]))
    }

    fn new(key: DecodingKey, algorithms: Vec<JwtAlgorithm>) -> Self {
        Self { id: None, algorithms, key }
    }

    /// From modulus and exponent, big-endian; 2048 to 8192 bits.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let (modulus, exponent) = (trimmed(modulus), trimmed(exponent));
        let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
        let bits = modulus.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or(0));
        if !(2048..=8192).contains(&bits) {
            return Err("an RSA key must have 2048 to 8192 bits");
        }
        let odd = exponent.last().is_some_and(|byte| byte & 1 == 1);
        if !odd || exponent == [1] || exponent.len() > 4 {
            return Err("the exponent of an RSA key is not a usual one");
        }
        let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
        Ok(Self::new(key, vec![JwtAlgorithm::RS256, JwtAlgorithm::PS256]))
    }

    /// From an uncompressed point on P-256.
    pub(super) fn p256(point: &[u8]) -> Result<Self, &'static str> {
        valid(&ECDSA_P256_SHA256_FIXED, point, 65)?;
        Ok(Self::new(DecodingKey::from_ec_der(point), vec![JwtAlgorithm::ES256]))
    }

    /// From an uncompressed point on P-384.
    pub(super) fn p384(point: &[u8]) -> Result<Self, &'static str> {
        valid(&ECDSA_P384_SHA384_FIXED, point, 97)?;
        Ok(Self::new(DecodingKey::from_ec_der(point), vec![JwtAlgorithm::ES384]))
    }

    /// From the 32 bytes of an Ed25519 key.
    pub(super) fn ed25519(bytes: &[u8]) -> Result<Self, &'static str> {
        valid(&ED25519, bytes, 32)?;
        Ok(Self::new(DecodingKey::from_ed_der(bytes), vec![JwtAlgorithm::EdDSA]))
    }

    /// The same key under a name.
    pub(super) fn named(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// The same key for the algorithm called `name` alone.
    pub(super) fn only(mut self, name: &str) -> Result<Self, &'static str> {
        self.algorithms.retain(|algorithm| algorithm.name() == name);
        if self.algorithms.is_empty() { Err("the key cannot serve the algorithm it names") } else { Ok(self) }
    }

    /// Whether it signed the token, by the token's algorithm, which must be one of its own.
    pub(super) fn verifies(&self, token: &Compact<'_>) -> bool {
        if !self.algorithms.contains(&token.algorithm) {
            return false;
        }
        let algorithm = match token.algorithm {
            JwtAlgorithm::EdDSA => Algorithm::EdDSA,
            JwtAlgorithm::ES256 => Algorithm::ES256,
            JwtAlgorithm::ES384 => Algorithm::ES384,
            JwtAlgorithm::PS256 => Algorithm::PS256,
            JwtAlgorithm::RS256 => Algorithm::RS256,
            JwtAlgorithm::HS256 => Algorithm::HS256,
        };
        let signed = token.signed.as_bytes();
        matches!(jsonwebtoken::crypto::verify(token.signature, signed, &self.key, algorithm), Ok(true))
    }
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Whether the bytes are a public key; for a curve, that the point is on it.
fn valid(algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8], length: usize) -> Result<(), &'static str> {
    let whole = bytes.len() == length && ParsedPublicKey::new(algorithm, bytes).is_ok();
    if whole { Ok(()) } else { Err("the key is not a point on its curve") }
}
