//! What a hostile reader of the source would try: between two stations, at a reload, in the words that the protocol layer
//! reads differently, and by going away.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use doorward::admission::{Gate, ResourcesSection};
use doorward::audit::{Basis, Trail};
use doorward::authn::{Authenticator, Local, Presented};
use doorward::call::{Arguments, Call, CallId, Impact, Output, Progress, Resource, ToolSpec};
use doorward::clock::Clock;
use doorward::error::{Code, Failure};
use doorward::guard::{Caps, Guard, LimitsSection, RedactionSection, Redactor};
use doorward::identity::{PeerIdentity, Scope};
use doorward::pipeline::{Door, Recording};
use doorward::policy::{Permit, Policy, ScopeMap, SensitiveList};
use doorward::tools::{Catalog, Tool};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::world::lines::Lines;
use crate::world::{Choice, World, wire};

/// Sends a body under a protocol version with a fresh token.
async fn send(world: &World, version: &str, more: &str, body: &str) -> wire::Answer {
    let token = world.token(&["core"]);
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {version}\r\n{more}Content-Length: {}\r\n\r\n{body}",
        world.port,
        body.len()
    );
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    wire::exchange(&mut stream, request.as_bytes()).await.unwrap()
}

fn denials(world: &World) -> Vec<String> {
    let denied = |record: &Value| record["event"] == "query_denied";
    world.audit().iter().filter(|r| denied(r)).map(|r| r["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_protocol_layer_would_answer_on_its_own_is_recorded_and_says_why() {
    let world = World::open().await;
    let unknown = (-32601, "method_unknown");
    let unfit = (-32602, "protocol_refused");
    let cases = [
        (false, "prompts/list", json!({}), 200, unknown),
        (false, "logging/setLevel", json!({ "level": "debug" }), 200, unknown),
        (false, "tasks/get", json!({ "taskId": "1" }), 200, unknown),
        (false, "initialize", json!({}), 200, unfit),
        (false, "tools/list", json!({ "cursor": "1" }), 200, unfit),
        (false, "tools/call", json!({}), 200, unfit),
        (false, "tools/call", json!({ "name": 7 }), 200, unfit),
        (false, "tools/call", json!({ "name": "get_uptime", "arguments": [] }), 200, unfit),
        (true, "subscriptions/listen", json!({ "notifications": {} }), 404, unknown),
        (true, "tasks/get", json!({ "taskId": "1" }), 404, unknown),
        (true, "ping", json!({}), 404, unknown),
        (true, "tools/call", json!({ "name": "get_uptime", "arguments": 7 }), 200, unfit),
    ];
    let mut wrong = Vec::new();
    for (modern, method, mut params, status, (number, reason)) in cases {
        let mut headers = String::new();
        if modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            headers = format!("Mcp-Method: {method}\r\n");
            if let Some(name) = params["name"].as_str().or(params["taskId"].as_str()) {
                headers.push_str(&format!("Mcp-Name: {name}\r\n"));
            }
        }
        let version = if modern { "2026-07-28" } else { "2025-11-25" };
        let body = json!({ "jsonrpc": "2.0", "id": "x", "method": method, "params": params }).to_string();
        let before = denials(&world).len();
        let answer = send(&world, version, &headers, &body).await;
        let said = serde_json::from_str::<Value>(&answer.body).unwrap_or_default();
        let denied = denials(&world).split_off(before);
        let fits = answer.status == status
            && said["error"]["code"] == number
            && said["id"] == "x"
            && answer.reason().as_deref() == Some(reason)
            && answer.header("cache-control") == Some("no-store")
            && denied == [reason];
        if !fits {
            wrong.push(format!("{body}\n  {} {} {denied:?}", answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_with_the_same_token_one_gets_in() {
    let world = World::open().await;
    let token = world.token(&["core"]);
    let request = wire::post(world.port, &token, &wire::call("get_uptime", json!({})));
    let mut streams = Vec::new();
    for _ in 0..12 {
        streams.push(wire::connect(&world.path(""), world.port, Some("good")).await.unwrap());
    }
    let asked = streams.into_iter().map(|mut stream| {
        let request = request.clone();
        tokio::spawn(async move { wire::exchange(&mut stream, &request).await.unwrap().status })
    });
    let asked: Vec<_> = asked.collect();
    let mut statuses = Vec::new();
    for answer in asked {
        statuses.push(answer.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 11, "{statuses:?}");
    let permitted = world.audit().iter().filter(|record| record["result"] == "permitted").count();
    assert_eq!(permitted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_connection_feels_a_new_allowlist_and_a_new_revocation_list() {
    let world = World::open().await;
    let ask = |world: &World| wire::post(world.port, &world.token(&["core"]), &wire::call("get_uptime", json!({})));
    let mut stream = wire::connect(&world.path(""), world.port, Some("second")).await.unwrap();
    assert_eq!(wire::exchange(&mut stream, &ask(&world)).await.unwrap().status, 200);
    world.edit("    - URI:spiffe://acme/second\n", "");
    world.daemon.reload().await.unwrap();
    let answer = wire::exchange(&mut stream, &ask(&world)).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("subject_not_allowed")));
    let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
    assert_eq!(wire::exchange(&mut stream, &ask(&world)).await.unwrap().status, 200);
    let authority = doorward::pki::Authority::open(&world.path("ca")).unwrap();
    let clock = Clock::system();
    authority.revoke_file(&world.path("good.crt"), &clock).unwrap();
    authority.crl(Duration::from_secs(3600), &clock).unwrap();
    world.daemon.reload().await.unwrap();
    let answer = wire::exchange(&mut stream, &ask(&world)).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("certificate_revoked")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_word_about_tokens_does_not_throw_the_keys_away() {
    let world = World::with(Choice { jwt: "    max_ttl: 300".to_owned(), ..Choice::default() }).await;
    world.edit("max_ttl: 300", "max_ttl: 299");
    world.daemon.reload().await.unwrap();
    let answer = send(&world, "2025-11-25", "", &wire::call("get_uptime", json!({})).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_fails_leaves_the_keys_alone() {
    let world = World::open().await;
    let config = fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let port = config.split("https://localhost:").nth(2).unwrap().split('/').next().unwrap().to_owned();
    world.edit(&format!("https://localhost:{port}/jwks.json"), "https://localhost:1/jwks.json");
    fs::write(world.path("server.key"), "no key").unwrap();
    assert!(world.daemon.reload().await.is_err());
    world.daemon.ready(Duration::from_secs(1)).await.unwrap();
    let answer = send(&world, "2025-11-25", "", &wire::call("get_uptime", json!({})).to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_gives_its_place_back_and_is_recorded() {
    let more = "resources:\n  max_concurrent_queries: 1\n".to_owned();
    let world = World::with(Choice { more, ..Choice::default() }).await;
    for with_progress in [false, true] {
        let mut message = wire::call("get_cpu_info", json!({ "sample_ms": 500 }));
        if with_progress {
            message["params"]["_meta"] = json!({ "progressToken": 1 });
        }
        let before = world.audit().len();
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        stream.write_all(&wire::post(world.port, &world.token(&["core"]), &message)).await.unwrap();
        let said = |what: &str, from: usize| world.audit().iter().skip(from).any(|record| record["result"] == what);
        let until = async |what: &str| {
            for _ in 0..4000 {
                if said(what, before) {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            false
        };
        assert!(until("permitted").await, "{:?}", world.audit());
        drop(stream);
        assert!(until("abandoned").await, "{:?}", world.audit());
        let answer = send(&world, "2025-11-25", "", &wire::call("get_uptime", json!({})).to_string()).await;
        assert!(answer.json().pointer("/result/structuredContent").is_some(), "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_tool_answers_like_an_unknown_one_to_the_byte() {
    let world = World::open().await;
    let mut answers = Vec::new();
    for (tool, token) in [("get_cpu_info", "clock"), ("get_cpu_nope", "clock")] {
        let message = wire::call(tool, json!({ "x": 1, "sample_ms": "no number" }));
        let request = wire::post(world.port, &world.token(&[token]), &message);
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let answer = wire::exchange(&mut stream, &request).await.unwrap();
        let mut body = answer.json();
        body["error"]["data"]["call"] = json!("");
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| name != "date");
        answers.push((answer.status, headers, body.to_string().replace(tool, "TOOL")));
    }
    assert_eq!(answers[0], answers[1]);
}

/// Does what a tool must not do.
struct Bad(ToolSpec);

#[async_trait]
impl Tool for Bad {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }
    fn resource(&self, _: &Arguments) -> Result<Resource, Failure> {
        Ok(Resource::this_host())
    }
    async fn run(&self, _: &Permit, _: &Progress) -> Result<Output, Failure> {
        match &*self.0.name {
            "panics" => panic!("a defect"),
            "floods" => {
                Output::structured(&json!({ "text": "app: password=Vq3LmWz8 token=Vq3LmWz8\n".repeat(40_000) }))
            }
            _ => std::future::pending().await,
        }
    }
}

struct Bench {
    door: Door,
    lines: Arc<Lines>,
    peer: Arc<PeerIdentity>,
}

impl Bench {
    fn new() -> Self {
        let tool = |name| -> Box<dyn Tool> {
            let spec = ToolSpec::query::<Map<String, Value>, Map<String, Value>>(name, "Bad", "Bad.", Impact::Minimal);
            Box::new(Bad(spec))
        };
        let tools = ["panics", "hangs", "floods"];
        let lines = Arc::new(Lines::default());
        let clock = Clock::system();
        let scopes = [("core".to_owned(), tools.map(str::to_owned).to_vec())].into();
        let door = Door {
            authenticator: Authenticator::new(vec![Box::new(Local::new(Scope::parse("core").into_iter().collect()))]),
            gate: Arc::new(Gate::new(&ResourcesSection { max_concurrent_queries: 1, ..ResourcesSection::default() })),
            catalog: Catalog::new(tools.map(tool).into()).unwrap(),
            policy: Policy::new(ScopeMap::new(&scopes), SensitiveList::default(), Vec::new()),
            guard: Guard::new(
                Redactor::new(&RedactionSection::default()).unwrap(),
                Caps::new(&LimitsSection::default()),
            ),
            trail: Trail::new(Some(Arc::<Lines>::clone(&lines)), clock.clone()),
            recording: Recording {
                basis: Basis { config: "c".into(), policy: "p".into() },
                params: true,
                output_size: true,
                client_ip: true,
                redactions: true,
            },
            query_timeout: Duration::from_secs(5),
            clock,
        };
        Self { door, lines, peer: Arc::new(PeerIdentity::Stdio { uid: 1 }) }
    }

    async fn call(&self, tool: &str) -> Result<doorward::guard::Released, Failure> {
        let caller = self.door.identify(&self.peer, &Presented::Nothing).await?;
        let call = Call {
            id: CallId::new()?,
            caller,
            tool: tool.to_owned(),
            arguments: Map::new(),
            received: self.door.clock.now(),
            started: self.door.clock.instant(),
            announced: true,
        };
        self.door.pass(call, &Progress::unheard()).await
    }

    fn last(&self) -> (String, String) {
        let lines = self.lines.0.lock().unwrap();
        let last = lines.last().unwrap();
        (last["result"].as_str().unwrap().to_owned(), last["reason"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn a_tool_that_panics_ends_its_own_call_and_nothing_else() {
    let bench = Bench::new();
    for _ in 0..3 {
        let failure = bench.call("panics").await.unwrap_err();
        assert_eq!(failure.code(), Code::Internal);
        assert!(!failure.public().contains("defect"));
        assert_eq!(bench.last(), ("failed".to_owned(), "internal".to_owned()));
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_its_place_back_and_is_closed_as_abandoned() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(20), bench.call("hangs")).await.is_err());
        assert_eq!(bench.last(), ("abandoned".to_owned(), "cancelled".to_owned()));
    }
    assert_eq!(bench.call("hangs").await.unwrap_err().code(), Code::TimedOut);
    assert_eq!(bench.last(), ("failed".to_owned(), "timed_out".to_owned()));
}

/// The runtime of this test has one thread: what holds it up holds up the calls of everybody.
#[tokio::test]
async fn a_large_answer_is_redacted_within_the_time_of_its_call_and_holds_nobody_up() {
    let bench = Bench::new();
    let longest = Arc::new(AtomicU64::new(0));
    let noted = Arc::clone(&longest);
    let others = tokio::spawn(async move {
        loop {
            let began = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            noted.fetch_max(u64::try_from(began.elapsed().as_millis()).unwrap(), Ordering::Relaxed);
        }
    });
    let began = Instant::now();
    let failure = bench.call("floods").await.unwrap_err();
    let took = began.elapsed();
    others.abort();
    assert_eq!(failure.code(), Code::TimedOut, "{failure:?}");
    // The limit is 100 ms; without optimisation this redaction takes many seconds.
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert!(longest.load(Ordering::Relaxed) < 1000, "held up for {longest:?} ms");
    assert_eq!(bench.last(), ("failed".to_owned(), "timed_out".to_owned()));
}
