//! One walk over a value: what is a secret by the name of its field goes at once, the texts are gathered for the rules.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::builtin::{ARGUMENT, BASIC, KUBERNETES, PRIVATE_KEY, TERRAFORM};
use super::distinct::Distinct;
use super::fields::Fields;
use super::innocent;
use super::redact::{REDACTED, Redactor};
use super::tally::Tally;

/// Bytes of a name that a `value` may have beside it; behind a longer one, which nobody looks into, it goes.
const LONGEST_NAME: usize = 256;
/// Stands for the field that such a name might be.
const LONG_NAME: &str = "long name";
/// Names that are looked through one by one.
const FEW: usize = 16;
/// Values that are nested deeper than this are taken out whole.
pub(super) const DEEPEST: usize = 128;
/// Where values are, the indices of lists left out; the first is the top.
#[derive(Default)]
struct Place {
    above: usize,
    key: String,
    /// The pattern that names it.
    field: Option<usize>,
    /// Its name without secrets, if it had any.
    clean: Option<String>,
    /// The places below, in the order in which they were first met, which is that of every object of a list.
    below: Vec<usize>,
    by_key: HashMap<String, usize>,
    /// Whether a member was met that says what another one is.
    telling: bool,
}

/// A text of the value.
pub(super) struct Leaf<'v> {
    pub(super) text: &'v mut String,
    /// Texts at the same place are a column: the lines of a log, one in each item of a list.
    pub(super) place: usize,
}

/// The walk.
pub(super) struct Walk<'r, 'v> {
    redactor: &'r Redactor,
    pub(super) tally: Tally<'r>,
    places: Vec<Place>,
    pub(super) leaves: Vec<Leaf<'v>>,
    depth: usize,
    /// Names that turned out to be neither secrets nor to hold any.
    plain: Vec<String>,
}

impl<'r, 'v> Walk<'r, 'v> {
    pub(super) fn over(redactor: &'r Redactor, value: &'v mut Value) -> Self {
        let places = vec![Place::default()];
        let (leaves, plain) = (Vec::new(), Vec::new());
        let mut walk = Self { redactor, tally: Tally::default(), places, leaves, depth: 0, plain };
        walk.value(value, 0);
        redactor.plain().learn(std::mem::take(&mut walk.plain));
        walk
    }

    fn value(&mut self, value: &'v mut Value, place: usize) {
        if matches!(value, Value::Array(_) | Value::Object(_)) && self.depth >= DEEPEST {
            return self.hide(value, "depth", place);
        }
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.leaves.push(Leaf { text, place }),
            Value::Array(items) => {
                self.depth = self.depth.saturating_add(1);
                self.items(items, place);
                self.depth = self.depth.saturating_sub(1);
            }
            Value::Object(members) => {
                self.depth = self.depth.saturating_add(1);
                self.members(members, place);
                self.depth = self.depth.saturating_sub(1);
            }
        }
    }

    /// A list may be a command line: `["--password", "…"]`.
    fn items(&mut self, items: &'v mut [Value], place: usize) {
        let mut before: Option<String> = None;
        for item in items {
            let secret = before.take().is_some_and(|flag| match item.as_str() {
                Some(text) => !text.starts_with('-') && !innocent::names_file(&flag, text),
                None => may_be_secret(item),
            });
            before = item.as_str().filter(|text| self.redactor.is_flag(text)).map(str::to_owned);
            if secret { self.hide(item, ARGUMENT, place) } else { self.value(item, place) }
        }
    }

    fn members(&mut self, members: &'v mut Map<String, Value>, place: usize) {
        let mut below: Vec<usize> = Vec::with_capacity(members.len());
        for (position, key) in members.keys().enumerate() {
            let child = self.below(place, position, key);
            below.push(child);
        }
        if below.iter().any(|child| self.places.get(*child).is_some_and(|child| child.clean.is_some())) {
            self.rename(members, &below);
            below = members.keys().map(|key| self.below(place, usize::MAX, key)).collect();
        }
        // `{"name": "DB_PASSWORD", "value": "…"}` is as much a field as `{"DB_PASSWORD": "…"}`.
        let telling = self.places.get(place).is_some_and(|place| place.telling);
        let told = |name: &str| telling.then(|| members.get(name)).flatten();
        let other = if told("value").is_some() { self.named_beside(members, place) } else { None };
        let web_key = self.redactor.has(PRIVATE_KEY) && told("kty").is_some();
        // What says of itself that it is a secret.
        let manifest = self.redactor.has(KUBERNETES) && told("kind").is_some_and(|kind| kind == "Secret");
        let sensitive = self.redactor.has(TERRAFORM) && told("sensitive").is_some_and(|yes| yes == true);
        for ((key, value), child) in members.iter_mut().zip(below) {
            let field = self.places.get(child).and_then(|child| child.field);
            let field = field.map(|field| self.redactor.fields().name(field));
            match if key == "value" { field.or(other) } else { field } {
                Some(field) if may_be_secret(value) => self.hide(value, field, child),
                _ if web_key && is_private_part(key) && value.is_string() => self.hide(value, PRIVATE_KEY, child),
                _ if manifest && matches!(key.as_str(), "data" | "stringData") => self.hide_members(value, child),
                _ if sensitive && key == "value" && may_be_secret(value) => self.hide(value, TERRAFORM, child),
                _ if self.is_basic(key, value) => self.hide(value, BASIC, child),
                _ => self.value(value, child),
            }
        }
    }

    /// What says that the `value` among `members` is a secret: a `name` or a `key` beside it.
    fn named_beside(&mut self, members: &Map<String, Value>, place: usize) -> Option<&'r str> {
        let beside = ["name", "key"].into_iter().filter_map(|key| members.get(key)?.as_str());
        beside.into_iter().find_map(|name| {
            if name.len() > LONGEST_NAME {
                return Some(LONG_NAME);
            }
            let child = self.below(place, usize::MAX, name);
            self.places.get(child)?.field.map(|field| self.redactor.fields().name(field))
        })
    }

    /// Where Docker and npm keep user and password in base64.
    fn is_basic(&self, key: &str, value: &Value) -> bool {
        matches!(key, "auth" | "_auth") && self.redactor.has(BASIC) && value.as_str().is_some_and(innocent::is_basic)
    }

    /// The place of the member `key`, which was the one at `position` the last time.
    fn below(&mut self, place: usize, position: usize, key: &str) -> usize {
        if let Some(above) = self.places.get(place) {
            let usual = above.below.get(position).copied();
            if let Some(child) = usual.filter(|child| self.places.get(*child).is_some_and(|child| child.key == key)) {
                return child;
            }
            let known = match above.below.len() {
                0..=FEW => {
                    let is_it = |child: &&usize| self.places.get(**child).is_some_and(|child| child.key == key);
                    above.below.iter().find(is_it)
                }
                _ => above.by_key.get(key),
            };
            if let Some(child) = known {
                return *child;
            }
        }
        let child = self.places.len();
        let (clean, field) = self.look_at(place, key);
        self.places.push(Place { above: place, key: key.to_owned(), field, clean, ..Place::default() });
        if let Some(above) = self.places.get_mut(place) {
            above.below.push(child);
            above.telling |= matches!(key, "value" | "kty" | "kind" | "sensitive");
        }
        self.index(place);
        child
    }

    /// What is below a place, by name, once there is too much of it to look through.
    fn index(&mut self, place: usize) {
        let Some(above) = self.places.get(place).filter(|above| above.below.len() > FEW) else { return };
        let fresh: Vec<usize> = above.below.iter().skip(above.by_key.len()).copied().collect();
        let fresh: Vec<(String, usize)> =
            fresh.into_iter().filter_map(|child| Some((self.places.get(child)?.key.clone(), child))).collect();
        if let Some(above) = self.places.get_mut(place) {
            above.by_key.extend(fresh);
        }
    }

    /// The name of a member without its secrets, and the pattern that names what it holds.
    fn look_at(&mut self, place: usize, key: &str) -> (Option<String>, Option<usize>) {
        if self.redactor.plain().knows(key) {
            return (None, None);
        }
        let clean = self.name(key);
        let named = self.redactor.fields().named(key);
        if clean.is_none() && Fields::is_plain(&named) {
            self.plain.push(key.to_owned());
        }
        let field = self.redactor.fields().find(&named, || {
            let path = [self.keys(place), vec![key]].concat();
            path.iter().flat_map(|key| key.split('.')).map(str::to_ascii_lowercase).collect()
        });
        (clean, field)
    }

    /// The name of a member without secrets, if it has any.
    fn name(&mut self, key: &str) -> Option<String> {
        let mut found = Vec::new();
        let clean = self.redactor.text(key, 0, &mut found);
        found.into_iter().for_each(|(by, count)| self.tally.add(by, 0, count));
        clean
    }

    /// Two names that are alike without their secrets stay two.
    fn rename(&self, members: &mut Map<String, Value>, below: &[usize]) {
        let mut distinct = Distinct::default();
        for ((key, value), child) in std::mem::take(members).into_iter().zip(below) {
            distinct.insert(self.places.get(*child).and_then(|child| child.clean.clone()).unwrap_or(key), value);
        }
        *members = distinct.into_members();
    }

    /// The names from the top to the place.
    fn keys(&self, place: usize) -> Vec<&str> {
        let mut keys = Vec::new();
        let mut at = place;
        while let Some(place) = self.places.get(at).filter(|_| at > 0) {
            keys.push(place.key.as_str());
            at = place.above;
        }
        keys.reverse();
        keys
    }

    /// The names from the top to the place, with dots between them.
    pub(super) fn path(&self, place: usize) -> String {
        self.keys(place).join(".")
    }

    /// The values of an object, whose names stay.
    fn hide_members(&mut self, value: &mut Value, place: usize) {
        match value {
            Value::Object(members) => {
                let secrets = members.values_mut().filter(|value| may_be_secret(value));
                secrets.for_each(|value| self.hide(value, KUBERNETES, place));
            }
            value if may_be_secret(value) => self.hide(value, KUBERNETES, place),
            _ => {}
        }
    }

    fn hide(&mut self, value: &mut Value, by: &'r str, place: usize) {
        if value.as_str() != Some(REDACTED) {
            *value = Value::from(REDACTED);
            self.tally.add(by, place, 1);
        }
    }
}

/// Nothing, yes and no are not secrets, and neither is what is gone already.
fn may_be_secret(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Number(_) => true,
    }
}

/// The private members of a JSON Web Key (RFC 7518 section 6).
fn is_private_part(key: &str) -> bool {
    matches!(key, "d" | "k" | "p" | "q" | "dp" | "dq" | "qi" | "oth")
}

#[cfg(test)]
mod tests;
