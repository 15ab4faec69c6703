//! A test named after each known incident of the field that can concern this door: each shows the defence against the real
//! thing. `tests/cases/cve.yaml` has a row for each, and `docs/cve.md` is made of the rows.

mod attempt;
mod page;

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::world::child::free_port;
use crate::world::{Choice, Estate, World, wire};
use attempt::{Attempt, listed, reason, refusing, strangers};

/// Starting without a key, with one that stands in the configuration, or with one that can be guessed.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_53709() {
    let (estate, _main) = Estate::make(&Choice::default());
    let secret = |line: &str| Choice { key_source: Some(line.to_owned()), ..Choice::default() };
    assert_eq!(attempt::check(&estate, &Choice::default(), &[]), None, "the configuration itself must be good");
    let short = "0123456789012345678901234567890";
    for (what, choice, environment) in [
        ("no key", secret(""), &[][..]),
        ("the key of the incident", secret("    secret: my-test-key"), &[]),
        ("a long key in the file", secret("    secret: 0123456789012345678901234567890123456789"), &[]),
        ("the key of the incident from outside", secret("    secret: ${KEY}"), &[("KEY", "my-test-key")]),
        ("31 bytes", secret("    secret: ${KEY}"), &[("KEY", short)]),
        ("an empty key", secret("    secret: ${KEY}"), &[("KEY", "")]),
        ("a key that is not set", secret("    secret: ${KEY}"), &[]),
        ("HMAC where keys are public", Choice { jwt: "    algorithms: [HS256]".to_owned(), ..Choice::default() }, &[]),
    ] {
        let found = attempt::check(&estate, &choice, environment);
        assert!(found.as_ref().is_some_and(|text| text.contains("auth.jwt")), "{what}: {found:?}");
        assert!(!found.unwrap().contains("my-test-key"), "{what}: the finding repeats the secret");
        assert_eq!(attempt::serve(&estate, environment), Some(1), "{what}");
    }
}

/// Credentials that come with the product, and pages to use them on.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_78573() {
    let world = World::open().await;
    for path in ["/admin", "/login", "/auth/login", "/docs", "/openapi.json", "/api/users", "/setup", "/register", "/"]
    {
        for method in ["GET", "POST"] {
            let attempt =
                Attempt { method, path, authorization: Some("Basic YWRtaW46Y2hhbmdlbWU="), ..Attempt::default() };
            let answer = attempt.send(&world).await;
            assert_eq!((answer.status, answer.header("set-cookie")), (404, None), "{method} {path}");
        }
    }
    for pair in ["YWRtaW46Y2hhbmdlbWU=", "YWRtaW46YWRtaW4=", "YWRtaW46cGFzc3dvcmQ="] {
        let authorization = format!("Basic {pair}");
        let answer = Attempt { authorization: Some(&authorization), ..Attempt::default() }.send(&world).await;
        assert_eq!((answer.status, reason(&answer)), (401, "token_malformed".to_owned()));
    }
    for word in ["password", "username", "users", "admin", "default_user"] {
        assert!(!attempt::configuration_words().contains(word), "the configuration has a word {word}");
    }
}

/// A header of the caller's that takes the place of what the gateway knows.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_110279() {
    let world = World::open().await;
    let planted = "planted-by-the-caller";
    let lines = ["X-Upstream-Authorization", "X-Authorization", "Proxy-Authorization", "X-Forwarded-User", "X-Api-Key"];
    let lines: Vec<String> = lines.iter().map(|name| format!("{name}: Bearer {planted}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let answer = Attempt { lines: &lines, ..Attempt::default() }.send(&world).await;
    assert_eq!((answer.status, reason(&answer)), (401, "token_missing".to_owned()));
    let token = world.token(&["core"]);
    let answer = Attempt { lines: &lines, token: Some(&token), ..Attempt::default() }.send(&world).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let audit = json!(world.audit()).to_string();
    assert!(!audit.contains(planted) && audit.contains(r#""jwt_sub":"alice""#), "{audit}");
}

/// Requests that make the gateway ask somebody else: no address of a caller's is ever connected to.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_77822() {
    let world = World::open().await;
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let url = format!("https://127.0.0.1:{}/latest/meta-data", inside.local_addr().unwrap().port());
    for name in ["jku", "x5u", "url", "iss"] {
        let mut header = world.signer.header();
        header[name] = json!(url);
        header["kid"] = json!(url);
        let token = world.signer.sign_parts(&header.to_string(), &world.claims(&["core"]).to_string());
        let answer = Attempt { token: Some(&token), ..Attempt::default() }.send(&world).await;
        assert_eq!(answer.status, 401, "{name}");
    }
    let mut claims = world.claims(&["core"]);
    claims["iss"] = json!(url);
    claims["jwks_uri"] = json!(url);
    let token = world.signer.sign(&claims);
    assert_eq!(Attempt { token: Some(&token), ..Attempt::default() }.send(&world).await.status, 401);
    let lines = [format!("X-Target-Url: {url}"), format!("Referer: {url}"), format!("X-Forwarded-Host: {url}")];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for arguments in [json!({ "url": url }), json!({ "host": url }), json!({ "target": url })] {
        let body = wire::call("get_uptime", arguments);
        let token = world.token(&["core"]);
        let answer =
            Attempt { token: Some(&token), lines: &lines, body: Some(&body), ..Attempt::default() }.send(&world).await;
        assert_eq!(reason(&answer), "arguments_invalid");
    }
    assert!(strangers(&inside).await == 0, "somebody was asked");
}

/// A path on which nobody asks who is there: every path is tried with every method, as three different strangers.
#[tokio::test(flavor = "multi_thread")]
async fn go_2026_5390() {
    let world = World::open().await;
    let open =
        ["/health", "/ready", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"];
    let closed = [
        "/mcp",
        "/metrics",
        "/",
        "/internal",
        "/router-key",
        "/mcp-init-host",
        "/_internal/router",
        "/admin",
        "/debug",
        "/mcp/internal",
    ];
    let lines = ["mcp-init-host: localhost", "router-key: secret", "X-Internal-Request: true"];
    for path in open.iter().chain(&closed) {
        let attempt = Attempt { path, lines: &lines, ..Attempt::default() };
        for certificate in [None, Some("rogue_bot"), Some("server_as_client")] {
            assert!(attempt.try_as(&world, certificate).await.is_err(), "{path} with {certificate:?}");
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let attempt = Attempt { method, path, lines: &lines, ..Attempt::default() };
            let answer = attempt.try_as(&world, Some("unlisted")).await.unwrap();
            assert_eq!(answer.status, 403, "{method} {path} with an unlisted certificate");
            let answer = attempt.send(&world).await;
            let harmless = open.contains(path) && ["GET", "HEAD"].contains(&method);
            assert_eq!(answer.status == 200, harmless, "{method} {path} without a token: {}", answer.status);
            assert!(harmless || answer.status >= 400, "{method} {path}");
        }
    }
    assert!(world.audit().iter().all(|record| record["event"] != "query"), "something ran");
}

/// A name of the attacker's that leads to us.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_42559() {
    let world = World::open().await;
    for host in ["evil.example", "7f000001.c0a80001.rbndr.us", "localhost.evil.example", "0.0.0.0", "[::1]", "127.1"] {
        let token = world.token(&["core"]);
        let answer = Attempt { host: Some(host), token: Some(&token), ..Attempt::default() }.send(&world).await;
        assert_eq!((answer.status, reason(&answer)), (403, "host_not_allowed".to_owned()), "{host}");
        let answer = Attempt { host: Some("localhost"), token: Some(&token), ..Attempt::default() }.send(&world).await;
        assert_eq!(answer.status, 200, "the refusal used the token up");
    }
}

/// The right Host from a page of the attacker's.
#[tokio::test(flavor = "multi_thread")]
async fn rustsec_2026_0140() {
    let world = World::open().await;
    for origin in ["https://evil.example", "null", "http://localhost", "https://app.example.evil.example"] {
        let token = world.token(&["core"]);
        let line = format!("Origin: {origin}");
        let answer = Attempt { token: Some(&token), lines: &[&line], ..Attempt::default() }.send(&world).await;
        assert_eq!((answer.status, reason(&answer)), (403, "origin_not_allowed".to_owned()), "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

/// A session that somebody else began.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_52869() {
    let world = World::with(Choice { jwt: "    replay: sender_bound".to_owned(), ..Choice::default() }).await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "x", "version": "1" } } });
    let token = world.token(&["core"]);
    let answer = Attempt { token: Some(&token), body: Some(&body), ..Attempt::default() }.send(&world).await;
    assert_eq!((answer.status, answer.header("mcp-session-id")), (200, None), "there are no sessions");
    let line = "Mcp-Session-Id: 5f2c";
    let stolen = Attempt { token: Some(&token), lines: &[line], ..Attempt::default() };
    let answer = stolen.try_as(&world, Some("second")).await.unwrap();
    assert_eq!((answer.status, reason(&answer)), (401, "token_binding".to_owned()));
    let answer = Attempt { lines: &[line], ..Attempt::default() }.send(&world).await;
    assert_eq!(reason(&answer), "token_missing", "a session is no token");
    for method in ["GET", "DELETE"] {
        let answer = Attempt { method, lines: &[line], ..Attempt::default() }.send(&world).await;
        assert_eq!(answer.status, 405);
    }
}

/// A token for somebody else's server.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_116684() {
    let world = World::open().await;
    for audience in
        [json!("https://other.example/mcp"), json!([]), json!(["https://other.example"]), json!("*"), json!("")]
    {
        let answer = refusing(&world, "aud", audience.clone()).await;
        assert_eq!((answer.status, reason(&answer)), (401, "token_audience".to_owned()), "{audience}");
    }
    let answer = refusing(&world, "aud", Value::Null).await;
    assert_eq!(reason(&answer), "token_claim");
    let path = world.path("doorward.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.contains("audience:")).collect();
    std::fs::write(&path, without.join("\n")).unwrap();
    assert!(attempt::findings(&path, &[]).unwrap().contains("auth.jwt.audience"), "an audience must be configured");
}

/// A token that was asked for another resource at the same issuer.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_69196() {
    let world = World::open().await;
    let own = world.audience();
    for audience in [own.replace("/mcp", "/other"), own.replace("/mcp", ""), format!("{own}/"), own.to_uppercase()] {
        let answer = refusing(&world, "aud", json!(audience)).await;
        assert_eq!(reason(&answer), "token_audience", "{audience}");
    }
    let mut claims = world.claims(&["core"]);
    claims.as_object_mut().unwrap().remove("aud");
    claims["resource"] = json!(own);
    let token = world.signer.sign(&claims);
    let answer = Attempt { token: Some(&token), ..Attempt::default() }.send(&world).await;
    assert_eq!(reason(&answer), "token_claim");
    let metadata = Attempt { method: "GET", path: "/.well-known/oauth-protected-resource/mcp", ..Attempt::default() };
    let resource = metadata.send(&world).await.json()["resource"].clone();
    assert_eq!(resource, json!(own), "clients are told which resource to ask for");
}

/// Issuers taken for one another.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_27124() {
    let world = World::open().await;
    for issuer in ["https://other.test", "https://issuer.test/", "https://issuer.test.evil.example", ""] {
        let answer = refusing(&world, "iss", json!(issuer)).await;
        assert_eq!((answer.status, reason(&answer)), (401, "token_issuer".to_owned()), "{issuer}");
    }
    assert_eq!(reason(&refusing(&world, "iss", Value::Null).await), "token_claim");
}

/// A token of a shape that no check knows, and that therefore passes all of them.
#[tokio::test(flavor = "multi_thread")]
async fn go_2026_5706() {
    let world = World::open().await;
    for token in
        ["opaque", "ya29.a0AfH6SMBx", "gho_16C7e42F292c6912E7710c838347Ae178B4a", "a.b", "a.b.c", "a.b.c.d.e", "0"]
    {
        let answer = Attempt { token: Some(token), ..Attempt::default() }.send(&world).await;
        assert_eq!((answer.status, reason(&answer)), (401, "token_malformed".to_owned()), "{token}");
    }
}

/// Two tokens that a cache takes for one another.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_35039() {
    let world = World::with(Choice { jwt: "    replay: sender_bound".to_owned(), ..Choice::default() }).await;
    let mut claims = world.claims(&["core"]);
    let wide = world.signer.sign(&claims);
    claims["scope"] = json!("clock");
    let narrow = world.signer.sign(&claims);
    let tools = |token: String| {
        let world = &world;
        async move { listed(world, &token).await }
    };
    // The same jti, the same sender, the same header: what each says is its own.
    for _ in 0..2 {
        assert_eq!(tools(wide.clone()).await.unwrap().len(), 7);
        assert_eq!(tools(narrow.clone()).await.unwrap(), ["get_uptime"]);
    }
    let (wide_input, wide_signature) = wide.rsplit_once('.').unwrap();
    let (narrow_input, narrow_signature) = narrow.rsplit_once('.').unwrap();
    for forged in [
        format!("{narrow_input}.{wide_signature}"),
        format!("{wide_input}.{narrow_signature}"),
        format!("{wide_input}.{}", wide_signature.chars().rev().collect::<String>()),
        format!("{wide_input}."),
        wide[..wide.len() - 1].to_owned(),
    ] {
        assert_eq!(tools(forged.clone()).await.unwrap_err(), 401, "{forged}");
    }
}

/// A cache that looks at the beginning of a token only.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_35030() {
    let world = World::with(Choice { jwt: "    replay: sender_bound".to_owned(), ..Choice::default() }).await;
    let wide = world.token(&["core"]);
    let narrow = world.token(&["clock"]);
    assert_eq!(wide[..60], narrow[..60], "they begin alike");
    assert_eq!(listed(&world, &wide).await.unwrap().len(), 7);
    assert_eq!(listed(&world, &narrow).await.unwrap().len(), 1);
    assert_eq!(listed(&world, &format!("{}{}", &wide[..60], "A".repeat(100))).await.unwrap_err(), 401);
    assert_eq!(listed(&world, &wide[..60]).await.unwrap_err(), 401);
}

/// Keys in another case, which one reader sees and another does not.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_27896() {
    let world = World::open().await;
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","METHOD":"tools/call","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"Method":"tools/call","params":{"name":"get_uptime"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_uptime","Name":"get_cpu_info"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Params":{"name":"get_uptime"}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"get_uptime\",\"argument\u{17f}\":{}}}",
    ] {
        let token = world.token(&["core"]);
        let answer = Attempt { token: Some(&token), text: Some(text), ..Attempt::default() }.send(&world).await;
        assert_eq!((answer.status, reason(&answer)), (400, "invalid_request".to_owned()), "{text}");
    }
    assert!(world.audit().iter().all(|record| record["event"] != "query"), "something ran");
}

/// An open port without anybody to ask who is there.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_81094() {
    let (estate, _main) = Estate::make(&Choice::default());
    let path = estate.path("doorward.yaml");
    let good = std::fs::read_to_string(&path).unwrap();
    let entries = "    - CN=bot,O=Acme\n    - URI:spiffe://acme/second\n    - DNS:one.agents.example\n    - EMAIL:bot@acme.example\n";
    let anybody = good.replace(&format!("  allowed_subjects:\n{entries}"), "");
    let port = free_port();
    let bind = format!("bind: 127.0.0.1:{}", estate.port);
    for (what, text, finding) in [
        (
            "every address, and nobody named",
            anybody.replace(&bind, &format!("bind: 0.0.0.0:{port}")),
            "tls.allowed_subjects",
        ),
        ("every address in IPv6", anybody.replace(&bind, &format!("bind: \"[::]:{port}\"")), "tls.allowed_subjects"),
        ("plaintext", good.replace("transport: https", "transport: http"), "transport"),
        (
            "no client certificates",
            good.replace("tls:\n", "tls:\n  require_client_cert: false\n"),
            "require_client_cert",
        ),
        ("no authority for clients", good.replace("  client_ca:", "  #"), "tls.client_ca"),
        ("no tokens", good.replace("auth:\n", "auth:\n  enabled: false\n"), "auth.enabled"),
        ("no audit log", good.replace("audit:\n", "audit:\n  enabled: false\n"), "audit.enabled"),
        ("probes for everybody", good.replace("  enabled: false", &format!("  bind: 0.0.0.0:{port}")), "metrics.bind"),
        ("a word that is misspelt", good.replace("allowed_subjects", "allowed_subject"), "allowed_subject"),
    ] {
        assert_ne!(text, good, "{what}");
        std::fs::write(&path, &text).unwrap();
        let found = attempt::findings(&path, &[]);
        assert!(found.as_ref().is_some_and(|text| text.contains(finding)), "{what}: {found:?}");
        assert_eq!(attempt::serve(&estate, &[]), Some(1), "{what}");
    }
}

/// A peer that sends us on to somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_79747() {
    let (inside, issuer) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    inside.set_nonblocking(true).unwrap();
    let target = format!("https://localhost:{}/keys", inside.local_addr().unwrap().port());
    let port = issuer.local_addr().unwrap().port();
    let source = format!("    jwks_uri: https://localhost:{port}/jwks.json\n    jwks_ca: {{root}}/ca/ca.crt");
    let world = World::with(Choice { key_source: Some(source), unready: true, ..Choice::default() }).await;
    let asked = attempt::redirect(issuer, &world, &target).await;
    assert!(asked >= 1, "the issuer was asked");
    assert_eq!(strangers(&inside).await, 0, "the redirection was followed");
    let token = world.token(&["core"]);
    let answer = Attempt { token: Some(&token), ..Attempt::default() }.send(&world).await;
    assert_eq!((answer.status, reason(&answer)), (503, "keys_unavailable".to_owned()));
}

/// Headers in which a proxy would name the user, sent by the user.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_63329() {
    let world = World::open().await;
    let pem = std::fs::read_to_string(world.path("good.crt")).unwrap().replace('\n', "%0A");
    let certificate = [format!("X-SSL-Client-Cert: {pem}"), format!("X-Forwarded-Client-Cert: Cert=\"{pem}\"")];
    let mut lines = vec![
        "x-warpgate-username: planted-root",
        "X-Forwarded-User: planted-root",
        "X-Remote-User: planted-root",
        "X-SSL-Client-S-DN: CN=bot,O=Acme",
        "X-SSL-Client-Verify: SUCCESS",
        "X-Forwarded-For: 10.66.66.66",
        "Forwarded: for=10.66.66.66",
    ];
    lines.extend(certificate.iter().map(String::as_str));
    let without = Attempt { lines: &lines, ..Attempt::default() };
    assert!(without.try_as(&world, None).await.is_err(), "a header is no certificate");
    let token = world.token(&["core"]);
    let with = Attempt { lines: &lines, token: Some(&token), ..Attempt::default() };
    let answer = with.try_as(&world, Some("unlisted")).await.unwrap();
    assert_eq!(reason(&answer), "subject_not_allowed");
    assert_eq!(with.send(&world).await.status, 200);
    let audit = json!(world.audit()).to_string();
    assert!(!audit.contains("planted-root") && !audit.contains("10.66.66.66"), "{audit}");
}

/// A path that one part of the program reads otherwise than another.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_75627() {
    let world = World::open().await;
    for path in [
        "/health/../mcp",
        "/health/%2e%2e/mcp",
        "/health/..%2fmcp",
        "//mcp",
        "/mcp/",
        "/mcp//",
        "/%6dcp",
        "/mcp;x",
        "/mcp%20",
        "/.well-known/oauth-protected-resource/../../mcp",
        "/health/mcp",
        "/mcp/../mcp",
        "/MCP",
        "/mcp%00",
        "/metrics/..;/mcp",
    ] {
        for token in [None, Some(world.token(&["core"]))] {
            let answer = Attempt { path, token: token.as_deref(), ..Attempt::default() }.send(&world).await;
            assert_eq!((answer.status, reason(&answer)), (404, "not_found".to_owned()), "{path}");
        }
    }
    assert!(world.audit().iter().all(|record| record["event"] != "query"), "something ran");
}

/// A dependency that somebody exchanged on its way to us.
#[test]
fn litellm_2026_03() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    let mut sources = std::collections::BTreeSet::new();
    let mut own = 0;
    for package in &packages {
        match package.lines().find(|line| line.starts_with("source = ")) {
            Some(source) => {
                sources.insert(source);
                let sum = package.lines().find_map(|line| line.strip_prefix("checksum = "));
                assert!(sum.is_some_and(|sum| sum.len() == 66), "{package} is not held by its checksum");
            }
            None => own += 1,
        }
    }
    assert!(packages.len() > 100 && own == 1, "{own} packages come from nowhere");
    assert_eq!(sources.len(), 1, "packages come from several places: {sources:?}");
    assert!(!sources.first().unwrap().contains("git+"), "{sources:?}");
}

/// A command that the caller, or whoever writes the configuration, has run.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_30623() {
    let world = World::open().await;
    let mark = world.path("mark");
    let command = format!("touch {}", mark.display());
    let tools = listed(&world, &world.token(&["core"])).await.unwrap();
    for tool in &tools {
        for arguments in [
            json!({ "command": command, "args": [] }),
            json!({ "cmd": ["sh", "-c", command] }),
            json!({ "$(id)": "`id`", "; id": "| id" }),
        ] {
            let (token, body) = (world.token(&["core"]), wire::call(tool, arguments));
            let answer = Attempt { token: Some(&token), body: Some(&body), ..Attempt::default() }.send(&world).await;
            assert_eq!(reason(&answer), "arguments_invalid", "{tool}");
        }
    }
    assert!(tools.len() == 7 && !mark.exists());
    for word in ["command", "cmd", "args", "exec", "shell", "entrypoint"] {
        assert!(!attempt::configuration_words().contains(word), "the configuration has a word {word}");
    }
}

/// A page in the user's browser: what it can send without being asked about it, and what it must ask for.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_49596() {
    let world = World::open().await;
    let token = world.token(&["core"]);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let simple = Attempt {
            token: Some(&token),
            content_type: Some(kind),
            lines: &["Origin: https://evil.example"],
            ..Attempt::default()
        };
        assert_eq!(reason(&simple.send(&world).await), "origin_not_allowed", "{kind}");
        let token = world.token(&["core"]);
        let silent = Attempt { token: Some(&token), content_type: Some(kind), ..Attempt::default() };
        assert_eq!(reason(&silent.send(&world).await), "content_type", "{kind}");
    }
    let lines = ["Origin: null", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true"];
    let answer = Attempt { method: "OPTIONS", lines: &lines, ..Attempt::default() }.send(&world).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
    let command = Attempt { method: "GET", path: "/sse?transportType=stdio&command=id", ..Attempt::default() };
    assert_eq!(command.send(&world).await.status, 404);
}

/// One tenant's answer to another tenant's question.
#[tokio::test(flavor = "multi_thread")]
async fn asana_2025_06() {
    let world = World::open().await;
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    // Over one connection, in turn: each is shown what its own token opens.
    for _ in 0..3 {
        for (scope, count) in [("core", 7), ("clock", 1)] {
            let bytes = wire::post(world.port, &world.token(&[scope]), &list);
            let answer = wire::exchange(&mut stream, &bytes).await.unwrap();
            assert_eq!(answer.json()["result"]["tools"].as_array().unwrap().len(), count, "{scope}");
        }
    }
    let mut modern = list.clone();
    modern["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "x", "version": "1" } });
    let token = world.token(&["core"]);
    let lines = ["Mcp-Method: tools/list"];
    let attempt = Attempt {
        token: Some(&token),
        body: Some(&modern),
        version: "2026-07-28",
        lines: &lines,
        ..Attempt::default()
    };
    assert_eq!(attempt.send(&world).await.json()["result"]["cacheScope"], "private", "nobody may keep it for others");
}

/// A web socket, which browsers open to any origin.
#[tokio::test(flavor = "multi_thread")]
async fn autojack_2026_06() {
    let world = World::open().await;
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    for (path, status) in [("/mcp", 405), ("/ws", 404), ("/mcp/ws?cmd=id", 404)] {
        let answer = Attempt { method: "GET", path, lines: &upgrade, ..Attempt::default() }.send(&world).await;
        assert_eq!(answer.status, status, "{path}");
        let lines = [&upgrade[..], &["Origin: http://localhost:8081"]].concat();
        let answer = Attempt { method: "GET", path, lines: &lines, ..Attempt::default() }.send(&world).await;
        assert_eq!(answer.status, 403, "{path}");
    }
}
