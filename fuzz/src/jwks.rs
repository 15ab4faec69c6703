//! A key set from an issuer: what is taken is a public key of a known kind, and no key verifies what it did not sign.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward::authn::{KeySet, KeySource};
use doorward::error::Code;
use serde_json::Value;

use super::jwt::{NOW, door, peer, section, verify};

/// How many keys a set may hold.
const MOST: usize = 64;

/// The bytes are the issuer's answer.
pub fn run(bytes: &[u8]) -> bool {
    let keys = match KeySet::from_jwks(bytes) {
        Ok(keys) => keys,
        Err(failure) => {
            assert_eq!(failure.code(), Code::Upstream);
            return false;
        }
    };
    let plain: Value = serde_json::from_slice(bytes).expect("a key set is JSON");
    let listed = plain.get("keys").and_then(Value::as_array).expect("a key set has keys");
    let usable = listed.iter().take(MOST).filter(|key| public(key)).count();
    assert!(keys.len() <= usable, "{} of {usable} keys", keys.len());
    let door = door(&section(), KeySource::Static(Arc::new(keys)));
    for token in TOKENS.iter() {
        let failure = verify(&door, &peer(b"one"), token, NOW).expect_err("nobody signed this");
        let known = [Code::TokenSignature, Code::TokenKeyUnknown, Code::TokenAlgorithm];
        assert!(known.contains(&failure.code()), "{failure}");
    }
    true
}

/// Whether a key could be a public one of a kind that is used.
fn public(key: &Value) -> bool {
    let text = |member: &str| key.get(member).and_then(Value::as_str);
    let kind = matches!(
        (text("kty"), text("crv")),
        (Some("RSA"), _) | (Some("EC"), Some("P-256" | "P-384")) | (Some("OKP"), Some("Ed25519"))
    );
    kind && ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().all(|member| key.get(member).is_none())
}

/// Tokens of every algorithm, by a name and without one, whose signatures are filler.
static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let kinds = [("EdDSA", 64), ("ES256", 64), ("ES384", 96), ("PS256", 256), ("RS256", 256)];
    let tokens = kinds.iter().flat_map(|(algorithm, length)| {
        [r#","kid":"a""#, ""].map(|id| {
            let header = format!(r#"{{"alg":"{algorithm}"{id}}}"#);
            let parts = [header.as_bytes(), b"{}", &vec![0x5a; *length]].map(|part| URL_SAFE_NO_PAD.encode(part));
            parts.join(".")
        })
    });
    tokens.collect()
});
