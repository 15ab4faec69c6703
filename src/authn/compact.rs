//! A token before anything in it is believed: JWS compact form (RFC 7515 section 7.1), read strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::JwtAlgorithm;
use crate::error::{Code, Failure};
use crate::identity::parse_strict;

/// The longest token that is looked at, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// The longest `kid`, in bytes.
const LONGEST_KEY_ID: usize = 256;

/// Header and claims are flat but for `act` and `cnf`; other claims may nest to this depth.
pub(super) const DEPTH: usize = 32;

/// Header parameters that would have us take the key or the content from the token itself, or read it in another way
/// (RFC 7515 sections 4.1.2 to 4.1.6 and 4.1.11, RFC 7516, RFC 7797). `x5t` only names a certificate and does no harm.
const NOT_HONOURED: [&str; 8] = ["crit", "zip", "enc", "jwk", "jku", "x5u", "x5c", "b64"];

/// The parts of a token whose header is acceptable.
pub(super) struct Compact<'a> {
    /// What the header says it is signed with; one of those allowed.
    pub(super) algorithm: JwtAlgorithm,
    /// Which key signed it.
    pub(super) key_id: Option<String>,
    /// Header and claims as they were signed.
    pub(super) signed: &'a str,
    /// The claims' JSON.
    pub(super) claims: Vec<u8>,
    /// The signature, still encoded, and known to be canonical base64url.
    pub(super) signature: &'a str,
}

impl<'a> Compact<'a> {
    /// Takes a token apart. Nothing in it is verified.
    ///
    /// # Errors
    /// [`Code::TokenTooLarge`], [`Code::TokenMalformed`], [`Code::TokenAlgorithm`], [`Code::TokenHeader`],
    /// [`Code::TokenType`].
    pub(super) fn parse(token: &'a str, allowed: &[JwtAlgorithm]) -> Result<Self, Failure> {
        if token.len() > LONGEST {
            return Err(Failure::new(Code::TokenTooLarge, "the token is longer than 16384 bytes"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed(NOT_THREE_PARTS))?;
        let (header, claims) = signed.split_once('.').ok_or_else(|| malformed(NOT_THREE_PARTS))?;
        if claims.contains('.') {
            return Err(malformed(NOT_THREE_PARTS));
        }
        let (header, claims) = (decode(header)?, decode(claims)?);
        decode(signature)?;
        let header = object(&header, "the token's header is not a JSON object")?;
        let algorithm = algorithm(&header, allowed)?;
        if let Some(name) = NOT_HONOURED.iter().find(|name| header.contains_key(**name)) {
            return Err(Failure::new(Code::TokenHeader, format!("the token's header has {name}")));
        }
        check_type(&header)?;
        Ok(Self { algorithm, key_id: key_id(&header)?, signed, claims, signature })
    }
}

const NOT_THREE_PARTS: &str = "the token does not have three parts";

/// A JSON object, read strictly.
pub(super) fn object(json: &[u8], otherwise: &'static str) -> Result<Map<String, Value>, Failure> {
    match parse_strict(json, DEPTH) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(malformed(otherwise)),
        Err(error) => Err(malformed(otherwise).because(error)),
    }
}

/// Base64url without padding, spaces or stray bits in its last letter, so one text is the only one for its bytes.
fn decode(part: &str) -> Result<Vec<u8>, Failure> {
    URL_SAFE_NO_PAD.decode(part).map_err(|error| malformed("a part of the token is not base64url").because(error))
}

fn algorithm(header: &Map<String, Value>, allowed: &[JwtAlgorithm]) -> Result<JwtAlgorithm, Failure> {
    let Some(Value::String(name)) = header.get("alg") else {
        return Err(malformed("the token's header has no alg"));
    };
    allowed
        .iter()
        .copied()
        .find(|algorithm| algorithm.name() == name)
        .ok_or_else(|| Failure::new(Code::TokenAlgorithm, "the token's algorithm is not allowed"))
}

/// RFC 9068 section 4: an access token says so. `JWT` is what issuers without that profile write (RFC 7519 section 5.1).
fn check_type(header: &Map<String, Value>) -> Result<(), Failure> {
    let fits = match header.get("typ") {
        None => true,
        Some(Value::String(name)) => {
            ["at+jwt", "application/at+jwt", "JWT"].iter().any(|known| known.eq_ignore_ascii_case(name))
        }
        Some(_) => false,
    };
    if fits { Ok(()) } else { Err(Failure::new(Code::TokenType, "the token's typ is not that of an access token")) }
}

/// An empty name is none.
fn key_id(header: &Map<String, Value>) -> Result<Option<String>, Failure> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(id)) if id.is_empty() => Ok(None),
        Some(Value::String(id)) if id.len() <= LONGEST_KEY_ID => Ok(Some(id.clone())),
        Some(_) => Err(malformed("the token's kid is not a text of at most 256 bytes")),
    }
}

fn malformed(text: &'static str) -> Failure {
    Failure::new(Code::TokenMalformed, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALLOWED: &[JwtAlgorithm] = &[JwtAlgorithm::ES256];

    fn token(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    fn refusal(token: &str) -> Code {
        match Compact::parse(token, ALLOWED) {
            Ok(_) => panic!("accepted: {token}"),
            Err(failure) => failure.code(),
        }
    }

    #[test]
    fn an_acceptable_header_is_read() {
        for extra in ["", r#","typ":"at+jwt""#, r#","typ":"JWT""#, r#","typ":"application/AT+JWT""#, r#","x5t":"a""#] {
            let text = token(&format!(r#"{{"alg":"ES256","kid":"k"{extra}}}"#));
            let compact = Compact::parse(&text, ALLOWED).unwrap();
            assert_eq!(compact.algorithm, JwtAlgorithm::ES256);
            assert_eq!(compact.key_id.as_deref(), Some("k"));
            assert_eq!(compact.claims, b"{}");
            assert_eq!(format!("{}.{}", compact.signed, compact.signature), text);
        }
    }

    #[test]
    fn each_wrong_header_has_its_code() {
        for (header, code) in [
            ("", Code::TokenMalformed),
            ("[]", Code::TokenMalformed),
            ("{}", Code::TokenMalformed),
            (r#"{"alg":1}"#, Code::TokenMalformed),
            (r#"{"alg":"ES256","alg":"ES256"}"#, Code::TokenMalformed),
            (r#"{"alg":"ES256","\u0061lg":"ES256"}"#, Code::TokenMalformed),
            (r#"{"alg":"ES256"} "x""#, Code::TokenMalformed),
            (r#"{"alg":"ES256","kid":1}"#, Code::TokenMalformed),
            (r#"{"alg":"none"}"#, Code::TokenAlgorithm),
            (r#"{"alg":"None"}"#, Code::TokenAlgorithm),
            (r#"{"alg":"es256"}"#, Code::TokenAlgorithm),
            (r#"{"alg":"HS256"}"#, Code::TokenAlgorithm),
            (r#"{"alg":"RS256"}"#, Code::TokenAlgorithm),
            (r#"{"alg":"ES256","typ":"id+jwt"}"#, Code::TokenType),
            (r#"{"alg":"ES256","typ":"dpop+jwt"}"#, Code::TokenType),
            (r#"{"alg":"ES256","typ":null}"#, Code::TokenType),
        ] {
            assert_eq!(refusal(&token(header)), code, "{header}");
        }
        for name in NOT_HONOURED {
            assert_eq!(refusal(&token(&format!(r#"{{"alg":"ES256","{name}":null}}"#))), Code::TokenHeader, "{name}");
        }
        assert_eq!(refusal(&token(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(257)))), Code::TokenMalformed);
    }

    #[test]
    fn only_canonical_base64url_in_three_parts_is_a_token() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
        for rest in ["", ".", ".e30", ".e30.c2ln.", ".e30.c2ln.c2ln", ".e30=.c2ln", ".e31.c2ln", ".e30.c2l", ".e30.+/"]
        {
            assert_eq!(refusal(&format!("{header}{rest}")), Code::TokenMalformed, "{rest}");
        }
        for text in ["", "..", " ", &format!(" {header}.e30.c2ln"), &format!("{header}.e30.c2ln\n")] {
            assert_eq!(refusal(text), Code::TokenMalformed, "{text}");
        }
        assert_eq!(refusal(&"a".repeat(LONGEST + 1)), Code::TokenTooLarge);
        assert_eq!(refusal(&"a".repeat(LONGEST)), Code::TokenMalformed);
    }

    proptest! {
        #[test]
        fn no_text_can_make_it_panic(text in "[A-Za-z0-9._=-]{0,80}|.{0,40}") {
            let _ = Compact::parse(&text, ALLOWED).map(|_| ());
        }
    }
}
