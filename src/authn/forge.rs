//! Throw-away keys and tokens of every kind, right and wrong, for the tests of this module.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;

use super::JwtAlgorithm;
use crate::clock::Timestamp;
use crate::identity::{Certificate, DistinguishedName, PeerIdentity, Spelling, Thumbprint};

pub(super) static EDDSA: LazyLock<Signer> = LazyLock::new(|| Signer::new(JwtAlgorithm::EdDSA));
pub(super) static ES256: LazyLock<Signer> = LazyLock::new(|| Signer::new(JwtAlgorithm::ES256));
pub(super) static ES384: LazyLock<Signer> = LazyLock::new(|| Signer::new(JwtAlgorithm::ES384));
pub(super) static RS256: LazyLock<Signer> = LazyLock::new(|| Signer::new(JwtAlgorithm::RS256));

/// A key pair that signs.
pub(super) struct Signer {
    algorithm: JwtAlgorithm,
    pair: Arc<KeyPair>,
    key: EncodingKey,
}

impl Signer {
    pub(super) fn new(algorithm: JwtAlgorithm) -> Self {
        let pair = match algorithm {
            JwtAlgorithm::EdDSA => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            JwtAlgorithm::ES256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            JwtAlgorithm::ES384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            JwtAlgorithm::RS256 | JwtAlgorithm::PS256 => {
                KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)
            }
            JwtAlgorithm::HS256 => panic!("a shared secret is not a pair"),
        }
        .unwrap();
        let der = pair.serialize_der();
        let key = match algorithm {
            JwtAlgorithm::EdDSA => EncodingKey::from_ed_der(&der),
            JwtAlgorithm::ES256 | JwtAlgorithm::ES384 => EncodingKey::from_ec_der(&der),
            JwtAlgorithm::RS256 | JwtAlgorithm::PS256 | JwtAlgorithm::HS256 => {
                EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap()
            }
        };
        Self { algorithm, pair: Arc::new(pair), key }
    }

    /// The same RSA key with another algorithm.
    pub(super) fn serving(&self, algorithm: JwtAlgorithm) -> Self {
        Self { algorithm, pair: Arc::clone(&self.pair), key: self.key.clone() }
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.pair
    }

    pub(super) fn pem(&self) -> String {
        self.pair.public_key_pem()
    }

    /// A certificate for the public key, in PEM.
    pub(super) fn self_signed(&self) -> String {
        rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&*self.pair).unwrap().pem()
    }

    /// The public key as a member of a key set.
    pub(super) fn jwk(&self, id: Option<&str>) -> Value {
        let raw = self.pair.der_bytes();
        let half = |skip: usize, length: usize| URL_SAFE_NO_PAD.encode(&raw[skip..][..length]);
        let mut jwk = match self.algorithm {
            JwtAlgorithm::EdDSA => json!({"kty": "OKP", "crv": "Ed25519", "x": half(0, 32)}),
            JwtAlgorithm::ES256 => json!({"kty": "EC", "crv": "P-256", "x": half(1, 32), "y": half(33, 32)}),
            JwtAlgorithm::ES384 => json!({"kty": "EC", "crv": "P-384", "x": half(1, 48), "y": half(49, 48)}),
            JwtAlgorithm::RS256 | JwtAlgorithm::PS256 | JwtAlgorithm::HS256 => {
                let (_, rsa) = x509_parser::public_key::RSAPublicKey::from_der(raw).unwrap();
                let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number.strip_prefix(&[0]).unwrap_or(number));
                json!({"kty": "RSA", "n": text(rsa.modulus), "e": text(rsa.exponent)})
            }
        };
        jwk["alg"] = json!(self.algorithm.name());
        if let Some(id) = id {
            jwk["kid"] = json!(id);
        }
        jwk
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let algorithm: Algorithm = self.algorithm.name().parse().unwrap();
        sign_with(&self.key, algorithm, header, claims)
    }
}

/// Signs any text with any key.
pub(super) fn sign_with(key: &EncodingKey, algorithm: Algorithm, header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), key, algorithm).unwrap();
    format!("{signed}.{signature}")
}

pub(super) fn header(signer: &Signer, id: Option<&str>) -> Value {
    let mut header = json!({"alg": signer.algorithm.name(), "typ": "at+jwt"});
    if let Some(id) = id {
        header["kid"] = json!(id);
    }
    header
}

/// A peer with a certificate.
pub(super) fn peer() -> Arc<PeerIdentity> {
    peer_with(b"one")
}

pub(super) fn peer_with(certificate: &[u8]) -> Arc<PeerIdentity> {
    shown(DistinguishedName::parse("CN=bot").unwrap(), certificate)
}

pub(super) fn peer_named(subject: DistinguishedName) -> Arc<PeerIdentity> {
    shown(subject, b"one")
}

fn shown(subject: DistinguishedName, certificate: &[u8]) -> Arc<PeerIdentity> {
    Arc::new(PeerIdentity::Certificate {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        holder: "bot".into(),
        certificate: Arc::new(Certificate {
            subject,
            issuer: DistinguishedName::parse("CN=CA").unwrap(),
            serial: "01".to_owned(),
            dns_names: vec![],
            uris: vec![],
            emails: vec![],
            not_before: Timestamp::from_seconds(0),
            not_after: Timestamp::from_seconds(i64::MAX),
            thumbprint: Thumbprint::of(certificate),
            spelling: Spelling::default(),
        }),
    })
}
