//! `doorward connect` and an authorization server: client credentials by key and by certificate, over real TLS, to a door
//! that wants tokens bound to the certificate.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use doorward::identity::Thumbprint;
use doorward::pki::store;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::world::{Choice, ISSUER, World, tokens, wire};

/// An authorization server that grants a token to whoever shows a certificate, bound to that; it keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

/// How it treats who asks it.
#[derive(Clone)]
enum Manner {
    Grants,
    /// With this error.
    Refuses(Value),
    /// It grants, but ends each connection when the second request has come over it.
    Leaves,
}

impl Server {
    async fn open(world: &Arc<World>, manner: Manner) -> Self {
        let root = store::authorities(&world.path("ca/ca.crt")).unwrap();
        let provider = doorward::transport::tls::provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(root), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let chain = store::certificates(&world.path("server.crt")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, store::private_key(&world.path("server.key")).unwrap())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, world) = (asked.clone(), world.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, kept, world, manner) = (acceptor.clone(), kept.clone(), world.clone(), manner.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().map(|chain| Thumbprint::of(&chain[0]));
                    let mut before = 0;
                    while let Some((target, body)) = request(&mut stream).await {
                        kept.lock().unwrap().push(format!("{target} {body}"));
                        if before > 0 && matches!(manner, Manner::Leaves) {
                            let _ = stream.shutdown().await;
                            return;
                        }
                        before += 1;
                        let (status, answer) = answer(&world, port, &target, shown, &manner);
                        let text = answer.to_string();
                        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", text.len());
                        if stream.write_all(format!("{head}{text}").as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, asked }
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The forms that came in.
    fn forms(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter_map(|asked| asked.strip_prefix("POST /token ")).map(str::to_owned).collect()
    }
}

async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    if length > 0 {
        assert!(head.contains("content-type: application/x-www-form-urlencoded"), "{head}");
    }
    let target = head.lines().next().unwrap().trim_end_matches(" http/1.1");
    let (method, path) = target.split_once(' ').unwrap();
    Some((format!("{} {path}", method.to_ascii_uppercase()), String::from_utf8(body).unwrap()))
}

fn answer(world: &World, port: u16, target: &str, shown: Option<Thumbprint>, manner: &Manner) -> (u16, Value) {
    let issuer = format!("https://localhost:{port}");
    match (target, shown, manner) {
        ("GET /.well-known/oauth-authorization-server", ..) => {
            (200, json!({ "issuer": issuer, "token_endpoint": format!("{issuer}/token") }))
        }
        ("POST /token", _, Manner::Refuses(error)) => (401, error.clone()),
        ("POST /token", Some(shown), _) => {
            let mut claims = tokens::claims(ISSUER, &world.audience(), &["core"], tokens::now());
            claims["cnf"] = json!({ "x5t#S256": shown.base64url() });
            let token = world.signer.sign(&claims);
            (200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": 60 }))
        }
        _ => (404, json!({})),
    }
}

fn assertion(form: &str) -> &str {
    form.rsplit_once("&client_assertion=").unwrap().1
}

fn part(assertion: &str, index: usize) -> Value {
    serde_json::from_slice(&B64.decode(assertion.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

async fn world() -> Arc<World> {
    Arc::new(World::with(Choice { jwt: "    require_cert_binding: true".to_owned(), ..Choice::default() }).await)
}

/// What the bridge answers and what it complains about.
async fn bridge(world: &World, server: &Server, more: &[&str]) -> (Vec<Value>, String) {
    let path = |name: &str| world.path(name).display().to_string();
    let (authority, issuer) = (path("ca/ca.crt"), server.issuer());
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["connect", &world.url(), "--ca", &authority, "--cert", &path("good.crt"), "--key", &path("good.key")])
        .args(["--oauth-client-id", "agent", "--oauth-issuer", &issuer, "--oauth-ca", &authority])
        .args(["--oauth-scope", "core"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } } });
    let mut input = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut answers = Vec::new();
    for message in [initialize, wire::call("get_uptime", json!({}))] {
        input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        let line = timeout(Duration::from_secs(15), lines.next_line()).await.unwrap().unwrap().unwrap();
        answers.push(serde_json::from_str(&line).unwrap());
    }
    drop(input);
    let ended = timeout(Duration::from_secs(15), child.wait_with_output()).await.unwrap().unwrap();
    assert!(ended.status.success());
    (answers, String::from_utf8(ended.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_known_by_its_certificate_gets_a_new_bound_token_for_each_request() {
    let world = world().await;
    let server = Server::open(&world, Manner::Grants).await;
    let (answers, complaints) = bridge(&world, &server, &[]).await;
    assert_eq!(answers[1]["result"]["isError"], false, "{answers:?} {complaints}");
    let resource = world.audience().replace(':', "%3A").replace('/', "%2F");
    let form = format!("grant_type=client_credentials&client_id=agent&scope=core&resource={resource}");
    assert_eq!(server.forms(), [form.clone(), form]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_key_signs_who_it_is_each_time_anew() {
    let world = world().await;
    let server = Server::open(&world, Manner::Grants).await;
    let key = world.path("second.key").display().to_string();
    let (answers, complaints) =
        bridge(&world, &server, &["--oauth-client-key", &key, "--oauth-client-kid", "k1"]).await;
    assert_eq!(answers[1]["result"]["isError"], false, "{answers:?} {complaints}");
    let forms = server.forms();
    let (one, two) = (assertion(&forms[0]), assertion(&forms[1]));
    assert_eq!((&part(one, 0)["kid"], &part(one, 1)["aud"]), (&json!("k1"), &json!(server.issuer())));
    assert_ne!(part(one, 1)["jti"], part(two, 1)["jti"]);
    assert!(part(one, 1)["exp"].as_i64().unwrap() - tokens::now() <= 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_the_client_with_advice_and_without_a_secret() {
    let world = world().await;
    let error = json!({ "error": "invalid_client", "error_description": "no \u{1b}[31m eyJhbGciOiJFUzI1NiJ9.e30.AA" });
    let server = Server::open(&world, Manner::Refuses(error)).await;
    let key = world.path("second.key").display().to_string();
    let (answers, complaints) = bridge(&world, &server, &["--oauth-client-key", &key]).await;
    let message = answers[1]["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("no token: the authorization server refused (invalid_client): no "), "{message}");
    assert!(message.contains("--oauth-client-key"), "{message}");
    for said in [message, &complaints] {
        assert!(!said.contains("eyJ") && !said.contains('\u{1b}'), "{said}");
    }
    assert_eq!(server.forms().len(), 2, "a refusal is not tried again by itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_the_server_ends_costs_no_call() {
    let world = world().await;
    let server = Server::open(&world, Manner::Leaves).await;
    let key = world.path("second.key").display().to_string();
    let (answers, complaints) = bridge(&world, &server, &["--oauth-client-key", &key]).await;
    assert_eq!(answers[1]["result"]["isError"], false, "{answers:?} {complaints}");
    // Metadata and the first form went over one connection; the form was sent again over another, which is not kept.
    let forms = server.forms();
    let words: HashSet<_> = forms.iter().map(|form| part(assertion(form), 1)["jti"].to_string()).collect();
    assert_eq!((forms.len(), words.len()), (3, 3), "each form has a word of its own");
}
