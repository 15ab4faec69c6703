//! The tables of tests/cases/config: files with their findings written beside the lines that have them.
//!
//! `#! key | words` at the end of a line is a finding of that line, `#~ key | words` a note; `(root)` is no key. A line
//! `#@ NAME=value` sets a variable, and what is expected of it stands after it. Nothing else may be found.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use super::load::read;
use super::{Config, Environment, Finding, Refused, Report, Severity, Source};
use crate::clock::{Clock, Timestamp};
use crate::pki::{Authority, KeyKind, Profile, Request, SigningKey};

pub(super) const TOOLS: &[&str] = &[
    "get_app_logs",
    "get_auth_logs",
    "get_block_devices",
    "get_connections",
    "get_container_images",
    "get_containers",
    "get_cpu_info",
    "get_cron_jobs",
    "get_dependencies",
    "get_disk_info",
    "get_dns_config",
    "get_env_vars",
    "get_event_log",
    "get_firewall_rules",
    "get_journal_logs",
    "get_kernel_logs",
    "get_kernel_modules",
    "get_listening_ports",
    "get_memory_info",
    "get_mounts",
    "get_network_config",
    "get_network_info",
    "get_open_files",
    "get_packages",
    "get_pci_devices",
    "get_processes",
    "get_ssh_config",
    "get_sudo_config",
    "get_sysctl",
    "get_syslog",
    "get_systemd_timers",
    "get_systemd_units",
    "get_temperature",
    "get_uptime",
    "get_user_accounts",
];

/// Words of findings that say that a text could not be read, as against what cannot hold here.
const UNREADABLE: [&str; 4] = ["not YAML", "unknown key", "expected", "given twice"];

/// The time at which the cases are judged, in seconds.
const NOW: i64 = 1_800_000_000;

/// A directory that stands for /etc/doorward and /var/log/doorward.
pub(super) struct World(tempfile::TempDir);

impl World {
    pub(super) fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for (name, text) in FILES.iter() {
            let path = world.0.path().join(name);
            let open = name.starts_with("exposed") || !(name.ends_with(".key") || name.ends_with(".secret"));
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(if open { 0o644 } else { 0o600 })).unwrap();
        }
        world
    }

    pub(super) fn text(&self, text: &str) -> String {
        let directory = self.0.path().display().to_string();
        text.replace("/etc/doorward", &directory).replace("/var/log/doorward", &directory)
    }
}

/// Made once: what a good configuration names, and what somebody could give instead.
static FILES: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let days = |days: u32| Duration::from_secs(86_400) * days;
    let clock = Clock::manual(Timestamp::from_seconds(NOW).minus(days(100)));
    let authority = |name: &str| {
        let profile = Profile { common_name: "Clients".to_owned(), lifetime: days(1000) };
        Authority::create(&directory.path().join(name), &profile, &clock).unwrap()
    };
    let (ours, others) = (authority("ours"), authority("others"));
    let profile = Profile { common_name: "Elsewhere".to_owned(), lifetime: days(90) };
    let ended = Authority::create(&directory.path().join("ended"), &profile, &clock).unwrap();
    let mut files = BTreeMap::new();
    let mut add = |name: &str, text: String| files.insert(name.to_owned(), text);
    for (name, life) in [("server", 500), ("old", 99), ("soon", 107)] {
        let issued = ours.issue(&Request::server(&["localhost"], days(life)), &clock).unwrap();
        add(&format!("{name}.crt"), issued.certificate_pem.clone());
        add(&format!("{name}.key"), issued.key_pem.expose().clone());
    }
    let client = ours.issue(&Request::client("bot", days(500)), &clock).unwrap();
    add("bot.crt", client.certificate_pem.clone());
    add("bot.key", client.key_pem.expose().clone());
    add("exposed.key", client.key_pem.expose().clone());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    add("client-ca.crt", read(&ours.certificate_path()));
    add("jwks-ca.pem", read(&ours.certificate_path()));
    add("ended-ca.crt", read(&ended.certificate_path()));
    add("client.crl", ours.crl(days(500), &clock).unwrap().pem);
    add("old.crl", ours.crl(days(50), &clock).unwrap().pem);
    add("forged.crl", others.crl(days(500), &clock).unwrap().pem);
    add("foreign.crl", ended.crl(days(500), &clock).unwrap().pem);
    add("jwt-public.pem", SigningKey::generate(KeyKind::P256).unwrap().public_pem().unwrap());
    add("hmac.secret", "forty eight bytes of nothing, that nobody can use".to_owned());
    add("exposed.secret", "forty eight bytes of nothing, that nobody can use".to_owned());
    files
});

pub(super) fn source() -> Source {
    Source::File("case.yaml".into())
}

pub(super) fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(path: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(data(path))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Everything that is said about a text, findings and notes.
pub(super) fn report(text: &str, environment: &Environment) -> (Option<Config>, Report) {
    match read(text, source(), environment, TOOLS, Timestamp::from_seconds(NOW)) {
        Ok(loaded) => (Some(loaded.config.clone()), loaded.notes().clone()),
        Err(Refused::Found(report)) => (None, report),
        Err(Refused::Unreadable(failure)) => panic!("{failure}: {:?}", failure.cause()),
    }
}

struct Expected {
    place: String,
    severity: Severity,
    key: String,
    words: String,
}

impl Expected {
    fn is_met_by(&self, finding: &Finding) -> bool {
        let place = match &finding.place().source {
            Source::Environment(name) => name.to_string(),
            Source::File(_) | Source::Defaults => finding.place().line.to_string(),
        };
        let key = if finding.key().is_empty() { "(root)" } else { finding.key() };
        let says = finding.to_string().contains(&self.words);
        let note = finding.severity() == Severity::Note;
        place == self.place && note == (self.severity == Severity::Note) && key == self.key && says
    }
}

fn expected(text: &str) -> (Environment, Vec<Expected>) {
    let (mut variables, mut expected) = (Vec::new(), Vec::new());
    for (number, line) in (1_usize..).zip(text.lines()) {
        let mut place = number.to_string();
        if let Some(variable) = line.strip_prefix("#@ ") {
            let variable = variable.split(" #!").next().unwrap();
            let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
            variables.push((name.to_owned(), value.to_owned()));
            place = name.to_owned();
        }
        for (mark, severity) in [(" #! ", Severity::Finding), (" #~ ", Severity::Note)] {
            for said in line.split(mark).skip(1) {
                let said = said.split(" #~ ").next().unwrap().split(" #! ").next().unwrap();
                let (key, words) = said.split_once(" | ").unwrap_or_else(|| panic!("{said}"));
                let (key, words) = (key.to_owned(), words.trim().to_owned());
                expected.push(Expected { place: place.clone(), severity, key, words });
            }
        }
    }
    (variables.into_iter().collect(), expected)
}

fn judge(name: &str, text: &str) -> Report {
    let world = World::new();
    let (environment, expected) = expected(text);
    let (_, report) = report(&world.text(text), &environment);
    for finding in report.findings() {
        let count = expected.iter().filter(|expected| expected.is_met_by(finding)).count();
        assert_eq!(count, 1, "{name}: not expected once:\n{finding}\nall:\n{report}");
    }
    for expected in &expected {
        let met = report.findings().iter().any(|finding| expected.is_met_by(finding));
        assert!(met, "{name}:{}: {} | {}\nfound:\n{report}", expected.place, expected.key, expected.words);
    }
    report
}

#[test]
fn each_bad_configuration_has_its_findings_and_no_others() {
    let files = files("tests/cases/config/findings");
    let mut count = 0;
    for (name, text) in &files {
        let report = judge(name, text);
        assert!(!report.to_string().contains("hunter2"), "{name} repeats a secret:\n{report}");
        count += report.findings().len();
    }
    assert!(files.len() >= 25 && count >= 100, "{} files, {count} findings", files.len());
}

#[test]
fn what_operators_have_already_is_read_and_only_what_cannot_hold_is_found() {
    for (name, text) in files("tests/cases/config/blocks") {
        let report = judge(&name, &text);
        for finding in report.findings() {
            assert!(!UNREADABLE.iter().any(|words| finding.problem().contains(words)), "{name}: {finding}");
        }
    }
}

#[test]
fn what_operators_have_already_is_read_in_one_file_too() {
    let text = std::fs::read_to_string(data("tests/cases/config/merged.yaml")).unwrap();
    let sources = ["auth.jwt.jwks_uri", "auth.jwt.public_key", "auth.jwt.secret"];
    let always = ["audit.path"].into_iter().chain(sources);
    let https = ["http.allowed_hosts", "tls.cert", "tls.client_ca", "tls.key"];
    for (transport, more) in
        [("stdio", &[][..]), ("unix", &["socket.group", "socket.owner"]), ("pipe", &["transport"]), ("https", &https)]
    {
        let (_, report) = report(&text.replace("TRANSPORT", transport), &Environment::default());
        let findings = report.findings().iter().filter(|finding| finding.severity() == Severity::Finding);
        let mut keys: Vec<&str> = findings.map(Finding::key).collect();
        let mut wanted: Vec<&str> = always.clone().chain(more.iter().copied()).collect();
        keys.sort_unstable();
        keys.dedup();
        wanted.sort_unstable();
        assert_eq!(keys, wanted, "{transport}:\n{report}");
        assert!(report.to_string().contains("MCP_JWT_SECRET is not set"));
        assert!(!UNREADABLE.iter().any(|words| report.to_string().contains(words)), "{report}");
    }
}

#[test]
fn the_environment_stands_above_the_file() {
    let hmac = "an-hmac-key-of-thirty-two-bytes: #1";
    let pairs = [
        ("DOORWARD__AUTH__JWT__ISSUER", "https://${HOST}/a: b #c"),
        ("DOORWARD__auth__jwt__max_ttl", "0x3c"),
        ("DOORWARD__AUTH__JWT__SECRET", hmac),
        ("DOORWARD__AUTH__JWT__AUDIENCE", "'12345'"),
        ("DOORWARD__AUTH__ROLE_CLAIM", "null"),
        ("DOORWARD__AUTH__SCOPES_SUPPORTED", "[core, logs]"),
        ("DOORWARD__SCOPES__LOGS", "[get_uptime]"),
        ("DOORWARD__SCOPES__Core", "- get_uptime"),
        ("DOORWARD__RESOURCES__RATE_LIMIT__BURST", "3"),
        ("HOST", "auth.example.com"),
        ("DOORWARD_CONFIG", "not an override"),
    ];
    let environment: Environment = pairs.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let text =
        "transport: stdio\nauth: {role_claim: roles, jwt: {issuer: x, max_ttl: 300}}\nscopes: {CORE: [get_cpu_info]}\n";
    let Ok(loaded) = read(text, source(), &environment, TOOLS, Timestamp::from_seconds(NOW)) else {
        panic!("findings")
    };
    let (auth, jwt) = (&loaded.config.auth, &loaded.config.auth.jwt);
    assert_eq!(jwt.issuer.as_deref(), Some("https://auth.example.com/a: b #c"));
    assert_eq!((jwt.max_ttl, jwt.audience.as_deref(), &auth.role_claim), (60, Some("12345"), &None));
    assert_eq!(jwt.secret.as_deref(), Some("${DOORWARD__AUTH__JWT__SECRET}"));
    assert_eq!(loaded.jwt_secret().map(|secret| secret.expose().as_str()), Some(hmac));
    assert!(!format!("{loaded:?}").contains(hmac));
    assert_eq!(auth.scopes_supported, ["core", "logs"]);
    let scopes: Vec<(&str, &str)> = loaded.config.scopes.0.iter().map(|(s, t)| (s.as_str(), t[0].as_str())).collect();
    assert_eq!(scopes, [("CORE", "get_uptime"), ("logs", "get_uptime")]);
    assert_eq!(loaded.config.resources.rate_limit.map(|rate| rate.burst), Some(3));
}

#[test]
fn a_file_mode_is_what_was_written() {
    for (written, mode) in [("0600", "0600"), ("600", "600"), ("\"0640\"", "0640")] {
        let (config, report) = report(&format!("socket: {{mode: {written}}}"), &Environment::default());
        assert_eq!(config.map(|config| config.socket.mode.0).as_deref(), Some(mode), "{written}:\n{report}");
    }
}

#[test]
fn without_a_file_the_defaults_hold_and_the_environment_above_them() {
    let loaded = super::defaults(&Environment::default(), TOOLS, Timestamp::from_seconds(NOW)).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert!(loaded.files().is_empty() && loaded.notes().findings().is_empty());
    let environment = [("DOORWARD__TRANSPORT".to_owned(), "http".to_owned())].into_iter().collect();
    let refused = super::defaults(&environment, TOOLS, Timestamp::from_seconds(NOW)).unwrap_err().to_string();
    assert!(refused.starts_with("environment DOORWARD__TRANSPORT: transport: there is no plaintext"), "{refused}");
}

#[test]
fn a_variable_that_is_not_text_is_a_finding_only_where_it_is_used() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;
    let bad = || OsString::from_vec(vec![0xff]);
    let environment: Environment =
        [("OTHER".into(), bad()), ("DOORWARD__LOG__LEVEL".into(), bad())].into_iter().collect();
    let (_, report) = report("auth: {jwt: {issuer: '${OTHER}'}}", &environment);
    let report = report.to_string();
    assert!(report.contains("environment DOORWARD__LOG__LEVEL: log.level: the value is not UTF-8"), "{report}");
    assert!(report.contains("OTHER is not set"), "{report}");
}
