//! An issuer changes its keys while tokens of both are under way: none of them is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::fetch::Fetch;
use super::forge::{self, Signer};
use super::pace::Pace;
use super::*;
use crate::clock::Clock;
use crate::cluster::{Cluster, Memory};

const NOW: i64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);

/// An issuer, and a scheme that fetches its keys.
struct World {
    published: Arc<Mutex<Vec<Value>>>,
    fetches: Arc<AtomicUsize>,
    tokens: AtomicUsize,
    clock: Clock,
    jwks: Arc<Jwks>,
    scheme: Jwt,
}

impl World {
    async fn publishing(keys: Vec<Value>) -> Self {
        let (published, fetches) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let clock = Clock::manual(Timestamp::from_seconds(NOW));
        let fetch: Fetch = {
            let (published, fetches) = (Arc::clone(&published), Arc::clone(&fetches));
            Box::new(move || {
                fetches.fetch_add(1, Ordering::SeqCst);
                let keys = published.lock().unwrap().clone();
                Box::pin(async move { Ok(json!({ "keys": keys }).to_string().into_bytes()) })
            })
        };
        let patience = Duration::from_secs(5);
        let pace = Pace { interval: HOUR, min_refresh: HOUR, max_stale: HOUR, first_retry: HOUR, patience };
        let jwks = Jwks::run("https://issuer".to_owned(), pace, fetch, clock.clone(), None).unwrap();
        let jwt = JwtSection {
            issuer: Some("https://issuer".to_owned()),
            audience: Some("door".to_owned()),
            ..JwtSection::default()
        };
        let section = AuthSection { jwt, ..AuthSection::default() };
        let cluster = Arc::new(Cluster::Memory(Memory::new(100)));
        let scheme = Jwt::new(&section, KeySource::Jwks(Arc::clone(&jwks)), cluster).unwrap();
        while jwks.current().is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { published, fetches, tokens: AtomicUsize::new(0), clock, jwks, scheme }
    }

    fn publish(&self, keys: Vec<Value>) {
        *self.published.lock().unwrap() = keys;
    }

    /// What becomes of a new token.
    async fn present(&self, signer: &Signer, id: Option<&str>) -> Result<(), Code> {
        let number = self.tokens.fetch_add(1, Ordering::SeqCst).to_string();
        let claims = json!({
            "iss": "https://issuer", "aud": "door", "sub": "alice", "jti": number, "iat": NOW, "exp": NOW.saturating_add(60)
        });
        let token = signer.sign(&forge::header(signer, id), &claims);
        let caller = self.scheme.verify(&forge::peer(), &token, Timestamp::from_seconds(NOW)).await;
        caller.map(|_| ()).map_err(|failure| failure.code())
    }
}

#[tokio::test]
async fn an_overlapping_rotation_loses_no_token() {
    let (old, new) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::EdDSA));
    let world = World::publishing(vec![old.jwk(Some("old"))]).await;
    assert_eq!(world.present(&old, Some("old")).await, Ok(()));
    world.publish(vec![old.jwk(Some("old")), new.jwk(Some("new"))]);
    assert_eq!(world.present(&old, Some("old")).await, Ok(()));
    assert_eq!(world.present(&new, Some("new")).await, Ok(()), "the new key is fetched for it");
    assert_eq!(world.present(&old, Some("old")).await, Ok(()));
    assert_eq!(world.fetches.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_rotation_of_keys_without_names_loses_no_token_either() {
    let (old, new) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::ES256));
    let world = World::publishing(vec![old.jwk(None)]).await;
    assert_eq!(world.present(&old, None).await, Ok(()));
    world.publish(vec![old.jwk(None), new.jwk(None)]);
    assert_eq!(world.present(&new, None).await, Ok(()));
    assert_eq!(world.present(&old, None).await, Ok(()));
}

#[tokio::test]
async fn a_key_that_the_issuer_took_back_is_not_used_after_the_next_fetch() {
    let (old, new) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::ES256));
    let world = World::publishing(vec![old.jwk(Some("old"))]).await;
    world.publish(vec![new.jwk(Some("new"))]);
    assert_eq!(world.present(&new, Some("new")).await, Ok(()));
    assert_eq!(world.present(&old, Some("old")).await, Err(Code::TokenKeyUnknown));
}

#[tokio::test]
async fn forged_tokens_cannot_make_the_door_ask_more_often() {
    let (old, forger) = (Signer::new(JwtAlgorithm::ES256), Signer::new(JwtAlgorithm::ES256));
    let world = World::publishing(vec![old.jwk(None)]).await;
    for id in [None, Some("a"), Some("b"), Some("c")] {
        assert_eq!(world.present(&forger, id).await, Err(Code::TokenSignature));
    }
    assert_eq!(world.fetches.load(Ordering::SeqCst), 2);
    world.clock.advance(HOUR);
    assert_eq!(world.present(&forger, None).await, Err(Code::TokenSignature));
    assert_eq!(world.fetches.load(Ordering::SeqCst), 3);
    assert!(world.jwks.current().is_ok());
}
