//! The cursor: up to which record the collector has everything. It is a file beside the journal, replaced whole.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::audit::chain::Hash;
use crate::audit::file::create_private;
use crate::audit::follow::Place;
use crate::audit::layout::Layout;

/// Longest cursor that is read: a target's name has at most some hundred bytes.
const LONGEST: u64 = 16 << 10;

/// A record up to which everything was sent, or taken by the collector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Its number; 0 for none.
    pub(super) seq: u64,
    /// Its hash: so another journal at the same place is noticed.
    pub(super) hash: Hash,
    /// Where it ends.
    pub(super) place: Option<Place>,
}

impl Mark {
    /// Before the first record.
    pub(super) const START: Self = Self { seq: 0, hash: Hash::NONE, place: None };
}

/// The mark on disk.
pub(super) struct Cursor {
    path: PathBuf,
    /// What is taken.
    pub(super) mark: Mark,
    /// Whether the mark is known: without it the journal's first record is where everything begins.
    pub(super) known: bool,
    /// The collector has ended its side when we ended ours: so one that does not has not taken everything.
    pub(super) ends: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    v: u8,
    seq: u64,
    hash: String,
    place: Option<Place>,
    target: String,
    ends: bool,
}

impl Cursor {
    /// Reads the cursor; without one, or when it cannot be read, everything is still to be sent. The second value says
    /// what is wrong with one that is there.
    pub(super) fn load(path: PathBuf, target: &str) -> (Self, Option<String>) {
        match read(&path) {
            Ok(Some((mark, of, ends))) => (Self { path, mark, known: true, ends: ends && of == target }, None),
            Ok(None) => (Self { path, mark: Mark::START, known: false, ends: false }, None),
            Err(cause) => (Self { path, mark: Mark::START, known: false, ends: false }, Some(cause)),
        }
    }

    /// The hash that the record after the mark names, when the mark is known.
    pub(super) fn head(&self) -> Option<Hash> {
        self.known.then_some(self.mark.hash)
    }

    /// Writes it: after a crash there is the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written; the old one is still there then.
    pub(super) fn store(&self, target: &str) -> io::Result<()> {
        let Mark { seq, hash, place } = self.mark;
        let written = Written { v: 1, seq, hash: hash.to_string(), place, target: target.to_owned(), ends: self.ends };
        let new = self.path.with_extension("cursor.tmp");
        // Whatever has that name is taken away and never written into: a link would lead to another file.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = create_private(&new)?;
        file.write_all(&serde_json::to_vec(&written)?)?;
        file.sync_data()?;
        std::fs::rename(&new, &self.path)
    }
}

/// What a forwarder has come to, for who looks from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivered {
    /// The number of the last record that was sent, or taken by a collector that says so.
    pub seq: u64,
    /// The collector, in the words of the configuration of that time.
    pub target: String,
    /// When that was noted.
    pub noted: Option<SystemTime>,
    /// The number of the last record there is, as far as the journal has noted it.
    pub last: Option<u64>,
}

impl Delivered {
    /// Of the journal at `journal`; `None` when nothing was ever delivered.
    ///
    /// # Errors
    /// When it cannot be read, or makes no sense.
    pub fn of(journal: &Path) -> Result<Option<Self>, String> {
        let layout = Layout::of(journal);
        let path = layout.beside("cursor");
        let Some((mark, target, _)) = read(&path)? else { return Ok(None) };
        let noted = path.symlink_metadata().and_then(|metadata| metadata.modified()).ok();
        let head = content(&layout.beside("head")).unwrap_or_default();
        let number = head.split(|byte| *byte == b' ').next().and_then(|digits| std::str::from_utf8(digits).ok());
        let last = number.and_then(|digits| digits.parse().ok());
        Ok((mark.seq > 0).then_some(Self { seq: mark.seq, target, noted, last }))
    }
}

fn read(path: &Path) -> Result<Option<(Mark, String, bool)>, String> {
    let text = match content(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let written: Written = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let hash = Hash::parse(written.hash.as_bytes()).ok_or("it has no hash")?;
    if written.v != 1 {
        return Err(format!("its version is {}", written.v));
    }
    Ok(Some((Mark { seq: written.seq, hash, place: written.place }, written.target, written.ends)))
}

/// The content of a regular file at this very place; anything else is neither followed nor waited for.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(io::Error::other(format!("it is not a regular file of at most {LONGEST} bytes")));
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_link_leads_to_is_neither_written_nor_read() {
        let home = tempfile::tempdir().unwrap();
        let (path, other) = (home.path().join("audit.cursor"), home.path().join("other"));
        std::fs::write(&other, "precious").unwrap();
        symlink(&other, home.path().join("audit.cursor.tmp")).unwrap();
        let (cursor, _) = Cursor::load(path.clone(), "tcp://a:1");
        cursor.store("tcp://a:1").unwrap();
        assert_eq!(std::fs::read(&other).unwrap(), b"precious");
        assert!(path.symlink_metadata().unwrap().is_file());
        assert_eq!(Cursor::load(path.clone(), "tcp://a:1").1, None);
        std::fs::rename(&path, &other).unwrap();
        symlink(&other, &path).unwrap();
        assert!(Cursor::load(path, "tcp://a:1").1.is_some());
    }

    #[test]
    fn a_pipe_or_a_huge_file_in_its_place_is_not_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.cursor");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let asked = path.clone();
        std::thread::spawn(move || tell.send(Cursor::load(asked, "tcp://a:1").1));
        let wrong = told.recv_timeout(std::time::Duration::from_secs(10)).expect("it hangs");
        assert!(wrong.unwrap().contains("regular file"));
        std::fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(Cursor::load(path, "tcp://a:1").1.unwrap().contains("regular file"));
    }

    #[test]
    fn who_looks_from_outside_sees_how_far_it_has_come() {
        let home = tempfile::tempdir().unwrap();
        let journal = home.path().join("audit.jsonl");
        assert_eq!(Delivered::of(&journal), Ok(None));
        let (mut cursor, _) = Cursor::load(Layout::of(&journal).beside("cursor"), "tcp://a:1");
        cursor.store("tcp://a:1").unwrap();
        assert_eq!(Delivered::of(&journal), Ok(None), "nothing was delivered yet");
        cursor.mark.seq = 7;
        cursor.store("tcp://a:1").unwrap();
        let found = Delivered::of(&journal).unwrap().unwrap();
        assert_eq!((found.seq, found.target.as_str(), found.last), (7, "tcp://a:1", None));
        assert!(found.noted.is_some());
        std::fs::write(Layout::of(&journal).beside("head"), format!("{:020} abc def\n", 9)).unwrap();
        assert_eq!(Delivered::of(&journal).unwrap().unwrap().last, Some(9));
        std::fs::write(Layout::of(&journal).beside("cursor"), "nonsense").unwrap();
        assert!(Delivered::of(&journal).is_err());
    }

    #[test]
    fn what_is_stored_is_loaded_and_what_is_not_sound_is_none() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.cursor");
        let (mut cursor, wrong) = Cursor::load(path.clone(), "tcp://a:1");
        assert_eq!((cursor.mark, wrong), (Mark::START, None));
        cursor.mark = Mark { seq: 7, hash: Hash::of(b"x"), place: None };
        cursor.ends = true;
        cursor.store("tcp://a:1").unwrap();
        let (again, wrong) = Cursor::load(path.clone(), "tcp://a:1");
        assert_eq!((again.mark, again.ends, wrong), (cursor.mark, true, None));
        let (other, _) = Cursor::load(path.clone(), "tcp://b:1");
        assert_eq!(
            (other.mark, other.ends),
            (cursor.mark, false),
            "the records are not sent again to another collector"
        );
        for bad in ["", "{}", "{\"v\":1,\"seq\":1,\"hash\":\"x\",\"place\":null,\"target\":\"\",\"ends\":true}"] {
            std::fs::write(&path, bad).unwrap();
            let (cursor, wrong) = Cursor::load(path.clone(), "tcp://a:1");
            assert!(cursor.mark == Mark::START && wrong.is_some(), "{bad}");
        }
    }
}
