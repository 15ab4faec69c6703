//! Properties that hold for every input, tried with generated ones against the running door: nobody gets in by a token
//! that is not good, no page calls from an origin that is not listed, nothing is answered without TLS, and the allowlist
//! agrees with a second implementation of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use doorward::identity::{Allowlist, SubjectPattern};
use doorward::pki;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_rustls::client::TlsStream;

use crate::world::tokens::now;
use crate::world::{ISSUER, World, wire};

const SCOPES: &[&str] = &["core"];

/// A door and one connection to it, made anew when the door closes it.
struct Knocker {
    runtime: Runtime,
    world: World,
    stream: RefCell<Option<TlsStream<TcpStream>>>,
}

impl Knocker {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let world = runtime.block_on(World::open());
        Self { runtime, world, stream: RefCell::new(None) }
    }

    fn knock(&self, bytes: &[u8]) -> wire::Answer {
        let Self { runtime, world, stream } = self;
        let mut stream = stream.borrow_mut();
        runtime.block_on(async {
            for _ in 0..3 {
                if stream.is_none() {
                    *stream = Some(wire::connect(&world.path(""), world.port, Some("good")).await.unwrap());
                }
                match wire::exchange(stream.as_mut().unwrap(), bytes).await {
                    Ok(answer) => {
                        if answer.header("connection") == Some("close") || answer.status == 400 {
                            *stream = None;
                        }
                        return answer;
                    }
                    Err(_) => *stream = None,
                }
            }
            panic!("the door does not answer")
        })
    }

    fn status_with_token(&self, token: &str) -> u16 {
        let bytes = wire::post(self.world.port, token, &wire::call("get_uptime", json!({})));
        self.knock(&bytes).status
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Seed property 20. A header value can hold visible ASCII only; anything else never reaches the door.
#[test]
fn only_a_good_token_gets_in() {
    let knocker = Knocker::new();
    let good = knocker.world.token(SCOPES);
    let dots: Vec<usize> = good.match_indices('.').map(|(at, _)| at).collect();
    let anything = "[!-~]{1,100}".prop_map(Some);
    let tampered = (0..good.len(), prop::sample::select(b"ABCabc019-_.=".to_vec()), any::<bool>()).prop_map({
        let good = good.clone();
        move |(at, byte, insert)| {
            let mut bytes = good.clone().into_bytes();
            if insert {
                bytes.insert(at, byte);
            } else {
                bytes[at] = byte;
            }
            // A change that changes nothing is not a change.
            (bytes != good.as_bytes()).then(|| String::from_utf8(bytes).unwrap())
        }
    });
    let cut = (1..good.len()).prop_map({
        let good = good.clone();
        move |at| Some(good[..at].to_owned())
    });
    let mixed = prop::sample::select(dots).prop_map({
        let good = good.clone();
        let other = knocker.world.token(&["clock"]);
        move |dot| Some(format!("{}{}", &good[..dot], &other[other.match_indices('.').nth(1).unwrap().0..]))
    });
    let wrong = prop_oneof![anything, tampered, cut, mixed];
    runner(400)
        .run(&wrong, |token| {
            if let Some(token) = token {
                let status = knocker.status_with_token(&token);
                prop_assert_eq!(status, 401, "{}", token);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(knocker.status_with_token(&good), 200);
    assert_eq!(knocker.status_with_token(&good), 401);
}

/// What a claims set must be like, written down a second time and as plainly as possible.
fn reference_accepts(claims: &Value, audience: &str, at: i64) -> bool {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let number = |name: &str| claims.get(name).and_then(Value::as_f64).filter(|n| *n >= 0.0 && *n < 1e12);
    let audiences = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) if many.iter().all(Value::is_string) => {
            many.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => return false,
    };
    let (Some(expires), Some(issued)) = (number("exp"), number("iat")) else { return false };
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "seconds of this century")]
    let at = at as f64;
    // A second of grace on either side, for the test and the door do not look at the clock together.
    claims.get("iss") == Some(&json!(ISSUER))
        && audiences.iter().any(|one| one == audience)
        && text("sub")
        && text("jti")
        && expires + 31.0 > at
        && issued <= at + 31.0
        && expires - issued <= 300.0
        && expires - at <= 331.0
        && claims.get("nbf").is_none_or(|nbf| nbf.as_f64().is_some_and(|nbf| nbf <= at + 31.0))
}

#[test]
fn the_claims_reader_accepts_nothing_that_a_strict_reference_refuses() {
    let knocker = Knocker::new();
    let audience = knocker.world.audience();
    let odd = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!(true)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| json!(n)),
        (-400i64..400).prop_map(|offset| json!(now() + offset)),
        "[ -~]{0,12}".prop_map(|text| json!(text)),
        prop::collection::vec("[ -~]{0,8}", 0..3).prop_map(|texts| json!(texts)),
        Just(json!(audience)),
        Just(json!([audience, "x"])),
        Just(json!([audience, 1])),
        Just(json!(ISSUER)),
    ];
    let names = prop::sample::select(vec!["iss", "aud", "sub", "exp", "iat", "nbf", "jti"]);
    let changes = prop::collection::vec((names, odd, any::<bool>()), 0..3);
    let (accepted, refused) = (Cell::new(0), Cell::new(0));
    runner(600)
        .run(&changes, |changes| {
            let mut claims = knocker.world.claims(SCOPES);
            let fresh = claims["jti"].clone();
            for (name, value, remove) in changes {
                let members = claims.as_object_mut().unwrap();
                if remove {
                    members.remove(name);
                } else if name != "jti" || !value.is_string() {
                    members.insert(name.to_owned(), value);
                } else {
                    // Two cases must not meet by the same id.
                    members.insert(name.to_owned(), json!(format!("{}{}", fresh.as_str().unwrap(), value)));
                }
            }
            let token = knocker.world.signer.sign(&claims);
            match knocker.status_with_token(&token) {
                200 => {
                    accepted.set(accepted.get() + 1);
                    prop_assert!(reference_accepts(&claims, &audience, now()), "{}", claims);
                }
                status => {
                    refused.set(refused.get() + 1);
                    prop_assert_eq!(status, 401, "{}", claims);
                }
            }
            Ok(())
        })
        .unwrap();
    let (accepted, refused) = (accepted.get(), refused.get());
    assert!(accepted > 20 && refused > 100, "the generator is one-sided: {accepted} accepted, {refused} refused");
}

/// Seed property 21.
#[test]
fn no_origin_gets_an_answer_that_is_not_listed() {
    let knocker = Knocker::new();
    let listed = "https://app.example";
    let origin = prop_oneof![
        1 => Just(listed.to_owned()),
        6 => "[!-~]{1,60}",
        4 => "(https?|ftp|file|null)://[a-z.]{1,12}app\\.example(:[0-9]{1,5})?",
        2 => "https://app\\.example[:/.@#?][ -~]{0,8}".prop_map(|text| text.trim_end().to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("HTTPS://APP.EXAMPLE".to_owned()),
    ];
    runner(300)
        .run(&origin, |origin| {
            let port = knocker.world.port;
            let preflight = format!(
                "OPTIONS /mcp HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\nContent-Length: 0\r\n\r\n"
            );
            let answer = knocker.knock(preflight.as_bytes());
            let allowed = answer.header("access-control-allow-origin");
            if origin.eq_ignore_ascii_case(listed) {
                prop_assert_eq!(answer.status, 204);
                prop_assert_eq!(allowed, Some(&*origin));
            } else {
                prop_assert_eq!(answer.status, 403, "{}", origin);
                prop_assert_eq!(allowed, None);
            }
            prop_assert_eq!(answer.header("access-control-allow-credentials"), None);
            Ok(())
        })
        .unwrap();
}

/// Seed property 22.
#[test]
fn nothing_is_answered_without_tls() {
    let knocker = Knocker::new();
    let plain = prop_oneof![
        "(GET|POST|OPTIONS) /(mcp|health|ready|metrics|) HTTP/1\\.[01]\r\nHost: localhost\r\n\r\n"
            .prop_map(String::into_bytes),
        Just(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 1..200),
    ];
    runner(100)
        .run(&plain, |bytes| {
            let said = knocker.runtime.block_on(async {
                let mut tcp = TcpStream::connect(("127.0.0.1", knocker.world.port)).await.unwrap();
                tcp.write_all(&bytes).await.unwrap();
                // The door may wait for the rest of a record; what it must not do is speak HTTP.
                tcp.shutdown().await.unwrap();
                let mut said = Vec::new();
                let _ = tcp.read_to_end(&mut said).await;
                said
            });
            // A TLS alert is a record of type 21; everything else would be an answer.
            prop_assert!(said.first().is_none_or(|kind| *kind == 21), "{:?}", said);
            Ok(())
        })
        .unwrap();
}

/// A generated subject: attribute and value, least specific first as in a certificate.
type Subject = Vec<(usize, String)>;

const ATTRIBUTES: [(&str, DnType); 4] = [
    ("CN", DnType::CommonName),
    ("O", DnType::OrganizationName),
    ("OU", DnType::OrganizationalUnitName),
    ("L", DnType::LocalityName),
];

/// The second implementation: works on what was generated, never on a certificate or a parsed name.
fn reference_admits(entry: &Entry, subject: &Subject, dns: &BTreeSet<String>, uris: &BTreeSet<String>) -> bool {
    match entry {
        Entry::Subject(wanted) => match wanted.as_slice() {
            [(0, only)] => {
                let names: Vec<_> = subject.iter().filter(|(attribute, _)| *attribute == 0).collect();
                names.len() == 1 && names[0].1 == *only
            }
            wanted => wanted == subject,
        },
        Entry::Dns(name) => dns.iter().any(|listed| listed.eq_ignore_ascii_case(name)),
        // All of them are SPIFFE ids, and a certificate has one or none.
        Entry::Uri(uri) => uris.len() == 1 && uris.contains(uri),
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Subject(Subject),
    Dns(String),
    Uri(String),
}

impl Entry {
    fn text(&self) -> String {
        match self {
            Self::Subject(parts) => {
                let escape = |value: &str| value.replace('\\', "\\\\").replace(',', "\\,").replace('+', "\\+");
                let parts = parts.iter().rev().map(|(at, value)| format!("{}={}", ATTRIBUTES[*at].0, escape(value)));
                parts.collect::<Vec<_>>().join(",")
            }
            Self::Dns(name) => format!("DNS:{name}"),
            Self::Uri(uri) => format!("URI:{uri}"),
        }
    }
}

/// Few letters, so that names often meet; rcgen holds each attribute once.
fn subject() -> impl Strategy<Value = Subject> {
    prop::collection::btree_map(0..ATTRIBUTES.len(), "[abA,+]{1,2}", 1..4)
        .prop_map(|parts| parts.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

#[test]
fn the_allowlist_agrees_with_a_second_implementation() {
    let dns = || prop::collection::btree_set("[abA]{1,2}\\.t", 0..3);
    let uris = || prop::collection::btree_set("spiffe://[ab]/[ab]", 0..3);
    let entry = prop_oneof![
        4 => subject().prop_map(Entry::Subject),
        2 => "[abA]{1,2}\\.t".prop_map(Entry::Dns),
        2 => "spiffe://[ab]/[ab]".prop_map(Entry::Uri),
    ];
    let key = KeyPair::generate().unwrap();
    let (admitted, refused) = (Cell::new(0), Cell::new(0));
    runner(1500)
        .run(&(subject(), dns(), uris(), entry, any::<bool>()), |(subject, dns, uris, entry, same)| {
            let entry = if same { Entry::Subject(subject.clone()) } else { entry };
            let mut params = CertificateParams::default();
            let mut name = DistinguishedName::new();
            for (attribute, value) in &subject {
                name.push(ATTRIBUTES[*attribute].1.clone(), value.clone());
            }
            params.distinguished_name = name;
            let names = dns.iter().map(|name| SanType::DnsName(name.as_str().try_into().unwrap()));
            let ids = uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
            params.subject_alt_names = names.chain(ids).collect();
            let der = params.self_signed(&key).unwrap();
            let certificate = pki::certificate(der.der()).unwrap();
            let list = Allowlist::new(vec![SubjectPattern::parse(&entry.text()).unwrap()]);
            let expected = reference_admits(&entry, &subject, &dns, &uris);
            let count = if expected { &admitted } else { &refused };
            count.set(count.get() + 1);
            prop_assert_eq!(list.admits(&certificate), expected, "{} for {}", entry.text(), certificate.subject);
            Ok(())
        })
        .unwrap();
    let (admitted, refused) = (admitted.get(), refused.get());
    assert!(admitted > 100 && refused > 100, "{admitted} admitted, {refused} refused");
}
