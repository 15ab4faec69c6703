//! deploy/siem/rsyslog.conf in a real rsyslogd, with another directory and other ports.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward::audit::chain::{Hash, Head, Link};
use doorward::audit::syslog::{Forwarder, SyslogSection};
use doorward::clock::Clock;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::audit_page;
use crate::world::child::free_port;
use crate::world::program::{Running, bash, command, doorward, finish, there_is};
use crate::world::{Choice, World, wire};

const RSYSLOGD: &str = "/usr/sbin/rsyslogd";

struct Collector {
    running: Running,
    tcp: u16,
    tls: u16,
    out: PathBuf,
}

/// Whether it can be run here; its driver for TLS is a package of its own.
fn there_is_rsyslog() -> bool {
    let driver = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut driver = driver.map(|folder| folder.path().join("rsyslog/lmnsd_gtls.so"));
    if !driver.any(|driver| driver.exists()) {
        eprintln!("!! rsyslog-gnutls is not there: deploy/siem/rsyslog.conf is NOT tested");
        return false;
    }
    there_is(RSYSLOGD, "deploy/siem/rsyslog.conf")
}

impl Collector {
    /// With the certificates of the world; the one of `good` may write. The socket is used as the file says at its end.
    fn start(root: &Path) -> Self {
        // Without the slash at its end.
        let root: &Path = &root.components().collect::<PathBuf>();
        let (tcp, tls, out) = (free_port(), free_port(), root.join("siem"));
        fs::create_dir(&out).unwrap();
        let text = super::read("rsyslog.conf");
        let text = text
            .replace("/etc/rsyslog.d/doorward-ca.pem", root.join("ca/ca.crt").to_str().unwrap())
            .replace("/etc/rsyslog.d/doorward-server.pem", root.join("server.crt").to_str().unwrap())
            .replace("/etc/rsyslog.d/doorward-server.key", root.join("server.key").to_str().unwrap())
            .replace("/var/log/doorward-siem", out.to_str().unwrap())
            .replace("/var/spool/doorward-siem", out.to_str().unwrap())
            .replace(
                "#input(type=\"imuxsock\"",
                "module(load=\"imuxsock\" SysSock.Use=\"off\")\ninput(type=\"imuxsock\"",
            )
            .replace("port=\"10514\"", &format!("port=\"{tcp}\""))
            .replace("port=\"6514\"", &format!("address=\"127.0.0.1\" port=\"{tls}\""))
            .replace("door.example", "bot");
        let left = text.lines().find(|line| !line.starts_with('#') && line.contains("/etc/"));
        assert_eq!(left, None);
        let config = root.join("rsyslog.conf");
        fs::write(&config, format!("global(workDirectory=\"{}\")\n{text}", root.display())).unwrap();
        let mut check = command(RSYSLOGD, root);
        check.arg("-N1").arg("-f").arg(&config);
        let checked = finish(check, "");
        assert!(checked.status == 0 && !checked.stderr.contains("error"), "{checked:?}");
        let mut run = command(RSYSLOGD, root);
        run.arg("-n").arg("-f").arg(&config).arg("-i").arg(root.join("rsyslog.pid"));
        Self { running: Running::start(run), tcp, tls, out }
    }

    /// A connection without TLS, as soon as it listens on both ports.
    async fn connect(&self) -> TcpStream {
        for _ in 0..2000 {
            let both =
                tokio::join!(TcpStream::connect(("127.0.0.1", self.tcp)), TcpStream::connect(("127.0.0.1", self.tls)));
            if let (Ok(stream), Ok(_)) = both {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it does not listen: {}", self.running.stderr());
    }

    /// Ends it; everything that it has read is written then.
    fn stop(self) -> PathBuf {
        self.running.signal(Signal::TERM);
        self.running.end(Duration::from_secs(10));
        self.out
    }
}

/// As RFC 5424 has it, with its length before it (RFC 6587 section 3.4.1).
fn frame(host: &str, event: &str, line: &str) -> Vec<u8> {
    let header =
        format!("<38>1 2026-11-20T10:30:45.123Z {host} doorward 17 {event} [doorward@32473 seq=\"1\"] \u{feff}");
    let message = header + line;
    [format!("{} ", message.len()).into_bytes(), message.into_bytes()].concat()
}

fn event(line: &str) -> String {
    let record: Value = serde_json::from_str(line).unwrap();
    record["event"].as_str().unwrap().to_owned()
}

/// The journal of a door that let a caller in and refused others, and the longest record that there may be.
async fn journal() -> (World, Vec<String>) {
    let world = World::with(Choice::default()).await;
    assert_eq!(world.call(&world.token(&["core"])).await.status, 200);
    assert_eq!(world.call("no token").await.status, 401);
    assert_eq!(world.call(&world.token(&["stranger"])).await.status, 403);
    let _ = world.call_as("unlisted", &world.token(&["core"])).await;
    world.recorded(0, "auth_failure", "subject_not_allowed").await;
    let text = fs::read_to_string(world.path("log/audit.jsonl")).unwrap();
    let last = text.lines().last().unwrap().as_bytes();
    let head = Head { seq: Link::of(last).unwrap().seq, hash: Hash::of(last) };
    let mut page = text.clone().into_bytes();
    let long = json!({ "v": 1, "ts": "2026-11-20T10:30:45.123Z", "event": "query", "params": { "text": "ü\n\u{1b}".repeat(25_000) } });
    let _ = head.append(long.to_string().as_bytes(), &mut page).unwrap();
    let text = String::from_utf8(page).unwrap();
    (world, text.lines().map(str::to_owned).collect())
}

/// Sends a copy of the journal, as `host`, until the collector has it; one that is there is sent again.
async fn forward(world: &World, collector: &Collector, host: &str, target: String, lines: &[String]) {
    let home = world.path(host);
    let before = fs::read(collector.out.join(host).join("all.jsonl")).map_or(0, |all| all.len());
    let _ = fs::remove_dir_all(&home);
    fs::create_dir(&home).unwrap();
    let wanted = lines.join("\n") + "\n";
    fs::write(home.join("audit.jsonl"), &wanted).unwrap();
    let section = SyslogSection {
        enabled: true,
        target,
        hostname: Some(host.to_owned()),
        ca: Some(world.path("ca/ca.crt")),
        cert: Some(world.path("good.crt")),
        key: Some(world.path("good.key")),
        ..SyslogSection::default()
    };
    let section = match section.target.starts_with("tls:") {
        true => section,
        false => SyslogSection { ca: None, cert: None, key: None, ..section },
    };
    let forwarder = Forwarder::start(&section, &home.join("audit.jsonl"), Clock::system()).unwrap();
    for _ in 0..2000 {
        let all = fs::read_to_string(collector.out.join(host).join("all.jsonl")).unwrap_or_default();
        if all.len() >= before + wanted.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    forwarder.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_writes_every_record_as_it_is_by_event_and_what_needs_attention_for_people() {
    if !there_is_rsyslog() {
        return;
    }
    let (world, lines) = journal().await;
    let collector = Collector::start(&world.path(""));
    let mut plain = collector.connect().await;
    forward(&world, &collector, "plain.example", format!("tcp://127.0.0.1:{}", collector.tcp), &lines).await;
    forward(&world, &collector, "secure.example", format!("tls://localhost:{}", collector.tls), &lines).await;
    // A datagram takes no record of the greatest length.
    let (_, short) = lines.split_last().unwrap();
    for _ in 0..2 {
        forward(&world, &collector, "unix.example", format!("unix:{}/socket", collector.out.display()), short).await;
    }
    plain.write_all(&frame("../../up", "query", "not a record")).await.unwrap();
    plain.write_all(&frame("../../up", "query", r#"{"seq":1,"event":"../../up"}"#)).await.unwrap();
    plain.shutdown().await.unwrap();
    let unparsed = collector.out.join("unparsed.log");
    let strange = collector.out.join(".._.._up/.._.._up.jsonl");
    for _ in 0..2000 {
        if unparsed.exists() && strange.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let wanted = lines.join("\n") + "\n";
    let out = collector.stop();
    for host in ["plain.example", "secure.example"] {
        let read = |name: &str| fs::read_to_string(out.join(host).join(name)).unwrap_or_default();
        assert!(read("all.jsonl") == wanted, "{host}: {}", read("all.jsonl"));
        for wanted in ["start", "query", "auth_failure", "query_denied"] {
            let own: Vec<&str> = lines.iter().map(String::as_str).filter(|line| event(line) == wanted).collect();
            assert!(!own.is_empty());
            assert_eq!(read(&format!("{wanted}.jsonl")).lines().collect::<Vec<_>>(), own, "{host}");
        }
        let attention = read("attention.log");
        assert!(attention.contains(" auth_failure reason=subject_not_allowed "), "{attention}");
        assert!(attention.contains("subject=CN=eve seq="), "{attention}");
        assert!(!attention.contains(" query reason"), "{attention}");
    }
    // What came twice is taken out as the page says, and is the journal again.
    let (folder, wanted) = (out.join("unix.example"), short.join("\n") + "\n");
    assert_eq!(fs::read_to_string(folder.join("all.jsonl")).unwrap(), wanted.repeat(2));
    fs::copy(world.path("log/audit.pub"), folder.join("audit.pub")).unwrap();
    assert_eq!(doorward(&folder, &["audit", "verify", "all.jsonl"]).status, 1);
    let page = fs::read_to_string(audit_page::PAGE).unwrap();
    let said = bash(&folder, &audit_page::block(&page, "once"), &[], "").well();
    assert!(said.contains(&format!("records     1 to {}", short.len())), "{said}");
    assert_eq!(fs::read_to_string(folder.join("once.jsonl")).unwrap(), wanted);
    assert!(super::read("rsyslog.conf").contains("awk '!seen[$0]++' all.jsonl > once.jsonl"));
    assert!(fs::read_to_string(out.join("unparsed.log")).unwrap().contains("not a record"));
    assert!(out.join(".._.._up/.._.._up.jsonl").exists(), "a sender chooses no directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsyslog_takes_records_over_tls_only_from_a_door() {
    if !there_is_rsyslog() {
        return;
    }
    let (world, lines) = journal().await;
    let collector = Collector::start(&world.path(""));
    drop(collector.connect().await);
    for certificate in [None, Some("rogue_bot"), Some("unlisted")] {
        // With TLS 1.3 the client learns only later that it was refused.
        if let Ok(mut stream) = wire::connect(&world.path(""), collector.tls, certificate).await {
            let _ = stream.write_all(&frame("eve.example", "start", &lines[0])).await;
            let _ = stream.shutdown().await;
        }
    }
    let mut good = wire::connect(&world.path(""), collector.tls, Some("good")).await.unwrap();
    good.write_all(&frame("good.example", "start", &lines[0])).await.unwrap();
    good.shutdown().await.unwrap();
    for _ in 0..2000 {
        if collector.out.join("good.example/start.jsonl").exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let out = collector.stop();
    assert!(out.join("good.example/start.jsonl").exists());
    assert!(!out.join("eve.example").exists());
}

/// Both ways that docs/forwarding.md has: the options of the module, and those of an input.
#[test]
fn rsyslog_takes_rfc_5424_on_the_systems_socket_and_on_one_of_its_own() {
    if !there_is_rsyslog() {
        return;
    }
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/forwarding.md")).unwrap();
    let (_, block) = page.split_once("<!-- run by the tests: unix -->\n```\n").unwrap();
    let block = block.split_once("```").unwrap().0;
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let own = path("own").display().to_string();
    let text = block
        .replace("load=\"imuxsock\"", &format!("load=\"imuxsock\" SysSock.Name=\"{}\"", path("system").display()))
        .replace("/run/doorward.sock", &own);
    assert!(text.contains(&own));
    let template = r#"template(name="line" type="string" string="%hostname% %app-name% %msgid% %timereported:::date-rfc3339% %msg%\n")"#;
    let action = format!("action(type=\"omfile\" file=\"{}\" template=\"line\")", path("out").display());
    let place = home.path().display();
    fs::write(path("conf"), format!("global(workDirectory=\"{place}\")\n{text}{template}\n{action}\n")).unwrap();
    let mut run = command(RSYSLOGD, home.path());
    run.arg("-n").arg("-f").arg(path("conf")).arg("-i").arg(path("pid"));
    let mut running = Running::start(run);
    let message = "<38>1 2026-11-20T10:30:45.123Z web.example doorward 17 query [doorward@32473 seq=\"1\"] {}";
    for name in ["system", "own"] {
        running.until(|_| path(name).exists().then_some(()));
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        running.until(|_| socket.send_to(message.as_bytes(), path(name)).ok());
    }
    let said = |_: &Running| fs::read_to_string(path("out")).ok().filter(|out| out.matches("{}").count() == 2);
    let said = running.until(said);
    for line in said.lines().filter(|line| line.contains("{}")) {
        assert_eq!(line, "web.example doorward query 2026-11-20T10:30:45.123Z {}");
    }
    running.signal(Signal::TERM);
    assert_eq!(running.end(Duration::from_secs(10)).status, 0);
}
