//! Lock files of package managers: what exactly a project was built with. A project's own packages are none of its
//! dependencies; what is not pinned to a version is counted and not guessed.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::cyclonedx::purl;

/// Where packages come from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ecosystem {
    /// Rust: Cargo.lock.
    Cargo,
    /// JavaScript: package-lock.json and npm-shrinkwrap.json.
    Npm,
    /// Python: poetry.lock, uv.lock, Pipfile.lock, requirements.txt.
    Pypi,
    /// Go: go.mod, or go.sum where there is no go.mod.
    Go,
}

/// One package that a project is pinned to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) version: String,
    /// Only for development.
    pub(super) development: bool,
    pub(super) origin: Origin,
}

/// Where exactly a package comes from.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Origin {
    /// The registry of its ecosystem.
    #[default]
    Registry,
    /// Another registry, by its address.
    OtherRegistry(String),
    /// A repository of sources, by the address and the revision, as `git+https://host/path@revision`.
    Git(String),
    /// A file somewhere on the network, by its address.
    Download(String),
    /// A file or folder beside the project: no address means anything elsewhere.
    Local(String),
}

impl Origin {
    /// From an address such as `git+https://host/path?branch=main#revision`.
    fn git(address: &str) -> Self {
        let (place, revision) = address.split_once('#').unwrap_or((address, ""));
        let place = without_password(place.split('?').next().unwrap_or_default());
        let place = if place.starts_with("git") { place } else { format!("git+{place}") };
        Self::Git(if revision.is_empty() { place } else { format!("{place}@{revision}") })
    }

    /// The same in words, where it is not the ecosystem's registry.
    pub(super) fn told(&self) -> Option<&str> {
        match self {
            Self::Registry => None,
            Self::OtherRegistry(text) | Self::Git(text) | Self::Download(text) | Self::Local(text) => Some(text),
        }
    }
}

/// An address without the password in it; who logs in without one, such as git@, stays.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) if user.contains(':') || !matches!(user, "git") => {
            format!("{scheme}://{}", rest.get(user.len().saturating_add(1)..).unwrap_or_default())
        }
        _ => address.to_owned(),
    }
}

/// What a lock file says.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Lock {
    pub(super) packages: Vec<Locked>,
    /// Requirements without one exact version.
    pub(super) unpinned: usize,
}

impl Lock {
    fn add(&mut self, name: &str, version: Option<&str>, development: bool) {
        self.add_from(name, version, development, Origin::Registry);
    }

    fn add_from(&mut self, name: &str, version: Option<&str>, development: bool, origin: Origin) {
        match version.filter(|version| !version.is_empty()) {
            Some(version) => {
                let (name, version) = (name.to_owned(), version.to_owned());
                self.packages.push(Locked { name, version, development, origin });
            }
            None => self.unpinned = self.unpinned.saturating_add(1),
        }
    }
}

type Parser = fn(&str) -> Option<Lock>;

/// The ecosystem of a file of this name, and who reads it.
pub(super) fn parser(name: &str) -> Option<(Ecosystem, Parser)> {
    Some(match name {
        "Cargo.lock" => (Ecosystem::Cargo, cargo),
        "package-lock.json" | "npm-shrinkwrap.json" => (Ecosystem::Npm, npm),
        "poetry.lock" | "uv.lock" => (Ecosystem::Pypi, poetry),
        "Pipfile.lock" => (Ecosystem::Pypi, pipfile),
        "go.mod" => (Ecosystem::Go, go_mod),
        "go.sum" => (Ecosystem::Go, go_sum),
        _ if name.ends_with(".txt") && name.contains("requirements") => (Ecosystem::Pypi, requirements),
        _ => return None,
    })
}

/// The address of a package; none of what is known to nobody else. Without a qualifier it would name the one of the registry,
/// which is another.
pub(super) fn address(ecosystem: Ecosystem, package: &Locked) -> Option<String> {
    let (name, version) = (package.name.as_str(), Some(package.version.as_str()));
    let qualifier = match &package.origin {
        Origin::Local(_) => return None,
        Origin::Registry => None,
        Origin::OtherRegistry(text) => Some(("repository_url", text.as_str())),
        Origin::Git(text) => Some(("vcs_url", text.as_str())),
        Origin::Download(text) => Some(("download_url", text.as_str())),
    };
    let qualifiers: Vec<(&str, &str)> = qualifier.into_iter().collect();
    Some(match ecosystem {
        Ecosystem::Cargo => purl("cargo", &[], name, version, &qualifiers),
        Ecosystem::Npm => match name.split_once('/') {
            Some((scope, name)) => purl("npm", &[scope], name, version, &qualifiers),
            None => purl("npm", &[], name, version, &qualifiers),
        },
        Ecosystem::Pypi => purl("pypi", &[], &name.to_lowercase().replace('_', "-"), version, &qualifiers),
        Ecosystem::Go => {
            let path = name.to_lowercase();
            let mut parts: Vec<&str> = path.split('/').collect();
            let name = parts.pop().unwrap_or_default();
            purl("golang", &parts, name, version, &qualifiers)
        }
    })
}

/// The index of crates.io, in either protocol.
const CRATES: [&str; 2] = ["https://github.com/rust-lang/crates.io-index", "https://index.crates.io"];

fn cargo(text: &str) -> Option<Lock> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
        source: Option<String>,
    }
    let file: File = toml::from_str(text).ok()?;
    let mut lock = Lock::default();
    for package in &file.package {
        // What has no source lies in the project's own folders.
        let Some(source) = package.source.as_deref() else { continue };
        let origin = match source.split_once('+') {
            Some(("registry" | "sparse", index)) if CRATES.iter().any(|known| index.starts_with(known)) => {
                Origin::Registry
            }
            Some(("git", _)) => Origin::git(source),
            Some((_, index)) => Origin::OtherRegistry(without_password(index)),
            None => Origin::OtherRegistry(source.to_owned()),
        };
        lock.add_from(&package.name, Some(&package.version), false, origin);
    }
    Some(lock)
}

fn poetry(text: &str) -> Option<Lock> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        package: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: Option<String>,
        /// Poetry's up to 1.4.
        category: Option<String>,
        source: Option<Source>,
    }
    #[derive(Deserialize)]
    struct Source {
        #[serde(rename = "type")]
        kind: Option<String>,
        /// Those of poetry.
        url: Option<String>,
        resolved_reference: Option<String>,
        /// That of uv.
        git: Option<String>,
        editable: Option<IgnoredAny>,
        r#virtual: Option<IgnoredAny>,
        directory: Option<IgnoredAny>,
    }
    let own = |source: &Source| {
        let uv = source.editable.is_some() || source.r#virtual.is_some() || source.directory.is_some();
        uv || source.kind.as_deref() == Some("directory")
    };
    let file: File = toml::from_str(text).ok()?;
    let mut lock = Lock::default();
    for package in file.package.iter().filter(|package| !package.source.as_ref().is_some_and(own)) {
        let source = package.source.as_ref();
        let poetry = source.filter(|source| source.kind.as_deref() == Some("git")).and_then(|source| {
            Some(format!("{}#{}", source.url.as_deref()?, source.resolved_reference.as_deref().unwrap_or_default()))
        });
        let git = source.and_then(|source| source.git.clone()).or(poetry);
        let origin = git.map_or(Origin::Registry, |address| Origin::git(&address));
        lock.add_from(&package.name, package.version.as_deref(), package.category.as_deref() == Some("dev"), origin);
    }
    Some(lock)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NpmPackage {
    /// Where it is another than the folder's.
    name: Option<String>,
    version: Option<String>,
    /// Where it was taken from.
    resolved: Option<String>,
    link: bool,
    dev: bool,
    dev_optional: bool,
}

fn npm(text: &str) -> Option<Lock> {
    #[derive(Deserialize)]
    struct File {
        packages: Option<BTreeMap<String, NpmPackage>>,
        dependencies: Option<BTreeMap<String, Old>>,
    }
    /// Files of version 1 nest what is not shared.
    #[derive(Deserialize)]
    struct Old {
        version: Option<String>,
        #[serde(default)]
        dev: bool,
        dependencies: Option<BTreeMap<String, Self>>,
    }
    fn nested(lock: &mut Lock, packages: &BTreeMap<String, Old>) {
        for (name, package) in packages {
            // Of what is not from the registry it has the address in place of the version.
            let version = package.version.as_deref().unwrap_or_default();
            match npm_origin(version) {
                Some(origin) => {
                    let revision = version.split_once('#').map_or("0", |(_, revision)| revision);
                    lock.add_from(name, Some(revision), package.dev, origin);
                }
                None => lock.add(name, Some(version), package.dev),
            }
            if let Some(inner) = &package.dependencies {
                nested(lock, inner);
            }
        }
    }
    let file: File = serde_json::from_str(text).ok()?;
    let mut lock = Lock::default();
    match (file.packages, file.dependencies) {
        (Some(packages), _) => {
            for (place, package) in packages.iter().filter(|(_, package)| !package.link) {
                // What lies elsewhere is the project itself and its parts.
                let Some((_, folder)) = place.rsplit_once("node_modules/") else { continue };
                let name = package.name.as_deref().unwrap_or(folder);
                let origin = package.resolved.as_deref().and_then(npm_origin).unwrap_or_default();
                lock.add_from(name, package.version.as_deref(), package.dev || package.dev_optional, origin);
            }
        }
        (None, Some(packages)) => nested(&mut lock, &packages),
        (None, None) => return None,
    }
    Some(lock)
}

/// Where npm took a package from; `None` for a registry, whose addresses have `/-/` before the file, and for no address.
fn npm_origin(resolved: &str) -> Option<Origin> {
    let short = ["github:", "gitlab:", "bitbucket:"].iter().find(|short| resolved.starts_with(**short));
    match resolved {
        _ if resolved.starts_with("git+") || resolved.starts_with("git:") => Some(Origin::git(resolved)),
        _ if short.is_some() => {
            let (host, rest) = resolved.split_once(':').unwrap_or_default();
            let top = if host == "bitbucket" { "org" } else { "com" };
            Some(Origin::git(&format!("git+https://{host}.{top}/{rest}")))
        }
        _ if resolved.starts_with("file:") => Some(Origin::Local(resolved.to_owned())),
        _ if resolved.contains("://") && !resolved.contains("/-/") => {
            Some(Origin::Download(without_password(resolved)))
        }
        _ => None,
    }
}

fn pipfile(text: &str) -> Option<Lock> {
    #[derive(Deserialize)]
    struct File {
        default: HashMap<String, Package>,
        #[serde(default)]
        develop: HashMap<String, Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        version: Option<String>,
    }
    let file: File = serde_json::from_str(text).ok()?;
    let mut lock = Lock::default();
    for (packages, development) in [(&file.default, false), (&file.develop, true)] {
        for (name, package) in packages {
            lock.add(name, package.version.as_deref().and_then(|version| version.strip_prefix("==")), development);
        }
    }
    Some(lock)
}

fn requirements(text: &str) -> Option<Lock> {
    let mut lock = Lock::default();
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").lines() {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        // Markers and hashes stand behind the version.
        let requirement = line.split([';', ' ']).find(|part| !part.is_empty()).unwrap_or_default();
        let spaced = line.split(';').next().unwrap_or_default().split(" --").next().unwrap_or_default();
        let whole: String = spaced.chars().filter(|c| !c.is_whitespace()).collect();
        let pinned = whole.split_once("===").or_else(|| whole.split_once("=="));
        let (name, version) = pinned.unwrap_or((requirement, ""));
        let name = name.split('[').next().unwrap_or_default();
        let exact = !version.contains(['*', ',', '<', '>', '=', '@']) && is_name(name);
        lock.add(name, Some(version).filter(|_| exact), false);
    }
    Some(lock)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn go_mod(text: &str) -> Option<Lock> {
    let (mut required, mut replaced) = (Vec::new(), HashMap::new());
    let mut block = "";
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, words) = match words.as_slice() {
            [")"] => {
                block = "";
                continue;
            }
            [verb, "("] => {
                block = verb;
                continue;
            }
            words if !block.is_empty() => (block, words),
            [verb, rest @ ..] => (*verb, rest),
            [] => continue,
        };
        match (verb, words) {
            ("require", [module, version]) => required.push((*module, *version)),
            ("replace", [old, "=>", new @ ..] | [old, _, "=>", new @ ..]) => {
                replaced.insert(*old, new.to_vec());
            }
            _ => {}
        }
    }
    let mut lock = Lock::default();
    for (module, version) in required {
        match replaced.get(module).map(Vec::as_slice) {
            Some([module, version]) => lock.add(module, Some(version), false),
            // A folder of the project's own.
            Some(_) => {}
            None => lock.add(module, Some(version), false),
        }
    }
    Some(lock)
}

fn go_sum(text: &str) -> Option<Lock> {
    let mut lock = Lock::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [module, version, _] = words.as_slice()
            && !version.ends_with("/go.mod")
        {
            lock.add(module, Some(version), false);
        }
    }
    Some(lock)
}

#[cfg(test)]
mod tests;
