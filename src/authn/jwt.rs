//! `Authorization: Bearer` with a JSON Web Token. The signature comes before the claims, replay comes last: what is refused
//! is never believed, and never remembered.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::binding::check_holder;
use super::claims::{Claims, Expected};
use super::compact::{Compact, LONGEST};
use super::grants::Grants;
use super::keys::Verdict;
use super::lifetime::Limits;
use super::remembered::Remembered;
use super::replay::Replay;
use super::{AuthSection, Authentication, Caller, JwtAlgorithm, KeySet, KeySource, Presented, ReplayMode, Scheme};
use crate::clock::Timestamp;
use crate::cluster::Cluster;
use crate::error::{Code, Failure};
use crate::identity::PeerIdentity;

/// Judges tokens of one issuer for one audience.
pub struct Jwt {
    algorithms: Vec<JwtAlgorithm>,
    keys: KeySource,
    expected: Expected,
    limits: Limits,
    require_binding: bool,
    require_holder: bool,
    replay: Replay,
    /// Only where a token may be used again.
    remembered: Option<Remembered>,
}

impl Jwt {
    /// As configured. The register of used tokens outlives a change of configuration, so it comes from outside.
    ///
    /// # Errors
    /// [`Code::Config`] when issuer or audience is missing, or words contradict one another.
    pub fn new(section: &AuthSection, keys: KeySource, cluster: Arc<Cluster>) -> Result<Self, Failure> {
        let jwt = &section.jwt;
        if !jwt.require_exp {
            return Err(config("auth.jwt.require_exp cannot be switched off"));
        }
        if jwt.replay == ReplayMode::Off && jwt.require_jti {
            return Err(config("auth.jwt.replay: off needs require_jti: false"));
        }
        let symmetric = matches!(&keys, KeySource::Static(keys) if keys.is_symmetric());
        let issuer = jwt.issuer.clone().filter(|issuer| !issuer.is_empty());
        let audience = jwt.audience.clone().filter(|audience| !audience.is_empty());
        Ok(Self {
            algorithms: algorithms(&jwt.algorithms, symmetric)?,
            keys,
            expected: Expected {
                issuer: issuer.ok_or_else(|| config("auth.jwt.issuer is required"))?,
                audience: audience.ok_or_else(|| config("auth.jwt.audience is required"))?,
                require_iat: jwt.require_iat,
                require_jti: jwt.require_jti,
                grants: Grants::new(section)?,
            },
            limits: Limits { skew: Duration::from_secs(jwt.clock_skew), max_ttl: Duration::from_secs(jwt.max_ttl) },
            require_binding: jwt.require_cert_binding,
            require_holder: jwt.require_cert_subject,
            replay: Replay { mode: jwt.replay, cluster },
            remembered: (jwt.replay == ReplayMode::SenderBound).then(Remembered::new),
        })
    }

    /// From a token to a caller.
    ///
    /// # Errors
    /// The first thing that is wrong with the token.
    pub async fn verify(&self, peer: &Arc<PeerIdentity>, token: &str, now: Timestamp) -> Result<Caller, Failure> {
        let claims = self.claims(token, now).await?;
        claims.lifetime.check(&self.limits, now)?;
        claims.binding.check(peer, self.require_binding)?;
        if self.require_holder {
            check_holder(peer, &claims.principal.subject)?;
        }
        let life = (claims.lifetime.expires, claims.lifetime.ends(&self.limits));
        let fresh = self.replay.admit(claims.id, life, peer, now)?;
        let expires = Some(claims.lifetime.expires);
        Ok(Caller::new(claims.principal.clone(), claims.scopes.clone(), Arc::clone(peer), expires, fresh))
    }

    /// The claims of a token with a good signature, from the right issuer, for this audience.
    async fn claims(&self, token: &str, now: Timestamp) -> Result<Arc<Claims>, Failure> {
        if token.len() > LONGEST {
            return Err(Failure::new(Code::TokenTooLarge, "the token is longer than 16384 bytes"));
        }
        let keys = self.keys.current()?;
        if let Some(known) = self.remembered.as_ref().and_then(|remembered| remembered.get(token, &keys)) {
            return Ok(known);
        }
        let compact = Compact::parse(token, &self.algorithms)?;
        let keys = self.verified(&compact, keys).await?;
        let claims = Arc::new(Claims::read(&compact.claims, compact.signed, &self.expected)?);
        if let Some(remembered) = &self.remembered {
            remembered.keep(token, &keys, &claims, &self.limits, now);
        }
        Ok(claims)
    }

    /// The keys that verified the token: those at hand, or those that the issuer has by now.
    async fn verified(&self, token: &Compact<'_>, keys: Arc<KeySet>) -> Result<Arc<KeySet>, Failure> {
        let verdict = match keys.judge(token) {
            Verdict::Verified => return Ok(keys),
            first @ (Verdict::UnknownKey | Verdict::NoMatch) => match self.keys.newer(&keys).await {
                None => first,
                Some(newer) => match newer.judge(token) {
                    Verdict::Verified => return Ok(newer),
                    second @ (Verdict::UnknownKey
                    | Verdict::NoMatch
                    | Verdict::ForeignAlgorithm
                    | Verdict::BadSignature) => second,
                },
            },
            other @ (Verdict::ForeignAlgorithm | Verdict::BadSignature) => other,
        };
        Err(match verdict {
            Verdict::UnknownKey => Failure::new(Code::TokenKeyUnknown, "the token's key is not known")
                .because(format!("kid {:?}, {}", token.key_id, token.algorithm.name())),
            Verdict::ForeignAlgorithm => Failure::new(Code::TokenAlgorithm, "the token's key is for another algorithm"),
            Verdict::BadSignature | Verdict::NoMatch | Verdict::Verified => {
                Failure::new(Code::TokenSignature, "the token's signature does not verify")
            }
        })
    }
}

#[async_trait]
impl Scheme for Jwt {
    async fn authenticate(&self, peer: &Arc<PeerIdentity>, presented: &Presented, now: Timestamp) -> Authentication {
        match presented {
            Presented::Nothing | Presented::Malformed => Authentication::NotRequested,
            Presented::Bearer(token) => match self.verify(peer, token.expose(), now).await {
                Ok(caller) => Authentication::Authenticated(caller),
                Err(failure) => Authentication::Failed(failure),
            },
        }
    }
}

/// HS256 goes with a secret and with nothing else: otherwise a public key could be taken for the secret.
fn algorithms(configured: &[JwtAlgorithm], symmetric: bool) -> Result<Vec<JwtAlgorithm>, Failure> {
    let fits = |algorithm: &JwtAlgorithm| (*algorithm == JwtAlgorithm::HS256) == symmetric;
    match configured {
        [] if symmetric => Ok(vec![JwtAlgorithm::HS256]),
        [] => Ok(JwtAlgorithm::PUBLIC.to_vec()),
        some if some.iter().all(fits) => Ok(some.to_vec()),
        _ if symmetric => Err(config("auth.jwt.algorithms: with secret it is HS256 alone")),
        _ => Err(config("auth.jwt.algorithms: HS256 needs secret")),
    }
}

fn config(text: &'static str) -> Failure {
    Failure::new(Code::Config, text)
}
