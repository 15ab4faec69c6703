//! The source as a whole, with an authorization server that is a function.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::clock::Timestamp;
use crate::pki::{KeyKind, SigningKey};

const ISSUER: &str = "https://as.example";
const TOKEN: &str = "https://as.example/token";
const NOW: i64 = 1_800_000_000;

/// What was asked, and what is answered.
#[derive(Default)]
struct Fake {
    got: Mutex<Vec<String>>,
    forms: Mutex<Vec<(String, BTreeMap<String, String>)>>,
    metadata: Mutex<BTreeMap<String, Value>>,
    refusal: Mutex<Option<(u16, Value)>>,
    tokens: AtomicU64,
}

#[async_trait]
impl Web for Arc<Fake> {
    async fn get(&self, url: &str) -> Result<Vec<u8>, Failure> {
        self.got.lock().unwrap().push(url.to_owned());
        let found = self.metadata.lock().unwrap().get(url).map(|document| document.to_string().into_bytes());
        found.ok_or_else(|| Failure::new(Code::Upstream, "the remote party did not answer 200"))
    }

    async fn submit(&self, url: &str, form: Form<'_>) -> Result<(StatusCode, Vec<u8>), Failure> {
        self.forms.lock().unwrap().push((url.to_owned(), form::read(&form()?)));
        tokio::task::yield_now().await;
        let refusal = self.refusal.lock().unwrap().clone();
        let count = self.tokens.fetch_add(1, Ordering::Relaxed);
        let granted = || json!({ "access_token": format!("t{count}"), "token_type": "Bearer", "expires_in": 100 });
        let (status, body) = refusal.unwrap_or_else(|| (200, granted()));
        Ok((StatusCode::from_u16(status).unwrap(), body.to_string().into_bytes()))
    }
}

fn client() -> Client {
    Client {
        id: "agent".to_owned(),
        server: Server::Issuer(ISSUER.to_owned()),
        proof: Proof::Certificate,
        resource: Some("https://door.example/mcp".to_owned()),
        scopes: vec!["core".to_owned(), "logs".to_owned()],
        reuse: false,
    }
}

fn key() -> Proof {
    Proof::Key(Box::new(Minter::new(SigningKey::generate(KeyKind::P256).unwrap(), None).unwrap()))
}

fn world(client: Client) -> (ClientCredentials, Arc<Fake>, Clock) {
    let fake = Arc::new(Fake::default());
    let document = json!({ "issuer": ISSUER, "token_endpoint": TOKEN });
    fake.metadata.lock().unwrap().insert(format!("{ISSUER}/.well-known/openid-configuration"), document);
    let clock = Clock::manual(Timestamp::from_seconds(NOW));
    (ClientCredentials::new(client, Arc::clone(&fake), clock.clone()), fake, clock)
}

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn each_request_has_a_token_of_its_own_and_the_server_is_looked_up_once() {
    let (source, fake, _) = world(client());
    for expected in ["t0", "t1", "t2"] {
        assert_eq!(source.next().await.unwrap().expose(), expected);
    }
    let looked = ["oauth-authorization-server", "openid-configuration"];
    assert_eq!(*fake.got.lock().unwrap(), looked.map(|known| format!("{ISSUER}/.well-known/{known}")));
    let form: BTreeMap<_, _> = [
        ("grant_type", "client_credentials"),
        ("client_id", "agent"),
        ("scope", "core logs"),
        ("resource", "https://door.example/mcp"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    assert_eq!(fake.forms.lock().unwrap()[0], (TOKEN.to_owned(), form));
}

#[tokio::test]
async fn an_assertion_is_for_the_issuer_short_and_never_the_same() {
    let (source, fake, _) = world(Client { proof: key(), ..client() });
    source.next().await.unwrap();
    source.next().await.unwrap();
    let forms = fake.forms.lock().unwrap();
    let assertions: Vec<_> = forms.iter().map(|(_, form)| &form["client_assertion"]).collect();
    assert!(forms[0].1["client_assertion_type"].ends_with(":jwt-bearer"));
    let (header, mut claims) = (part(assertions[0], 0), part(assertions[0], 1));
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    assert!(claims["jti"].take().as_str().is_some_and(|id| id.len() == 22));
    let expected = json!({ "iss": "agent", "sub": "agent", "aud": ISSUER, "iat": NOW, "exp": NOW.saturating_add(60), "jti": null });
    assert_eq!(claims, expected);
    assert_ne!(part(assertions[0], 1)["jti"], part(assertions[1], 1)["jti"]);
}

#[tokio::test]
async fn a_token_endpoint_that_was_named_is_not_looked_up_and_is_the_audience_unless_the_issuer_is_known() {
    for (issuer, audience) in [(None, "https://as.example/t"), (Some(ISSUER.to_owned()), ISSUER)] {
        let server = Server::Endpoint { url: "https://as.example/t".to_owned(), issuer };
        let (source, fake, _) = world(Client { server, proof: key(), ..client() });
        source.next().await.unwrap();
        assert!(fake.got.lock().unwrap().is_empty());
        let (url, form) = &fake.forms.lock().unwrap()[0];
        assert_eq!(
            (url.as_str(), &part(&form["client_assertion"], 1)["aud"]),
            ("https://as.example/t", &json!(audience))
        );
    }
}

#[tokio::test]
async fn a_token_that_may_be_used_again_is_asked_for_once_until_shortly_before_its_end() {
    let (source, fake, clock) = world(Client { reuse: true, ..client() });
    let next = || async { source.next().await.unwrap().expose().clone() };
    let (one, two, three) = tokio::join!(next(), next(), next());
    assert_eq!([&*one, &*two, &*three], ["t0"; 3]);
    clock.advance(Duration::from_secs(74));
    assert_eq!(next().await, "t0");
    clock.advance(Duration::from_secs(1));
    assert_eq!(next().await, "t1");
    source.forget();
    assert_eq!(next().await, "t2");
    assert_eq!(fake.forms.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_passed_on_and_the_server_is_looked_up_again_when_it_is_in_trouble() {
    let (source, fake, _) = world(client());
    *fake.refusal.lock().unwrap() = Some((401, json!({ "error": "invalid_client" })));
    assert_eq!(source.next().await.unwrap_err().code(), Code::TokenMissing);
    assert_eq!(source.next().await.unwrap_err().code(), Code::TokenMissing);
    assert_eq!(fake.got.lock().unwrap().len(), 2, "it is where it was");
    *fake.refusal.lock().unwrap() = Some((404, json!({})));
    assert_eq!(source.next().await.unwrap_err().code(), Code::Upstream);
    *fake.refusal.lock().unwrap() = None;
    source.next().await.unwrap();
    assert_eq!(fake.got.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn without_metadata_there_is_no_token_and_every_place_is_named_for_the_operator() {
    let (source, fake, _) = world(client());
    fake.metadata.lock().unwrap().clear();
    let failure = source.next().await.unwrap_err();
    assert_eq!(failure.code(), Code::Upstream);
    let cause = failure.cause().unwrap();
    assert!(
        cause.contains("oauth-authorization-server: the remote") && cause.contains("openid-configuration"),
        "{cause}"
    );
    assert!(fake.forms.lock().unwrap().is_empty());
}

#[test]
fn only_https_addresses_are_taken() {
    assert_eq!(issuer("https://as.example/").unwrap(), "https://as.example/");
    assert_eq!(https("https://as.example/t?x=1").unwrap(), "https://as.example/t?x=1");
    for text in ["http://as.example", "as.example", "https://", "https://u@h", "https://h/#x", "https://h/?x", ""] {
        assert!(issuer(text).is_err(), "{text}");
    }
}
