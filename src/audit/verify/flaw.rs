//! What can be wrong with a journal, in words a person understands.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// A line that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The file it is in.
    #[serde(serialize_with = "shown")]
    pub file: PathBuf,
    /// Its line, counted from 1.
    pub line: u64,
    /// The number that the record there has, or should have, as far as that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What is wrong.
    #[serde(flatten)]
    pub flaw: Flaw,
}

/// Flaws that are told of one source; more say nothing new.
pub(super) const MOST: usize = 20;

/// A path as text, even if it is not UTF-8.
pub(super) fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file.display(), self.line)?;
        if let Some(seq) = self.seq {
            write!(f, "record {seq}: ")?;
        }
        self.flaw.fmt(f)
    }
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "flaw", rename_all = "snake_case")]
pub enum Flaw {
    /// There is no record at all.
    Empty,
    /// The line has not the form in which records are written.
    NotARecord,
    /// The last line has no newline.
    HalfWritten,
    /// The file cannot be decompressed from here on, or the line has no end.
    Unreadable {
        /// What the reader says.
        why: String,
    },
    /// The record is not the one whose hash the next one names.
    Changed,
    /// The number of the record is not the next one, although the record belongs here.
    ChangedNumber {
        /// The number it should have.
        expected: u64,
    },
    /// This record and the one before it do not fit together.
    Unfit,
    /// Records are missing before this one.
    Removed {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// The record stands here again.
    Repeated,
    /// The record does not belong here; without it the chain fits.
    Inserted,
    /// The record stands where another belongs.
    Misplaced {
        /// The record that belongs here.
        expected: u64,
    },
    /// Another chain begins here.
    SecondChain,
    /// It says that it is a checkpoint, and has not the exact form of one.
    CheckpointForm,
    /// The signature of the checkpoint is not that of its key.
    Signature {
        /// The key it names.
        key: String,
    },
    /// The checkpoint is signed by a key that was not given.
    UnknownKey {
        /// The key it names.
        key: String,
    },
    /// None of the checkpoints that were kept elsewhere is about a record that is here, so nothing of this is known there.
    Unwitnessed {
        /// The first record of which they speak.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// A checkpoint that was kept elsewhere states another record here.
    Rewritten {
        /// Line of that checkpoint in the file of checkpoints.
        checkpoint: u64,
    },
    /// A checkpoint that was kept elsewhere is about records after the last one.
    CutOff {
        /// The first missing record.
        from: u64,
        /// The last record that must have been there: the checkpoint.
        to: u64,
        /// Line of that checkpoint in the file of checkpoints.
        checkpoint: u64,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no records in what was given"),
            Self::NotARecord => f.write_str("this line is not a record: it was changed or put there"),
            Self::HalfWritten => f.write_str(
                "the line is half written: it was cut off, or the machine stopped while it was written (the daemon's \
                 next start puts that aside)",
            ),
            Self::Unreadable { why } => write!(f, "the file cannot be read from here on ({why}): damaged or cut off"),
            Self::Changed => f.write_str("it was changed: the chain names another hash for it"),
            Self::ChangedNumber { expected } => {
                write!(f, "it was changed: it follows the record before it, but its number should be {expected}")
            }
            Self::Unfit => f.write_str(
                "it does not name the hash of the record before it: one of the two was changed or put there",
            ),
            Self::Removed { from, to } if from == to => {
                write!(f, "record {from} is missing before it: removed, or its file was not given")
            }
            Self::Removed { from, to } => {
                write!(f, "records {from} to {to} are missing before it: removed, or their file was not given")
            }
            Self::Repeated => f.write_str("it stands here a second time"),
            Self::Inserted => f.write_str("it was put here: the chain fits without it"),
            Self::Misplaced { expected } => {
                write!(f, "it stands where record {expected} belongs: lines were moved or put there")
            }
            Self::SecondChain => f.write_str("a second chain begins here: another journal, or one that was begun anew"),
            Self::CheckpointForm => f.write_str("this checkpoint has not the exact form of one: it was changed"),
            Self::Signature { key } => {
                write!(f, "the signature of this checkpoint is not that of key {key}: changed or forged")
            }
            Self::UnknownKey { key } => {
                write!(f, "this checkpoint is signed by key {key}, which was not given: forged, or give it with --key")
            }
            Self::Unwitnessed { from, to } => {
                let records = if from == to { format!("record {from}") } else { format!("records {from} to {to}") };
                write!(
                    f,
                    "none of the checkpoints kept elsewhere is here: they speak of {records}, before this one. All that follows \
                     may be another journal, or the files between are missing"
                )
            }
            Self::Rewritten { checkpoint } => write!(
                f,
                "it is not the record of which the checkpoint kept elsewhere (line {checkpoint} there) speaks: the \
                 journal was rewritten"
            ),
            Self::CutOff { from, to, checkpoint } if from == to => write!(
                f,
                "the end was cut off: record {from}, the checkpoint kept elsewhere (line {checkpoint} there), is missing"
            ),
            Self::CutOff { from, to, checkpoint } => write!(
                f,
                "the end was cut off: records {from} to {to} are missing, of which the checkpoint kept elsewhere (line \
                 {checkpoint} there) speaks"
            ),
        }
    }
}
