//! What no file shows is asked of a program that comes with the host, started by `exec`: an absolute path, no shell, a time
//! limit. A folder that stands for a host has what such a program would write as a file, `commands/NAME`.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;

use super::{Host, budget};
use crate::exec;

/// Where programs of the system are looked for.
const FOLDERS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// The longest a program may take.
const LIMIT: Duration = Duration::from_millis(1500);

/// The most that is read of what it writes, in bytes.
const CAP: usize = 8 << 20;

/// Why a program said nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Silent {
    /// The host does not have it.
    NotInstalled,
    /// It failed, or took too long, or wrote too much; the operational log has the cause.
    Failed,
}

impl Host {
    /// What `program` writes when it is run with `arguments`.
    ///
    /// # Errors
    /// [`Silent`].
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, Silent> {
        if !self.is_this() {
            let name = [&[program], arguments].concat().join(" ").replace('/', "_");
            return match self.start(&format!("commands/{name}"), CAP) {
                Ok((bytes, false)) => Ok(bytes),
                Ok((_, true)) => Err(Silent::Failed),
                Err(_) => Err(Silent::NotInstalled),
            };
        }
        let folder = FOLDERS.iter().find(|folder| self.has(&format!("{folder}/{program}")));
        let path = Path::new("/").join(folder.ok_or(Silent::NotInstalled)?).join(program);
        let argv: Vec<String> =
            [path.to_string_lossy().as_ref()].iter().chain(arguments).map(|part| (*part).to_owned()).collect();
        let Ok(handle) = Handle::try_current() else { return Err(Silent::Failed) };
        // Queries run on threads of their own, where waiting holds nobody up.
        match handle.block_on(budget::unless_called_off(exec::output(&argv, LIMIT, CAP))) {
            Ok(Ok(said)) => Ok(said.expose().clone()),
            Err(_called_off) => Err(Silent::Failed),
            Ok(Err(failure)) => {
                tracing::warn!(program, cause = failure.cause(), "a query could not ask a program");
                Err(Silent::Failed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_of_the_machine_is_run_and_one_it_has_not_is_told() {
        let run = |program: &'static str, arguments: &'static [&'static str]| {
            tokio::task::spawn_blocking(move || Host::this().command(program, arguments))
        };
        assert_eq!(run("echo", &["a b"]).await.unwrap().unwrap(), b"a b\n");
        assert!(matches!(run("false", &[]).await.unwrap(), Err(Silent::Failed)));
        assert!(matches!(run("no-such-program", &[]).await.unwrap(), Err(Silent::NotInstalled)));
    }

    #[test]
    fn a_folder_has_what_a_program_would_write_and_runs_nothing() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("commands")).unwrap();
        std::fs::write(root.path().join("commands/echo a"), "said").unwrap();
        let host = Host::folder(root.path());
        assert_eq!(host.command("echo", &["a"]).unwrap(), b"said");
        assert!(matches!(host.command("echo", &["b"]), Err(Silent::NotInstalled)));
        assert!(matches!(Host::this().command("echo", &["a"]), Err(Silent::Failed)), "no runtime, no process");
    }
}
