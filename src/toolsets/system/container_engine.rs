//! Container engines by the Docker API, which Podman speaks too, over their configured unix sockets. Two lists and the version
//! are read; labels and environments of containers are not even taken in.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cyclonedx::{Component, Kind, purl};
use super::query::Ask;
use crate::error::{Code, Failure};

/// The largest list that is taken.
const LIST_BYTES: usize = 8 << 20;

/// An engine that was asked.
#[derive(Serialize, JsonSchema)]
pub(super) struct Engine {
    /// Its socket.
    socket: String,
    /// What it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Why it gave no list.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl Engine {
    /// Whether it gave no list.
    pub(super) fn failed(&self) -> bool {
        self.problem.is_some()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Version {
    version: Option<String>,
    platform: Option<Platform>,
    components: Option<Vec<Part>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Platform {
    name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Part {
    name: Option<String>,
}

/// Items with the number of the engine that each is of.
pub(super) type Numbered<T> = Vec<(usize, T)>;

/// Asks every configured engine for the list at `target`.
///
/// # Errors
/// [`Code::ToolFailed`] when no engine is configured, or none answers.
pub(super) fn lists<T: DeserializeOwned>(ask: &Ask<'_>, target: &str) -> Result<(Vec<Engine>, Numbered<T>), Failure> {
    let sockets = &ask.host.section().containers.sockets;
    if sockets.is_empty() {
        let text = "no container engine is configured here: toolsets.system.containers.sockets";
        return Err(Failure::new(Code::ToolFailed, text));
    }
    let (mut engines, mut items) = (Vec::new(), Vec::new());
    let mut last = None;
    for (number, socket) in sockets.iter().enumerate() {
        ask.go_on()?;
        let list = ask.host.socket(socket, target, LIST_BYTES).and_then(|body| parse::<Vec<T>>(&body));
        // Only of an engine that answers, for each question can take its time.
        let version = list.is_ok().then(|| ask.host.socket(socket, "/version", LIST_BYTES).ok()).flatten();
        let version = version.and_then(|body| parse::<Version>(&body).ok()).unwrap_or_default();
        // Podman gives its platform for its name; both name themselves first among their parts.
        let part = version.components.into_iter().flatten().find_map(|part| part.name);
        let product = version.platform.and_then(|platform| platform.name).filter(|name| !name.contains('/'));
        let product = part.filter(|name| name.starts_with("Podman")).or(product).filter(|name| !name.is_empty());
        let problem = list.as_ref().err().map(|failure| failure.public().to_owned());
        engines.push(Engine { socket: socket.display().to_string(), product, version: version.version, problem });
        match list {
            Ok(list) => items.extend(list.into_iter().map(|item| (number, item))),
            Err(failure) => last = Some(failure),
        }
    }
    match last {
        Some(failure) if engines.iter().all(Engine::failed) => Err(failure),
        _ => Ok((engines, items)),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::new(Code::ToolFailed, "the container engine answers with something else").because(error)
    })
}

/// The first digits of an id, which are what people and programs use.
pub(super) fn short(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).chars().take(12).collect()
}

/// An image as a part of a bill: by its digest where a registry gave it one, otherwise by its tag.
pub(super) fn component(tag: &str, digest: Option<&str>) -> Component {
    let reference = Reference::parse(tag);
    let name = reference.path.rsplit('/').next().unwrap_or_default();
    let address = match digest.and_then(|digest| digest.rsplit_once('@')) {
        Some((repository, digest)) => {
            let repository = Reference::parse(repository);
            let name = repository.path.rsplit('/').next().unwrap_or_default().to_lowercase();
            let place = repository.place();
            let qualifiers = [("repository_url", &*place), ("tag", reference.tag.unwrap_or_default())];
            purl("oci", &[], &name, Some(digest), &qualifiers)
        }
        None => {
            let registry = Some(reference.registry).filter(|registry| *registry != DOCKER).unwrap_or_default();
            let mut parts: Vec<&str> = reference.path.split('/').collect();
            let _ = parts.pop();
            purl("docker", &parts, name, reference.tag, &[("repository_url", registry)])
        }
    };
    Component::packaged(Kind::Container, &reference.place(), reference.tag, address)
}

/// Where an image comes from that names no registry.
const DOCKER: &str = "docker.io";

/// `registry.example.com:5000/team/app:1.2` in its parts.
struct Reference<'a> {
    registry: &'a str,
    path: &'a str,
    tag: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Without its tag; Docker's own images lie in a folder that nobody writes.
    fn place(&self) -> String {
        let folder = if self.registry == DOCKER && !self.path.contains('/') { "library/" } else { "" };
        format!("{}/{folder}{}", self.registry, self.path)
    }

    fn parse(text: &'a str) -> Self {
        let text = text.split('@').next().unwrap_or_default();
        let (text, tag) = match text.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag)),
            _ => (text, None),
        };
        match text.split_once('/') {
            Some((registry, path)) if registry.contains(['.', ':']) || registry == "localhost" => {
                Self { registry, path, tag }
            }
            _ => Self { registry: DOCKER, path: text, tag },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn purl_of(tag: &str, digest: Option<&str>) -> String {
        serde_json::to_value(component(tag, digest)).unwrap()["purl"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_image_is_addressed_by_digest_or_by_tag() {
        assert_eq!(
            purl_of("registry.example.com:5000/team/App:1.2", Some("registry.example.com:5000/team/App@sha256:ab12")),
            "pkg:oci/app@sha256:ab12?repository_url=registry.example.com:5000%2Fteam%2FApp&tag=1.2"
        );
        assert_eq!(purl_of("postgres:17", None), "pkg:docker/postgres@17");
        assert_eq!(purl_of("localhost/own/thing", None), "pkg:docker/own/thing?repository_url=localhost");
        assert_eq!(purl_of("", Some("nonsense")), "pkg:docker/");
        assert_eq!(short("sha256:3055a148ee8ad58f"), "3055a148ee8a");
        let part = serde_json::to_value(component("library/x:1", None)).unwrap();
        assert_eq!((&part["name"], &part["type"]), (&json!("docker.io/library/x"), &json!("container")));
    }
}
