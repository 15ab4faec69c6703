//! Where a value was written, and which key it belongs to: every finding has both.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

/// The text a value was read from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Nobody wrote it: there is no file.
    Defaults,
    /// A file, by the name it was asked for.
    File(Arc<str>),
    /// A variable of the environment, by its name.
    Environment(Arc<str>),
}

/// A spot in a source. Lines and columns count from 1; columns count characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Which text.
    pub source: Source,
    /// Line in a file.
    pub line: usize,
    /// Column in a file.
    pub column: usize,
}

impl Place {
    /// Where `source` begins.
    #[must_use]
    pub fn start(source: Source) -> Self {
        Self { source, line: 1, column: 1 }
    }
}

/// `config/doorward.yaml:12:5` or `environment DOORWARD__TLS__BIND`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Defaults => f.write_str("defaults"),
            Source::File(name) => write!(f, "{name}:{}:{}", self.line, self.column),
            Source::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut place = serializer.serialize_struct("Place", 3)?;
        match &self.source {
            Source::Defaults => {}
            Source::File(name) => {
                place.serialize_field("file", &**name)?;
                place.serialize_field("line", &self.line)?;
                place.serialize_field("column", &self.column)?;
            }
            Source::Environment(name) => place.serialize_field("environment", &**name)?,
        }
        place.end()
    }
}

/// The part of a key that can be no value: `secret:hunter2` without a space is one word of YAML, and so a key with the secret
/// in it, which is not for a report.
pub(super) fn before_value(key: &str) -> &str {
    key.split([':', '=', ' ']).next().unwrap_or_default()
}

/// One step down from a section to a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// The way from the root to a value: `auth.jwt.issuer`, `tls.allowed_subjects[2]`.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct KeyPath(Vec<Step>);

impl KeyPath {
    pub(super) fn key(&self, name: &str) -> Self {
        self.with(Step::Key(name.to_owned()))
    }

    pub(super) fn item(&self, index: usize) -> Self {
        self.with(Step::Item(index))
    }

    /// The path without its last step.
    pub(super) fn parent(&self) -> Self {
        Self(self.0.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default())
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is `other` or something within it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

/// From keys with dots between them; for names that the program knows, not for those that people choose.
impl From<&str> for KeyPath {
    fn from(dotted: &str) -> Self {
        Self(dotted.split('.').filter(|key| !key.is_empty()).map(|key| Step::Key(key.to_owned())).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Item(item) => write!(f, "[{item}]")?,
                Step::Key(key) => {
                    if index > 0 {
                        f.write_str(".")?;
                    }
                    // A key may be any text of the file; what is printed stays one line.
                    write!(f, "{}", key.escape_debug())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let path = KeyPath::from("tls.allowed_subjects").item(2);
        assert_eq!(path.to_string(), "tls.allowed_subjects[2]");
        assert!(path.is_within(&KeyPath::from("tls")));
        assert!(!KeyPath::from("tl").is_within(&KeyPath::from("tls")));
        assert_eq!(KeyPath::default().key("a\nb").to_string(), "a\\nb");
    }
}
