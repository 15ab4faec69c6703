//! What is told of environments, and above all what is not.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Host;
use super::super::query::ask;
use super::*;

fn listed(arguments: Value) -> Value {
    ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
}

#[test]
fn names_are_always_told_and_secrets_never() {
    assert_eq!(
        listed(json!({})),
        json!({
            "read": ["/proc/1/environ"], "unreadable": [], "total": 4, "truncated": false,
            "env": {"HOME": "/", "TERM": "linux", "BOOT_IMAGE": "/vmlinuz"},
            "withheld": ["BACKUP_PASSPHRASE"], "cut": [],
        })
    );
    let files = listed(json!({"source": "files"}));
    assert_eq!(files["read"], json!(["/etc/environment", "/etc/profile", "/etc/profile.d/locale.sh"]));
    assert_eq!(
        files["env"],
        json!({"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "en_GB.UTF-8", "HTTP_PROXY": "http://proxy.example:3128"})
    );
    assert_eq!(files["withheld"], json!(["REGISTRY_TOKEN"]));
    assert!(!files.to_string().contains("not-for-anybody"));
    assert_eq!(listed(json!({"name": "TER"}))["env"], json!({"TERM": "linux"}));
}

#[test]
fn a_name_says_whether_the_value_is_a_secret() {
    for secret in [
        "DB_PASSWORD",
        "PGPASSWORD",
        "MYSQL_PWD",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "apiKey",
        "GITHUB_TOKEN",
        "npm_config__auth",
        "SENTRY_DSN",
        "client-secret",
        "SecretKeyBase",
        "SSH_KEY",
        "ACCESSTOKEN",
        "PASS",
    ] {
        assert!(names_secret(secret), "{secret}");
    }
    for harmless in [
        "PWD",
        "OLDPWD",
        "PATH",
        "SSH_AUTH_SOCK",
        "PGPASSFILE",
        "KEYBOARD",
        "MONKEY",
        "AUTHOR",
        "TOKEN_FILE",
        "SECRET_NAME",
        "HOME",
        "COMPASS",
        "",
    ] {
        assert!(!names_secret(harmless), "{harmless}");
    }
}

#[test]
fn a_long_or_endless_environment_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("proc/1")).unwrap();
    let put = |bytes: &[u8]| std::fs::write(folder.path().join("proc/1/environ"), bytes).unwrap();
    let host = Host::folder(folder.path());
    put(format!("A={}\0B=\u{e9}=2\0=C=3\0none\0A=second\0", "é".repeat(4000)).as_bytes());
    let answer = ask::<Query>(&host, json!({})).unwrap();
    assert_eq!((answer["env"]["A"].as_str().unwrap().len(), &answer["cut"]), (4096, &json!(["A"])));
    assert_eq!((&answer["env"]["B"], &answer["total"]), (&json!("é=2"), &json!(2)));
    put(&vec![b'\xff'; ENVIRONMENT_BYTES + 1]);
    assert_eq!(ask::<Query>(&host, json!({})).unwrap()["truncated"], true);
    assert_eq!(ask::<Query>(&host, json!({"pid": 2})).unwrap_err().code(), Code::ToolFailed);
}

#[test]
fn the_real_host_shows_what_this_process_was_started_with() {
    let answer = ask::<Query>(&Host::this(), json!({"pid": std::process::id(), "name": "PATH"})).unwrap();
    assert_eq!(answer["env"]["PATH"], std::env::var("PATH").unwrap());
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "\\PC*|(export )?[A-Za-z_0-9]{0,9}=[\"'a ]{0,4}") {
        let _ = (assignment(&text), names_secret(&text));
    }
}
