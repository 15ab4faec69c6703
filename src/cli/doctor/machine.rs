//! What the machine shows: the daemon that runs, who guards its files, how old they are.

use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::getuid;

use super::collector::Collector;
use super::lookout;
use super::monitor::Monitor;
use crate::audit::layout::Layout;
use crate::audit::search::{Journal, Reading, Span};
use crate::clock::{self, Timestamp};
use crate::config::Config;
use crate::sandbox::{self, Wall};

/// Stands in the record of a start, and in few others.
const START: &[u8] = b"\"start\"";

/// What there is to see.
pub(super) struct Machine {
    /// The daemon that serves this configuration.
    pub(super) serving: Option<Serving>,
    /// Whether that has a lookout.
    pub(super) lookout: bool,
    /// Who asks.
    pub(super) uid: u32,
    /// What watches the configuration.
    pub(super) monitor: Monitor,
    /// What shows that records reach their collector.
    pub(super) collector: Collector,
    /// Days since the configuration was changed.
    pub(super) config_days: Option<u64>,
    /// Days since the key of tokens was changed, where it is a file.
    pub(super) key_days: Option<u64>,
    /// What the kernel gives of a sandbox.
    pub(super) walls: Vec<Wall>,
}

/// A daemon.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) pid: u32,
    pub(super) uid: u32,
    /// Whether it has any capability.
    pub(super) privileged: bool,
    /// Whether it is behind a filter of system calls.
    pub(super) filtered: bool,
    /// Whether it can get no more privileges than it has.
    pub(super) confined: bool,
    /// When it started.
    started: Option<Timestamp>,
    /// What stands around it, by the record of its start in the audit log, where that can be read.
    pub(super) told: Option<String>,
}

#[cfg(test)]
impl Serving {
    /// One that runs as a user of its own within these walls.
    pub(super) fn known(told: &str) -> Self {
        let told = Some(told.to_owned());
        Self { pid: 7, uid: 990, privileged: false, filtered: true, confined: true, started: None, told }
    }
}

impl Machine {
    /// Looks around; what cannot be read is not there.
    pub(super) fn look(path: Option<&Path>, config: &Config, now: Timestamp) -> Self {
        let days = |path: &Path| {
            let changed = fs::metadata(path).ok()?.modified().ok()?;
            let changed = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
            let seconds = u64::try_from(now.seconds()).ok()?.saturating_sub(changed.as_secs());
            seconds.checked_div(86_400)
        };
        let serving = path.and_then(serving);
        Self {
            lookout: serving.as_ref().is_some_and(|serving| lookout::is_beside(serving.pid)),
            serving: serving.map(|serving| Serving {
                told: serving.started.and_then(|since| told(&config.audit.path, since)),
                ..serving
            }),
            uid: getuid().as_raw(),
            monitor: path.map(|path| Monitor::look(Path::new("/"), path)).unwrap_or_default(),
            collector: Collector::look(config, now),
            config_days: path.and_then(days),
            key_days: config.auth.jwt.public_key.as_deref().and_then(days),
            walls: sandbox::given(),
        }
    }
}

fn serving(config: &Path) -> Option<Serving> {
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find_map(|pid| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<String> =
            words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        if !is_door(&words) {
            return None;
        }
        // A name without a root counts from the folder of whoever was told it.
        let folder = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        serves(&words, &environment, &folder, config)
            .then(|| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                of(pid, &fs::read_to_string(format!("/proc/{pid}/status")).ok()?, &stat)
            })
            .flatten()
    })
}

/// `doorward serve`, of whatever place.
fn is_door(words: &[String]) -> bool {
    let named = |program: &String| Path::new(program).file_name().is_some_and(|name| name == "doorward");
    words.first().is_some_and(named) && words.get(1).is_some_and(|verb| verb == "serve")
}

/// Whether these are the words and the environment of one with this very configuration, started in `folder`, or here if that
/// is not known. The environment counts where no word names a configuration.
fn serves(words: &[String], environment: &[u8], folder: &Path, config: &Path) -> bool {
    let same = |named: &Path| {
        let named = folder.join(named);
        named == config
            || named.canonicalize().is_ok_and(|named| config.canonicalize().is_ok_and(|config| named == config))
    };
    let mut rest = words.iter().skip(2).map(String::as_str);
    while let Some(word) = rest.next() {
        let named = match word {
            "--config" | "-c" => rest.next(),
            word => word.strip_prefix("--config=").or_else(|| word.strip_prefix("-c").filter(|name| !name.is_empty())),
        };
        if let Some(named) = named {
            return same(Path::new(named));
        }
    }
    let variable = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(b"DOORWARD_CONFIG="));
    variable.is_some_and(|named| same(Path::new(OsStr::from_bytes(named))))
}

fn of(pid: u32, status: &str, stat: &str) -> Option<Serving> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Serving {
        pid,
        uid: field("Uid:")?.split_whitespace().nth(1)?.parse().ok()?,
        privileged: u64::from_str_radix(field("CapPrm:")?, 16).ok()? != 0,
        filtered: field("Seccomp:") == Some("2"),
        confined: field("NoNewPrivs:") == Some("1"),
        started: started(stat),
        told: None,
    })
}

/// Field 22 of proc_pid_stat(5), in hundredths of a second since the machine started. The name, which may hold anything, ends
/// with the last parenthesis.
fn started(stat: &str) -> Option<Timestamp> {
    let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    Some(clock::booted().plus(Duration::from_millis(ticks.saturating_mul(10))))
}

/// What the first start that was recorded `since` says of the sandbox. The clock may have been set meanwhile, so a minute
/// before counts as well; the last start of those is the one.
fn told(journal: &Path, since: Timestamp) -> Option<String> {
    let since = since.minus(Duration::from_secs(60));
    let span = Span { since: Some(since), until: None };
    let mut found = None;
    let visit = &mut |line: &[u8]| {
        let start = line.windows(START.len()).any(|part| part == START).then(|| Reading::of(line)).flatten();
        if let Some(record) = start.filter(|record| record.event == "start" && *record.ts >= *since.to_string()) {
            found = record.detail.and_then(|detail| Some(detail.split_once("; sandbox: ")?.1.to_owned()));
        }
        ControlFlow::Continue(())
    };
    Journal::find(Layout::of(journal)).ok()?.each(span, visit).ok()?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_door_with_this_configuration_is_the_one() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("c.yaml");
        fs::write(&config, "").unwrap();
        let name = config.display().to_string();
        let from = |place: &Path, line: &str| {
            serves(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), b"", place, &config)
        };
        let serves = |line: &str| from(Path::new("/"), line);
        assert!(serves(&format!("/usr/bin/doorward serve --config {name}")));
        assert!(serves(&format!("doorward serve --config={name}")));
        assert!(serves(&format!("doorward serve -c {}/./c.yaml", folder.path().display())));
        for line in ["doorward serve", "doorward check --config c.yaml", "sh serve --config c.yaml", ""] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(!is_door(&words) || !serves(&line.replace("c.yaml", &name)), "{line}");
        }
        assert!(is_door(&["/usr/bin/doorward".to_owned(), "serve".to_owned()]));
        assert!(!serves("doorward serve --config /elsewhere/c.yaml"));
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("c.yaml"), "").unwrap();
        let told = "doorward serve --config c.yaml";
        assert!(from(folder.path(), told) && !from(other.path(), told) && !from(Path::new(""), told));
    }

    #[test]
    fn the_last_record_of_a_start_since_then_tells_the_walls() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("audit.jsonl");
        let line = |seq: u64, ts: &str, event: &str, detail: &str| {
            format!("{{\"seq\":{seq},\"v\":1,\"ts\":\"{ts}\",\"event\":\"{event}\",\"detail\":\"{detail}\"}}\n")
        };
        let text = line(1, "2026-01-01T00:00:00.000Z", "start", "0.1.0; sandbox: dumps")
            + &line(2, "2026-01-02T00:00:01.000Z", "start", "0.1.0; sandbox: files, dumps; memory: none, x")
            + &line(3, "2026-01-02T00:00:02.000Z", "query", "\\\"start\\\"");
        fs::write(&journal, text).unwrap();
        let at = |seconds| told(&journal, Timestamp::from_seconds(seconds));
        assert_eq!(at(1_767_312_000).as_deref(), Some("files, dumps; memory: none, x"));
        assert_eq!(at(1_767_400_000), None, "there was no start since");
        assert_eq!(told(&folder.path().join("none"), Timestamp::from_seconds(0)), None);
    }

    #[test]
    fn a_door_that_was_told_its_configuration_by_the_environment_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("c.yaml");
        fs::write(&config, "").unwrap();
        let told = |words: &str, environment: &str| {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            serves(
                &words,
                environment.replace("c.yaml", &config.display().to_string()).as_bytes(),
                folder.path(),
                &config,
            )
        };
        assert!(told("doorward serve", "PATH=/bin\0DOORWARD_CONFIG=c.yaml\0X=1\0"));
        assert!(told("doorward serve --log-level debug", "DOORWARD_CONFIG=c.yaml\0"));
        assert!(!told("doorward serve", "PATH=/bin\0MY_DOORWARD_CONFIG=c.yaml\0"));
        assert!(!told("doorward serve", "DOORWARD_CONFIG=/elsewhere/c.yaml\0"));
        // A word goes before the environment.
        assert!(!told("doorward serve --config /elsewhere/c.yaml", "DOORWARD_CONFIG=c.yaml\0"));
    }

    #[test]
    fn a_status_tells_who_it_is_and_what_it_may() {
        let status = "Name:\tx\nUid:\t0\t33\t0\t0\nCapPrm:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\n\
                      Seccomp_filters:\t2\n";
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let serving = of(7, status, stat).unwrap();
        assert_eq!((serving.pid, serving.uid, serving.privileged, serving.filtered), (7, 33, true, true));
        assert!(serving.confined);
        assert_eq!(serving.started.unwrap().since(clock::booted()), Duration::from_millis(47_110));
        assert!(of(7, "Name: x", stat).is_none());
        assert!(of(7, status, "7 (x) S 1").unwrap().started.is_none());
    }
}
