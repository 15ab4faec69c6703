//! Checkpoints that were kept elsewhere, out of reach of whoever can write the journal. They are found in lines as the
//! journal writes them, and inside lines of a syslog collector.

use std::path::Path;

use super::flaw::{Finding, Flaw, MOST};
use crate::audit::chain::Hash;
use crate::audit::checkpoint::Checkpoint;
use crate::audit::lines::Lines;
use crate::error::{Code, Failure};
use crate::pki::PublicKey;

/// What every checkpoint has in it.
const SIGN: &[u8] = b",\"event\":\"checkpoint\",\"checkpoint\":{";
const BEGIN: &[u8] = b"{\"seq\":";
const END: &[u8] = b"\"}";

/// The checkpoints of one file, in the order of their numbers.
#[derive(Default)]
pub struct Elsewhere {
    pub(super) stated: Vec<Stated>,
    given: bool,
}

/// What one of them states: the hash of the record `seq`, which is itself.
#[derive(Clone, Copy)]
pub(super) struct Stated {
    pub(super) seq: u64,
    pub(super) line: u64,
    pub(super) own: Hash,
    pub(super) covered: Hash,
}

impl Elsewhere {
    /// Reads a file and checks each checkpoint in it. The second are the first ones that are not good: the others bear
    /// witness all the same.
    ///
    /// # Errors
    /// [`Code::Io`] when it cannot be read, or there is no checkpoint in it.
    pub fn read(path: &Path, keys: &[PublicKey]) -> Result<(Self, Vec<Finding>), Failure> {
        let unreadable = |error: std::io::Error| {
            Failure::new(Code::Io, "the file of checkpoints cannot be read")
                .because(format!("{}: {error}", path.display()))
        };
        let mut lines = Lines::open(path).map_err(unreadable)?;
        let (mut stated, mut wrong, mut line, mut number) = (Vec::new(), Vec::new(), Vec::new(), 0_u64);
        while lines.read(&mut line).map_err(unreadable)?.is_some() {
            number = number.saturating_add(1);
            if !line.windows(SIGN.len()).any(|window| window == SIGN) {
                continue;
            }
            match read(&line, keys) {
                Ok((checkpoint, own)) => stated.push(Stated {
                    seq: checkpoint.covers.saturating_add(1),
                    line: number,
                    own,
                    covered: checkpoint.head,
                }),
                Err(flaw) if wrong.len() < MOST => {
                    wrong.push(Finding { file: path.to_owned(), line: number, seq: None, flaw });
                }
                Err(_) => {}
            }
        }
        if stated.is_empty() && wrong.is_empty() {
            return Err(Failure::new(Code::Io, "there is no checkpoint in the file of checkpoints")
                .because(path.display().to_string()));
        }
        stated.sort_by_key(|stated| (stated.seq, stated.line));
        Ok((Self { stated, given: true }, wrong))
    }

    /// Whether there was such a file.
    pub(super) fn given(&self) -> bool {
        self.given
    }
}

/// The checkpoint in a line, with the hash of the record that it is.
fn read(line: &[u8], keys: &[PublicKey]) -> Result<(Checkpoint, Hash), Flaw> {
    let begin = line.windows(BEGIN.len()).position(|window| window == BEGIN);
    let record = begin.and_then(|begin| line.get(begin..)).ok_or(Flaw::CheckpointForm)?;
    let end = record.windows(END.len()).rposition(|window| window == END).ok_or(Flaw::CheckpointForm)?;
    let record = record.get(..end.saturating_add(END.len())).unwrap_or_default();
    let checkpoint = Checkpoint::parse(record).ok_or(Flaw::CheckpointForm)?;
    signed(&checkpoint, keys)?;
    Ok((checkpoint, Hash::of(record)))
}

/// Whether one of the keys signed it; without keys nothing is checked.
pub(super) fn signed(checkpoint: &Checkpoint, keys: &[PublicKey]) -> Result<(), Flaw> {
    if keys.is_empty() || keys.iter().any(|key| checkpoint.is_signed_by(key)) {
        return Ok(());
    }
    let key = checkpoint.key.clone();
    let known = keys.iter().any(|one| one.id() == key);
    Err(if known { Flaw::Signature { key } } else { Flaw::UnknownKey { key } })
}
