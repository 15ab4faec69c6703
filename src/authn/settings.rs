//! The words of the configuration that authentication owns: `auth`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds of `clock_skew` that may be configured.
pub(super) const LARGEST_SKEW: u64 = 300;

/// Who may speak, and how that is proven.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuthSection {
    /// Whether tokens are verified. Default: true over https, where it cannot be switched off; over a unix socket, if `jwt` says
    /// anything.
    pub enabled: Option<bool>,
    /// JSON Web Tokens.
    pub jwt: JwtSection,
    /// The claim that holds scopes, an array or a text with spaces. Default: scope.
    pub scope_claim: String,
    /// The claim that holds roles, for `role_mapping`.
    pub role_claim: Option<String>,
    /// Role → scopes.
    pub role_mapping: BTreeMap<String, Vec<String>>,
    /// The scopes named in challenges and in the protected resource metadata. Default: core.
    pub scopes_supported: Vec<String>,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            enabled: None,
            jwt: JwtSection::default(),
            scope_claim: "scope".to_owned(),
            role_claim: None,
            role_mapping: BTreeMap::new(),
            scopes_supported: vec!["core".to_owned()],
        }
    }
}

/// What a token must be like.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtSection {
    /// `iss`, exactly. Required where tokens are verified.
    pub issuer: Option<String>,
    /// `aud` must contain this, exactly. Required where tokens are verified.
    pub audience: Option<String>,
    /// Where the issuer publishes its keys; https only. One of `jwks_uri`, `public_key`, `secret`.
    pub jwks_uri: Option<String>,
    /// Certificate authorities for `jwks_uri`, PEM. Default: the system's.
    pub jwks_ca: Option<PathBuf>,
    /// A file with one or more public keys in PEM. One of `jwks_uri`, `public_key`, `secret`.
    pub public_key: Option<PathBuf>,
    /// Key for HS256, as `${VARIABLE}` or `file:PATH`, 32 bytes or more. One of `jwks_uri`, `public_key`, `secret`.
    pub secret: Option<String>,
    /// Accepted algorithms. Default: EdDSA, ES256, ES384, PS256, RS256; with `secret` HS256 alone.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Longest life of a token in seconds, from `iat` to `exp` and from now to `exp`. Default: 300.
    #[schemars(range(min = 1, max = 86_400))]
    pub max_ttl: u64,
    /// Refuse a token without `exp`. Default: true, and it cannot be switched off.
    pub require_exp: bool,
    /// Refuse a token without `iat`. Default: true.
    pub require_iat: bool,
    /// Seconds by which clocks may differ. Default: 30.
    #[schemars(range(max = LARGEST_SKEW))]
    pub clock_skew: u64,
    /// Refuse a token without `jti`. Default: true.
    pub require_jti: bool,
    /// Seconds for which a `jti` is remembered. No effect in this version: it is remembered until nobody accepts its token any
    /// more, which is `exp` and `clock_skew`. Default: 600.
    pub jti_cache_ttl: u64,
    /// How many `jti` are remembered at the same time, of one certificate never more than are free; when full, new tokens are
    /// refused. Default: 1000000.
    #[schemars(range(min = 1))]
    pub jti_cache_size: usize,
    /// What a second use of a token means. Default: single_use.
    pub replay: ReplayMode,
    /// Refuse tokens without `cnf.x5t#S256`. Default: false.
    pub require_cert_binding: bool,
    /// Refuse tokens whose `sub` is not the only common name of the client certificate. Default: false.
    pub require_cert_subject: bool,
    /// Seconds between fetches of the key set. Default: 3600.
    #[schemars(range(min = 1))]
    pub jwks_refresh_interval: u64,
    /// Seconds between fetches caused by an unknown key id. Default: 300.
    #[schemars(range(min = 1))]
    pub jwks_min_refresh: u64,
    /// Seconds for which the last good set is used when it cannot be fetched; not less than `jwks_refresh_interval`.
    /// Default: 86400.
    pub jwks_max_stale: u64,
    /// Seconds a fetch may take. Default: 5.
    #[schemars(range(min = 1))]
    pub jwks_timeout: u64,
    /// Bytes a key set may have. Default: 262144.
    #[schemars(range(min = 1))]
    pub jwks_max_bytes: usize,
}

impl Default for JwtSection {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            jwks_uri: None,
            jwks_ca: None,
            public_key: None,
            secret: None,
            algorithms: Vec::new(),
            max_ttl: 300,
            require_exp: true,
            require_iat: true,
            clock_skew: 30,
            require_jti: true,
            jti_cache_ttl: 600,
            jti_cache_size: 1_000_000,
            replay: ReplayMode::SingleUse,
            require_cert_binding: false,
            require_cert_subject: false,
            jwks_refresh_interval: 3600,
            jwks_min_refresh: 300,
            jwks_max_stale: 86_400,
            jwks_timeout: 5,
            jwks_max_bytes: 262_144,
        }
    }
}

impl JwtSection {
    /// Only what says where published keys are and how they are fetched, all else as by default: sections that agree in
    /// this can share what was fetched.
    #[must_use]
    pub fn fetching(&self) -> Self {
        Self {
            jwks_uri: self.jwks_uri.clone(),
            jwks_ca: self.jwks_ca.clone(),
            jwks_refresh_interval: self.jwks_refresh_interval,
            jwks_min_refresh: self.jwks_min_refresh,
            jwks_max_stale: self.jwks_max_stale,
            jwks_timeout: self.jwks_timeout,
            jwks_max_bytes: self.jwks_max_bytes,
            ..Self::default()
        }
    }
}

/// Signature algorithms (RFC 7518 section 3.1, RFC 8037 section 3.1). `none` is not one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum JwtAlgorithm {
    EdDSA,
    ES256,
    ES384,
    PS256,
    RS256,
    HS256,
}

impl JwtAlgorithm {
    /// What is accepted when the configuration does not say: everything with a public key.
    pub const PUBLIC: [Self; 5] = [Self::EdDSA, Self::ES256, Self::ES384, Self::PS256, Self::RS256];

    /// The `alg` of a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::PS256 => "PS256",
            Self::RS256 => "RS256",
            Self::HS256 => "HS256",
        }
    }
}

/// What a second use of a `jti` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayMode {
    /// Every token is accepted once.
    SingleUse,
    /// The first use binds the token to its sender; the same sender may use it until it expires.
    SenderBound,
    /// Uses are not counted; needs `require_jti: false`.
    Off,
}
