//! `get_app_logs`: logs of applications, from the configured directories alone. Neither a path nor a link leads out of one.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::log_files::{self, Format, Log};
use super::log_filter::{self, Asked, Looked, Wanted, shown};
use super::log_time::Stamps;
use super::quantity::moment;
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::clock::Timestamp;
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// How deep below a configured directory files are listed.
const DEPTH: usize = 4;

/// Directory entries that are looked at for a list.
const LOOKED_AT: usize = 20_000;

pub(super) struct Query;

/// Which log, and which lines of it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// The log to read, by its absolute path as the list has it. Without it the answer is that list.
    #[schemars(length(min = 1, max = 4096))]
    file: Option<String>,
    /// Also read the rotated forms of the log, packed ones too.
    rotated: bool,
    /// Time, text and number.
    #[serde(flatten)]
    asked: Asked,
}

/// Lines of one log, or the logs there are.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The logs there are, those that were last written first; only without `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<Vec<About>>,
    /// The newest lines that fit, the oldest of them first; only with `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Entry>>,
    /// Where it was looked, and what is missing.
    #[serde(flatten)]
    looked: Looked,
}

/// A log.
#[derive(PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
struct About {
    /// When it was last written: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
    /// Its path, for `file`.
    path: String,
    /// Its size in bytes.
    size_bytes: u64,
}

/// One line.
#[derive(Serialize, JsonSchema)]
struct Entry {
    /// The time near the beginning of the line: RFC 3339, UTC. One without a zone is read in that of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The line as it is.
    line: String,
    /// Whether the end of the line is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

/// Lines of whatever form.
struct Lines(Stamps);

impl Format for Lines {
    type Entry = Entry;

    const FIELD: &'static str = "entries.line";

    fn time(&self, line: &str) -> Option<Timestamp> {
        self.0.first(line)
    }

    fn entry(&self, line: &str) -> Option<Entry> {
        let (text, truncated) = shown(line);
        (!text.is_empty()).then(|| Entry {
            time: self.0.first(line).map(|time| time.to_string()),
            line: text,
            truncated,
        })
    }
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_app_logs",
            "Application logs",
            "Logs of applications in the directories that the operator has opened (toolsets.system.app_logs): without \
             `file` the list of them (`pattern` is then for their paths, `lines` for their number), with it the newest lines \
             that fit.",
            Impact::Medium,
        )
        .reading(["/etc/localtime", "/usr/share/zoneinfo"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        log_filter::narrow(spec, limits);
    }

    fn reach(spec: &mut ToolSpec, host: &Host) {
        let paths = &host.section().app_logs;
        spec.needs.paths.extend(paths.iter().map(|path| path.display().to_string().into()));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let wanted = Wanted::new(ask, &args.asked)?;
        let directories = directories(ask);
        let Some(file) = &args.file else { return list(ask, directories, &wanted) };
        let closed =
            || Failure::new(Code::ToolFailed, "this is no log that the configuration opens (toolsets.system.app_logs)");
        let file = file.strip_prefix('/').ok_or_else(closed)?;
        let inside =
            |directory: &&String| file.strip_prefix(directory.as_str()).is_some_and(|rest| rest.starts_with('/'));
        let directory = directories.iter().find(inside).ok_or_else(closed)?;
        if file.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(closed());
        }
        let open = |path: &str| open(ask, directory, path);
        // What is asked for by name is there, or the question fails.
        open(file).map_err(|error| {
            Failure::new(Code::ToolFailed, format!("this log cannot be read: {}", log_files::why(&error)))
                .because(error)
        })?;
        let files = if args.rotated { log_files::rotated(ask.host, file) } else { vec![file.to_owned()] };
        let found = log_files::read(ask, &Log { open: &open, files }, &wanted, &Lines(Stamps::of(ask.host)))?;
        Ok(Answer { logs: None, entries: Some(found.entries), looked: found.looked })
    }
}

/// The configured directories, as paths below the root.
fn directories(ask: &Ask<'_>) -> Vec<String> {
    let below = |path: &Path| Some(path.to_str()?.trim_matches('/').to_owned()).filter(|path| !path.is_empty());
    ask.host.section().app_logs.iter().filter_map(|path| below(path)).collect()
}

fn open(ask: &Ask<'_>, directory: &str, path: &str) -> io::Result<(File, Metadata)> {
    let inside = path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
    ask.host.file_within(directory, inside.ok_or(io::ErrorKind::InvalidInput)?)
}

/// The logs in the configured directories.
fn list(ask: &Ask<'_>, directories: Vec<String>, wanted: &Wanted) -> Result<Answer, Failure> {
    if directories.is_empty() {
        let what = "the configuration opens no logs of applications (toolsets.system.app_logs)";
        return Ok(Answer { logs: Some(Vec::new()), entries: None, looked: Looked::without(what) });
    }
    let (mut logs, mut notes, mut looked_at) = (Vec::new(), Vec::new(), 0_usize);
    for directory in &directories {
        if let Err(error) = ask.host.place(directory) {
            notes.push(format!("/{directory} could not be listed: {}", log_files::why(&error)));
            continue;
        }
        let mut folders = vec![(directory.clone(), 0_usize)];
        while let Some((folder, depth)) = folders.pop() {
            ask.go_on()?;
            let _passing = ask.passing();
            for name in ask.host.list_within(directory, &folder) {
                looked_at = looked_at.saturating_add(1);
                if looked_at > LOOKED_AT {
                    break;
                }
                let path = format!("{folder}/{name}");
                match open(ask, directory, &path) {
                    Ok((_, about)) if wanted.fits(&path) => logs.push(describe(&path, &about)),
                    Ok(_) => {}
                    // A folder is no regular file, and neither is a pipe; only the folder has names in it.
                    Err(_) if depth < DEPTH => folders.push((path, depth.saturating_add(1))),
                    Err(_) => {}
                }
            }
        }
    }
    if looked_at > LOOKED_AT {
        notes.push(format!("only the first {LOOKED_AT} entries of the directories were looked at"));
    }
    logs.sort();
    logs.reverse();
    let left = logs.len().saturating_sub(wanted.lines);
    logs.truncate(wanted.lines);
    if left > 0 {
        notes.push(format!("{left} logs that fit were left out: narrow with pattern, or ask for more with lines"));
    }
    let files = directories.iter().map(|directory| format!("/{directory}")).collect();
    Ok(Answer { logs: Some(logs), entries: None, looked: Looked { files, left_out: notes } })
}

fn describe(path: &str, about: &Metadata) -> About {
    let since = about.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    About {
        modified: since.and_then(|since| moment(u64::try_from(since.as_millis()).ok()?)),
        path: format!("/{path}"),
        size_bytes: about.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::super::query::{ask, ask_within};
    use super::super::{Host, SystemSection};
    use super::*;
    use crate::call::Progress;

    fn host(root: &Path) -> Host {
        Host::folder(root).opened(&SystemSection {
            app_logs: vec!["/var/log/shop/".into(), "/srv/logs".into(), "/".into()],
            ..SystemSection::default()
        })
    }

    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let logs = root.path().join("var/log/shop");
        std::fs::create_dir_all(logs.join("deep/er")).unwrap();
        std::fs::create_dir_all(root.path().join("var/log/shopping")).unwrap();
        std::fs::write(root.path().join("var/log/shopping/other.log"), "other\n").unwrap();
        std::fs::write(root.path().join("secret"), "secret\n").unwrap();
        std::fs::write(logs.join("shop.log"), "one\ntwo\n").unwrap();
        std::fs::write(logs.join("shop.log.1"), "before\n").unwrap();
        std::fs::write(logs.join("deep/er/app.log"), "deep\n").unwrap();
        symlink("/secret", logs.join("absolute.log")).unwrap();
        symlink("../../../secret", logs.join("up.log")).unwrap();
        symlink("shop.log", logs.join("inside.log")).unwrap();
        symlink("circle", logs.join("circle")).unwrap();
        symlink("..", logs.join("parent")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, logs.join("pipe"), mode).unwrap();
        root
    }

    fn lines(answer: &Value) -> Vec<&str> {
        answer["entries"].as_array().unwrap().iter().map(|entry| entry["line"].as_str().unwrap()).collect()
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_configured_directories() {
        let root = folder();
        let host = host(root.path());
        for path in [
            "/secret",
            "/var/log/shop/../../../secret",
            "/var/log/shop/absolute.log",
            "/var/log/shop/up.log",
            "/var/log/shop/parent/shopping/other.log",
            "/var/log/shop/circle",
            "/var/log/shop/pipe",
            "/var/log/shop/deep",
            "/var/log/shop/",
            "/var/log/shop",
            "/var/log/shop//shop.log",
            "/var/log/shop/./shop.log",
            "/var/log/shopping/other.log",
            "var/log/shop/shop.log",
            "/var/log/shop/none.log",
            "/etc/passwd",
        ] {
            let failure = ask::<Query>(&host, json!({"file": path})).unwrap_err();
            assert_eq!(failure.code(), Code::ToolFailed, "{path}");
            assert!(!format!("{failure:?}").contains("secret\n"), "{failure:?}");
        }
        assert_eq!(lines(&ask::<Query>(&host, json!({"file": "/var/log/shop/shop.log"})).unwrap()), ["one", "two"]);
        assert_eq!(lines(&ask::<Query>(&host, json!({"file": "/var/log/shop/inside.log"})).unwrap()), ["one", "two"]);
        let answer =
            ask::<Query>(&host, json!({"file": "/var/log/shop/shop.log", "rotated": true, "lines": 2})).unwrap();
        assert_eq!(lines(&answer), ["one", "two"]);
        let answer = ask::<Query>(&host, json!({"file": "/var/log/shop/shop.log", "rotated": true})).unwrap();
        assert_eq!(lines(&answer), ["before", "one", "two"]);
    }

    #[test]
    fn the_list_has_the_logs_in_the_directories_and_nothing_else() {
        let root = folder();
        let answer = ask::<Query>(&host(root.path()), json!({})).unwrap();
        let mut paths: Vec<&str> =
            answer["logs"].as_array().unwrap().iter().map(|log| log["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            ["deep/er/app.log", "inside.log", "shop.log", "shop.log.1"].map(|path| format!("/var/log/shop/{path}"))
        );
        let answer = ask::<Query>(&host(root.path()), json!({"pattern": "DEEP", "lines": 1})).unwrap();
        assert_eq!(answer["logs"][0]["size_bytes"], 5);
        let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
        assert!(answer["logs"].as_array().unwrap().is_empty());
        assert!(answer["left_out"][0].as_str().unwrap().contains("toolsets.system.app_logs"), "{answer}");
    }

    #[test]
    fn what_is_put_in_the_place_of_a_directory_is_not_followed() {
        let root = folder();
        let host = host(root.path());
        let asked = json!({"file": "/var/log/shop/shop.log"});
        assert!(ask::<Query>(&host, asked.clone()).is_ok());
        let logs = root.path().join("var/log");
        std::fs::rename(logs.join("shop"), logs.join("away")).unwrap();
        std::fs::create_dir(root.path().join("elsewhere")).unwrap();
        std::fs::write(root.path().join("elsewhere/shop.log"), "secret\n").unwrap();
        for swap in [true, false] {
            if swap {
                symlink("../../elsewhere", logs.join("shop")).unwrap();
            } else {
                std::fs::remove_file(logs.join("shop")).unwrap();
                std::fs::rename(root.path().join("elsewhere"), logs.join("shop")).unwrap();
            }
            let failure = ask::<Query>(&host, asked.clone()).unwrap_err();
            assert!(failure.public().contains("another directory was put in its place"), "{failure}");
            let list = ask::<Query>(&host, json!({})).unwrap();
            assert_eq!(list["logs"], json!([]));
            assert!(list["left_out"].to_string().contains("/var/log/shop could not be listed: another"), "{list}");
        }
        // Whoever reads the configuration anew means what is there now.
        assert_eq!(lines(&ask::<Query>(&self::host(root.path()), asked).unwrap()), ["secret"]);
    }

    #[test]
    fn a_file_of_nothing_but_line_feeds_costs_little() {
        let root = folder();
        let path = root.path().join("var/log/shop/shop.log");
        let took = |text: Vec<u8>| {
            std::fs::write(&path, [text, b"\nlast\n\n".to_vec()].concat()).unwrap();
            let before = crate::clock::thread_time();
            let answer =
                ask::<Query>(&host(root.path()), json!({"file": "/var/log/shop/shop.log", "lines": 1})).unwrap();
            assert_eq!(lines(&answer), ["last"]);
            crate::clock::thread_time() - before
        };
        let (one, many) = (took(vec![b'x'; 5 << 20]), took(vec![b'\n'; 5 << 20]));
        // A look at each line would be many times as much.
        assert!(many < one * 3, "{one:?} as one line, {many:?} as many");
    }

    #[test]
    fn of_a_long_file_the_end_is_read_and_the_cut_is_said() {
        let root = folder();
        let path = root.path().join("var/log/shop/shop.log");
        let text: String = (0..5000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, &text).unwrap();
        let mut limits = LimitsSection::default();
        limits.logs.max_bytes_per_file = 100;
        let arguments = json!({"file": "/var/log/shop/shop.log"});
        let answer = ask_within::<Query>(&host(root.path()), &limits, &Progress::unheard(), arguments.clone()).unwrap();
        assert_eq!(lines(&answer).last(), Some(&"line 4999"));
        assert_eq!(lines(&answer).len(), 9, "the line that was cut is not shown");
        assert!(answer["left_out"][0].as_str().unwrap().contains("max_bytes_per_file"), "{answer}");
        // Bytes that are no text, a line without end, and a file that is all holes.
        std::fs::write(&path, [&b"a\xff\xfeb\n"[..], &vec![b'x'; 1 << 20]].concat()).unwrap();
        let answer = ask::<Query>(&host(root.path()), arguments.clone()).unwrap();
        assert_eq!(lines(&answer)[0], "a\u{fffd}\u{fffd}b");
        assert_eq!((lines(&answer)[1].len(), &answer["entries"][1]["truncated"]), (4096, &json!(true)));
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let answer = ask::<Query>(&host(root.path()), arguments).unwrap();
        assert!(lines(&answer).len() <= 1, "{}", answer["left_out"]);
    }
}
