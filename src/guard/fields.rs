//! Which structured values are secrets by their name: path patterns such as `*.password` and `env.AWS_*`.

use std::collections::HashMap;

use crate::error::{Code, Failure};

const LONGEST: usize = 256;

/// The compiled path patterns.
///
/// A pattern is parts joined by dots. `*` alone as the first part stands for any number of leading parts, none included;
/// `*` alone further on stands for one part; `*` within a part stands for any characters. Case does not matter (ASCII).
/// The indices of arrays are not parts. A key with dots in it counts as several parts.
pub(super) struct Fields {
    patterns: Vec<Compiled>,
    /// Patterns by their last part, where that has no `*`.
    exact: HashMap<String, Vec<usize>>,
    /// Patterns whose last part has one.
    globs: Vec<usize>,
}

/// What a member's name tells before its place is looked at.
#[derive(Clone, Default)]
pub(super) struct Named {
    /// The pattern that names it wherever it stands.
    certain: Option<usize>,
    /// Patterns that name it in some places.
    possible: Vec<usize>,
}

struct Compiled {
    written: String,
    anywhere: bool,
    parts: Vec<String>,
}

impl Fields {
    /// The patterns in this order; one that is there twice counts once.
    ///
    /// # Errors
    /// [`Code::Config`] naming the pattern.
    pub(super) fn compile<'a>(written: impl Iterator<Item = &'a str>) -> Result<Self, Failure> {
        let mut fields = Self { patterns: Vec::new(), exact: HashMap::new(), globs: Vec::new() };
        for text in written {
            let compiled = Compiled::parse(text)?;
            if fields.patterns.iter().any(|have| have.parts == compiled.parts && have.anywhere == compiled.anywhere) {
                continue;
            }
            let index = fields.patterns.len();
            match compiled.parts.last() {
                Some(last) if !last.contains('*') => fields.exact.entry(last.clone()).or_default().push(index),
                _ => fields.globs.push(index),
            }
            fields.patterns.push(compiled);
        }
        Ok(fields)
    }

    /// What the name of a member tells by itself; its last part counts.
    pub(super) fn named(&self, key: &str) -> Named {
        let last = key.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let exact = self.exact.get(&last).map_or(&[][..], Vec::as_slice);
        let fits = |index: &usize| {
            let pattern = self.patterns.get(*index).and_then(|pattern| pattern.parts.last());
            pattern.is_some_and(|part| glob(part.as_bytes(), last.as_bytes()))
        };
        let all = exact.iter().chain(self.globs.iter().filter(|index| fits(index))).copied();
        let alone = |index: &usize| {
            self.patterns.get(*index).is_some_and(|pattern| pattern.anywhere && pattern.parts.len() == 1)
        };
        let (certain, possible): (Vec<usize>, Vec<usize>) = all.partition(alone);
        Named { certain: certain.first().copied(), possible }
    }

    /// The first of the patterns in `named` that names the value at `path`, whose parts are in lower case.
    pub(super) fn find(&self, named: &Named, path: impl FnOnce() -> Vec<String>) -> Option<usize> {
        if named.certain.is_some() || named.possible.is_empty() {
            return named.certain;
        }
        let path = path();
        let names = |index: &&usize| self.patterns.get(**index).is_some_and(|pattern| pattern.matches(&path));
        named.possible.iter().find(names).copied()
    }

    /// The pattern as it was written.
    pub(super) fn name(&self, index: usize) -> &str {
        self.patterns.get(index).map_or("", |pattern| &pattern.written)
    }
}

impl Compiled {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong =
            |why: &str| Failure::new(Code::Config, format!("redaction.fields: `{}`: {why}", text.escape_debug()));
        if text.len() > LONGEST {
            return Err(Failure::new(Code::Config, format!("redaction.fields: one is longer than {LONGEST} bytes")));
        }
        let mut parts: Vec<String> = text.split('.').map(str::to_ascii_lowercase).collect();
        if parts.iter().any(String::is_empty) {
            return Err(wrong("a part is empty"));
        }
        let anywhere = parts.first().is_some_and(|part| part == "*");
        if anywhere {
            parts.remove(0);
        }
        if parts.iter().all(|part| part == "*") {
            return Err(wrong("it names every value"));
        }
        Ok(Self { written: text.to_owned(), anywhere, parts })
    }

    fn matches(&self, path: &[String]) -> bool {
        let Some(skipped) = path.len().checked_sub(self.parts.len()) else { return false };
        (skipped == 0 || self.anywhere)
            && self.parts.iter().zip(path.iter().skip(skipped)).all(|(part, key)| glob(part.as_bytes(), key.as_bytes()))
    }
}

/// Whether `text` fits `pattern`, in time that grows with the product of their lengths at most.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut star): (usize, Option<(usize, usize)>) = (0, None);
    let mut position: usize = 0;
    while let Some(byte) = text.get(position) {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, position));
                at = at.saturating_add(1);
            }
            (Some(wanted), _) if wanted == byte => {
                at = at.saturating_add(1);
                position = position.saturating_add(1);
            }
            (_, Some((last, from))) => {
                // The last star takes one more.
                let from = from.saturating_add(1);
                star = Some((last, from));
                at = last.saturating_add(1);
                position = from;
            }
            (_, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(pattern: &str, path: &str) -> bool {
        let path: Vec<String> = path.split('.').map(str::to_ascii_lowercase).collect();
        let fields = Fields::compile([pattern].into_iter()).unwrap();
        let named = fields.named(path.last().unwrap());
        fields.find(&named, || path).is_some()
    }

    #[test]
    fn patterns_name_what_they_say() {
        for (pattern, path) in [
            ("*.password", "password"),
            ("*.password", "a.b.Password"),
            ("env.AWS_*", "env.AWS_SECRET"),
            ("env.aws_*", "ENV.AWS_"),
            ("a.*.c", "a.b.c"),
            ("*.*_key", "x.y.api_key"),
            ("*.db.password", "prod.db.password"),
            ("a*b*c", "a1b2c"),
        ] {
            assert!(names(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.password", "passwords"),
            ("*.password", "password.length"),
            ("env.AWS_*", "x.env.AWS_SECRET"),
            ("env.AWS_*", "env.AWS"),
            ("a.*.c", "a.c"),
            ("a.*.c", "a.b.b.c"),
            ("*.db.password", "password"),
            ("a*b*c", "a1b2"),
        ] {
            assert!(!names(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_that_name_nothing_or_everything_are_refused() {
        for pattern in ["", "*", "*.*", "a..b", ".a", "a.", &"x".repeat(300)] {
            let failure = Fields::compile([pattern].into_iter()).err().unwrap();
            assert_eq!(failure.code(), Code::Config, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_glob_agrees_with_the_same_regular_expression(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let expression = format!("^{}$", pattern.replace('*', ".*"));
            let wanted = regex::Regex::new(&expression).unwrap().is_match(&text);
            prop_assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), wanted);
        }
    }
}
