//! Sensitive queries have two locks, the configuration and the scope: each alone leaves them shut, and what is shut is
//! absent and answers as unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use doorward::admission::{Gate, ResourcesSection};
use doorward::audit::{Basis, Trail};
use doorward::authn::{Authenticator, Local, Presented};
use doorward::call::{Arguments, Call, CallId, Impact, Output, Progress, Resource, Taken, ToolSpec};
use doorward::clock::Clock;
use doorward::error::{Code, Failure};
use doorward::guard::{Caps, Guard, LimitsSection, RedactionSection, Redactor};
use doorward::identity::{PeerIdentity, Scope};
use doorward::pipeline::{Door, Recording};
use doorward::policy::{Permit, Policy, SENSITIVE, ScopeMap, SensitiveList, SensitiveSection};
use doorward::secret::Secret;
use doorward::tools::{Catalog, Tool};
use serde_json::{Map, Value, json};

use crate::world::lines::Lines;
use crate::world::{Choice, World, wire};

/// What the stand-in of a sensitive query leases, and then tells.
const LEASED: &str = "Correct Horse 42";

/// Stands in for a sensitive query. It leases a secret and tells it in its answer, or in its failure.
struct Tells {
    spec: ToolSpec,
    fails: bool,
}

#[async_trait]
impl Tool for Tells {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn resource(&self, _: &Arguments) -> Result<Resource, Failure> {
        Ok(Resource::this_host())
    }

    async fn run(&self, permit: &Permit, progress: &Progress) -> Result<Output, Failure> {
        progress.report(0.0, None, format!("as {LEASED}"));
        assert_eq!(permit.lease(&Secret::new(b" abc".to_vec())).unwrap_err().code(), Code::Internal);
        permit.lease(&Secret::new(LEASED.as_bytes().to_vec()))?;
        if self.fails {
            return Err(Failure::new(Code::ToolFailed, format!("refused: {LEASED}")).because(format!("with {LEASED}")));
        }
        let taken = Taken::default();
        taken.note("password_field", "entries.message", 3);
        let told = json!({ "told": format!("it is {LEASED}"), "password": "x", "more": (vec![0; 2000]) });
        Ok(Output::structured(&told)?.without(&taken))
    }
}

/// A door with one sensitive query, `get_env_vars`, and what it records.
fn door(section: &SensitiveSection, scope: &str, fails: bool) -> (Door, Arc<Lines>) {
    let spec = ToolSpec::query::<Map<String, Value>, Map<String, Value>>("get_env_vars", "Env", "Env.", Impact::Low);
    let tool: Box<dyn Tool> = Box::new(Tells { spec: ToolSpec { sensitive: true, ..spec }, fails });
    let map = BTreeMap::from([("sensitive".to_owned(), vec!["get_env_vars".to_owned()]), ("core".to_owned(), vec![])]);
    let (lines, clock) = (Arc::new(Lines::default()), Clock::system());
    let door = Door {
        authenticator: Authenticator::new(vec![Box::new(Local::new(Scope::parse(scope).into_iter().collect()))]),
        gate: Arc::new(Gate::new(&ResourcesSection::default())),
        catalog: Catalog::new(vec![tool]).unwrap(),
        policy: Policy::new(ScopeMap::new(&map), SensitiveList::new(section), Vec::new()),
        guard: Guard::new(Redactor::new(&RedactionSection::default()).unwrap(), Caps::new(&LimitsSection::default())),
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
    (door, lines)
}

/// Calls it; also says whether it was listed.
async fn ask(door: &Door) -> (bool, Result<doorward::guard::Released, Failure>) {
    ask_heard(door, &Progress::unheard()).await
}

/// The same, listened to.
async fn ask_heard(door: &Door, progress: &Progress) -> (bool, Result<doorward::guard::Released, Failure>) {
    let peer = Arc::new(PeerIdentity::Stdio { uid: 1 });
    let caller = door.identify(&peer, &Presented::Nothing).await.unwrap();
    let listed = door.catalog.visible(&door.policy, caller.scopes()).count() == 1;
    let call = Call {
        id: CallId::new().unwrap(),
        caller,
        tool: "get_env_vars".to_owned(),
        arguments: Map::new(),
        received: door.clock.now(),
        started: door.clock.instant(),
        announced: true,
    };
    (listed, door.pass(call, progress).await)
}

fn section(enabled: bool, allow: &[&str], deny: &[&str]) -> SensitiveSection {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    SensitiveSection { enabled, allow: owned(allow), deny: owned(deny) }
}

#[tokio::test]
async fn each_lock_alone_leaves_a_sensitive_query_shut() {
    let it = &["get_env_vars"][..];
    let rows = [
        (section(true, it, &[]), "sensitive", None),
        (section(true, it, &[]), "core", Some(Code::InsufficientScope)),
        (section(false, it, &[]), "sensitive", Some(Code::SensitiveDisabled)),
        (section(true, &[], &[]), "sensitive", Some(Code::SensitiveDisabled)),
        (section(true, it, it), "sensitive", Some(Code::SensitiveDisabled)),
        (SensitiveSection::default(), "core", Some(Code::SensitiveDisabled)),
    ];
    for (section, scope, refused) in rows {
        let (door, _) = door(&section, scope, false);
        let (listed, answer) = ask(&door).await;
        assert_eq!(listed, refused.is_none(), "{section:?} {scope}");
        assert_eq!(answer.err().map(|failure| failure.code()), refused, "{section:?} {scope}");
    }
}

#[tokio::test]
async fn what_was_leased_for_a_call_leaves_neither_in_its_answer_nor_in_its_failure_nor_in_a_record() {
    for fails in [false, true] {
        let (door, lines) = door(&section(true, &["get_env_vars"], &[]), "sensitive", fails);
        match ask(&door).await.1 {
            Ok(released) => {
                let notices = released.notices();
                assert!(
                    notices[0].starts_with("truncated: items: 1000 of 2000 left out at /more (limits.max_array_items")
                );
                let (structured, text) = released.into_parts();
                assert_eq!(
                    (&structured["told"], &structured["password"]),
                    (&json!("it is [REDACTED]"), &json!("[REDACTED]"))
                );
                assert!(!text.contains(LEASED) && !fails);
            }
            Err(failure) => {
                assert_eq!(
                    (failure.public(), failure.cause().as_deref()),
                    ("refused: [REDACTED]", Some("with [REDACTED]"))
                );
                assert!(fails);
            }
        }
        let lines = lines.0.lock().unwrap();
        let details = |event: &str| -> Vec<String> {
            let own = lines.iter().filter(|line| line["event"] == event);
            own.map(|line| format!("{} {}", line["detail"].as_str().unwrap_or_default(), line["count"])).collect()
        };
        assert!(!lines.iter().any(|line| line.to_string().contains(LEASED)));
        if !fails {
            let before = "password_field in entries.message 3";
            assert_eq!(details("redaction"), ["leased 1", "*.*password in password 1", before]);
            let cut = "items: 1000 of 2000 left out at /more (limits.max_array_items is 1000) null";
            assert_eq!(details("limit_exceeded"), [cut]);
        }
    }
}

#[tokio::test]
async fn what_a_tool_says_on_its_way_knows_what_was_leased() {
    let (door, _) = door(&section(true, &["get_env_vars"], &[]), "sensitive", false);
    let (progress, mut steps) = Progress::channel(4);
    ask_heard(&door, &progress).await.1.unwrap();
    let step = steps.try_recv().unwrap();
    assert_eq!(step.message, format!("as {LEASED}"));
    assert_eq!(door.guard.redact_message(&step.message, &step.leases), "as [REDACTED]");
}

/// Through the running daemon, with every sensitive query that it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_lock_alone_leaves_the_daemons_sensitive_queries_shut() {
    let tools = doorward::daemon::tools();
    let here: Vec<&str> = SENSITIVE.into_iter().filter(|name| tools.iter().any(|tool| tool == name)).collect();
    if here.is_empty() {
        eprintln!("this build has no sensitive query: only the door itself is tested");
    }
    let all = SENSITIVE.join(", ");
    let rows = [
        (format!("queries: {{sensitive: {{enabled: true, allow: [{all}]}}}}\n"), "sensitive", true),
        (format!("queries: {{sensitive: {{enabled: true, allow: [{all}]}}}}\n"), "core", false),
        (format!("queries: {{sensitive: {{enabled: false, allow: [{all}]}}}}\n"), "sensitive", false),
        (format!("queries: {{sensitive: {{enabled: true, allow: [{all}], deny: [{all}]}}}}\n"), "sensitive", false),
        (String::new(), "sensitive", false),
    ];
    for (more, scope, open) in rows {
        let scopes = format!("  sensitive: [{all}, get_uptime]\n");
        let world = World::with(Choice { more: more.clone(), scopes, ..Choice::default() }).await;
        let mut stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        let mut send = async |message: &Value| {
            let token = world.token(&[scope]);
            wire::exchange(&mut stream, &wire::post(world.port, &token, message)).await.unwrap().json()
        };
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
        let listed = send(&list).await["result"]["tools"].take();
        let names: Vec<&str> = listed.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"get_uptime"), "{names:?}");
        for name in SENSITIVE {
            assert_eq!(names.contains(&name), open && here.contains(&name), "{name} with {scope} under {more}");
            if names.contains(&name) {
                continue;
            }
            let nobody = "x".repeat(name.len());
            let (shut, missing) =
                (send(&wire::call(name, json!({}))).await, send(&wire::call(&nobody, json!({}))).await);
            let (code, text) = (&shut["error"]["code"], shut["error"]["message"].as_str().unwrap());
            let unknown = missing["error"]["message"].as_str().unwrap().replace(&nobody, name);
            assert_eq!((code, text), (&missing["error"]["code"], unknown.as_str()), "{name}");
        }
    }
}
