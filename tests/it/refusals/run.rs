//! Runs the table against a door, row by row, each row over a connection of its own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use doorward::clock::Clock;
use doorward::pki::{self, store};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::case::{Case, cases, choice};
use super::forged::Keys;
use super::sent;
use crate::world::child::Child;
use crate::world::program::missing;
use crate::world::{Choice, Estate, World, certificates, wire};

/// What the door is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A part of this process.
    InProcess,
    /// The built program, logging everything it ever logs.
    Binary,
}

/// An open door.
pub enum Opened {
    World(Box<World>),
    Child(Box<Child>),
}

impl Deref for Opened {
    type Target = Estate;

    fn deref(&self) -> &Estate {
        match self {
            Self::World(world) => world,
            Self::Child(child) => child,
        }
    }
}

/// What came of it.
pub struct Report {
    pub cases: usize,
    pub wrong: Vec<String>,
    pub opened: Vec<Opened>,
    /// Every token that was sent.
    pub tokens: Vec<String>,
    /// Every answer, head and body.
    pub answers: Vec<String>,
}

/// Lines of a configuration that log everything.
pub const TRACE: &str = "log:\n  level: trace\n  format: json\n";

/// How many doors there are for rows of the usual configuration; the table is long, and a row mostly waits.
const DOORS: usize = 4;

pub async fn run_all(mode: Mode) -> Report {
    let keys = Arc::new(Keys::new());
    let mut shares: BTreeMap<(String, usize), Vec<Case>> = BTreeMap::new();
    for (index, case) in cases().into_iter().enumerate() {
        let door = if case.world.is_empty() { index % DOORS } else { 0 };
        shares.entry((case.world.clone(), door)).or_default().push(case);
    }
    let running: Vec<_> =
        shares.into_values().map(|cases| tokio::spawn(run_share(mode, Arc::clone(&keys), cases))).collect();
    let mut whole = Report { cases: 0, wrong: Vec::new(), opened: Vec::new(), tokens: Vec::new(), answers: Vec::new() };
    for share in running {
        let report = share.await.unwrap();
        whole.cases += report.cases;
        whole.wrong.extend(report.wrong);
        whole.opened.extend(report.opened);
        whole.tokens.extend(report.tokens);
        whole.answers.extend(report.answers);
    }
    whole
}

/// Rows of one configuration, at a door of their own.
async fn run_share(mode: Mode, keys: Arc<Keys>, cases: Vec<Case>) -> Report {
    let door = open(mode, Choice { keys: vec![keys.jwk()], ..choice(&cases[0].world) }).await;
    certificates::make_look_alikes(&door.path(""));
    let weak = certificates::make_weak(&door.path(""));
    if cases[0].world == "outdated_list" {
        // No door opens with an old list; it has to run out.
        let lists = store::revocation_lists(&door.path("ca/ca.crl")).unwrap();
        let end = pki::next_update(&lists[0]).unwrap();
        while Clock::system().now() <= end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let mut run = Run { keys: &keys, tokens: Vec::new(), answers: Vec::new() };
    let (mut wrong, mut ran) = (Vec::new(), 0);
    for case in &cases {
        if !weak && case.certificate.as_deref().is_some_and(|name| name.starts_with("weak_")) {
            missing("openssl", &case.name);
            continue;
        }
        ran += 1;
        let checked = tokio::time::timeout(Duration::from_secs(20), run.check(&door, case)).await;
        if let Err(problem) = checked.unwrap_or_else(|_| Err("no answer in 20 seconds".to_owned())) {
            wrong.push(format!("{}: {problem}", case.name));
        }
    }
    let Run { tokens, answers, .. } = run;
    Report { cases: ran, wrong, opened: vec![door], tokens, answers }
}

async fn open(mode: Mode, mut choice: Choice) -> Opened {
    match mode {
        Mode::InProcess => Opened::World(Box::new(World::with(choice).await)),
        Mode::Binary => {
            choice.more.push_str(TRACE);
            // Blocks a thread of the test while the program starts; the key set is served by another one.
            Opened::Child(Box::new(tokio::task::block_in_place(|| Child::start(choice, &[]))))
        }
    }
}

struct Run<'a> {
    keys: &'a Keys,
    tokens: Vec<String>,
    answers: Vec<String>,
}

impl Run<'_> {
    async fn check(&mut self, estate: &Estate, case: &Case) -> Result<(), String> {
        let mut token = match case.token {
            Some(false) => None,
            _ => Some(self.keys.token(estate, case)),
        };
        if let Some(after) = &case.after {
            let user = if after.ends_with("as good") { "good" } else { case.certificate.as_deref().unwrap_or("good") };
            let used = if after.starts_with("use another") { Some(estate.token(&["core"])) } else { token.clone() };
            self.tokens.extend(used.clone());
            let bytes = sent::bytes(estate, &super::case::Request::default(), used.as_deref());
            let first = self.send(estate, Some(user), &bytes).await.map_err(|error| error.to_string())?;
            if first.status != 200 {
                return Err(format!("the first use was refused: {}", first.body));
            }
        }
        if let (Some(how), Some(first)) = (&case.again, &token) {
            token = Some(Keys::again(estate, first, how));
        }
        self.tokens.extend(token.clone());
        let before = estate.audit_bytes();
        let certificate = match case.certificate.as_deref() {
            Some("none") => None,
            Some(name) => Some(name),
            None => Some("good"),
        };
        let bytes = sent::bytes(estate, &case.request, token.as_deref());
        let answer = match case.client.as_deref() {
            Some("openssl") => openssl(estate, certificate.unwrap(), &bytes).await,
            Some(other) => panic!("no client {other}"),
            None => self.send(estate, certificate, &bytes).await,
        };
        told(case, &answer)?;
        let audit = fresh_audit(estate, before, expects_a_refusal(case)).await;
        recorded(case, &audit)?;
        if let Some(token) = token.filter(|token| token.len() > 20)
            && audit.iter().any(|record| record.to_string().contains(token.as_str()))
        {
            return Err("the token is in the audit log".to_owned());
        }
        Ok(())
    }

    async fn send(
        &mut self,
        estate: &Estate,
        certificate: Option<&str>,
        bytes: &[u8],
    ) -> std::io::Result<wire::Answer> {
        let mut stream = wire::connect(&estate.path(""), estate.port, certificate).await?;
        let answer = wire::exchange(&mut stream, bytes).await?;
        self.answers.push(format!("{:?}\n{}", answer.headers, answer.body));
        Ok(answer)
    }
}

fn expects_a_refusal(case: &Case) -> bool {
    case.expect.reason.is_some() || case.expect.audited.is_some()
}

/// Whether the caller is told what the row says, and no more.
fn told(case: &Case, answer: &std::io::Result<wire::Answer>) -> Result<(), String> {
    let expect = &case.expect;
    match (answer, expect.status.as_u64()) {
        (Err(_), None) => Ok(()),
        (Ok(answer), Some(status)) => {
            let reason = answer.reason().or_else(|| tool_error_reason(answer));
            if u64::from(answer.status) != status || reason != expect.reason {
                return Err(format!("{} {reason:?} {}", answer.status, answer.body));
            }
            let challenged = answer.header("www-authenticate").is_some();
            let owed = answer.status == 401 || expect.reason.as_deref() == Some("insufficient_scope");
            if challenged != owed {
                return Err(format!("challenge {challenged}, should be {owed}"));
            }
            let ran = answer.body.contains("structuredContent");
            if ran && expects_a_refusal(case) {
                return Err(format!("something ran: {}", answer.body));
            }
            Ok(())
        }
        (answer, _) => Err(format!("{answer:?}")),
    }
}

/// Whether the log holds what the row says: one refusal, and nothing that ran; or nothing refused.
fn recorded(case: &Case, audit: &[Value]) -> Result<(), String> {
    let expect = &case.expect;
    let refused: Vec<&Value> = audit.iter().filter(|record| record["result"] == "refused").collect();
    if !expects_a_refusal(case) {
        return if refused.is_empty() { Ok(()) } else { Err(format!("a control was refused: {refused:?}")) };
    }
    let [only] = refused.as_slice() else { return Err(format!("not one refusal in the audit log: {audit:?}")) };
    let reason = expect.audited.as_ref().or(expect.reason.as_ref());
    let event = expect.event.as_deref().unwrap_or("auth_failure");
    if only["event"] != event || only["reason"].as_str() != reason.map(String::as_str) {
        return Err(format!("another refusal in the audit log: {only}"));
    }
    if audit.iter().any(|record| record["result"] == "permitted") {
        return Err("something ran".to_owned());
    }
    Ok(())
}

/// A refused handshake is recorded while the client already knows.
async fn fresh_audit(estate: &Estate, before: usize, refused: bool) -> Vec<Value> {
    for _ in 0..200 {
        let audit = estate.audit_from(before);
        if !refused || audit.iter().any(|record| record["result"] == "refused") {
            return audit;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    estate.audit_from(before)
}

/// A refusal as a tool result names its reason in the text.
fn tool_error_reason(answer: &wire::Answer) -> Option<String> {
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    body.pointer("/result/isError").filter(|error| **error == json!(true))?;
    let text = body.pointer("/result/content/0/text")?.as_str()?;
    Some(text.split("reason: ").nth(1)?.split([',', ')']).next()?.to_owned())
}

/// A client that will use any key.
async fn openssl(estate: &Estate, certificate: &str, bytes: &[u8]) -> std::io::Result<wire::Answer> {
    let mut client = tokio::process::Command::new("openssl");
    client.args(["s_client", "-quiet", "-tls1_3", "-servername", "localhost", "-cipher", "DEFAULT@SECLEVEL=0"]);
    client.arg("-connect").arg(format!("127.0.0.1:{}", estate.port));
    client.arg("-CAfile").arg(estate.path("ca/ca.crt"));
    client.arg("-cert").arg(estate.path(&format!("{certificate}.crt")));
    client.arg("-key").arg(estate.path(&format!("{certificate}.key")));
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = client.spawn()?;
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(bytes).await;
    let said = tokio::time::timeout(Duration::from_secs(5), child.wait_with_output()).await;
    drop(input);
    let said = said.map_err(|_| std::io::ErrorKind::TimedOut)??;
    if said.stdout.is_empty() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&said.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(wire::Answer { status, headers: Vec::new(), body: body.to_owned() })
}
