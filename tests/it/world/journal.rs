//! A journal as the daemon leaves it: several files, some compressed, checkpoints, a stop at the end.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use doorward::audit::chain::Head;
use doorward::audit::checkpoint::{Cause, Signer};
use doorward::audit::layout::Layout;
use doorward::clock::Timestamp;
use doorward::pki::{KeyKind, PublicKey, SigningKey};
use serde_json::{Value, json};
use tempfile::TempDir;

/// When the first record was written; each further one is a second later.
pub const BEGIN: i64 = 1_800_000_000;

/// Gone when dropped.
pub struct Ledger {
    home: TempDir,
    layout: Layout,
    signer: Signer,
    pub public: PublicKey,
    head: Head,
    /// What is not yet written into the active file.
    page: Vec<u8>,
    first: u64,
    pub now: i64,
}

impl Ledger {
    /// With a key and nothing else.
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::of(&home.path().join("audit.jsonl"));
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        fs::write(layout.beside("pub"), key.public_pem().unwrap()).unwrap();
        let public = PublicKey::of(&key).unwrap();
        let signer = Signer::new(key).unwrap();
        Self { home, layout, signer, public, head: Head::START, page: Vec::new(), first: 1, now: BEGIN }
    }

    /// Three files, the first compressed, and a clean end.
    pub fn usual() -> Self {
        let mut ledger = Self::new();
        ledger.note(json!({"event": "start"}));
        (0..5).for_each(|number| ledger.call(number));
        ledger.rotate(true);
        (5..8).for_each(|number| ledger.call(number));
        ledger.checkpoint(Cause::Interval);
        (8..10).for_each(|number| ledger.call(number));
        ledger.rotate(false);
        ledger.call(10);
        ledger.checkpoint(Cause::Interval);
        ledger.call(11);
        ledger.stop();
        ledger
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn active(&self) -> PathBuf {
        self.layout.active().to_owned()
    }

    /// The number of the last record.
    pub fn last(&self) -> u64 {
        self.head.seq
    }

    fn body(&mut self, body: &[u8]) {
        self.now += 1;
        self.head = self.head.append(body, &mut self.page).unwrap();
    }

    /// A record of what `members` say.
    pub fn note(&mut self, members: Value) {
        let Value::Object(members) = members else { panic!("not an object") };
        let rest = serde_json::to_string(&members).unwrap();
        let ts = Timestamp::from_seconds(self.now);
        self.body(format!("{{\"v\":1,\"ts\":\"{ts}\",{}", &rest[1..]).as_bytes());
    }

    /// Both records of a call; every fourth is a refusal, which is one.
    pub fn call(&mut self, number: u64) {
        let even = number.is_multiple_of(2);
        let id = format!("{number:08x}{}", "c0ffee".repeat(4));
        let (user, tool) = if even { ("alice", "get_cpu_info") } else { ("bob", "get_uptime") };
        let client = json!({"transport": "https", "ip": format!("10.0.0.{}", number % 3), "subject": "CN=coding-bot",
            "certificate": "ab".repeat(32), "jwt_sub": user});
        let mut record = json!({"event": "query", "stage": "decision", "id": id, "query": tool, "client": client,
            "params": {"limit": number}, "user": user, "agent": ["coding-bot"], "scopes": ["core"],
            "resource": "Host::\"web01\"", "decision": "permit", "result": "permitted",
            "policy": {"by": ["scope:core"], "set": "0123456789abcdef"}, "config": "fedcba9876543210"});
        if number % 4 == 3 {
            record["event"] = "query_denied".into();
            record["decision"] = "forbid".into();
            record["result"] = "refused".into();
            record["reason"] = "policy_forbidden".into();
            record["detail"] = "no rule permits it".into();
            record.as_object_mut().unwrap().remove("stage");
            self.note(record);
            return;
        }
        self.note(record.clone());
        let outcome = record.as_object_mut().unwrap();
        outcome.remove("params");
        outcome.remove("policy");
        outcome.extend(
            json!({"stage": "outcome", "result": "success", "duration_ms": 10 + number,
            "output_bytes": 2048})
            .as_object()
            .unwrap()
            .clone(),
        );
        self.note(record);
    }

    pub fn checkpoint(&mut self, cause: Cause) {
        let body = self.signer.sign(self.head, cause, Timestamp::from_seconds(self.now)).unwrap();
        self.body(&body);
    }

    pub fn stop(&mut self) {
        self.note(json!({"event": "stop"}));
        self.checkpoint(Cause::Stop);
        self.write();
    }

    /// Appends to the active file what was said since.
    pub fn write(&mut self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.layout.active()).unwrap();
        file.write_all(&std::mem::take(&mut self.page)).unwrap();
    }

    pub fn rotate(&mut self, compress: bool) {
        self.checkpoint(Cause::Rotation);
        self.write();
        let to = self.layout.rotated(self.first);
        fs::rename(self.layout.active(), &to).unwrap();
        if compress {
            let packed = gzip(&fs::read(&to).unwrap());
            let (whole, part) = (format!("{}.gz", to.display()), format!("{}.gz.tmp", to.display()));
            fs::write(&part, packed).unwrap();
            fs::rename(part, whole).unwrap();
            fs::remove_file(to).unwrap();
        }
        self.first = self.head.seq + 1;
        fs::write(self.layout.active(), "").unwrap();
    }

    /// Every file with records, oldest first, with what is in it.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let segments = self.layout.segments().unwrap();
        segments.into_iter().map(|segment| (segment.path.clone(), fs::read(segment.path).unwrap())).collect()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
