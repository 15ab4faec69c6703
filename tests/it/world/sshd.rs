//! A real OpenSSH server on 127.0.0.1 with keys and a configuration of its own; it lets in the user who runs the tests.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::child::free_port;
use super::program::{DOORWARD, Running, command, missing};

/// The program; it wants to be started by its absolute path.
const SSHD: &str = "/usr/sbin/sshd";

/// A running server and the clients' files; ended when dropped.
pub struct Sshd {
    directory: tempfile::TempDir,
    running: Running,
}

impl Sshd {
    /// With a key that may do anything (the host `server`), and one with `options` in front of it (the host `restricted`).
    pub fn start(options: &str) -> Option<Self> {
        let found = [SSHD, "/usr/bin/ssh", "/usr/bin/ssh-keygen"].iter().find(|path| !Path::new(path).exists());
        if let Some(absent) = found {
            missing(absent, "SSH");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for key in ["host", "server", "restricted"] {
            let mut keygen = command("ssh-keygen", root);
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key]);
            super::program::finish(keygen, "").well();
        }
        let key = |name: &str| fs::read_to_string(root.join(format!("{name}.pub"))).unwrap().trim().to_owned();
        fs::write(root.join("keys"), format!("{}\n{options} {}\n", key("server"), key("restricted"))).unwrap();
        if geteuid().is_root() {
            // Where a server that may change users is locked in before a login; the package makes it at each boot.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let (port, home, path) = (free_port(), root.display(), Path::new(DOORWARD).parent().unwrap().display());
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {home}/host\nAuthorizedKeysFile {home}/keys\nPidFile none\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n\
             PermitRootLogin prohibit-password\nPrintMotd no\nSubsystem sftp internal-sftp\nSetEnv PATH={path}:/usr/bin:/bin\n"
        );
        fs::write(root.join("sshd_config"), server).unwrap();
        fs::write(root.join("known"), format!("[127.0.0.1]:{port} {}\n", key("host"))).unwrap();
        let hosts: String = ["server", "restricted"]
            .map(|name| {
                format!(
                    "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {home}/{name}\n  IdentitiesOnly yes\n  \
                     UserKnownHostsFile {home}/known\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n  BatchMode yes\n  \
                     LogLevel ERROR\n"
                )
            })
            .concat();
        fs::write(root.join("ssh_config"), hosts).unwrap();
        // The client looks for its configuration where the system says that the user lives, whatever HOME is.
        fs::create_dir(root.join("bin")).unwrap();
        fs::write(root.join("bin/ssh"), format!("#!/bin/sh\nexec /usr/bin/ssh -F {home}/ssh_config \"$@\"\n")).unwrap();
        fs::set_permissions(root.join("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut sshd = command(SSHD, root);
        sshd.args(["-D", "-e", "-f"]).arg(root.join("sshd_config"));
        let mut running = Running::start(sshd);
        running.until(|running| running.stderr().contains("Server listening").then_some(()));
        Some(Self { directory, running })
    }

    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// The `PATH` in which `ssh` knows the hosts, and the program under test is found by its name.
    pub fn search_path(&self) -> (&'static str, String) {
        let program = Path::new(DOORWARD).parent().unwrap().display();
        let before = std::env::var("PATH").unwrap_or_default();
        ("PATH", format!("{}:{program}:{before}", self.path("bin").display()))
    }

    /// What the server said.
    pub fn said(&self) -> String {
        self.running.stderr()
    }
}
