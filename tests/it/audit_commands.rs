//! `doorward audit` as a person runs it, on a journal as the daemon leaves it, and a stranger's program beside it.

use std::fs;
use std::path::Path;

use doorward::audit::checkpoint::Cause;
use doorward::clock::Clock;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::journal::Ledger;
use crate::world::premises::Premises;
use crate::world::program::{DOORWARD, Ended, Running, bash, command, doorward, finish, there_is};

fn audit(home: &Path, line: &str) -> Ended {
    let words: Vec<&str> = ["audit"].into_iter().chain(line.split_whitespace()).collect();
    doorward(home, &words)
}

fn json_of(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
}

/// The id of the call with this number.
fn id(number: u64) -> String {
    format!("{number:08x}{}", "c0ffee".repeat(4))
}

#[test]
fn a_whole_journal_is_proven_and_a_changed_one_says_where() {
    let ledger = Ledger::usual();
    let home = ledger.home();
    fs::copy(home.join("audit.pub"), home.join("kept.pem")).unwrap();
    let last = ledger.last();
    let said = audit(home, "verify . --key kept.pem").well();
    assert!(said.contains(&format!("records     1 to {last}: {last} of them, in 3 files\n")), "{said}");
    assert!(said.contains(&format!("proven      records 1 to {last} by the checkpoint at record {last} (")), "{said}");
    assert!(
        said.contains("end         with the checkpoint of an orderly stop") && !said.contains("UNPROVEN"),
        "{said}"
    );
    assert!(audit(home, "verify .").well().contains("audit.pub, which is only as trustworthy as the files"));

    let report = json_of(&audit(home, "verify audit.jsonl audit.000000000001.jsonl.gz --key kept.pem --json"));
    assert_eq!((&report["sound"], &report["finding"]["flaw"]), (&false.into(), &"removed".into()), "{report:#}");
    let later = audit(home, "verify audit.jsonl --key kept.pem").well();
    assert!(later.contains("it begins at record 23; earlier files were not given"), "{later}");

    let text = fs::read_to_string(ledger.active()).unwrap();
    fs::write(ledger.active(), text.replacen("get_cpu_info", "get_cpu_inf0", 1)).unwrap();
    let ended = audit(home, "verify . --key kept.pem");
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.starts_with("BAD         ./audit.jsonl:1: record 23: it was changed"), "{ended:?}");
    fs::write(ledger.active(), text).unwrap();

    fs::remove_file(home.join("audit.pub")).unwrap();
    let said = audit(home, "verify .").well();
    assert!(said.contains("NO KEY") && said.contains("nothing is proven"), "{said}");
    for (status, line) in [
        (3, "verify absent.jsonl"),
        (3, "verify . --key absent.pem"),
        (3, "verify . --key audit.jsonl"),
        (3, "verify . --checkpoints kept.pem"),
        (2, "verify"),
    ] {
        let ended = audit(home, line);
        assert_eq!(ended.status, status, "{line}: {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
}

#[test]
fn records_that_were_signed_only_after_an_unclean_stop_are_named() {
    let mut ledger = Ledger::usual();
    let whole = audit(ledger.home(), "verify . --key audit.pub").well();
    assert!(!whole.contains("LATE"), "{whole}");
    let from = ledger.last() + 1;
    ledger.note(json!({"event": "start"}));
    ledger.call(12);
    let to = ledger.last();
    ledger.note(json!({"event": "unclean_stop"}));
    ledger.write();
    let open = audit(ledger.home(), "verify . --key audit.pub").well();
    assert!(open.contains("UNPROVEN") && !open.contains("LATE"), "{open}");
    ledger.note(json!({"event": "start"}));
    ledger.stop();
    let said = audit(ledger.home(), "verify . --key audit.pub").well();
    assert!(
        said.contains(&format!("LATE        records {from} to {to} were signed only after an unclean stop")),
        "{said}"
    );
    let report = json_of(&audit(ledger.home(), "verify . --key audit.pub --json"));
    assert_eq!(report["late"], json!({"stretches": [{"from": from, "to": to}], "more": 0}));
    assert_eq!(report["sound"], true);
}

#[test]
fn checkpoints_in_a_syslog_collectors_file_tell_what_is_missing() {
    let ledger = Ledger::usual();
    let home = ledger.home();
    let text = fs::read_to_string(ledger.active()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let syslog = |line: &str| format!("Nov 20 10:30:45 web01 doorward[77]: {line}\n");
    let collected: String = lines.iter().map(|line| syslog(line)).collect();
    fs::write(home.join("collected"), &collected).unwrap();
    let said = audit(home, "verify . --checkpoints collected").well();
    assert!(said.contains("elsewhere   2 checkpoints agree"), "{said}");
    let cut = lines.iter().position(|line| line.contains("\"event\":\"checkpoint\"")).unwrap() + 1;
    fs::write(ledger.active(), lines[..cut].join("\n") + "\n").unwrap();
    assert!(audit(home, "verify .").well().contains("but not of a stop"));
    let ended = audit(home, "verify . --checkpoints collected");
    let wanted = format!("records {} to {} are missing", ledger.last() - 2, ledger.last());
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("the end was cut off") && ended.stdout.contains(&wanted), "{wanted}: {ended:?}");
    // One that is bad does not silence those after it.
    let bad = collected.lines().find(|line| line.contains("\"event\":\"checkpoint\"")).unwrap();
    let bad = bad.replace("\"cause\":\"interval\"", "\"cause\":\"rotation\"");
    fs::write(home.join("poisoned"), format!("{bad}\n{bad}\n{collected}")).unwrap();
    let ended = audit(home, "verify . --checkpoints poisoned");
    assert!(ended.status == 1 && ended.stdout.contains(&wanted), "{wanted}: {ended:?}");
    assert!(ended.stdout.contains("poisoned:1: the sig") && ended.stdout.contains("poisoned:2: the sig"), "{ended:?}");
    let report = json_of(&audit(home, "verify . --json --checkpoints poisoned"));
    assert_eq!(report["checkpoint_findings"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert_eq!((&report["sound"], &report["finding"]["flaw"]), (&false.into(), &"cut_off".into()));
    // One that was changed on its way is no witness.
    fs::write(home.join("collected"), collected.replace("\"cause\":\"stop\"", "\"cause\":\"rotation\"")).unwrap();
    let ended = audit(home, "verify . --checkpoints collected");
    assert!(ended.status == 1 && ended.stdout.contains("collected:6: the signature of this checkpoint"), "{ended:?}");
}

#[test]
fn a_stranger_with_python_and_openssl_comes_to_the_same_result() {
    if !there_is("python3", "the verification by a stranger") || !there_is("openssl", "the verification by a stranger")
    {
        return;
    }
    let ledger = Ledger::usual();
    let stranger = || {
        let mut python = command("python3", ledger.home());
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/stranger.py")).arg("audit.pub");
        python.args(ledger.files().into_iter().map(|(path, _)| path));
        finish(python, "")
    };
    let last = ledger.last();
    assert_eq!(stranger().well(), format!("{last} records, proven to {last}\n"));
    let text = fs::read_to_string(ledger.active()).unwrap();
    fs::write(ledger.active(), text.replacen("alice", "mallory", 1)).unwrap();
    assert_ne!(stranger().status, 0);
    let at = text.rfind("\"signature\":\"").unwrap() + 20;
    let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
    fs::write(ledger.active(), [&text[..at], other, &text[at + 1..]].concat()).unwrap();
    assert_ne!(stranger().status, 0);
}

#[test]
fn one_call_is_shown_whole() {
    let mut ledger = Ledger::usual();
    ledger.note(json!({"event": "redaction", "id": id(2), "query": "get_cpu_info", "count": 2, "result": "success"}));
    ledger.note(json!({"event": "query", "stage": "decision", "id": id(77), "query": "get_uptime", "user": "alice"}));
    ledger.write();
    let home = ledger.home();
    let show = |line: &str| audit(home, &format!("show {line} --path audit.jsonl"));
    let said = show(&id(2)).well();
    for wanted in [
        "who         alice via coding-bot [core]\n",
        "from        10.0.0.2 over https\n",
        "certificate CN=coding-bot (SHA-256 abab",
        "what        get_cpu_info on Host::\"web01\"\n",
        "arguments   {\"limit\":2}\n",
        "decision    permit by scope:core, 2027-",
        "outcome     success: 12 ms, 2048 bytes, 2027-",
        "also        redaction success: 2 times, 2027-",
    ] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    let refused = show("00000003").well();
    assert!(refused.contains("decision    forbid by scope:core: policy_forbidden, no rule permits it"), "{refused}");
    assert!(show("0000004d").well().contains("outcome     none is recorded"));
    let lines = show(&format!("{} --json", id(2)));
    let events: Vec<Value> = lines.messages().into_iter().map(|record| record["event"].clone()).collect();
    assert_eq!(events, ["query", "query", "redaction"]);
    let unknown = show("ffff");
    assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("no call has") && unknown.stderr.contains("audit.jsonl (3 files)"), "{unknown:?}");
    let several = show("0000000");
    assert!(several.status == 1 && several.stderr.contains(&id(5)), "{several:?}");
    assert_eq!(show("\"}").status, 2);
    assert_eq!(audit(home, "show 1 --path elsewhere.jsonl").status, 3);
}

#[test]
fn queries_find_by_every_wish_and_by_time() {
    let ledger = Ledger::usual();
    let home = ledger.home();
    let count = |line: &str| audit(home, &format!("query --path audit.jsonl --json {line}")).messages().len();
    assert_eq!(count(""), usize::try_from(ledger.last()).unwrap());
    assert_eq!(count("--user alice"), 12);
    assert_eq!(count("--agent coding-bot --tool get_uptime"), 9);
    assert_eq!(count("--event query_denied"), 3);
    assert_eq!(count("--decision forbid --reason policy_forbidden"), 3);
    assert_eq!(count("--decision success"), 9);
    assert_eq!(count("--ip 10.0.0.1 --user bob"), 3);
    assert_eq!(count("--user carol"), 0);
    assert_eq!(count("--since 2027-01-15T08:00:10Z --until 2027-01-15T08:00:12Z"), 3);
    assert_eq!(count("--since 2027-01-15T09:00:10+01:00"), 18);
    let newest = audit(home, "query --path audit.jsonl --json --limit 2").messages();
    assert_eq!(newest[1]["checkpoint"]["cause"], "stop");
    assert_eq!((newest.len(), &newest[0]["event"]), (2, &"stop".into()));
    for line in ["query --path audit.jsonl --since yesterday", "query --path audit.jsonl --limit 0"] {
        assert_eq!(audit(home, line).status, 2);
    }
    let mut recent = Ledger::new();
    for hours in [50, 2, 0] {
        recent.now = Clock::system().now().seconds() - hours * 3600 - 60;
        recent.call(0);
    }
    recent.write();
    for (times, records) in [("--since 3d", 6), ("--since 3h", 4), ("--until 90m", 4), ("--since 5s", 0)] {
        let found = audit(recent.home(), &format!("query --path audit.jsonl --json {times}")).messages();
        assert_eq!(found.len(), records, "{times}");
    }
    let rows = audit(home, "query --path audit.jsonl --user bob --tool get_uptime").well();
    let columns: Vec<usize> = rows.lines().map(|row| row.find("get_uptime").unwrap()).collect();
    assert!(columns.iter().all(|column| *column == columns[0]) && !rows.contains('\u{1b}'), "{rows}");
}

#[test]
fn what_was_put_into_the_file_cannot_steer_a_terminal() {
    let mut ledger = Ledger::new();
    ledger.note(
        json!({"event": "query", "id": "abc", "query": "x\u{9b}2J", "user": "al\u{202e}ice", "result": "\u{1b}[2J"}),
    );
    ledger.write();
    fs::write(ledger.active(), [fs::read(ledger.active()).unwrap().as_slice(), b"\x1b]0;title\x07\n"].concat())
        .unwrap();
    let home = ledger.home();
    for line in ["tail", "query", "stats", "show abc", "verify"] {
        let place = if line == "verify" { "audit.jsonl" } else { "--path audit.jsonl" };
        let ended = audit(home, &format!("{line} {place}"));
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\u{7}']), "{line}: {said:?}");
        assert!(said.len() > 20, "{line}: {said}");
    }
    if there_is("script", "colours on a terminal") {
        let seen = |variables: &[(&str, &str)], line: &str| {
            let mut script = command("script", home);
            script.args(["-qec", &format!("{DOORWARD} audit {line} --path audit.jsonl"), "/dev/null"]);
            finish(script.env("TERM", "xterm").envs_of(variables), "").stdout
        };
        let coloured = seen(&[], "tail");
        assert!(coloured.contains("\u{1b}[") && !coloured.contains("\u{1b}[2J") && !coloured.contains('\u{9b}'));
        assert!(!seen(&[("NO_COLOR", "1")], "tail").contains('\u{1b}'));
        let raw = seen(&[], "tail --json");
        assert!(!raw.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{raw:?}");
    }
}

#[test]
fn names_of_files_in_a_failure_cannot_steer_a_terminal() {
    let home = tempfile::tempdir().unwrap();
    let name = "\u{1b}[31mx\u{9b}2J\u{202e}\nproven";
    fs::write(home.path().join("audit.jsonl"), "none").unwrap();
    for words in [
        &["audit", "verify", name][..],
        &["audit", "verify", "audit.jsonl", "--key", name],
        &["audit", "tail", "--path", name],
        &["audit", "stats", "--config", name],
        &["audit", "key", "--path", name],
        &["check", "--config", name],
        &["serve", "--config", name],
        &["pki", "show", name],
    ] {
        let ended = doorward(home.path(), words);
        assert_ne!(ended.status, 0, "{words:?}: {ended:?}");
        let said = ended.stderr;
        assert!(said.contains('x') && !said.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{words:?}: {said:?}");
        // A report on a configuration has lines of its own.
        assert!(words[0] != "audit" || said.lines().count() == 1, "{words:?}: {said:?}");
    }
}

/// So that a command can be built in one line.
trait Variables {
    fn envs_of(self, variables: &[(&str, &str)]) -> std::process::Command;
}

impl Variables for &mut std::process::Command {
    fn envs_of(self, variables: &[(&str, &str)]) -> std::process::Command {
        self.envs(variables.iter().copied());
        std::mem::replace(self, std::process::Command::new(""))
    }
}

#[test]
fn tail_follows_through_rotations_until_it_is_interrupted() {
    let mut ledger = Ledger::usual();
    let home = ledger.home().to_owned();
    assert_eq!(audit(&home, "tail -n 3 --path audit.jsonl").well().lines().count(), 3);
    assert_eq!(audit(&home, "tail --path audit.jsonl").well().lines().count(), 20);
    let begun = ledger.last();
    let mut tail = command(DOORWARD, &home);
    tail.args(["audit", "tail", "-f", "-n", "1", "--json", "--path", "audit.jsonl"]);
    let mut running = Running::start(tail);
    let seen = |running: &Running, last: u64| {
        let numbers: Vec<u64> = running
            .stdout()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap())
            .collect();
        (numbers.last() == Some(&last)).then_some(numbers)
    };
    running.until(|running| seen(running, begun));
    ledger.call(20);
    ledger.write();
    ledger.rotate(true);
    ledger.call(21);
    ledger.rotate(false);
    ledger.call(22);
    ledger.write();
    let last = ledger.last();
    let numbers = running.until(|running| seen(running, last));
    assert_eq!(numbers, (begun..=last).collect::<Vec<_>>(), "each once, in order");
    running.signal(Signal::INT);
    assert_eq!(running.end(std::time::Duration::from_secs(5)).status, 0);
}

#[test]
fn stats_count_and_the_key_is_printed() {
    let mut ledger = Ledger::usual();
    ledger.note(json!({"event": "auth_failure", "result": "refused", "reason": "token_expired", "count": 40}));
    ledger.checkpoint(Cause::Interval);
    ledger.write();
    let home = ledger.home();
    let stats = json_of(&audit(home, "stats --path audit.jsonl --json"));
    assert_eq!(
        (&stats["records"], &stats["files"], &stats["not_records"]),
        (&ledger.last().into(), &3.into(), &0.into())
    );
    assert_eq!(
        stats["events"],
        json!({"query": 18, "query_denied": 3, "checkpoint": 6, "start": 1, "stop": 1, "auth_failure": 1})
    );
    assert_eq!(stats["decisions"], json!({"permit": 9, "forbid": 3}));
    assert_eq!(stats["users"], json!({"alice": 6, "bob": 6}));
    assert_eq!((&stats["refusals"], &stats["reasons"]["token_expired"]), (&43.into(), &40.into()));
    assert_eq!(stats["checkpoint"]["seq"], ledger.last());
    let slowest = json!([{"tool": "get_cpu_info", "calls": 6, "p50_ms": 14, "p99_ms": 20},
        {"tool": "get_uptime", "calls": 3, "p50_ms": 15, "p99_ms": 19}]);
    assert_eq!(stats["slowest"], slowest);
    let later = json_of(&audit(home, "stats --path audit.jsonl --json --since 2027-01-15T08:00:28Z"));
    assert_eq!((&later["records"], &later["not_records"]), (&2.into(), &0.into()));
    let words = audit(home, "stats --path audit.jsonl").well();
    assert!(words.contains("43 refusals") && words.contains("get_uptime") && words.contains("last checkpoint: record"));

    let key = audit(home, "key --path audit.jsonl");
    assert_eq!(key.stdout, fs::read_to_string(home.join("audit.pub")).unwrap());
    assert!(key.stderr.contains(ledger.public.id()), "{key:?}");
    let key = json_of(&audit(home, "key --path audit.jsonl --json"));
    assert_eq!(key["id"], ledger.public.id());
    assert_eq!(audit(home, "key --path other.jsonl").status, 3);
}

#[test]
fn the_journal_is_found_through_the_configuration() {
    let premises = Premises::new();
    let ledger = Ledger::usual();
    for (path, bytes) in ledger.files() {
        fs::write(premises.root().join(path.file_name().unwrap()), bytes).unwrap();
    }
    let rows = audit(premises.root(), "tail -n 2 --config doorward.yaml").well();
    assert_eq!(rows.lines().count(), 2, "{rows}");
    let mut tail = command(DOORWARD, premises.root());
    tail.args(["audit", "tail", "-n", "2"]).env("DOORWARD_CONFIG", "doorward.yaml");
    assert_eq!(finish(tail, "").well(), rows);
    // Who has to read the log may have nothing else that works.
    let sound = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    fs::write(premises.path("broken.yaml"), format!("{sound}unknown: key\n").replace("server.crt", "absent.crt"))
        .unwrap();
    assert_eq!(audit(premises.root(), "tail -n 2 --config broken.yaml").well(), rows);
    assert_eq!(audit(premises.root(), "tail --config absent.yaml").status, 3);
    let mut tail = command(DOORWARD, premises.root());
    tail.args(["audit", "tail"]).env("DOORWARD__AUDIT__PATH", premises.path("absent.jsonl"));
    let ended = finish(tail, "");
    assert!(
        ended.status == 3 && ended.stderr.contains("there is no journal") && ended.stderr.contains("absent.jsonl"),
        "{ended:?}"
    );
    assert_eq!(audit(premises.root(), "tail --path audit.jsonl --config doorward.yaml").status, 2);
}

#[test]
fn what_could_not_be_written_is_no_success() {
    let ledger = Ledger::usual();
    for words in [
        "audit query --path audit.jsonl --json",
        "audit query --path audit.jsonl --limit 1",
        "audit stats --path audit.jsonl",
        "audit show 00000002 --path audit.jsonl",
        "audit tail --path audit.jsonl",
        "audit key --path audit.jsonl",
        "audit verify .",
        "schema",
    ] {
        let ended = bash(ledger.home(), &format!("doorward {words} > /dev/full"), &[], "");
        assert_eq!(ended.status, 3, "{words}: {ended:?}");
        assert!(
            ended.stderr.contains("doorward: standard output cannot be written: No space left"),
            "{words}: {ended:?}"
        );
        // A reader that has seen enough is no failure.
        let ended = bash(
            ledger.home(),
            &format!("set +eo pipefail; doorward {words} | true; exit ${{PIPESTATUS[0]}}"),
            &[],
            "",
        );
        assert!(ended.status == 0 && ended.stderr.lines().all(|line| line.starts_with("key ")), "{words}: {ended:?}");
    }
}

#[test]
fn stats_say_who_is_refused_and_from_where() {
    let mut ledger = Ledger::usual();
    let refusal = |members: Value| {
        let mut record = json!({"event": "auth_failure", "result": "refused", "reason": "token_expired"});
        record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        record
    };
    ledger.note(refusal(json!({"client": {"ip": "192.0.2.7", "subject": "CN=eve"}})));
    ledger.note(refusal(json!({"client": {"ip": "192.0.2.7"}, "count": 40})));
    ledger.note(refusal(json!({"client": {}})));
    (0..30).for_each(|host| ledger.note(refusal(json!({"client": {"ip": format!("203.0.113.{host}")}}))));
    ledger.write();
    let home = ledger.home();
    let stats = json_of(&audit(home, "stats --path audit.jsonl --json"));
    // Three calls of bob were refused too, each from another address.
    assert_eq!(stats["refused"], json!({"(unknown)": 71, "bob": 3, "CN=eve": 1}));
    let addresses = stats["addresses"].as_object().unwrap();
    assert_eq!((addresses.len(), &addresses["192.0.2.7"]), (10, &41.into()), "{addresses:?}");
    let words = audit(home, "stats --path audit.jsonl").well();
    for wanted in [
        "\nrefusals by user, else certificate\n          71  (unknown)\n           3  bob\n           1  CN=eve\n",
        "\nrefusals by address\n          41  192.0.2.7\n",
    ] {
        assert!(words.contains(wanted), "{wanted} in {words}");
    }
}

#[test]
fn a_wish_that_nothing_can_fulfil_is_said() {
    let ledger = Ledger::usual();
    let home = ledger.home();
    let query = |wish: &str| audit(home, &format!("query --path audit.jsonl --json {wish}"));
    for (wish, wanted) in [
        ("--event querry", "query_denied"),
        ("--decision denied", "forbid"),
        ("--ip banana", "--ip <IP>"),
        ("--ip 10.0.0", "--ip <IP>"),
    ] {
        let ended = query(wish);
        assert!(ended.status == 2 && ended.stderr.contains(wanted), "{wish}: {ended:?}");
    }
    for event in crate::audit_page::events() {
        assert_eq!(query(&format!("--event {event}")).status, 0, "{event}");
    }
    for decision in ["permit", "forbid", "permitted", "success", "refused", "failed", "abandoned"] {
        assert_eq!(query(&format!("--decision {decision}")).status, 0, "{decision}");
    }
    let nothing = query("--user carol");
    assert_eq!(
        (nothing.status, nothing.stdout.as_str(), nothing.stderr.as_str()),
        (0, "", "doorward: no records fit\n")
    );
    assert_eq!(query("--user bob").stderr, "");
    assert_eq!(
        audit(home, "show 0000000AC0FFEE --path audit.jsonl").well(),
        audit(home, "show 0000000ac0ffee --path audit.jsonl").well()
    );
    let absent = audit(home, "query --path absent.jsonl");
    assert_eq!(absent.status, 3);
    for way in ["absent.jsonl", "--path", "--config", "DOORWARD_CONFIG"] {
        assert!(absent.stderr.contains(way), "{way} in {absent:?}");
    }
}

#[test]
fn the_check_looks_at_the_key_that_signs_checkpoints() {
    let premises = Premises::new();
    let sound = fs::read_to_string(premises.path("doorward.yaml")).unwrap();
    let check = |key: &str| {
        let path = premises.name("audit.jsonl");
        let section = format!("audit:\n  path: {path}\n  checkpoint:\n    key: {}\n", premises.name(key));
        let other = sound.split("audit:\n").next().unwrap();
        fs::write(premises.path("key.yaml"), format!("{other}{section}")).unwrap();
        doorward(premises.root(), &["check", "--config", "key.yaml"])
    };
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(premises.path(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    assert_eq!(check("new.key").status, 0, "it is made at the start");
    assert_eq!(check("server.key").status, 1, "of another kind");
    fs::write(premises.path("text.key"), "no key").unwrap();
    mode("text.key", 0o600);
    fs::create_dir(premises.path("open")).unwrap();
    mode("open", 0o777);
    fs::copy(premises.path("server.key"), premises.path("read.key")).unwrap();
    mode("read.key", 0o644);
    for (key, wanted) in [
        ("absent/new.key", "does not exist"),
        ("open/new.key", "can be written by others"),
        ("read.key", "can be read by its group or by others"),
        ("text.key", "text.key"),
        ("open", "is not a file"),
    ] {
        let ended = check(key);
        let found = ended.stdout.contains("audit.checkpoint.key") && ended.stdout.contains(wanted);
        assert!(ended.status == 1 && found, "{key}: {ended:?}");
    }
}
