//! Teleport in front, with `config/teleport.yaml` as it stands: assertions and certificates have the shape of Teleport's.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use doorward::clock::Clock;
use doorward::config::Environment;
use doorward::daemon::{Daemon, Listeners, Source};
use doorward::pki::store::{self, Existing};
use doorward::pki::{Authority, KeyKind, Profile, PublicParts, Request, Signature, SigningKey};
use doorward::transport::Published;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::world::tokens::now;
use crate::world::wire::{self, Answer};

const DAY: Duration = Duration::from_secs(86_400);
const CLUSTER: &str = "teleport.example.com";
const AUDIENCE: &str = "mcp+https://mcp.example.com:8443/mcp";
const APPLICATION: &str = "spiffe://teleport.example.com/app/doorward";

/// A door with the configuration of the example, and the cluster's keys.
struct Cluster {
    directory: TempDir,
    port: u16,
    rsa: SigningKey,
    ec: SigningKey,
    clients: CertifiedIssuer<'static, KeyPair>,
    _daemon: Daemon,
    _keys: Published,
}

impl Cluster {
    async fn open() -> Self {
        doorward::transport::tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let (rsa, ec) = [KeyKind::Rsa, KeyKind::P256].map(|kind| SigningKey::generate(kind).unwrap()).into();
        let clock = Clock::system();
        let profile = Profile { common_name: "Test CA".to_owned(), lifetime: DAY * 2 };
        let authority = Authority::create(&root.join("ca"), &profile, &clock).unwrap();
        let server = authority.issue(&Request::server(&["localhost"], DAY), &clock).unwrap();
        server.write(&root.join("server"), Existing::Keep).unwrap();
        let clients = applications();
        fs::write(root.join("client-ca.crt"), clients.pem()).unwrap();

        let keys_listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let keys_port = keys_listener.local_addr().unwrap().port();
        let documents =
            BTreeMap::from([("/.well-known/jwks.json".to_owned(), json!({ "keys": [jwk(&rsa), jwk(&ec)] }))]);
        let keys =
            Published::start(keys_listener, &root.join("server.crt"), &root.join("server.key"), documents).unwrap();
        let main = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = main.local_addr().unwrap().port();
        let path = root.join("doorward.yaml");
        fs::write(&path, here(root, port, keys_port)).unwrap();
        let source = Source { path: Some(path), environment: Environment::default() };
        let daemon = match Daemon::start(source, clock, Listeners { main: Some(main), ..Listeners::default() }).await {
            Ok(daemon) => daemon,
            Err(failure) => panic!("{failure}: {:?}", failure.cause()),
        };
        daemon.ready(Duration::from_secs(10)).await.unwrap();
        let cluster = Self { directory, port, rsa, ec, clients, _daemon: daemon, _keys: keys };
        cluster.certify("alice", &["alice"], &[APPLICATION], 240);
        cluster
    }

    /// A certificate as the application service makes one: user in the common name, application in the SPIFFE id, both
    /// uses, from a minute ago for `seconds` more.
    fn certify(&self, file: &str, users: &[&str], uris: &[&str], seconds: i64) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        users.iter().for_each(|user| params.distinguished_name.push(DnType::CommonName, *user));
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyAgreement];
        params.not_before = OffsetDateTime::from_unix_timestamp(now() - 60).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(now() + seconds).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.clients).unwrap();
        let root = self.directory.path();
        fs::write(root.join(format!("{file}.crt")), certificate.pem()).unwrap();
        let path = root.join(format!("{file}.key"));
        store::write_private(&path, key.serialize_pem().as_bytes(), Existing::Keep).unwrap();
    }

    /// One request with the certificate `file` and these headers.
    async fn ask(&self, file: &str, headers: &str) -> Answer {
        let body = wire::call("get_uptime", json!({})).to_string();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost:{}\r\n{headers}Content-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        let mut stream = wire::connect(self.directory.path(), self.port, Some(file)).await.unwrap();
        wire::exchange(&mut stream, request.as_bytes()).await.unwrap()
    }

    async fn present(&self, file: &str, assertion: &str) -> Answer {
        self.ask(file, &format!("Authorization: Bearer {assertion}\r\n")).await
    }

    /// The status and the reason of a refusal.
    async fn refused(&self, file: &str, assertion: &str) -> (u16, String) {
        let answer = self.present(file, assertion).await;
        (answer.status, answer.reason().unwrap_or_default())
    }
}

/// The authority that signs certificates for applications to reach their back ends with.
fn applications() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::OrganizationName, CLUSTER);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The example for this machine: nothing but places is changed.
fn here(root: &Path, port: u16, keys_port: u16) -> String {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/teleport.yaml")).unwrap();
    let root = root.display().to_string();
    let mut text = example;
    for (from, to) in [
        ("bind: 0.0.0.0:8443", &*format!("bind: 127.0.0.1:{port}")),
        ("allowed_hosts: [mcp.example.com]", "allowed_hosts: [localhost]"),
        (
            "jwks_uri: https://teleport.example.com/",
            &format!("jwks_ca: {root}/ca/ca.crt\n    jwks_uri: https://localhost:{keys_port}/"),
        ),
        ("audit:\n", "metrics: {enabled: false}\naudit:\n"),
        ("/etc/doorward", &root),
        ("/var/log/doorward", &root),
    ] {
        assert!(text.contains(from), "config/teleport.yaml no longer says {from}");
        text = text.replace(from, to);
    }
    text
}

/// A published key: no `kid`.
fn jwk(key: &SigningKey) -> Value {
    match key.public_parts().unwrap() {
        PublicParts::Rsa { n, e } => {
            json!({ "kty": "RSA", "alg": "RS256", "n": B64.encode(n), "e": B64.encode(e), "use": "sig" })
        }
        PublicParts::Ec { x, y } => {
            json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": B64.encode(x), "y": B64.encode(y), "use": "sig" })
        }
        PublicParts::Ed25519(_) => panic!("not a key of this cluster"),
    }
}

/// What Teleport says of `user` for `life` seconds.
fn claims(user: &str, life: i64) -> Value {
    let at = now();
    json!({
        "iss": CLUSTER,
        "aud": [AUDIENCE],
        "sub": user,
        "iat": at,
        "nbf": at - 10,
        "exp": at + life,
        "username": user,
        "roles": ["access", "mcp-operator"],
        "traits": { "logins": [user], "kubernetes_groups": null },
    })
}

fn sign(key: &SigningKey, claims: &Value) -> String {
    let (algorithm, how) = match key.kind() {
        KeyKind::Rsa => ("RS256", Signature::RsaPkcs1),
        _ => ("ES256", Signature::Plain),
    };
    let header = json!({ "alg": algorithm, "typ": "JWT" });
    let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    format!("{input}.{}", B64.encode(key.sign(how, input.as_bytes()).unwrap()))
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_behind_teleport_is_let_in_for_the_life_of_the_assertion() {
    let cluster = Cluster::open().await;
    for key in [&cluster.rsa, &cluster.ec] {
        let assertion = sign(key, &claims("alice", 600));
        for _ in 0..3 {
            let answer = cluster.present("alice", &assertion).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["result"]["isError"], false, "{answer:?}");
        }
        // The application service renews its certificate more often than the assertion.
        let renewed = format!("alice-{:?}", key.kind());
        cluster.certify(&renewed, &["alice"], &[APPLICATION], 240);
        assert_eq!(cluster.present(&renewed, &assertion).await.status, 200);
    }
    let audit = fs::read_to_string(cluster.directory.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""alice""#) && !audit.contains("eyJ"), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_s_spiffe_id_alone_opens_nothing() {
    let cluster = Cluster::open().await;
    let alice = sign(&cluster.rsa, &claims("alice", 600));
    assert_eq!(cluster.ask("alice", "").await.reason().as_deref(), Some("token_missing"));
    // Where Teleport puts it by default it counts for nothing.
    let elsewhere = cluster.ask("alice", &format!("Teleport-Jwt-Assertion: {alice}\r\n")).await;
    assert_eq!(elsewhere.reason().as_deref(), Some("token_missing"));

    cluster.certify("bob", &["bob"], &[APPLICATION], 240);
    assert_eq!(cluster.refused("bob", &alice).await, (401, "token_binding".to_owned()));
    cluster.certify("both", &["alice", "bob"], &[APPLICATION], 240);
    assert_eq!(cluster.refused("both", &alice).await, (401, "token_binding".to_owned()));
    assert_eq!(cluster.present("bob", &sign(&cluster.rsa, &claims("bob", 600))).await.status, 200);
    assert_eq!(cluster.present("alice", &alice).await.status, 200, "what another could not use is still good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_application_does_not_open_this_one() {
    let cluster = Cluster::open().await;
    let alice = sign(&cluster.ec, &claims("alice", 600));
    for (file, uris) in [
        ("other", &["spiffe://teleport.example.com/app/doorward2"][..]),
        ("foreign", &["spiffe://leaf.example.com/app/doorward"]),
        ("nameless", &[]),
    ] {
        cluster.certify(file, &["alice"], uris, 240);
        assert_eq!(cluster.refused(file, &alice).await, (403, "subject_not_allowed".to_owned()), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_for_anything_else_is_refused() {
    let cluster = Cluster::open().await;
    let alice = || claims("alice", 600);
    let stranger = SigningKey::generate(KeyKind::P256).unwrap();
    for (assertion, reason) in [
        (sign(&cluster.rsa, &with(alice(), "aud", json!(["mcp+https://other.example.com/mcp"]))), "token_audience"),
        (sign(&cluster.rsa, &with(alice(), "aud", json!(["https://mcp.example.com:8443/mcp"]))), "token_audience"),
        (sign(&cluster.rsa, &with(alice(), "iss", json!("https://teleport.example.com"))), "token_issuer"),
        (sign(&cluster.rsa, &with(alice(), "iss", json!("leaf.example.com"))), "token_issuer"),
        (sign(&cluster.rsa, &claims("alice", 601)), "token_lifetime"),
        (sign(&cluster.rsa, &claims("alice", -11)), "token_expired"),
        (sign(&stranger, &alice()), "token_signature"),
    ] {
        assert_eq!(cluster.refused("alice", &assertion).await, (401, reason.to_owned()));
    }
    let unmapped = sign(&cluster.rsa, &with(alice(), "roles", json!(["access"])));
    assert_eq!(cluster.present("alice", &unmapped).await.status, 403);
}
