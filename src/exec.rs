//! Starting a process: absolute path, no shell, clean environment, a time limit, a cap on its output, and limits of the
//! kernel on what it may take.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, kill_process_group, prlimit, waitid,
};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::error::{Code, Failure};
use crate::secret::Secret;

/// Where the process finds programs, whatever this one was started with.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The only variables that are handed on.
const KEPT: [&str; 2] = ["HOME", "LANG"];

/// How much of standard error is kept for the operator, in bytes.
const COMPLAINT_CAP: usize = 2048;

/// The address space of a program that is asked for facts, in bytes. What such programs map is far less than this, but
/// they map their libraries and locales too.
const SPACE: u64 = 1 << 30;

/// What such a program may write to one file, in bytes: none has to, but some open a data base.
const FILE: u64 = 1 << 20;

/// The files that such a program may have open.
const FILES: u64 = 256;

/// How long to wait between two looks at whether a program that has closed its output has ended.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Runs `argv`, a program that is asked for facts, and gives back its standard output, at most `cap` bytes.
///
/// It may take no more processor time than `limit`, 1 GiB of address space and 256 open files, write no more than 1 MiB to a
/// file, and leave no core dump. How many processes there may be is not limited: the kernel counts those of the user, not of the program; they
/// end together.
///
/// # Errors
/// As those of [`output_of_own`].
pub async fn output(argv: &[String], limit: Duration, cap: usize) -> Result<Secret<Vec<u8>>, Failure> {
    let seconds = limit.as_secs().saturating_add(1);
    let limits = [
        (Resource::Cpu, seconds),
        (Resource::As, SPACE),
        (Resource::Nofile, FILES),
        (Resource::Fsize, FILE),
        (Resource::Core, 0),
    ];
    run(argv, limit, cap, &limits).await
}

/// Runs `argv`, a command that the person at the keyboard chose, and gives back its standard output, at most `cap` bytes.
///
/// The process gets no standard input and leads a process group of its own. It dies with its group when it takes too long,
/// says too much, or the caller stops waiting; and what it leaves behind in the group when it ends dies then.
///
/// # Errors
/// [`Code::Io`] when it cannot be started, takes longer than `limit`, writes more than `cap` bytes, or exits with
/// another status than 0. The cause names the program, and what it wrote to standard error.
pub async fn output_of_own(argv: &[String], limit: Duration, cap: usize) -> Result<Secret<Vec<u8>>, Failure> {
    run(argv, limit, cap, &[(Resource::Core, 0)]).await
}

async fn run(
    argv: &[String],
    limit: Duration,
    cap: usize,
    limits: &[(Resource, u64)],
) -> Result<Secret<Vec<u8>>, Failure> {
    let (program, arguments) =
        argv.split_first().ok_or_else(|| Failure::new(Code::Io, "there is no command to run"))?;
    let failed = |why: String| Failure::new(Code::Io, "a command failed").because(format!("{program}: {why}"));
    if !Path::new(program).is_absolute() {
        return Err(failed("a command is named by its absolute path".to_owned()));
    }
    let mut child = spawn(program, arguments).map_err(|error| failed(format!("cannot be started: {error}")))?;
    let mut group = Group::of(&child);
    group.confine(limits).map_err(|error| failed(format!("cannot be limited: {error}")))?;
    let work = async {
        let (said, complaint) = listen(&mut child, cap).await?;
        group.end().await;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() { Ok(said) } else { Err(ending(status, &complaint)) }
    };
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(mut said)) => Ok(Secret::new(std::mem::take(&mut *said))),
        Ok(Err(why)) => Err(failed(why)),
        Err(_) => Err(failed(format!("did not end within {} ms", limit.as_millis()))),
    }
}

/// Starts this very program again with `words`, for work that is done apart, with pipes to and from it. It is meant to end when
/// the first one does; whoever gets it waits for it.
///
/// # Errors
/// [`Code::Io`] when it cannot be started.
pub fn companion(words: &[&str]) -> Result<std::process::Child, Failure> {
    let failed = |error: io::Error| Failure::new(Code::Io, "a part of the daemon cannot be started").because(error);
    let program = std::env::current_exe().map_err(failed)?;
    #[expect(clippy::disallowed_methods, reason = "this module is the one that starts processes")]
    let mut command = std::process::Command::new(program);
    command.args(words).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command.spawn().map_err(failed)
}

fn spawn(program: &str, arguments: &[String]) -> io::Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "this module is the one that starts processes")]
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH);
    command.envs(KEPT.iter().filter_map(|name| std::env::var_os(name).map(|value| (*name, value))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true).spawn()
}

/// Reads both pipes to their ends at the same time, so that neither can hold the other up.
async fn listen(child: &mut Child, cap: usize) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), String> {
    let stdout = child.stdout.take().ok_or("has no standard output")?;
    let stderr = child.stderr.take().ok_or("has no standard error")?;
    tokio::try_join!(said(stdout, cap), complaint(stderr))
}

async fn said(pipe: impl AsyncRead + Unpin, cap: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    // Room from the start: a vector that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(cap.saturating_add(1).min(64 * 1024)));
    pipe.take(limit).read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
    if bytes.len() > cap { Err(format!("wrote more than {cap} bytes")) } else { Ok(bytes) }
}

/// The beginning of what it complains of; the rest is read and forgotten.
async fn complaint(mut pipe: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let mut kept = Vec::new();
    let mut buffer = [0; COMPLAINT_CAP];
    loop {
        let count = pipe.read(&mut buffer).await.map_err(|error| error.to_string())?;
        if count == 0 {
            return Ok(kept);
        }
        let room = COMPLAINT_CAP.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(count).take(room));
    }
}

fn ending(status: ExitStatus, complaint: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(complaint).trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.is_empty() { format!("ended with {status}") } else { format!("ended with {status}: {text}") }
}

/// Kills the process and whatever it started, unless it has ended by itself.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Sets limits on the leader, which hands them on to what it starts. It has been running for a moment by then, and may
    /// even have ended. A limit that is lower already stays.
    fn confine(&self, limits: &[(Resource, u64)]) -> io::Result<()> {
        let Some(leader) = self.0 else { return Ok(()) };
        for &(resource, most) in limits {
            let lower = |own: Option<u64>| Some(own.map_or(most, |own| own.min(most)));
            let own = getrlimit(resource);
            let limit = Rlimit { current: lower(own.current), maximum: lower(own.maximum) };
            match prlimit(Some(leader), resource, limit) {
                Ok(_) => {}
                Err(Errno::SRCH) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until the leader has ended, and ends what it left behind. Until the leader is waited for nobody else can have
    /// its number; afterwards it may soon be somebody else's.
    async fn end(&mut self) {
        let mut pause = Duration::from_millis(1);
        while let Some(leader) = self.0 {
            match waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT) {
                Ok(None) => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
                Ok(Some(_)) => drop(Self(self.0.take())),
                // It was waited for already, by whoever.
                Err(_) => self.0 = None,
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn told(argv: &[String]) -> Result<Vec<u8>, String> {
        let result = output(argv, Duration::from_secs(20), 1024).await;
        result.map(|said| said.expose().clone()).map_err(|failure| failure.cause().unwrap_or_default())
    }

    #[tokio::test]
    async fn what_it_writes_comes_back() {
        assert_eq!(told(&sh("printf 'a\\nb'")).await.unwrap(), b"a\nb");
        assert_eq!(told(&sh("cat")).await.unwrap(), b"", "standard input is empty");
    }

    #[tokio::test]
    async fn only_a_few_variables_are_handed_on() {
        let said = String::from_utf8(told(&["/usr/bin/env".to_owned()]).await.unwrap()).unwrap();
        assert!(said.lines().any(|line| line == format!("PATH={PATH}")), "{said}");
        for line in said.lines() {
            assert!(["PATH=", "HOME=", "LANG="].iter().any(|known| line.starts_with(known)), "{line}");
        }
    }

    #[tokio::test]
    async fn another_status_than_zero_is_a_failure_that_names_it() {
        let cause = told(&sh("echo 'no such account' >&2; exit 7")).await.unwrap_err();
        assert!(cause.contains("exit status: 7") && cause.contains("no such account"), "{cause}");
    }

    #[tokio::test]
    async fn a_relative_name_or_none_is_refused() {
        assert!(told(&["sh".to_owned()]).await.unwrap_err().contains("absolute path"));
        assert!(output(&[], Duration::from_secs(1), 1).await.is_err());
        assert!(told(&["/nonexistent/program".to_owned()]).await.unwrap_err().contains("cannot be started"));
    }

    #[tokio::test]
    async fn the_cap_is_exact() {
        let exactly = output(&sh("printf 12345"), Duration::from_secs(20), 5).await.unwrap();
        assert_eq!(exactly.expose(), b"12345");
        let over = output(&sh("printf 123456; sleep 60"), Duration::from_secs(20), 5).await.unwrap_err();
        assert!(over.cause().unwrap().contains("more than 5 bytes"));
    }

    #[tokio::test]
    async fn what_it_may_take_is_limited_by_the_kernel_and_one_of_our_own_is_not() {
        // The limits come a moment after the start.
        let script = "for i in $(seq 100); do [ $(ulimit -n) -le 256 ] && break; sleep 0.1; done; ulimit -n; \
                      ulimit -v; ulimit -t; ulimit -c; head -c 2000000 /dev/zero > $TARGET || echo refused";
        let dir = tempfile::tempdir().unwrap();
        let script = script.replace("$TARGET", &dir.path().join("file").display().to_string());
        let said = told(&sh(&script)).await.unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), "256\n1048576\n21\n0\nrefused\n");
        let own = output_of_own(&sh("ulimit -f; ulimit -t"), Duration::from_secs(20), 100).await.unwrap();
        assert_eq!(own.expose(), b"unlimited\nunlimited\n");
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_ends_with_it_whether_it_failed_or_not() {
        for status in [0, 3] {
            let script = format!("sleep 300 >/dev/null 2>&1 & echo $! >&2; echo $!; exit {status}");
            let left = match told(&sh(&script)).await {
                Ok(said) => String::from_utf8(said).unwrap(),
                Err(cause) => cause,
            };
            let left = left.split_whitespace().next_back().unwrap().to_owned();
            assert!(left.parse::<u32>().is_ok(), "{left}");
            assert!(is_gone(&left).await, "what was left behind with status {status} lives on");
        }
    }

    /// Gone, or a zombie that its new parent has yet to collect.
    async fn is_gone(pid: &str) -> bool {
        for _ in 0..1500 {
            match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(text) if !text.contains(") Z ") => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(_) | Err(_) => return true,
            }
        }
        false
    }

    #[tokio::test]
    async fn on_timeout_the_whole_group_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 300 & echo $! > {0}.new && mv {0}.new {0}; wait", file.display());
        // Long enough to get that far, however busy the machine is.
        for seconds in [1, 5, 25] {
            let failure = output(&sh(&script), Duration::from_secs(seconds), 10).await.unwrap_err();
            assert!(failure.cause().unwrap().contains(&format!("did not end within {seconds}000 ms")));
            if file.exists() {
                break;
            }
        }
        let grandchild = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        assert!(is_gone(&grandchild).await, "the grandchild lives on");
    }

    #[tokio::test]
    async fn a_flood_on_standard_error_neither_blocks_nor_grows() {
        let cause = told(&sh("head -c 3000000 /dev/zero | tr '\\0' 'x' >&2; exit 1")).await.unwrap_err();
        assert!(cause.len() < COMPLAINT_CAP + 200);
    }
}
