//! A real rsyslogd that receives over a unix socket, UDP, TCP and TLS with client certificates, and writes down what it
//! received: the messages alone, and what its own parsers made of them.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use doorward::clock::Clock;
use doorward::pki::store::Existing;
use doorward::pki::{AlternativeName, Authority, Profile, Request};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::program::{Running, command, there_is};

const DAY: Duration = Duration::from_secs(86_400);
const PROGRAM: &str = "/usr/sbin/rsyslogd";

/// The collector; it stands still until it is started, and is killed when dropped.
pub struct Rsyslogd {
    directory: TempDir,
    udp: u16,
    tcp: u16,
    tls: u16,
    running: Option<Running>,
}

impl Rsyslogd {
    /// `None`, with a loud word, where rsyslogd is not installed. `parsed` writes every field down as well.
    pub fn new(parsed: bool) -> Option<Self> {
        if !there_is(PROGRAM, "forwarding to syslog") {
            return None;
        }
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listeners = [free(), free(), free()];
        let [udp, tcp, tls] = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let collector = Self { directory: tempfile::tempdir().unwrap(), udp, tcp, tls, running: None };
        collector.certify();
        fs::write(collector.path("rsyslog.conf"), collector.configuration(parsed)).unwrap();
        Some(collector)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Its address for `kind`: `unix`, `udp`, `tcp` or `tls`.
    pub fn target(&self, kind: &str) -> String {
        match kind {
            "unix" => format!("unix:{}", self.path("log.sock").display()),
            "udp" => format!("udp://127.0.0.1:{}", self.udp),
            "tcp" => format!("tcp://127.0.0.1:{}", self.tcp),
            _ => format!("tls://localhost:{}", self.tls),
        }
    }

    /// Starts it, and waits until it listens.
    #[track_caller]
    pub fn start(&mut self) {
        let mut rsyslogd = command(PROGRAM, self.directory.path());
        rsyslogd.arg("-n").arg("-f").arg(self.path("rsyslog.conf")).arg("-i").arg(self.path("rsyslog.pid"));
        let _ = fs::remove_file(self.path("rsyslog.pid"));
        let mut running = Running::start(rsyslogd);
        let (ports, socket) = ([self.tcp, self.tls], self.path("log.sock"));
        running.until(|_| {
            let open = ports.iter().all(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok());
            let bound = std::os::unix::net::UnixDatagram::unbound().unwrap().connect(&socket).is_ok();
            (open && bound).then_some(())
        });
        self.running = Some(running);
    }

    /// Stops it as an operator does.
    #[track_caller]
    pub fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.signal(Signal::TERM);
        let _ = running.end(Duration::from_secs(30));
    }

    /// Makes it stand still for a while, with what comes piling up before it, and kills it in that state.
    #[track_caller]
    pub fn freeze_and_kill(&mut self, after: Duration) {
        let running = self.running.take().unwrap();
        running.signal(Signal::STOP);
        std::thread::sleep(after);
        running.signal(Signal::KILL);
        let _ = running.end(Duration::from_secs(30));
    }

    /// The messages that came, in their order, as long as they are whole; without the mark of UTF-8.
    pub fn messages(&self) -> Vec<Vec<u8>> {
        let text = fs::read(self.path("messages")).unwrap_or_default();
        let lines = text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
        lines.map(|line| line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).to_vec()).collect()
    }

    /// Bytes of messages that came.
    pub fn size(&self) -> u64 {
        fs::metadata(self.path("messages")).map_or(0, |metadata| metadata.len())
    }

    /// Whether this message is among those that came last.
    pub fn has_lately(&self, message: &[u8]) -> bool {
        let Ok(mut file) = fs::File::open(self.path("messages")) else { return false };
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(self.size().saturating_sub(8 << 20))).unwrap();
        file.read_to_end(&mut end).unwrap();
        end.split(|byte| *byte == b'\n').any(|line| line.ends_with(message))
    }

    /// What its parsers made of the messages.
    pub fn parsed(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("parsed")).unwrap_or_default();
        let parse = |line| {
            let mut parsed: Value = serde_json::from_str(line).ok()?;
            // It writes an object as text.
            parsed["data"] = serde_json::from_str(parsed["data"].as_str()?).ok()?;
            Some(parsed)
        };
        text.lines().filter_map(parse).collect()
    }

    /// `ca/ca.crt`, `server`, `door` (permitted), `stranger` (not permitted), and an authority that nobody trusts.
    fn certify(&self) {
        let clock = Clock::system();
        let profile = |name: &str| Profile { common_name: name.to_owned(), lifetime: DAY * 30 };
        let authority = Authority::create(&self.path("ca"), &profile("Collectors"), &clock).unwrap();
        let issue = |name: &str, request: &Request| {
            authority.issue(request, &clock).unwrap().write(&self.path(name), Existing::Keep).unwrap();
        };
        let client = |name: &str| Request::client(name, DAY).name(AlternativeName::Dns(format!("{name}.example")));
        issue("server", &Request::server(&["localhost"], DAY));
        issue("door", &client("door"));
        issue("stranger", &client("stranger"));
        Authority::create(&self.path("rogue"), &profile("Rogue"), &clock).unwrap();
    }

    /// Without queues between receiving and writing: what was received and not written would be lost when it is killed,
    /// which no sender can know of.
    fn configuration(&self, parsed: bool) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let Self { udp, tcp, tls, .. } = self;
        let tls_stream = r#"StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="x509/name" PermittedPeer=["door.example"]"#;
        let write_parsed = match parsed {
            true => format!(
                "  action(type=\"mmpstrucdata\")\n  action(type=\"omfile\" file=\"{}\" template=\"parsed\")\n",
                path("parsed")
            ),
            false => String::new(),
        };
        let property = |(name, of): (&str, &str)| {
            format!(
                "  property(outname=\"{name}\" name=\"{of}\" format=\"jsonf\"{})\n",
                match name {
                    "timestamp" => " dateformat=\"rfc3339\"",
                    _ => "",
                }
            )
        };
        let properties: String = [
            ("version", "protocol-version"),
            ("facility", "syslogfacility"),
            ("severity", "syslogseverity"),
            ("timestamp", "timestamp"),
            ("hostname", "hostname"),
            ("app", "app-name"),
            ("procid", "procid"),
            ("msgid", "msgid"),
            ("data", "$!rfc5424-sd"),
            ("msg", "msg"),
        ]
        .into_iter()
        .map(property)
        .collect();
        format!(
            r#"global(workDirectory="{work}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
main_queue(queue.type="direct")
module(load="imudp")
module(load="imptcp")
module(load="imtcp" {tls_stream})
module(load="imuxsock" sysSock.use="off")
module(load="mmpstrucdata")
template(name="message" type="string" string="%msg%\n")
template(name="parsed" type="list" option.jsonf="on") {{
{properties}}}
ruleset(name="write") {{
{write_parsed}  action(type="omfile" file="{messages}" template="message")
}}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="write")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="write")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="write" {tls_stream})
input(type="imuxsock" socket="{socket}" useSysTimeStamp="off" ignoreTimestamp="off" usePIDFromSystem="off" useSpecialParser="off" rateLimit.interval="0" ruleset="write")
"#,
            work = self.directory.path().display(),
            ca = path("ca/ca.crt"),
            cert = path("server.crt"),
            key = path("server.key"),
            messages = path("messages"),
            socket = path("log.sock"),
        )
    }
}
