//! Every tool there is, for nobody, for the wrong scope and for the right one, in both eras: who may not call a tool does
//! not learn that it exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::client::TlsStream;

use crate::world::wire::{Answer, Era};
use crate::world::{Choice, World, wire};

/// Good arguments for each tool.
fn cases() -> BTreeMap<&'static str, Value> {
    BTreeMap::from([
        ("get_app_logs", json!({})),
        ("get_auth_logs", json!({ "source": "logins", "lines": 5 })),
        ("get_container_images", json!({})),
        ("get_containers", json!({ "all": true })),
        ("get_cpu_info", json!({ "sample_ms": 50 })),
        ("get_cron_jobs", json!({ "limit": 5 })),
        ("get_dependencies", json!({ "format": "cyclonedx" })),
        ("get_disk_info", json!({ "all": true })),
        ("get_env_vars", json!({ "pid": std::process::id() })),
        ("get_event_log", json!({ "minutes": 5 })),
        ("get_journal_logs", json!({ "lines": 5 })),
        ("get_kernel_logs", json!({ "lines": 5 })),
        ("get_memory_info", json!({})),
        ("get_network_info", json!({})),
        ("get_open_files", json!({ "pid": std::process::id() })),
        ("get_packages", json!({ "limit": 5 })),
        ("get_processes", json!({ "sort": "memory", "limit": 5 })),
        ("get_ssh_config", json!({})),
        ("get_sudo_config", json!({})),
        ("get_syslog", json!({ "lines": 5 })),
        ("get_systemd_timers", json!({ "limit": 5 })),
        ("get_systemd_units", json!({ "limit": 5 })),
        ("get_temperature", json!({})),
        ("get_uptime", json!({})),
        ("get_block_devices", json!({ "all": true })),
        ("get_connections", json!({ "state": "established" })),
        ("get_dns_config", json!({})),
        ("get_firewall_rules", json!({})),
        ("get_kernel_modules", json!({})),
        ("get_listening_ports", json!({ "protocol": "tcp" })),
        ("get_mounts", json!({ "all": true })),
        ("get_network_config", json!({})),
        ("get_pci_devices", json!({})),
        ("get_sysctl", json!({ "name": "kernel.osrelease" })),
        ("get_user_accounts", json!({ "limit": 1 })),
    ])
}

/// A world in which each tool has a scope that opens it alone and one that opens all others, and a connection to it.
struct Walk {
    world: World,
    tools: BTreeSet<String>,
    stream: TlsStream<TcpStream>,
}

impl Walk {
    async fn begin() -> Self {
        let tools: BTreeSet<String> = doorward::daemon::tools().into_iter().collect();
        let mut scopes = String::new();
        for tool in &tools {
            let others: Vec<&str> = tools.iter().filter(|other| *other != tool).map(String::as_str).collect();
            scopes.push_str(&format!("  only:{tool}: [{tool}]\n  but:{tool}: [{}]\n", others.join(", ")));
        }
        let sensitive = "get_auth_logs, get_env_vars, get_event_log, get_open_files, get_ssh_config, get_sudo_config, get_user_accounts";
        let more = format!(
            "queries: {{sensitive: {{enabled: true, allow: [{sensitive}]}}}}\ntoolsets: {{system: {{containers: {{sockets: \
             [{{root}}/engine.sock]}}, dependencies: {{paths: [{{root}}/log]}}}}}}"
        );
        let world = World::with(Choice { scopes, more, ..Choice::default() }).await;
        engine(&world.path("engine.sock"));
        let stream = wire::connect(&world.path(""), world.port, Some("good")).await.unwrap();
        Self { world, tools, stream }
    }

    /// Asks with a fresh token of this scope, or with none.
    async fn ask(&mut self, era: Era, scope: Option<&str>, message: &Value) -> Answer {
        let token = scope.map(|scope| self.world.token(&[scope]));
        let bytes = wire::request(self.world.port, era, token.as_deref(), message);
        wire::exchange(&mut self.stream, &bytes).await.unwrap()
    }

    async fn listed(&mut self, era: Era, scope: &str) -> Vec<Value> {
        let answer = self.ask(era, Some(scope), &wire::list()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let result = answer.json()["result"].take();
        if era == Era::Modern {
            assert_eq!(result["cacheScope"], "private", "what one caller may see is not for others");
        }
        result["tools"].as_array().unwrap().clone()
    }

    /// Calling `tool` answers exactly as calling a name that nobody has, whether or not the arguments would fit.
    async fn assert_unknown(&mut self, era: Era, scope: Option<&str>, tool: &str, arguments: &Value) -> Answer {
        let nobody = "x".repeat(tool.len());
        let missing = self.ask(era, scope, &wire::call(&nobody, arguments.clone())).await;
        for arguments in [arguments.clone(), json!({ "no_such_argument": [1] })] {
            let hidden = self.ask(era, scope, &wire::call(tool, arguments)).await;
            assert_eq!(anonymous(&hidden, tool), anonymous(&missing, &nobody), "{tool} for {scope:?}");
        }
        missing
    }
}

/// A container engine without anything in it.
fn engine(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let count = stream.read(&mut request).await.unwrap();
            let body = if request[..count].starts_with(b"GET /version") { "{\"Version\":\"1\"}" } else { "[]" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
}

/// What the machine of the test may lack.
fn is_here(tool: &str) -> bool {
    let any = |paths: &[&str]| paths.iter().any(|path| File::open(path).is_ok());
    match tool {
        "get_packages" => any(&["/var/lib/dpkg/status", "/lib/apk/db/installed", "/usr/bin/rpm"]),
        "get_sudo_config" => any(&["/etc/sudoers"]),
        "get_ssh_config" => any(&["/etc/ssh/sshd_config", "/etc/ssh/ssh_config"]),
        _ => true,
    }
}

/// An answer without what may differ: the time, the name that was asked for, the id of the call.
fn anonymous(answer: &Answer, name: &str) -> (u16, Vec<(String, String)>, String) {
    let headers = answer.headers.iter().filter(|(header, _)| header != "date").cloned().collect();
    let mut body = answer.body.replace(name, "NAME");
    if let Some(call) = answer.json().pointer("/error/data/call").and_then(Value::as_str) {
        assert_eq!(call.len(), 32);
        body = body.replace(call, "CALL");
    }
    (answer.status, headers, body)
}

fn names(listed: &[Value]) -> BTreeSet<String> {
    listed.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn assert_valid(schema: &Value, value: &Value, what: &str) {
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{what}: {errors:?}\n{value}");
}

async fn walk(era: Era) {
    let mut walk = Walk::begin().await;
    let cases = cases();
    let covered: BTreeSet<String> = cases.keys().map(|tool| (*tool).to_owned()).collect();
    assert_eq!(walk.tools, covered, "each tool has a case here, and each case is a tool");
    let all = walk.tools.clone();
    for (tool, arguments) in &cases {
        let (right, wrong) = (format!("only:{tool}"), format!("but:{tool}"));

        // Nobody.
        let list = walk.ask(era, None, &wire::list()).await;
        assert_eq!(list.outcome(), "401 token_missing");
        let refused = walk.assert_unknown(era, None, tool, arguments).await;
        assert_eq!(refused.outcome(), "401 token_missing");
        assert!(refused.header("www-authenticate").unwrap().contains("resource_metadata="));

        // A token that opens nothing here, and one that opens everything else.
        assert_eq!(walk.ask(era, Some("stranger"), &wire::list()).await.outcome(), "403 insufficient_scope");
        let refused = walk.assert_unknown(era, Some("stranger"), tool, arguments).await;
        assert_eq!(refused.outcome(), "403 insufficient_scope");
        let listed = names(&walk.listed(era, &wrong).await);
        assert!(!listed.contains(*tool) && listed.len() == all.len() - 1, "{wrong} sees {listed:?}");
        let refused = walk.assert_unknown(era, Some(&wrong), tool, arguments).await;
        assert_eq!(refused.reason().as_deref(), Some("unknown_tool"));
        assert_eq!(refused.json()["error"]["code"], -32602);
        assert_audited_as_denied(&walk.world, tool);

        // The right scope.
        let listed = walk.listed(era, &right).await;
        assert_eq!(names(&listed), BTreeSet::from([(*tool).to_owned()]), "{right}");
        assert_valid(&listed[0]["inputSchema"], arguments, tool);
        let answer = walk.ask(era, Some(&right), &wire::call(tool, arguments.clone())).await;
        let result = answer.json()["result"].take();
        assert_eq!((answer.status, &result["isError"]), (200, &json!(!is_here(tool))), "{tool}: {}", answer.body);
        if !is_here(tool) {
            continue;
        }
        assert_valid(&listed[0]["outputSchema"], &result["structuredContent"], tool);
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"], "{tool}: the text says the same");
    }
    // Nothing ran but what the right scope asked for.
    let ran = |record: &&Value| record["result"] == "permitted";
    assert_eq!(walk.world.audit().iter().filter(ran).count(), cases.len());
}

/// The log tells a hidden tool from a missing one, though the caller cannot.
fn assert_audited_as_denied(world: &World, tool: &str) {
    let audit = world.audit();
    let denied = |query: &str, reason: &str| {
        let meant = |record: &&Value| {
            record["event"] == "query_denied" && record["query"] == query && record["reason"] == reason
        };
        audit.iter().filter(meant).count()
    };
    assert_eq!(denied(tool, "insufficient_scope"), 2, "{tool}");
    assert!(denied(&"x".repeat(tool.len()), "unknown_tool") >= 1, "{tool}");
    assert_eq!(denied(tool, "unknown_tool"), 0, "{tool}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tool_is_for_its_own_scope_alone_in_2025_11_25() {
    walk(Era::Legacy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tool_is_for_its_own_scope_alone_in_2026_07_28() {
    walk(Era::Modern).await;
}
