//! The lookout: a process outside the wall around files, started before it stands, that looks into processes of others for
//! those within. It understands two questions, each about one process by its number, and does nothing else: it starts no
//! program, opens no socket, and has no privilege but the two that this takes.

mod asking;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::descriptor::{self, Access, Descriptor};
use super::{Capability, Plan, Wall, calls, privileges};

pub use asking::{GONE, attach, descriptors, environment, is_attached, is_gone, watch};

/// The longest question, in bytes.
const QUESTION: u64 = 64;

/// The most open files of one process that are told.
const DESCRIPTORS: usize = 65_536;

/// Stands at the end of a list that has not all; no number begins so.
const MORE: &str = "+";

/// The most bytes of an answer.
const ANSWER: usize = 16 << 20;

/// How long to look into one process. Less than who asks waits for the answer.
const LOOK: Duration = Duration::from_secs(2);

/// Threads that may hang in a process.
const HANGING: usize = 16;

/// To read what is another process's, and another user's.
const POWERS: [&str; 2] = ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"];

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
pub fn serve(input: impl Read, output: impl Write, environments: bool) -> io::Result<()> {
    serve_by((look, |_| LOOK), input, output, environments)
}

/// A question that was understood: what is wanted, of which process, and how many bytes at most.
#[derive(Clone, Copy)]
struct Question {
    environment: bool,
    pid: u32,
    most: usize,
}

type Look = fn(Question) -> io::Result<Vec<u8>>;
/// How long a question is looked after.
type Patience = fn(Question) -> Duration;

fn serve_by(
    (look, patience): (Look, Patience),
    input: impl Read,
    mut output: impl Write,
    environments: bool,
) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let mut looker = Looker::start(look)?;
    let mut hanging = 0_usize;
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
        let environment = match kind {
            "environment" if environments => true,
            "descriptors" => false,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let question = Question { environment, pid, most };
        let found = looker.look(question, patience(question)).unwrap_or_else(|| {
            hanging = hanging.saturating_add(1);
            looker = Looker::start(look)?;
            Err(Errno::TIMEDOUT.into())
        });
        match found {
            Ok(bytes) => {
                output.write_all(format!("found {}\n", bytes.len()).as_bytes())?;
                output.write_all(&bytes)?;
            }
            Err(error) => output.write_all(format!("not {}\n", error.raw_os_error().unwrap_or_default()).as_bytes())?,
        }
        output.flush()?;
        if hanging > HANGING {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "too many processes let nobody look into them"));
        }
    }
}

/// A thread that looks, so that a process whose memory the kernel waits for holds up no question about another.
struct Looker {
    questions: Sender<Question>,
    found: Receiver<io::Result<Vec<u8>>>,
}

impl Looker {
    fn start(look: Look) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel();
        let (told, found) = mpsc::channel();
        std::thread::Builder::new().spawn(move || {
            while let Ok(question) = asked.recv() {
                if told.send(look(question)).is_err() {
                    // Nobody waited that long.
                    return;
                }
            }
        })?;
        Ok(Self { questions, found })
    }

    /// `None` when it takes longer than `patience`; then this one is not to be asked any more.
    fn look(&self, question: Question, patience: Duration) -> Option<io::Result<Vec<u8>>> {
        self.questions.send(question).ok()?;
        self.found.recv_timeout(patience).ok()
    }
}

fn look(Question { environment, pid, most }: Question) -> io::Result<Vec<u8>> {
    if environment { start(pid, most) } else { links(pid, most) }
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
    let Some(room) = most.checked_sub(MORE.len()) else { return Ok(Vec::new()) };
    listed(room, |take| descriptor::each(directory, take))
}

/// What `each` gives, up to so many bytes and to [`DESCRIPTORS`]; where that cuts it, [`MORE`] stands at the end.
fn listed(
    most: usize,
    each: impl FnOnce(&mut dyn FnMut(Descriptor) -> ControlFlow<()>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let (mut bytes, mut count, mut cut) = (Vec::new(), 0_usize, false);
    each(&mut |one| {
        let lost = one.lost.map(|bytes| bytes.to_string()).unwrap_or_default();
        let letters = one.access.map_or("", Access::letters);
        let words = format!("{}\0{letters}\0{}\0{lost}\0", one.number, one.target);
        count = count.saturating_add(1);
        if bytes.len().saturating_add(words.len()) > most || count > DESCRIPTORS {
            cut = true;
            return ControlFlow::Break(());
        }
        bytes.extend_from_slice(words.as_bytes());
        ControlFlow::Continue(())
    })?;
    if cut {
        bytes.extend_from_slice(MORE.as_bytes());
    }
    Ok(bytes)
}

/// Number, access, target and lost room of each, with a zero after every one of them, and whether these are all; `None` of
/// anything else.
fn said(bytes: &[u8]) -> Option<(Vec<Descriptor>, bool)> {
    let mut rest = std::str::from_utf8(bytes).ok()?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        if rest == MORE {
            return Some((found, false));
        }
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
    Some((found, true))
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
        let (found, whole) = said(&bytes).unwrap();
        assert!(whole && found.iter().any(|one| one.number == 0 && !one.target.is_empty()), "{found:?}");
        let one = |number, target: &str, access, lost| Descriptor { number, target: target.to_owned(), access, lost };
        let two = [one(7, "/a b", Some(Access::Write), Some(4096)), one(8, "", None, None)];
        assert_eq!(said(b"7\0w\0/a b\x004096\0\x38\0\0\0\0"), Some((two.to_vec(), true)));
        assert_eq!(said(b"7\0w\0/a b\x004096\0\x38\0\0\0\0+"), Some((two.to_vec(), false)));
        assert_eq!((said(b""), said(b"+")), (Some((Vec::new(), true)), Some((Vec::new(), false))));
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
            "7\0r\0/a\0\0++",
        ];
        for wrong in wrong {
            assert_eq!(said(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(said(b"7\0r\0\xff\0"), None);
    }

    #[test]
    fn an_answer_is_no_longer_than_asked_for_and_a_list_that_was_cut_says_so() {
        let (result, output) = answered(&format!("descriptors {0} 1\ndescriptors {0} 0\n", std::process::id()));
        assert!(result.is_ok());
        assert_eq!(output, b"found 1\n+found 0\n");
        let many = |count: u32| {
            let bytes = listed(ANSWER, |take| {
                let one = |number| Descriptor { number, target: "x".to_owned(), access: None, lost: None };
                let _ = (0..count).try_for_each(|number| take(one(number)));
                Ok(())
            });
            let (found, whole) = said(&bytes.unwrap()).unwrap();
            (found.len(), whole)
        };
        assert_eq!(many(65_536), (65_536, true));
        assert_eq!(many(65_537), (65_536, false));
    }

    #[test]
    fn a_process_that_lets_nobody_look_holds_up_no_question_about_another() {
        let hangs: Look = |question| {
            if question.pid == 1 {
                std::thread::sleep(Duration::from_secs(300));
            }
            Ok(question.pid.to_string().into_bytes())
        };
        // However busy the machine is, the others are answered.
        let patience: Patience = |question| Duration::from_secs(if question.pid == 1 { 1 } else { 60 });
        let mut output = Vec::new();
        let questions = "descriptors 2 9\ndescriptors 1 9\ndescriptors 3 9\n";
        serve_by((hangs, patience), questions.as_bytes(), &mut output, true).unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "found 1\n2not 110\nfound 1\n3");
    }

    proptest! {
        #[test]
        fn no_question_is_a_panic(bytes in "(environment|descriptors)? ?[0-9]{0,11} ?[0-9]{0,11}\n?|\\PC*") {
            let _ = serve(bytes.as_bytes(), io::sink(), true);
        }

        #[test]
        fn no_answer_is_a_panic(bytes in prop::collection::vec(prop_oneof![Just(0), Just(b'7'), Just(b'r'), any::<u8>()], 0..64)) {
            let found = said(&bytes).unwrap_or_default();
            prop_assert!(found.0.len() <= bytes.len());
        }
    }

    #[test]
    fn without_one_nobody_is_asked() {
        assert!(environment(1, 1).is_none() && descriptors(1).is_none() && !is_attached());
        watch();
    }
}
