//! `get_dependencies`: what the projects below the configured folders are pinned to, from their lock files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::cyclonedx::{Bill, Component, Format, Kind};
use super::distribution::Distribution;
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::lock_file::{Ecosystem, Lock, Locked, Origin, address, parser};
use super::query::{Ask, HostQuery};
use super::tree::{File, Walk};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// The largest lock file that is read.
const LOCK_BYTES: usize = 8 << 20;
/// Packages that are taken in for one answer.
const PACKAGES: usize = 50_000;

/// How to see what is left out.
const NARROW: &str = "go on with offset, raise limit, or narrow with name, ecosystem or path";

pub(super) struct Query;

/// What to list.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only lock files in this folder and those in it; it must lie in a configured one.
    #[schemars(length(min = 1, max = 4096))]
    path: Option<String>,
    /// Only packages from there.
    ecosystem: Option<Ecosystem>,
    /// Only packages with this in their name, in capitals or not.
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    /// Packages to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most packages to list. Without it 100; in a bill of materials as many as allowed.
    limit: Option<usize>,
    /// The form of the answer.
    format: Format,
}

/// Dependencies.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The lock files that were found.
    files: Vec<LockFile>,
    /// What was not looked at, and why; empty when everything was.
    not_shown: Vec<&'static str>,
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The packages by ecosystem and name, where a list was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    dependencies: Option<Vec<Dependency>>,
    /// The bill of materials, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<Bill>,
}

/// A lock file.
#[derive(Serialize, JsonSchema)]
struct LockFile {
    /// Its path.
    path: String,
    /// What it is of.
    ecosystem: Ecosystem,
    /// Number of packages it pins.
    packages: usize,
    /// Number of requirements in it that name no exact version.
    unpinned: usize,
    /// Why nothing was read from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
}

/// One version of one package.
#[derive(Serialize, JsonSchema)]
struct Dependency {
    /// Where it comes from.
    ecosystem: Ecosystem,
    /// Its name.
    name: String,
    /// Its version.
    version: String,
    /// Where it comes from if not from the registry of its ecosystem: a repository with the revision, an address, a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// Whether every project that has it needs it for development only, as far as their lock files tell.
    development: bool,
    /// The lock files that pin it.
    files: BTreeSet<String>,
}

/// Ecosystem, name, version and where it comes from.
type Package = (Ecosystem, String, String, Origin);
/// Whether it is only for development, and the numbers of the lock files that pin it.
type Use = (bool, BTreeSet<usize>);
type Found = BTreeMap<Package, Use>;

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_dependencies",
            "Dependencies",
            "Packages that projects on the host are pinned to, from the lock files of Cargo, npm, Python and Go below the \
             configured folders: as a list, or as a bill of materials (CycloneDX 1.6).",
            Impact::Medium,
        ).reading(["/etc/os-release", "/usr/lib/os-release"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, None);
    }

    fn reach(spec: &mut ToolSpec, host: &Host) {
        let paths = &host.section().dependencies.paths;
        spec.needs.paths.extend(paths.iter().map(|path| path.display().to_string().into()));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut reading = Reading::default();
        let mut walk = Walk::new(ask, |name| parser(name).is_some(), LOCK_BYTES, |file| reading.file(&file));
        for (folder, inner) in folders(ask, args.path.as_deref())? {
            walk.through(&folder, &inner)?;
        }
        let mut not_shown = walk.end();
        let Reading { files, mut found, full } = reading;
        not_shown.extend(full.then_some("there are too many packages to take in all"));
        let total = found.len();
        let name = args.name.as_ref().map(|name| name.to_lowercase());
        found.retain(|(ecosystem, package, ..), _| {
            args.ecosystem.is_none_or(|one| one == *ecosystem) && listing::holds(package, name.as_deref())
        });
        let usual = if args.format == Format::List { USUAL } else { usize::MAX };
        let page = (args.offset, args.limit.unwrap_or(usual));
        let (shown, extent) = listing::part(found.into_iter().collect(), total, page, ask.limits);
        let extent = extent.narrow(NARROW);
        // A bill has them in a list of its own.
        let extent = if args.format == Format::List { extent } else { extent.scattered() };
        let whole = shown.len() == total && not_shown.is_empty() && files.iter().all(LockFile::is_whole);
        let (dependencies, bill) = match args.format {
            Format::List => (Some(shown.into_iter().map(|one| dependency(one, &files)).collect()), None),
            Format::Cyclonedx => (None, Some(bill(ask, shown, whole))),
        };
        Ok(Answer { files, not_shown, extent, dependencies, bill })
    }
}

impl LockFile {
    fn is_whole(&self) -> bool {
        self.problem.is_none() && self.unpinned == 0
    }
}

/// The configured folders, each with the folder in it that was asked for.
fn folders(ask: &Ask<'_>, wanted: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let configured = &ask.host.section().dependencies.paths;
    if configured.is_empty() {
        let text = "no folder with projects is configured here: toolsets.system.dependencies.paths";
        return Err(Failure::new(Code::ToolFailed, text));
    }
    let text = |path: &Path| path.display().to_string();
    let Some(wanted) = wanted else {
        return Ok(configured.iter().map(|path| (text(path), String::new())).collect());
    };
    let plain = wanted.starts_with('/') && !wanted.split('/').any(|part| part == "..");
    let inner = |path: &PathBuf| Some((text(path), text(Path::new(wanted).strip_prefix(path).ok()?)));
    let found = configured.iter().find_map(inner).filter(|_| plain);
    found
        .map(|one| vec![one])
        .ok_or_else(|| Failure::new(Code::ArgumentsInvalid, "path: lies in none of the configured folders"))
}

/// What the lock files that were read so far say.
#[derive(Default)]
struct Reading {
    files: Vec<LockFile>,
    found: Found,
    /// Whether there were more packages.
    full: bool,
}

impl Reading {
    fn file(&mut self, file: &File) {
        // What go.mod says is what is built; go.sum also has what was only looked at. They come in the order of names.
        let beside = file.path.strip_suffix("go.sum").map(|folder| format!("{folder}go.mod"));
        if beside.is_some_and(|go_mod| self.files.iter().any(|other| other.path == go_mod)) {
            return;
        }
        let Some((ecosystem, parse)) = file.path.rsplit('/').next().and_then(parser) else { return };
        let lock = match &file.bytes {
            Some(bytes) => std::str::from_utf8(bytes).ok().and_then(parse).ok_or("it is no lock file of this kind"),
            None => Err("it cannot be read, is no file, or is too large"),
        };
        let problem = lock.as_ref().err().copied();
        let Lock { packages, unpinned } = lock.unwrap_or_default();
        let (path, number, count) = (file.path.clone(), self.files.len(), packages.len());
        self.files.push(LockFile { path, ecosystem, packages: count, unpinned, problem });
        for Locked { name, version, development, origin } in packages {
            let package = (ecosystem, name, version, origin);
            if self.found.len() >= PACKAGES && !self.found.contains_key(&package) {
                self.full = true;
                continue;
            }
            let (only, files) = self.found.entry(package).or_insert((true, BTreeSet::new()));
            *only &= development;
            files.insert(number);
        }
    }
}

fn dependency((package, (development, numbers)): (Package, Use), files: &[LockFile]) -> Dependency {
    let (ecosystem, name, version, origin) = package;
    let origin = origin.told().map(str::to_owned);
    let files = numbers.iter().filter_map(|number| files.get(*number)).map(|file| file.path.clone()).collect();
    Dependency { ecosystem, name, version, origin, development, files }
}

fn bill(ask: &Ask<'_>, shown: Vec<(Package, Use)>, whole: bool) -> Bill {
    let components = shown.into_iter().map(|((ecosystem, name, version, origin), (development, _))| {
        let package = Locked { name, version, development, origin };
        let (name, version) = (&package.name, Some(package.version.as_str()));
        match address(ecosystem, &package) {
            Some(address) => Component::packaged(Kind::Library, name, version, address),
            None => {
                let reference = format!("{name}@{} {}", package.version, package.origin.told().unwrap_or_default());
                Component::local(Kind::Library, name, version, reference)
            }
        }
    });
    let distribution = Distribution::of(ask.host);
    Bill::of(&distribution.name, distribution.version.as_deref(), components.collect(), whole)
}

#[cfg(test)]
mod tests;
