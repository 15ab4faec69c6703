//! One line of the audit log. Text in it never holds a secret or output data.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::client::{Client, shared};
use super::printable::{harmless_members, printable};
use crate::clock::Timestamp;
use crate::error::Code;
use crate::identity::{Principal, Scopes};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The daemon began to serve.
    Start,
    /// The daemon ended.
    Stop,
    /// A token was accepted.
    AuthSuccess,
    /// A certificate, a token or the request around it was refused.
    AuthFailure,
    /// A tool was called: its decision, then its outcome.
    Query,
    /// A tool was asked for and refused.
    QueryDenied,
    /// A budget or a cap was reached.
    LimitExceeded,
    /// Something was taken out of an output.
    Redaction,
    /// The configuration was read again.
    ConfigReload,
    /// At the start the log was found as no clean stop leaves it; `detail` says how.
    UncleanStop,
    /// A signed statement of how far the log has come.
    Checkpoint,
    /// A secret was fetched for a call.
    CredentialFetch,
    /// A handle to a secret was used.
    HandleResolution,
    /// A session with a target was opened.
    SessionOpen,
    /// A session with a target ended.
    SessionClose,
    /// For a time this log could not be written; `count` says how many records are missing for good.
    AuditGap,
    /// Something an operator should look at; `reason` names it.
    Warning,
}

/// Which of a call's two records this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Written before the effect.
    Decision,
    /// Written after it.
    Outcome,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Judged and allowed; the outcome follows.
    Permitted,
    /// Done.
    Success,
    /// Not allowed.
    Refused,
    /// Allowed, and did not work.
    Failed,
    /// Begun, and never finished: the caller went away or the daemon lost the call.
    Abandoned,
}

/// One audit record. Absent fields are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Version of this form.
    v: u8,
    /// When, in UTC.
    ts: String,
    event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<Map<String, Value>>,
    client: Client,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    agent: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    first_contact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Ruling::is_empty")]
    policy: Ruling,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    config: Option<Arc<str>>,
    /// Becomes part of `policy` once the policy was asked.
    #[serde(skip)]
    policy_set: Option<Arc<str>>,
}

/// Under which configuration a record is made: hashes, so that nothing in it is told.
#[derive(Clone, Debug)]
pub struct Basis {
    /// Of the whole configuration.
    pub config: Arc<str>,
    /// Of what the policy judges by.
    pub policy: Arc<str>,
}

/// What decided.
#[derive(Clone, Default, Debug, Serialize)]
struct Ruling {
    /// The determining policies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by: Vec<String>,
    /// The hash of the set they are from.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    set: Option<Arc<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(said: &bool) -> bool {
    !said
}

impl Ruling {
    fn is_empty(&self) -> bool {
        self.by.is_empty() && self.set.is_none()
    }
}

impl Record {
    /// A record of `event` at `at` about `client`.
    #[must_use]
    pub fn new(event: Event, at: Timestamp, client: Client) -> Self {
        Self {
            v: 1,
            ts: at.to_string(),
            event,
            stage: None,
            id: None,
            query: None,
            params: None,
            client,
            user: None,
            agent: Vec::new(),
            scopes: Vec::new(),
            resource: None,
            first_contact: false,
            decision: None,
            result: None,
            reason: None,
            detail: None,
            policy: Ruling::default(),
            duration_ms: None,
            output_bytes: None,
            count: None,
            config: None,
            policy_set: None,
        }
    }

    /// Under which configuration.
    #[must_use]
    pub fn under(mut self, basis: &Basis) -> Self {
        self.config = Some(Arc::clone(&basis.config));
        self.policy_set = Some(Arc::clone(&basis.policy));
        self
    }

    /// The call it belongs to.
    #[must_use]
    pub fn about(mut self, id: &str, query: &str) -> Self {
        self.id = Some(id.to_owned());
        self.query = Some(printable(query, 128));
        self
    }

    /// The same record of another event.
    #[must_use]
    pub fn of(mut self, event: Event) -> Self {
        self.event = event;
        self
    }

    /// The arguments; leave them out where the configuration says so.
    #[must_use]
    pub fn with_params(mut self, params: Map<String, Value>) -> Self {
        self.params = Some(harmless_members(params));
        self
    }

    /// Who: user, agents and scopes.
    #[must_use]
    pub fn by(mut self, principal: &Principal, scopes: &Scopes) -> Self {
        self.user = Some(printable(&principal.subject, 256));
        self.client.jwt_sub = self.user.clone();
        self.agent = principal.agents().map(|agent| printable(agent, 256)).collect();
        self.scopes = scopes.iter().map(ToString::to_string).collect();
        self
    }

    /// What it acts on.
    #[must_use]
    pub fn on(mut self, resource: &str) -> Self {
        self.resource = Some(printable(resource, 512));
        self
    }

    /// With this caller it was not, within a day.
    #[must_use]
    pub fn in_first_contact(mut self) -> Self {
        self.first_contact = true;
        self
    }

    /// Allowed by these rules.
    #[must_use]
    pub fn permitted(mut self, by: &[String]) -> Self {
        self.stage = Some(Stage::Decision);
        self.decision = Some("permit");
        self.result = Some(Verdict::Permitted);
        self.policy = Ruling { by: by.to_vec(), set: self.policy_set.clone() };
        self
    }

    /// Refused for this reason; `detail` is for the operator.
    #[must_use]
    pub fn refused(mut self, code: Code, detail: Option<String>) -> Self {
        if self.query.is_some() {
            self.decision = Some("forbid");
            self.policy.set.clone_from(&self.policy_set);
        }
        self.result = Some(Verdict::Refused);
        self.reason = Some(code.as_str());
        self.detail = detail.map(|text| printable(&text, 512));
        self
    }

    /// Simply done.
    #[must_use]
    pub fn succeeded(mut self) -> Self {
        self.result = Some(Verdict::Success);
        self
    }

    /// A warning of this name, under the configuration of the record that raised it.
    pub(super) fn warning(&self, reason: &'static str, at: Timestamp, client: Client) -> Self {
        let (reason, config) = (Some(reason), self.config.clone());
        Self { reason, config, ..Self::new(Event::Warning, at, client) }
    }

    /// The refusals of who is there that it stands for: from where, as far as it says so, and how many.
    pub(super) fn auth_failures(&self) -> Option<(Option<IpAddr>, u64)> {
        (self.event == Event::AuthFailure).then(|| (self.client.ip, self.count.unwrap_or(1)))
    }

    /// A remark for the operator.
    #[must_use]
    pub fn saying(mut self, detail: &str) -> Self {
        self.detail = Some(printable(detail, 512));
        self
    }

    /// How many of the same this stands for.
    #[must_use]
    pub fn counted(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// The outcome of the call whose decision this record is.
    pub(super) fn into_outcome(mut self, at: Timestamp, outcome: &Outcome) -> Self {
        self.ts = at.to_string();
        self.stage = Some(Stage::Outcome);
        self.params = None;
        self.first_contact = false;
        self.decision = None;
        self.policy = Ruling::default();
        self.result = Some(outcome.verdict);
        self.reason = outcome.reason.map(Code::as_str);
        self.detail = outcome.detail.as_deref().map(|text| printable(text, 512));
        self.duration_ms = outcome.duration_ms;
        self.output_bytes = outcome.output_bytes;
        self
    }
}

/// What became of a call that was begun.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Why it failed.
    pub reason: Option<Code>,
    /// For the operator.
    pub detail: Option<String>,
    /// From request to answer.
    pub duration_ms: Option<u64>,
    /// Size of what was answered.
    pub output_bytes: Option<u64>,
}
