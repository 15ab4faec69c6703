//! `get_systemd_timers`: the timers of systemd, when they ran last and when they run next.

use std::time::UNIX_EPOCH;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::extent::Extent;
use super::quantity::moment;
use super::query::{Ask, HostQuery};
use super::systemd_state::{self, Origin, Timer as Live};
use super::unit_files::{self, Enablement, Tree, UnitFile};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;

/// systemd.timer(5): what sets a timer off.
const TRIGGERS: [&str; 8] = [
    "OnCalendar",
    "OnActiveSec",
    "OnBootSec",
    "OnStartupSec",
    "OnUnitActiveSec",
    "OnUnitInactiveSec",
    "OnClockChange",
    "OnTimezoneChange",
];

pub(super) struct Query;

/// Which timers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only timers with this in their name or in that of the unit they start, in capitals or not.
    #[schemars(length(min = 1, max = 256))]
    name: Option<String>,
    /// Only timers that are enabled or loaded.
    enabled: bool,
    /// Most timers to list.
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { name: None, enabled: false, limit: 100 }
    }
}

/// Timers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Where `next` is from; `systemd` is the only one that knows it. All else is from files.
    states_from: Origin,
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The timers, by name.
    timers: Vec<Timer>,
    /// What is not known, and why.
    not_shown: Vec<String>,
}

/// A timer.
#[derive(Serialize, JsonSchema)]
struct Timer {
    /// Its name, such as apt-daily.timer.
    name: String,
    /// What it is, for a reader.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// The unit it starts.
    activates: String,
    /// Its file; one that was made by a program has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Whether it is started by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    enablement: Option<Enablement>,
    /// What sets it off, in the words of systemd.timer(5).
    triggers: Vec<Trigger>,
    /// Whether a run that was missed while the host was off is made up for.
    persistent: bool,
    /// By how much runs are delayed at random, as the file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    randomized_delay: Option<String>,
    /// When it ran last: RFC 3339, UTC. Of one that is not persistent only systemd itself knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// When it runs next: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What sets a timer off.
#[derive(Serialize, JsonSchema)]
struct Trigger {
    /// The kind, such as OnCalendar.
    on: String,
    /// The time or span, such as `daily` or `15min`.
    value: String,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_systemd_timers",
            "Timers of systemd",
            "The timers of systemd: what they start and when, when they ran last, and where systemd runs, when they run \
             next. Jobs of cron are in get_cron_jobs.",
            Impact::Medium,
        )
        .reading(unit_files::PATHS).reading(["/var/lib/systemd/timers"])
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
        let live = systemd_state::timers(ask.host, &mut not_shown);
        let mut names: Vec<&str> = tree.names().filter(|name| name.ends_with(".timer")).collect();
        names.extend(live.iter().flat_map(|timers| timers.keys().map(String::as_str)));
        names.sort_unstable();
        names.dedup();
        let wanted = args.name.as_ref().map(|name| name.to_lowercase());
        let (mut timers, mut named_so, total) = (Vec::new(), false, names.len());
        for &name in &names {
            ask.go_on()?;
            let running = live.as_ref().and_then(|timers| timers.get(name));
            let timer = describe(ask, name, tree.load(ask, name), running);
            let on = matches!(timer.enablement, Some(Enablement::Enabled | Enablement::EnabledRuntime));
            let named = |text: &str, wanted: &str| text.to_lowercase().contains(wanted);
            let fits = wanted.as_ref().is_none_or(|wanted| named(name, wanted) || named(&timer.activates, wanted));
            named_so |= fits;
            if fits && (!args.enabled || on || running.is_some()) {
                timers.push(timer);
            }
        }
        if let Some(wanted) = args.name.as_ref().filter(|_| !named_so) {
            return Err(unknown("timer with this in its name:", wanted, &names));
        }
        let most = args.limit.min(ask.limits.max_array_items);
        let extent = Extent::cut(&mut timers, total, most).narrow("raise limit, or narrow with name or enabled");
        let states_from = match live {
            Some(_) => Origin::Systemd,
            None if ask.host.names("var/lib/systemd/timers").is_ok() => Origin::Files,
            None => Origin::None,
        };
        Ok(Answer { states_from, extent, timers, not_shown })
    }
}

fn describe(ask: &Ask<'_>, name: &str, file: Option<UnitFile>, live: Option<&Live>) -> Timer {
    let own = name.strip_suffix(".timer").map(|stem| format!("{stem}.service")).unwrap_or_default();
    let last =
        |section: &str, key: &str| file.as_ref().and_then(|file| file.settings.last(section, key)).map(str::to_owned);
    let time = |micros: u64| moment(micros / 1000);
    let triggers = file.iter().flat_map(|file| {
        TRIGGERS.iter().flat_map(|on| {
            let values = file.settings.all("Timer", on).iter();
            values.map(|value| Trigger { on: (*on).to_owned(), value: value.clone() })
        })
    });
    let ran = live.and_then(|timer| timer.last).filter(|last| *last > 0).and_then(time);
    Timer {
        name: name.to_owned(),
        description: last("Unit", "Description"),
        activates: last("Timer", "Unit").or_else(|| live.and_then(|timer| timer.activates.clone())).unwrap_or(own),
        enablement: file.as_ref().map(|file| file.enablement),
        triggers: triggers.collect(),
        persistent: last("Timer", "Persistent").is_some_and(|value| ["yes", "true", "on", "1"].contains(&&*value)),
        randomized_delay: last("Timer", "RandomizedDelaySec"),
        last: ran.or_else(|| stamped(ask, name)),
        next: live.and_then(|timer| timer.next).filter(|next| *next > 0).and_then(time),
        file: file.map(|file| file.path),
    }
}

/// systemd touches a file each time a persistent timer runs.
fn stamped(ask: &Ask<'_>, name: &str) -> Option<String> {
    let (_, about) = ask.host.file(&format!("var/lib/systemd/timers/stamp-{name}")).ok()?;
    let since = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    moment(u64::try_from(since.as_millis()).ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_persistent_timer_ran_when_its_stamp_was_touched() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["usr/lib/systemd/system", "var/lib/systemd/timers"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let unit = "[Timer]\nOnCalendar=daily\nOnCalendar=\nOnCalendar=hourly\nPersistent=yes\n[Install]\nWantedBy=timers.target\n";
        std::fs::write(root.path().join("usr/lib/systemd/system/x.timer"), unit).unwrap();
        let stamp = std::fs::File::create(root.path().join("var/lib/systemd/timers/stamp-x.timer")).unwrap();
        stamp.set_modified(UNIX_EPOCH + Duration::from_secs(1_762_150_364)).unwrap();
        let answer = ask::<Query>(&Host::folder(root.path()), json!({})).unwrap();
        assert_eq!(
            answer,
            json!({
                "states_from": "files", "total": 1, "matching": 1, "returned": 1, "left_out": 0, "not_shown": [],
                "timers": [{
                    "name": "x.timer", "activates": "x.service", "file": "/usr/lib/systemd/system/x.timer",
                    "enablement": "disabled", "triggers": [{"on": "OnCalendar", "value": "hourly"}], "persistent": true,
                    "last": "2025-11-03T06:12:44.000Z",
                }],
            })
        );
        let answer = ask::<Query>(&Host::folder(root.path()), json!({"enabled": true})).unwrap();
        assert_eq!(answer["matching"], 0);
    }
}
