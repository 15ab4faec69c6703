//! `get_open_files`: what processes have open. Sensitive: paths tell what people work on. Nothing is opened to learn it.

use std::cmp::Reverse;
use std::io::ErrorKind;
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::Extent;
use super::listing::{self, USUAL};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;
use crate::sandbox::descriptor::{Access, DELETED, Descriptor};
use crate::sandbox::lookout;

/// Processes that are named for having much open.
const BUSIEST: usize = 10;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only files of this process.
    #[schemars(range(min = 1))]
    pid: Option<u32>,
    /// Only files at this path, or in the folder that it is.
    #[schemars(length(min = 1, max = 4096), regex(pattern = "^/"))]
    path: Option<String>,
    /// Only what is of this kind.
    kind: Option<Kind>,
    /// Only files that have lost their last name and still take room.
    deleted: bool,
    /// Most files to list.
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { pid: None, path: None, kind: None, deleted: false, limit: USUAL }
    }
}

/// Open files.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Number of processes whose open files were read.
    processes: usize,
    /// Number of processes whose open files the daemon may not see, or could not ask for.
    processes_hidden: usize,
    /// What is wrong with the daemon itself, where processes are hidden for that, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden_because: Option<&'static str>,
    /// How many of the open files are listed.
    #[serde(flatten)]
    extent: Extent,
    /// The processes with the most of what fits the filter.
    busiest: Vec<Busy>,
    /// The files by process and descriptor.
    files: Vec<OpenFile>,
}

/// A process and how much it has open.
#[derive(Serialize, JsonSchema)]
struct Busy {
    /// Process id.
    pid: u32,
    /// Its name; the kernel keeps 15 bytes of a program's.
    name: String,
    /// Number of open files that fit the filter.
    open: usize,
}

/// One open file.
#[derive(Serialize, JsonSchema)]
struct OpenFile {
    /// Process id.
    pid: u32,
    /// Its name; the kernel keeps 15 bytes of a program's.
    process: String,
    /// The descriptor.
    fd: u32,
    /// Its path, or what the kernel calls something without one, such as `socket:[4711]`.
    path: String,
    /// What it is.
    kind: Kind,
    /// Whether it has lost the name it was opened by.
    deleted: bool,
    /// Bytes of room that it takes on its file system with no name left, until whoever has it open closes it. Two processes can
    /// have the same file.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_bytes: Option<u64>,
    /// How it was opened; absent of what may be neither read nor written through it.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Access>,
}

/// What an open file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A file or a folder with a path.
    File,
    /// A path below /dev.
    Device,
    /// A socket.
    Socket,
    /// A pipe without a name.
    Pipe,
    /// What the kernel makes without a file: timers, events, namespaces, memory.
    Other,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_open_files",
            "Open files",
            "Files, sockets and pipes that processes have open, by process or path: who holds a file or a mount, what was \
             deleted and still takes room, who has too much open.",
            Impact::Medium,
        );
        ToolSpec { sensitive: true, ..spec }.looking_into_processes().reading(["/etc/passwd"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, Some(USUAL));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut pids: Vec<u32> = match args.pid {
            Some(pid) => vec![pid],
            None => ask.host.list("proc").iter().filter_map(|name| name.parse().ok()).collect(),
        };
        pids.sort_unstable();
        let most = args.limit.min(ask.limits.max_array_items.max(1));
        let mut search = Search { args: &args, most, total: 0, matching: 0, cut: false, answer: Answer::empty() };
        for pid in pids {
            search.process(ask, pid)?;
        }
        let Search { mut answer, total, matching, cut, .. } = search;
        answer.extent = Extent::new(total, matching, answer.files.len())
            .of_whole(!cut && answer.hidden_because.is_none())
            .narrow("raise limit, or narrow with pid, path, kind or deleted");
        if answer.processes == 0 {
            return Err(Failure::new(
                Code::ToolFailed,
                match (args.pid, answer.processes_hidden) {
                    _ if answer.hidden_because.is_some() => lookout::GONE,
                    (Some(_), 0) => "there is no such process, or it has gone; get_processes lists those there are",
                    (Some(_), _) => "the daemon may not see what this process has open",
                    (None, _) => "this host does not show what its processes have open",
                },
            ));
        }
        answer.busiest.sort_by_key(|busy| (Reverse(busy.open), busy.pid));
        answer.busiest.truncate(BUSIEST);
        Ok(answer)
    }
}

impl Answer {
    fn empty() -> Self {
        let (busiest, files) = (Vec::new(), Vec::new());
        Self { processes: 0, processes_hidden: 0, hidden_because: None, extent: Extent::default(), busiest, files }
    }
}

struct Search<'a> {
    args: &'a Args,
    most: usize,
    total: usize,
    matching: usize,
    /// Whether of some process not all was told.
    cut: bool,
    answer: Answer,
}

impl Search<'_> {
    fn process(&mut self, ask: &Ask<'_>, pid: u32) -> Result<(), Failure> {
        ask.go_on()?;
        let (mut found, mut open) = (Vec::new(), 0_usize);
        let room = self.most.saturating_sub(self.answer.files.len());
        let (args, total, mut stopped) = (self.args, &mut self.total, Ok(()));
        let read = ask.host.open_files(pid, |Descriptor { number: fd, target, access, lost }| {
            *total = total.saturating_add(1);
            // A process can have a million open.
            if total.is_multiple_of(1024) {
                stopped = ask.go_on();
            }
            if stopped.is_err() {
                return ControlFlow::Break(());
            }
            let (path, deleted) = match target.strip_suffix(DELETED) {
                Some(path) => (path.to_owned(), true),
                None => (target, false),
            };
            let kind = kind(&path);
            if args.fits(&path, kind, deleted) {
                open = open.saturating_add(1);
                keep(
                    &mut found,
                    room,
                    OpenFile { pid, process: String::new(), fd, path, kind, deleted, lost_bytes: lost, access },
                );
            }
            ControlFlow::Continue(())
        });
        stopped?;
        let counted = match read {
            Ok(whole) => {
                self.cut |= !whole;
                &mut self.answer.processes
            }
            Err(error) if lookout::is_gone(&error) => {
                self.answer.hidden_because = Some(lookout::GONE);
                &mut self.answer.processes_hidden
            }
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::TimedOut) => {
                &mut self.answer.processes_hidden
            }
            // It has gone meanwhile.
            Err(_) => return Ok(()),
        };
        *counted = counted.saturating_add(1);
        self.matching = self.matching.saturating_add(open);
        if open > 0 {
            let name = ask.host.line(&format!("proc/{pid}/comm")).unwrap_or_default();
            found.sort_unstable_by_key(|file| file.fd);
            found.iter_mut().for_each(|file| file.process.clone_from(&name));
            self.answer.files.append(&mut found);
            self.answer.busiest.push(Busy { pid, name, open });
        }
        Ok(())
    }
}

/// Keeps the lowest descriptors, at most `room`, whatever the order in which the kernel tells them.
fn keep(found: &mut Vec<OpenFile>, room: usize, file: OpenFile) {
    if found.len() < room {
        found.push(file);
    } else if let Some(highest) = found.iter_mut().max_by_key(|kept| kept.fd).filter(|kept| kept.fd > file.fd) {
        *highest = file;
    }
}

impl Args {
    fn fits(&self, path: &str, kind: Kind, deleted: bool) -> bool {
        let within = |folder: &String| {
            let rest = path.strip_prefix(folder.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.path.as_ref().is_none_or(within)
            && self.kind.is_none_or(|one| one == kind)
            && (deleted && matches!(kind, Kind::File) || !self.deleted)
    }
}

fn kind(path: &str) -> Kind {
    match path {
        _ if path.starts_with("/memfd:") => Kind::Other,
        _ if path.starts_with("/dev/") && !path.starts_with("/dev/shm/") => Kind::Device,
        _ if path.starts_with('/') => Kind::File,
        _ if path.starts_with("socket:") => Kind::Socket,
        _ if path.starts_with("pipe:") => Kind::Pipe,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    fn paths(answer: &Value) -> Vec<&str> {
        answer["files"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_virtual_machine_shows_what_is_open() {
        let answer = listed(json!({"pid": 1311}));
        assert_eq!(
            answer["files"],
            json!([
                {"pid": 1311, "process": "postgres", "fd": 0, "path": "/dev/null", "kind": "device", "deleted": false, "access": "read"},
                {"pid": 1311, "process": "postgres", "fd": 4, "path": "socket:[20311]", "kind": "socket", "deleted": false},
                {"pid": 1311, "process": "postgres", "fd": 9, "path": "/var/lib/postgresql/17/main/base/5/1259",
                 "kind": "file", "deleted": false, "access": "read_write"},
                {"pid": 1311, "process": "postgres", "fd": 10, "path": "/tmp/sorting", "kind": "file", "deleted": true},
            ])
        );
        assert_eq!((&answer["processes"], &answer["total"]), (&json!(1), &json!(4)));
        let all = listed(json!({}));
        assert_eq!((&all["processes"], &all["total"]), (&json!(2), &json!(7)));
        assert_eq!(all["busiest"][0], json!({"pid": 1311, "name": "postgres", "open": 4}));
        assert_eq!(paths(&listed(json!({"deleted": true}))), ["/tmp/sorting"]);
        assert_eq!(
            paths(&listed(json!({"path": "/var/lib/postgresql/"}))),
            ["/var/lib/postgresql/17/main/base/5/1259"]
        );
        assert!(paths(&listed(json!({"path": "/var/lib/post"}))).is_empty());
        assert_eq!(paths(&listed(json!({"kind": "pipe"}))), ["pipe:[1180]"]);
    }

    #[test]
    fn a_process_with_much_open_is_counted_and_its_list_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let fds = folder.path().join("proc/7/fd");
        std::fs::create_dir_all(&fds).unwrap();
        (0..3000).for_each(|fd| symlink(format!("/data/{fd}"), fds.join(fd.to_string())).unwrap());
        symlink("/data/not-a-descriptor", fds.join("x")).unwrap();
        std::fs::write(fds.join("4000"), "no link").unwrap();
        let answer = ask::<Query>(&Host::folder(folder.path()), json!({"limit": 3})).unwrap();
        assert_eq!((&answer["total"], &answer["matching"]), (&json!(3000), &json!(3000)));
        assert_eq!(paths(&answer), ["/data/0", "/data/1", "/data/2"]);
        let failure = |host: &Host, arguments| ask::<Query>(host, arguments).unwrap_err().code();
        assert_eq!(failure(&Host::folder(folder.path()), json!({"pid": 8})), Code::ToolFailed);
        assert_eq!(failure(&Host::folder(folder.path()), json!({"path": "relative"})), Code::ArgumentsInvalid);
    }

    #[test]
    fn the_real_host_shows_a_file_that_this_process_holds() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, &[7; 50_000]).unwrap();
        file.as_file().sync_all().unwrap();
        let path = file.path().canonicalize().unwrap();
        let arguments = json!({"pid": std::process::id(), "path": path});
        let answer = ask::<Query>(&Host::this(), arguments.clone()).unwrap();
        assert_eq!((paths(&answer).len(), &answer["files"][0]["access"]), (1, &json!("read_write")));
        std::fs::remove_file(&path).unwrap();
        let gone = ask::<Query>(&Host::this(), arguments).unwrap()["files"][0].clone();
        assert_eq!(gone["deleted"], true);
        assert!(gone["lost_bytes"].as_u64().is_some_and(|bytes| bytes >= 50_000), "{gone}");
    }
}
