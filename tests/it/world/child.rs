//! A world whose door is the built program, in a process of its own: everything it writes is kept to be searched.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::process::{Child as Process, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{Choice, Estate};

/// A running program; killed when dropped.
pub struct Child {
    estate: Estate,
    process: Process,
    probes: u16,
}

impl Deref for Child {
    type Target = Estate;

    fn deref(&self) -> &Estate {
        &self.estate
    }
}

impl Child {
    /// Starts it with these variables and nothing else in its environment, and waits until it is ready.
    pub fn start(mut choice: Choice, environment: &[(&str, &str)]) -> Self {
        let probes = free_port();
        choice.probes = Some(probes);
        choice.port = Some(free_port());
        let (estate, main) = Estate::make(&choice);
        drop(main);
        let file = |name: &str| Stdio::from(File::create(estate.path(name)).unwrap());
        let process = Command::new(env!("CARGO_BIN_EXE_doorward"))
            .args(["serve", "--config"])
            .arg(estate.path("doorward.yaml"))
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file("stdout.txt"))
            .stderr(file("stderr.txt"))
            .spawn()
            .unwrap();
        let mut child = Self { estate, process, probes };
        child.wait_until_ready(choice.unready);
        child
    }

    fn wait_until_ready(&mut self, unready: bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let wanted = if unready { "/health" } else { "/ready" };
        // A door whose list is out of date is there to refuse, and never becomes ready.
        let there = |answer: String| {
            answer.starts_with("HTTP/1.1 200")
                || answer.contains("\"missing\":[\"the revocation list is out of date\"]")
        };
        while !self.probe(wanted).is_some_and(there) {
            let ended = self.process.try_wait().unwrap();
            let said = fs::read_to_string(self.path("stderr.txt")).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "the program does not serve: {ended:?} {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the listener for probes answers.
    pub fn probe(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.probes)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// Asks it to end, and waits; everything it had to write is written then.
    pub fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody has and that nobody is given: below those that the system chooses from, another one each time, and
/// in each process from another place on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..1000 {
        let at = std::process::id().wrapping_mul(37).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(at % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port");
}
