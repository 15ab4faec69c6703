//! Secrets in command lines: behind flags that name them, and where well-known programs take them.

use super::builtin::{ARGUMENT, Shape, around};
use super::innocent;
use super::names::QUOTED;
use super::redact::REDACTED;

/// A flag whose argument is a secret.
const FLAG: &str = concat!(
    r"--?(?:[a-z0-9]+[_-])*",
    r"(?:password|passwd|passphrase|passcode|passin|passout|requirepass|storepass|keypass|pass|pwd|pw|(?-i:masterauth)|",
    r"secret[_-]?id|secret|",
    r"token|(?:api|access|secret|encryption|private|signing)[_-]?key)",
);
/// The argument of a flag.
const ARGUED: &str = r#"(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s-]\S*)"#;
/// A user, a colon and a password.
const USER: &str = r#"(?:"[^"\n:]*:[^"\n]*"|'[^'\n:]*:[^'\n]*'|[^\s:"']*:\S+)"#;

/// Programs with a flag behind which a secret stands: literals of which the text has one, the program with what must stand
/// before the flag, the flag.
const PROGRAMS: [(&[&str], &str, &str); 28] = [
    (&["mysql", "mariadb"], "(?:mysql|mysqldump|mysqladmin|mariadb)", "-p"),
    (&["redis-cli"], "redis-cli", r"-a[ \t]*"),
    (&["ldap"], "ldap(?:search|modify|add|delete|whoami|passwd|compare|modrdn)", r"-w[ \t]*"),
    (
        &["docker login", "podman login", "nerdctl login", "buildah login", "skopeo login", "registry login"],
        "(?:docker|podman|nerdctl|buildah|skopeo|registry) login",
        r"-p[ \t=]*",
    ),
    (&["az login", "oc login"], "(?:az|oc) login", r"-p[ \t=]*"),
    (&["mongo"], "mongo(?:sh|d|dump|restore|export|import|stat|top)?", r"-p[ \t]*"),
    (&["cqlsh"], "cqlsh", r"-p[ \t]*"),
    (&["sqlcmd", "bcp", "isql", "tsql"], "(?:sqlcmd|bcp|[it]sql)", r"-P[ \t]*"),
    (&["sqlplus"], r"sqlplus(?:[ \t]+-[A-Za-z]+)*?", r"[A-Za-z0-9_$#]+/"),
    (&["ipmitool"], "ipmitool", r"-P[ \t]*"),
    (&["mosquitto_"], "mosquitto_(?:pub|sub|rr)", r"-P[ \t]*"),
    (&["zip"], "(?:un)?zip", r"-P[ \t]*"),
    (&["7z "], "7z", "-p"),
    (&["openssl"], "openssl", r"-[kK][ \t]+"),
    (&["openssl"], "openssl", r"-pass[ \t]+pass:"),
    (&["useradd", "usermod"], "user(?:add|mod)", r"(?:-p|--password)[ \t]+"),
    (&["smbclient", "rpcclient"], "(?:smb|rpc)client", r"(?:-U|--user)[ \t=]*[^\s%]+%"),
    (&["lftp"], "lftp", r"-u[ \t]*[^\s,]+,"),
    (&["freerdp", "rdesktop"], "(?:[a-z]*freerdp[0-9]?|rdesktop)", r"(?:/p:|-p[ \t]*)"),
    (&["etcdctl"], "etcdctl", r"--user[ \t=][^\s:]+:"),
    (&["nmcli"], "nmcli", r"password[ \t]+"),
    (
        &["rabbitmqctl"],
        r"rabbitmqctl(?:[ \t]+-\S+)*?",
        r"(?:add_user|change_password|authenticate_user)[ \t]+\S+[ \t]+",
    ),
    (&["--from-literal"], "create secret [a-z]+", r"--from-literal[= ][^\s=]+="),
    (&["snmp"], SNMP, r"-c[ \t]*"),
    (&["snmp"], SNMP, r"-A[ \t]*"),
    (&["snmp"], SNMP, r"-X[ \t]*"),
    // With -n there is no file before the user.
    (
        &["htpasswd"],
        r"htpasswd(?:[ \t]+-[A-Za-z0-9]+)*?",
        r"-(?:[A-Za-z]*n[A-Za-z]*b|[A-Za-z]*b[A-Za-z]*n)[A-Za-z]*(?:[ \t]+-[A-Za-z0-9]+)*[ \t]+[^\s-]\S*[ \t]+",
    ),
    (
        &["htpasswd"],
        r"htpasswd(?:[ \t]+-[a-mo-zA-Z0-9]+)*?",
        r"-[a-mo-zA-Z]*b[a-mo-zA-Z]*(?:[ \t]+-[a-mo-zA-Z0-9]+)*[ \t]+[^\s-]\S*[ \t]+[^\s-]\S*[ \t]+",
    ),
];
/// Programs that take a password from their standard input.
const ASKING: &str = concat!(
    r"sudo[ \t]+-[A-Za-z]*S|chpasswd|passwd[ \t]+--stdin|smbpasswd|kinit|cryptsetup|gpg2?[ \t][^\n|]*--passphrase-fd|",
    r"openssl[ \t][^\n|]*-(?:pass|passin)[ \t]+stdin|(?:docker|podman|helm)[ \t][^\n|]*--password-stdin",
);
/// Of these, in any case, every text holds one that has [`FLAG`] in it.
const FLAG_WORDS: [&str; 26] = [
    "pass",
    "pwd",
    "pw",
    "masterauth",
    "secret",
    "token",
    "apikey",
    "api-key",
    "api_key",
    "accesskey",
    "access-key",
    "access_key",
    "secretkey",
    "secret-key",
    "secret_key",
    "encryptionkey",
    "encryption-key",
    "encryption_key",
    "privatekey",
    "private-key",
    "private_key",
    "signingkey",
    "signing-key",
    "signing_key",
    "secret-id",
    "secretid",
];
/// The programs of net-snmp that ask; to its daemons `-c` names a file.
const SNMP: &str = "snmp(?:walk|get|getnext|bulkwalk|bulkget|set|table|status|inform|trap|df|test|netstat)";

/// The whole of an argument such as `--password`.
pub(super) fn flag() -> String {
    format!("(?i)^{FLAG}$")
}

/// Whether it is worth asking whether `argument` is one: a flag of no unusual length.
pub(super) fn may_be_flag(argument: &str) -> bool {
    argument.starts_with('-') && argument.len() <= 64
}

/// Secrets in command lines.
pub(super) fn arguments() -> Vec<Shape> {
    let of = |literals, pattern: String| Shape { literals, ..around(ARGUMENT, &[], &pattern, "$1", "") };
    let mut shapes = vec![
        Shape {
            innocent: Some(innocent::flag),
            also: &["-"],
            ..around(ARGUMENT, &FLAG_WORDS, &format!(r#"(?im)((?:^|[\s"'(])({FLAG})[ \t]+){ARGUED}"#), "$1", "")
        },
        of(
            &["curl"],
            format!(r"((?-u:\b)curl(?:[ \t][^\n]*?)?[ \t](?:-[A-Za-z#]{{0,12}}[uU]|--user|--proxy-user)[ =]?){USER}"),
        ),
        of(&["--auth"], format!(r#"((?:^|[\s"'(])--auth[ =]){USER}"#)),
        of(&["sshpass"], format!(r"((?-u:\b)sshpass[ \t]+-p[ \t]*){ARGUED}")),
        of(&["wpa_passphrase"], format!(r"((?-u:\b)wpa_passphrase[ \t]+[^\s=]+[ \t]+){ARGUED}")),
        Shape {
            innocent: Some(innocent::word),
            replacement: format!("$1{REDACTED}$3"),
            ..of(
                &["vault login"],
                r#"(vault login[ \t]+(?:-[a-z-]+(?:=\S+)?[ \t]+)*(?:token=)?)([^\s="'\\\[-][^\s="'\\]*)($|[\s"'\\])"#
                    .to_owned(),
            )
        },
        // PowerShell.
        Shape {
            innocent: Some(innocent::quoted),
            words: vec!["convertto-securestring"],
            ..of(&[], format!(r"(?i)(convertto-securestring[ \t]+(?:-string[ \t]+)?)({QUOTED}|[^\s$(-]\S*)"))
        },
        // What is handed over to a program that asks for a password.
        Shape {
            innocent: Some(innocent::path),
            replacement: format!("$1{REDACTED}$3"),
            also: &["echo", "printf"],
            ..of(
                &["sudo ", "passwd", "kinit", "cryptsetup", "login", "gpg", "openssl"],
                format!(
                    r#"((?-u:\b)(?:echo|printf)[ \t]+(?:-[neE]+[ \t]+)*)({ARGUED})([ \t]*\|[ \t]*(?:/[a-z/]*/)?(?:{ASKING}))"#
                ),
            )
        },
    ];
    shapes.extend(PROGRAMS.iter().map(|(literals, program, flag)| Shape {
        innocent: Some(innocent::port),
        ..of(literals, format!(r"((?-u:\b){program}(?:[ \t][^\n]*?)?[ \t]{flag}){ARGUED}"))
    }));
    shapes
}
