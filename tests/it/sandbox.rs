//! The walls around the daemon, from within: what is not needed is refused by the kernel, also to root, to threads and to
//! programs that are started later; and what is needed is there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use doorward::sandbox::{self, Families, Mode, Plan, Standing};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::premises::Premises;
use crate::world::program::{DOORWARD, Running, command, doorward, finish, missing};

/// Set in the processes that these tests start of themselves, to the directory that is open there.
const INSIDE: &str = "DOORWARD_TEST_INSIDE";

/// Runs the test `name` of this file in a process of its own, where [`INSIDE`] is set.
#[track_caller]
fn again(name: &str, open: &Path) {
    let mut test = command(std::env::current_exe().unwrap(), open);
    test.args(["--exact", &format!("sandbox::{name}"), "--nocapture", "--test-threads=1"]).env(INSIDE, open);
    let ended = finish(test, "");
    assert!(ended.status == 0 && ended.stdout.contains("1 passed"), "{ended:?}");
}

fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

fn wall(walls: &[sandbox::Wall], name: &str) -> Standing {
    walls.iter().find(|(wall, _)| *wall == name).unwrap().1.clone()
}

/// Whether this kernel can do it; a test that leaves it out says so.
fn stands(walls: &[sandbox::Wall], name: &'static str) -> bool {
    match wall(walls, name) {
        Standing::Whole => true,
        Standing::Partly(_) | Standing::Missing(_) => {
            missing(if name == "files" { "landlock" } else { "seccomp" }, "the sandbox");
            false
        }
    }
}

fn refused<T: std::fmt::Debug>(result: std::io::Result<T>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
}

fn line(text: &str, name: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

#[test]
fn what_nothing_needs_is_refused() {
    let Some(open) = inside() else {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "open").unwrap();
        return again("what_nothing_needs_is_refused", folder.path());
    };
    let secret = ["/etc/shadow", "/etc/passwd"].map(Path::new).into_iter().find(|path| File::open(path).is_ok());
    assert!(secret.is_some() && TcpListener::bind("127.0.0.1:0").is_ok(), "it is allowed outside");
    let plan = Plan { read: [open.clone(), "/proc".into()].into(), ..Plan::default() };
    let sandbox = sandbox::enter(plan, Mode::Enabled).unwrap().unwrap();
    let attempts = move |files: bool, calls: bool| {
        assert_eq!(fs::read_to_string(open.join("file")).unwrap(), "open");
        assert!(fs::read_to_string("/proc/uptime").is_ok());
        if files {
            refused(File::open(secret.unwrap()));
            refused(fs::read_dir("/etc"));
            refused(fs::write(open.join("file"), "changed"));
            refused(File::create(open.join("new")));
            refused(fs::remove_file(open.join("file")));
            // Environment and memory of others, whoever asks.
            refused(File::open(format!("/proc/{}/environ", rustix::process::getppid().unwrap().as_raw_nonzero())));
        }
        if calls {
            refused(TcpListener::bind("127.0.0.1:0"));
            refused(TcpStream::connect("127.0.0.1:1"));
            refused(UdpSocket::bind("127.0.0.1:0"));
            refused(UnixDatagram::unbound());
            refused(rustix::fs::mkfifoat(rustix::fs::CWD, "/proc/x", rustix::fs::Mode::RUSR).map_err(Into::into));
            refused(Command::new("/bin/true").spawn());
            refused(rustix::process::chroot("/proc").map_err(Into::into));
        }
    };
    let (files, calls) = (stands(sandbox.walls(), "files"), stands(sandbox.walls(), "system calls"));
    attempts(files, calls);
    std::thread::spawn(move || attempts(files, calls)).join().unwrap();

    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    assert_eq!((line(&status, "CapEff:"), line(&status, "CapPrm:")), ("0".repeat(16), "0".repeat(16)), "{status}");
    assert_eq!(line(&status, "NoNewPrivs:"), "1");
    assert!(sandbox::enter(Plan::default(), Mode::Enabled).is_err(), "there is one sandbox");
    assert_eq!(
        (wall(sandbox.walls(), "dumps"), wall(sandbox.walls(), "privileges")),
        (Standing::Whole, Standing::Whole)
    );
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    assert!(line(&limits, "Max core file size").starts_with("0 "), "{limits}");
}

#[test]
fn what_is_needed_is_there_and_nothing_beside_it() {
    let Some(open) = inside() else {
        let folder = tempfile::tempdir().unwrap();
        return again("what_is_needed_is_there_and_nothing_beside_it", folder.path());
    };
    let known = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let [known_port, other_port] = [&known, &other].map(|listener| listener.local_addr().unwrap().port());
    let plan = Plan {
        write: [open.clone()].into(),
        programs: true,
        listen: [0].into(),
        connect: [known_port].into(),
        families: Families { internet: true, ..Families::default() },
        ..Plan::default()
    };
    let sandbox = sandbox::enter(plan, Mode::Enabled).unwrap().unwrap();
    fs::write(open.join("one"), "x").unwrap();
    fs::rename(open.join("one"), open.join("two")).unwrap();
    fs::remove_file(open.join("two")).unwrap();
    assert!(TcpListener::bind("127.0.0.1:0").is_ok() && TcpStream::connect(("127.0.0.1", known_port)).is_ok());
    let said = |script: &str| {
        let output = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(said("echo started"), (true, "started\n".to_owned()));
    if stands(sandbox.walls(), "files") {
        refused(TcpStream::connect(("127.0.0.1", other_port)));
        drop(other);
        refused(TcpListener::bind(("127.0.0.1", other_port)));
        assert!(!said("cat /etc/shadow 2>&1 | grep root:").0 && !said("ls /etc").0, "programs are within too");
        assert!(
            !said("echo x > /dev/shm/doorward-test").0 && !said("kill -0 $(cat /proc/$PPID/stat | cut -d' ' -f4)").0
        );
    }
    if stands(sandbox.walls(), "system calls") {
        refused(UnixDatagram::unbound());
        for script in ["unshare --user true", "unshare --mount true", "unshare --net true", "chroot / true"] {
            assert!(!said(script).0, "{script}");
        }
        // Threads are made by a call whose arguments can be judged.
        assert!(std::thread::spawn(|| ()).join().is_ok());
    }
}

#[test]
fn what_looks_into_processes_asks_the_lookout() {
    let Some(_) = inside() else {
        let folder = tempfile::tempdir().unwrap();
        return again("what_looks_into_processes_asks_the_lookout", folder.path());
    };
    let mut other = Command::new("sleep").arg("2").env("A_SECRET", "hush").spawn().unwrap();
    let mut started = Command::new(DOORWARD);
    started
        .args(["lookout", "--environments"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let child = started.spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    sandbox::lookout::attach(child);
    let plan = Plan { read: ["/proc".into()].into(), processes: true, ..Plan::default() };
    let sandbox = sandbox::enter(plan, Mode::Enabled).unwrap().unwrap();
    let pid = other.id();
    if stands(sandbox.walls(), "files") {
        refused(File::open(format!("/proc/{pid}/environ")));
        refused(fs::read_link(format!("/proc/{pid}/fd/0")));
    }
    let (environment, more) = sandbox::lookout::environment(pid, 1 << 20).unwrap().unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("A_SECRET=hush") && !more);
    let (start, more) = sandbox::lookout::environment(pid, 4).unwrap().unwrap();
    assert_eq!((start.len(), more), (4, true));
    let (open, whole) = sandbox::lookout::descriptors(pid).unwrap().unwrap();
    assert!(whole);
    let zero = open.iter().find(|one| one.number == 0).unwrap();
    assert!(!zero.target.is_empty() && zero.access.is_some(), "{open:?}");
    assert_eq!(sandbox::lookout::descriptors(u32::MAX).unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    let gone = sandbox::lookout::environment(u32::MAX, 1).unwrap().unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);

    // It is shut in itself, but for what it is there for.
    let status = fs::read_to_string(status).unwrap();
    assert_eq!((line(&status, "NoNewPrivs:"), line(&status, "Seccomp:")), ("1".to_owned(), "2".to_owned()), "{status}");
    let powers = u64::from_str_radix(&line(&status, "CapPrm:"), 16).unwrap();
    assert_eq!(powers & !(1 << 2 | 1 << 19), 0, "CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE at most: {status}");
    // Within, no process outside can be told to end; this one ends by itself.
    other.wait().unwrap();
}

/// Makes the kernel know no more than one without this call.
fn without(call: i64, error: u32) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let rules = [(call, Vec::new())].into();
    let here = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error), here).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    apply_filter(&filter).unwrap();
}

#[test]
fn on_a_kernel_without_landlock_the_other_walls_stand() {
    let Some(_) = inside() else {
        let folder = tempfile::tempdir().unwrap();
        return again("on_a_kernel_without_landlock_the_other_walls_stand", folder.path());
    };
    without(libc::SYS_landlock_create_ruleset, 38);
    let failure = sandbox::enter(Plan::default(), Mode::Required).unwrap_err();
    assert!(failure.cause().unwrap().contains("files: none, this kernel has no landlock"), "{failure:?}");
    let sandbox = sandbox::enter(Plan::default(), Mode::Enabled).unwrap().unwrap();
    assert!(matches!(wall(sandbox.walls(), "files"), Standing::Missing(_)));
    assert_eq!(wall(sandbox.walls(), "system calls"), Standing::Whole);
    assert_eq!(sandbox.lacking().count(), 1, "{sandbox}");
    refused(TcpListener::bind("127.0.0.1:0"));
}

#[test]
fn on_a_kernel_without_seccomp_the_other_walls_stand() {
    let Some(open) = inside() else {
        let folder = tempfile::tempdir().unwrap();
        return again("on_a_kernel_without_seccomp_the_other_walls_stand", folder.path());
    };
    without(libc::SYS_seccomp, 38);
    let sandbox = sandbox::enter(Plan { read: [open].into(), ..Plan::default() }, Mode::Enabled).unwrap().unwrap();
    assert!(matches!(wall(sandbox.walls(), "system calls"), Standing::Missing(_)), "{sandbox}");
    if stands(sandbox.walls(), "files") {
        refused(File::open("/etc/passwd"));
    }
}

/// Every thread's status of a running program.
fn threads(running: &Running) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", running.id())).unwrap();
    tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok()).collect()
}

#[test]
fn the_daemon_is_within_with_all_its_threads_and_says_so() {
    let premises = Premises::new();
    let (running, _) = premises.serve();
    let threads = threads(&running);
    assert!(threads.len() >= 3, "{threads:?}");
    for status in &threads {
        assert_eq!(
            (line(status, "CapEff:"), line(status, "NoNewPrivs:")),
            ("0".repeat(16), "1".to_owned()),
            "{status}"
        );
        assert_eq!(line(status, "CapBnd:"), "0".repeat(16), "{status}");
        assert_eq!(line(status, "Seccomp:"), "2", "{status}");
    }
    let said = premises.audit()[0]["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("; sandbox: files, system calls, privileges, dumps"), "{said}");
    running.signal(Signal::TERM);
    assert_eq!(running.end(Duration::from_secs(20)).status, 0);

    premises.configure("sandbox: {mode: off}");
    let (mut running, _) = premises.serve();
    running.until(|running| running.stderr().contains("there is no sandbox").then_some(()));
    assert!(running.stderr().contains("WARN"), "{}", running.stderr());
}

#[test]
fn a_reload_that_needs_more_than_is_open_is_refused_by_name() {
    let premises = Premises::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("jwks-ca.pem");
    fs::copy(premises.path("ca/ca.crt"), &file).unwrap();
    let (mut running, _) = premises.serve();
    let text = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let wanted = format!("jwks_uri: https://127.0.0.1:9/keys\n    jwks_ca: {}", file.display());
    fs::write(premises.path("doorward.yaml"), text.replace("public_key: token-key.pub.pem", &wanted)).unwrap();
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("refused")) >= 1).then_some(()));
    let refused = premises.audit().into_iter().find(|record| record["result"] == "refused").unwrap();
    let detail = refused["detail"].as_str().unwrap();
    // The kernel shuts the file, so the check cannot read it; the port is told by name.
    assert!(detail.contains("jwks-ca.pem") || detail.contains("connecting to port 9"), "{detail}");

    let wanted = "jwks_uri: https://127.0.0.1:9/keys\n    jwks_ca: ca/ca.crt";
    fs::write(premises.path("doorward.yaml"), text.replace("public_key: token-key.pub.pem", wanted)).unwrap();
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("refused")) >= 2).then_some(()));
    let refused = premises.audit().into_iter().rfind(|record| record["result"] == "refused").unwrap();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("restart") && detail.contains("connecting to port 9"), "{detail}");

    fs::write(premises.path("doorward.yaml"), text).unwrap();
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("success")) >= 1).then_some(()));
}

#[test]
fn a_file_that_is_replaced_by_another_is_read_again_and_one_that_leads_out_is_not() {
    let premises = Premises::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let (mut running, _) = premises.serve();
    fs::copy(premises.path("token-key.pub.pem"), premises.path("next")).unwrap();
    fs::rename(premises.path("next"), premises.path("token-key.pub.pem")).unwrap();
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("success")) >= 1).then_some(()));
    fs::rename(premises.path("token-key.pub.pem"), elsewhere.path().join("key")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("key"), premises.path("token-key.pub.pem")).unwrap();
    running.signal(Signal::HUP);
    running.until(|_| (premises.count("config_reload", Some("refused")) >= 1).then_some(()));
}

#[test]
fn a_file_among_those_of_others_that_is_replaced_is_warned_of() {
    let premises = Premises::new();
    // Beside everybody's files: opened for itself alone.
    let key = tempfile::Builder::new().prefix("doorward-key-").tempfile_in("/tmp").unwrap();
    fs::copy(premises.path("token-key.pub.pem"), key.path()).unwrap();
    let text = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let named = text.replace("token-key.pub.pem", &key.path().display().to_string());
    fs::write(premises.path("doorward.yaml"), named).unwrap();
    let (mut running, _) = premises.serve();
    let next = tempfile::Builder::new().prefix("doorward-key-").tempfile_in("/tmp").unwrap();
    fs::copy(key.path(), next.path()).unwrap();
    fs::rename(next.path(), key.path()).unwrap();
    running.until(|running| running.stderr().contains("this file was replaced").then_some(()));
    assert!(running.stderr().contains(&key.path().display().to_string()), "{}", running.stderr());
    // Nothing else beside it is open.
    running.until(|_| (premises.count("config_reload", Some("refused")) >= 1).then_some(()));
}

#[test]
fn what_is_demanded_is_had_and_what_makes_no_sense_is_no_start() {
    let home = tempfile::tempdir().unwrap();
    let serve = |lines: &str| {
        fs::write(home.path().join("doorward.yaml"), lines).unwrap();
        doorward(home.path(), &["serve", "--config", "doorward.yaml"])
    };
    let ended = serve("sandbox: {mode: required}\n");
    assert_eq!(ended.status, 0, "{ended:?}");
    let ended = serve("sandbox: {capabilities: [CAP_EVERYTHING], read: [etc]}\n");
    assert!(
        ended.status == 1 && ended.stderr.contains("is no capability") && ended.stderr.contains("must begin with /")
    );
}

/// The names of all members of an answer, whatever the place in a list.
fn members(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let place = format!("{place}.{name}");
                members(value, &place, found);
                found.insert(place);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| members(value, place, found)),
        _ => {}
    }
}

/// What every tool answers to no arguments: the members of its answer, or its failure.
fn answers(home: &Path, mode: &str) -> Vec<(String, BTreeSet<String>)> {
    let tools = doorward::daemon::tools();
    let list = tools.join(", ");
    let config = format!(
        "sandbox: {{mode: {mode}}}\nscopes: {{core: [{list}]}}\nqueries: {{sensitive: {{enabled: true, allow: [{list}]}}}}\n\
         resources: {{max_concurrent_queries: 64}}\n"
    );
    fs::write(home.join("doorward.yaml"), config).unwrap();
    let mut serve = command(DOORWARD, home);
    serve.args(["serve", "--config", "doorward.yaml"]);
    let mut running = Running::start(serve);
    running.write(&format!(
        "{}\n{}\n",
        json!({ "jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
    ));
    let ask = |(id, tool): (usize, &String)| {
        let params = json!({ "name": tool, "arguments": {} });
        running
            .write(&format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })));
        let answer = running.until(|running| {
            let text = running.stdout();
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            let mut answers = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            answers.find(|answer| answer["id"] == id)
        });
        let mut found = BTreeSet::new();
        members(&answer["result"]["structuredContent"], "", &mut found);
        (tool.clone(), found)
    };
    tools.iter().enumerate().map(ask).collect()
}

/// A query that reads what it does not declare would have less to say within.
#[test]
fn within_no_tool_says_less_but_those_that_the_check_names() {
    let home = tempfile::tempdir().unwrap();
    let mut missing: Option<BTreeSet<String>> = None;
    // What a machine has to say differs from one moment to the next: what is there before and after, and never within.
    for _ in 0..3 {
        let before = answers(home.path(), "off");
        let within = answers(home.path(), "enabled");
        let noted = doorward(home.path(), &["check", "--config", "doorward.yaml"]).well();
        let after = answers(home.path(), "off");
        let mut lost = BTreeSet::new();
        for (((tool, before), (_, within)), (_, after)) in before.iter().zip(&within).zip(&after) {
            if !noted.lines().any(|line| line.contains("sandbox.") && line.contains(&format!(" {tool} "))) {
                let there = before.intersection(after).filter(|field| !within.contains(*field));
                lost.extend(there.map(|field| format!("{tool}: {field}")));
            }
        }
        let still = match missing {
            None => lost,
            Some(missing) => missing.intersection(&lost).cloned().collect(),
        };
        if still.is_empty() {
            return;
        }
        missing = Some(still);
    }
    panic!("declare what these need (ToolSpec::reading and the like):\n{missing:#?}");
}
