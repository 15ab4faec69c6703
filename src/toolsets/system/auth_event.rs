//! What a line of the authentication log means: the words of OpenSSH, PAM, sudo, su, login and the account programs. Names
//! in them are chosen by strangers, so an address is read from the end of a message, never from within a name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Somebody proved who they are and came in.
    Login,
    /// Somebody did not: a wrong password or key, an unknown user, a user who may not come in.
    Failure,
    /// Somebody left.
    Logout,
    /// A command was run as another user through sudo.
    Sudo,
    /// Somebody became another user through su.
    Su,
    /// A session began.
    SessionOpened,
    /// A session ended.
    SessionClosed,
    /// A user, group or password was changed.
    Account,
    /// The host started.
    Boot,
    /// The host stopped.
    Shutdown,
    /// Something else that was logged with these.
    Other,
}

/// The parts of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Meaning {
    pub(super) kind: Option<Kind>,
    pub(super) user: Option<String>,
    pub(super) target_user: Option<String>,
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) method: Option<String>,
    pub(super) tty: Option<String>,
    pub(super) command: Option<String>,
    pub(super) unknown_user: bool,
}

/// Reads a message that `program` wrote.
pub(super) fn read(program: &str, message: &str) -> Meaning {
    let base = program.rsplit('/').next().unwrap_or(program);
    let found = match base {
        "sshd" | "sshd-session" | "sshd-auth" => pam(message).or_else(|| sshd(message)),
        "sudo" => pam(message).or_else(|| sudo(message)),
        "su" => pam(message).or_else(|| su(message)),
        "systemd-logind" => logind(message),
        "useradd" | "userdel" | "usermod" | "groupadd" | "groupdel" | "groupmod" | "passwd" | "chpasswd" | "chage"
        | "gpasswd" | "chfn" | "chsh" | "adduser" => pam(message).or_else(|| account(message)),
        "login" => pam(message).or_else(|| login(message)),
        _ => pam(message),
    };
    found.unwrap_or_default()
}

fn sshd(message: &str) -> Option<Meaning> {
    let (kind, method, rest, unknown_user) = if let Some(rest) = message.strip_prefix("Accepted ") {
        let (method, rest) = rest.split_once(" for ")?;
        (Kind::Login, Some(method), rest, false)
    } else if let Some(rest) = message.strip_prefix("Failed ") {
        let (method, rest) = rest.split_once(" for ")?;
        let known = rest.strip_prefix("invalid user ");
        (Kind::Failure, Some(method), known.unwrap_or(rest), known.is_some())
    } else if let Some(rest) = message.strip_prefix("Invalid user ") {
        (Kind::Failure, None, rest, true)
    } else if let Some(rest) =
        ["maximum authentication attempts exceeded for ", "error: maximum authentication attempts exceeded for "]
            .iter()
            .find_map(|start| message.strip_prefix(start))
    {
        let known = rest.strip_prefix("invalid user ");
        (Kind::Failure, None, known.unwrap_or(rest), known.is_some())
    } else if let Some(rest) = message.strip_prefix("Disconnected from user ") {
        let (user, address, port) = ending(rest, " ")?;
        return Some(Meaning { kind: Some(Kind::Logout), user: name(user), address, port, ..Meaning::default() });
    } else if let Some(rest) = ["Connection closed by ", "Connection reset by ", "Disconnected from "]
        .iter()
        .find_map(|start| message.strip_prefix(start))
    {
        let (rest, unknown_user) = match (rest.strip_prefix("authenticating user "), rest.strip_prefix("invalid user "))
        {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return None,
        };
        let (user, address, port) = ending(rest, " ")?;
        let user = name(user);
        return Some(Meaning { kind: Some(Kind::Failure), user, address, port, unknown_user, ..Meaning::default() });
    } else {
        let (user, rest) = message.strip_prefix("User ")?.rsplit_once(" from ")?;
        let (address, _) = rest.split_once(" not allowed because ")?;
        let address = Some(address.to_owned());
        return Some(Meaning { kind: Some(Kind::Failure), user: name(user), address, ..Meaning::default() });
    };
    let (user, address, port) = ending(rest, " from ")?;
    let method = method.map(str::to_owned);
    Some(Meaning { kind: Some(kind), user: name(user), address, port, method, unknown_user, ..Meaning::default() })
}

/// `NAME from ADDRESS port PORT …`: the last such ending counts, for a name may hold the same words.
fn ending<'a>(text: &'a str, before_address: &str) -> Option<(&'a str, Option<String>, Option<u16>)> {
    let (start, after) = text.rsplit_once(" port ")?;
    let port = after.split([' ', ':']).next()?.parse().ok();
    let (user, address) = start.rsplit_once(before_address).unwrap_or(("", start));
    Some((user, Some(address.to_owned()).filter(|address| !address.contains(' ')), port))
}

/// `    alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls`, with a complaint before it when it was refused.
fn sudo(message: &str) -> Option<Meaning> {
    let (user, rest) = message.trim_start().split_once(" : ")?;
    let (rest, command) = match rest.split_once("COMMAND=") {
        Some((rest, command)) => (rest, Some(command.to_owned())),
        None => (rest, None),
    };
    let mut meaning = Meaning { kind: Some(Kind::Sudo), user: name(user), command, ..Meaning::default() };
    for part in rest.split(" ; ") {
        match part.trim().split_once('=') {
            Some(("TTY", tty)) => meaning.tty = name(tty),
            Some(("USER", user)) => meaning.target_user = name(user),
            Some(_) => {}
            None if part.trim().is_empty() => {}
            // What stands there without a name is why sudo refused.
            None => meaning.kind = Some(Kind::Failure),
        }
    }
    (meaning.command.is_some() || meaning.tty.is_some() || meaning.kind == Some(Kind::Failure)).then_some(meaning)
}

/// `(to root) alice on pts/0`, `FAILED SU (to root) alice on pts/0`.
fn su(message: &str) -> Option<Meaning> {
    let failed = message.strip_prefix("FAILED SU ");
    let (target, rest) = failed.unwrap_or(message).strip_prefix("(to ")?.split_once(") ")?;
    let (user, tty) = rest.rsplit_once(" on ").unwrap_or((rest, ""));
    let kind = if failed.is_some() { Kind::Failure } else { Kind::Su };
    let (user, target_user, tty) = (name(user), name(target), name(tty));
    Some(Meaning { kind: Some(kind), user, target_user, tty, ..Meaning::default() })
}

/// `FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure`, `ROOT LOGIN  on '/dev/tty1'`.
fn login(message: &str) -> Option<Meaning> {
    let quoted = |after: &str| {
        let (_, rest) = message.split_once(after)?;
        let rest = rest.trim_start_matches([' ', '\'', '`']);
        rest.split(['\'', ',']).next().and_then(name)
    };
    if message.starts_with("FAILED LOGIN") {
        let (user, tty) = (quoted(" FOR "), quoted(" on "));
        Some(Meaning { kind: Some(Kind::Failure), user, tty, ..Meaning::default() })
    } else if message.starts_with("ROOT LOGIN") || message.starts_with("LOGIN ON") {
        let user = if message.starts_with("ROOT") { Some("root".to_owned()) } else { quoted(" BY ") };
        Some(Meaning { kind: Some(Kind::Login), user, tty: quoted(" on "), ..Meaning::default() })
    } else {
        None
    }
}

/// `New session 5 of user alice.`
fn logind(message: &str) -> Option<Meaning> {
    if let Some((_, user)) = message.strip_prefix("New session ").and_then(|rest| rest.split_once(" of user ")) {
        let user = name(user.split('.').next().unwrap_or(user));
        return Some(Meaning { kind: Some(Kind::SessionOpened), user, ..Meaning::default() });
    }
    let kind = if message.starts_with("Removed session ") {
        Kind::SessionClosed
    } else if message.starts_with("System is powering down") || message.starts_with("System is rebooting") {
        Kind::Shutdown
    } else {
        return None;
    };
    Some(Meaning { kind: Some(kind), ..Meaning::default() })
}

/// shadow's programs: `new user: name=bob, UID=1001`, `delete user 'bob'`, `password changed for bob`.
fn account(message: &str) -> Option<Meaning> {
    let user = message
        .split_once("name=")
        .map(|(_, rest)| rest)
        .or_else(|| message.split_once(" '").map(|(_, rest)| rest))
        .or_else(|| message.strip_prefix("password changed for "))
        .and_then(|rest| rest.split([',', '\'', ' ', ';']).next())
        .and_then(name);
    Some(Meaning { kind: Some(Kind::Account), user, ..Meaning::default() })
}

/// `pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)`, and its refusals.
fn pam(message: &str) -> Option<Meaning> {
    let (module, rest) = message.split_once("): ")?;
    let (module, _) = module.split_once('(')?;
    if !module.starts_with("pam_") || module.contains(' ') {
        return None;
    }
    for (start, kind) in
        [("session opened for user ", Kind::SessionOpened), ("session closed for user ", Kind::SessionClosed)]
    {
        if let Some(rest) = rest.strip_prefix(start) {
            let user = name(rest.split([' ', '(']).next().unwrap_or_default());
            return Some(Meaning { kind: Some(kind), user, ..Meaning::default() });
        }
    }
    if rest.starts_with("password changed for ") {
        return account(rest);
    }
    // The name comes last, and so cannot pretend to be anything that stands before it.
    let (facts, user) = rest.strip_prefix("authentication failure; ")?.split_once(" user=").unwrap_or((rest, ""));
    let fact = |key: &str| facts.split(' ').find_map(|word| word.strip_prefix(key)).and_then(name);
    Some(Meaning {
        kind: Some(Kind::Failure),
        user: name(user.trim()),
        address: fact("rhost="),
        tty: fact("tty="),
        ..Meaning::default()
    })
}

fn name(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(program: &str, message: &str) -> (Option<Kind>, String) {
        let found = read(program, message);
        let port = found.port.map(|port| port.to_string());
        let parts = [found.user, found.target_user, found.address, port, found.method, found.tty, found.command];
        (found.kind, parts.into_iter().flatten().collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn each_program_is_understood_in_its_own_words() {
        for (program, message, kind, parts) in [
            (
                "sshd",
                "Accepted publickey for alice from 192.0.2.7 port 50022 ssh2: ED25519 SHA256:abc",
                Kind::Login,
                "alice|192.0.2.7|50022|publickey",
            ),
            (
                "sshd-session",
                "Failed password for root from 2001:db8::1 port 22 ssh2",
                Kind::Failure,
                "root|2001:db8::1|22|password",
            ),
            (
                "sshd",
                "Failed password for invalid user oracle from 192.0.2.9 port 4 ssh2",
                Kind::Failure,
                "oracle|192.0.2.9|4|password",
            ),
            ("sshd", "Invalid user admin from 192.0.2.9 port 40000", Kind::Failure, "admin|192.0.2.9|40000"),
            (
                "sshd",
                "Connection closed by authenticating user root 192.0.2.9 port 5 [preauth]",
                Kind::Failure,
                "root|192.0.2.9|5",
            ),
            ("sshd", "Disconnected from user alice 192.0.2.7 port 50022", Kind::Logout, "alice|192.0.2.7|50022"),
            (
                "sshd",
                "User bob from 192.0.2.9 not allowed because not listed in AllowUsers",
                Kind::Failure,
                "bob|192.0.2.9",
            ),
            (
                "sshd",
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.9  user=root",
                Kind::Failure,
                "root|192.0.2.9|ssh",
            ),
            (
                "sshd",
                "pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
                Kind::SessionOpened,
                "alice",
            ),
            ("CRON", "pam_unix(cron:session): session closed for user root", Kind::SessionClosed, "root"),
            (
                "sudo",
                "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id -u",
                Kind::Sudo,
                "alice|root|pts/0|/usr/bin/id -u",
            ),
            (
                "sudo",
                "mallory : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
                Kind::Failure,
                "mallory|root|pts/1|/bin/sh",
            ),
            ("su", "(to root) alice on pts/0", Kind::Su, "alice|root|pts/0"),
            ("su", "FAILED SU (to root) mallory on pts/1", Kind::Failure, "mallory|root|pts/1"),
            ("systemd-logind", "New session 5 of user alice.", Kind::SessionOpened, "alice"),
            (
                "useradd",
                "new user: name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/sh, from=none",
                Kind::Account,
                "bob",
            ),
            ("userdel", "delete user 'bob'", Kind::Account, "bob"),
            ("passwd", "pam_unix(passwd:chauthtok): password changed for bob", Kind::Account, "bob"),
            (
                "login",
                "FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
                Kind::Failure,
                "root|/dev/tty1",
            ),
        ] {
            assert_eq!(told(program, message), (Some(kind), parts.to_owned()), "{message}");
        }
        for (program, message) in [
            ("sshd", "Server listening on 0.0.0.0 port 22."),
            ("nginx", "Accepted password for x from y port 1"),
            ("sudo", "hello"),
        ] {
            assert_eq!(told(program, message), (None, String::new()), "{message}");
        }
    }

    #[test]
    fn a_name_cannot_pretend_to_come_from_elsewhere() {
        let message = "Failed password for invalid user root from 10.0.0.1 port 1 ssh2 from 192.0.2.66 port 999 ssh2";
        let found = read("sshd", message);
        assert_eq!((found.address.as_deref(), found.port, found.unknown_user), (Some("192.0.2.66"), Some(999), true));
        let message = "pam_unix(sshd:auth): authentication failure; logname= uid=0 tty=ssh rhost=192.0.2.66  user=x rhost=10.0.0.1";
        assert_eq!(read("sshd", message).address.as_deref(), Some("192.0.2.66"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(
            program in "sshd|sudo|su|login|useradd|systemd-logind|x",
            message in "\\PC*|(Accepted|Failed|Invalid user|User|pam_x\\(a:b\\):|FAILED LOGIN|\\(to)[ a-zé'=:;]{0,40}( from | port | on )[0-9 ]{0,9}",
        ) {
            let _ = read(&program, &message);
        }
    }
}
