//! From claims to scopes: the words of `scope_claim`, and those that `role_mapping` has for the roles of `role_claim`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::AuthSection;
use crate::error::{Code, Failure};
use crate::identity::{Scope, Scopes};

/// Where a token says what it opens.
#[derive(Debug)]
pub(super) struct Grants {
    scope_claim: String,
    role_claim: Option<String>,
    roles: BTreeMap<String, Vec<Scope>>,
}

impl Grants {
    /// As configured.
    ///
    /// # Errors
    /// [`Code::Config`] when `role_mapping` holds what is not a scope.
    pub(super) fn new(section: &AuthSection) -> Result<Self, Failure> {
        let scopes = |words: &[String]| words.iter().map(|word| Scope::parse(word)).collect::<Option<Vec<_>>>();
        let roles = section
            .role_mapping
            .iter()
            .map(|(role, words)| scopes(words).map(|scopes| (role.clone(), scopes)))
            .collect::<Option<_>>()
            .ok_or_else(|| Failure::new(Code::Config, "auth.role_mapping holds a word that is not a scope"))?;
        Ok(Self { scope_claim: section.scope_claim.clone(), role_claim: section.role_claim.clone(), roles })
    }

    /// The scopes that `claims` grant. A role that is not mapped grants nothing.
    ///
    /// # Errors
    /// [`Code::TokenClaim`] when a claim has another type, or holds what is not a scope.
    pub(super) fn read(&self, claims: &Map<String, Value>) -> Result<Scopes, Failure> {
        let mut scopes = match claims.get(&self.scope_claim) {
            None => Vec::new(),
            Some(Value::String(text)) => {
                text.split(' ').filter(|word| !word.is_empty()).map(scope).collect::<Result<_, _>>()?
            }
            Some(Value::Array(words)) => words.iter().map(|word| scope(text(word)?)).collect::<Result<_, _>>()?,
            Some(_) => return Err(wrong("the claim that holds scopes is neither a text nor an array of texts")),
        };
        for role in self.roles(claims)? {
            scopes.extend(self.roles.get(role).into_iter().flatten().cloned());
        }
        Ok(scopes.into_iter().collect())
    }

    /// A role may have spaces in it, so a text is one role.
    fn roles<'a>(&self, claims: &'a Map<String, Value>) -> Result<Vec<&'a str>, Failure> {
        match self.role_claim.as_ref().and_then(|name| claims.get(name)) {
            None => Ok(Vec::new()),
            Some(Value::String(role)) => Ok(vec![role]),
            Some(Value::Array(roles)) => roles.iter().map(text).collect(),
            Some(_) => Err(wrong("the claim that holds roles is neither a text nor an array of texts")),
        }
    }
}

fn text(value: &Value) -> Result<&str, Failure> {
    value.as_str().ok_or_else(|| wrong("a claim that holds scopes or roles has something else in it"))
}

fn scope(word: &str) -> Result<Scope, Failure> {
    Scope::parse(word).ok_or_else(|| wrong("the token holds a word that is not a scope"))
}

fn wrong(text: &'static str) -> Failure {
    Failure::new(Code::TokenClaim, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn grants() -> Grants {
        let mapping = [("Site Admin", vec!["core", "logs"]), ("reader", vec!["core"])];
        Grants::new(&AuthSection {
            role_claim: Some("roles".to_owned()),
            role_mapping: mapping
                .map(|(role, words)| (role.to_owned(), words.iter().map(|w| (*w).to_owned()).collect()))
                .into(),
            ..AuthSection::default()
        })
        .unwrap()
    }

    fn read(claims: Value) -> Result<String, Code> {
        grants().read(claims.as_object().unwrap()).map(|scopes| scopes.to_string()).map_err(|failure| failure.code())
    }

    #[test]
    fn scopes_come_as_text_as_array_and_by_roles() {
        assert_eq!(read(json!({})), Ok(String::new()));
        assert_eq!(read(json!({"scope": ""})), Ok(String::new()));
        assert_eq!(read(json!({"scope": "b a  b"})), Ok("a b".to_owned()));
        assert_eq!(read(json!({"scope": ["b", "a"]})), Ok("a b".to_owned()));
        assert_eq!(read(json!({"roles": "Site Admin"})), Ok("core logs".to_owned()));
        assert_eq!(read(json!({"roles": ["reader", "stranger"], "scope": "x"})), Ok("core x".to_owned()));
    }

    #[test]
    fn what_is_not_a_scope_or_has_another_type_is_refused() {
        for claims in [
            json!({"scope": null}),
            json!({"scope": 1}),
            json!({"scope": ["a", 1]}),
            json!({"scope": ["a b"]}),
            json!({"scope": [""]}),
            json!({"scope": "a\tb"}),
            json!({"scope": "a \"b\""}),
            json!({"roles": {"admin": true}}),
            json!({"roles": [1]}),
        ] {
            assert_eq!(read(claims.clone()), Err(Code::TokenClaim), "{claims}");
        }
    }

    #[test]
    fn a_mapping_to_what_is_not_a_scope_is_a_finding() {
        let section =
            AuthSection { role_mapping: [("a".to_owned(), vec!["x y".to_owned()])].into(), ..AuthSection::default() };
        assert_eq!(Grants::new(&section).unwrap_err().code(), Code::Config);
    }
}
