//! A JSON Web Key Set (RFC 7517, RFC 7518 section 6, RFC 8037 section 2), key by key: what cannot be used is left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::Key;
use crate::error::{Code, Failure};
use crate::identity::parse_strict;

/// A key set is an object of arrays of objects of arrays.
const DEPTH: usize = 16;

/// Members that only a private or a shared key has (RFC 7518 sections 6.2.2, 6.3.2 and 6.4). A set that gives them away is
/// not one to trust those keys of.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The usable keys among the first `most` of a set.
///
/// # Errors
/// [`Code::Upstream`] when the text is not a key set.
pub(super) fn read_set(json: &[u8], most: usize) -> Result<Vec<Key>, Failure> {
    let wrong = || Failure::new(Code::Upstream, "the key set is not a JSON object with an array of keys");
    let set = parse_strict(json, DEPTH).map_err(|error| wrong().because(error))?;
    let Some(Value::Array(keys)) = set.get("keys") else { return Err(wrong()) };
    if keys.len() > most {
        tracing::warn!(keys = keys.len(), most, "the key set is too large; only the first keys are looked at");
    }
    let mut usable = Vec::new();
    for (index, jwk) in keys.iter().take(most).enumerate() {
        match jwk.as_object().ok_or("it is not an object").and_then(read) {
            Ok(key) => usable.push(key),
            Err(reason) => tracing::warn!(index, reason, "a token key is ignored"),
        }
    }
    Ok(usable)
}

fn read(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
        return Err("it holds private parts and must be taken for disclosed");
    }
    check_use(jwk)?;
    let key = match (text(jwk, "kty")?, text(jwk, "crv")?) {
        (Some("RSA"), _) => Key::rsa(&bytes(jwk, "n")?, &bytes(jwk, "e")?),
        (Some("EC"), Some("P-256")) => Key::p256(&point(jwk, 32)?),
        (Some("EC"), Some("P-384")) => Key::p384(&point(jwk, 48)?),
        (Some("OKP"), Some("Ed25519")) => Key::ed25519(&bytes(jwk, "x")?),
        _ => Err("its kind of key is not one that is used here"),
    }?;
    let key = match text(jwk, "alg")? {
        Some(name) => key.only(name)?,
        None => key,
    };
    Ok(key.named(text(jwk, "kid")?.filter(|id| !id.is_empty()).map(str::to_owned)))
}

/// RFC 7517 sections 4.2 and 4.3: what the key is for, if it says so.
fn check_use(jwk: &Map<String, Value>) -> Result<(), &'static str> {
    let verifies = match jwk.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
        Some(_) => false,
    };
    match text(jwk, "use")? {
        None | Some("sig") if verifies => Ok(()),
        _ => Err("it is not for signatures"),
    }
}

fn point(jwk: &Map<String, Value>, length: usize) -> Result<Vec<u8>, &'static str> {
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != length || y.len() != length {
        return Err("a coordinate does not have the length of its curve");
    }
    Ok([&[4][..], &x, &y].concat())
}

fn bytes(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, &'static str> {
    let text = text(jwk, member)?.ok_or("a part of it is missing")?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a part of it is not base64url")
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, &'static str> {
    match jwk.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("a member that must be text is not"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn usable(jwk: Value) -> bool {
        !read_set(json!({"keys": [jwk]}).to_string().as_bytes(), 64).unwrap().is_empty()
    }

    fn changed(mut jwk: Value, member: &str, value: Value) -> Value {
        jwk[member] = value;
        jwk
    }

    #[test]
    fn every_kind_of_public_key_is_usable() {
        for signer in [&*forge::EDDSA, &*forge::ES256, &*forge::ES384, &*forge::RS256] {
            let jwk = signer.jwk(Some("k"));
            assert!(usable(jwk.clone()), "{jwk}");
            assert!(usable(changed(jwk.clone(), "use", json!("sig"))));
            assert!(usable(changed(jwk, "key_ops", json!(["verify"]))));
        }
    }

    #[test]
    fn what_is_private_weak_or_not_for_signatures_is_left_out() {
        let ec = forge::ES256.jwk(Some("k"));
        let rsa = forge::RS256.jwk(Some("k"));
        for (member, value) in [
            ("use", json!("enc")),
            ("use", json!(1)),
            ("key_ops", json!(["sign"])),
            ("key_ops", json!("verify")),
            ("alg", json!("ES384")),
            ("alg", json!("HS256")),
            ("alg", json!("none")),
            ("alg", json!(null)),
            ("kid", json!(1)),
            ("d", json!("AA")),
            ("k", json!("AA")),
            ("crv", json!("P-384")),
            ("crv", json!("secp256k1")),
            ("kty", json!("OKP")),
            ("kty", json!("RSA")),
            ("x", json!("AA")),
            ("y", ec["x"].clone()),
            ("y", json!(format!("{}=", ec["y"].as_str().unwrap()))),
        ] {
            assert!(!usable(changed(ec.clone(), member, value.clone())), "{member} {value}");
        }
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        for (member, value) in
            [("n", json!(short)), ("e", json!("AQ")), ("e", json!("Ag")), ("e", json!("")), ("q", json!(""))]
        {
            assert!(!usable(changed(rsa.clone(), member, value.clone())), "{member} {value}");
        }
        assert!(!usable(json!({"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode([1; 32])})));
        assert!(!usable(json!("key")));
    }

    #[test]
    fn one_bad_key_does_not_spoil_the_set() {
        let set = json!({"keys": [1, {"kty": "PQC"}, forge::ES256.jwk(None)], "more": {}});
        assert_eq!(read_set(set.to_string().as_bytes(), 64).unwrap().len(), 1);
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(read_set(text.as_bytes(), 64).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_can_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "[AQab_-]{0,90}") {
            let _ = read_set(&bytes, 64).map(|keys| keys.len());
            for (kind, curve) in [("RSA", ""), ("EC", "P-256"), ("EC", "P-384"), ("OKP", "Ed25519")] {
                usable(json!({"kty": kind, "crv": curve, "x": text, "y": text, "n": text, "e": text}));
            }
        }
    }
}
