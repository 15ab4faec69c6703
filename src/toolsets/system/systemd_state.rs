//! What units of systemd do now. systemd itself says it, through `systemctl`; where that cannot be asked, files say which
//! ones run, and no more than that.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::budget;
use super::command::Silent;
use crate::call::ToolSpec;

/// What a unit does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activity {
    /// It runs, or has done what it had to do.
    Active,
    /// It runs and reads its configuration anew.
    Reloading,
    /// It runs and is made anew.
    Refreshing,
    /// It does not run.
    Inactive,
    /// It failed.
    Failed,
    /// It is being started.
    Activating,
    /// It is being stopped.
    Deactivating,
    /// It is being maintained.
    Maintenance,
    /// A state that is not known here.
    #[serde(other)]
    Unknown,
}

/// Where states are from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// systemd said so just now.
    Systemd,
    /// Files of /run/systemd and the cgroup tree: they show which units run, and not which ones failed.
    Files,
    /// Nothing shows them: systemd does not run here.
    None,
}

/// A unit that systemd has loaded.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Loaded {
    pub(super) unit: String,
    pub(super) load: String,
    pub(super) active: Activity,
    pub(super) sub: String,
    #[serde(default)]
    pub(super) description: String,
}

/// A timer that systemd has loaded; times in microseconds since the epoch, 0 for none.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Timer {
    pub(super) unit: String,
    #[serde(default)]
    pub(super) activates: Option<String>,
    #[serde(default)]
    pub(super) next: Option<u64>,
    #[serde(default)]
    pub(super) last: Option<u64>,
}

/// The units that are loaded, by name; `None` when systemd cannot be asked, which `notes` then tell.
pub(super) fn loaded(host: &Host, notes: &mut Vec<String>) -> Option<HashMap<String, Loaded>> {
    let arguments = ["list-units", "--all", "--full", "--plain", "--no-pager", "--output=json"];
    let units: Vec<Loaded> = said(host, &arguments, notes)?;
    Some(units.into_iter().map(|unit| (unit.unit.clone(), unit)).collect())
}

/// The timers that are loaded, by name; the same.
pub(super) fn timers(host: &Host, notes: &mut Vec<String>) -> Option<HashMap<String, Timer>> {
    let arguments = ["list-timers", "--all", "--full", "--no-pager", "--output=json"];
    let timers: Vec<Timer> = said(host, &arguments, notes)?;
    Some(timers.into_iter().map(|timer| (timer.unit.clone(), timer)).collect())
}

fn said<T: serde::de::DeserializeOwned>(host: &Host, arguments: &[&str], notes: &mut Vec<String>) -> Option<T> {
    // sd_booted(3): without this folder nobody would answer.
    host.names("run/systemd/system").ok()?;
    let why = match host.command("systemctl", arguments) {
        Ok(said) => match budget::hold(said.len()).map(|()| serde_json::from_slice(&said)).ok()? {
            Ok(said) => return Some(said),
            Err(_) => "what it says is not understood: systemd before 246 cannot answer in JSON".to_owned(),
        },
        Err(Silent::NotInstalled) => "it is not installed".to_owned(),
        Err(Silent::Failed) => "it failed, and the operational log has the cause".to_owned(),
    };
    notes.push(format!("systemctl could not be asked: {why}"));
    None
}

/// Declares that systemctl is started and asks systemd, where one runs.
pub(super) fn reach(spec: &mut ToolSpec, host: &Host) {
    if host.has("run/systemd/system") {
        spec.needs.programs = true;
        spec.needs.servers = true;
    }
}

/// Whether files show that units run: systemd keeps a link for each one that does.
pub(super) fn shows_running(host: &Host) -> bool {
    host.names("run/systemd/units").is_ok()
}

/// Whether the files show that this unit runs.
pub(super) fn runs(host: &Host, unit: &str) -> bool {
    host.link(&format!("run/systemd/units/invocation:{unit}")).is_some()
}

/// The processes of a unit, from the cgroup tree: most units are in the slice of the system, others in one of their own.
pub(super) fn processes(host: &Host, unit: &str, slice: Option<&str>) -> Option<usize> {
    let slice = slice.unwrap_or("system.slice");
    if !unit.ends_with(".service") && !unit.ends_with(".scope") || slice.contains('/') {
        return None;
    }
    // a-b.slice lies in a.slice.
    let mut folders = Vec::new();
    let stem = slice.strip_suffix(".slice")?;
    for (at, _) in stem.match_indices('-') {
        folders.push(format!("{}.slice", stem.get(..at)?));
    }
    folders.push(slice.to_owned());
    let group = format!("sys/fs/cgroup/{}/{unit}/cgroup.procs", folders.join("/"));
    Some(host.find(&group)?.lines().count())
}

#[cfg(test)]
mod tests {
    use super::super::query::HostQuery as _;
    use super::super::systemd_units::Query;
    use super::*;

    #[test]
    fn systemctl_is_declared_where_systemd_runs_and_only_there() {
        let root = tempfile::tempdir().unwrap();
        let needs = || {
            let mut spec = Query::spec();
            Query::reach(&mut spec, &Host::folder(root.path()));
            (spec.needs.programs, spec.needs.servers)
        };
        assert_eq!(needs(), (false, false));
        std::fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
        assert_eq!(needs(), (true, true));
    }
}
