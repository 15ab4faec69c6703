//! The files that trust comes from: what is wrong in them is found before they are used, and what is in force does not go
//! back.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use doorward::clock::{Clock, Timestamp};
use doorward::config::Environment;
use doorward::daemon::{Daemon, Listeners, Source};
use doorward::pki::store::{self, Existing};
use doorward::pki::{Authority, KeyKind, Profile, Request, SigningKey};
use doorward::telemetry;
use serde_json::json;

use crate::world::program::doorward as run;
use crate::world::{Choice, Estate, World, wire};

const DAY: Duration = Duration::from_secs(86_400);

fn days(count: u32) -> Duration {
    DAY * count
}

/// A clock that stands `days` from now.
fn in_days(days: i64) -> Clock {
    Clock::manual(Timestamp::from_seconds(Clock::system().now().seconds() + days * 86_400))
}

fn authority(at: &Path, name: &str, days: u32, clock: &Clock) -> Authority {
    let profile = Profile { common_name: name.to_owned(), lifetime: DAY * days };
    Authority::create(at, &profile, clock).unwrap()
}

/// Everything that `doorward check` and `doorward serve` say of the configuration.
fn said(estate: &Estate) -> (String, String) {
    let config = estate.path("doorward.yaml").display().to_string();
    let check = run(&estate.path(""), &["check", "--config", &config]);
    let serve = run(&estate.path(""), &["serve", "--config", &config]);
    assert_eq!(serve.status, 1, "{serve:?}");
    assert_eq!(check.status, 1, "{check:?}");
    (check.stdout, serve.stderr)
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_found_by_the_check_and_keeps_the_daemon_from_starting() {
    let (estate, listener) = Estate::make(&Choice::default());
    drop(listener);
    let path = |name: &str| estate.path(name);
    let now = Clock::system();
    let ours = estate.authority();
    let issue = |name: &str, request: Request, clock: &Clock| {
        ours.issue(&request, clock).unwrap().write(&path(name), Existing::Keep).unwrap();
    };
    issue("old", Request::server(&["localhost"], DAY), &in_days(-5));
    issue("early", Request::server(&["localhost"], DAY), &in_days(5));
    issue("bot", Request::client("bot", DAY), &now);
    authority(&path("over"), "Over", 1, &in_days(-5)).crl(days(90), &now).unwrap();
    authority(&path("other"), "Other", 300, &now).crl(DAY, &now).unwrap();
    authority(&path("namesake"), "Test CA", 300, &now).crl(DAY, &now).unwrap();
    let join = |to: &str, from: [&str; 2]| {
        fs::write(path(to), from.map(|name| fs::read_to_string(path(name)).unwrap()).concat()).unwrap();
    };
    join("both.crt", ["ca/ca.crt", "other/ca.crt"]);
    join("same.crt", ["ca/ca.crt", "namesake/ca.crt"]);
    join("same.crl", ["ca/ca.crl", "namesake/ca.crl"]);
    join("both.crl", ["ca/ca.crl", "other/ca.crl"]);
    fs::copy(path("ca/ca.crl"), path("kept.crl")).unwrap();
    ours.crl(days(1), &in_days(-5)).unwrap();
    fs::rename(path("ca/ca.crl"), path("late.crl")).unwrap();
    fs::rename(path("kept.crl"), path("ca/ca.crl")).unwrap();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    fs::write(path("token.pub.pem"), key.public_pem().unwrap()).unwrap();
    store::write_private(&path("token.pem"), key.private_pem().unwrap().expose().as_bytes(), Existing::Keep).unwrap();
    fs::write(path("jwks.json"), json!({ "keys": [estate.signer.jwk()] }).to_string()).unwrap();

    let good = fs::read_to_string(path("doorward.yaml")).unwrap();
    let named = |key: &str, file: &str| format!("{key}: {}\n", path(file).display());
    let keys = format!("{}{}", named("    jwks_uri", "?"), named("    jwks_ca", "ca/ca.crt"));
    let keys =
        keys.replace(&path("?").display().to_string(), &format!("https://localhost:{}/jwks.json", estate.issuer.port));
    let public_key = |file: &str, more: &str| (keys.clone(), format!("{}{more}", named("    public_key", file)));
    let swap = |key: &str, from: &str, to: &str| (named(key, from), named(key, to));
    for (edits, key, words) in [
        (
            vec![swap("  cert", "server.crt", "old.crt"), swap("  key", "server.key", "old.key")],
            "tls.cert",
            "expired on",
        ),
        (
            vec![swap("  cert", "server.crt", "early.crt"), swap("  key", "server.key", "early.key")],
            "tls.cert",
            "not valid before",
        ),
        (
            vec![swap("  cert", "server.crt", "bot.crt"), swap("  key", "server.key", "bot.key")],
            "tls.cert",
            "lacks serverAuth",
        ),
        (
            vec![swap("  cert", "server.crt", "server.key")],
            "tls.cert",
            "no certificate in PEM in it, but a private key",
        ),
        (vec![swap("  key", "server.key", "bot.key")], "tls.key", "the key is not the one of"),
        (vec![swap("  client_ca", "ca/ca.crt", "bot.crt")], "tls.client_ca", "is not an authority"),
        (vec![swap("  client_ca", "ca/ca.crt", "over/ca.crt")], "tls.client_ca", "expired on"),
        (vec![swap("  client_ca", "ca/ca.crt", "both.crt")], "tls.client_crl", "there is no list of CN=Other"),
        (
            vec![swap("  client_ca", "ca/ca.crt", "same.crt"), swap("  client_crl", "ca/ca.crl", "same.crl")],
            "tls.client_ca",
            "both called CN=Test CA",
        ),
        (vec![swap("  client_crl", "ca/ca.crl", "late.crl")], "tls.client_crl", "is out of date since"),
        (vec![swap("  client_crl", "ca/ca.crl", "other/ca.crl")], "tls.client_crl", "not one of the authorities"),
        (vec![swap("  client_crl", "ca/ca.crl", "both.crl")], "tls.client_crl", "list 2 is of CN=Other"),
        (
            vec![swap("  client_crl", "ca/ca.crl", "namesake/ca.crl")],
            "tls.client_crl",
            "another authority that is called",
        ),
        (
            vec![swap("  client_crl", "ca/ca.crl", "ca/ca.crt")],
            "tls.client_crl",
            "no revocation list in PEM in it, but a certificate",
        ),
        (vec![public_key("token.pem", "")], "auth.jwt.public_key", "the file holds a private key; give the public one"),
        (vec![public_key("jwks.json", "")], "auth.jwt.public_key", "it is a key set in JSON"),
        (
            vec![public_key("token.pub.pem", "    algorithms: [RS256]\n")],
            "auth.jwt.algorithms",
            "are for ES256 and for none of these",
        ),
        (
            vec![swap("    jwks_ca", "ca/ca.crt", "token.pub.pem")],
            "auth.jwt.jwks_ca",
            "no certificate in PEM in it, but a public key",
        ),
    ] {
        let mut text = good.clone();
        for (from, to) in &edits {
            assert!(text.contains(from.as_str()), "{from}");
            text = text.replacen(from.as_str(), to, 1);
        }
        fs::write(path("doorward.yaml"), text).unwrap();
        let (check, serve) = said(&estate);
        let line = check.lines().find(|line| line.contains(&format!(": {key}: ")) && line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{key}: {words} is not in {check}"));
        assert!(serve.contains(line), "serve says something else: {serve}");
        for word in ["KeyMismatch", "UnknownIssuer", "DnsName", "Error", "InvalidCert", "BadEncoding"] {
            assert!(!check.contains(word), "{word} in {check}");
        }
    }
}

#[tokio::test]
async fn a_file_of_trust_that_others_can_change_is_found() {
    let (estate, listener) = Estate::make(&Choice::default());
    drop(listener);
    let path = |name: &str| estate.path(name);
    fs::create_dir(path("open")).unwrap();
    let key = SigningKey::generate(KeyKind::P256).unwrap();
    let good = fs::read_to_string(path("doorward.yaml")).unwrap();
    let published = good.lines().filter(|line| !line.contains("jwks_")).collect::<Vec<_>>().join("\n");
    let with_key =
        |file: &str| published.replace("  jwt:\n", &format!("  jwt:\n    public_key: {}\n", path(file).display()));
    for (file, key_name, text) in [
        ("server.crt", "tls.cert", good.clone()),
        ("server.key", "tls.key", good.clone()),
        ("ca/ca.crt", "tls.client_ca", good.clone()),
        ("ca/ca.crl", "tls.client_crl", good.clone()),
        ("ca/ca.crt", "auth.jwt.jwks_ca", good.clone()),
        ("token.pem", "auth.jwt.public_key", String::new()),
        ("doorward.yaml", "", good.clone()),
    ] {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        let moved = format!("open/{name}");
        if file == "token.pem" {
            fs::write(path(&moved), key.public_pem().unwrap()).unwrap();
        } else {
            fs::copy(path(file), path(&moved)).unwrap();
        }
        let text = match text.as_str() {
            "" => with_key(&moved),
            text => text.replace(&path(file).display().to_string(), &path(&moved).display().to_string()),
        };
        let config = if key_name.is_empty() { path(&moved) } else { path("doorward.yaml") };
        fs::write(&config, text).unwrap();
        let check = || run(&path(""), &["check", "--config", &config.display().to_string()]);
        let set = |name: &str, mode: u32| {
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        set("open", 0o755);
        assert_eq!(check().status, 0, "{file}: {:?}", check());
        for (directory, mode, words) in [(0o777, 0o600, "open can be written by others"), (0o755, 0o620, "(mode 0620)")]
        {
            set("open", directory);
            set(&moved, mode);
            let ended = check();
            let line =
                ended.stdout.lines().find(|line| line.contains(&format!(": {key_name}")) && line.contains(words));
            assert!(ended.status == 1 && line.is_some_and(|line| line.contains("; chmod ")), "{file}: {ended:?}");
        }
        fs::remove_file(path(&moved)).unwrap();
    }
}

#[tokio::test]
async fn what_ends_soon_is_a_note_and_what_lives_shortly_is_not_worth_one() {
    let (estate, listener) = Estate::make(&Choice::default());
    drop(listener);
    let check = || {
        let config = estate.path("doorward.yaml").display().to_string();
        run(&estate.path(""), &["check", "--config", &config])
    };
    let ended = check();
    assert_eq!((ended.status, ended.stdout.as_str()), (0, ""), "everything here lives for a day, and has just begun");
    let issued = estate.authority().issue(&Request::server(&["localhost"], days(90)), &in_days(-77)).unwrap();
    issued.write(&estate.path("server"), Existing::Replace).unwrap();
    let ended = check();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("CN=localhost runs out on ") && ended.stdout.contains("(in 12 days)"), "{ended:?}");
}

#[tokio::test]
async fn an_older_revocation_list_is_not_taken_up_by_a_reload() {
    let world = World::open().await;
    let list = world.path("ca/ca.crl");
    let before = fs::read(&list).unwrap();
    world.authority().revoke_file(&world.path("good.crt"), &Clock::system()).unwrap();
    world.authority().crl(DAY, &Clock::system()).unwrap();
    let newer = fs::read(&list).unwrap();
    world.reload().await;
    let refused = async || {
        wire::connect(&world.path(""), world.port, Some("good")).await.is_err()
            || wire::exchange(
                &mut wire::connect(&world.path(""), world.port, Some("good")).await.unwrap(),
                &wire::post(world.port, "a.b.c", &wire::list()),
            )
            .await
            .is_err()
    };
    assert!(refused().await);
    fs::write(&list, &before).unwrap();
    let failure = world.daemon.reload().await.unwrap_err();
    let cause = failure.cause().unwrap();
    assert!(cause.contains("has number 1, and one with number 2 was in force before"), "{cause}");
    assert!(refused().await, "the one in force goes on");
    fs::write(&list, newer).unwrap();
    world.reload().await;
    // Nor is it by way of a configuration that names none in between.
    let line = format!("  client_crl: {}\n", list.display());
    world.edit(&line, "");
    world.reload().await;
    world.edit("  allowed_subjects:\n", &format!("{line}  allowed_subjects:\n"));
    fs::write(&list, before).unwrap();
    assert!(world.daemon.reload().await.is_err());
}

#[tokio::test]
async fn a_reload_cannot_open_the_door_to_every_certificate_while_outsiders_reach_it() {
    let (estate, listener) = Estate::make(&Choice::default());
    drop(listener);
    let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
    let source = Source { path: Some(estate.path("doorward.yaml")), environment: Environment::default() };
    let listeners = Listeners { main: Some(everywhere), ..Listeners::default() };
    let daemon = Daemon::start(source, Clock::system(), listeners).await.unwrap();
    daemon.reload().await.unwrap();
    let text = fs::read_to_string(estate.path("doorward.yaml")).unwrap();
    let (head, rest) = text.split_once("  allowed_subjects:\n").unwrap();
    let rest = &rest[rest.find("http:").unwrap()..];
    fs::write(estate.path("doorward.yaml"), format!("{head}{rest}")).unwrap();
    let failure = daemon.reload().await.unwrap_err();
    assert!(failure.cause().unwrap().contains("tls.allowed_subjects: nobody is named, and 0.0.0.0:"), "{failure:?}");
}

#[tokio::test]
async fn when_files_run_out_is_measured() {
    let world = World::open().await;
    let ends = |key: &str| {
        let line = format!("doorward_not_after_seconds{{file=\"{key}\"}} ");
        telemetry::metrics_text().lines().find_map(|have| have.strip_prefix(&line).map(str::to_owned))
    };
    let end = |file: &str| store::leaf(&world.path(file)).unwrap().not_after.seconds().to_string();
    assert_eq!(ends("tls.cert"), Some(end("server.crt")));
    assert_eq!(ends("tls.client_ca"), Some(end("ca/ca.crt")));
    let list = store::revocation_lists(&world.path("ca/ca.crl")).unwrap();
    assert_eq!(ends("tls.client_crl"), Some(doorward::pki::next_update(&list[0]).unwrap().seconds().to_string()));
    world.edit(&format!("  client_crl: {}\n", world.path("ca/ca.crl").display()), "");
    world.reload().await;
    assert_eq!(ends("tls.client_crl"), None);
}
