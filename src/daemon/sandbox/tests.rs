//! What the sandbox of a configuration leaves open.

use std::collections::BTreeSet;

use schemars::JsonSchema;

use super::*;
use crate::call::Impact;
use crate::clock::Clock;
use crate::config::{self, Environment};

#[derive(JsonSchema)]
struct Nothing {}

fn loaded(lines: &[(&str, &str)]) -> Loaded {
    let environment: Environment =
        lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let tools = compose::tools();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    config::defaults(&environment, &tools, Clock::system().now()).unwrap()
}

fn specs() -> Vec<ToolSpec> {
    let query = |name| ToolSpec::query::<Nothing, Nothing>(name, "", "", Impact::Low);
    vec![
        query("get_uptime"),
        query("get_processes").reading(["/etc/passwd"]).looking_into_processes(),
        ToolSpec { sensitive: true, ..query("get_cpu_info").reading(["/etc/shadow"]).starting_programs() },
    ]
}

#[test]
fn a_local_door_opens_what_its_queries_read_and_no_socket() {
    let plan = plan(&loaded(&[]), &specs());
    let paths: BTreeSet<PathBuf> = ["/etc/passwd", "/proc", "/sys"].map(PathBuf::from).into();
    assert_eq!(plan, Plan { read: paths, processes: true, ..Plan::default() });
}

#[test]
fn programs_get_what_is_kept_and_their_query_says_it_takes() {
    let query = |name| ToolSpec::query::<Nothing, Nothing>(name, "", "", Impact::Low);
    let specs = [
        query("get_uptime").better_with("CAP_SYSLOG"),
        query("get_cpu_info").starting_programs().better_with("CAP_NET_ADMIN").better_with("CAP_NET_RAW"),
    ];
    let handed_on = |kept: &str| {
        let plan = plan(&loaded(&[("DOORWARD__SANDBOX__CAPABILITIES", kept)]), &specs);
        let names: Vec<String> = plan.handed_on.iter().map(ToString::to_string).collect();
        (names.join(" "), plan.families.internet)
    };
    assert_eq!(handed_on("[CAP_SYSLOG]"), (String::new(), false));
    assert_eq!(handed_on("[CAP_SYSLOG, CAP_NET_ADMIN]"), ("CAP_NET_ADMIN".to_owned(), false));
    let (both, internet) = handed_on("[CAP_NET_ADMIN, CAP_NET_RAW]");
    assert!(both.contains("CAP_NET_ADMIN") && both.contains("CAP_NET_RAW") && internet, "{both}");
}

#[test]
fn what_no_scope_names_or_is_sensitive_and_shut_opens_nothing() {
    let shut = loaded(&[("DOORWARD__SCOPES__CORE", "[get_cpu_info]")]);
    assert_eq!(plan(&shut, &specs()), Plan::default());
    let open = loaded(&[
        ("DOORWARD__SCOPES__CORE", "[get_cpu_info]"),
        ("DOORWARD__QUERIES__SENSITIVE__ENABLED", "true"),
        ("DOORWARD__QUERIES__SENSITIVE__ALLOW", "[get_cpu_info]"),
    ]);
    let plan = plan(&open, &specs());
    assert!(plan.read.contains(Path::new("/etc/shadow")) && plan.programs && plan.families.unix, "{plan:?}");
    assert!(!plan.families.internet);
}

#[test]
fn the_journal_and_its_collector_are_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let with = |target: &str| {
        let plan = plan(
            &loaded(&[
                ("DOORWARD__AUDIT__ENABLED", "true"),
                ("DOORWARD__AUDIT__PATH", &path.display().to_string()),
                ("DOORWARD__AUDIT__SYSLOG__ENABLED", "true"),
                ("DOORWARD__AUDIT__SYSLOG__TARGET", target),
            ]),
            &[],
        );
        assert_eq!(plan.write, [folder.path().canonicalize().unwrap()].into());
        (plan.families.internet, plan.families.unix, plan.connect)
    };
    assert_eq!(with("unix:/dev/log"), (false, true, [].into()));
    assert_eq!(with("tcp://192.0.2.1:601"), (true, false, [601].into()));
    assert_eq!(with("udp://[2001:db8::1]:514"), (true, false, [].into()));
    assert_eq!(with("tcp://siem.example:601"), (true, true, [53, 601].into()));
}

#[test]
fn a_user_outside_the_groups_that_read_logs_is_told() {
    let spec = [ToolSpec::query::<Nothing, Nothing>("get_uptime", "", "", Impact::Low).better_in(&["journal", "adm"])];
    let noted = |asker: &Asker, kept: &str| {
        let mut loaded = loaded(&[("DOORWARD__SANDBOX__CAPABILITIES", kept)]);
        note_needs_of(&mut loaded, &spec, asker);
        loaded.notes().findings().len()
    };
    let user = |is_root, groups: &[&str]| Asker { is_root, groups: groups.iter().map(|&one| one.to_owned()).collect() };
    assert_eq!(noted(&user(false, &["users"]), "[]"), 1);
    assert_eq!(noted(&user(false, &["users", "adm"]), "[]"), 0);
    assert_eq!(noted(&user(false, &[]), "[CAP_DAC_READ_SEARCH]"), 0);
    assert_eq!(noted(&user(true, &[]), "[]"), 0);
    assert!(!user(false, &[]).is_outside(&[]));
}

#[test]
fn a_query_that_needs_more_is_noted() {
    let needy = ToolSpec::query::<Nothing, Nothing>("get_uptime", "", "", Impact::Low);
    let needy = [needy.looking_into_processes().better_with("CAP_SYSLOG")];
    let noted = |lines: &[(&str, &str)]| {
        let mut loaded = loaded(lines);
        note_needs_of(&mut loaded, &needy, &Asker { is_root: true, groups: Vec::new() });
        loaded.notes().findings().iter().map(|note| note.key().to_owned()).collect::<Vec<_>>()
    };
    let hidden = ("DOORWARD__SANDBOX__PROCESSES", "hidden");
    assert_eq!(noted(&[hidden]), ["sandbox.capabilities", "sandbox.processes"]);
    assert_eq!(noted(&[]), ["sandbox.capabilities"]);
    assert_eq!(noted(&[hidden, ("DOORWARD__SANDBOX__CAPABILITIES", "[CAP_SYSLOG]")]), ["sandbox.processes"]);
    for nothing in [("DOORWARD__SANDBOX__MODE", "off"), ("DOORWARD__SCOPES__CORE", "[get_cpu_info]")] {
        assert!(noted(&[nothing]).is_empty(), "{nothing:?}");
    }
}
