//! `get_systemd_units`: what systemd has to manage, from its files, and what each unit does now.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::extent::Extent;
use super::query::{Ask, HostQuery};
use super::systemd_state::{self, Activity, Loaded, Origin};
use super::unit_files::{self, Enablement, Tree, UnitFile};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::Before;

/// Bytes of one command line that are shown.
const COMMAND_BYTES: usize = 1024;

/// Units with a file that are looked at.
const UNITS: usize = 20_000;

pub(super) struct Query;

/// Which units.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only units with this in their name, in capitals or not.
    #[schemars(length(min = 1, max = 256))]
    name: Option<String>,
    /// Only units of this kind.
    kind: Option<Kind>,
    /// Only units in this state, without other names of theirs unless name asks for one. `failed` needs systemd itself to be asked;
    /// see states_from in the answer.
    active: Option<Activity>,
    /// Only units that are enabled in this way.
    enablement: Option<Enablement>,
    /// Also what it runs, as whom, and what it is bound to.
    details: bool,
    /// Most units to list.
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { name: None, kind: None, active: None, enablement: None, details: false, limit: 100 }
    }
}

/// A kind of unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// A program.
    Service,
    /// A socket that starts one.
    Socket,
    /// A group of units.
    Target,
    /// A clock that starts one.
    Timer,
    /// A mount.
    Mount,
    /// A place that is mounted when it is looked at.
    Automount,
    /// A path that starts one.
    Path,
    /// A group of cgroups.
    Slice,
    /// Processes that others started.
    Scope,
    /// Swap space.
    Swap,
    /// A device.
    Device,
}

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Self::Service => ".service",
            Self::Socket => ".socket",
            Self::Target => ".target",
            Self::Timer => ".timer",
            Self::Mount => ".mount",
            Self::Automount => ".automount",
            Self::Path => ".path",
            Self::Slice => ".slice",
            Self::Scope => ".scope",
            Self::Swap => ".swap",
            Self::Device => ".device",
        }
    }
}

/// Units.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Where `active` and `sub` are from. All else is from files.
    states_from: Origin,
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// Number of units that failed, of all; absent where that is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<usize>,
    /// The units, by name.
    units: Vec<Unit>,
    /// What is not known, and why.
    not_shown: Vec<String>,
}

/// A unit.
#[derive(Serialize, JsonSchema)]
struct Unit {
    /// Its name, such as ssh.service.
    name: String,
    /// What it is, for a reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Its file; a unit that systemd made by itself has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whether it is started by itself, by its file and the links to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    enablement: Option<Enablement>,
    /// The unit that this is only another name of.
    #[serde(skip_serializing_if = "Option::is_none")]
    alias_of: Option<String>,
    /// Files that change it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drop_ins: Vec<String>,
    /// What it does now.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Activity>,
    /// The same more closely, in the words of its kind: running, exited, dead, listening.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// Whether systemd could load it: loaded, not-found, masked, bad-setting, error.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<String>,
    /// Number of its processes, by the cgroup tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<usize>,
    /// What it runs and needs; only with `details`.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// What a unit runs and needs, drop-ins included.
#[derive(Serialize, JsonSchema)]
struct Details {
    /// How a service is known to have started: simple, forking, oneshot, notify and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_type: Option<String>,
    /// What it runs.
    exec_start: Vec<String>,
    /// The user it runs as; root where none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// When it is started again by itself: no, on-failure, always and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<String>,
    /// What a socket listens on.
    listen: Vec<String>,
    /// Units it cannot be without.
    requires: Vec<String>,
    /// Units it starts with it.
    wants: Vec<String>,
    /// Units that start before it.
    after: Vec<String>,
    /// Units that start it, once it is enabled.
    wanted_by: Vec<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_systemd_units",
            "Units of systemd",
            "Services, sockets, mounts and other units of systemd: their files and drop-ins, whether they are enabled, and \
             what they do now. To find what is broken ask with active: failed.",
            Impact::Medium,
        )
        .reading(unit_files::PATHS)
    }

    fn reach(spec: &mut ToolSpec, host: &Host) {
        systemd_state::reach(spec, host);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut not_shown = Vec::new();
        let tree = Tree::read(ask)?;
        if tree.is_empty() {
            not_shown.push("this host has no units of systemd".to_owned());
        }
        let loaded = systemd_state::loaded(ask.host, &mut not_shown);
        let from_files = loaded.is_none() && systemd_state::shows_running(ask.host);
        let states_from = match (&loaded, from_files) {
            (Some(_), _) => Origin::Systemd,
            (None, true) => Origin::Files,
            (None, false) => Origin::None,
        };
        if args.active == Some(Activity::Failed) && loaded.is_none() {
            let what = "which units failed is known to systemd alone, and it cannot be asked here";
            return Err(Failure::new(Code::ToolFailed, what));
        }
        let mut names: BTreeSet<&str> = tree.names().take(UNITS).collect();
        names.extend(loaded.iter().flat_map(|units| units.keys().map(String::as_str)));
        let (total, wanted_name) = (names.len(), args.name.as_ref().map(|name| name.to_lowercase()));
        let named = |name: &str| wanted_name.as_ref().is_none_or(|wanted| name.to_lowercase().contains(wanted));
        if let Some(wanted) = args.name.as_ref().filter(|_| !names.iter().any(|name| named(name))) {
            return Err(unknown("unit with this in its name:", wanted, &names));
        }
        let (mut units, mut matching) = (Vec::new(), 0_usize);
        let most = args.limit.min(ask.limits.max_array_items);
        let redactor = args.details.then(|| ask.redactor("units.details.exec_start")).transpose()?;
        for name in names {
            ask.go_on()?;
            let fits = named(name) && args.kind.is_none_or(|kind| name.ends_with(kind.ending()));
            if !fits {
                continue;
            }
            let counts = tree.target(name).unwrap_or(name);
            // systemctl(1) lists what runs once, too.
            if args.active.is_some() && wanted_name.is_none() && counts != name {
                continue;
            }
            let live = loaded.as_ref().and_then(|units| units.get(counts));
            let active = live.map(|unit| unit.active).or_else(|| {
                let runs = || if systemd_state::runs(ask.host, counts) { Activity::Active } else { Activity::Inactive };
                // What systemd has not loaded does not run, and a template never does.
                let known = from_files.then(runs).or(loaded.as_ref().map(|_| Activity::Inactive));
                known.filter(|_| !name.contains("@."))
            });
            if args.active.is_some_and(|wanted| active != Some(wanted)) {
                continue;
            }
            // Reading all files of a host takes longer than listing them.
            let file = (args.enablement.is_some() || units.len() < most).then(|| tree.load(ask, name)).flatten();
            if args.enablement.is_some_and(|wanted| file.as_ref().is_none_or(|file| file.enablement != wanted)) {
                continue;
            }
            matching = matching.saturating_add(1);
            if units.len() < most {
                let alias_of = tree.target(name).map(str::to_owned);
                units.push(Unit { alias_of, ..describe(ask, name, file, live, active, redactor.as_ref()) });
            }
        }
        let failed = loaded.map(|units| units.values().filter(|unit| unit.active == Activity::Failed).count());
        let extent = Extent::new(total, matching, units.len())
            .narrow("raise limit, or narrow with name, kind, active or enablement");
        Ok(Answer { states_from, extent, failed, units, not_shown })
    }
}

fn describe(
    ask: &Ask<'_>,
    name: &str,
    file: Option<UnitFile>,
    live: Option<&Loaded>,
    active: Option<Activity>,
    details: Option<&Before<'_>>,
) -> Unit {
    let described = file.as_ref().and_then(|file| file.settings.last("Unit", "Description")).map(str::to_owned);
    let slice = file.as_ref().and_then(|file| file.settings.last("Service", "Slice")).map(str::to_owned);
    Unit {
        name: name.to_owned(),
        description: live.map(|unit| unit.description.clone()).filter(|text| !text.is_empty()).or(described),
        enablement: file.as_ref().map(|file| file.enablement),
        details: file.as_ref().zip(details).map(|(file, redactor)| self::details(file, redactor)),
        drop_ins: file.as_ref().map(|file| file.drop_ins.clone()).unwrap_or_default(),
        file: file.map(|file| file.path),
        alias_of: None,
        active,
        sub: live.map(|unit| unit.sub.clone()),
        load: live.map(|unit| unit.load.clone()),
        processes: systemd_state::processes(ask.host, name, slice.as_deref()),
    }
}

fn details(file: &UnitFile, redactor: &Before<'_>) -> Details {
    let settings = &file.settings;
    let last = |section: &str, key: &str| settings.last(section, key).map(str::to_owned);
    let words = |section: &str, key: &str| -> Vec<String> {
        settings.all(section, key).iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
    };
    let commands = settings.all("Service", "ExecStart").iter().map(|command| {
        // Before it is cut: half a secret has no form any more.
        let command = redactor.clean(command);
        let end = command.floor_char_boundary(COMMAND_BYTES);
        command.get(..end).unwrap_or_default().to_owned()
    });
    let listens = ["ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenNetlink"];
    Details {
        service_type: last("Service", "Type"),
        exec_start: commands.collect(),
        user: last("Service", "User"),
        restart: last("Service", "Restart"),
        listen: listens.iter().flat_map(|key| settings.all("Socket", key)).cloned().collect(),
        requires: words("Unit", "Requires"),
        wants: words("Unit", "Wants"),
        after: words("Unit", "After"),
        wanted_by: words("Install", "WantedBy"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::json;

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    #[test]
    fn where_systemd_cannot_be_asked_files_say_what_runs() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("usr/lib/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        for name in ["a.service", "b.service", "t@.service"] {
            std::fs::write(units.join(name), "[Service]\nExecStart=/bin/true\n").unwrap();
        }
        let running = root.path().join("run/systemd/units");
        std::fs::create_dir_all(&running).unwrap();
        symlink("0123", running.join("invocation:a.service")).unwrap();
        let group = root.path().join("sys/fs/cgroup/system.slice/a.service");
        std::fs::create_dir_all(&group).unwrap();
        std::fs::write(group.join("cgroup.procs"), "7\n8\n9\n").unwrap();
        let host = Host::folder(root.path());
        symlink("a.service", units.join("other.service")).unwrap();
        let named = |arguments| {
            let answer = ask::<Query>(&host, arguments).unwrap();
            let units = answer["units"].as_array().unwrap().iter();
            units.map(|unit| unit["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(named(json!({"active": "active"})), ["a.service"]);
        assert_eq!(named(json!({"active": "active", "name": "other"})), ["other.service"]);
        assert_eq!(named(json!({})), ["a.service", "b.service", "other.service", "t@.service"]);
        std::fs::remove_file(units.join("other.service")).unwrap();
        let answer = ask::<Query>(&host, json!({})).unwrap();
        assert_eq!((&answer["states_from"], answer.get("failed")), (&json!("files"), None));
        assert_eq!((&answer["units"][0]["active"], &answer["units"][0]["processes"]), (&json!("active"), &json!(3)));
        assert_eq!((&answer["units"][1]["active"], answer["units"][2].get("active")), (&json!("inactive"), None));
        assert!(ask::<Query>(&host, json!({"active": "failed"})).unwrap_err().public().contains("systemd alone"));
        // systemd runs, and what would ask it is not there.
        std::fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        let answer = ask::<Query>(&host, json!({})).unwrap();
        assert!(answer["not_shown"][0].as_str().unwrap().contains("could not be asked"), "{answer}");
    }

    #[test]
    fn files_that_are_no_files_and_long_lists_hold_nothing_up() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(units.join("folder.service")).unwrap();
        symlink("circle.service", units.join("circle.service")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, units.join("pipe.service"), mode).unwrap();
        std::fs::write(units.join("empty.service"), "").unwrap();
        std::fs::File::create(units.join("holes.service")).unwrap().set_len(1 << 40).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"limit": 4})).unwrap();
        assert_eq!((&answer["matching"], answer["units"].as_array().unwrap().len()), (&json!(5), 4));
        assert_eq!((&answer["returned"], &answer["left_out"]), (&json!(4), &json!(1)));
        assert!(answer["narrow"].as_str().unwrap().starts_with("raise limit"), "{answer}");
        let state = |name: &str| {
            let answer = ask::<Query>(&Host::folder(root.path()), json!({"name": name})).unwrap();
            answer["units"][0]["enablement"].as_str().unwrap().to_owned()
        };
        assert_eq!(
            ["pipe", "circle", "empty", "folder", "holes"].map(state),
            ["bad", "bad", "masked", "bad", "static"]
        );
    }

    #[test]
    fn secrets_in_commands_go_before_the_cut() {
        let root = tempfile::tempdir().unwrap();
        let units = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        let command = format!("/{} dop_v1_{}", "y".repeat(COMMAND_BYTES - 30), "a1b2c3d4".repeat(8));
        std::fs::write(units.join("a.service"), format!("[Service]\nExecStart={command}\n")).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"details": true})).unwrap().to_string();
        assert!(answer.contains("yyy [REDACTED]") && !answer.contains("dop_"), "{answer}");
    }
}
