//! The environment, as it was handed in: `DOORWARD__AUTH__JWT__ISSUER=…` stands above `auth.jwt.issuer` of the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;

use super::place::{KeyPath, Place, Source};
use super::references::{Reference, is_secret};
use super::report::Finding;
use super::shape::Shape;
use super::spelling::{meant, nearest};
use super::tree::{Kind, Node};
use super::yaml;

/// What the names of overrides begin with; each further `__` is one level down.
const PREFIX: &str = "DOORWARD__";

/// Stands where the bytes of a variable were not UTF-8.
const NOT_UTF8: char = char::REPLACEMENT_CHARACTER;

/// Variables by name. It has no `Debug`: secrets stand in it.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Environment {
    /// The same with this variable, in whatever case it was written before.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.0.retain(|known, _| !known.eq_ignore_ascii_case(name));
        self.0.insert(name.to_owned(), value);
        self
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// As the system hands it over (`std::env::vars_os`). A value that is not UTF-8 is as if it were not set, save that of
/// an override, which becomes a finding.
impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(pairs: I) -> Self {
        let read = |(name, value): (OsString, OsString)| {
            let name = name.into_string().ok()?;
            match value.into_string() {
                Ok(value) => Some((name, value)),
                Err(_) => is_override(&name).then(|| (name, NOT_UTF8.to_string())),
            }
        };
        Self(pairs.into_iter().filter_map(read).collect())
    }
}

fn is_override(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX))
}

/// Puts every override in its place in the tree.
pub(super) fn overlay(root: &mut Node, shape: &Shape, environment: &Environment) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: Vec<(Vec<String>, &str)> = Vec::new();
    for (name, value) in environment.0.iter().filter(|(name, _)| is_override(name)) {
        let source = Source::Environment(Arc::from(name.as_str()));
        let place = Place::start(source.clone());
        let words = name.get(PREFIX.len()..).unwrap_or_default().split("__");
        let target = match find(root, shape, words) {
            Ok(target) => target,
            Err((path, problem, advice)) => {
                let finding = Finding::new(place, &path, problem);
                findings.push(match advice {
                    Some(advice) => finding.advise(advice),
                    None => finding,
                });
                continue;
            }
        };
        let path = target.keys.iter().fold(KeyPath::default(), |path, key| path.key(key));
        if let Some((_, other)) = seen.iter().find(|(keys, _)| *keys == target.keys) {
            findings.push(Finding::new(place, &path, format!("{other} says the same key")));
            continue;
        }
        if value.contains(NOT_UTF8) {
            findings.push(Finding::new(place, &path, "the value is not UTF-8 text"));
            continue;
        }
        match read(name, value, &target, &path, &source) {
            Ok(node) => root.put(&target.keys, node),
            Err(found) => findings.extend(found),
        }
        seen.push((target.keys, name));
    }
    findings
}

/// What an override is about.
struct Target<'a> {
    keys: Vec<String>,
    shape: &'a Shape,
}

type Lost = (KeyPath, String, Option<String>);

/// Finds the key that the words name, without regard to case.
fn find<'a, 'w>(root: &Node, shape: &'a Shape, words: impl Iterator<Item = &'w str>) -> Result<Target<'a>, Lost> {
    let (mut node, mut target, mut path) = (Some(root), Target { keys: Vec::new(), shape }, KeyPath::default());
    for word in words {
        let word = word.to_ascii_lowercase();
        let lost = |problem: &str, advice| Err((path.key(&word), problem.to_owned(), advice));
        let (key, below) = match target.shape {
            Shape::Section(keys) => match keys.get_key_value(&word) {
                Some((name, key)) => (name.clone(), &key.shape),
                None => {
                    return lost(
                        "unknown key",
                        nearest(&word, keys.keys().map(String::as_str)).map(|near| meant(&path.key(near))),
                    );
                }
            },
            Shape::Table(_) if word.is_empty() => return lost("a name is missing", None),
            Shape::Table(values) => (written(node, &word).unwrap_or_else(|| word.clone()), &**values),
            Shape::List(_) => {
                return lost("a list is given as a whole", Some(format!("set {path} to a list such as [one, two]")));
            }
            Shape::OneOrMore(_) | Shape::Choice(_) | Shape::Text(_) | Shape::Integer { .. } | Shape::Boolean => {
                return lost("unknown key", Some(format!("nothing is below {path}")));
            }
        };
        node = node.and_then(|node| node.entry(&key)).map(|entry| &entry.value);
        path = path.key(&key);
        target.keys.push(key);
        target.shape = below;
    }
    Ok(target)
}

/// The name in the file that differs from `word` in nothing but case.
fn written(node: Option<&Node>, word: &str) -> Option<String> {
    match &node?.kind {
        Kind::Map(entries) => {
            entries.iter().map(|entry| &entry.key).find(|key| key.eq_ignore_ascii_case(word)).cloned()
        }
        Kind::Nothing | Kind::Bad | Kind::Scalar { .. } | Kind::List(_) => None,
    }
}

/// The value as a node: text as it is, anything else as YAML. A secret stays where it is and is referred to.
fn read(name: &str, value: &str, target: &Target<'_>, path: &KeyPath, source: &Source) -> Result<Node, Vec<Finding>> {
    let scalar =
        |text: &str, plain| Node::new(Place::start(source.clone()), Kind::Scalar { text: text.to_owned(), plain });
    if is_secret(path) {
        let refers = Reference::parse(value).is_some();
        return Ok(if refers { scalar(value, false) } else { scalar(&format!("${{{name}}}"), false) });
    }
    let parsed = yaml::parse(value, source);
    if let Shape::Text(_) = target.shape {
        // A URL, a name or a path is not always YAML, so what stands without quotes is taken as it is.
        return Ok(match parsed {
            Ok((node, _)) if matches!(node.kind, Kind::Scalar { plain: false, .. }) => node,
            Ok((node, _)) if matches!(node.kind, Kind::Nothing) && !value.is_empty() => node,
            Ok(_) | Err(_) => scalar(value, false),
        });
    }
    let within = |found: Vec<Finding>| found.into_iter().map(|finding| finding.within(path)).collect::<Vec<_>>();
    match parsed {
        Ok((node, findings)) if findings.is_empty() => Ok(node),
        Ok((_, findings)) | Err(findings) => Err(within(findings)),
    }
}
