//! `get_packages`: what the host's package managers have installed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::cyclonedx::{Bill, Component, Format, Kind, purl};
use super::distribution::Distribution;
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::package_database::{self as database, Manager, Package};
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// The largest database that is read: some ten times what a host with 4000 packages has.
const DATABASE_BYTES: usize = 32 << 20;
/// Where rpm keeps its database, of whatever kind.
const RPM: [&str; 4] = [
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages.db",
];

/// How to see what is left out.
const NARROW: &str = "go on with offset, raise limit, or narrow with name, manager, source or architecture";

pub(super) struct Query;

/// What to list.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only packages with this in their name, in capitals or not.
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
    /// Only what this package manager has installed.
    manager: Option<Manager>,
    /// Only packages that were built from exactly this source.
    #[schemars(length(min = 1, max = 128))]
    source: Option<String>,
    /// Only packages of exactly this architecture, such as amd64.
    #[schemars(length(min = 1, max = 32))]
    architecture: Option<String>,
    /// Also what is not installed, or not wholly, but has left something behind.
    all: bool,
    /// Packages to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most packages to list. Without it 100; in a bill of materials as many as allowed.
    limit: Option<usize>,
    /// The form of the answer.
    format: Format,
}

/// Packages.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// What the packages were read from.
    databases: Vec<Database>,
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The packages by name, where a list was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<Vec<Row>>,
    /// The bill of materials, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<Bill>,
}

/// What packages were read from.
#[derive(Serialize, JsonSchema)]
struct Database {
    /// Whose it is.
    manager: Manager,
    /// Number of packages in it.
    packages: usize,
    /// Whether it is so large that its end was not read.
    truncated: bool,
}

/// One package.
#[derive(Serialize, JsonSchema)]
struct Row {
    /// Its name.
    name: String,
    /// Its version, with epoch and release.
    version: String,
    /// The processors it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    architecture: Option<String>,
    /// The source it was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Who installed it.
    manager: Manager,
    /// Its licence as the package writes it; dpkg keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    /// Bytes it takes on disk, as its maker estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// `installed`, or how far dpkg has come with it, such as config-files.
    state: String,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_packages",
            "Packages",
            "Packages that dpkg, rpm or apk has installed, with version, architecture and source: as a list by name, or as a \
             bill of materials (CycloneDX 1.6).",
            Impact::Medium,
        ).reading(["/etc/os-release", "/lib/apk/db", "/usr/lib/os-release", "/usr/lib/sysimage/rpm", "/var/lib/dpkg", "/var/lib/rpm"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, None);
    }

    fn reach(spec: &mut ToolSpec, host: &Host) {
        // Of rpm only rpm itself can read what it wrote.
        spec.needs.programs |= ["var/lib/rpm", "usr/lib/sysimage/rpm"].iter().any(|folder| host.has(folder));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let (databases, mut packages) = read(ask)?;
        let total = packages.len();
        known(&args, &databases, &packages)?;
        let name = args.name.as_ref().map(|name| name.to_lowercase());
        packages.retain(|package| {
            (args.all || !matches!(&*package.state, "config-files" | "not-installed"))
                && listing::holds(&package.name, name.as_deref())
                && args.manager.is_none_or(|one| package.manager == one)
                && args.source.as_ref().is_none_or(|source| package.source.as_ref() == Some(source))
                && args.architecture.as_ref().is_none_or(|one| package.architecture.as_ref() == Some(one))
        });
        packages.sort_by(|a, b| (&a.name, &a.architecture, &a.version).cmp(&(&b.name, &b.architecture, &b.version)));
        let usual = if args.format == Format::List { USUAL } else { usize::MAX };
        let page = (args.offset, args.limit.unwrap_or(usual));
        let (shown, extent) = listing::part(packages, total, page, ask.limits);
        let extent = extent.narrow(NARROW);
        // A bill has them in a list of its own.
        let extent = if args.format == Format::List { extent } else { extent.scattered() };
        let complete = shown.len() == total && !databases.iter().any(|one| one.truncated);
        let (packages, bill) = match args.format {
            Format::List => (Some(shown.into_iter().map(Row::from).collect()), None),
            Format::Cyclonedx => (None, Some(bill(ask, &shown, complete))),
        };
        Ok(Answer { databases, extent, packages, bill })
    }
}

/// Refuses a manager, a source or an architecture that no package has.
fn known(args: &Args, databases: &[Database], packages: &[Package]) -> Result<(), Failure> {
    if let Some(wanted) = args.manager.filter(|&wanted| databases.iter().all(|one| one.manager != wanted)) {
        let there = databases.iter().map(|one| one.manager.name());
        return Err(unknown("package manager", wanted.name(), there));
    }
    let exact = |what, wanted: Option<&String>, of: fn(&Package) -> Option<&String>| match wanted
        .filter(|&wanted| packages.iter().all(|package| of(package) != Some(wanted)))
    {
        Some(wanted) => Err(unknown(what, wanted, packages.iter().filter_map(of))),
        None => Ok(()),
    };
    exact("source of a package", args.source.as_ref(), |package| package.source.as_ref())?;
    exact("package of the architecture", args.architecture.as_ref(), |package| package.architecture.as_ref())
}

fn read(ask: &Ask<'_>) -> Result<(Vec<Database>, Vec<Package>), Failure> {
    let (mut databases, mut all) = (Vec::new(), Vec::new());
    let mut add = |manager, mut packages: Vec<Package>, truncated| {
        databases.push(Database { manager, packages: packages.len(), truncated });
        all.append(&mut packages);
    };
    if let Ok((text, truncated)) = ask.host.text("var/lib/dpkg/status", DATABASE_BYTES) {
        add(Manager::Dpkg, database::dpkg(&text), truncated);
    }
    ask.go_on()?;
    let (distroless, truncated) = distroless(ask)?;
    if !distroless.is_empty() {
        add(Manager::Dpkg, distroless, truncated);
    }
    if let Ok((text, truncated)) = ask.host.text("lib/apk/db/installed", DATABASE_BYTES) {
        add(Manager::Apk, database::apk(&text), truncated);
    }
    ask.go_on()?;
    if let Some(path) = RPM.iter().find(|path| ask.host.has(path)) {
        // Elsewhere than on its own kind of system rpm would look in the home of the daemon.
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder = format!("--dbpath=/{folder}");
        let argv = ["/usr/bin/rpm", &folder, "-qa", "--queryformat", database::RPM_ROW];
        let said = ask.host.program(&argv, DATABASE_BYTES)?;
        add(Manager::Rpm, database::rpm(&String::from_utf8_lossy(&said)), false);
    }
    if databases.is_empty() {
        return Err(Failure::new(Code::ToolFailed, "this host shows no database of dpkg, rpm or apk"));
    }
    Ok((databases, all))
}

/// Images without a package manager keep a file for each package.
fn distroless(ask: &Ask<'_>) -> Result<(Vec<Package>, bool), Failure> {
    const FOLDER: &str = "var/lib/dpkg/status.d";
    let (mut packages, mut read) = (Vec::new(), 0_usize);
    for name in ask.host.list(FOLDER).iter().filter(|name| !name.ends_with(".md5sums")) {
        ask.go_on()?;
        let Ok((text, _)) = ask.host.text(&format!("{FOLDER}/{name}"), 1 << 20) else { continue };
        read = read.saturating_add(text.len());
        if read > DATABASE_BYTES {
            return Ok((packages, true));
        }
        packages.append(&mut database::dpkg(&text));
    }
    Ok((packages, false))
}

fn bill(ask: &Ask<'_>, packages: &[Package], complete: bool) -> Bill {
    let distribution = Distribution::of(ask.host);
    let tag = distribution.tag();
    let components = packages.iter().map(|package| {
        let architecture = package.architecture.as_deref().unwrap_or_default();
        let (kind, version, epoch) = match package.manager {
            Manager::Dpkg => ("deb", &*package.version, ""),
            Manager::Apk => ("apk", &*package.version, ""),
            // Only there the epoch stands apart.
            Manager::Rpm => match package.version.split_once(':') {
                Some((epoch, version)) => ("rpm", version, epoch),
                None => ("rpm", &*package.version, ""),
            },
        };
        let qualifiers = [("arch", architecture), ("distro", &*tag), ("epoch", epoch)];
        let purl = purl(kind, &[&distribution.id], &package.name, Some(version), &qualifiers);
        Component::packaged(Kind::Library, &package.name, Some(&package.version), purl)
            .licensed(package.license.as_deref())
    });
    Bill::of(&distribution.name, distribution.version.as_deref(), components.collect(), complete)
}

impl From<Package> for Row {
    fn from(package: Package) -> Self {
        Self {
            name: package.name,
            version: package.version,
            architecture: package.architecture,
            source: package.source,
            manager: package.manager,
            license: package.license,
            size_bytes: package.size_bytes,
            state: package.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::{ask, ask_within};
    use super::*;
    use crate::call::Progress;

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&Host::fixture("debian-vm"), arguments).unwrap()
    }

    fn names(answer: &Value) -> Vec<&str> {
        answer["packages"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_virtual_machine_lists_what_dpkg_has() {
        assert_eq!(
            listed(json!({"name": "LIBSSL"})),
            json!({
                "databases": [{"manager": "dpkg", "packages": 6, "truncated": false}],
                "total": 6, "matching": 1, "returned": 1, "left_out": 0,
                "packages": [{
                    "name": "libssl3", "version": "3.0.15-1~deb12u1", "architecture": "amd64", "source": "openssl",
                    "manager": "dpkg", "size_bytes": 6_158_336, "state": "installed",
                }],
            })
        );
        assert_eq!(names(&listed(json!({}))), ["libc6", "libc6", "libssl3", "libstdc++6", "openssl"]);
        assert_eq!(names(&listed(json!({"source": "openssl"}))), ["libssl3", "openssl"]);
        assert_eq!(names(&listed(json!({"architecture": "i386"}))), ["libc6"]);
        assert!(names(&listed(json!({"all": true}))).contains(&"nginx-common"));
        assert_eq!(names(&listed(json!({"offset": 3, "limit": 1}))), ["libstdc++6"]);
    }

    #[test]
    fn a_bill_of_materials_has_addresses_and_says_whether_it_is_whole() {
        let bill = &listed(json!({"format": "cyclonedx", "name": "stdc"}))["bill"];
        assert_eq!(
            (&bill["bomFormat"], &bill["specVersion"], &bill["version"]),
            (&json!("CycloneDX"), &json!("1.6"), &json!(1))
        );
        assert_eq!(bill["metadata"]["component"]["name"], "Debian GNU/Linux");
        let purl = "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12";
        assert_eq!(
            bill["components"],
            json!([{
                "type": "library", "bom-ref": purl, "name": "libstdc++6", "version": "12.2.0-14+deb12u1", "purl": purl,
            }])
        );
        assert_eq!(bill["compositions"], json!([{"aggregate": "incomplete"}]));
        let whole = &listed(json!({"format": "cyclonedx", "all": true}))["bill"];
        assert_eq!(whole["compositions"], json!([{"aggregate": "complete"}]));
    }

    #[test]
    fn a_board_lists_what_apk_has_with_licences() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"name": "busybox"})).unwrap();
        assert_eq!(
            answer["packages"],
            json!([{
                "name": "busybox", "version": "1.36.1-r15", "architecture": "aarch64", "source": "busybox", "manager": "apk",
                "license": "GPL-2.0-only", "size_bytes": 946_176, "state": "installed",
            }])
        );
        let bill = ask::<Query>(&Host::fixture("rpi-arm"), json!({"format": "cyclonedx"})).unwrap();
        assert_eq!(bill["bill"]["components"][0]["licenses"], json!([{"license": {"name": "GPL-2.0-only"}}]));
    }

    #[test]
    fn rpm_is_asked_where_it_has_a_database_and_distroless_files_count_as_dpkg() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("var/lib/rpm/rpmdb.sqlite", "");
        put("etc/os-release", "ID=\"fedora\"\nVERSION_ID=40\n");
        put("programs/rpm", "dbus\t1\t1.14\t1.fc40\tx86_64\t10\tdbus-1.14-1.fc40.src.rpm\tMIT\n");
        put("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12\n");
        put("var/lib/dpkg/status.d/base.md5sums", "Package: none\n");
        let host = Host::folder(folder.path());
        let answer = ask::<Query>(&host, json!({})).unwrap();
        assert_eq!(names(&answer), ["base-files", "dbus"]);
        let bill = ask::<Query>(&host, json!({"format": "cyclonedx", "name": "dbus"})).unwrap();
        assert_eq!(
            bill["bill"]["components"][0]["purl"],
            "pkg:rpm/fedora/dbus@1.14-1.fc40?arch=x86_64&distro=fedora-40&epoch=1"
        );
        std::fs::remove_file(folder.path().join("programs/rpm")).unwrap();
        assert_eq!(ask::<Query>(&host, json!({})).unwrap_err().code(), Code::ToolFailed);
    }

    #[test]
    fn a_huge_database_is_read_to_the_cap_and_the_answer_says_so() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("var/lib/dpkg")).unwrap();
        let file = std::fs::File::create(folder.path().join("var/lib/dpkg/status")).unwrap();
        // A hole: no disk is filled, and the kernel gives zeros.
        file.set_len(1 << 40).unwrap();
        let answer = ask::<Query>(&Host::folder(folder.path()), json!({})).unwrap();
        assert_eq!(answer["databases"][0], json!({"manager": "dpkg", "packages": 0, "truncated": true}));
        let limits = LimitsSection { max_array_items: 2, ..LimitsSection::default() };
        let host = Host::fixture("debian-vm");
        let few = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({})).unwrap();
        assert_eq!((names(&few).len(), &few["matching"]), (2, &json!(5)));
        let more = ask_within::<Query>(&host, &limits, &Progress::unheard(), json!({"limit": 3}));
        assert_eq!(more.unwrap_err().code(), Code::ArgumentsInvalid);
    }
}
