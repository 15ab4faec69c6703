//! The lookout: a process outside the wall around files, started before it stands, that looks into processes of others for
//! those within. It understands two questions, each about one process by its number, and does nothing else: it starts no
//! program, opens no socket, and has no privilege but the two that this takes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags, open};

use super::descriptor::{self, Access, Descriptor};
use super::{Capability, Plan, Wall, calls, privileges};

/// The longest question, in bytes.
const QUESTION: u64 = 64;

/// The most open files of one process that are told.
const DESCRIPTORS: usize = 65_536;

/// The most bytes of an answer.
const ANSWER: usize = 16 << 20;

/// To read what is another process's, and another user's.
const POWERS: [&str; 2] = ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];

/// The one of this process.
static LOOKOUT: OnceLock<Mutex<Lookout>> = OnceLock::new();

struct Lookout {
    to: File,
    from: BufReader<File>,
}

/// From now on questions go through these pipes.
pub fn attach(to: impl Into<OwnedFd>, from: impl Into<OwnedFd>) {
    let lookout = Lookout { to: File::from(to.into()), from: BufReader::new(File::from(from.into())) };
    let _ = LOOKOUT.set(Mutex::new(lookout));
}

/// Whether there is a lookout.
#[must_use]
pub fn is_attached() -> bool {
    LOOKOUT.get().is_some()
}

/// The first `cap` bytes of a process's environment, and whether there are more; `None` when there is no lookout.
///
/// # Errors
/// When the process is gone, the lookout may not look into it, or is gone itself.
pub fn environment(pid: u32, cap: usize) -> Option<io::Result<(Vec<u8>, bool)>> {
    let most = cap.min(ANSWER).saturating_add(1);
    let mut answer = ask(&format!("environment {pid} {most}\n"))?;
    if let Ok(bytes) = &mut answer {
        let more = bytes.len() > cap;
        bytes.truncate(cap);
        return Some(Ok((std::mem::take(bytes), more)));
    }
    Some(answer.map(|bytes| (bytes, false)))
}

/// The open files of a process; `None` when there is no lookout.
///
/// # Errors
/// As those of [`environment`].
pub fn descriptors(pid: u32) -> Option<io::Result<Vec<Descriptor>>> {
    let answer = ask(&format!("descriptors {pid} {ANSWER}\n"))?;
    Some(answer.and_then(|bytes| said(&bytes).ok_or(io::ErrorKind::InvalidData.into())))
}

fn ask(question: &str) -> Option<io::Result<Vec<u8>>> {
    let mut lookout = LOOKOUT.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    Some(lookout.ask(question))
}

impl Lookout {
    fn ask(&mut self, question: &str) -> io::Result<Vec<u8>> {
        self.to.write_all(question.as_bytes())?;
        let mut head = String::new();
        (&mut self.from).take(QUESTION).read_line(&mut head)?;
        match head.trim_end().split_once(' ') {
            Some(("found", size)) => {
                let size = size.parse().ok().filter(|size| *size <= ANSWER).ok_or(io::ErrorKind::InvalidData)?;
                let mut bytes = vec![0; size];
                self.from.read_exact(&mut bytes)?;
                Ok(bytes)
            }
            Some(("not", error)) => {
                Err(error.parse().map_or(io::ErrorKind::Other.into(), io::Error::from_raw_os_error))
            }
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Shuts a lookout in as far as its work lets it: no program, no socket, no privilege but those for looking.
#[must_use]
pub fn confine() -> Vec<Wall> {
    let powers = POWERS.into_iter().filter_map(Capability::parse).collect();
    vec![
        ("dumps", privileges::keep_memory_inside()),
        ("privileges", privileges::drop_all_but(&powers, &BTreeSet::new())),
        ("system calls", calls::restrict(&Plan::default())),
    ]
}

/// Answers questions until there are no more; those about environments only where some query is there to ask them.
///
/// # Errors
/// When one cannot be read or answered, or is none: whoever asks so is not to be answered again.
pub fn serve(input: impl Read, mut output: impl Write, environments: bool) -> io::Result<()> {
    let mut input = BufReader::new(input);
    loop {
        let mut line = String::new();
        if (&mut input).take(QUESTION).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.trim_end().split(' ');
        let kind = words.next().unwrap_or_default();
        let number =
            |word: Option<&str>| word.and_then(|word| word.parse::<u32>().ok()).ok_or(io::ErrorKind::InvalidData);
        let (pid, most) = (number(words.next())?, number(words.next())?);
        let most = usize::try_from(most).unwrap_or(ANSWER).min(ANSWER);
        let found = match kind {
            "environment" if environments => start(pid, most),
            "descriptors" => links(pid, most),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        match found {
            Ok(bytes) => {
                output.write_all(format!("found {}\n", bytes.len()).as_bytes())?;
                output.write_all(&bytes)?;
            }
            Err(error) => output.write_all(format!("not {}\n", error.raw_os_error().unwrap_or_default()).as_bytes())?,
        }
        output.flush()?;
    }
}

fn start(pid: u32, most: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(open(format!("/proc/{pid}/environ"), flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What [`said`] understands.
fn links(pid: u32, most: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let directory = open(format!("/proc/{pid}/fd"), flags, Mode::empty())?;
    let mut bytes = Vec::new();
    let mut count = 0_usize;
    descriptor::each(directory, |one| {
        let lost = one.lost.map(|bytes| bytes.to_string()).unwrap_or_default();
        let letters = one.access.map_or("", Access::letters);
        let words = format!("{}\0{letters}\0{}\0{lost}\0", one.number, one.target);
        count = count.saturating_add(1);
        if bytes.len().saturating_add(words.len()) > most || count > DESCRIPTORS {
            return ControlFlow::Break(());
        }
        bytes.extend_from_slice(words.as_bytes());
        ControlFlow::Continue(())
    })?;
    Ok(bytes)
}

/// Number, access, target and lost room of each, with a zero after every one of them; `None` of anything else.
fn said(bytes: &[u8]) -> Option<Vec<Descriptor>> {
    let mut rest = std::str::from_utf8(bytes).ok()?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut words = rest.splitn(5, '\0');
        let (number, letters, target) = (words.next()?.parse().ok()?, words.next()?, words.next()?.to_owned());
        let access = Access::ALL.into_iter().find(|access| access.letters() == letters);
        if access.is_none() && !letters.is_empty() {
            return None;
        }
        let lost = words.next()?;
        let lost = if lost.is_empty() { None } else { Some(lost.parse().ok()?) };
        rest = words.next()?;
        found.push(Descriptor { number, target, access, lost });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(questions: &str) -> (io::Result<()>, Vec<u8>) {
        let mut output = Vec::new();
        let result = serve(questions.as_bytes(), &mut output, true);
        (result, output)
    }

    #[test]
    fn environments_are_told_only_where_that_is_wanted() {
        let mut output = Vec::new();
        let question = format!("environment {} 100\n", std::process::id());
        assert!(serve(question.as_bytes(), &mut output, false).is_err());
        assert!(output.is_empty());
    }

    #[test]
    fn it_tells_what_a_process_has() {
        let pid = std::process::id();
        let file = tempfile::NamedTempFile::new().unwrap();
        let (result, output) = answered(&format!("descriptors {pid} 1000000\nenvironment {pid} 3\n"));
        assert!(result.is_ok());
        let text = String::from_utf8_lossy(&output).into_owned();
        assert!(text.starts_with("found ") && text.contains(&format!("\0rw\0{}\0", file.path().display())), "{text}");
        let (_, environment) = text.rsplit_once("found 3\n").unwrap();
        assert_eq!(environment.len(), 3);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_answer_and_a_question_that_is_none_the_end() {
        let (result, output) = answered("environment 4294967295 1\ndescriptors 4294967295 1\n");
        assert!(result.is_ok());
        assert_eq!(String::from_utf8(output).unwrap(), "not 2\nnot 2\n");
        let wrong = [
            "environment ../../etc/shadow 9\n",
            "environment 1/../../etc 9\n",
            "descriptors -1 9\n",
            "maps 1 9\n",
            "environment\n",
            "\n",
            &"x".repeat(100),
        ];
        for question in wrong {
            let (result, output) = answered(question);
            assert!(result.is_err() && output.is_empty(), "{question}");
        }
    }

    #[test]
    fn what_is_told_of_open_files_is_understood_and_nothing_else_is() {
        let bytes = links(std::process::id(), ANSWER).unwrap();
        let found = said(&bytes).unwrap();
        assert!(found.iter().any(|one| one.number == 0 && !one.target.is_empty()), "{found:?}");
        let one = |number, target: &str, access, lost| Descriptor { number, target: target.to_owned(), access, lost };
        let both = [one(7, "/a b", Some(Access::Write), Some(4096)), one(8, "", None, None)];
        assert_eq!(said(b"7\0w\0/a b\x004096\0\x38\0\0\0\0").unwrap(), both);
        assert_eq!(said(b""), Some(Vec::new()));
        let wrong = [
            "7",
            "7\0",
            "7\0r\0",
            "7\0r\0/a\0",
            "x\0r\0/a\0\0",
            "7\0rx\0/a\0\0",
            "7\0r\0/a\0\0\0",
            "-1\0r\0/a\0\0",
            "7\0r\0/a\0-1\0",
        ];
        for wrong in wrong {
            assert_eq!(said(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(said(b"7\0r\0\xff\0"), None);
    }

    #[test]
    fn an_answer_is_no_longer_than_asked_for() {
        let (result, output) = answered(&format!("descriptors {} 1\n", std::process::id()));
        assert!(result.is_ok());
        assert_eq!(output, b"found 0\n");
    }

    proptest! {
        #[test]
        fn no_question_is_a_panic(bytes in "(environment|descriptors)? ?[0-9]{0,11} ?[0-9]{0,11}\n?|\\PC*") {
            let _ = serve(bytes.as_bytes(), io::sink(), true);
        }

        #[test]
        fn no_answer_is_a_panic(bytes in prop::collection::vec(prop_oneof![Just(0), Just(b'7'), Just(b'r'), any::<u8>()], 0..64)) {
            let found = said(&bytes).unwrap_or_default();
            prop_assert!(found.len() <= bytes.len());
        }
    }

    #[test]
    fn without_one_nobody_is_asked() {
        assert!(environment(1, 1).is_none() && descriptors(1).is_none() && !is_attached());
    }
}
