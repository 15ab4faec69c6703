//! The built program, and others, as children: run to their end within a limit, or kept running and killed when dropped.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The program under test.
pub const DOORWARD: &str = env!("CARGO_BIN_EXE_doorward");

/// Longest life of what is run to its end, and longest wait for anything.
const LIMIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

/// What is left of a child.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Its standard output, for it must have gone well.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout
    }

    /// Each line of standard output as JSON.
    #[track_caller]
    pub fn messages(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}\n{self:?}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// A command in `directory` with an environment of its own, in which the program under test is found by its name.
pub fn command(program: impl AsRef<std::ffi::OsStr>, directory: &Path) -> Command {
    let home = Path::new(DOORWARD).parent().unwrap().display();
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear().env("HOME", directory).env("LANG", "C.UTF-8");
    command.env("PATH", format!("{home}:{}", std::env::var("PATH").unwrap_or_default()));
    command
}

/// The program under test with these arguments, run to its end.
#[track_caller]
pub fn doorward(directory: &Path, arguments: &[&str]) -> Ended {
    let mut command = command(DOORWARD, directory);
    command.args(arguments);
    finish(command, "")
}

/// A script of bash, run to its end.
#[track_caller]
pub fn bash(directory: &Path, script: &str, variables: &[(&str, String)], input: &str) -> Ended {
    let mut command = command("bash", directory);
    command.args(["-euo", "pipefail", "-c", script]).envs(variables.iter().cloned());
    finish(command, input)
}

/// Runs it to its end with `input` on standard input.
#[track_caller]
pub fn finish(command: Command, input: &str) -> Ended {
    let mut running = Running::start(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let input = input.to_owned();
    // One who does not read must not hold the test up.
    let feeding = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let ended = running.end(LIMIT);
    feeding.join().unwrap();
    ended
}

/// Whether there is such a program. Where `scripts/test` could not install everything it says so and sets
/// `DOORWARD_MAY_SKIP`; anywhere else a missing program is a failure, for what a passing test prints nobody sees.
#[track_caller]
pub fn there_is(program: impl AsRef<std::ffi::OsStr>, what: &str) -> bool {
    let found = Command::new(program.as_ref()).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        missing(program.as_ref(), what);
    }
    found.is_ok()
}

/// Fails for want of a program, unless that is allowed.
#[track_caller]
pub fn missing(program: impl AsRef<std::ffi::OsStr>, what: &str) {
    let program = program.as_ref().display();
    let may_skip = std::env::var_os("DOORWARD_MAY_SKIP").is_some_and(|value| value == "1");
    assert!(may_skip, "{program} is not there, so {what} cannot be tested (DOORWARD_MAY_SKIP=1 leaves it out)");
    eprintln!("!! {program} is not there: {what} is NOT tested");
}

/// A child that runs until it is told otherwise.
pub struct Running {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self { child, stdout, stderr, readers }
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    pub fn write(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    /// Ends its standard input.
    pub fn close(mut self) -> Self {
        drop(self.child.stdin.take());
        self
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits until `seen` finds something, at the latest in what this child says before it ends.
    #[track_caller]
    pub fn until<T>(&mut self, mut seen: impl FnMut(&Self) -> Option<T>) -> T {
        for _ in 0..LIMIT.as_millis() / LOOK.as_millis() {
            if let Some(found) = seen(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it said last may not have been read yet.
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                let found = seen(self);
                return found.unwrap_or_else(|| panic!("{status}:\n{}\n{}", self.stdout(), self.stderr()));
            }
            thread::sleep(LOOK);
        }
        panic!("it never came:\n{}\n{}", self.stdout(), self.stderr())
    }

    /// Waits for its end for at most `limit`. Standard input stays open.
    #[track_caller]
    pub fn end(mut self, limit: Duration) -> Ended {
        for _ in 0..limit.as_millis() / LOOK.as_millis() {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.readers.drain(..).for_each(|reader| reader.join().unwrap());
                // A child that was killed has no status; no program here ends with -1 by itself.
                return Ended { status: status.code().unwrap_or(-1), stdout: self.stdout(), stderr: self.stderr() };
            }
            thread::sleep(LOOK);
        }
        panic!("it did not end within {limit:?}:\n{}\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, text: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            text.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
