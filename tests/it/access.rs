//! Who may do what on the host, by our answers and by the programs of the system: getent, id, passwd, cvtsudoers, sshd,
//! ssh-keygen, lsof. Secrets are planted where the queries look, and none is in an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::world::piped::Piped;
use crate::world::program::{Running, command, finish, there_is};

const OPEN: &str = "queries: {sensitive: {enabled: true, allow: [get_user_accounts, get_sudo_config, get_ssh_config, \
                    get_env_vars, get_open_files]}}";
/// Planted wherever a query could come by it.
const SECRET: &str = "Pl4nted-and-never-to-be-seen";

fn said(home: &Path, argv: &[&str]) -> String {
    let mut run = command(argv[0], home);
    run.args(&argv[1..]);
    finish(run, "").well()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_the_configuration_does_not_open_is_not_there() {
    let home = tempfile::tempdir().unwrap();
    let sensitive = ["get_env_vars", "get_open_files", "get_ssh_config", "get_sudo_config", "get_user_accounts"];
    let listed = |config: &str| -> Vec<&str> {
        let tools = Piped::open(home.path(), config).tools();
        sensitive.into_iter().filter(|tool| tools.contains(*tool)).collect()
    };
    assert!(listed("").is_empty());
    assert_eq!(listed("queries: {sensitive: {enabled: true, allow: [get_open_files]}}"), ["get_open_files"]);
    assert!(listed(&format!("{OPEN}\nscopes: {{core: [get_uptime]}}")).is_empty(), "without the scope");
    let answer = Piped::open(home.path(), "").attempt("get_env_vars", &json!({}));
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
}

#[test]
fn accounts_are_those_of_getent_and_id() {
    if !there_is("getent", "get_user_accounts") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let answer = Piped::open(home.path(), OPEN).call("get_user_accounts", json!({ "limit": 1000 }));
    // `files` leaves out what a directory service says.
    let theirs = said(home.path(), &["getent", "-s", "files", "passwd"]);
    let row = |user: &Value| {
        let text = |name: &str| user[name].as_str().unwrap().to_owned();
        format!(
            "{}:x:{}:{}:{}:{}:{}",
            text("name"),
            user["uid"],
            user["gid"],
            text("comment"),
            text("home"),
            text("shell")
        )
    };
    let ours: BTreeSet<String> = answer["accounts"].as_array().unwrap().iter().map(row).collect();
    let plain = |line: &str| {
        let mut fields: Vec<&str> = line.split(':').collect();
        fields[4] = fields[4].trim_end_matches(',');
        fields.join(":")
    };
    assert_eq!(ours, theirs.lines().map(plain).collect());
    for user in answer["accounts"].as_array().unwrap() {
        let name = user["name"].as_str().unwrap();
        let mut ours: BTreeSet<String> = texts(&user["groups"]).into_iter().collect();
        ours.extend(user["group"].as_str().map(str::to_owned));
        let theirs = said(home.path(), &["id", "-Gn", name]);
        assert_eq!(ours, theirs.split_whitespace().map(str::to_owned).collect(), "{name}");
    }
    let groups = said(home.path(), &["getent", "-s", "files", "group"]);
    assert_eq!(answer["groups"].as_array().unwrap().len(), groups.lines().count());
    if answer["shadow_readable"] == true {
        for line in said(home.path(), &["passwd", "-S", "-a"]).lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let wanted = match words[1] {
                "L" => "locked",
                "NP" => "empty",
                _ => "set",
            };
            let user = answer["accounts"].as_array().unwrap().iter().find(|user| user["name"] == words[0]).unwrap();
            assert_eq!(user["password_status"], wanted, "{line}");
        }
    }
}

#[test]
fn no_hash_of_a_password_is_in_an_answer() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("shadow"), format!("root:$6${SECRET}${SECRET}:19700:0:99999:7:::\n")).unwrap();
    let replaced = [("shadow", "/etc/shadow")];
    let Some(mut door) = Piped::over(home.path(), &format!("{OPEN}\nredaction: {{enabled: false}}"), &replaced) else {
        return;
    };
    let answer = door.call("get_user_accounts", json!({ "name": "root" }));
    assert_eq!((&answer["accounts"][0]["password_status"], &answer["shadow_readable"]), (&json!("set"), &json!(true)));
    assert!(!answer.to_string().contains(SECRET), "{answer}");
}

const SUDOERS: &str = "Defaults env_reset, secure_path=\"/a:/b\"
Defaults:alice !requiretty
User_Alias OPS = alice, %wheel, !bob : DEV = #1001
Cmnd_Alias POWER = /sbin/halt -p, !/sbin/reboot
Host_Alias WEB = web1, 10.0.0.0/255.0.0.0
root ALL=(ALL:ALL) ALL
OPS, DEV WEB = (www-data : adm) NOPASSWD: SETENV: /bin/a x y, \\
    PASSWD: !/bin/b, POWER : db1 = (postgres) /bin/c one\\,two
%sudo ALL = NOEXEC: NOPASSWD: sudoedit /etc/motd, /usr/bin/less /var/log/*
";

/// One line for each command, the same from both.
fn ours(rule: &Value) -> String {
    let list = |name: &str| rule[name].as_array().map(|_| texts(&rule[name]).join(",")).unwrap_or_default();
    let denied = if rule["denied"] == true { "!" } else { "" };
    let no_password = if rule["no_password"] == true { " without password" } else { "" };
    let command = rule["command"].as_str().unwrap();
    format!(
        "{}@{} as {}:{} {denied}{command}{no_password}",
        list("users"),
        list("hosts"),
        list("run_as_users"),
        list("run_as_groups")
    )
}

fn theirs(rules: &Value) -> Vec<String> {
    let member = |one: &Value| {
        let not = if one["negated"] == true { "!" } else { "" };
        let (kind, name) = one.as_object().unwrap().iter().find(|(kind, _)| *kind != "negated").unwrap();
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let mark = match kind.as_str() {
            "usergroup" => "%",
            "userid" => "#",
            _ => "",
        };
        format!("{not}{mark}{name}")
    };
    let list = |value: &Value| {
        value.as_array().map(|all| all.iter().map(member).collect::<Vec<_>>().join(",")).unwrap_or_default()
    };
    let mut lines = Vec::new();
    for spec in rules["User_Specs"].as_array().unwrap() {
        for commands in spec["Cmnd_Specs"].as_array().unwrap() {
            let options = commands["Options"].as_array().map(Vec::as_slice).unwrap_or_default();
            let free = options.iter().any(|option| option["authenticate"] == false);
            for command in commands["Commands"].as_array().unwrap() {
                // Groups to run with are told with the mark of groups of users.
                lines.push(format!(
                    "{}@{} as {}:{} {}{}",
                    list(&spec["User_List"]),
                    list(&spec["Host_List"]),
                    list(&commands["runasusers"]),
                    list(&commands["runasgroups"]).replace('%', ""),
                    member(command),
                    if free { " without password" } else { "" }
                ));
            }
        }
    }
    lines
}

#[test]
fn rules_of_sudo_are_those_of_cvtsudoers() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("sudoers"), SUDOERS).unwrap();
    if !there_is("cvtsudoers", "get_sudo_config") {
        return;
    }
    let Some(mut door) = Piped::over(home.path(), OPEN, &[("sudoers", "/etc/sudoers")]) else { return };
    let answer = door.call("get_sudo_config", json!({}));
    let parsed: Value = serde_json::from_str(&said(home.path(), &["cvtsudoers", "-f", "json", "sudoers"])).unwrap();
    let rules: Vec<String> = answer["rules"].as_array().unwrap().iter().map(ours).collect();
    assert_eq!(rules, theirs(&parsed));
    assert!(rules.len() >= 7, "{rules:?}");
    let names =
        |kind: &str| parsed[kind].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let wanted: BTreeSet<String> =
        ["User_Aliases", "Command_Aliases", "Cmnd_Aliases", "Host_Aliases"].into_iter().flat_map(names).collect();
    let aliases: BTreeSet<String> =
        answer["aliases"].as_array().unwrap().iter().map(|alias| alias["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!((aliases, &answer["not_understood"]), (wanted, &json!([])));
}

fn sshd(home: &Path) -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/openssh/usr/sbin/sshd");
    let path = if unpacked.exists() { unpacked } else { PathBuf::from("/usr/sbin/sshd") };
    let _ = fs::create_dir_all(home.join("run"));
    there_is(&path, "get_ssh_config").then_some(path)
}

#[test]
fn settings_of_sshd_are_those_it_goes_by_and_keys_those_of_ssh_keygen() {
    let home = tempfile::tempdir().unwrap();
    let place = |name: &str| home.path().join(name).display().to_string();
    if !there_is("ssh-keygen", "keys of SSH") {
        return;
    }
    for (kind, bits) in [("rsa", "2048"), ("ecdsa", "384"), ("ed25519", "256")] {
        said(
            home.path(),
            &["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-C", "a comment", "-f", &format!("host_{kind}")],
        );
    }
    let (folder, key) = (place("more"), |kind: &str| place(&format!("host_{kind}")));
    fs::create_dir(&folder).unwrap();
    fs::write(format!("{folder}/10-a.conf"), "PermitRootLogin no\nX11Forwarding no # first counts\n").unwrap();
    let config = format!(
        "Include {folder}/*.conf\nHostKey {}\nHostKey={}\nHostKey {}\nport 2222\nX11Forwarding yes\nMaxAuthTries \"3\"\n\
         AuthorizedKeysFile {folder}/%u.keys\nMatch User alice\n  X11Forwarding yes\n",
        key("rsa"),
        key("ecdsa"),
        key("ed25519"),
    );
    fs::write(place("sshd_config"), config).unwrap();
    let public = fs::read_to_string(place("host_rsa.pub")).unwrap();
    fs::write(format!("{folder}/root.keys"), format!("# who\nrestrict,command=\"echo a, b\" {public}\n{SECRET}\n"))
        .unwrap();
    fs::create_dir_all("/etc/ssh").unwrap();
    let Some(mut door) = Piped::over(home.path(), OPEN, &[("sshd_config", "/etc/ssh/sshd_config")]) else { return };
    let answer = door.call("get_ssh_config", json!({}));
    let text = answer.to_string();
    assert!(!text.contains(SECRET) && !text.contains("PRIVATE KEY") && !text.contains("AAAA"), "{text}");

    let fingerprints: BTreeMap<String, Value> = answer["host_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["file"].as_str().unwrap().to_owned(), key["key"].clone()))
        .collect();
    assert_eq!(fingerprints.len(), 3);
    for (file, key) in fingerprints {
        let line = said(home.path(), &["ssh-keygen", "-lf", &file]);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((key["fingerprint"].as_str(), key["comment"].as_str()), (Some(words[1]), Some("a comment")));
        assert!(key["bits"].as_u64().is_none_or(|bits| words[0].parse() == Ok(bits)), "{key} {line}");
    }
    let authorized = &answer["authorized_keys"];
    assert_eq!((authorized.as_array().unwrap().len(), &authorized[0]["line"]), (1, &json!(2)));
    assert_eq!(authorized[0]["key"]["options"], json!(["restrict", "command=\"echo a, b\""]));

    let Some(sshd) = sshd(home.path()) else { return };
    // It wants a folder of its own, which a package makes.
    let _ = fs::create_dir_all("/run/sshd");
    let effective = said(home.path(), &[sshd.to_str().unwrap(), "-T", "-f", &place("sshd_config")]);
    let mut seen = BTreeSet::new();
    for setting in answer["server"]["settings"].as_array().unwrap().iter().filter(|one| one["only"].is_null()) {
        let keyword = setting["keyword"].as_str().unwrap();
        if seen.insert(keyword) || keyword == "hostkey" {
            let line = format!("{keyword} {}", setting["value"].as_str().unwrap().trim_matches('"'));
            assert!(effective.lines().any(|one| one == line), "{line}\n{effective}");
        }
    }
    assert!(seen.len() >= 6, "{seen:?}");
}

#[test]
fn what_a_process_has_open_is_what_lsof_says() {
    let home = tempfile::tempdir().unwrap();
    if !there_is("lsof", "get_open_files") {
        return;
    }
    let mut run = command("bash", home.path());
    run.args(["-c", "exec 7>kept 8<kept 9>gone; rm gone; echo $$; exec sleep 300"])
        .env("API_TOKEN", SECRET)
        .env("PLAIN", "seen");
    let mut running = Running::start(run);
    let pid: u32 = running.until(|running| running.stdout().trim().parse().ok());
    let pid_text = pid.to_string();
    let mut door = Piped::open(home.path(), &format!("{OPEN}\nredaction: {{enabled: false}}"));
    running
        .until(|_| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n").then_some(()));
    let answer = door.call("get_open_files", json!({ "pid": pid }));
    let listed = said(home.path(), &["lsof", "-a", "-p", &pid_text, "-d", "0-999", "-Ffn"]);
    let theirs: BTreeMap<u32, String> = {
        let mut found = BTreeMap::new();
        let mut fd = 0;
        for line in listed.lines() {
            match line.split_at(1) {
                ("f", number) => fd = number.parse().unwrap(),
                ("n", name) => drop(found.insert(fd, name.to_owned())),
                _ => {}
            }
        }
        found
    };
    let files = answer["files"].as_array().unwrap();
    assert_eq!(files.len(), theirs.len(), "{answer}\n{listed}");
    for file in files {
        let fd = u32::try_from(file["fd"].as_u64().unwrap()).unwrap();
        let (path, name) = (file["path"].as_str().unwrap(), &theirs[&fd]);
        // Of what has no path lsof tells the kind.
        assert!(!path.starts_with('/') || name.starts_with(path), "{file} {name}");
    }
    let of = |fd: u64| files.iter().find(|file| file["fd"] == fd).unwrap();
    assert_eq!(
        (&of(7)["access"], &of(8)["access"], &of(9)["deleted"]),
        (&json!("write"), &json!("read"), &json!(true))
    );
    let env = door.call("get_env_vars", json!({ "pid": pid }));
    assert_eq!((&env["env"]["PLAIN"], &env["withheld"]), (&json!("seen"), &json!(["API_TOKEN"])));
    assert!(!env.to_string().contains(SECRET));
}
