//! Fitting a tree to the schema: every key known, every value of its type and within its range. What does not fit becomes
//! a finding and is left out, so that one mistake does not hide the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Map, Value};

use super::environment::Environment;
use super::number;
use super::place::{KeyPath, Place, before_value};
use super::references::{Reference, is_secret, is_verbatim, substitute};
use super::report::Finding;
use super::shape::{Format, Key, Shape};
use super::spelling::{meant, nearest};
use super::tree::{Entry, Kind, Node};

/// The values that fit, the findings about the others, and where those others are.
pub(super) struct Fitted {
    pub(super) value: Value,
    pub(super) findings: Vec<Finding>,
    pub(super) left_out: Vec<KeyPath>,
}

/// Fits a whole file.
pub(super) fn fit(root: &Node, shape: &Shape, environment: &Environment) -> Fitted {
    let mut fit = Fit { environment, all: shape.paths(), findings: Vec::new(), left_out: Vec::new() };
    let value = match root.kind {
        // An empty file is a file of defaults.
        Kind::Nothing => None,
        Kind::Bad | Kind::Scalar { .. } | Kind::List(_) | Kind::Map(_) => {
            fit.value(root, shape, "", &KeyPath::default())
        }
    };
    let value = value.unwrap_or_else(|| Value::Object(Map::new()));
    Fitted { value, findings: fit.findings, left_out: fit.left_out }
}

struct Fit<'a> {
    environment: &'a Environment,
    /// The paths of all keys there are.
    all: Vec<String>,
    findings: Vec<Finding>,
    left_out: Vec<KeyPath>,
}

impl Fit<'_> {
    /// The value as JSON; without one it has its finding.
    fn value(&mut self, node: &Node, shape: &Shape, about: &str, path: &KeyPath) -> Option<Value> {
        let value = match (shape, &node.kind) {
            (_, Kind::Bad) => None,
            (Shape::Section(keys), Kind::Map(entries)) => self.section(node, keys, entries, path),
            (Shape::Table(values), Kind::Map(entries)) => Some(self.table(values, entries, path)),
            (Shape::List(items) | Shape::OneOrMore(items), Kind::List(nodes)) => {
                let fitted = nodes.iter().enumerate();
                let fitted = fitted.filter_map(|(index, node)| self.value(node, items, "", &path.item(index)));
                Some(Value::Array(fitted.collect()))
            }
            (Shape::OneOrMore(one), _) => return self.value(node, one, about, path),
            (Shape::Section(_) | Shape::Table(_) | Shape::List(_), _) => self.mistake(node, shape, about, path),
            (_, Kind::Scalar { text, plain }) => self.scalar(node, text, *plain, shape, about, path),
            (_, Kind::Nothing | Kind::List(_) | Kind::Map(_)) => self.mistake(node, shape, about, path),
        };
        if value.is_none() {
            self.left_out.push(path.clone());
        }
        value
    }

    fn section(
        &mut self,
        node: &Node,
        keys: &BTreeMap<String, Key>,
        entries: &[Entry],
        path: &KeyPath,
    ) -> Option<Value> {
        let mut map = Map::new();
        for entry in entries {
            let path = path.key(&entry.key);
            let Some(key) = keys.get(&entry.key) else {
                self.unknown(entry, keys, &path);
                continue;
            };
            // A section whose keys are all commented out says nothing, and so does an optional key without a value.
            let silent = matches!(entry.value.kind, Kind::Nothing);
            if silent && !key.required && (key.optional || matches!(key.shape, Shape::Section(_))) {
                continue;
            }
            if key.idle {
                self.findings.push(Finding::note(entry.place.clone(), &path, "has no effect in this version"));
            }
            if let Some(value) = self.value(&entry.value, &key.shape, &key.about, &path) {
                map.insert(entry.key.clone(), value);
            }
        }
        let mut whole = true;
        for (name, _) in keys.iter().filter(|(_, key)| key.required) {
            whole &= map.contains_key(name);
            if node.entry(name).is_none() {
                self.find(&node.place, &path.key(name), "is missing");
            }
        }
        whole.then_some(Value::Object(map))
    }

    fn table(&mut self, values: &Shape, entries: &[Entry], path: &KeyPath) -> Value {
        let fitted = entries.iter().filter_map(|entry| {
            self.value(&entry.value, values, "", &path.key(&entry.key)).map(|value| (entry.key.clone(), value))
        });
        Value::Object(fitted.collect())
    }

    fn unknown(&mut self, entry: &Entry, keys: &BTreeMap<String, Key>, path: &KeyPath) {
        let parent = path.parent();
        let name = before_value(&entry.key);
        let run_on = name.len() < entry.key.len();
        let path = &if run_on { parent.key(name) } else { path.clone() };
        let finding = Finding::new(entry.place.clone(), path, "unknown key");
        if run_on && keys.contains_key(name) {
            self.findings.push(finding.advise("write a space after the colon"));
            return;
        }
        let elsewhere = || {
            let below = format!(".{name}");
            let mut same = self.all.iter().filter(|known| **known == name || known.ends_with(&below));
            same.next().filter(|_| same.next().is_none()).map(|known| KeyPath::from(known.as_str()))
        };
        let near = nearest(name, keys.keys().map(String::as_str)).map(|name| parent.key(name));
        self.findings.push(match near.or_else(elsewhere) {
            Some(near) => finding.advise(meant(&near)),
            None => {
                let known: Vec<&str> = keys.keys().map(String::as_str).collect();
                finding.advise(format!("known here: {}", known.join(", ")))
            }
        });
    }

    fn scalar(
        &mut self,
        node: &Node,
        text: &str,
        plain: bool,
        shape: &Shape,
        about: &str,
        path: &KeyPath,
    ) -> Option<Value> {
        if is_secret(path) {
            if Reference::parse(text).is_some() {
                return Some(Value::from(text));
            }
            let finding = Finding::new(node.place.clone(), path, "a secret must not stand in the configuration");
            self.findings.push(finding.advise("write ${VARIABLE} or file:PATH in its place"));
            return None;
        }
        let replaced = match is_verbatim(path) {
            true => Ok(text.to_owned()),
            false => substitute(text, self.environment),
        };
        let text = match replaced {
            Ok(text) => text,
            Err(unset) => {
                for name in unset {
                    self.find(&node.place, path, format!("the environment variable {name} is not set"));
                }
                return None;
            }
        };
        match shape {
            Shape::Text(format) => self.text(node, text, *format, path),
            Shape::Choice(words) if words.contains(&text) => Some(Value::from(text)),
            Shape::Choice(words) => {
                let finding = Finding::new(node.place.clone(), path, format!("expected one of {}", words.join(", ")));
                let near = nearest(&text, words.iter().map(String::as_str));
                self.findings.push(match near {
                    Some(near) => finding.advise(format!("did you mean {near}?")),
                    None => finding,
                });
                None
            }
            Shape::Boolean if plain && matches!(&*text, "true" | "True" | "TRUE") => Some(Value::from(true)),
            Shape::Boolean if plain && matches!(&*text, "false" | "False" | "FALSE") => Some(Value::from(false)),
            Shape::Integer { least, most } if plain => match number::read(&text) {
                Ok(number) if (*least..=*most).contains(&number) => number::json(number),
                Ok(number) => {
                    self.find(&node.place, path, number::range(number, *least, *most));
                    None
                }
                Err(number::Odd::NoNumber) => self.mistake(node, shape, about, path),
                Err(number::Odd::LeadingZero) => {
                    self.find(&node.place, path, "a number that begins with 0 can be read in two ways; drop the zero");
                    None
                }
            },
            Shape::Section(_)
            | Shape::Table(_)
            | Shape::List(_)
            | Shape::OneOrMore(_)
            | Shape::Integer { .. }
            | Shape::Boolean => self.mistake(node, shape, about, path),
        }
    }

    fn text(&mut self, node: &Node, text: String, format: Format, path: &KeyPath) -> Option<Value> {
        let problem = match format {
            Format::AddressPort if text.parse::<SocketAddr>().is_err() => {
                "expected an IP address and a port, such as 127.0.0.1:8443"
            }
            Format::FileMode if !is_file_mode(&text) => "expected a file mode of three octal digits, such as 0600",
            Format::Free | Format::AddressPort | Format::FileMode => return Some(Value::from(text)),
        };
        self.find(&node.place, path, problem);
        None
    }

    /// The value is of another type than it should be.
    fn mistake(&mut self, node: &Node, shape: &Shape, about: &str, path: &KeyPath) -> Option<Value> {
        let (found, plain) = match &node.kind {
            Kind::Nothing | Kind::Bad => ("no value", false),
            Kind::List(_) => ("a list", false),
            Kind::Map(_) => ("keys", false),
            Kind::Scalar { plain: false, .. } => ("text in quotes", false),
            Kind::Scalar { text, plain: true } if matches!(&*text.to_lowercase(), "true" | "false") => {
                ("true or false", true)
            }
            Kind::Scalar { text, plain: true } if number::read(text).is_ok() => ("a number", true),
            Kind::Scalar { plain: true, .. } => ("text", true),
        };
        let finding =
            Finding::new(node.place.clone(), path, format!("expected {}, found {found}", expected(shape, about)));
        let list = matches!(shape, Shape::List(_)) && plain;
        self.findings.push(if list { finding.advise("put it in [ ]") } else { finding });
        None
    }

    fn find(&mut self, place: &Place, path: &KeyPath, problem: impl Into<String>) {
        self.findings.push(Finding::new(place.clone(), path, problem));
    }
}

fn is_file_mode(text: &str) -> bool {
    let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
    digits.len() == 3 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'))
}

/// What should have been there, with the unit that the description names.
fn expected(shape: &Shape, about: &str) -> String {
    let units = [
        ("milliseconds", "a number of milliseconds"),
        ("seconds", "a number of seconds"),
        ("bytes", "a number of bytes"),
        ("mib", "a number of MiB"),
        ("percent", "a number of percent"),
    ];
    match shape {
        Shape::Section(_) => "keys and values".to_owned(),
        Shape::Table(_) => "names, each with its value".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::OneOrMore(one) => expected(one, about),
        Shape::Choice(words) => format!("one of {}", words.join(", ")),
        Shape::Text(_) => "text".to_owned(),
        Shape::Boolean => "true or false".to_owned(),
        Shape::Integer { .. } => {
            let about = about.to_lowercase();
            let unit = units.iter().find(|(word, _)| about.contains(word));
            unit.map_or("a number", |(_, unit)| unit).to_owned()
        }
    }
}
