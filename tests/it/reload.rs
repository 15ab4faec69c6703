//! Reading the configuration and its files again: what changed counts for the next request, on open connections too, and
//! what is wrong changes nothing.

use std::fs;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use doorward::pki::store::Existing;
use doorward::pki::{Authority, Request};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::world::{Choice, World, tokens, wire};

const DAY: Duration = Duration::from_secs(86_400);
const BOT: &str = "    - CN=bot,O=Acme\n";

/// An open connection of one client.
struct Client<'a> {
    world: &'a World,
    stream: TlsStream<TcpStream>,
}

impl<'a> Client<'a> {
    async fn connect(world: &'a World, name: &str) -> Self {
        let stream = wire::connect(&world.path(""), world.port, Some(name)).await.unwrap();
        Self { world, stream }
    }

    async fn ask(&mut self, token: &str, message: &Value) -> wire::Answer {
        wire::exchange(&mut self.stream, &wire::post(self.world.port, token, message)).await.unwrap()
    }

    /// Calls with a fresh token.
    async fn call(&mut self) -> String {
        let token = self.world.token(&["core"]);
        self.ask(&token, &wire::call("get_uptime", json!({}))).await.outcome()
    }

    async fn list(&mut self) -> Vec<String> {
        let token = self.world.token(&["core"]);
        let answer = self.ask(&token, &wire::list()).await.json();
        let tools = answer["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    fn server_certificate(&self) -> Vec<u8> {
        self.stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

/// A new connection with this certificate ends in the handshake, for this reason.
async fn assert_refused(world: &World, name: &str, reason: &str) {
    let seen = world.audit().len();
    let answer = match wire::connect(&world.path(""), world.port, Some(name)).await {
        Ok(mut stream) => wire::exchange(&mut stream, &wire::post(world.port, "a.b.c", &wire::list())).await,
        Err(error) => Err(error),
    };
    assert!(answer.is_err(), "{name}: {answer:?}");
    assert_eq!(world.recorded(seen, "auth_failure", reason).await["result"], "refused");
}

/// The reload fails; the record names the reason and has `words` in it.
async fn assert_reload_fails(world: &World, words: &str) -> Value {
    let seen = world.audit().len();
    let failure = world.daemon.reload().await.unwrap_err();
    let audit = world.audit().split_off(seen);
    assert_eq!(audit.len(), 1, "{audit:?}");
    assert_eq!(
        (&audit[0]["event"], &audit[0]["result"], &audit[0]["reason"]),
        (&json!("config_reload"), &json!("refused"), &json!(failure.code().as_str()))
    );
    let detail = audit[0]["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{words}: {detail}");
    audit[0].clone()
}

#[tokio::test]
async fn a_subject_that_is_taken_off_the_list_is_refused_on_its_open_connection() {
    let world = World::open().await;
    let (mut bot, mut second) = (Client::connect(&world, "good").await, Client::connect(&world, "second").await);
    assert_eq!(bot.call().await, "200");
    world.edit(BOT, "");
    assert_eq!(bot.call().await, "200", "nothing changes before the reload");
    let seen = world.audit().len();
    world.reload().await;
    assert_eq!(world.audit()[seen]["event"], "config_reload");
    assert_eq!(world.audit()[seen]["result"], "success");
    assert_eq!(world.audit()[seen]["detail"], "changed: tls.allowed_subjects");
    for _ in 0..2 {
        assert_eq!(bot.call().await, "403 subject_not_allowed");
    }
    world.recorded(seen, "auth_failure", "subject_not_allowed").await;
    assert_eq!(second.call().await, "200");
    world.edit("    - URI:spiffe://acme/second\n", &format!("{BOT}    - URI:spiffe://acme/second\n"));
    world.reload().await;
    assert_eq!(bot.call().await, "200", "and let in again");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_its_open_connection_and_at_the_door() {
    let world = World::open().await;
    let (mut bot, mut second) = (Client::connect(&world, "good").await, Client::connect(&world, "second").await);
    let clock = Clock::system();
    assert!(world.authority().revoke_file(&world.path("good.crt"), &clock).unwrap());
    world.authority().crl(DAY, &clock).unwrap();
    assert_eq!(bot.call().await, "200", "nothing changes before the reload");
    world.reload().await;
    assert_eq!(bot.call().await, "403 certificate_revoked");
    assert_eq!(second.call().await, "200");
    assert_refused(&world, "good", "certificate_revoked").await;
}

#[tokio::test]
async fn the_clients_of_a_replaced_authority_are_refused_and_those_of_the_new_one_let_in() {
    let world = World::open().await;
    let mut bot = Client::connect(&world, "good").await;
    assert_refused(&world, "rogue_bot", "certificate_untrusted").await;
    Authority::open(&world.path("rogue")).unwrap().crl(DAY, &Clock::system()).unwrap();
    for file in ["ca.crt", "ca.crl"] {
        let (old, new) = (world.path("ca").join(file), world.path("rogue").join(file));
        let key = if file == "ca.crt" { "client_ca" } else { "client_crl" };
        world.edit(&format!("{key}: {}", old.display()), &format!("{key}: {}", new.display()));
    }
    world.reload().await;
    assert_eq!(bot.call().await, "403 certificate_untrusted");
    assert_refused(&world, "good", "certificate_untrusted").await;
    assert_eq!(Client::connect(&world, "rogue_bot").await.call().await, "200");
}

#[tokio::test]
async fn a_new_server_certificate_is_shown_to_new_connections_and_the_old_ones_go_on() {
    let world = World::open().await;
    let mut old = Client::connect(&world, "good").await;
    let request = Request::server(&["localhost"], DAY);
    let issued = world.authority().issue(&request, &Clock::system()).unwrap();
    issued.write(&world.path("server"), Existing::Replace).unwrap();
    assert_eq!(Client::connect(&world, "good").await.server_certificate(), old.server_certificate());
    world.reload().await;
    let mut new = Client::connect(&world, "good").await;
    assert_eq!(new.server_certificate(), issued.der);
    assert_ne!(old.server_certificate(), issued.der);
    assert_eq!((old.call().await, new.call().await), ("200".to_owned(), "200".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_with_a_new_configuration_is_recorded_and_the_old_goes_on() {
    let world = World::open().await;
    let mut bot = Client::connect(&world, "good").await;
    let good = fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    for (from, to, words) in [
        ("transport: https", "transport: [", "doorward.yaml:"),
        ("transport: https", "transport: stdio", "restart"),
        ("transport: https", "transport: http", "transport"),
        ("  core: [", "  core: [get_everything, ", "scopes.core[0]"),
        ("    issuer:", "    isuer:", "auth.jwt.isuer"),
        ("    issuer:", &format!("    secret: {secret}\n    issuer:"), "auth.jwt.secret"),
        ("server.crt", "absent.crt", "tls.cert"),
        (BOT, "    - not a name\n", "tls.allowed_subjects"),
    ] {
        fs::write(world.path("doorward.yaml"), &good).unwrap();
        world.edit(from, to);
        let record = assert_reload_fails(&world, words).await;
        assert!(!record.to_string().contains("hunter2"), "{record}");
        assert_eq!(bot.call().await, "200", "after {to}");
    }
    fs::remove_file(world.path("doorward.yaml")).unwrap();
    assert_reload_fails(&world, "cannot be read").await;
    fs::write(world.path("doorward.yaml"), &good).unwrap();
    world.reload().await;
    assert_eq!(bot.call().await, "200");
}

#[tokio::test]
async fn what_is_wrong_with_a_new_file_is_recorded_and_the_old_goes_on() {
    let world = World::open().await;
    let mut bot = Client::connect(&world, "good").await;
    let shown = bot.server_certificate();
    let other_key = fs::read(world.path("second.key")).unwrap();
    let secret: String = String::from_utf8(other_key.clone()).unwrap().lines().nth(1).unwrap().to_owned();
    let garbage = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec();
    for (file, content, words) in [
        ("server.crt", garbage.clone(), "server.crt"),
        ("server.crt", Vec::new(), "server.crt"),
        ("server.key", other_key.clone(), "tls.key"),
        ("server.crt", other_key, "server.crt"),
        ("ca/ca.crl", garbage.clone(), "ca.crl"),
        ("rogue/ca.crt", garbage, "rogue/ca.crt"),
    ] {
        let path = world.path(file);
        let good = fs::read(&path).unwrap();
        if file.starts_with("rogue") {
            world.edit("client_ca: ", &format!("client_ca: {} # ", path.display()));
        }
        fs::write(&path, content).unwrap();
        let record = assert_reload_fails(&world, words).await;
        assert!(!record.to_string().contains(&secret), "{record}");
        assert_eq!(bot.call().await, "200", "{file}");
        assert_eq!(Client::connect(&world, "good").await.server_certificate(), shown, "{file}");
        fs::write(&path, good).unwrap();
    }
}

#[tokio::test]
async fn a_refused_reload_leaves_no_trace() {
    let world = World::with(Choice {
        more: "resources:\n  rate_limit: {requests_per_minute: 1, requests_per_hour: 100, burst: 2}\n".to_owned(),
        ..Choice::default()
    })
    .await;
    let mut bot = Client::connect(&world, "good").await;
    let spend = async |bot: &mut Client<'_>| {
        let token = world.token(&["core"]);
        let answer = bot.ask(&token, &wire::call("get_uptime", json!({}))).await;
        answer.outcome() == "429 rate_limited"
    };
    assert_eq!([spend(&mut bot).await, spend(&mut bot).await, spend(&mut bot).await], [false, false, true]);
    let good = fs::read_to_string(world.path("doorward.yaml")).unwrap();
    // Keys from nowhere, another rate, and a list that cannot be read.
    world.edit(&format!(":{}/jwks.json", world.issuer.port), ":1/jwks.json");
    world.edit("burst: 2", "burst: 3");
    let list = fs::read(world.path("ca/ca.crl")).unwrap();
    fs::write(world.path("ca/ca.crl"), "nothing").unwrap();
    assert_reload_fails(&world, "ca.crl").await;
    world.daemon.ready(Duration::from_millis(1)).await.unwrap();
    fs::write(world.path("ca/ca.crl"), list).unwrap();
    fs::write(world.path("doorward.yaml"), good).unwrap();
    world.reload().await;
    assert!(spend(&mut bot).await, "what was used up stays used up");
    assert_eq!(world.issuer.fetches(), 1, "and the keys are those at hand");
}

#[tokio::test]
async fn changed_scopes_change_the_list_of_tools_at_once() {
    let world = World::open().await;
    let mut bot = Client::connect(&world, "good").await;
    let all = bot.list().await;
    assert_eq!(all.len(), 7);
    world.edit("  core: [get_cpu_info, ", "  core: [");
    world.reload().await;
    let left = bot.list().await;
    assert_eq!(left, all.iter().filter(|tool| *tool != "get_cpu_info").cloned().collect::<Vec<_>>());
    let token = world.token(&["core"]);
    let refused = bot.ask(&token, &wire::call("get_cpu_info", json!({}))).await;
    assert_eq!(refused.reason().as_deref(), Some("unknown_tool"));
}

#[tokio::test]
async fn a_used_token_stays_used_over_a_reload() {
    let world = World::open().await;
    let token = world.token(&["core"]);
    assert_eq!(world.call(&token).await.outcome(), "200");
    world.edit("metrics:", "limits: {max_array_items: 99}\nmetrics:");
    world.reload().await;
    assert_eq!(world.call(&token).await.outcome(), "401 token_replayed");
}

#[tokio::test]
async fn what_waits_for_a_restart_is_said() {
    let world = World::open().await;
    world.edit(&format!("bind: 127.0.0.1:{}", world.port), &format!("bind: 127.0.0.2:{}", world.port));
    let seen = world.audit().len();
    world.reload().await;
    assert_eq!(world.audit()[seen]["detail"], "only after a restart: tls.bind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_the_configuration_is_read_again() {
    let world = World::open().await;
    let mut bot = Client::connect(&world, "good").await;
    let calls = async {
        for n in 0..60 {
            assert_eq!(bot.call().await, "200", "call {n}");
            assert_eq!(world.call(&world.token(&["core"])).await.outcome(), "200", "call {n} over a new connection");
        }
    };
    let reloads = async {
        for n in 0..20 {
            world.edit(&format!("max_array_items: {}", 1000 + n), &format!("max_array_items: {}", 1001 + n));
            world.reload().await;
        }
    };
    world.edit("metrics:", "limits: {max_array_items: 1000}\nmetrics:");
    tokio::join!(calls, reloads);
    assert_eq!(world.issuer.fetches(), 1);
}

#[tokio::test]
async fn a_changed_file_is_noticed_within_seconds() {
    let world = World::open().await;
    for (file, content) in [
        ("doorward.yaml", Some("# touched\n")),
        ("ca/ca.crl", None),
        // What only a refused configuration names is watched too: it may be what is wrong.
        ("next.crt", Some("nothing")),
        ("next.crt", Some("nothing either")),
    ] {
        let idle = world.daemon.idle_until_changed();
        tokio::pin!(idle);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut idle).await.is_err(), "{file} too early");
        match content {
            None => drop(world.authority().crl(DAY, &Clock::system()).unwrap()),
            Some(text) => {
                let old = fs::read_to_string(world.path(file)).unwrap_or_default();
                fs::write(world.path(file), format!("{old}{text}")).unwrap();
                if file == "next.crt" && old.is_empty() {
                    let next = world.path(file);
                    world.edit(
                        &format!("cert: {}", world.path("server.crt").display()),
                        &format!("cert: {}", next.display()),
                    );
                }
            }
        }
        tokio::time::timeout(Duration::from_secs(30), idle).await.unwrap_or_else(|_| panic!("{file} went unnoticed"));
        let reloaded = world.daemon.reload().await;
        assert_eq!(reloaded.is_err(), file == "next.crt", "{file}: {reloaded:?}");
    }
}

#[tokio::test]
async fn with_an_outdated_revocation_list_nobody_comes_in() {
    // The handshake goes by the system's time, by which the list ran out before the daemon's clock stands.
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now() - 40));
    let list_life = Some(Duration::from_secs(3600 - 20));
    let world = World::with(Choice { list_life, clock: Some(clock), ..Choice::default() }).await;
    for name in ["good", "second"] {
        assert_refused(&world, name, "revocation_unknown").await;
    }
    world.authority().crl(DAY, &Clock::system()).unwrap();
    world.reload().await;
    assert_eq!(Client::connect(&world, "good").await.call().await, "200");
}

#[tokio::test]
async fn a_revocation_list_that_runs_out_shuts_open_connections_until_there_is_a_new_one() {
    let clock = Clock::manual(Timestamp::from_seconds(tokens::now()));
    let life = Duration::from_secs(3600 + 300);
    let world = World::with(Choice { list_life: Some(life), clock: Some(clock.clone()), ..Choice::default() }).await;
    let mut bot = Client::connect(&world, "good").await;
    clock.advance(Duration::from_secs(290));
    assert_eq!(bot.call().await, "200");
    clock.advance(Duration::from_secs(11));
    assert_eq!(bot.call().await, "403 revocation_unknown");
    let missing = world.daemon.ready(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(missing.cause().as_deref(), Some("the revocation list is out of date"));
    assert_reload_fails(&world, "is out of date since").await;
    world.authority().crl(DAY, &Clock::system()).unwrap();
    assert_eq!(bot.call().await, "403 revocation_unknown");
    world.reload().await;
    assert_eq!(bot.call().await, "200");
    world.daemon.ready(Duration::from_millis(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_cannot_be_recorded_is_in_force_and_says_so() {
    let world = World::open().await;
    let mut bot = Client::connect(&world, "good").await;
    assert_eq!(bot.call().await, "200");
    // The journal of the next start can be written, so the configuration is in order; the one in use cannot.
    fs::create_dir(world.path("next")).unwrap();
    world.edit(&world.path("log").display().to_string(), &world.path("next").display().to_string());
    world.edit(BOT, "");
    fs::rename(world.path("log"), world.path("away")).unwrap();
    world.daemon.reload().await.expect("what is in force was not refused");
    fs::rename(world.path("away"), world.path("log")).unwrap();
    for _ in 0..1000 {
        match bot.call().await.as_str() {
            "403 subject_not_allowed" => return,
            other => assert_eq!(other, "503 audit_unavailable"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the journal does not come back");
}
