//! Checkpoints: signed statements of how far the chain has come. One that has left the machine proves later that nothing
//! before it was changed, removed or cut off.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::chain::{Hash, Head};
use crate::clock::Timestamp;
use crate::error::Failure;
use crate::pki::store::{self, Existing};
use crate::pki::{PublicKey, Signature, SigningKey, file};

/// What made the journal write a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// So many records, or so much time, have passed since the last one.
    Interval,
    /// The file is full, or the day is over; the next record is in another one.
    Rotation,
    /// The daemon ended as it should.
    Stop,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Rotation => "rotation",
            Self::Stop => "stop",
        }
    }
}

/// Signs checkpoints.
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
}

impl Signer {
    /// Signs with `key`.
    ///
    /// # Errors
    /// [`Code::Config`] when it is not an Ed25519 key.
    pub fn new(key: SigningKey) -> Result<Self, Failure> {
        let public = PublicKey::of(&key)?;
        Ok(Self { key, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Puts the public half where everybody looks for it, if it is not there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn publish(&self, public: &Path) -> Result<(), Failure> {
        let pem = self.key.public_pem()?;
        let mut there = Vec::new();
        match file::open(public).and_then(|file| file.take(4096).read_to_end(&mut there)) {
            Ok(_) if there == pem.as_bytes() => Ok(()),
            _ => store::write_public(public, pem.as_bytes(), Existing::Replace),
        }
    }

    /// A signature, in base64, over the statement that the chain has come to `head`; what stands in `audit.head`.
    ///
    /// # Errors
    /// [`crate::error::Code::Internal`] when the cryptographic library fails.
    pub(super) fn sign_head(&self, head: Head) -> Result<String, Failure> {
        Ok(STANDARD.encode(self.key.sign(Signature::Plain, head_message(head).as_bytes())?))
    }

    /// The body of the record that states that the chain has come to `head`.
    ///
    /// # Errors
    /// [`Code::Internal`] when the cryptographic library fails.
    pub fn sign(&self, head: Head, cause: Cause, at: Timestamp) -> Result<Vec<u8>, Failure> {
        let ts = at.to_string();
        let id = self.public.id().to_owned();
        let message = message(head.seq, head.hash, &ts, cause, &id);
        let signature = STANDARD.encode(self.key.sign(Signature::Plain, message.as_bytes())?);
        Ok(body(&Checkpoint { covers: head.seq, head: head.hash, ts, cause, key: id, signature }))
    }
}

/// A checkpoint that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Number of the last record that it covers; its own is one more.
    pub covers: u64,
    /// Hash of that record.
    pub head: Hash,
    /// When it was made, as it is written.
    pub ts: String,
    /// Why it was made.
    pub cause: Cause,
    /// Which key signed it: [`PublicKey::id`].
    pub key: String,
    signature: String,
}

/// What is signed: six lines, each with its newline.
fn message(covers: u64, head: Hash, ts: &str, cause: Cause, key: &str) -> String {
    format!("doorward audit checkpoint 1\n{covers}\n{head}\n{ts}\n{}\n{key}\n", cause.as_str())
}

fn head_message(head: Head) -> String {
    format!("doorward audit head 1\n{}\n{}\n", head.seq, head.hash)
}

/// Whether [`Signer::sign_head`] of this key made the signature.
pub(super) fn is_head_signed(head: Head, signature: &str, by: &PublicKey) -> bool {
    STANDARD.decode(signature).is_ok_and(|signature| by.verifies(head_message(head).as_bytes(), &signature))
}

fn body(checkpoint: &Checkpoint) -> Vec<u8> {
    let Checkpoint { covers, head, ts, cause, key, signature } = checkpoint;
    format!(
        "{{\"v\":1,\"ts\":\"{ts}\",\"event\":\"checkpoint\",\"checkpoint\":{{\"covers\":{covers},\"head\":\"{head}\",\
         \"cause\":\"{}\",\"key\":\"{key}\",\"signature\":\"{signature}\"}}}}",
        cause.as_str()
    )
    .into_bytes()
}

#[derive(Deserialize)]
struct Written<'a> {
    ts: &'a str,
    event: &'a str,
    #[serde(borrow)]
    checkpoint: Statement<'a>,
}

#[derive(Deserialize)]
struct Statement<'a> {
    covers: u64,
    head: &'a str,
    cause: Cause,
    key: &'a str,
    signature: &'a str,
}

impl Checkpoint {
    /// Whether a line looks like a checkpoint; [`Checkpoint::parse`] says whether it is one.
    #[must_use]
    pub fn is_one(line: &[u8]) -> bool {
        // Asked of every line of a journal: `seq`, `v` and `ts` stand before the event.
        let event = line.iter().take(32).position(|byte| *byte == b',').and_then(|comma| {
            let ts = line.get(comma..)?.strip_prefix(b",\"v\":1,\"ts\":\"")?;
            let end = ts.iter().take(40).position(|byte| *byte == b'"')?;
            ts.get(end..)
        });
        event.is_some_and(|event| event.starts_with(b"\",\"event\":\"checkpoint\""))
    }

    /// Reads a line of the journal. `None` unless it is a checkpoint in exactly the form in which they are written: then
    /// every byte of it is either signed or could not be another.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let written: Written<'_> = serde_json::from_slice(line).ok()?;
        if written.event != "checkpoint" {
            return None;
        }
        let statement = written.checkpoint;
        let checkpoint = Self {
            covers: statement.covers,
            head: Hash::parse(statement.head.as_bytes())?,
            ts: written.ts.to_owned(),
            cause: statement.cause,
            key: statement.key.to_owned(),
            signature: statement.signature.to_owned(),
        };
        let mut again = Vec::with_capacity(line.len());
        let _ = Head { seq: checkpoint.covers, hash: checkpoint.head }.append(&body(&checkpoint), &mut again)?;
        (again.strip_suffix(b"\n")? == line).then_some(checkpoint)
    }

    /// Whether it is signed by `key`.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let message = message(self.covers, self.head, &self.ts, self.cause, &self.key);
        key.id() == self.key
            && STANDARD.decode(&self.signature).is_ok_and(|signature| key.verifies(message.as_bytes(), &signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::KeyKind;

    fn made() -> (Vec<u8>, PublicKey) {
        let key = SigningKey::generate(KeyKind::Ed25519).unwrap();
        let public = PublicKey::of(&key).unwrap();
        let head = Head { seq: 41, hash: Hash::of(b"line") };
        let body = Signer::new(key).unwrap().sign(head, Cause::Interval, Timestamp::from_seconds(7)).unwrap();
        let mut page = Vec::new();
        let _ = head.append(&body, &mut page).unwrap();
        page.pop();
        (page, public)
    }

    #[test]
    fn what_was_signed_is_read_and_verified() {
        let (line, public) = made();
        assert!(Checkpoint::is_one(&line));
        let checkpoint = Checkpoint::parse(&line).unwrap();
        assert_eq!((checkpoint.covers, checkpoint.head), (41, Hash::of(b"line")));
        assert!(checkpoint.is_signed_by(&public));
        assert!(!checkpoint.is_signed_by(&made().1));
    }

    #[test]
    fn no_byte_of_it_can_be_another() {
        let (line, public) = made();
        for index in 0..line.len() {
            for flip in [1, 2, 32] {
                let mut changed = line.clone();
                changed[index] ^= flip;
                let passes = Checkpoint::parse(&changed).is_some_and(|checkpoint| checkpoint.is_signed_by(&public));
                assert!(!passes, "byte {index}: {}", String::from_utf8_lossy(&changed));
            }
        }
    }
}
