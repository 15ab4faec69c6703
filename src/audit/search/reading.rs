//! A record as it is read: every field may be absent, for it may be of another version or come from a damaged file.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What a line says. Its texts are a stranger's until they are made harmless.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub struct Reading {
    /// Number in the chain.
    pub seq: u64,
    /// When, RFC 3339.
    pub ts: String,
    /// What happened.
    pub event: String,
    /// `decision` or `outcome`.
    pub stage: Option<String>,
    /// The call.
    pub id: Option<String>,
    /// The tool.
    pub query: Option<String>,
    /// Its arguments, JSON.
    pub params: Option<Box<RawValue>>,
    /// The other end.
    pub client: Remote,
    /// On whose behalf.
    pub user: Option<String>,
    /// By which agents.
    pub agent: Vec<String>,
    /// What the token opens.
    pub scopes: Vec<String>,
    /// What it acts on.
    pub resource: Option<String>,
    /// What the policy said.
    pub decision: Option<String>,
    /// How it ended.
    pub result: Option<String>,
    /// Why not, as a code.
    pub reason: Option<String>,
    /// Why not, for the operator.
    pub detail: Option<String>,
    /// The rules that decided, JSON.
    pub policy: Option<Box<RawValue>>,
    /// From request to answer.
    pub duration_ms: Option<u64>,
    /// Size of the answer.
    pub output_bytes: Option<u64>,
    /// How many of the same it stands for.
    pub count: Option<u64>,
    /// The configuration in force.
    pub config: Option<String>,
    /// What a checkpoint states, JSON.
    pub checkpoint: Option<Box<RawValue>>,
}

/// The other end.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub struct Remote {
    /// `https`, `unix` or `stdio`.
    pub transport: Option<String>,
    /// Its address.
    pub ip: Option<String>,
    /// Subject of its certificate.
    pub subject: Option<String>,
    /// SHA-256 of its certificate.
    pub certificate: Option<String>,
    /// `sub` of its token.
    pub jwt_sub: Option<String>,
}

impl Reading {
    /// Reads a line; `None` when it is not a record.
    #[must_use]
    pub fn of(line: &[u8]) -> Option<Self> {
        // A list of values would pass for a struct.
        line.starts_with(b"{").then(|| serde_json::from_slice(line).ok()).flatten()
    }

    /// `alice via coding-bot`, or what else is known of the other end.
    #[must_use]
    pub fn who(&self) -> Option<String> {
        let user = self.user.clone().or_else(|| self.client.subject.clone()).or_else(|| self.client.ip.clone())?;
        let agents = if self.user.is_some() { self.agent.as_slice() } else { &[] };
        Some(agents.iter().fold(user, |who, agent| format!("{who} via {agent}")))
    }

    /// What a checkpoint covers and why it was made: `records up to 41, interval`.
    #[must_use]
    pub fn covers(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Statement {
            covers: u64,
            cause: String,
        }
        let Statement { covers, cause } = serde_json::from_str(self.checkpoint.as_ref()?.get()).ok()?;
        Some(format!("records up to {covers}, {cause}"))
    }

    /// The rules that decided, with commas between them.
    #[must_use]
    pub fn rules(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Policy {
            Set { by: Vec<String> },
            Rules(Vec<String>),
        }
        let policy: Policy = serde_json::from_str(self.policy.as_ref()?.get()).ok()?;
        let (Policy::Set { by } | Policy::Rules(by)) = policy;
        (!by.is_empty()).then(|| by.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_and_by_which_rules_is_told_in_words() {
        let read = |text: &str| Reading::of(text.as_bytes()).unwrap();
        let record = read(r#"{"user":"alice","agent":["bot","tool"],"policy":{"by":["a","b"],"set":"1"}}"#);
        assert_eq!(record.who().unwrap(), "alice via bot via tool");
        assert_eq!(record.rules().unwrap(), "a, b");
        let record = read(r#"{"client":{"subject":"CN=x","ip":"10.0.0.1"},"policy":["a"]}"#);
        assert_eq!((record.who().unwrap(), record.rules().unwrap()), ("CN=x".to_owned(), "a".to_owned()));
        let record = read(r#"{"checkpoint":{"covers":41,"cause":"interval","key":"k"}}"#);
        assert_eq!(record.covers().unwrap(), "records up to 41, interval");
        assert!(read("{}").covers().is_none());
        assert!(read("{}").who().is_none() && read("{}").rules().is_none());
        assert!(Reading::of(b"{\"seq\":").is_none() && Reading::of(b"[1]").is_none());
    }
}
