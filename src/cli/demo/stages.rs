//! A step of the demo, told by the audit records it left: which stations it passed and where it ended.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Time between two looks at the log.
const LOOK: Duration = Duration::from_millis(10);

/// The audit log from some moment on.
pub(super) struct Trace {
    path: PathBuf,
    patience: Duration,
    read: usize,
}

impl Trace {
    /// What comes after what is there now.
    pub(super) async fn from_now(path: PathBuf, patience: Duration) -> Self {
        let mut trace = Self { path, patience, read: 0 };
        trace.lines().await;
        trace
    }

    /// The lines since the last time. Waits, but not without end, for the first of them: a refused handshake is
    /// recorded after the client knows of it, everything else before.
    pub(super) async fn next(&mut self) -> Vec<String> {
        let patience = self.patience;
        let waiting = async {
            loop {
                let lines = self.lines().await;
                if !lines.is_empty() {
                    return lines;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or_default()
    }

    async fn lines(&mut self) -> Vec<String> {
        let text = tokio::fs::read_to_string(&self.path).await.unwrap_or_default();
        let lines: Vec<String> = text.lines().skip(self.read).map(str::to_owned).collect();
        self.read = self.read.saturating_add(lines.len());
        lines
    }
}

/// `certificate CN=bot → token alice via bot [core] → permitted by scope:core on Host::"localhost" → success, 1 ms, 471 bytes`
pub(super) fn told(records: &[Value]) -> String {
    let mut stages = Vec::new();
    for record in records {
        if stages.is_empty() {
            let subject = record.pointer("/client/subject").and_then(Value::as_str);
            stages.push(subject.map_or("no certificate".to_owned(), |subject| format!("certificate {subject}")));
        }
        stages.push(stage(record));
    }
    stages.join(" → ")
}

/// The reason that the last of them gives.
pub(super) fn reason(records: &[Value]) -> Option<&str> {
    text(records.last()?, "reason")
}

fn stage(record: &Value) -> String {
    match (text(record, "event").unwrap_or_default(), text(record, "result").unwrap_or_default()) {
        ("auth_success", _) => {
            let who = [text(record, "user").unwrap_or_default()].into_iter().chain(words(record, "agent"));
            let scopes: Vec<&str> = words(record, "scopes").collect();
            format!("token {} [{}]", who.collect::<Vec<_>>().join(" via "), scopes.join(" "))
        }
        ("query", "permitted") => {
            let rules: Vec<&str> = record.get("policy").into_iter().flat_map(|policy| words(policy, "by")).collect();
            format!("permitted by {} on {}", rules.join(", "), text(record, "resource").unwrap_or_default())
        }
        (_, result) => {
            let number = |name: &str, unit: &str| record.get(name).map(|number| format!(", {number} {unit}"));
            let reason = text(record, "reason").map(|reason| format!(": {reason}"));
            let detail = text(record, "detail").map(|detail| format!(" ({detail})"));
            let parts = [reason, detail, number("duration_ms", "ms"), number("output_bytes", "bytes")];
            parts.into_iter().flatten().fold(result.to_owned(), |text, part| text + &part)
        }
    }
}

fn text<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    record.get(name)?.as_str()
}

fn words<'a>(record: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    record.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_told_from_certificate_to_outcome() {
        let client = json!({ "subject": "CN=bot" });
        let token = json!({ "event": "auth_success", "client": client, "user": "alice", "agent": ["bot", "relay"],
            "scopes": ["clock", "core"], "result": "success" });
        let decision = json!({ "event": "query", "stage": "decision", "client": client, "policy": { "by": ["scope:core"] },
            "resource": "Host::\"localhost\"", "result": "permitted" });
        let outcome = json!({ "event": "query", "stage": "outcome", "client": client, "result": "success",
            "duration_ms": 1, "output_bytes": 471 });
        assert_eq!(
            told(&[token, decision, outcome]),
            "certificate CN=bot → token alice via bot via relay [clock core] → permitted by scope:core on \
             Host::\"localhost\" → success, 1 ms, 471 bytes"
        );
    }

    #[test]
    fn a_refusal_is_told_with_its_reason() {
        let missing = json!({ "event": "auth_failure", "client": { "ip": "127.0.0.1" }, "result": "refused",
            "reason": "certificate_missing", "detail": "peer sent no certificates" });
        assert_eq!(
            told(std::slice::from_ref(&missing)),
            "no certificate → refused: certificate_missing (peer sent no certificates)"
        );
        assert_eq!(reason(&[missing]), Some("certificate_missing"));
        let replayed = json!({ "event": "auth_failure", "client": { "subject": "CN=bot" }, "result": "refused",
            "reason": "token_replayed" });
        assert_eq!(told(&[replayed]), "certificate CN=bot → refused: token_replayed");
        assert_eq!((told(&[]), reason(&[])), (String::new(), None));
    }

    #[tokio::test]
    async fn only_what_is_new_is_seen_and_nothing_is_waited_for_without_end() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.jsonl");
        std::fs::write(&path, "old\n").unwrap();
        let mut trace = Trace::from_now(path.clone(), Duration::from_millis(500)).await;
        assert!(trace.next().await.is_empty());
        std::fs::write(&path, "old\none\ntwo\n").unwrap();
        assert_eq!(trace.next().await, ["one", "two"]);
    }
}
