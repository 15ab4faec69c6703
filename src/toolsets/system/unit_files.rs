//! Unit files of systemd as they lie in its folders: which one counts, what a drop-in adds, and whether it is enabled
//! (systemd.unit(5), systemctl(1)).

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::host::beginning;
use super::query::Ask;
use crate::error::Failure;

/// What holds the folders of units.
pub(super) const PATHS: [&str; 5] =
    ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];

/// Folders of units, the one that counts first.
const FOLDERS: [&str; 12] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator.late",
    "run/systemd/system.attached",
];

/// The largest unit file that is read, in bytes.
const FILE_BYTES: u64 = 256 << 10;

/// Drop-ins of one unit that are read.
const DROP_INS: usize = 64;

/// Whether a unit is started by itself, in the words of systemctl(1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Enablement {
    /// Started with the host or by what it is bound to.
    Enabled,
    /// The same until the host starts anew.
    EnabledRuntime,
    /// Installed and not enabled.
    Disabled,
    /// It has no section for being enabled: others start it.
    Static,
    /// Enabled through another unit that it names.
    Indirect,
    /// Another name of a unit.
    Alias,
    /// It cannot be started at all.
    Masked,
    /// The same until the host starts anew.
    MaskedRuntime,
    /// A link to a file elsewhere.
    Linked,
    /// Made at the start of the host, from /etc/fstab for one.
    Generated,
    /// Made by a program that runs.
    Transient,
    /// Its file cannot be read.
    Bad,
}

/// A unit file.
#[derive(Clone, Debug)]
pub(super) struct UnitFile {
    /// Where it lies, from the root.
    pub(super) path: String,
    /// Whether it is enabled.
    pub(super) enablement: Enablement,
    /// The drop-ins that change it, from the root, in their order.
    pub(super) drop_ins: Vec<String>,
    /// What it says, drop-ins included.
    pub(super) settings: Settings,
}

/// Sections, and in each the assignments in their order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Settings(BTreeMap<(String, String), Vec<String>>);

impl Settings {
    /// Every value of a key; an empty assignment takes back those before it.
    pub(super) fn all(&self, section: &str, key: &str) -> &[String] {
        self.0.get(&(section.to_owned(), key.to_owned())).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value that counts for a key that has one.
    pub(super) fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).last().map(String::as_str)
    }

    fn has(&self, section: &str, keys: &[&str]) -> bool {
        keys.iter().any(|key| !self.all(section, key).is_empty())
    }

    /// Reads a file over what is there.
    fn add(&mut self, text: &str) {
        let mut section = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim().to_owned();
            if line.starts_with(['#', ';']) {
                continue;
            }
            while let Some(begun) = line.strip_suffix('\\') {
                // Comments in between are passed over.
                let Some(next) = lines.find(|next| !next.trim_start().starts_with(['#', ';'])) else { break };
                line = format!("{begun} {}", next.trim());
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
            } else if let Some((key, value)) = line.split_once('=') {
                let values = self.0.entry((section.clone(), key.trim_end().to_owned())).or_default();
                let value = value.trim();
                if value.is_empty() { values.clear() } else { values.push(value.to_owned()) }
            }
        }
    }
}

/// All folders at once.
pub(super) struct Tree {
    /// By name: the folder it counts in, and whether it is a link and where to.
    found: BTreeMap<String, Place>,
    /// By name, the folders (`etc/…`) in which something wants it.
    wanted: HashMap<String, Vec<&'static str>>,
    /// By name, drop-ins by their own names; the first folder counts.
    drop_ins: HashMap<String, BTreeMap<String, String>>,
}

struct Place {
    folder: &'static str,
    link: Option<String>,
}

impl Tree {
    /// Lists the folders.
    ///
    /// # Errors
    /// When nobody waits any more.
    pub(super) fn read(ask: &Ask<'_>) -> Result<Self, Failure> {
        let mut tree = Self { found: BTreeMap::new(), wanted: HashMap::new(), drop_ins: HashMap::new() };
        // Where /lib is a link to /usr/lib, its units are there already.
        let merged = ask.host.link("lib").is_some() || ask.host.names("usr/lib/systemd/system").is_ok();
        for folder in FOLDERS {
            if folder == "lib/systemd/system" && merged {
                continue;
            }
            let Ok(names) = ask.host.names(folder) else { continue };
            for name in names {
                ask.go_on()?;
                tree.note(ask, folder, name);
            }
        }
        Ok(tree)
    }

    fn note(&mut self, ask: &Ask<'_>, folder: &'static str, name: String) {
        let path = format!("{folder}/{name}");
        if let Some(unit) = name.strip_suffix(".d") {
            let known = self.drop_ins.entry(unit.to_owned()).or_default();
            for file in ask.host.list(&path).into_iter().filter(|file| file.ends_with(".conf")).take(DROP_INS) {
                known.entry(file.clone()).or_insert_with(|| format!("{path}/{file}"));
            }
        } else if [".wants", ".requires", ".upholds"].iter().any(|ending| name.ends_with(ending)) {
            for unit in ask.host.list(&path) {
                self.want(folder, &unit);
            }
        } else if is_unit(&name) && !self.found.contains_key(&name) {
            let link = ask.host.link(&path);
            if let Some(target) =
                link.as_deref().and_then(last_name).filter(|target| *target != name && is_unit(target))
            {
                // Another name in /etc is made when a unit is enabled that has one.
                self.want(folder, target);
            }
            self.found.insert(name, Place { folder, link });
        }
    }

    fn want(&mut self, folder: &'static str, unit: &str) {
        self.wanted.entry(unit.to_owned()).or_default().push(folder);
        // An instance that is enabled makes its template so.
        if let Some((template, rest)) = unit.split_once('@')
            && let Some((instance, kind)) = rest.rsplit_once('.')
            && !instance.is_empty()
        {
            self.wanted.entry(format!("{template}@.{kind}")).or_default().push(folder);
        }
    }

    /// Whether there is no unit at all.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The names of all units that have a file.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.found.keys().map(String::as_str)
    }

    /// The name that counts for a unit: for another name of one, that one's.
    pub(super) fn target(&self, name: &str) -> Option<&str> {
        let target = last_name(self.found.get(name)?.link.as_deref()?)?;
        Some(target).filter(|target| *target != name && is_unit(target))
    }

    /// Reads a unit and its drop-ins.
    pub(super) fn load(&self, ask: &Ask<'_>, name: &str) -> Option<UnitFile> {
        let place = self.found.get(name)?;
        // What is made of a unit is less than its files.
        let _passing = ask.passing();
        let path = format!("{}/{name}", place.folder);
        let mut settings = Settings::default();
        let text = text(ask, &path);
        if let Some(text) = &text {
            settings.add(text);
        }
        let mut drop_ins: BTreeMap<&str, &str> = BTreeMap::new();
        // Those of all units of a kind count least, those of its own name most.
        for owner in owners(name).iter().rev() {
            for (file, path) in self.drop_ins.get(owner).into_iter().flatten() {
                drop_ins.insert(file, path);
            }
        }
        for path in drop_ins.values() {
            settings.add(&self::text(ask, path).unwrap_or_default());
        }
        let enablement = self.enablement(name, place, text.as_deref(), &settings);
        Some(UnitFile {
            path: format!("/{path}"),
            enablement,
            drop_ins: drop_ins.values().map(|path| format!("/{path}")).collect(),
            settings,
        })
    }

    fn enablement(&self, name: &str, place: &Place, text: Option<&str>, settings: &Settings) -> Enablement {
        let runtime = place.folder.starts_with("run/");
        match (&place.link, text) {
            (Some(target), _) if target == "/dev/null" => {
                return if runtime { Enablement::MaskedRuntime } else { Enablement::Masked };
            }
            (Some(target), _) if last_name(target).is_some_and(|target| target != name && is_unit(target)) => {
                return Enablement::Alias;
            }
            (_, None) => return Enablement::Bad,
            (_, Some("")) => return if runtime { Enablement::MaskedRuntime } else { Enablement::Masked },
            _ => {}
        }
        if place.folder.contains("/generator") {
            return Enablement::Generated;
        }
        if place.folder.ends_with("/transient") {
            return Enablement::Transient;
        }
        let wanted = |start: &str| {
            self.wanted.get(name).is_some_and(|folders| {
                folders.iter().any(|folder| folder.starts_with(start) && folder.ends_with("/systemd/system"))
            })
        };
        if wanted("etc/") {
            return Enablement::Enabled;
        }
        if wanted("run/") {
            return Enablement::EnabledRuntime;
        }
        if place.link.is_some() && place.folder.starts_with("etc/") {
            return Enablement::Linked;
        }
        if settings.has("Install", &["WantedBy", "RequiredBy", "UpheldBy", "Alias"]) {
            Enablement::Disabled
        } else if settings.has("Install", &["Also"]) {
            Enablement::Indirect
        } else {
            Enablement::Static
        }
    }
}

/// Whose drop-ins a unit has: its own, its template's, those of names that are cut at a dash, those of its kind.
fn owners(name: &str) -> Vec<String> {
    let mut found = vec![name.to_owned()];
    let Some((stem, kind)) = name.rsplit_once('.') else { return found };
    if let Some((template, _)) = stem.split_once('@') {
        found.push(format!("{template}@.{kind}"));
    }
    for (at, _) in stem.rmatch_indices('-') {
        found.extend(stem.get(..=at).map(|prefix| format!("{prefix}.{kind}")));
    }
    found.push(kind.to_owned());
    found
}

fn text(ask: &Ask<'_>, path: &str) -> Option<String> {
    let (file, _) = ask.host.file(path).ok()?;
    Some(String::from_utf8_lossy(&beginning(file, FILE_BYTES).ok()?).into_owned())
}

fn last_name(path: &str) -> Option<&str> {
    path.rsplit('/').next()
}

fn is_unit(name: &str) -> bool {
    let kinds =
        ["service", "socket", "target", "timer", "mount", "automount", "path", "slice", "scope", "swap", "device"];
    name.len() <= 255 && name.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn assignments_add_up_and_an_empty_one_takes_back() {
        let mut settings = Settings::default();
        settings.add(
            "# x\n[Service]\nExecStart=/bin/a \\\n; in between\n  -b\nExecStart=/bin/c\n[Unit]\nDescription = D \n",
        );
        assert_eq!(settings.all("Service", "ExecStart"), ["/bin/a  -b", "/bin/c"]);
        assert_eq!(settings.last("Unit", "Description"), Some("D"));
        settings.add("[Service]\nExecStart=\nExecStart=/bin/d");
        assert_eq!(settings.all("Service", "ExecStart"), ["/bin/d"]);
        assert_eq!(settings.last("Unit", "Nothing"), None);
    }

    #[test]
    fn drop_ins_are_those_of_the_name_and_of_its_parts() {
        assert_eq!(
            owners("a-b@c.service"),
            ["a-b@c.service", "a-b@.service", "a-.service", "service"].map(str::to_owned)
        );
        assert!(is_unit("x@.service") && !is_unit(".service") && !is_unit("x.conf") && !is_unit("x"));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|(\\[?[A-Z=\\]#; ]{0,9}\\\\?\n){0,9}", name in "[a@.é-]{0,9}") {
            Settings::default().add(&text);
            let _ = (owners(&name), is_unit(&name));
        }
    }
}
