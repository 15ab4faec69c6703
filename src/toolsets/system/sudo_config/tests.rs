//! What is told of the rules of sudo on the fixture hosts and on hostile ones.

use serde_json::{Value, json};

use super::super::Host;
use super::super::query::ask;
use super::*;

fn listed(arguments: Value) -> Value {
    ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
}

#[test]
fn rules_are_shown_with_their_places() {
    let answer = listed(json!({}));
    assert_eq!(answer["files"], json!(["/etc/sudoers", "/etc/sudoers.d/deploy"]));
    assert_eq!(
        answer["rules"][2],
        json!({
            "users": ["DEPLOYERS"], "hosts": ["ALL"], "run_as_users": ["www-data"], "command": "/usr/bin/systemctl restart web",
            "denied": false, "no_password": true, "tags": ["NOPASSWD"], "options": [], "place": {"file": 1, "line": 2},
        })
    );
    assert_eq!((&answer["total"], &answer["matching"]), (&json!(4), &json!(4)));
    assert_eq!(answer["rules"][3]["denied"], true);
    assert_eq!(answer["aliases"][0]["members"], json!(["alice", "%docker"]));
    assert_eq!(answer["defaults"][1]["settings"][0], "secure_path=\"/usr/local/sbin:/usr/sbin:/sbin\"");
    assert_eq!(answer["not_understood"], json!([{"file": 1, "line": 4}]));
}

#[test]
fn the_rules_of_an_account_are_those_of_its_groups_and_aliases_too() {
    let commands = |user: &str| {
        let answer = listed(json!({"user": user}));
        answer["rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| rule["command"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(commands("alice"), ["ALL", "/usr/bin/systemctl restart web", "/usr/bin/systemctl restart web *"]);
    assert_eq!(commands("root"), ["ALL"]);
    assert!(commands("bob").is_empty());
}

#[test]
fn files_that_include_themselves_or_cannot_be_read_are_said() {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let host = Host::folder(root.path());
    assert!(ask::<Query>(&host, json!({})).unwrap_err().public().contains("has no /etc/sudoers"));
    put("etc/sudoers", "@include sudoers\n@includedir sudoers.d\n@include local-%h\n");
    put("etc/hostname", "web1.example.com\n");
    put("etc/local-web1", "op ALL = /bin/op\n");
    put("etc/sudoers.d/a.conf", "no ALL = ALL\n");
    put("etc/sudoers.d/b~", "no ALL = ALL\n");
    std::fs::create_dir_all(root.path().join("etc/sudoers.d/folder")).unwrap();
    let answer = ask::<Query>(&host, json!({})).unwrap();
    assert_eq!((&answer["truncated"], &answer["total"]), (&json!(true), &json!(1)));
    assert_eq!(answer["unreadable"], json!(["/etc/sudoers.d/folder"]));
    assert_eq!(answer.get("remedy"), None);
    // A folder in place of a file and a file in place of a folder stand for what is shut.
    std::fs::create_dir_all(root.path().join("srv/sudo/rules")).unwrap();
    put("srv/sudo/more", "");
    put("etc/sudoers", "@include /srv/sudo/rules\n@includedir /srv/sudo/more\n@includedir /no/such/folder\n");
    let answer = ask::<Query>(&host, json!({})).unwrap();
    assert_eq!(answer["unreadable"], json!(["/srv/sudo/rules", "/srv/sudo/more"]));
    assert!(
        answer["remedy"]
            .as_str()
            .unwrap()
            .ends_with("sandbox.read what is included from elsewhere: /srv/sudo/rules, /srv/sudo/more")
    );
    put("etc/sudoers", &"x ALL = /bin/a, /bin/b\n".repeat(RULES));
    let answer = ask::<Query>(&host, json!({})).unwrap();
    assert_eq!((&answer["truncated"], &answer["rules"].as_array().unwrap().len()), (&json!(true), &100));
}
