//! A journal that a test writes: chained, rotated and compressed as the daemon's is.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use doorward::audit::chain::{Head, Link};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub struct Written {
    home: TempDir,
    head: Head,
    first: u64,
    all: Vec<Vec<u8>>,
}

impl Written {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), head: Head::START, first: 1, all: Vec::new() }
    }

    pub fn path(&self) -> PathBuf {
        self.beside("audit.jsonl")
    }

    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn lines(&self) -> Vec<Vec<u8>> {
        self.all.clone()
    }

    /// Writes one record, with what every record has.
    pub fn append(&mut self, record: &Value) {
        let mut whole: Map<String, Value> = Map::new();
        let ts = format!("2026-11-20T10:30:{:02}.{:03}Z", self.all.len() % 60, self.all.len() % 1000);
        whole.extend([("v".to_owned(), json!(1)), ("ts".to_owned(), json!(ts))]);
        whole.extend(record.as_object().unwrap().clone());
        let mut page = Vec::new();
        self.push(&serde_json::to_vec(&whole).unwrap(), &mut page);
        self.put(&page);
    }

    /// Writes `count` ordinary records at once.
    pub fn append_many(&mut self, count: usize) {
        let mut page = Vec::new();
        for _ in 0..count {
            let number = self.all.len();
            let body = format!(
                "{{\"v\":1,\"ts\":\"2026-11-20T10:30:45.{:03}Z\",\"event\":\"query\",\"stage\":\"outcome\",\"id\":\"c-{number}\",\
                 \"query\":\"get_cpu_info\",\"params\":{{\"sample_ms\":100}},\"client\":{{\"transport\":\"https\",\
                 \"ip\":\"192.0.2.7\",\"subject\":\"CN=bot,O=Acme\"}},\"user\":\"alice\",\"agent\":[\"bot\"],\
                 \"scopes\":[\"core\"],\"resource\":\"Host::\\\"web01\\\"\",\"result\":\"success\",\"duration_ms\":12,\
                 \"output_bytes\":2048}}",
                number % 1000
            );
            self.push(body.as_bytes(), &mut page);
        }
        self.put(&page);
    }

    /// Moves the file to its place among the rotated ones and compresses it.
    pub fn rotate(&mut self) {
        let name = format!("audit.{:012}.jsonl", self.first);
        std::fs::rename(self.path(), self.beside(&name)).unwrap();
        self.first = self.head.seq + 1;
    }

    /// Compresses the rotated file that begins with `first`.
    pub fn compress(&self, first: u64) {
        let plain = self.beside(&format!("audit.{first:012}.jsonl"));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&std::fs::read(&plain).unwrap()).unwrap();
        let new = plain.with_extension("jsonl.gz.tmp");
        std::fs::write(&new, encoder.finish().unwrap()).unwrap();
        std::fs::rename(new, plain.with_extension("jsonl.gz")).unwrap();
        std::fs::remove_file(plain).unwrap();
    }

    /// Number of the first record of the file that is written.
    pub fn first(&self) -> u64 {
        self.first
    }

    fn push(&mut self, body: &[u8], page: &mut Vec<u8>) {
        let begin = page.len();
        self.head = self.head.append(body, page).unwrap();
        self.all.push(page[begin..page.len() - 1].to_vec());
    }

    fn put(&self, page: &[u8]) {
        OpenOptions::new().append(true).create(true).open(self.path()).unwrap().write_all(page).unwrap();
    }
}

/// Holds what arrived against what was written: nothing missing, nothing changed, each for the first time in its order.
/// Returns how many came more than once.
#[track_caller]
pub fn compare(arrived: &[Vec<u8>], written: &[Vec<u8>]) -> usize {
    let (mut next, mut again) = (0, 0);
    for message in arrived {
        let seq = Link::of(message).unwrap_or_else(|| panic!("no record: {}", String::from_utf8_lossy(message))).seq;
        let index = usize::try_from(seq).unwrap() - 1;
        assert!(index <= next, "record {} came before {}", index + 1, next + 1);
        assert_eq!(message, &written[index], "record {seq} came changed");
        match index == next {
            true => next += 1,
            false => again += 1,
        }
    }
    assert_eq!(next, written.len(), "records are missing at the end");
    again
}
