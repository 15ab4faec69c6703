//! HTTPS as clients meet it: both eras over both versions of HTTP, origins, challenges, metadata, what is stripped.

mod probes;
mod progress;
mod tls;

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use doorward::net::{Options, Outbound};
use doorward::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::world::ask::{Ask, ERAS, Era};
use crate::world::wire::{self, Answer};
use crate::world::{Choice, World, h2};

/// One request on a connection of its own.
async fn ask(world: &World, ask: &Ask) -> Answer {
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    wire::exchange(&mut stream, &ask.bytes(world.port)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_eras_are_spoken_over_both_versions_of_http() {
    let world = World::open().await;
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let connection = h2::open(&world.path(""), world.port, |_| {}).await;
    for era in ERAS {
        let list = || Ask::post(era, "tools/list", json!({})).good(&world);
        let call = || Ask::call(era, "get_uptime", json!({})).good(&world);
        let first = [list(), call()];
        let second = [list(), call()];
        for (one, two) in first.iter().zip(&second) {
            let plain = wire::exchange(&mut stream, &one.bytes(world.port)).await.unwrap();
            let multiplexed = h2::ask(&connection.send, two.request(world.port)).await.unwrap();
            for answer in [&plain, &multiplexed] {
                assert_eq!(
                    (answer.status, answer.header("content-type")),
                    (200, Some("application/json")),
                    "{answer:?}"
                );
                assert_eq!(answer.json()["id"], 7);
            }
            let (plain, multiplexed) = (plain.json(), multiplexed.json());
            if plain.pointer("/result/tools").is_some() {
                assert_eq!(plain, multiplexed);
                assert_eq!(plain["result"]["tools"].as_array().unwrap().len(), 7);
            } else {
                assert!(plain.pointer("/result/structuredContent").is_some_and(Value::is_object), "{plain}");
                assert!(multiplexed.pointer("/result/structuredContent").is_some_and(Value::is_object));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outbound_client_is_a_client_of_the_door_over_http2() {
    let world = World::open().await;
    let read = |name: &str| fs::read(world.path(name)).unwrap();
    let outbound = Outbound::new(Options {
        ca_pem: Some(read("ca/ca.crt")),
        identity: Some((read("good.crt"), Secret::new(read("good.key")))),
        connect_timeout: Duration::from_secs(5),
    })
    .unwrap();
    for era in ERAS {
        let ask = Ask::call(era, "get_uptime", json!({})).good(&world);
        let mut headers = HeaderMap::new();
        for (name, value) in &ask.headers {
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        }
        let reply = outbound.post(&world.url(), headers, Bytes::from(ask.body), Duration::from_secs(5)).await.unwrap();
        assert_eq!(reply.status.as_u16(), 200);
        let body: Value = serde_json::from_slice(&reply.collect(1 << 20).await.unwrap()).unwrap();
        assert!(body.pointer("/result/structuredContent").is_some(), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_an_old_version_is_offered_one_that_is_spoken() {
    let world = World::open().await;
    let info = json!({ "name": "old", "version": "1" });
    for (wanted, offered) in [("2024-11-05", "2025-11-25"), ("2025-03-26", "2025-11-25"), ("2025-11-25", "2025-11-25")]
    {
        let params = json!({ "protocolVersion": wanted, "capabilities": {}, "clientInfo": info });
        let mut initialize = Ask::post(Era::Stateful, "initialize", params).good(&world);
        initialize.headers.retain(|(name, _)| name != "mcp-protocol-version");
        let answer = ask(&world, &initialize).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["result"]["protocolVersion"], offered, "{wanted}: {}", answer.body);
        assert_eq!(answer.header("mcp-session-id"), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_post_is_served_at_the_endpoint() {
    let world = World::open().await;
    for method in ["GET", "DELETE", "PUT", "HEAD", "TRACE", "OPTIONS"] {
        let mut request = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
        request.method = method;
        request.body.clear();
        if method == "HEAD" {
            // Its answer has a length and no body, which the reader here does not know.
            let connection = h2::open(&world.path(""), world.port, |_| {}).await;
            let answer = h2::ask(&connection.send, request.request(world.port)).await.unwrap();
            assert_eq!((answer.status, answer.body.as_str()), (405, ""));
            continue;
        }
        let answer = ask(&world, &request).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (405, Some("method_not_allowed")), "{method}");
        assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_origin_is_told_what_it_may_send_and_no_other_is() {
    const ORIGIN: &str = "https://app.example";
    const SENT: &str = "Accept, Authorization, Content-Type, MCP-Protocol-Version, Mcp-Method, Mcp-Name, X-Correlation-ID, \
                        mcp-param-region";
    let world = World::open().await;
    let preflight = |origin: &str| {
        let mut ask = Ask::get("/mcp").with("origin", origin).with("access-control-request-method", "POST");
        ask.method = "OPTIONS";
        ask.with("access-control-request-headers", "authorization,content-type,mcp-method,mcp-param-region,x-other")
    };
    let answer = ask(&world, &preflight(ORIGIN)).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(answer.header("access-control-allow-headers"), Some(SENT));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    // The answers themselves, refusals among them, are for the same origin to read.
    let call = || Ask::call(Era::Stateful, "get_uptime", json!({}));
    let answers = [
        (200, call().good(&world).with("origin", ORIGIN)),
        (401, call().with("origin", ORIGIN)),
        (404, Ask::get("/nothing").with("origin", ORIGIN)),
        (200, Ask::get("/.well-known/oauth-protected-resource").with("origin", ORIGIN)),
    ];
    for (status, request) in answers {
        let answer = ask(&world, &request).await;
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.header("access-control-allow-origin"), Some(ORIGIN), "{status}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{status}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let strangers = ["https://evil.example", "null", "http://app.example", "https://app.example:8443", "*"];
    for origin in strangers {
        for request in [preflight(origin), call().good(&world).with("origin", origin)] {
            let answer = ask(&world, &request).await;
            assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("origin_not_allowed")), "{origin}");
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{origin}");
        }
    }
    let without = ask(&world, &call().good(&world)).await;
    assert_eq!((without.status, without.header("access-control-allow-origin")), (200, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_challenge_says_what_is_wrong_and_leads_to_the_metadata() {
    let world = World::open().await;
    let place = format!("https://localhost:{}/.well-known/oauth-protected-resource/mcp", world.port);
    let tail = format!("scope=\"core\", resource_metadata=\"{place}\"");
    let call = || Ask::call(Era::Modern, "get_uptime", json!({}));
    let missing = ask(&world, &call()).await;
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some(&*format!("Bearer {tail}"))));
    let mut claims = world.claims(&["core"]);
    claims["exp"] = json!(1);
    for token in ["a.b.c".to_owned(), world.signer.sign(&claims)] {
        let bad = ask(&world, &call().token(&token)).await;
        let challenge = bad.header("www-authenticate").unwrap();
        assert_eq!(bad.status, 401);
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{challenge}");
        assert!(challenge.ends_with(&format!("\", {tail}")) && !challenge.contains(&token), "{challenge}");
    }
    let poor = ask(&world, &call().token(&world.token(&["unknown"]))).await;
    let challenge = poor.header("www-authenticate").unwrap();
    assert_eq!(poor.status, 403);
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\", error_description=\""), "{challenge}");
    assert!(challenge.ends_with(&tail), "{challenge}");
    for answer in [missing, poor] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metadata_is_at_both_places_and_needs_no_token() {
    let http = "  authorization_servers: [\"https://login.example\"]".to_owned();
    let world = World::with(Choice { http, ..Choice::default() }).await;
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let answer = ask(&world, &Ask::get(path)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let expected = json!({
            "resource": world.audience(),
            "authorization_servers": ["https://login.example"],
            "scopes_supported": ["core"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Doorward",
            "tls_client_certificate_bound_access_tokens": true,
        });
        assert_eq!(answer.json(), expected);
    }
    for path in ["/.well-known/oauth-protected-resource/other", "/.well-known/oauth-authorization-server", "/", "/mcp/"]
    {
        assert_eq!(ask(&world, &Ask::get(path)).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_a_header_claims_to_be_does_not_matter() {
    let world = World::open().await;
    let before = world.audit().len();
    for era in ERAS {
        let request = [
            ("X-Forwarded-For", "203.0.113.9"),
            ("Forwarded", "for=203.0.113.9"),
            ("X-Real-IP", "203.0.113.9"),
            ("X-Client-Cert", "CN=mallory"),
            ("X-Client-Subject", "CN=mallory"),
            ("X-SSL-Client-S-DN", "CN=mallory"),
            ("X-Forwarded-Client-Cert", "Subject=\"CN=mallory\""),
            ("Teleport-Jwt-Assertion", "mallory.token.x"),
            ("X-Forwarded-User", "mallory"),
            ("X-API-Key", "mallory"),
            ("Cookie", "session=mallory"),
            ("Mcp-Session-Id", "mallory"),
            ("Last-Event-ID", "mallory"),
        ]
        .into_iter()
        .fold(Ask::call(era, "get_uptime", json!({})).good(&world), |ask, (name, value)| ask.with(name, value));
        let answer = ask(&world, &request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(!answer.body.contains("mallory") && answer.header("mcp-session-id").is_none());
        assert!(answer.headers.iter().all(|(_, value)| !value.contains("mallory")));
    }
    let records = &world.audit()[before..];
    assert_eq!(records.len(), 6, "two calls with three records each: {records:?}");
    for record in records {
        let text = record.to_string();
        assert!(!text.contains("mallory") && !text.contains("203.0.113.9"), "{text}");
        assert_eq!((&record["client"]["ip"], &record["user"]), (&json!("127.0.0.1"), &json!("alice")));
        assert_eq!(record["client"]["subject"], "CN=bot,O=Acme");
    }
}

/// What a request leaves behind on its connection is never taken for another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_a_request_whose_end_is_not_sure() {
    let world = World::open().await;
    let health = String::from_utf8(Ask::get("/health").bytes(world.port)).unwrap();
    let framings = [
        ("Transfer-Encoding: gzip, chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        // The library drops the length, goes by the coding, and closes (RFC 9112 section 6.1).
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 200),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 200),
    ];
    for (framing, status) in framings {
        let ask = Ask::call(Era::Stateful, "get_uptime", json!({})).good(&world);
        let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", ask.body.len(), ask.body);
        let bytes = ask.head(world.port, framing) + &chunked + &health;
        let stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let (_, read) = wire::endure(stream, bytes.as_bytes(), b"").await;
        let read = String::from_utf8(read).unwrap();
        assert!(read.starts_with(&format!("HTTP/1.1 {status} ")), "{framing}: {read}");
        assert_eq!(read.matches("HTTP/1.1 ").count(), 1, "{framing}: {read}");
        assert!(read.to_ascii_lowercase().contains("connection: close"), "{framing}: {read}");
    }
}
