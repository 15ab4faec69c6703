//! What a file says before anyone asks what it means: keys and values in order, each with its place.

use super::place::{KeyPath, Place, Step};

/// A value. It has no `Debug`: a literal secret may stand in it.
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A key without a value, or `null`.
    Nothing,
    /// Something that has its finding already.
    Bad,
    /// Text as it is written; `plain` when it stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn new(place: Place, kind: Kind) -> Self {
        Self { place, kind }
    }

    /// An empty map.
    pub(super) fn empty(place: Place) -> Self {
        Self::new(place, Kind::Map(Vec::new()))
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Kind::Nothing | Kind::Bad | Kind::Scalar { .. } | Kind::List(_) => None,
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Nothing | Kind::Bad | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// Whether there is a value, be it right or wrong.
    pub(super) fn says_something(&self) -> bool {
        !matches!(self.kind, Kind::Nothing)
    }

    /// The value at `path`, if something is written there.
    pub(super) fn at(&self, path: &KeyPath) -> Option<&Self> {
        path.steps().iter().try_fold(self, Self::step)
    }

    /// Where `path` is written, or else the nearest thing around it that is.
    pub(super) fn place_of(&self, path: &KeyPath) -> Place {
        let (mut node, mut place) = (self, &self.place);
        for step in path.steps() {
            if let Step::Key(key) = step
                && let Some(entry) = node.entry(key)
            {
                place = &entry.place;
            }
            match node.step(step) {
                Some(next) => node = next,
                None => return place.clone(),
            }
        }
        match node.kind {
            Kind::Map(_) | Kind::Nothing | Kind::Bad => place.clone(),
            Kind::Scalar { .. } | Kind::List(_) => node.place.clone(),
        }
    }

    /// Puts `value` where `keys` lead, in place of what stands there.
    pub(super) fn put(&mut self, keys: &[String], value: Self) {
        let Some((key, rest)) = keys.split_first() else {
            *self = value;
            return;
        };
        if matches!(self.kind, Kind::Nothing) {
            self.kind = Kind::Map(Vec::new());
        }
        // Anything else than a map gets its finding when it is fitted to the schema.
        let Kind::Map(entries) = &mut self.kind else { return };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == *key) {
            return entry.value.put(rest, value);
        }
        let place = value.place.clone();
        let mut node = Self::empty(place.clone());
        node.put(rest, value);
        entries.push(Entry { key: key.clone(), place, value: node });
    }

    fn step(&self, step: &Step) -> Option<&Self> {
        match (step, &self.kind) {
            (Step::Key(key), Kind::Map(_)) => self.entry(key).map(|entry| &entry.value),
            (Step::Item(index), Kind::List(items)) => items.get(*index),
            (Step::Key(_) | Step::Item(_), _) => None,
        }
    }
}

#[cfg(test)]
impl Node {
    /// The JSON that YAML 1.2's own rules make of it, without a schema.
    pub(super) fn plain_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Nothing | Kind::Bad => Value::Null,
            Kind::Scalar { text, plain: true } => match (text.as_str(), super::number::read(text)) {
                ("true" | "false", _) => Value::from(text == "true"),
                (_, Ok(number)) => Value::from(i64::try_from(number).unwrap()),
                (_, Err(_)) => Value::from(text.as_str()),
            },
            Kind::Scalar { text, plain: false } => Value::from(text.as_str()),
            Kind::List(items) => items.iter().map(Self::plain_json).collect(),
            Kind::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.value.plain_json())).collect(),
        }
    }
}
