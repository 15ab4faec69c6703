//! Keys to verify tokens with. Each is bound to its own algorithms, so no token chooses how a key is used.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compact::Compact;
use super::key::Key;
use super::{Jwks, JwtAlgorithm, jwk, pem};
use crate::error::{Code, Failure};
use crate::pki::store;
use crate::secret::Secret;

/// Bytes a file of public keys may have.
const MOST_BYTES: usize = 1024 * 1024;

/// How many keys a set may hold; more are ignored.
const MOST_KEYS: usize = 64;

/// How many keys without a name are tried for one token; more of the same algorithm are ignored.
const MOST_TRIES: usize = 8;

/// A set of keys of one issuer.
pub struct KeySet {
    keys: Vec<Key>,
    named: bool,
    generation: u64,
}

/// Where keys come from.
#[derive(Clone)]
pub enum KeySource {
    /// From a file or a secret, as the configuration has it; changed by a reload only.
    Static(Arc<KeySet>),
    /// From the issuer, over the network.
    Jwks(Arc<Jwks>),
}

impl KeySource {
    /// The keys of now.
    ///
    /// # Errors
    /// [`Code::KeysUnavailable`].
    pub fn current(&self) -> Result<Arc<KeySet>, Failure> {
        match self {
            Self::Static(keys) => Ok(Arc::clone(keys)),
            Self::Jwks(jwks) => jwks.current(),
        }
    }

    /// Newer keys than `known`, if the issuer has them and may be asked.
    pub(super) async fn newer(&self, known: &KeySet) -> Option<Arc<KeySet>> {
        match self {
            Self::Static(_) => None,
            Self::Jwks(jwks) => jwks.newer(known.generation).await,
        }
    }
}

/// What a set of keys says about a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is signed with one of them.
    Verified,
    /// None of them is the one that the token names, or is meant for tokens that name none.
    UnknownKey,
    /// The key is there, and is not for the token's algorithm.
    ForeignAlgorithm,
    /// The key that the token names did not sign it.
    BadSignature,
    /// No key that can be meant signed it; as keys have no names here, a newer one may have.
    NoMatch,
}

impl KeySet {
    /// Public keys and certificates in PEM, one or more. They have no names: each is tried for the tokens of its algorithm.
    /// Of a certificate only the key counts. An RSA key serves RS256 and PS256.
    ///
    /// # Errors
    /// [`Code::Config`] when there is no usable key in the text, or anything in it is not a public key.
    pub fn from_pem(text: &[u8]) -> Result<Self, Failure> {
        let keys = pem::read(text).map_err(|reason| Failure::new(Code::Config, format!("the public key: {reason}")))?;
        match Self::collect(keys) {
            set if set.is_empty() => Err(Failure::new(Code::Config, "the public key: there is none in the file")),
            set => Ok(set),
        }
    }

    /// The same from a file, which is not read when it is too large for one of keys. Blocks.
    ///
    /// # Errors
    /// As [`KeySet::from_pem`], the cause naming the file, and when it cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        let text = store::read(path, MOST_BYTES)?;
        let fail = |why: &str| {
            let cause = format!("{}: {why}", path.display());
            Failure::new(Code::Config, "auth.jwt.public_key cannot be used").because(cause)
        };
        if text.trim_ascii_start().starts_with(b"{") {
            return Err(fail("it is a key set in JSON; give its keys in PEM (doorward token keygen writes both)"));
        }
        Self::from_pem(&text).map_err(|failure| fail(failure.public()))
    }

    /// One key for HS256.
    ///
    /// # Errors
    /// [`Code::Config`] when it is shorter than 32 bytes.
    pub fn from_secret(secret: &Secret<Vec<u8>>) -> Result<Self, Failure> {
        let key = Key::secret(secret.expose()).map_err(|reason| Failure::new(Code::Config, reason))?;
        Ok(Self::collect(vec![key]))
    }

    /// A JSON Web Key Set (RFC 7517 section 5). Keys that are not for signatures, are weak, are private, are of an unknown
    /// kind or share their `kid` are left out and named in the log. What is left may be nothing: an issuer that withdraws its
    /// last key says so in this way.
    ///
    /// # Errors
    /// [`Code::Upstream`] when the text is not a key set.
    pub fn from_jwks(json: &[u8]) -> Result<Self, Failure> {
        Ok(Self::collect(jwk::read_set(json, MOST_KEYS)?))
    }

    /// Whether one of the keys can verify by this algorithm.
    #[must_use]
    pub fn serves(&self, algorithm: JwtAlgorithm) -> bool {
        self.keys.iter().any(|key| key.algorithms.contains(&algorithm))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no token can be verified with it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Tells one set from another.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether tokens are verified with a shared secret.
    pub(super) fn is_symmetric(&self) -> bool {
        self.keys.iter().any(|key| key.algorithms.contains(&JwtAlgorithm::HS256))
    }

    /// Looks for the key of a token and verifies with it. A name in the token decides, as far as the set has names. Keys
    /// without a name are for tokens without one, and in a set without any names for all tokens. A token without a name
    /// never meets a key that has one.
    pub(super) fn judge(&self, token: &Compact<'_>) -> Verdict {
        if let Some(id) = token.key_id.as_deref().filter(|_| self.named) {
            return match self.keys.iter().find(|key| key.id.as_deref() == Some(id)) {
                None => Verdict::UnknownKey,
                Some(key) if !key.algorithms.contains(&token.algorithm) => Verdict::ForeignAlgorithm,
                Some(key) if key.verifies(token) => Verdict::Verified,
                Some(_) => Verdict::BadSignature,
            };
        }
        let mut tried = false;
        for key in self.keys.iter().filter(|key| key.id.is_none() && key.algorithms.contains(&token.algorithm)) {
            if key.verifies(token) {
                return Verdict::Verified;
            }
            tried = true;
        }
        if tried { Verdict::NoMatch } else { Verdict::UnknownKey }
    }

    /// Those of the keys that can be told apart, as a set of its own.
    fn collect(keys: Vec<Key>) -> Self {
        static GENERATION: AtomicU64 = AtomicU64::new(0);
        let mut names: HashMap<String, usize> = HashMap::new();
        for id in keys.iter().filter_map(|key| key.id.as_ref()) {
            let count = names.entry(id.clone()).or_default();
            *count = count.saturating_add(1);
        }
        let mut nameless: HashMap<JwtAlgorithm, usize> = HashMap::new();
        let mut kept = Vec::new();
        for key in keys.into_iter().take(MOST_KEYS) {
            if let Some(id) = &key.id {
                if names.get(id).is_some_and(|count| *count > 1) {
                    tracing::warn!(kid = ?id, "token keys of the same name are ignored");
                    continue;
                }
            } else {
                let counts: Vec<_> = key.algorithms.iter().map(|algorithm| nameless.get(algorithm).copied()).collect();
                if counts.into_iter().flatten().any(|count| count >= MOST_TRIES) {
                    tracing::warn!("a token key without a name is ignored, as there are too many");
                    continue;
                }
                for algorithm in &key.algorithms {
                    let count = nameless.entry(*algorithm).or_default();
                    *count = count.saturating_add(1);
                }
            }
            kept.push(key);
        }
        let named = kept.iter().any(|key| key.id.is_some());
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        Self { keys: kept, named, generation }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).field("generation", &self.generation).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge::{self, Signer};
    use super::*;
    use serde_json::{Value, json};

    fn set(keys: Vec<Value>) -> KeySet {
        KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn judge(set: &KeySet, signer: &Signer, id: Option<&str>) -> Verdict {
        let token = signer.sign(&forge::header(signer, id), &json!({}));
        let compact = Compact::parse(&token, &JwtAlgorithm::PUBLIC).unwrap();
        set.judge(&compact)
    }

    #[test]
    fn a_token_is_verified_with_the_key_it_names_and_no_other() {
        let (a, b) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::ES256));
        let set = set(vec![a.jwk(Some("a")), b.jwk(Some("b"))]);
        assert_eq!(judge(&set, &a, Some("a")), Verdict::Verified);
        assert_eq!(judge(&set, &b, Some("b")), Verdict::Verified);
        assert_eq!(judge(&set, &a, Some("b")), Verdict::BadSignature);
        assert_eq!(judge(&set, &a, Some("c")), Verdict::UnknownKey);
        assert_eq!(judge(&set, &a, None), Verdict::UnknownKey);
        assert_eq!(judge(&set, &Signer::new(JwtAlgorithm::EdDSA), Some("a")), Verdict::ForeignAlgorithm);
    }

    #[test]
    fn keys_without_names_are_tried_by_algorithm() {
        let (a, b) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::EdDSA));
        let set = set(vec![a.jwk(None), b.jwk(None)]);
        for id in [None, Some("anything")] {
            assert_eq!(judge(&set, &a, id), Verdict::Verified);
            assert_eq!(judge(&set, &b, id), Verdict::Verified);
            assert_eq!(judge(&set, &Signer::new(JwtAlgorithm::ES256), id), Verdict::NoMatch);
            assert_eq!(judge(&set, &Signer::new(JwtAlgorithm::ES384), id), Verdict::UnknownKey);
        }
    }

    #[test]
    fn in_a_mixed_set_a_name_that_is_not_there_is_unknown() {
        let (a, b) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::ES256));
        let set = set(vec![a.jwk(Some("a")), b.jwk(Some(""))]);
        assert_eq!(judge(&set, &a, Some("a")), Verdict::Verified);
        assert_eq!(judge(&set, &b, None), Verdict::Verified);
        assert_eq!(judge(&set, &b, Some("b")), Verdict::UnknownKey);
        assert_eq!(judge(&set, &a, None), Verdict::NoMatch);
    }

    #[test]
    fn an_rsa_key_that_names_its_algorithm_serves_no_other() {
        let (rs, ps) = (&*forge::RS256, forge::RS256.serving(JwtAlgorithm::PS256));
        let mut bound = rs.jwk(Some("k"));
        let mut free = bound.clone();
        bound["alg"] = json!("RS256");
        free.as_object_mut().unwrap().remove("alg");
        assert_eq!(judge(&set(vec![bound.clone()]), rs, Some("k")), Verdict::Verified);
        assert_eq!(judge(&set(vec![bound]), &ps, Some("k")), Verdict::ForeignAlgorithm);
        assert_eq!(judge(&set(vec![free.clone()]), rs, Some("k")), Verdict::Verified);
        assert_eq!(judge(&set(vec![free]), &ps, Some("k")), Verdict::Verified);
    }

    #[test]
    fn keys_that_share_a_name_are_both_left_out() {
        let (a, b, c) = (forge::ES256.jwk(Some("a")), Signer::new(JwtAlgorithm::ES256), forge::EDDSA.jwk(Some("c")));
        let set = set(vec![a, b.jwk(Some("a")), c]);
        assert_eq!(set.len(), 1);
        assert_eq!(judge(&set, &forge::ES256, Some("a")), Verdict::UnknownKey);
    }

    #[test]
    fn the_number_of_keys_and_of_tries_is_bounded() {
        let key = |n: usize| forge::ES256.jwk(Some(&n.to_string()));
        assert_eq!(set((0..100).map(key).collect()).len(), MOST_KEYS);
        assert_eq!(set(vec![forge::ES256.jwk(None); 100]).len(), MOST_TRIES);
    }

    #[test]
    fn a_pem_file_may_hold_several_keys_and_certificates() {
        let certificate = forge::ES384.self_signed();
        let text = [forge::ES256.pem(), "a note\n".to_owned(), forge::RS256.pem(), certificate].concat();
        let set = KeySet::from_pem(text.as_bytes()).unwrap();
        for signer in [&*forge::ES256, &*forge::RS256, &*forge::ES384, &forge::RS256.serving(JwtAlgorithm::PS256)] {
            assert_eq!(judge(&set, signer, Some("any")), Verdict::Verified);
        }
        assert_eq!(judge(&set, &forge::EDDSA, None), Verdict::UnknownKey);
        for wrong in ["", "no key", &forge::ES256.pair().serialize_pem(), &text.replace("PUBLIC KEY", "RSA PUBLIC KEY")]
        {
            assert_eq!(KeySet::from_pem(wrong.as_bytes()).unwrap_err().code(), Code::Config, "{wrong}");
        }
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(KeySet::from_secret(&Secret::new(vec![1; 31])).is_err());
        assert!(KeySet::from_secret(&Secret::new(vec![1; 32])).unwrap().is_symmetric());
        assert!(!set(vec![forge::ES256.jwk(None)]).is_symmetric());
    }
}
