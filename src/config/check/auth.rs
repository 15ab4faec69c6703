//! `auth`: tokens, where their keys come from, what scopes they give.

use super::Check;
use super::hosts::https_url;
use std::path::Path;

use crate::authn::{JwtAlgorithm, KeySet, ReplayMode};
use crate::config::place::KeyPath;
use crate::config::tree::Node;
use crate::identity::Scope;
use crate::pki::store;

/// Where token keys may come from.
const SOURCES: [&str; 3] = ["jwks_uri", "public_key", "secret"];

/// What is said of fetching keys.
const FETCHING: [&str; 5] = ["jwks_ca", "jwks_max_stale", "jwks_min_refresh", "jwks_refresh_interval", "jwks_timeout"];

/// What is said of the register of used tokens.
const REGISTER: [&str; 1] = ["jti_cache_size"];

/// Bytes an HMAC key must have at least (RFC 7518 section 3.2).
const SECRET_BYTES: usize = 32;

impl Check<'_> {
    pub(super) fn auth(&mut self) {
        self.claims();
        self.key_sources();
        self.lifetimes();
        self.idle();
        self.scope_names();
        if self.config.verifies_tokens() {
            self.needs_of_tokens();
        }
    }

    fn needs_of_tokens(&mut self) {
        let (auth, jwt) = (&self.config.auth, &self.config.auth.jwt);
        let who = if self.https() { "https needs" } else { "auth.enabled needs" };
        if self.https() && auth.enabled == Some(false) {
            self.find("auth.enabled", "tokens cannot be switched off over https", "remove the key");
        }
        if jwt.issuer.is_none() {
            let missing = format!("is missing; {who} it");
            self.find("auth.jwt.issuer", missing, "name the issuer (iss) whose tokens count");
        }
        if jwt.audience.is_none() {
            let missing = format!("is missing; {who} it");
            self.find("auth.jwt.audience", missing, "name this server as its tokens do (aud)");
        }
        if !SOURCES.iter().any(|source| self.wrote(&format!("auth.jwt.{source}"))) {
            let missing = format!("no source of keys; {who} one");
            self.find("auth.jwt", missing, "give one of jwks_uri, public_key, secret");
        }
        if self.https() {
            self.audience();
        }
        if let Some(path) = &jwt.public_key {
            self.file("auth.jwt.public_key", path);
            self.public_key(path);
        }
        if let Some(path) = &jwt.jwks_ca {
            self.file("auth.jwt.jwks_ca", path);
            if !self.found("auth.jwt.jwks_ca")
                && let Err(failure) = store::authorities(path)
            {
                self.find("auth.jwt.jwks_ca", failure.cause().unwrap_or_default(), "");
            }
        }
    }

    /// The keys of a file, and whether they are for the algorithms that are asked for.
    fn public_key(&mut self, path: &Path) {
        const KEY: &str = "auth.jwt.public_key";
        if self.found(KEY) {
            return;
        }
        let keys = match KeySet::from_file(path) {
            Ok(keys) => keys,
            Err(failure) => return self.find(KEY, failure.cause().unwrap_or_default(), ""),
        };
        let algorithms = &self.config.auth.jwt.algorithms;
        if !algorithms.is_empty() && !algorithms.iter().any(|algorithm| keys.serves(*algorithm)) {
            let served: Vec<&str> =
                JwtAlgorithm::PUBLIC.iter().filter(|one| keys.serves(**one)).map(|one| one.name()).collect();
            let problem = format!("the keys in {} are for {} and for none of these", path.display(), served.join(", "));
            self.find("auth.jwt.algorithms", problem, "name an algorithm that a key is for, or another file");
        }
    }

    /// Clients that follow RFC 9728 ask for tokens whose audience is the URL they are told.
    fn audience(&mut self) {
        let (http, jwt) = (&self.config.http, &self.config.auth.jwt);
        let resource = http.resource(self.config.tls.bind);
        let told = !http.authorization_servers(jwt.issuer.as_deref()).is_empty();
        let differs = jwt.audience.as_deref().is_some_and(|audience| !audience.is_empty() && audience != resource);
        if told && differs {
            let problem = format!(
                "clients that ask for tokens by themselves are told {resource} (http.public_url, RFC 9728), and get \
                 tokens for that"
            );
            self.note_at(&KeyPath::from("auth.jwt.audience"), problem);
        }
    }

    fn claims(&mut self) {
        let jwt = &self.config.auth.jwt;
        for (key, value) in [("auth.jwt.issuer", &jwt.issuer), ("auth.jwt.audience", &jwt.audience)] {
            if value.as_deref() == Some("") {
                self.find(key, "is empty", "");
            }
        }
        if !jwt.require_exp {
            self.find("auth.jwt.require_exp", "a token without an end is never accepted", "remove the key");
        }
        match (jwt.require_jti, jwt.replay) {
            (true, ReplayMode::Off) => self.find(
                "auth.jwt.replay",
                "replay can be switched off only for tokens without jti",
                "set require_jti: false besides, or use sender_bound",
            ),
            (false, ReplayMode::SingleUse | ReplayMode::SenderBound) => self.find(
                "auth.jwt.require_jti",
                "without jti a replayed token cannot be told from a new one",
                "set replay: off besides, or require jti",
            ),
            (true, ReplayMode::SingleUse | ReplayMode::SenderBound) | (false, ReplayMode::Off) => {}
        }
    }

    fn key_sources(&mut self) {
        let jwt = &self.config.auth.jwt;
        let written: Vec<&str> =
            SOURCES.into_iter().filter(|source| self.wrote(&format!("auth.jwt.{source}"))).collect();
        if written.len() > 1 {
            let problem = format!("keys can come from one source only, and there are {}", written.join(", "));
            for source in &written {
                self.find(&format!("auth.jwt.{source}"), problem.clone(), "keep one");
            }
        }
        if let Some(Err(problem)) = jwt.jwks_uri.as_deref().map(https_url) {
            self.find("auth.jwt.jwks_uri", problem, "");
        }
        if let Some(secret) = self.given.secrets.get("auth.jwt.secret")
            && secret.expose().len() < SECRET_BYTES
        {
            self.find(
                "auth.jwt.secret",
                format!("the secret is shorter than {SECRET_BYTES} bytes"),
                "make one with: openssl rand -base64 48",
            );
        }
        // With several sources nobody can tell which algorithms belong to the one that stays.
        if written.len() > 1 {
            return;
        }
        let by_secret = written.contains(&"secret");
        for (index, algorithm) in jwt.algorithms.iter().enumerate() {
            let path = KeyPath::from("auth.jwt.algorithms").item(index);
            match (by_secret, *algorithm == JwtAlgorithm::HS256) {
                (true, false) => self.find_at(&path, "keys from secret know HS256 only", ""),
                (false, true) => self.find_at(&path, "HS256 needs auth.jwt.secret", ""),
                (true, true) | (false, false) => {}
            }
        }
    }

    /// Keys of `auth.jwt` that another one makes idle.
    fn idle(&mut self) {
        let jwt = &self.config.auth.jwt;
        let mut idle: Vec<(&str, &str)> = Vec::new();
        if jwt.replay == ReplayMode::Off {
            idle.extend(REGISTER.map(|key| (key, "has no effect with replay: off")));
        }
        let at_hand = ["public_key", "secret"].into_iter().any(|source| self.wrote(&format!("auth.jwt.{source}")));
        if at_hand && jwt.jwks_uri.is_none() {
            idle.extend(FETCHING.map(|key| (key, "has no effect without jwks_uri")));
        }
        for (key, problem) in idle {
            let path = KeyPath::from("auth.jwt").key(key);
            if self.given.tree.at(&path).is_some_and(Node::says_something) {
                self.note_at(&path, problem);
            }
        }
    }

    fn lifetimes(&mut self) {
        let jwt = &self.config.auth.jwt;
        if jwt.jwks_min_refresh > jwt.jwks_refresh_interval {
            self.find(
                "auth.jwt.jwks_min_refresh",
                format!(
                    "{} seconds are more than jwks_refresh_interval, {} seconds",
                    jwt.jwks_min_refresh, jwt.jwks_refresh_interval
                ),
                "",
            );
        }
        if jwt.jwks_max_stale < jwt.jwks_refresh_interval {
            self.find(
                "auth.jwt.jwks_max_stale",
                format!(
                    "{} seconds are less than jwks_refresh_interval, {} seconds: keys would be too old before they are \
                     fetched again",
                    jwt.jwks_max_stale, jwt.jwks_refresh_interval
                ),
                "",
            );
        }
    }

    fn scope_names(&mut self) {
        let auth = &self.config.auth;
        if auth.scope_claim.is_empty() {
            self.find("auth.scope_claim", "is empty", "");
        }
        if !auth.role_mapping.is_empty() && auth.role_claim.is_none() {
            self.find("auth.role_mapping", "nothing says which claim holds roles", "set auth.role_claim");
        }
        let mut names: Vec<(KeyPath, &str)> = Vec::new();
        for (index, scope) in auth.scopes_supported.iter().enumerate() {
            names.push((KeyPath::from("auth.scopes_supported").item(index), scope));
        }
        for (role, scopes) in &auth.role_mapping {
            let path = KeyPath::from("auth.role_mapping").key(role);
            names.extend(scopes.iter().enumerate().map(|(index, scope)| (path.item(index), scope.as_str())));
        }
        for scope in self.config.scopes.0.keys() {
            names.push((KeyPath::from("scopes").key(scope), scope));
        }
        for (path, scope) in names {
            if Scope::parse(scope).is_none() {
                self.find_at(&path, "a scope is one word of visible ASCII without \" and \\", "");
            }
        }
    }
}
