//! The lookout: a process outside the wall around files, started before it stands, that looks into processes of others for
//! those within. It understands two questions, each about one process by its number, and does nothing else: it starts no
//! program, opens no socket, and has no privilege but the two that this takes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::fs::{Dir, Mode, OFlags, open, readlinkat};
use rustix::io::Errno;

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

/// The open files of a process: the number of each and where it leads; `None` when there is no lookout.
///
/// # Errors
/// As those of [`environment`].
pub fn descriptors(pid: u32) -> Option<io::Result<Vec<(String, String)>>> {
    let answer = ask(&format!("descriptors {pid} {ANSWER}\n"))?;
    Some(answer.map(|bytes| {
        let mut words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        std::iter::from_fn(|| Some((words.next()?, words.next()?))).collect()
    }))
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
        ("privileges", privileges::drop_all_but(&powers)),
        ("system calls", calls::restrict(&Plan::default())),
    ]
}

/// Answers questions until there are no more.
///
/// # Errors
/// When one cannot be read or answered, or is none: whoever asks so is not to be answered again.
pub fn serve(input: impl Read, mut output: impl Write) -> io::Result<()> {
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
            "environment" => start(pid, most),
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

/// Number and target of each, with a zero after either.
fn links(pid: u32, most: usize) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut directory = Dir::new(open(format!("/proc/{pid}/fd"), flags, Mode::empty())?)?;
    let mut bytes = Vec::new();
    let mut count = 0_usize;
    while let Some(entry) = directory.read() {
        let entry = entry?;
        let target = match readlinkat(directory.fd()?, entry.file_name(), Vec::new()) {
            Ok(target) => target,
            // Not a link, or closed in the meantime.
            Err(Errno::INVAL | Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let size = entry.file_name().to_bytes_with_nul().len().saturating_add(target.to_bytes_with_nul().len());
        count = count.saturating_add(1);
        if bytes.len().saturating_add(size) > most || count > DESCRIPTORS {
            break;
        }
        bytes.extend_from_slice(entry.file_name().to_bytes_with_nul());
        bytes.extend_from_slice(target.to_bytes_with_nul());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(questions: &str) -> (io::Result<()>, Vec<u8>) {
        let mut output = Vec::new();
        let result = serve(questions.as_bytes(), &mut output);
        (result, output)
    }

    #[test]
    fn it_tells_what_a_process_has() {
        let pid = std::process::id();
        let file = tempfile::NamedTempFile::new().unwrap();
        let (result, output) = answered(&format!("descriptors {pid} 1000000\nenvironment {pid} 3\n"));
        assert!(result.is_ok());
        let text = String::from_utf8_lossy(&output).into_owned();
        assert!(text.starts_with("found ") && text.contains(&file.path().display().to_string()), "{text}");
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
    fn an_answer_is_no_longer_than_asked_for() {
        let (result, output) = answered(&format!("descriptors {} 1\n", std::process::id()));
        assert!(result.is_ok());
        assert_eq!(output, b"found 0\n");
    }

    proptest! {
        #[test]
        fn no_question_is_a_panic(bytes in "(environment|descriptors)? ?[0-9]{0,11} ?[0-9]{0,11}\n?|\\PC*") {
            let _ = serve(bytes.as_bytes(), io::sink());
        }
    }

    #[test]
    fn without_one_nobody_is_asked() {
        assert!(environment(1, 1).is_none() && descriptors(1).is_none() && !is_attached());
    }
}
