//! The lines that sudoers(5) knows, and some that it does not.

use proptest::prelude::*;

use super::*;

fn rules(line: &str) -> Vec<Rule> {
    match parse(line) {
        Ok(Some(Line::Rules(rules))) => rules,
        other => panic!("{line}: {other:?}"),
    }
}

/// A rule in one line: users @ hosts (users:groups) tags command.
fn shown(rule: &Rule) -> String {
    let list = |names: &Option<Vec<String>>| names.as_ref().map_or_else(|| "-".to_owned(), |names| names.join(","));
    let denied = if rule.denied { "!" } else { "" };
    format!(
        "{}@{} ({}:{}) {} {denied}{}",
        rule.users.join(","),
        rule.hosts.join(","),
        list(&rule.run_as_users),
        list(&rule.run_as_groups),
        [rule.tags.clone(), rule.options.clone()].concat().join(","),
        rule.command
    )
}

#[test]
fn a_rule_says_who_where_as_whom_and_what() {
    let table = [
        ("root ALL=(ALL:ALL) ALL", vec!["root@ALL (ALL:ALL)  ALL"]),
        ("%sudo\tALL = ( ALL : ALL ) NOPASSWD : ALL # why", vec!["%sudo@ALL (ALL:ALL) NOPASSWD ALL"]),
        (
            "alice, !bob web1,10.0.0.0/8 = /bin/ls, (www) NOPASSWD: /bin/a x y, PASSWD: !/bin/b \"\"",
            vec![
                "alice,!bob@web1,10.0.0.0/8 (-:-)  /bin/ls",
                "alice,!bob@web1,10.0.0.0/8 (www:-) NOPASSWD /bin/a x y",
                "alice,!bob@web1,10.0.0.0/8 (www:-) PASSWD !/bin/b \"\"",
            ],
        ),
        (
            "#1000 A = (:adm) ALL : B = (root) SETENV: NOEXEC: /bin/c a\\,b\\:c\\=d",
            vec!["#1000@A (:adm)  ALL", "#1000@B (root:-) SETENV,NOEXEC /bin/c a,b:c=d"],
        ),
        ("\"domain users\" ALL = sudoedit /etc/motd", vec!["domain users@ALL (-:-)  sudoedit /etc/motd"]),
        (
            "op ALL = TIMEOUT=5m CWD=/tmp NOPASSWD: sha256:abc= /bin/d",
            vec!["op@ALL (-:-) NOPASSWD,TIMEOUT=5m,CWD=/tmp sha256:abc= /bin/d"],
        ),
        ("op ALL = POWER, !SHELLS", vec!["op@ALL (-:-)  POWER", "op@ALL (-:-)  !SHELLS"]),
        ("op ALL = !!/bin/e", vec!["op@ALL (-:-)  /bin/e"]),
    ];
    for (line, wanted) in table {
        let rules: Vec<String> = rules(line).iter().map(shown).collect();
        assert_eq!(rules, wanted, "{line}");
    }
}

#[test]
fn other_lines_are_aliases_defaults_and_includes() {
    let alias = parse("User_Alias ADMINS = alice, %wheel : OPS=bob").unwrap().unwrap();
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let aliases = vec![("ADMINS".to_owned(), owned(&["alice", "%wheel"])), ("OPS".to_owned(), owned(&["bob"]))];
    assert_eq!(alias, Line::Aliases { kind: AliasKind::User, aliases });
    let command = parse("Cmnd_Alias POWER = /sbin/halt -p, !/sbin/reboot").unwrap().unwrap();
    let aliases = vec![("POWER".to_owned(), owned(&["/sbin/halt -p", "!/sbin/reboot"]))];
    assert_eq!(command, Line::Aliases { kind: AliasKind::Command, aliases });
    let defaults = |line| match parse(line).unwrap().unwrap() {
        Line::Defaults { scope, settings } => (scope, settings),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        defaults("Defaults env_reset, secure_path=\"/a,b:/c\""),
        (None, owned(&["env_reset", "secure_path=\"/a,b:/c\""]))
    );
    assert_eq!(defaults("Defaults:alice !requiretty"), (Some(":alice".into()), owned(&["!requiretty"])));
    assert_eq!(defaults("Defaults!/bin/x\tnoexec"), (Some("!/bin/x".into()), owned(&["noexec"])));
    let include = |path: &str, folder| Line::Include { path: path.to_owned(), folder };
    assert_eq!(parse("#includedir /etc/sudoers.d").unwrap().unwrap(), include("/etc/sudoers.d", true));
    assert_eq!(parse("@include \"a b\"").unwrap().unwrap(), include("a b", false));
    assert_eq!((parse("# comment"), parse("  "), parse("#")), (Ok(None), Ok(None), Ok(None)));
}

#[test]
fn a_line_goes_on_behind_a_backslash() {
    let lines = logical_lines("a \\\n  b\\\nc\nd\n\\\n");
    assert_eq!(lines, [(1, "a   bc".to_owned()), (4, "d".to_owned()), (5, String::new())]);
}

#[test]
fn what_is_not_understood_is_said_to_be() {
    for line in [
        "alice",
        "alice ALL",
        "alice ALL =",
        "= ALL",
        "alice ALL = (root ALL",
        "alice ALL = bin/ls",
        "User_Alias lower = x",
        "Defaultsx y",
        "User_Alias A = b c",
        "alice ALL = ALL : ",
        "alice ALL = ALL garbage = x",
        "Defaults",
        "Defaults a,,b",
        "-----BEGIN",
    ] {
        assert_eq!(parse(line), Err(()), "{line}");
    }
}

proptest! {
    #[test]
    fn no_line_is_a_panic(line in "\\PC*|(Defaults|User_Alias |a |ALL|=|\\(|\\)|:|,|!|#|@include |\"|\\\\| |/bin/x){0,14}") {
        let _ = (parse(&line), logical_lines(&line));
    }
}
