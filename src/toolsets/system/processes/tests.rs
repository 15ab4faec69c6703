//! Processes of fixture hosts, and of hosts with very many.

use serde_json::{Value, json};

use super::super::Host;
use super::super::query::{ask, ask_within};
use super::*;
use crate::call::Progress;

fn pids(answer: &Value) -> Vec<u64> {
    answer["processes"].as_array().unwrap().iter().map(|process| process["pid"].as_u64().unwrap()).collect()
}

fn listed(arguments: Value) -> Value {
    ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
}

#[test]
fn a_virtual_machine_shows_a_process_in_full() {
    let answer = listed(json!({"name": "POSTGRES"}));
    assert_eq!((&answer["total"], &answer["matching"]), (&json!(5), &json!(1)));
    assert_eq!(
        answer["processes"][0],
        json!({
            "pid": 1311,
            "parent_pid": 1,
            "name": "postgres",
            "state": "sleeping",
            "uid": 112,
            "user": "postgres",
            "rss_bytes": 29_360_128,
            "threads": 1,
            "cpu_seconds": 937.84,
            "cpu_percent": 1.0,
            "started": "2025-11-03T06:12:56.340Z",
            "command_line": "/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main",
            "command_line_truncated": false,
            "virtual_bytes": 30_000_000,
            "swapped_bytes": 1_048_576,
            "nice": 0,
            "control_group": "/system.slice/postgresql.service",
        })
    );
}

#[test]
fn the_order_is_the_one_asked_for() {
    assert_eq!(pids(&listed(json!({}))), [1311, 1, 742, 2, 2040]);
    assert_eq!(pids(&listed(json!({"sort": "memory"}))), [1311, 1, 742, 2, 2040]);
    assert_eq!(pids(&listed(json!({"sort": "pid", "limit": 2}))), [1, 2]);
    assert_eq!(pids(&listed(json!({"sort": "start"}))), [2040, 1311, 742, 1, 2]);
}

#[test]
fn filters_narrow_and_a_tree_shows_what_is_below() {
    assert_eq!(pids(&listed(json!({"user": "postgres"}))), [1311]);
    assert_eq!(pids(&listed(json!({"user": "1000"}))), [2040]);
    let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"user": "ghost"})).unwrap_err();
    assert_eq!(failure.public(), "there is no user ghost; there are 1000, postgres, root");
    assert_eq!(pids(&listed(json!({"state": "zombie"}))), [2040]);
    assert_eq!(pids(&listed(json!({"parent_pid": 1, "sort": "pid"}))), [742, 1311]);
    let tree = listed(json!({"tree": true, "sort": "pid"}));
    assert_eq!(pids(&tree), [1, 742, 2040, 1311, 2]);
    let depths: Vec<&Value> = tree["processes"].as_array().unwrap().iter().map(|one| &one["depth"]).collect();
    assert_eq!(depths, [0, 1, 2, 1, 0]);
    let part = listed(json!({"tree": true, "name": "sshd", "limit": 1}));
    assert_eq!((pids(&part), &part["matching"], &part["left_out"]), (vec![742], &json!(2), &json!(1)));
}

#[test]
fn what_was_used_while_it_was_watched_comes_first() {
    let process = |pid, ticks, start| {
        let text = format!("{pid} (p) S 1 0 0 0 0 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 0 0");
        ProcessStat::parse(&text).unwrap()
    };
    let before = [process(1, 500, 1), process(2, 10, 1), process(3, 9, 1)];
    let after = [process(1, 500, 1), process(2, 30, 1), process(3, 4, 7)];
    let watched = Watched::between(&before, &after, Duration::from_millis(400));
    assert_eq!(
        (watched.percent(1), watched.percent(2), watched.percent(3), watched.percent(4)),
        (Some(0.0), Some(50.0), Some(10.0), None)
    );
    let mut sorted = after.to_vec();
    sort(&mut sorted, Sort::Cpu, &watched);
    assert_eq!(sorted.iter().map(|process| process.pid).collect::<Vec<_>>(), [2, 3, 1]);
    let answer = ask::<Query>(&Host::this(), json!({"sample_ms": 20, "limit": 1})).unwrap();
    assert!(answer["processes"][0]["sampled_cpu_percent"].is_number(), "{answer}");
}

#[test]
fn of_a_host_with_very_many_processes_the_answer_is_bounded_and_so_is_what_it_takes() {
    use crate::admission::ResourcesSection;
    use crate::clock::Clock;
    use crate::toolsets::system::budget::{self, Allowance};
    const MANY: u32 = 12_000;
    // In memory, where that can be: a busy disk makes folders slowly.
    let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let proc = root.path().join("proc");
    for pid in 1..=MANY {
        let folder = proc.join(pid.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let stat = format!("{pid} (worker) S 1 {pid} {pid} 0 -1 0 0 0 0 0 {pid} 0 0 0 20 0 1 0 100 4096 10 0\n");
        std::fs::write(folder.join("stat"), stat).unwrap();
    }
    for pid in (MANY - 200)..=MANY {
        std::fs::write(proc.join(format!("{pid}/status")), "Name:\tworker\nUid:\t0\t0\t0\t0\n").unwrap();
    }
    let host = Host::folder(root.path());
    // Its memory is held to what the class may have; how long it takes is measured here, on a machine that may be busy.
    let allowance = Allowance::of(Impact::Medium, &ResourcesSection::default()).unhurried();
    let clock = Clock::system();
    let began = clock.instant();
    let answer =
        budget::within(allowance, &std::sync::Arc::default(), || ask::<Query>(&host, json!({"limit": 5}))).unwrap();
    let took = clock.instant().saturating_duration_since(began);
    assert_eq!((&answer["total"], &answer["left_out"]), (&json!(MANY), &json!(MANY - 5)), "{answer}");
    let first: Vec<u64> = pids(&answer);
    assert_eq!(first, (0..5).map(|n| u64::from(MANY - n)).collect::<Vec<_>>(), "those with the most processor time");
    assert!(took < Duration::from_secs(120), "{took:?}");
}

#[test]
fn kernel_threads_and_zombies_have_no_command_line() {
    let answer = listed(json!({"sort": "pid"}));
    let (thread, zombie) = (&answer["processes"][1], &answer["processes"][4]);
    assert_eq!(
        (&thread["name"], &thread["state"], &thread["rss_bytes"]),
        (&json!("kthreadd"), &json!("sleeping"), &json!(0))
    );
    assert_eq!((&zombie["name"], &zombie["state"]), (&json!("sh (old) job"), &json!("zombie")));
    assert_eq!((zombie.get("command_line"), &zombie["command_line_truncated"]), (None, &json!(false)));
    assert_eq!((&zombie["uid"], zombie.get("user")), (&json!(1000), None));
}

#[test]
fn configured_caps_hold_and_the_schema_names_them() {
    let mut limits = LimitsSection::default();
    limits.processes.max_count = 2;
    limits.processes.max_cmdline_length = 40;
    let host = Host::fixture("debian-vm");
    let answer = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
    assert_eq!((pids(&answer), &answer["total"]), (vec![1311, 1], &json!(5)));
    assert_eq!(answer["processes"][0]["command_line"], "/usr/lib/postgresql/17/bin/postgres -D");
    assert_eq!(answer["processes"][0]["command_line_truncated"], true);
    for limit in [0, 3] {
        let failure = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({"limit": limit})).unwrap_err();
        assert_eq!(failure.code(), Code::ArgumentsInvalid, "{limit}");
    }
    let mut spec = Query::spec();
    Query::narrow(&mut spec, &limits);
    let limit = &spec.input_schema["properties"]["limit"];
    assert_eq!((&limit["maximum"], &limit["default"], &limit["minimum"]), (&json!(2), &json!(2), &json!(1)));
}

#[test]
fn a_board_shows_numbers_and_names() {
    let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"sort": "pid"})).unwrap();
    assert_eq!((pids(&answer), &answer["processes"][0]["uid"]), (vec![1, 311], &json!(0)));
    assert_eq!(answer["processes"][0]["user"], "root");
}

#[test]
fn the_real_host_lists_this_very_process() {
    let answer = ask::<Query>(&Host::this(), json!({"sort": "start", "limit": 500})).unwrap();
    assert!(pids(&answer).contains(&u64::from(std::process::id())), "{answer}");
}
