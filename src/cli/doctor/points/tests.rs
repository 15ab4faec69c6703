//! Each point where it passes, where it is open, and where it does not apply.

use std::collections::BTreeMap;

use super::super::collector::Collector;
use super::super::machine::{Machine, Serving};
use super::super::monitor::Monitor;
use super::*;
use crate::sandbox;

/// A door in production with nothing open.
const GOOD: &str = "
transport: https
tls: {bind: '10.0.0.7:8443', allowed_subjects: [CN=agent]}
auth: {jwt: {issuer: 'https://issuer.example', audience: door, jwks_uri: 'https://issuer.example/keys'}}
audit: {path: /var/log/doorward/audit.jsonl, syslog: {enabled: true, target: 'tls://siem.example:6514'}}
resources: {rate_limit: {requests_per_minute: 60}}
redaction: {fields: ['*.pin']}
";
const LOCAL_DOOR: &str = "transport: stdio\nscopes: {core: [get_uptime]}\n";
/// The same on a unix socket that asks for tokens.
const SOCKET: &str = "
transport: unix
auth: {enabled: true, jwt: {issuer: 'https://issuer.example', audience: door, public_key: /etc/doorward/token.pub}}
";

fn config(text: &str) -> Config {
    serde_saphyr::from_str(text).unwrap()
}

/// One change to the good configuration.
fn but(from: &str, to: &str) -> Config {
    assert!(GOOD.contains(from), "{from}");
    config(&GOOD.replacen(from, to, 1))
}

fn machine() -> Machine {
    Machine {
        serving: Some(Serving::known("files, system calls, privileges, dumps; memory: none, it is limited")),
        lookout: true,
        uid: 1000,
        monitor: Monitor { by: Some(("/etc/aide.conf".into(), "/etc/doorward".to_owned())), shut: Vec::new() },
        collector: Collector::default(),
        config_days: Some(3),
        key_days: None,
        walls: sandbox::given(),
    }
}

/// The good machine with a change.
fn with(change: impl FnOnce(&mut Machine)) -> Machine {
    let mut machine = machine();
    change(&mut machine);
    machine
}

/// With a daemon that is changed.
fn serving(change: impl FnOnce(&mut Serving)) -> Machine {
    with(|machine| change(machine.serving.as_mut().unwrap()))
}

/// Every case: the point, how it stands, where, and what is said or advised.
fn cases() -> Vec<(&'static str, Standing, Config, Machine, &'static str)> {
    use Standing::{NotApplicable, Open, Pass, Unproven};
    let good = || config(GOOD);
    let local = || config(LOCAL_DOOR);
    // Where no door runs that could have sent anything.
    let silent = || with(|machine| (machine.serving, machine.collector) = (None, Collector::waiting(&config(GOOD))));
    let looking = || {
        config(
            "transport: stdio\nscopes: {core: [get_open_files]}\nqueries: {sensitive: {enabled: true, allow: [get_open_files]}}\n",
        )
    };
    let key = "jwks_uri: 'https://issuer.example/keys'";
    let file = "public_key: /etc/doorward/token.pub";
    let teleport =
        "max_ttl: 600, replay: off, require_jti: false, require_cert_subject: true, jwks_uri: 'https://t.example/k'";
    vec![
        ("transport", Pass, good(), machine(), "https"),
        ("transport", Pass, config(SOCKET), machine(), "a unix socket"),
        ("transport", NotApplicable, local(), machine(), "over the network"),
        ("client-certificates", Pass, good(), machine(), "1 subject may connect"),
        ("client-certificates", Open, but("[CN=agent]", "[]"), machine(), "tls.allowed_subjects"),
        ("client-certificates", NotApplicable, local(), machine(), "over the network"),
        ("tokens", Pass, good(), machine(), "300 seconds"),
        ("tokens", Open, but(key, &format!("max_ttl: 600, {key}")), machine(), "auth.jwt.max_ttl to 300"),
        ("tokens", Open, but(key, teleport), machine(), "accept this point"),
        ("tokens", NotApplicable, local(), machine(), "by their uid"),
        ("sensitive", Pass, good(), machine(), "off"),
        (
            "sensitive",
            Pass,
            config(&format!(
                "{GOOD}queries: {{sensitive: {{enabled: true, allow: [get_env_vars, get_open_files], deny: [get_env_vars]}}}}"
            )),
            machine(),
            "open by name: get_open_files",
        ),
        (
            "sensitive",
            Open,
            config(&format!("{GOOD}queries: {{sensitive: {{enabled: true, allow: [get_env_vars]}}}}")),
            machine(),
            "queries.sensitive.allow",
        ),
        ("sensitive", NotApplicable, local(), machine(), "no scope"),
        ("audit", Pass, good(), machine(), "tls://siem.example:6514"),
        ("audit", Pass, but("tls://siem.example:6514", "unix:///dev/log"), machine(), "/dev/log"),
        ("audit", Open, but("enabled: true, target", "enabled: false, target"), machine(), "audit.syslog.target"),
        ("audit", Open, but("siem.example:6514", "127.0.0.1:6514"), machine(), "another machine"),
        ("audit", Unproven, good(), silent(), "start the door"),
        (
            "audit",
            Open,
            good(),
            with(|machine| machine.collector = Collector::waiting(&good())),
            "no record has reached tls://siem.example:6514",
        ),
        ("audit", Open, but("{path:", "{enabled: false, path:"), machine(), "audit.enabled"),
        ("limits", Pass, good(), machine(), "60 calls a minute"),
        ("limits", Open, but("{rate_limit: {requests_per_minute: 60}}", "{}"), machine(), "resources.rate_limit"),
        (
            "limits",
            Open,
            but("requests_per_minute: 60", "requests_per_minute: 601"),
            machine(),
            "minute is 601, over 600",
        ),
        ("limits", Open, but("requests_per_minute: 60", "requests_per_hour: 10001"), machine(), "hour is 10001"),
        ("limits", Open, but("requests_per_minute: 60", "burst: 101"), machine(), "burst is 101"),
        ("limits", Open, but("{rate_limit", "{max_concurrent_queries: 65, rate_limit"), machine(), "queries is 65"),
        ("limits", Open, config(&format!("{GOOD}limits: {{max_array_items: 10001}}")), machine(), "items is 10001"),
        ("limits", Open, config(&format!("{GOOD}limits: {{max_output_bytes: 16777217}}")), machine(), "over 16777216"),
        ("redaction", Pass, good(), machine(), "1 of your own"),
        ("redaction", Open, but("{fields: ['*.pin']}", "{}"), machine(), "redaction.patterns"),
        ("redaction", Open, but("{fields", "{without: [jwt], fields"), machine(), "without built-in patterns: jwt"),
        (
            "redaction",
            Pass,
            but("{fields", "{without: [jwt], patterns: [{name: jwt, pattern: 'eyJ[a-z]+'}], fields"),
            machine(),
            "2 of your own",
        ),
        ("redaction", Open, but("{fields: ['*.pin']}", "{enabled: false}"), machine(), "redaction.enabled"),
        ("address", Pass, good(), machine(), "10.0.0.7:8443"),
        ("address", Open, but("10.0.0.7", "0.0.0.0"), machine(), "tls.bind"),
        ("address", NotApplicable, local(), machine(), "over the network"),
        ("published-keys", Pass, good(), machine(), "https://issuer.example/keys"),
        ("published-keys", Open, but(key, file), machine(), "auth.jwt.jwks_uri"),
        ("published-keys", Open, config(SOCKET), machine(), "auth.jwt.jwks_uri"),
        ("published-keys", NotApplicable, local(), machine(), "no token"),
        ("replay", Pass, good(), machine(), "one call"),
        ("replay", Pass, but(key, &format!("replay: sender_bound, {key}")), machine(), "first sender"),
        ("replay", Open, but(key, &format!("replay: off, require_jti: false, {key}")), machine(), "single_use"),
        ("replay", Open, but(key, teleport), machine(), "Teleport gives none"),
        ("replay", NotApplicable, local(), machine(), "no token"),
        ("collector", Pass, good(), machine(), "tls://siem.example:6514"),
        ("collector", Open, but("tls://", "udp://"), machine(), "can be read on the way"),
        ("collector", Open, but("siem.example:6514", "127.0.0.1:6514"), machine(), "this machine"),
        ("collector", Unproven, good(), silent(), "start the door"),
        ("collector", Open, but("enabled: true, target", "enabled: false, target"), machine(), "there is none"),
        ("collector", NotApplicable, local(), machine(), "nothing to collect"),
        ("file-integrity", Pass, good(), machine(), "/etc/aide.conf"),
        ("file-integrity", Open, good(), with(|machine| machine.monitor = Monitor::default()), "AIDE"),
        (
            "file-integrity",
            Unproven,
            good(),
            with(|machine| {
                machine.monitor = Monitor { by: None, shut: vec!["/etc/audit/audit.rules".into()] };
            }),
            "ask again as root",
        ),
        (
            "file-integrity",
            NotApplicable,
            good(),
            with(|machine| (machine.monitor, machine.config_days) = (Monitor::default(), None)),
            "no configuration file",
        ),
        ("service-account", Pass, good(), machine(), "without capabilities"),
        ("service-account", Open, good(), serving(|serving| serving.uid = 0), "systemd/doorward.service"),
        ("service-account", Open, good(), serving(|serving| serving.privileged = true), "with capabilities"),
        (
            "service-account",
            Open,
            good(),
            with(|machine| (machine.serving, machine.uid) = (None, 0)),
            "would run as root",
        ),
        ("service-account", NotApplicable, local(), with(|machine| machine.serving = None), "whoever starts it"),
        ("lookout", NotApplicable, local(), machine(), "looks into other processes"),
        ("lookout", NotApplicable, looking(), with(|machine| machine.serving = None), "runs"),
        ("lookout", Pass, looking(), machine(), "it is there"),
        ("lookout", Open, looking(), with(|machine| machine.lookout = false), "restart the door"),
        ("segmentation", Pass, good(), machine(), "no public address"),
        ("segmentation", Open, but("10.0.0.7", "198.51.100.7"), machine(), "management network"),
        ("segmentation", NotApplicable, but("10.0.0.7", "127.0.0.1"), machine(), "this machine alone"),
        ("segmentation", NotApplicable, local(), machine(), "over the network"),
        ("sandbox", Pass, good(), machine(), "stands within files, "),
        // The word of the configuration counts for nothing where a daemon runs.
        ("sandbox", Pass, config(&format!("{GOOD}sandbox: {{mode: off}}")), machine(), "stands within files, "),
        (
            "sandbox",
            Open,
            config(&format!("{GOOD}sandbox: {{mode: required}}")),
            serving(|serving| serving.filtered = false),
            "no filter of system calls",
        ),
        ("sandbox", Open, good(), serving(|serving| serving.confined = false), "may gain privileges"),
        ("sandbox", Open, good(), serving(|serving| serving.told = None), "cannot be seen from here"),
        (
            "sandbox",
            Open,
            good(),
            serving(|serving| {
                serving.told = Some("system calls, privileges, dumps; files: none, no landlock".to_owned())
            }),
            "lacks files",
        ),
        (
            "sandbox",
            Open,
            config(&format!("{GOOD}sandbox: {{mode: off}}")),
            with(|machine| machine.serving = None),
            "sandbox.mode",
        ),
        (
            "sandbox",
            Pass,
            good(),
            with(|machine| (machine.serving, machine.walls) = (None, vec![("files", sandbox::Standing::Whole)])),
            "this kernel gives all of it",
        ),
        (
            "sandbox",
            Open,
            good(),
            with(|machine| {
                machine.serving = None;
                machine.walls = vec![("files", sandbox::Standing::Missing("this kernel has no landlock".to_owned()))];
            }),
            "files: none, this kernel has no landlock",
        ),
        ("anomalies", Pass, good(), machine(), "refusals in a window"),
        ("anomalies", Open, but("{path:", "{alerts: {auth_failures: 0}, path:"), machine(), "audit.alerts"),
        ("anomalies", NotApplicable, local(), machine(), "nothing is recorded"),
        ("key-age", Pass, but(key, file), with(|machine| machine.key_days = Some(31)), "31 days old"),
        ("key-age", Open, but(key, file), with(|machine| machine.key_days = Some(32)), "token keygen"),
        ("key-age", NotApplicable, good(), machine(), "no file"),
        ("key-age", NotApplicable, local(), machine(), "no token"),
        ("query-lists", Pass, good(), machine(), "3 days ago"),
        ("query-lists", Open, good(), with(|machine| machine.config_days = Some(93)), "scopes and queries"),
        ("query-lists", NotApplicable, good(), with(|machine| machine.config_days = None), "no file"),
        ("redaction-lists", Pass, good(), machine(), "3 days ago"),
        ("redaction-lists", Open, good(), with(|machine| machine.config_days = Some(93)), "look at redaction"),
        ("redaction-lists", NotApplicable, good(), with(|machine| machine.config_days = None), "no file"),
    ]
}

/// As they stand; where a case says nothing else, the collector has all that was sent.
fn judged(config: &Config, mut machine: Machine) -> Vec<Point> {
    if machine.collector.target.is_none() {
        machine.collector = Collector::taking(config);
    }
    all(config, &machine)
}

/// What nothing can open, and what holds for every door.
const NEVER_OPEN: [&str; 1] = ["transport"];
const FOR_EVERY_DOOR: [&str; 4] = ["audit", "limits", "redaction", "sandbox"];

#[test]
fn each_point_passes_is_open_or_does_not_apply_as_the_case_is() {
    let mut seen: BTreeMap<&str, Vec<Standing>> = BTreeMap::new();
    for (name, standing, config, machine, said) in cases() {
        let points = judged(&config, machine);
        let point = points.iter().find(|point| point.name == name).unwrap_or_else(|| panic!("no point {name}"));
        assert_eq!(point.standing, standing, "{point:?}");
        assert!(point.says.contains(said) || point.advice.contains(said), "{said:?} in {point:?}");
        assert_eq!(point.advice.is_empty(), !matches!(standing, Standing::Open | Standing::Unproven), "{point:?}");
        seen.entry(name).or_default().push(standing);
    }
    for point in judged(&config(GOOD), machine()) {
        let standings = seen.get(point.name).cloned().unwrap_or_default();
        let has = |standing| standings.contains(&standing);
        assert!(has(Standing::Pass), "{} has no case in which it passes", point.name);
        assert!(has(Standing::Open) != NEVER_OPEN.contains(&point.name), "{}: open", point.name);
        assert!(has(Standing::NotApplicable) != FOR_EVERY_DOOR.contains(&point.name), "{}: not applicable", point.name);
    }
}

#[test]
fn a_good_door_on_a_good_machine_has_nothing_open() {
    let open: Vec<Point> = judged(&config(GOOD), machine())
        .into_iter()
        .filter(|point| matches!(point.standing, Standing::Open | Standing::Unproven))
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

/// What of it is open there is so by Teleport's nature, or left to whoever knows the network; none of it is to be changed
/// in a way that would shut Teleport out.
#[test]
fn what_is_advised_for_the_door_behind_teleport_keeps_it_working() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/teleport.yaml")).unwrap();
    let points = judged(&config(&text), machine());
    let open: BTreeMap<&str, &str> = points
        .iter()
        .filter(|point| point.standing == Standing::Open)
        .map(|point| (point.name, point.advice))
        .collect();
    for name in ["tokens", "replay", "address"] {
        assert!(open[name].contains("accept this point"), "{name}: {open:?}");
    }
    for advice in open.values() {
        assert!(!advice.contains("require_jti to true"), "{advice}");
    }
    assert!(!open.contains_key("client-certificates") && !open.contains_key("published-keys"), "{open:?}");
}

/// The page says the same numbers as the code.
#[test]
fn the_bounds_are_those_of_the_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hardening.md")).unwrap();
    for (key, most) in [
        ("resources.rate_limit.requests_per_minute", bounds::PER_MINUTE),
        ("resources.rate_limit.requests_per_hour", bounds::PER_HOUR),
        ("resources.rate_limit.burst", bounds::BURST),
        ("resources.max_concurrent_queries", bounds::AT_ONCE),
        ("limits.max_output_bytes", bounds::OUTPUT_BYTES),
        ("limits.max_array_items", bounds::ITEMS),
    ] {
        assert!(page.contains(&format!("| `{key}` | {most} |")), "{key}: {most} is not on the page");
    }
}
