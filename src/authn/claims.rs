//! The claims of a token whose signature is verified: each has its type or the token is refused.

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Map, Value};

use super::binding::Binding;
use super::claim::{name, require, text, time, wrong};
use super::compact::object;
use super::grants::Grants;
use super::lifetime::Lifetime;
use crate::error::{Code, Failure};
use crate::identity::{Actor, Principal, Scopes};

/// The longest chain of agents.
const LONGEST_CHAIN: usize = 8;

/// What a token must say.
#[derive(Debug)]
pub(super) struct Expected {
    /// `iss`, exactly.
    pub(super) issuer: String,
    /// What `aud` must contain, exactly.
    pub(super) audience: String,
    /// Whether `iat` must be there.
    pub(super) require_iat: bool,
    /// Whether `jti` must be there.
    pub(super) require_jti: bool,
    /// How to read scopes.
    pub(super) grants: Grants,
}

/// What a token says. Issuer and audience are checked; time, binding and replay are still to be.
#[derive(Debug)]
pub(super) struct Claims {
    /// User via agent.
    pub(super) principal: Principal,
    /// What it opens.
    pub(super) scopes: Scopes,
    /// When it is good.
    pub(super) lifetime: Lifetime,
    /// Over which channel it is good.
    pub(super) binding: Binding,
    /// What makes it this token and no other.
    pub(super) id: [u8; 32],
}

impl Claims {
    /// Reads claims; `signed` is the text that the signature covers.
    ///
    /// # Errors
    /// [`Code::TokenMalformed`], [`Code::TokenIssuer`], [`Code::TokenAudience`], [`Code::TokenClaim`].
    pub(super) fn read(json: &[u8], signed: &str, expected: &Expected) -> Result<Self, Failure> {
        let claims = object(json, "the token's claims are not a JSON object")?;
        let issuer = require(text(&claims, "iss")?, "iss")?;
        if issuer != expected.issuer {
            let cause = format!("iss is {}", shown(issuer));
            return Err(Failure::new(Code::TokenIssuer, "the token is from another issuer").because(cause));
        }
        check_audience(&claims, &expected.audience)?;
        let lifetime = Lifetime {
            expires: require(time(&claims, "exp")?, "exp")?,
            not_before: time(&claims, "nbf")?,
            issued: time(&claims, "iat")?,
        };
        if expected.require_iat {
            require(lifetime.issued, "iat")?;
        }
        let subject = require(name(&claims, "sub")?, "sub")?.to_owned();
        let binding = Binding::read(claims.get("cnf"))?;
        let scopes = expected.grants.read(&claims)?;
        let principal = Principal { subject, actor: agent(&claims)? };
        let token_id = name(&claims, "jti")?;
        if expected.require_jti {
            require(token_id, "jti")?;
        }
        let id = identify(&expected.issuer, token_id, signed);
        Ok(Self { principal, scopes, lifetime, binding, id })
    }
}

/// RFC 7519 section 4.1.3: one text, or an array of texts.
fn check_audience(claims: &Map<String, Value>, wanted: &str) -> Result<(), Failure> {
    let audience = require(claims.get("aud"), "aud")?;
    let all = audience.as_array().map_or(std::slice::from_ref(audience), Vec::as_slice);
    if !all.iter().all(Value::is_string) {
        return Err(wrong("the claim aud is neither a text nor an array of texts"));
    }
    let named = all.iter().any(|audience| audience == wanted);
    if named {
        return Ok(());
    }
    let cause = match audience.as_str() {
        Some(only) => format!("aud is {}", shown(only)),
        // Quoted already, and free of control characters.
        None => format!("aud is {}", audience.to_string().chars().take(200).collect::<String>()),
    };
    Err(Failure::new(Code::TokenAudience, "the token is for another audience").because(cause))
}

/// As much of a text as an operator needs to see what is wrong.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(200).collect::<String>())
}

/// RFC 8693 section 4.1: `act` names who acts for the subject, and within it the one before. Without it, the client that
/// the token was issued to is the agent: `client_id` (RFC 9068 section 2.2), or `azp` (OpenID Connect Core section 2).
fn agent(claims: &Map<String, Value>) -> Result<Option<Actor>, Failure> {
    let client = name(claims, "client_id")?;
    let party = name(claims, "azp")?;
    let mut chain = Vec::new();
    let mut level = claims;
    while let Some(act) = level.get("act") {
        let Value::Object(act) = act else { return Err(wrong("the claim act is not an object")) };
        if chain.len() >= LONGEST_CHAIN {
            return Err(wrong("the claim act is nested too deeply"));
        }
        chain.push(name(act, "sub")?.ok_or_else(|| wrong("the claim act has no sub"))?);
        level = act;
    }
    if chain.is_empty() {
        chain.extend(client.or(party));
    }
    let outward =
        |prior: Option<Actor>, subject: &str| Some(Actor { subject: subject.to_owned(), prior: prior.map(Box::new) });
    Ok(chain.into_iter().rev().fold(None, outward))
}

/// Two tokens have the same id when issuer and `jti` are the same. Without `jti` the signed text is the id; the signature
/// is no part of it, since a signer, and for some algorithms anybody, can make another one for the same text.
fn identify(issuer: &str, token_id: Option<&str>, signed: &str) -> [u8; 32] {
    let mut hash = Context::new(&SHA256);
    let mut part = |text: &str| {
        hash.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(text.as_bytes());
    };
    part(if token_id.is_some() { "jti" } else { "text" });
    part(issuer);
    part(token_id.unwrap_or(signed));
    let mut id = [0; 32];
    id.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
    id
}

#[cfg(test)]
mod tests {
    use super::super::AuthSection;
    use super::super::claim::LAST_SECOND;
    use super::*;
    use crate::clock::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    fn expected(require_jti: bool) -> Expected {
        let grants = Grants::new(&AuthSection::default()).unwrap();
        let (issuer, audience) = ("https://issuer".to_owned(), "door".to_owned());
        Expected { issuer, audience, require_iat: true, require_jti, grants }
    }

    /// Good claims, with some replaced; a `null` takes one out.
    fn claims(changes: Value) -> Value {
        let mut claims = json!({
            "iss": "https://issuer", "aud": "door", "sub": "alice", "jti": "1", "iat": 1000, "exp": 1100, "scope": "core"
        });
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name)
            } else {
                claims.as_object_mut().unwrap().insert(name.clone(), value.clone())
            };
        }
        claims
    }

    fn read(changes: Value) -> Result<Claims, Code> {
        let json = serde_json::to_vec(&claims(changes)).unwrap();
        Claims::read(&json, "signed", &expected(true)).map_err(|failure| failure.code())
    }

    #[test]
    fn good_claims_are_read() {
        let read = read(json!({"aud": ["other", "door"], "exp": 1100.5, "nbf": 0})).unwrap();
        assert_eq!(read.principal.to_string(), "alice");
        assert_eq!(read.scopes.to_string(), "core");
        assert_eq!(read.lifetime.expires, Timestamp::from_millis(1_100_500));
        assert_eq!(read.lifetime.not_before, Some(Timestamp::from_seconds(0)));
    }

    #[test]
    fn the_agent_is_the_actor_or_else_the_client() {
        let who = |changes| read(changes).unwrap().principal.to_string();
        assert_eq!(
            who(json!({"act": {"sub": "bot", "act": {"sub": "broker"}}, "azp": "x"})),
            "alice via bot via broker"
        );
        assert_eq!(who(json!({"client_id": "bot", "azp": "app"})), "alice via bot");
        assert_eq!(who(json!({"azp": "app"})), "alice via app");
    }

    #[test]
    fn a_chain_of_agents_is_kept_up_to_its_limit() {
        let chain =
            |length: usize| (1..length).fold(json!({"sub": "0"}), |act, n| json!({"sub": n.to_string(), "act": act}));
        assert_eq!(read(json!({"act": chain(8)})).unwrap().principal.agents().count(), 8);
        assert_eq!(read(json!({"act": chain(9)})).unwrap_err(), Code::TokenClaim);
    }

    #[test]
    fn each_wrong_claim_has_its_code() {
        for (changes, code) in [
            (json!({"iss": "https://issuer/"}), Code::TokenIssuer),
            (json!({"iss": "HTTPS://issuer"}), Code::TokenIssuer),
            (json!({"aud": "Door"}), Code::TokenAudience),
            (json!({"aud": ["doors"]}), Code::TokenAudience),
            (json!({"aud": []}), Code::TokenAudience),
        ] {
            assert_eq!(read(changes.clone()).unwrap_err(), code, "{changes}");
        }
        for changes in [
            json!({"iss": null}),
            json!({"iss": ["https://issuer"]}),
            json!({"aud": null}),
            json!({"aud": 1}),
            json!({"aud": ["door", 1]}),
            json!({"aud": {"door": true}}),
            json!({"exp": null}),
            json!({"exp": "1100"}),
            json!({"exp": -1}),
            json!({"exp": 1e300}),
            json!({"exp": u64::MAX}),
            json!({"exp": LAST_SECOND + 1}),
            json!({"exp": [1100]}),
            json!({"nbf": "0"}),
            json!({"nbf": -0.5}),
            json!({"iat": null}),
            json!({"iat": true}),
            json!({"sub": null}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "a\nb"}),
            json!({"sub": "a".repeat(257)}),
            json!({"cnf": "x"}),
            json!({"scope": 1}),
            json!({"jti": null}),
            json!({"jti": ""}),
            json!({"jti": 1}),
            json!({"jti": "j".repeat(257)}),
            json!({"client_id": 1}),
            json!({"azp": ""}),
            json!({"act": "bot"}),
            json!({"act": {}}),
            json!({"act": {"sub": 1}}),
            json!({"act": {"sub": "bot", "act": []}, "client_id": "x"}),
        ] {
            assert_eq!(read(changes.clone()).unwrap_err(), Code::TokenClaim, "{changes}");
        }
    }

    #[test]
    fn claims_that_two_readers_may_read_differently_are_refused() {
        for json in [
            r#"{"iss":"https://issuer","iss":"https://issuer"}"#,
            r#"{"sub":"alice","\u0073ub":"root"}"#,
            r#"{"cnf":{"x5t#S256":"a","x5t#S256":"b"}}"#,
            r#"{"act":{"sub":"a","sub":"b"}}"#,
            "[]",
            "null",
            "",
            "{}x",
        ] {
            let failure = Claims::read(json.as_bytes(), "", &expected(true)).unwrap_err();
            assert_eq!(failure.code(), Code::TokenMalformed, "{json}");
        }
    }

    #[test]
    fn a_token_without_an_id_is_known_by_its_text() {
        let json = serde_json::to_vec(&claims(json!({"jti": null}))).unwrap();
        let id = |signed| Claims::read(&json, signed, &expected(false)).unwrap().id;
        assert_eq!(id("one"), id("one"));
        assert_ne!(id("one"), id("two"));
        assert_ne!(identify("a", Some("bc"), ""), identify("ab", Some("c"), ""));
        assert_ne!(identify("a", Some("b"), ""), identify("a", None, "b"));
        assert_eq!(identify("a", Some("b"), "one"), identify("a", Some("b"), "two"));
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(json!(null)),
            Just(json!("door")),
            Just(json!(["door"])),
            Just(json!({"sub": "bot"})),
            Just(json!(1050)),
            any::<f64>().prop_map(|n| json!(n)),
            any::<i64>().prop_map(|n| json!(n)),
            any::<String>().prop_map(|t| json!(t)),
        ]
    }

    proptest! {
        /// The reference is written the slow way: by asking each question of the finished value.
        #[test]
        fn what_is_accepted_has_every_claim_in_its_type(
            names in prop::collection::vec(prop::sample::select(vec!["iss", "aud", "sub", "jti", "iat", "exp", "nbf", "act", "azp", "scope"]), 1..4),
            values in prop::collection::vec(value(), 4),
        ) {
            let changes: Map<_, _> = names.iter().map(|name| (*name).to_owned()).zip(values).collect();
            let given = claims(Value::Object(changes));
            if let Ok(read) = Claims::read(&serde_json::to_vec(&given).unwrap(), "", &expected(true)) {
                let time = |name: &str| given.get(name).map(|time| time.as_f64().unwrap());
                prop_assert_eq!(given["iss"].as_str(), Some("https://issuer"));
                prop_assert!(given["aud"] == "door" || given["aud"].as_array().unwrap().contains(&json!("door")));
                prop_assert_eq!(given["sub"].as_str(), Some(read.principal.subject.as_str()));
                prop_assert!(given["jti"].as_str().is_some_and(|id| !id.is_empty()));
                prop_assert!(time("exp").is_some_and(|time| (0.0..2.6e11).contains(&time)));
                prop_assert!(time("iat").is_some_and(|time| (0.0..2.6e11).contains(&time)));
                prop_assert!(time("nbf").is_none_or(|time| (0.0..2.6e11).contains(&time)));
                prop_assert!(given.get("act").is_none_or(|act| act["sub"].is_string()));
                prop_assert!(given.get("scope").is_none_or(|scope| scope.is_string() || scope.is_array()));
            }
        }

        #[test]
        fn no_bytes_can_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Claims::read(&bytes, "", &expected(false)).map(|_| ());
        }
    }
}
