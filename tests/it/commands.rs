//! Every verb as a person runs it: what it prints, what it leaves, and the status it ends with.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::world::premises::{Premises, free_ports};
use crate::world::program::{DOORWARD, Ended, bash, command, doorward, finish, there_is};

/// Verb, and what its help must say of it.
const VERBS: [(&str, &str); 10] = [
    ("serve", "SIGHUP"),
    ("check", "print all findings"),
    ("doctor", "checklist for production"),
    ("schema", "JSON Schema"),
    ("pki", "certificates"),
    ("token", "tokens"),
    ("audit", "audit log"),
    ("connect", "speaks stdio"),
    ("demo", "wrong ways in refused"),
    ("completions", "complete these command lines"),
];

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn every_verb_says_what_it_does() {
    let home = tempfile::tempdir().unwrap();
    let all = doorward(home.path(), &["--help"]).well();
    assert!(all.contains("0 done, 1 refused or findings, 2 wrong command line, 3 could not be done"), "{all}");
    for (verb, says) in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")) && all.contains(says), "{verb} in {all}");
        let help = doorward(home.path(), &[verb, "--help"]).well();
        assert!(help.contains(says) && help.contains(&format!("doorward {verb}")), "{help}");
    }
    for sub in ["init", "issue server", "issue client", "revoke", "crl", "show"].map(|sub| format!("pki {sub}")) {
        assert!(doorward(home.path(), &words(&format!("{sub} --help"))).well().contains(&sub));
    }
    for sub in ["keygen", "mint", "show"].map(|sub| format!("token {sub}")) {
        assert!(doorward(home.path(), &words(&format!("{sub} --help"))).well().contains(&sub));
    }
    for sub in ["verify", "show", "tail", "query", "stats", "key"].map(|sub| format!("audit {sub}")) {
        assert!(doorward(home.path(), &words(&format!("{sub} --help"))).well().contains(&sub));
    }
    let version = format!("doorward {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(doorward(home.path(), &["--version"]).well(), version);
}

#[test]
fn the_status_tells_done_refused_misused_and_failed_apart() {
    let premises = Premises::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(premises.path("garbage.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    fs::set_permissions(premises.path("garbage.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(premises.path("wrong.yaml"), "transport: http\n").unwrap();
    let mint = "token mint --issuer i --audience a --subject s --key";
    let connect = "connect https://localhost --token-file t --ca ca/ca.crt --cert";
    let port = busy.local_addr().unwrap().port();
    let table = [
        (0, "schema".to_owned()),
        (1, "doctor --config doorward.yaml".to_owned()),
        (1, "doctor --config wrong.yaml".to_owned()),
        (2, "doctor --config doorward.yaml --accept nothing".to_owned()),
        (3, "doctor --config absent.yaml".to_owned()),
        (0, "check --config doorward.yaml".to_owned()),
        (1, "check --config wrong.yaml".to_owned()),
        (1, "serve --config wrong.yaml".to_owned()),
        (3, "check --config absent.yaml".to_owned()),
        (3, "serve --config absent.yaml".to_owned()),
        (2, String::new()),
        (2, "open".to_owned()),
        (2, "serve --bogus".to_owned()),
        (2, "check".to_owned()),
        (2, "pki".to_owned()),
        (3, "pki init --dir ca".to_owned()),
        (3, "pki issue client --dir ca --cn x --out client".to_owned()),
        (1, "pki issue client --dir ca --spiffe spiffe://A/b --cn x --out x".to_owned()),
        (3, "pki issue client --dir absent --cn x --out x".to_owned()),
        (1, "pki revoke --dir ca --serial 0123".to_owned()),
        (0, "pki show client.crt".to_owned()),
        (1, "pki show garbage.pem".to_owned()),
        (3, "pki show absent.pem".to_owned()),
        (3, "token keygen --out token-key.pem".to_owned()),
        (0, format!("{mint} token-key.pem")),
        (1, format!("{mint} garbage.pem")),
        (3, format!("{mint} absent.pem")),
        (2, format!("{mint} token-key.pem --scope \"")),
        (1, "token show garbage".to_owned()),
        (2, format!("{connect} client.crt")),
        (3, format!("{connect} client.crt --key absent.key")),
        (1, format!("{connect} client.crt --key garbage.pem")),
        (1, format!("{connect} stranger.crt --key client.key")),
        (2, "connect http://localhost --token-file t --cert client.crt --key client.key".to_owned()),
        (2, "demo --once --port 0".to_owned()),
        (2, "demo --once --port 65535".to_owned()),
        (3, format!("demo --once --dir busy --port {port}")),
        (0, "completions zsh".to_owned()),
        (2, "completions cobol".to_owned()),
    ];
    let mut wrong = Vec::new();
    for (status, line) in table {
        let ended = doorward(premises.root(), &words(&line));
        if ended.status != status || (status != 0 && ended.stderr.is_empty() && ended.stdout.is_empty()) {
            wrong.push(format!("doorward {line}: {status} expected, {ended:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!premises.path("busy").exists(), "a demo that cannot listen makes nothing");
}

/// Runs the demo on ports that are free, or were when they were chosen.
fn demo(directory: &Path) -> Ended {
    loop {
        let ended = doorward(directory, &["demo", "--once", "--dir", "demo", "--port", &free_ports().to_string()]);
        if !ended.stderr.contains("cannot listen") {
            return ended;
        }
    }
}

#[test]
fn the_demo_shows_the_way_in_and_the_wrong_ways_and_uses_its_keys_again() {
    let home = tempfile::tempdir().unwrap();
    let said = demo(home.path()).well();
    for line in [
        "made   ca/",
        "certificate CN=demo-agent → token alice via demo-agent [core] → permitted by scope:core on Host::\"localhost\" → success, ",
        "certificate CN=demo-agent → refused: token_replayed",
        "certificate CN=demo-agent → refused: token_expired",
        "certificate CN=demo-agent → refused: token_missing",
        "token alice via demo-agent [clock] → refused: insufficient_scope",
        "certificate CN=stranger → refused: subject_not_allowed",
        "no certificate → refused: certificate_missing",
        "the handshake was refused (certificate_missing)",
        "\"logical_processors\":",
        "\"event\":\"query\"",
        "To paste while the door is open",
    ] {
        assert!(said.contains(line), "it does not say {line}:\n{said}");
    }
    assert!(!said.contains("BAD"), "{said}");
    let keys = ["ca/ca.key", "server.key", "client.key", "stranger.key", "token-key.pem", "ca/ca.crt", "client.crt"];
    let read = || keys.map(|key| fs::read(home.path().join("demo").join(key)).unwrap());
    for key in &keys[..5] {
        let mode = fs::metadata(home.path().join("demo").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let before = read();
    let again = demo(home.path()).well();
    assert_eq!(read(), before);
    assert!(again.contains("found  ca/") && !again.contains("made "), "{again}");

    // The agent turns up with a certificate that is not on the list.
    for ending in ["crt", "key"] {
        let path = |name: &str| home.path().join(format!("demo/{name}.{ending}"));
        fs::copy(path("stranger"), path("client")).unwrap();
    }
    let broken = demo(home.path());
    assert_eq!(broken.status, 1, "{broken:?}");
    assert!(broken.stdout.contains("BAD call get_cpu_info"), "{broken:?}");
}

#[test]
fn check_tells_every_finding_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    // A machine that has the files the examples name.
    let etc = home.path().join("etc");
    fs::create_dir(&etc).unwrap();
    doorward(&etc, &["pki", "init", "--dir", "ca"]).well();
    doorward(&etc, &["pki", "issue", "server", "--dir", "ca", "--name", "localhost", "--out", "server"]).well();
    doorward(&etc, &["pki", "crl", "--dir", "ca"]).well();
    for (name, from) in [("client-ca.crt", "ca/ca.crt"), ("jwks-ca.pem", "ca/ca.crt"), ("client.crl", "ca/ca.crl")] {
        fs::copy(etc.join(from), etc.join(name)).unwrap();
    }
    for name in ["doorward.yaml", "minimal.yaml", "production.yaml"] {
        let text = fs::read_to_string(examples.join(name)).unwrap();
        let text = text.replace("/etc/doorward", &etc.display().to_string());
        let here = text.replace("/var/log/doorward", &home.path().display().to_string());
        fs::write(home.path().join(name), here).unwrap();
        let mut check = command(DOORWARD, home.path());
        check.args(["check", "--config", name]);
        check.env("DOORWARD__AUDIT__PATH", home.path().join("audit.jsonl"));
        let ended = finish(check, "");
        assert_eq!(ended.status, 0, "{ended:?}");
        // The one that is for stdio has the sections of https too, and that is said; so is a power that this machine's kernel
        // asks for.
        let power = |line: &&str| line.contains("sandbox.capabilities: get_kernel_logs says less without CAP_SYSLOG");
        let notes: Vec<&str> = ended.stdout.lines().filter(|line| !power(line)).collect();
        let local = name == "doorward.yaml" && notes.len() == 1 && notes[0].contains("over stdio nothing reads tls");
        assert!(local || notes.is_empty(), "{ended:?}");
        assert_eq!(ended.stderr, format!("{name}: no findings\n"));
    }
    fs::write(home.path().join("wrong.yaml"), "transprot: https\nauth:\n  jwt:\n    max_ttl: never\n").unwrap();
    let ended = doorward(home.path(), &["check", "--config", "wrong.yaml"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (1, "wrong.yaml: 3 findings\n"), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("wrong.yaml:1:1: transprot: ") && lines[0].contains("did you mean transport?"));
    assert!(lines[1].starts_with("wrong.yaml:3:3: auth.jwt: nothing reads auth: no transport is written"), "{lines:?}");
    assert!(lines[2].starts_with("wrong.yaml:4:14: auth.jwt.max_ttl: "), "{lines:?}");
    let ended = doorward(home.path(), &["check", "--config", "wrong.yaml", "--json"]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let finding = &report["findings"][2];
    assert_eq!((ended.status, &finding["line"], &finding["column"]), (1, &4.into(), &14.into()));
    assert_eq!((&finding["file"], &finding["key"]), (&"wrong.yaml".into(), &"auth.jwt.max_ttl".into()));
}

#[test]
fn the_schema_accepts_the_documented_configuration_and_no_other_key() {
    let home = tempfile::tempdir().unwrap();
    let schema: Value = serde_json::from_str(&doorward(home.path(), &["schema"]).well()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = include_str!("../../config/doorward.yaml");
    let mut config: Value = serde_saphyr::from_str(text).unwrap();
    let problems: Vec<String> = validator.iter_errors(&config).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    config["tls"]["require_client_certs"] = true.into();
    assert!(!validator.is_valid(&config));
}

#[test]
fn completions_know_every_verb() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = doorward(home.path(), &["completions", shell]).well();
        for (verb, _) in VERBS {
            assert!(script.contains(verb), "{shell} does not know {verb}");
        }
        fs::write(home.path().join(shell), script).unwrap();
        if there_is(shell, "whether it reads its completions") {
            let mut syntax = command(shell, home.path());
            syntax.args(["-n", shell]);
            finish(syntax, "").well();
        }
    }
    let complete =
        "source ./bash; COMP_WORDS=(doorward de); COMP_CWORD=1; _doorward doorward de doorward; echo ${COMPREPLY[@]}";
    assert_eq!(bash(home.path(), &complete.replace("source", "set +u; source"), &[], "").well().trim(), "demo");
}
