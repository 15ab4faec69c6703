//! `get_container_images`: which images of containers the host holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container_engine::{Engine, component, lists, short};
use super::cyclonedx::{Bill, Format};
use super::distribution::Distribution;
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::quantity::moment;
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;
use crate::guard::LimitsSection;

/// How to see what is left out.
const NARROW: &str = "go on with offset, raise limit, or narrow with name";

pub(super) struct Query;

/// What to list.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only images with this in one of their names, in capitals or not.
    #[schemars(length(min = 1, max = 256))]
    name: Option<String>,
    /// Images to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most images to list. Without it 100; in a bill of materials as many as allowed.
    limit: Option<usize>,
    /// The form of the answer.
    format: Format,
}

/// Images.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The engines that were asked.
    engines: Vec<Engine>,
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The images, the newest first, where a list was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<Vec<Image>>,
    /// The bill of materials, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bill: Option<Bill>,
}

/// One image.
#[derive(Serialize, JsonSchema)]
struct Image {
    /// The first 12 digits of its id.
    id: String,
    /// The number of its engine in `engines`, from 0.
    engine: usize,
    /// Its names with their tags.
    tags: Vec<String>,
    /// Its names with the digest that a registry has it by.
    digests: Vec<String>,
    /// When it was made: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// Bytes, layers that other images share counted too.
    size_bytes: u64,
    /// Number of containers made of it, where the engine counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Told {
    id: String,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
    created: u64,
    size: u64,
    /// Negative when it was not counted.
    containers: i64,
}

impl Told {
    /// Its first name, or its id.
    fn name(&self) -> &str {
        self.repo_tags.iter().flatten().find(|tag| !tag.starts_with("<none>")).map_or(&self.id, |tag| tag)
    }
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_container_images",
            "Container images",
            "Images of Docker or Podman on the host with tags, digests, age and size, from the configured sockets: as a list, \
             or as a bill of materials (CycloneDX 1.6).",
            Impact::Medium,
        ).asking_servers().reading(["/etc/os-release", "/usr/lib/os-release"])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, None);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let (engines, mut told) = lists::<Told>(ask, "/images/json")?;
        let total = told.len();
        let name = args.name.map(|name| name.to_lowercase());
        told.retain(|(_, one)| {
            let mut names = one.repo_tags.iter().chain(&one.repo_digests).flatten();
            name.is_none() || names.any(|own| listing::holds(own, name.as_deref()))
        });
        told.sort_by(|(_, a), (_, b)| (b.created, &a.id).cmp(&(a.created, &b.id)));
        let usual = if args.format == Format::List { USUAL } else { usize::MAX };
        let page = (args.offset, args.limit.unwrap_or(usual));
        let (shown, extent) = listing::part(told, total, page, ask.limits);
        let extent = extent.narrow(NARROW);
        // A bill has them in a list of its own.
        let extent = if args.format == Format::List { extent } else { extent.scattered() };
        let whole = shown.len() == total && !engines.iter().any(Engine::failed);
        let (images, bill) = match args.format {
            Format::List => (Some(shown.into_iter().map(describe).collect()), None),
            Format::Cyclonedx => {
                let digest = |one: &Told| one.repo_digests.iter().flatten().next().cloned();
                let images = shown.iter().map(|(_, one)| component(one.name(), digest(one).as_deref()));
                let host = Distribution::of(ask.host);
                (None, Some(Bill::of(&host.name, host.version.as_deref(), images.collect(), whole)))
            }
        };
        Ok(Answer { engines, extent, images, bill })
    }
}

fn describe((engine, told): (usize, Told)) -> Image {
    Image {
        id: short(&told.id),
        engine,
        tags: told.repo_tags.unwrap_or_default(),
        digests: told.repo_digests.unwrap_or_default(),
        created: moment(told.created.saturating_mul(1000)),
        size_bytes: told.size,
        containers: u64::try_from(told.containers).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::query::ask;
    use super::super::{Host, SystemSection};
    use super::*;

    fn listed(arguments: Value) -> Value {
        let mut section = SystemSection::default();
        section.containers.sockets.push("/run/docker.sock".into());
        ask::<Query>(&Host::fixture("debian-vm").opened(&section), arguments).unwrap()
    }

    #[test]
    fn images_are_shown_the_newest_first() {
        let answer = listed(json!({}));
        assert_eq!((&answer["total"], &answer["matching"]), (&json!(2), &json!(2)));
        assert_eq!(
            answer["images"][0],
            json!({
                "id": "53a18edff809", "engine": 0, "tags": ["nginx:1.27"],
                "digests": ["nginx@sha256:09369da6b10306312cd908661320086bf87fbae1b6b0c49a1f50ba531fef2eab"],
                "created": "2025-10-08T17:46:40.000Z", "size_bytes": 192_004_242,
            })
        );
        assert_eq!(listed(json!({"name": "POSTGRES"}))["images"][0]["containers"], 1);
    }

    #[test]
    fn a_bill_has_digests() {
        let bill = &listed(json!({"format": "cyclonedx"}))["bill"];
        let digest = "sha256:09369da6b10306312cd908661320086bf87fbae1b6b0c49a1f50ba531fef2eab";
        let purl = format!("pkg:oci/nginx@{digest}?repository_url=docker.io%2Flibrary%2Fnginx&tag=1.27");
        assert_eq!(bill["components"][0]["purl"], purl);
        assert_eq!(bill["components"][1]["name"], "registry.example.com:5000/data/postgres");
    }
}
