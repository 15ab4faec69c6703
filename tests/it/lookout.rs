//! A lookout that ends or stalls: calls are answered in time, nothing that is missing looks like nothing, and the operator
//! is told what to do.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::world::program::{DOORWARD, Running, command, missing};

struct Door {
    running: Running,
    asked: u32,
    /// A process of another user, into which only the lookout sees.
    other: Child,
}

impl Door {
    /// `None` where this kernel has no wall that a lookout would look over.
    fn open(home: &Path) -> Option<Self> {
        let config = "transport: stdio\nscopes: {core: [get_open_files, get_env_vars, get_uptime]}\n\
                      queries: {sensitive: {enabled: true, allow: [get_open_files, get_env_vars]}}\n";
        fs::write(home.join("doorward.yaml"), config).unwrap();
        let mut serve = command(DOORWARD, home);
        serve.args(["serve", "--config", "doorward.yaml"]);
        let other = Command::new("sleep").arg("300").env("WHO", "other").spawn().unwrap();
        let mut door = Self { running: Running::start(serve), asked: 0, other };
        door.running.write(&format!(
            "{}\n{}\n",
            json!({ "jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" } } }),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
        ));
        door.ask("get_uptime", &json!({}));
        if door.running.stderr().contains("files: ") {
            missing("landlock", "the lookout");
            return None;
        }
        Some(door)
    }

    fn ask(&mut self, tool: &str, arguments: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let params = json!({ "name": tool, "arguments": arguments });
        self.running
            .write(&format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })));
        self.running.until(|running| {
            let text = running.stdout();
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            let mut answers = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            Some(answers.find(|answer| answer["id"] == id)?["result"].clone())
        })
    }

    /// The number of its lookout.
    fn lookout(&self) -> Pid {
        let id = self.running.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let child = children.split_whitespace().map(|word| word.parse().unwrap()).find(|child: &i32| {
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("lookout")
        });
        Pid::from_raw(child.unwrap()).unwrap()
    }

    /// Holds the answers of one that has lost its lookout against what they must say.
    fn says_what_is_missing(&mut self) {
        let told = |answer: &Value| {
            assert_eq!(answer["isError"], true, "{answer}");
            assert!(answer["content"][0]["text"].as_str().unwrap().contains("restart the daemon"), "{answer}");
        };
        let pid = self.other.id();
        told(&self.ask("get_open_files", &json!({ "pid": pid })));
        told(&self.ask("get_env_vars", &json!({ "pid": pid })));
        let all = self.ask("get_open_files", &json!({}));
        if all["isError"] == true {
            told(&all);
        } else {
            let all = &all["structuredContent"];
            assert!(all["hidden_because"].as_str().unwrap().contains("restart the daemon"), "{all}");
            assert!(all["processes_hidden"].as_u64().unwrap() > 0 && all["incomplete"] == true, "{all}");
        }
        assert_eq!(self.ask("get_uptime", &json!({}))["isError"], false);
        assert_eq!(self.running.stderr().matches("the lookout is gone").count(), 1, "{}", self.running.stderr());
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}

#[test]
fn one_that_ends_is_missed_in_every_answer_logged_once_and_collected() {
    let home = tempfile::tempdir().unwrap();
    let Some(mut door) = Door::open(home.path()) else { return };
    let pid = door.other.id();
    let whole = door.ask("get_open_files", &json!({ "pid": pid }))["structuredContent"].clone();
    assert!(whole["processes"] == 1 && whole.get("hidden_because").is_none(), "{whole}");
    let env = door.ask("get_env_vars", &json!({ "pid": pid }));
    assert_eq!(env["structuredContent"]["env"]["WHO"], "other", "{env}");
    let lookout = door.lookout();
    kill_process(lookout, Signal::KILL).unwrap();
    // Before anybody asks.
    door.running.until(|running| running.stderr().contains("the lookout is gone").then_some(()));
    assert!(!Path::new(&format!("/proc/{}", lookout.as_raw_nonzero())).exists(), "it is a zombie");
    door.says_what_is_missing();
}

#[test]
fn one_that_stalls_holds_nobody_up_for_long_and_is_not_asked_again() {
    let home = tempfile::tempdir().unwrap();
    let Some(mut door) = Door::open(home.path()) else { return };
    let lookout = door.lookout();
    kill_process(lookout, Signal::STOP).unwrap();
    let pid = door.other.id();
    let began = std::time::Instant::now();
    assert_eq!(door.ask("get_open_files", &json!({ "pid": pid }))["isError"], true);
    door.running.until(|running| running.stderr().contains("the lookout is gone").then_some(()));
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    door.says_what_is_missing();
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
    // Once it goes on it finds that nobody asks.
    kill_process(lookout, Signal::CONT).unwrap();
    door.running.until(|_| (!Path::new(&format!("/proc/{}", lookout.as_raw_nonzero())).exists()).then_some(()));
    door.says_what_is_missing();
}
