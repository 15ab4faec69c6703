//! The built program in a pipe, asked call by call; where it may, with files of this machine replaced for it alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::program::{DOORWARD, Running, command, missing};

/// A door over standard input and output.
pub struct Piped {
    running: Running,
    lines: usize,
}

impl Piped {
    /// With this configuration, besides the transport.
    pub fn open(home: &Path, config: &str) -> Self {
        Self::start(home, config, DOORWARD, &[])
    }

    /// The same where `pairs`, a file of `home` and a file of this machine each, lie one over the other. `None` where no
    /// process may have files of its own.
    pub fn over(home: &Path, config: &str, pairs: &[(&str, &str)]) -> Option<Self> {
        let mut probe = command("unshare", home);
        if !probe.args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
            missing("unshare", "what other files would say");
            return None;
        }
        let mounts: String = pairs
            .iter()
            .map(|(ours, theirs)| format!("[ -e {theirs} ] || : > {theirs}; mount --bind {ours} {theirs} && "))
            .collect();
        let script = format!("{mounts}exec \"$0\" \"$@\"");
        Some(Self::start(home, config, "unshare", &["--mount", "sh", "-c", &script, DOORWARD]))
    }

    fn start(home: &Path, config: &str, program: &str, arguments: &[&str]) -> Self {
        fs::write(home.join("piped.yaml"), format!("transport: stdio\n{config}\n")).unwrap();
        let mut run = command(program, home);
        run.args(arguments).args(["serve", "--config", "piped.yaml"]);
        let mut door = Self { running: Running::start(run), lines: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        });
        door.ask("initialize", &hello);
        door.running.write("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
        door
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let number = self.lines;
        self.lines += 1;
        let request = json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": params });
        self.running.write(&format!("{request}\n"));
        self.running.until(|running| {
            let text = running.stdout();
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            whole.lines().nth(number).map(|line| serde_json::from_str(line).unwrap())
        })
    }

    /// What the door lists.
    pub fn tools(&mut self) -> BTreeSet<String> {
        let answer = self.ask("tools/list", &json!({}));
        let tools = answer["result"]["tools"].as_array().unwrap_or_else(|| panic!("{answer}"));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The whole answer to a call.
    pub fn attempt(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// What a tool answers, and that it was not cut.
    #[track_caller]
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut answer = self.attempt(tool, &arguments);
        let (failed, parts) = (&answer["result"]["isError"], answer["result"]["content"].as_array().map(Vec::len));
        assert_eq!((failed, parts), (&json!(false), Some(1)), "{answer}");
        answer["result"]["structuredContent"].take()
    }
}
