//! What no file of a host has: the word of one of its programs, or of a socket on it. Both are bounded in time and size. In
//! a folder that stands for a host both are files: `programs/rpm`, `sockets/run/docker.sock/containers/json`.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Builder;

use super::{Host, budget};
use crate::error::{Code, Failure};
use crate::{exec, net};

/// Below the limit of [`crate::call::Impact::Medium`], so that the caller learns what took so long.
const PATIENCE: Duration = Duration::from_millis(4500);
/// Of several sockets one may be silent, and the others are still to be asked.
const SOCKET_PATIENCE: Duration = Duration::from_millis(1500);

impl Host {
    /// What a program writes to standard output, at most `cap` bytes. It blocks.
    ///
    /// # Errors
    /// [`Code::ToolFailed`] when it cannot be started, fails, takes too long or says too much.
    pub(super) fn program(&self, argv: &[&str], cap: usize) -> Result<Vec<u8>, Failure> {
        let name = argv.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
        if !self.is_this() {
            return self.recorded(&format!("programs/{name}"), cap);
        }
        let argv: Vec<String> = argv.iter().map(|&word| word.to_owned()).collect();
        let said = wait_for(exec::output(&argv, PATIENCE, cap))?;
        said.map(|said| said.expose().clone()).map_err(|failure| {
            let cause = failure.cause().unwrap_or_default();
            Failure::new(Code::ToolFailed, format!("{name} does not tell")).because(cause)
        })
    }

    /// What a server answers over the unix socket at `socket` to a GET of `target`, at most `cap` bytes. It blocks.
    ///
    /// # Errors
    /// [`Code::ToolFailed`] when nobody is there, the answer is not 200, takes too long or is too large.
    pub(super) fn socket(&self, socket: &Path, target: &str, cap: usize) -> Result<Vec<u8>, Failure> {
        if !self.is_this() {
            let file = target.split('?').next().unwrap_or_default();
            return self.recorded(&format!("sockets/{}{file}", below(&socket.to_string_lossy())), cap);
        }
        wait_for(async {
            net::Outbound::over(socket)?.get(&format!("http://localhost{target}"), SOCKET_PATIENCE, cap).await
        })?
        .map_err(|failure| {
            let cause = failure.cause().unwrap_or_default();
            Failure::new(Code::ToolFailed, format!("{}: {}", socket.display(), failure.public())).because(cause)
        })
    }

    fn recorded(&self, path: &str, cap: usize) -> Result<Vec<u8>, Failure> {
        match self.start(path, cap) {
            Ok((bytes, false)) => Ok(bytes),
            Ok((_, true)) => Err(Failure::new(Code::ToolFailed, format!("{path} of this host says too much"))),
            Err(error) => Err(Failure::new(Code::ToolFailed, format!("this host does not show {path}")).because(error)),
        }
    }
}

/// An absolute path as one below the root of a host.
pub(super) fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Waits on the query's own thread, with a runtime of its own: the daemon's is for calls, and tests have none. What is waited
/// for ends when the query is called off.
fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Internal, "there is no event loop").because(error))?;
    runtime.block_on(budget::unless_called_off(work))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::budget::Allowance;
    use super::*;
    use crate::admission::ResourcesSection;
    use crate::call::Impact;

    #[test]
    fn a_program_ends_with_the_query_that_asked_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 300 & echo $! > {0}.new && mv {0}.new {0}; wait", file.display());
        let stopped = Arc::new(AtomicBool::new(false));
        let waiter = Arc::clone(&stopped);
        let named = file.clone();
        let watch = std::thread::spawn(move || {
            while !named.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            waiter.store(true, Ordering::Relaxed);
        });
        let allowance = Allowance::of(Impact::Medium, &ResourcesSection::default());
        let asked = budget::within(allowance, &stopped, || Host::this().program(&["/bin/sh", "-c", &script], 64));
        watch.join().unwrap();
        assert_eq!(asked.unwrap_err().code(), Code::Cancelled, "it did not wait for the end");
        let sleeper = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        let lives =
            || std::fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..2000 {
            if !lives() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("what it started lives on");
    }

    #[test]
    fn this_host_asks_programs_and_a_folder_has_their_answers() {
        let this = Host::this();
        assert_eq!(this.program(&["/bin/echo", "hello"], 64).unwrap(), b"hello\n");
        for argv in [&["/bin/false"][..], &["/nonexistent/program"], &["/bin/echo", "too much"], &["echo"], &[]] {
            assert_eq!(this.program(argv, 4).unwrap_err().code(), Code::ToolFailed, "{argv:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("programs")).unwrap();
        std::fs::write(folder.path().join("programs/echo"), "recorded").unwrap();
        let host = Host::folder(folder.path());
        assert_eq!(host.program(&["/bin/echo", "hello"], 64).unwrap(), b"recorded");
        assert_eq!(host.program(&["/bin/echo"], 4).unwrap_err().code(), Code::ToolFailed);
        assert_eq!(host.program(&["/bin/true"], 64).unwrap_err().code(), Code::ToolFailed);
    }

    #[tokio::test]
    async fn a_query_may_wait_on_a_thread_beside_a_runtime() {
        let said = tokio::task::spawn_blocking(|| Host::this().program(&["/bin/echo", "-n", "x"], 4).unwrap()).await;
        assert_eq!(said.unwrap(), b"x");
    }
}
