//! `get_ssh_config`: how the host lets people in by SSH: settings, host keys, authorized keys. Sensitive: who may come in and
//! how. No private key is opened, and no public one is told but by its fingerprint.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts;
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::outside::below;
use super::query::{Ask, HostQuery};
use super::ssh_key::{self, PublicKey};
use super::ssh_settings::{self as settings, Configuration};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// The largest file of authorized keys that is read.
const KEYS_BYTES: usize = 1 << 20;
/// Accounts whose keys are looked for.
const ACCOUNTS: usize = 5000;
/// Keys that are taken in for one answer.
const KEYS: usize = 20_000;
/// Where OpenSSH looks when nothing is configured.
const AUTHORIZED: &str = ".ssh/authorized_keys .ssh/authorized_keys2";
/// Host keys that OpenSSH uses when none is configured.
const HOST_KEYS: [&str; 3] =
    ["/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ed25519_key"];

pub(super) struct Query;

/// What to look at.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only the keys of this account.
    #[schemars(length(min = 1, max = 128))]
    user: Option<String>,
    /// Only settings with this in their name, in capitals or not.
    #[schemars(length(min = 1, max = 128))]
    setting: Option<String>,
    /// Keys to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most authorized keys to list.
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { user: None, setting: None, offset: 0, limit: USUAL }
    }
}

/// How the host lets people in.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// What the server is told: sshd_config(5) and what it includes. What is not there has the default of the server.
    server: Configuration,
    /// What clients on this host are told: ssh_config(5) and what it includes.
    client: Configuration,
    /// The public halves of the keys by which the host proves itself.
    host_keys: Vec<HostKey>,
    /// How many of the authorized keys are listed.
    #[serde(flatten)]
    extent: Extent,
    /// The keys by which people come in, by account.
    authorized_keys: Vec<AuthorizedKey>,
    /// Files of keys that are there and could not be read, or not to their end.
    unreadable: Vec<String>,
    /// Whether there are too many accounts or keys to look at all.
    truncated: bool,
}

/// A key by which the host proves itself.
#[derive(Serialize, JsonSchema)]
struct HostKey {
    /// The file of its public half.
    file: String,
    /// The key.
    key: PublicKey,
}

/// A key by which somebody comes in.
#[derive(Serialize, JsonSchema)]
struct AuthorizedKey {
    /// The account that it opens.
    user: String,
    /// The file.
    file: String,
    /// The line, from 1.
    line: usize,
    /// The key.
    key: PublicKey,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_ssh_config",
            "SSH configuration",
            "Settings of the SSH server and client with the files they come from, and host keys and authorized keys by kind, \
             fingerprint, options and comment; never a private key.",
            Impact::Medium,
        );
        ToolSpec { sensitive: true, ..spec }.better_with("CAP_DAC_READ_SEARCH").reading([
            "/etc/ssh",
            "/etc/passwd",
            "/root/.ssh",
            "/home",
        ])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, Some(USUAL));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut server = settings::read(ask, "/etc/ssh/sshd_config")?;
        let mut client = settings::read(ask, "/etc/ssh/ssh_config")?;
        let mut keys = Keys::default();
        keys.authorized(ask, &server, args.user.as_deref())?;
        let host_keys = host_keys(ask, &server, &mut keys);
        if server.files.is_empty() && client.files.is_empty() && keys.found.is_empty() && server.unreadable.is_empty() {
            return Err(Failure::new(Code::ToolFailed, "this host shows no configuration of SSH"));
        }
        let part = args.setting.map(|name| name.to_lowercase());
        for configuration in [&mut server, &mut client] {
            configuration.settings.retain(|setting| listing::holds(&setting.keyword, part.as_deref()));
        }
        let matching = keys.found.len();
        let page = (args.offset, args.limit);
        let (authorized_keys, extent) = listing::part(keys.found, matching, page, ask.limits);
        let extent = extent.narrow("go on with offset, raise limit, or name a user");
        let (unreadable, truncated) = (keys.unreadable, keys.truncated);
        Ok(Answer { server, client, host_keys, extent, authorized_keys, unreadable, truncated })
    }
}

fn host_keys(ask: &Ask<'_>, server: &Configuration, keys: &mut Keys) -> Vec<HostKey> {
    let configured = server.settings.iter().filter(|setting| setting.keyword == "hostkey");
    let mut paths: Vec<String> = configured.map(|setting| setting.value.trim_matches('"').to_owned()).collect();
    if paths.is_empty() {
        paths.extend(HOST_KEYS.map(str::to_owned));
    }
    let mut found = Vec::new();
    for path in paths.iter().take(ACCOUNTS) {
        // The public half lies beside the private one, which is not opened.
        let file = format!("{path}.pub");
        let text = keys.text(ask, &file);
        let key = text.lines().find_map(ssh_key::parse);
        found.extend(key.map(|key| HostKey { file, key }));
    }
    found
}

#[derive(Default)]
struct Keys {
    found: Vec<AuthorizedKey>,
    unreadable: Vec<String>,
    truncated: bool,
}

impl Keys {
    fn authorized(&mut self, ask: &Ask<'_>, server: &Configuration, only: Option<&str>) -> Result<(), Failure> {
        // Those that hold for some are looked at for all: a key too many is no harm, one too few is.
        let blocks = server.settings.iter().filter(|one| one.keyword == "authorizedkeysfile" && one.only.is_some());
        let global = server.global("authorizedkeysfile").unwrap_or(AUTHORIZED);
        let mut places = settings::words(global);
        places.extend(blocks.flat_map(|one| settings::words(&one.value)));
        places.sort_unstable();
        places.dedup();
        let (users, _) = accounts::accounts(&ask.host.find("etc/passwd").unwrap_or_default());
        if let Some(only) = only.filter(|only| users.iter().all(|user| user.name != *only)) {
            return Err(unknown("account in /etc/passwd", only, users.iter().map(|user| &user.name)));
        }
        let mut left = ACCOUNTS;
        for user in users.iter().filter(|user| only.is_none_or(|only| only == user.name)) {
            ask.go_on()?;
            let Some(fewer) = left.checked_sub(1) else {
                self.truncated = true;
                break;
            };
            left = fewer;
            for place in places.iter().filter(|place| *place != "none") {
                let file = place.replace("%h", &user.home).replace("%u", &user.name).replace("%%", "%");
                let file = if file.starts_with('/') { file } else { format!("{}/{file}", user.home) };
                self.file(ask, &user.name, &file);
            }
        }
        Ok(())
    }

    fn file(&mut self, ask: &Ask<'_>, user: &str, file: &str) {
        let text = self.text(ask, file);
        for (line, number) in text.lines().zip(1..) {
            let Some(key) = ssh_key::parse(line) else { continue };
            if self.found.len() >= KEYS {
                self.truncated = true;
                return;
            }
            let (user, file) = (user.to_owned(), file.to_owned());
            self.found.push(AuthorizedKey { user, file, line: number, key });
        }
    }

    /// Nothing where there is no such file.
    fn text(&mut self, ask: &Ask<'_>, file: &str) -> String {
        match ask.host.text(below(file), KEYS_BYTES) {
            Ok((text, more)) => {
                if more {
                    self.unreadable.push(file.to_owned());
                }
                text
            }
            Err(error) if is_absent(&error) => String::new(),
            Err(_) => {
                self.unreadable.push(file.to_owned());
                String::new()
            }
        }
    }
}

/// Homes of system accounts are often none.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    #[test]
    fn settings_are_shown_with_their_files_and_blocks() {
        let server = &listed(json!({}))["server"];
        assert_eq!(server["files"], json!(["/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/50-cloud.conf"]));
        let setting = |keyword: &str| {
            server["settings"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|one| one["keyword"] == keyword)
                .cloned()
                .collect::<Vec<Value>>()
        };
        assert_eq!(
            setting("passwordauthentication"),
            [
                json!({"keyword": "passwordauthentication", "value": "no", "file": 1, "line": 1}),
                json!({"keyword": "passwordauthentication", "value": "yes", "only": "match Address 10.0.0.0/8", "file": 0, "line": 8}),
            ]
        );
        assert_eq!(setting("permitrootlogin")[0]["value"], "prohibit-password");
        assert_eq!(listed(json!({"setting": "X11"}))["server"]["settings"].as_array().unwrap().len(), 1);
        let client = &listed(json!({}))["client"];
        assert_eq!(client["settings"][0], json!({"keyword": "sendenv", "value": "LANG LC_*", "file": 0, "line": 2}));
    }

    #[test]
    fn keys_are_shown_by_fingerprint_and_nothing_else_of_a_file() {
        let answer = listed(json!({}));
        assert_eq!(
            answer["authorized_keys"],
            json!([{
                "user": "alice", "file": "/data/people/alice/.ssh/authorized_keys", "line": 2,
                "key": {
                    "kind": "ssh-ed25519", "fingerprint": "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
                    "comment": "alice@laptop", "options": ["no-agent-forwarding", "from=\"192.0.2.0/24\""],
                },
            }])
        );
        assert_eq!(answer["host_keys"][0]["key"]["kind"], "ssh-ed25519");
        let text = answer.to_string();
        assert!(!text.contains("AAAAC3Nza") && !text.contains("PRIVATE"), "{text}");
        assert_eq!(listed(json!({"user": "bob"}))["matching"], 0);
    }

    #[test]
    fn files_that_include_themselves_and_hostile_homes_come_to_an_end() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put("etc/ssh/sshd_config", b"Include sshd_config\nInclude loop.d/*\nPort 22\n\xff\xfe\0\n");
        put("etc/ssh/loop.d/a", b"Include /etc/ssh/loop.d/*\nPort 23\n");
        put("etc/ssh/loop.d/b", b"Include loop.d/a\n");
        put("etc/passwd", b"a:x:1:1::/home/a:/bin/sh\nb:x:2:2::/home/b:/bin/sh\nc:x:3:3::/home/c:/bin/sh\nd:x:4:4::/../../etc:/bin/sh\n");
        put("home/b/.ssh/authorized_keys", b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n");
        put("etc/shadow", b"root:$y$secret:1:\n");
        std::fs::create_dir_all(root.path().join("home/a/.ssh")).unwrap();
        std::fs::create_dir_all(root.path().join("home/c/.ssh/authorized_keys")).unwrap();
        symlink("/etc/shadow", root.path().join("home/a/.ssh/authorized_keys")).unwrap();
        let fifo = root.path().join("home/a/.ssh/authorized_keys2");
        rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
        assert_eq!((&answer["server"]["truncated"], &answer["matching"]), (&json!(true), &json!(0)));
        let text = answer.to_string();
        assert!(!text.contains("secret") && !text.contains("PRIVATE") && !text.contains("b3Blbn"), "{text}");
        assert!(answer["unreadable"].as_array().unwrap().contains(&json!("/home/a/.ssh/authorized_keys2")), "{text}");
    }
}
