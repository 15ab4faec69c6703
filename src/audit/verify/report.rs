//! What a verification found out.

use std::path::PathBuf;

use serde::Serialize;

use super::flaw::{Finding, shown};
use super::late::Late;

/// What was read and what is proven.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The files with records that were read, in order.
    pub files: Vec<FileRead>,
    /// The first record.
    pub first: Option<Edge>,
    /// The last record before the finding, or of all.
    pub last: Option<Edge>,
    /// How many records, checkpoints among them.
    pub records: u64,
    /// How many checkpoints.
    pub checkpoints: u64,
    /// How far it is proven.
    pub proof: Proof,
    /// What of it no checkpoint covered when the daemon was down, so that it could be written anew then.
    pub late: Late,
    /// What it ends with.
    pub ending: Ending,
    /// What the checkpoints kept elsewhere say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<Agreement>,
    /// The first line that is not as it was written. What is said above is about the records before it.
    pub finding: Option<Finding>,
    /// The next ones. The chain is taken up again after each, so that one is told for each thing that was done.
    pub further: Vec<Finding>,
    /// Whether there were so many that the rest was not looked at.
    pub given_up: bool,
}

/// A file that was read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FileRead {
    /// Where it is.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// Its first record.
    pub first: u64,
    /// Its last record that is as it was written.
    pub last: u64,
}

/// A record at the beginning or the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edge {
    /// Its number.
    pub seq: u64,
    /// Its time, if it has one.
    pub ts: Option<String>,
}

/// How far a journal is proven.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Proof {
    /// There was no key: nothing is.
    NoKey,
    /// There is no checkpoint: nothing is.
    NoCheckpoint,
    /// Up to the last checkpoint and with it.
    UpTo {
        /// The checkpoint's number; it covers every record before it.
        seq: u64,
        /// Its time.
        ts: String,
        /// The key that signed it.
        key: String,
    },
}

/// What the last record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The checkpoint of an orderly stop.
    Stop,
    /// Another checkpoint.
    Checkpoint,
    /// A record that no checkpoint covers.
    Open,
}

/// Checkpoints kept elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Agreement {
    /// How many are in the journal just as they are kept.
    pub agree: u64,
    /// How many are about records before the first one that was given.
    pub before: u64,
}
