//! First contact: what the policy is told, what the log says, and which calls count as one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
use doorward::policy::{Decision, DecisionPoint, Permit, Policy, Request, ScopeMap, SensitiveList};
use doorward::tools::{Catalog, Tool};
use serde_json::{Map, Value, json};

use crate::world::lines::Lines;

/// Never ends by itself, or at once.
struct Acts(ToolSpec);

#[async_trait]
impl Tool for Acts {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }
    fn resource(&self, _: &Arguments) -> Result<Resource, Failure> {
        Ok(Resource::this_host())
    }
    async fn run(&self, _: &Permit, _: &Progress) -> Result<Output, Failure> {
        match &*self.0.name {
            "hangs" => std::future::pending().await,
            _ => Output::structured(&json!({ "done": true })),
        }
    }
}

/// Notes what it is told, and forbids or hesitates for ever when it is told to.
#[derive(Default)]
struct Judge {
    told: Mutex<Vec<bool>>,
    forbids: AtomicBool,
    hesitates: AtomicBool,
}

struct Point(Arc<Judge>);

#[async_trait]
impl DecisionPoint for Point {
    async fn decide(&self, request: &Request<'_>) -> Result<Decision, Failure> {
        self.0.told.lock().unwrap().push(request.context.first_contact);
        if self.0.hesitates.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        match self.0.forbids.load(Ordering::Relaxed) {
            true => Ok(Decision::Forbid { by: "judge".to_owned(), code: Code::PolicyForbidden }),
            false => Ok(Decision::Abstain),
        }
    }
}

fn door() -> (Door, Arc<Judge>, Arc<Lines>) {
    let tools = ["ends", "hangs"];
    let tool = |name| -> Box<dyn Tool> {
        Box::new(Acts(ToolSpec::query::<Map<String, Value>, Map<String, Value>>(name, "", "", Impact::Minimal)))
    };
    let (judge, lines, clock) = (Arc::new(Judge::default()), Arc::new(Lines::default()), Clock::system());
    let scopes = [("core".to_owned(), tools.map(str::to_owned).to_vec())].into();
    let points: Vec<Box<dyn DecisionPoint>> = vec![Box::new(Point(Arc::clone(&judge)))];
    let door = Door {
        authenticator: Authenticator::new(vec![Box::new(Local::new(Scope::parse("core").into_iter().collect()))]),
        gate: Arc::new(Gate::new(&ResourcesSection::default())),
        catalog: Catalog::new(tools.map(tool).into()).unwrap(),
        policy: Policy::new(ScopeMap::new(&scopes), SensitiveList::default(), points),
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
    (door, judge, lines)
}

async fn call(door: &Door, uid: u32, tool: &str) -> Result<(), Failure> {
    let peer = Arc::new(PeerIdentity::Stdio { uid });
    let caller = door.identify(&peer, &Presented::Nothing).await?;
    let call = Call {
        id: CallId::new()?,
        caller,
        tool: tool.to_owned(),
        arguments: Map::new(),
        received: door.clock.now(),
        started: door.clock.instant(),
        announced: true,
    };
    door.pass(call, &Progress::unheard()).await.map(|_| ())
}

#[tokio::test]
async fn a_call_that_is_refused_or_given_up_is_no_contact_and_one_that_was_handed_to_its_tool_is() {
    let (door, judge, lines) = door();
    let told = || std::mem::take(&mut *judge.told.lock().unwrap());
    judge.forbids.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(call(&door, 1, "ends").await.unwrap_err().code(), Code::PolicyForbidden);
    }
    assert_eq!(told(), [true, true], "a denied one leaves it as it was");
    judge.forbids.store(false, Ordering::Relaxed);
    judge.hesitates.store(true, Ordering::Relaxed);
    assert!(tokio::time::timeout(Duration::from_millis(20), call(&door, 1, "ends")).await.is_err());
    judge.hesitates.store(false, Ordering::Relaxed);
    assert_eq!(told(), [true]);
    assert_eq!(call(&door, 1, "nothing").await.unwrap_err().code(), Code::UnknownTool);
    call(&door, 1, "ends").await.unwrap();
    assert_eq!(told(), [true], "nor is one that was given up while it was judged, or that names no tool");
    call(&door, 1, "ends").await.unwrap();
    assert_eq!(told(), [false]);
    // Another caller, whose call the tool had, whatever became of it there.
    assert!(tokio::time::timeout(Duration::from_millis(20), call(&door, 2, "hangs")).await.is_err());
    call(&door, 2, "ends").await.unwrap();
    assert_eq!(told(), [true, false]);
    let lines = lines.0.lock().unwrap();
    let decided = lines.iter().filter(|line| line["result"] == "permitted");
    let said: Vec<&Value> = decided.map(|line| &line["first_contact"]).collect();
    assert_eq!(said, [&json!(true), &Value::Null, &json!(true), &Value::Null]);
    assert!(lines.iter().all(|line| line["stage"] != "outcome" || line["first_contact"].is_null()));
}
