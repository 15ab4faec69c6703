//! `get_containers`: which containers there are. Neither their labels nor their environments are shown.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container_engine::{Engine, component, lists, short};
use super::cyclonedx::{Bill, Format};
use super::distribution::Distribution;
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::process;
use super::quantity::moment;
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;
use crate::guard::{Before, LimitsSection};

/// How to see what is left out.
const NARROW: &str = "go on with offset, raise limit, or narrow with name or image";

pub(super) struct Query;

/// What to list.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Also containers that do not run.
    all: bool,
    /// Only containers with this in one of their names, in capitals or not.
    #[schemars(length(min = 1, max = 256))]
    name: Option<String>,
    /// Only containers with this in the name of their image, in capitals or not.
    #[schemars(length(min = 1, max = 256))]
    image: Option<String>,
    /// Containers to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most containers to list. Without it 100; in a bill of materials as many as allowed.
    limit: Option<usize>,
    /// The form of the answer; a bill of materials lists the images of the containers.
    format: Format,
}

/// Containers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The engines that were asked.
    engines: Vec<Engine>,
    /// How much is listed; those that do not run are counted only where they were asked for.
    #[serde(flatten)]
    extent: Extent,
    /// The containers, the newest first, where a list was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<Vec<Container>>,
    /// The bill of materials, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<Bill>,
}

/// One container.
#[derive(Serialize, JsonSchema)]
struct Container {
    /// The first 12 digits of its id.
    id: String,
    /// Its names.
    names: Vec<String>,
    /// The number of its engine in `engines`, from 0.
    engine: usize,
    /// Its image as it was named.
    image: String,
    /// The first 12 digits of its image's id.
    image_id: String,
    /// Such as running, exited, created or paused.
    state: String,
    /// The same in words, with the time.
    status: String,
    /// When it was made: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// What it runs.
    command: String,
    /// Whether the end of the command is missing.
    command_truncated: bool,
    /// The ports that it opens or publishes.
    ports: Vec<Port>,
    /// The networks it is in, and its addresses there.
    networks: BTreeMap<String, String>,
    /// What of the host and of its engine is mounted in it.
    mounts: Vec<Mount>,
}

/// A port of a container.
#[derive(Serialize, JsonSchema)]
struct Port {
    /// The port in the container.
    container_port: u16,
    /// The port of the host, if it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_port: Option<u16>,
    /// The address of the host at which it is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_address: Option<String>,
    /// tcp, udp or sctp.
    protocol: String,
}

/// A mount in a container.
#[derive(Serialize, JsonSchema)]
struct Mount {
    /// bind, volume or tmpfs.
    kind: String,
    /// The folder of the host, or the name of the volume.
    source: String,
    /// Where it is in the container.
    destination: String,
    /// Whether the container can write to it.
    writable: bool,
}

/// A container as the engine tells of it; labels are passed over.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Told {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    #[serde(rename = "ImageID")]
    image_id: Option<String>,
    command: Option<String>,
    created: u64,
    state: Option<String>,
    status: Option<String>,
    ports: Option<Vec<ToldPort>>,
    network_settings: Option<ToldNetworks>,
    mounts: Option<Vec<ToldMount>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ToldPort {
    #[serde(rename = "IP")]
    address: Option<String>,
    private_port: u16,
    public_port: Option<u16>,
    r#type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ToldNetworks {
    networks: Option<BTreeMap<String, Option<ToldNetwork>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ToldNetwork {
    #[serde(rename = "IPAddress")]
    address: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ToldMount {
    r#type: Option<String>,
    name: Option<String>,
    source: Option<String>,
    destination: Option<String>,
    #[serde(rename = "RW")]
    writable: bool,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_containers",
            "Containers",
            "Containers of Docker or Podman on the host with image, state, ports, networks and mounts, from the configured \
             sockets; labels and environments are never shown.",
            Impact::Medium,
        ).asking_servers().reading(["/etc/os-release", "/usr/lib/os-release"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, None);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let target = if args.all { "/containers/json?all=1" } else { "/containers/json" };
        let (engines, mut told) = lists::<Told>(ask, target)?;
        // A recorded answer has them all.
        told.retain(|(_, one)| args.all || matches!(one.state.as_deref(), Some("running" | "paused" | "restarting")));
        let total = told.len();
        let (name, image) = (args.name.map(|name| name.to_lowercase()), args.image.map(|image| image.to_lowercase()));
        told.retain(|(_, one)| {
            let named = one.names.iter().flatten().any(|own| listing::holds(own, name.as_deref()));
            (named || name.is_none()) && listing::holds(one.image.as_deref().unwrap_or_default(), image.as_deref())
        });
        told.sort_by(|(_, a), (_, b)| (b.created, &a.id).cmp(&(a.created, &b.id)));
        let usual = if args.format == Format::List { USUAL } else { usize::MAX };
        let page = (args.offset, args.limit.unwrap_or(usual));
        let (shown, extent) = listing::part(told, total, page, ask.limits);
        let extent = extent.narrow(NARROW);
        // A bill has them in a list of its own.
        let extent = if args.format == Format::List { extent } else { extent.scattered() };
        let whole = args.all && shown.len() == total && !engines.iter().any(Engine::failed);
        let (cap, redactor) = (ask.limits.processes.max_cmdline_length, ask.redactor("containers.command")?);
        let described = |(engine, one)| {
            let container = describe(engine, one, cap, &redactor);
            if container.command_truncated {
                process::note_cut(cap);
            }
            container
        };
        let (containers, bill) = match args.format {
            Format::List => (Some(shown.into_iter().map(described).collect()), None),
            Format::Cyclonedx => {
                let images = shown.iter().map(|(_, one)| component(one.image.as_deref().unwrap_or_default(), None));
                let host = Distribution::of(ask.host);
                (None, Some(Bill::of(&host.name, host.version.as_deref(), images.collect(), whole)))
            }
        };
        Ok(Answer { engines, extent, containers, bill })
    }
}

fn describe(engine: usize, told: Told, cap: usize, redactor: &Before<'_>) -> Container {
    let command = told.command.unwrap_or_default();
    // Before it is cut: half a secret has no form any more.
    let command = redactor.clean(&command);
    let end =
        command.char_indices().map(|(at, c)| at.saturating_add(c.len_utf8())).take_while(|end| *end <= cap).last();
    let kept = command.get(..end.unwrap_or(0)).unwrap_or_default().to_owned();
    let ports = told.ports.into_iter().flatten().map(|port| Port {
        container_port: port.private_port,
        host_port: port.public_port.filter(|port| *port > 0),
        host_address: port.address.filter(|address| !address.is_empty()),
        protocol: port.r#type.unwrap_or_default(),
    });
    let networks = told.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mounts = told.mounts.into_iter().flatten().map(|mount| Mount {
        source: mount.name.filter(|name| !name.is_empty()).or(mount.source).unwrap_or_default(),
        kind: mount.r#type.unwrap_or_default(),
        destination: mount.destination.unwrap_or_default(),
        writable: mount.writable,
    });
    Container {
        id: short(&told.id),
        names: told.names.into_iter().flatten().map(|name| name.trim_start_matches('/').to_owned()).collect(),
        engine,
        image: told.image.unwrap_or_default(),
        image_id: short(told.image_id.as_deref().unwrap_or_default()),
        state: told.state.unwrap_or_default(),
        status: told.status.unwrap_or_default(),
        created: moment(told.created.saturating_mul(1000)),
        command_truncated: kept.len() < command.len(),
        command: kept,
        ports: ports.collect(),
        networks: networks
            .into_iter()
            .map(|(name, network)| (name, network.and_then(|network| network.address).unwrap_or_default()))
            .collect(),
        mounts: mounts.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::super::query::ask;
    use super::super::{Host, SystemSection};
    use super::*;
    use crate::error::Code;

    fn opened(host: Host, sockets: &[&str]) -> Host {
        let mut section = SystemSection::default();
        section.containers.sockets = sockets.iter().map(PathBuf::from).collect();
        host.opened(&section)
    }

    fn listed(arguments: Value) -> Value {
        ask::<Query>(&opened(Host::fixture("debian-vm"), &["/run/docker.sock"]), arguments).unwrap()
    }

    #[test]
    fn containers_are_shown_without_labels_and_environments() {
        let answer = listed(json!({}));
        assert_eq!(
            answer,
            json!({
                "engines": [{"socket": "/run/docker.sock", "product": "Docker Engine - Community", "version": "28.0.4"}],
                "total": 1, "matching": 1, "returned": 1, "left_out": 0,
                "containers": [{
                    "id": "8dfafdbc3a40", "names": ["web"], "engine": 0, "image": "nginx:1.27", "image_id": "53a18edff809",
                    "state": "running", "status": "Up 2 days", "created": "2025-11-01T08:00:00.000Z",
                    "command": "/docker-entrypoint.sh nginx -g 'daemon off;'", "command_truncated": false,
                    "ports": [{"container_port": 80, "host_port": 8080, "host_address": "127.0.0.1", "protocol": "tcp"},
                              {"container_port": 443, "protocol": "tcp"}],
                    "networks": {"bridge": "172.17.0.2"},
                    "mounts": [{"kind": "bind", "source": "/srv/www", "destination": "/usr/share/nginx/html", "writable": false}],
                }],
            })
        );
        let all = listed(json!({"all": true}));
        assert_eq!(all["containers"][1]["state"], "exited");
        assert!(!all.to_string().contains("s3cret-in-a-label"));
        assert_eq!(listed(json!({"all": true, "image": "POSTGRES"}))["containers"][0]["names"], json!(["db"]));
    }

    #[test]
    fn a_bill_lists_the_images() {
        let bill = &listed(json!({"all": true, "format": "cyclonedx"}))["bill"];
        assert_eq!(bill["components"][0]["purl"], "pkg:docker/nginx@1.27");
        assert_eq!(bill["compositions"], json!([{"aggregate": "complete"}]));
    }

    #[test]
    fn an_engine_that_does_not_answer_is_named_and_the_others_are_shown() {
        let two = opened(Host::fixture("debian-vm"), &["/run/none.sock", "/run/docker.sock"]);
        let answer = ask::<Query>(&two, json!({})).unwrap();
        assert!(answer["engines"][0]["problem"].as_str().unwrap().contains("run/none.sock"));
        assert_eq!(answer["containers"][0]["engine"], 1);
        for sockets in [&[][..], &["/run/none.sock"]] {
            let failure = ask::<Query>(&opened(Host::fixture("debian-vm"), sockets), json!({})).unwrap_err();
            assert_eq!(failure.code(), Code::ToolFailed);
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("sockets/x/containers")).unwrap();
        let host = opened(Host::folder(folder.path()), &["/x"]);
        for text in ["", "{}", "[1]", "[{\"Id\": 1}]", "<html>"] {
            std::fs::write(folder.path().join("sockets/x/containers/json"), text).unwrap();
            assert_eq!(ask::<Query>(&host, json!({})).unwrap_err().code(), Code::ToolFailed, "{text}");
        }
        std::fs::write(folder.path().join("sockets/x/containers/json"), r#"[{"State": "running", "Ports": null}]"#)
            .unwrap();
        assert_eq!(ask::<Query>(&host, json!({})).unwrap()["total"], 1);
    }

    #[test]
    fn secrets_in_commands_go_before_the_cut() {
        let told = |command: String| Told { command: Some(command), ..Told::default() };
        let taken = crate::call::Taken::default();
        let redactor = Before::new(Host::this().redactor().unwrap(), &taken, "containers.command");
        let long = describe(0, told(format!("{} dop_v1_{}", "y".repeat(50), "a1b2c3d4".repeat(8))), 70, &redactor);
        assert_eq!((long.command, long.command_truncated), (format!("{} [REDACTED]", "y".repeat(50)), false));
        let cut = describe(0, told(format!("{} password=Qz7kLm9 end", "y".repeat(50))), 70, &redactor);
        assert_eq!((cut.command.len(), cut.command_truncated, cut.command.contains("Qz")), (70, true, false));
    }
}
