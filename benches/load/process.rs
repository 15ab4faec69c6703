//! A server under measurement: started on a processor of its own, watched through `/proc`, killed when dropped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// Processor time is counted in hundredths of a second, on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A process that runs on one processor.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts `program` on processor `core`.
    pub(crate) fn start(core: usize, port: u16, directory: &Path, program: &Path, words: &[&str]) -> Result<Self> {
        // Ends with this process, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "taskset", "-c", &core.to_string()]);
        command.arg(program).args(words).current_dir(directory);
        command.env("DOORWARD_LOAD_HOME", directory).stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("servers.log"))?;
        Ok(Self { child: command.stderr(log).spawn()?, port })
    }

    /// Processor time it has used.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        used(&self.child.id().to_string())
    }

    /// Memory it holds, and the most it ever held, in MiB.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok((mebibytes(&status, "VmRSS:")?, mebibytes(&status, "VmHWM:")?))
    }

    /// Threads it has.
    pub(crate) fn threads(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.child.id()))?.count())
    }

    /// Files and sockets it holds.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Tells it to read its configuration again.
    pub(crate) fn reload(&self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        let id = rustix::process::Pid::from_raw(id).ok_or("no such process")?;
        Ok(rustix::process::kill_process(id, rustix::process::Signal::HUP)?)
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until somebody listens.
    pub(crate) async fn listening(&mut self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if self.has_ended() || begun.elapsed() > limit {
                return Err("a server did not come up; see servers.log".into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of this process.
pub(crate) fn own_time() -> Result<Duration> {
    used("self")
}

fn used(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |field: usize| -> Result<u32> { Ok(fields.get(field).ok_or("an unknown form of stat")?.parse()?) };
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

fn mebibytes(status: &str, name: &str) -> Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("an unknown form of status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// A port that nobody has.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
