//! Secrets in command lines: behind flags that name them, and where well-known programs take them.

use super::builtin::{ARGUMENT, Shape, around};
use super::innocent;

/// A flag whose argument is a secret.
const FLAG: &str = concat!(
    r"--?(?:[a-z0-9]+[_-])*",
    r"(?:password|passwd|passphrase|passcode|passin|passout|requirepass|pass|pwd|pw|(?-i:masterauth)|secret[_-]?id|secret|",
    r"token|(?:api|access|secret|encryption|private|signing)[_-]?key)",
);
/// The argument of a flag.
const ARGUED: &str = r#"(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s-]\S*)"#;
/// A user, a colon and a password.
const USER: &str = r#"(?:"[^"\n:]*:[^"\n]*"|'[^'\n:]*:[^'\n]*'|[^\s:"']*:\S+)"#;

/// Programs with a flag behind which a secret stands: literals of which the text has one, the program with what must stand
/// before the flag, the flag.
const PROGRAMS: [(&[&str], &str, &str); 11] = [
    (&["mysql", "mariadb"], "(?:mysql|mysqldump|mysqladmin|mariadb)", "-p"),
    (&["redis-cli"], "redis-cli", r"-a[ \t]*"),
    (&["ldap"], "ldap(?:search|modify|add|delete|whoami|passwd|compare|modrdn)", r"-w[ \t]*"),
    (
        &["docker login", "podman login", "nerdctl login", "buildah login", "skopeo login", "registry login"],
        "(?:docker|podman|nerdctl|buildah|skopeo|registry) login",
        r"-p[ \t=]*",
    ),
    (&["mongo"], "mongo(?:sh|d|dump|restore|export|import|stat|top)?", r"-p[ \t]*"),
    (&["ipmitool"], "ipmitool", r"-P[ \t]*"),
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
            literals: &["masterauth"],
            ..around(
                ARGUMENT,
                &["pass", "pw", "secr", "oken", "key"],
                &format!(r#"(?im)((?:^|[\s"'(])({FLAG})[ \t]+){ARGUED}"#),
                "$1",
                "",
            )
        },
        of(&["curl"], format!(r"((?-u:\b)curl(?:[ \t][^\n]*?)?[ \t](?:-u|-U|--user|--proxy-user)[ =]?){USER}")),
        of(&["--auth"], format!(r#"((?:^|[\s"'(])--auth[ =]){USER}"#)),
        of(&["sshpass"], format!(r"((?-u:\b)sshpass[ \t]+-p[ \t]*){ARGUED}")),
    ];
    shapes.extend(PROGRAMS.iter().map(|(literals, program, flag)| Shape {
        innocent: Some(innocent::port),
        ..of(literals, format!(r"((?-u:\b){program}(?:[ \t][^\n]*?)?[ \t]{flag}){ARGUED}"))
    }));
    shapes
}
