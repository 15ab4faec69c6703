//! What the host has installed, by our answers and by the programs of the system: dpkg, podman, the official schema of
//! CycloneDX, another reader of lock files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::piped::Piped;
use crate::world::program::{Ended, Running, command, finish, missing, there_is};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn said(home: &Path, argv: &[&str]) -> String {
    let mut run = command(argv[0], home);
    run.args(&argv[1..]);
    finish(run, "").well()
}

#[test]
fn packages_are_those_of_dpkg() {
    if !there_is("dpkg-query", "get_packages on Debian") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut door = Piped::open(home.path(), "");
    let format = "${Package}|${Version}|${Architecture}|${db:Status-Status}|${source:Package}\\n";
    let theirs: BTreeSet<String> =
        said(home.path(), &["dpkg-query", "-W", "-f", format]).lines().map(str::to_owned).collect();
    let mut ours = BTreeSet::new();
    loop {
        let answer = door.call("get_packages", json!({ "all": true, "limit": 150, "offset": ours.len() }));
        let page = answer["packages"].as_array().unwrap();
        let text = |package: &Value| {
            let field = |name: &str| package[name].as_str().unwrap().to_owned();
            ["name", "version", "architecture", "state", "source"].map(field).join("|")
        };
        // Another manager may be there too.
        let rows = page.iter().filter(|package| package["manager"] == "dpkg").map(text);
        let before = ours.len();
        ours.extend(rows);
        if ours.len() == before {
            assert_eq!(answer["databases"][0]["packages"], theirs.len());
            break;
        }
    }
    assert_eq!(ours, theirs);
    let listed = said(home.path(), &["dpkg", "-l"]).lines().filter(|line| line.starts_with("ii ")).count();
    let answer = door.call("get_packages", json!({ "limit": 1 }));
    let installed = theirs.iter().filter(|row| row.contains("|installed|")).count();
    assert_eq!((installed, &answer["total"]), (listed, &json!(theirs.len())));
}

const SPEC: &str = "Name: doorward-probe
Version: 1.2
Release: 3
Epoch: 4
Summary: A probe
License: MIT and BSD
BuildArch: noarch
%description
A probe.
%files
";

#[test]
fn packages_are_those_of_rpm() {
    if !there_is("rpmbuild", "get_packages on Red Hat") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let place = |name: &str| home.path().join(name).display().to_string();
    fs::write(place("probe.spec"), SPEC).unwrap();
    fs::create_dir(place("db")).unwrap();
    said(home.path(), &["rpmbuild", "-bb", "--define", &format!("_topdir {}", place("top")), "probe.spec"]);
    let package = place("top/RPMS/noarch/doorward-probe-1.2-3.noarch.rpm");
    let database = place("db");
    let install = ["rpm", "-i", "--nodeps", "--dbpath", &database, &package];
    // On Debian it wants to be told twice.
    let mut debian = command("rpm", home.path());
    debian.args(&install[1..]).arg("--force-debian");
    if finish(debian, "").status != 0 {
        said(home.path(), &install);
    }
    let theirs = said(home.path(), &["rpm", "-qa", "--dbpath", &database]);
    assert_eq!(theirs.trim(), "doorward-probe-1.2-3.noarch");
    let _ = fs::create_dir_all("/var/lib/rpm");
    let Some(mut door) = Piped::over(home.path(), "", &[("db", "/var/lib/rpm")]) else { return };
    let answer = door.call("get_packages", json!({ "name": "doorward-probe" }));
    assert_eq!(
        answer["packages"],
        json!([{
            "name": "doorward-probe", "version": "4:1.2-3", "architecture": "noarch", "source": "doorward-probe", "manager": "rpm",
            "license": "MIT and BSD", "size_bytes": 0, "state": "installed",
        }])
    );
}

/// Holds a bill against the official schema, as those who publish it do.
fn assert_bill(home: &Path, bill: &Value) {
    const SCRIPT: &str = "import sys
from cyclonedx.validation.json import JsonStrictValidator
from cyclonedx.schema import SchemaVersion
problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
sys.exit(str(problem) if problem else 0)";
    let python = Path::new(ROOT).join("target/clients/bin/python");
    if !there_is(&python, "bills of materials against the official schema") {
        return;
    }
    let check = |bill: &Value| -> Ended {
        let mut run = command(&python, home);
        run.args(["-c", SCRIPT]);
        finish(run, &bill.to_string())
    };
    let ended = check(bill);
    assert_eq!(ended.status, 0, "{bill}\n{ended:?}");
    let mut wrong = bill.clone();
    wrong["components"][0]["type"] = "nonsense".into();
    assert_ne!(check(&wrong).status, 0, "the schema was not looked at");
}

fn purls(bill: &Value) -> BTreeSet<String> {
    let components = bill["components"].as_array().unwrap();
    components.iter().map(|component| component["purl"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn packages_and_dependencies_are_bills_of_the_official_schema() {
    let home = tempfile::tempdir().unwrap();
    let project = home.path().join("project");
    fs::create_dir(&project).unwrap();
    fs::copy(Path::new(ROOT).join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    fs::write(project.join("requirements.txt"), "Jinja2==3.1.3\n").unwrap();
    let config = format!("toolsets: {{system: {{dependencies: {{paths: [{}]}}}}}}", project.display());
    let mut door = Piped::open(home.path(), &config);
    let answer = door.call("get_dependencies", json!({ "format": "cyclonedx" }));
    assert_bill(home.path(), &answer["bill"]);
    if there_is("python3", "lock files of Cargo against another reader") {
        const SCRIPT: &str = "import tomllib
for package in tomllib.load(open('project/Cargo.lock', 'rb'))['package']:
    if 'source' in package: print('pkg:cargo/%s@%s' % (package['name'], package['version'].replace('+', '%2B')))";
        let mut theirs: BTreeSet<String> =
            said(home.path(), &["python3", "-c", SCRIPT]).lines().map(str::to_owned).collect();
        theirs.insert("pkg:pypi/jinja2@3.1.3".to_owned());
        assert!(theirs.len() > 200);
        assert_eq!(purls(&answer["bill"]), theirs);
    }
    if Path::new("/var/lib/dpkg/status").exists() {
        let answer = door.call("get_packages", json!({ "format": "cyclonedx" }));
        assert_bill(home.path(), &answer["bill"]);
        let first = purls(&answer["bill"]).pop_first().unwrap();
        assert!(first.starts_with("pkg:deb/") && first.contains("?arch="), "{first}");
    }
}

/// Podman with its own storage and socket, and a container in it that holds secrets.
fn engine(home: &Path) -> Option<Running> {
    if !there_is("podman", "containers of a real engine") {
        return None;
    }
    let storage = ["--root", "storage", "--runroot", "run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"];
    let podman = |arguments: &[&str]| {
        let mut run = command("podman", home);
        run.args(storage).args(["--events-backend", "none"]).args(arguments);
        run
    };
    fs::create_dir(home.join("files")).unwrap();
    fs::copy("/bin/true", home.join("files/app")).unwrap();
    said(home, &["tar", "-C", "files", "-cf", "files.tar", "."]);
    let imported = finish(podman(&["import", "-q", "files.tar", "registry.example.com/team/app:1.2"]), "");
    if imported.status != 0 {
        // Where there may be no namespaces and mounts.
        missing("podman", &format!("containers of a real engine ({})", imported.stderr.trim()));
        return None;
    }
    let create = ["create", "--name", "web", "--network", "none", "--label", "a=s3cret-label", "--env", "B=s3cret-env"];
    finish(
        podman(
            &[&create[..], &["-v", "/srv:/data:ro", "registry.example.com/team/app:1.2", "/app", "--loud"]].concat(),
        ),
        "",
    )
    .well();
    let socket = format!("unix://{}", home.join("engine.sock").display());
    let mut running = Running::start(podman(&["system", "service", "--time=0", &socket]));
    running.until(|_| home.join("engine.sock").exists().then_some(()));
    Some(running)
}

#[test]
fn containers_and_images_are_those_of_podman_without_its_secrets() {
    let home = tempfile::tempdir().unwrap();
    let Some(engine) = engine(home.path()) else { return };
    let config =
        format!("toolsets: {{system: {{containers: {{sockets: [{}]}}}}}}", home.path().join("engine.sock").display());
    let mut door = Piped::open(home.path(), &config);
    // A busy engine may not say in time what it is.
    let mut answers = (0..60).map(|_| door.call("get_containers", json!({ "all": true })));
    let said = |answer: &Value| answer["engines"][0]["product"].is_string() && answer["total"] == 1;
    let answer = answers.find(said).expect("the engine answers");
    assert_eq!((&answer["engines"][0]["product"], &answer["total"]), (&json!("Podman Engine"), &json!(1)), "{answer}");
    let container = &answer["containers"][0];
    assert_eq!(container["names"], json!(["web"]));
    assert_eq!(
        (&container["image"], &container["state"]),
        (&json!("registry.example.com/team/app:1.2"), &json!("created"))
    );
    assert_eq!(container["command"], "/app --loud");
    assert!(!answer.to_string().contains("s3cret"), "{answer}");
    assert_eq!(door.call("get_containers", json!({}))["total"], 0, "it does not run");
    assert_bill(home.path(), &door.call("get_containers", json!({ "all": true, "format": "cyclonedx" }))["bill"]);

    let images = door.call("get_container_images", json!({}));
    let image = &images["images"][0];
    assert_eq!((&image["tags"], &image["id"]), (&json!(["registry.example.com/team/app:1.2"]), &container["image_id"]));
    assert!(image["size_bytes"].as_u64().unwrap() > fs::metadata("/bin/true").unwrap().len());
    let bill = door.call("get_container_images", json!({ "format": "cyclonedx" }));
    let digest = image["digests"][0].as_str().unwrap().split_once('@').unwrap().1;
    let purl = format!("pkg:oci/app@{digest}?repository_url=registry.example.com%2Fteam%2Fapp&tag=1.2");
    assert_eq!(purls(&bill["bill"]), BTreeSet::from([purl]));
    assert_bill(home.path(), &bill["bill"]);

    drop(engine);
    sleep(Duration::from_millis(50));
    let answer = door.attempt("get_containers", &json!({}));
    assert_eq!(answer["result"]["isError"], true, "{answer}");
}
