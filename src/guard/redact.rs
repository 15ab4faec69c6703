//! Taking secrets out of values: by the names of fields and by the shape of text, in one walk. What is taken out is never
//! logged; only how often, and by which rule.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde_json::Value;

use super::RedactionSection;
use super::builtin::{self, ARGUMENT, PRIVATE_KEY};
use super::fields::Fields;
use crate::error::{Code, Failure};

/// Stands where a secret was.
pub(super) const REDACTED: &str = "[REDACTED]";
/// Values that are nested deeper than this are taken out whole.
const DEEPEST: usize = 128;
/// How often the patterns are applied to a text that they keep changing.
const PASSES: usize = 3;
/// Lines after the beginning of a private key that may be the rest of it.
const KEY_LINES: usize = 400;
const LONGEST_PATTERN: usize = 4096;
const MOST_PATTERNS: usize = 256;

/// What was taken out and how often; never the value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redacted {
    /// The pattern's name, or the path pattern.
    pub by: String,
    /// How often.
    pub count: u64,
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.by)
    }
}

/// The compiled patterns.
pub struct Redactor {
    enabled: bool,
    /// Tells in one pass that a text is clean, or which rules concern it.
    set: RegexSet,
    rules: Vec<Arc<Rule>>,
    fields: Fields,
    /// An argument whose successor is a secret, unless that rule was replaced.
    flag: Option<Regex>,
    /// The rule about private keys, unless it was replaced.
    key: Option<usize>,
}

struct Rule {
    name: String,
    regex: Regex,
    replacement: String,
}

impl Redactor {
    /// Compiles the built-in rules and those of the configuration. A given pattern that is named like a built-in one stands
    /// in its place; the others, and the given fields, are added.
    ///
    /// # Errors
    /// [`Code::Config`] naming the pattern or field that is not valid, has a double, or is too large.
    pub fn new(section: &RedactionSection) -> Result<Self, Failure> {
        if section.patterns.len() > MOST_PATTERNS || section.fields.len() > MOST_PATTERNS {
            return Err(Failure::new(Code::Config, format!("redaction: more than {MOST_PATTERNS} patterns or fields")));
        }
        let mut given = HashSet::new();
        for pattern in &section.patterns {
            if !given.insert(pattern.name.as_str()) {
                let text = format!("redaction.patterns: two are named `{}`", pattern.name.escape_debug());
                return Err(Failure::new(Code::Config, text));
            }
        }
        let builtin = Builtin::get()?;
        let mut rules: Vec<Arc<Rule>> =
            builtin.rules.iter().filter(|rule| !given.contains(rule.name.as_str())).map(Arc::clone).collect();
        let key = rules.iter().position(|rule| rule.name == PRIVATE_KEY);
        let flag = (!given.contains(ARGUMENT)).then(|| builtin.flag.clone());
        for pattern in &section.patterns {
            rules.push(Arc::new(Rule::compile(&pattern.name, &pattern.pattern, &pattern.replacement)?));
        }
        let set = if section.patterns.is_empty() { builtin.set.clone() } else { together(&rules)? };
        let fields = builtin::FIELDS.into_iter().chain(section.fields.iter().map(|field| field.0.as_str()));
        Ok(Self { enabled: section.enabled, set, rules, fields: Fields::compile(fields)?, flag, key })
    }

    /// Redacts in place. Names of members are kept as they are.
    pub(super) fn redact(&self, value: &mut Value) -> Vec<Redacted> {
        if !self.enabled {
            return Vec::new();
        }
        let slots = self.rules.len().saturating_add(self.fields.len()).saturating_add(1);
        let mut walk = Walk { redactor: self, counts: vec![0; slots], path: Vec::new(), depth: 0, key_lines: 0 };
        walk.value(value);
        self.tell(&walk.counts)
    }

    fn tell(&self, counts: &[u64]) -> Vec<Redacted> {
        let mut told: Vec<Redacted> = Vec::new();
        for (slot, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let by = match (self.rules.get(slot), slot.checked_sub(self.rules.len())) {
                (Some(rule), _) => rule.name.as_str(),
                (None, Some(field)) if field < self.fields.len() => self.fields.name(field),
                (None, _) => "depth",
            };
            match told.iter_mut().find(|have| have.by == by) {
                Some(have) => have.count = have.count.saturating_add(*count),
                None => told.push(Redacted { by: by.to_owned(), count: *count }),
            }
        }
        told
    }
}

/// The built-in rules: the same for every configuration, and dear, so they are compiled once in a process.
struct Builtin {
    rules: Vec<Arc<Rule>>,
    set: RegexSet,
    flag: Regex,
}

impl Builtin {
    fn get() -> Result<&'static Self, Failure> {
        static BUILTIN: OnceLock<Builtin> = OnceLock::new();
        match BUILTIN.get() {
            Some(builtin) => Ok(builtin),
            None => Self::compile().map(|builtin| BUILTIN.get_or_init(|| builtin)),
        }
    }

    fn compile() -> Result<Self, Failure> {
        let rule = |(name, pattern, replacement): (&str, String, String)| {
            Rule::compile(name, &pattern, &replacement).map(Arc::new)
        };
        let rules = builtin::patterns().into_iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { set: together(&rules)?, flag: compile(ARGUMENT, &builtin::flag())?, rules })
    }
}

fn together(rules: &[Arc<Rule>]) -> Result<RegexSet, Failure> {
    RegexSetBuilder::new(rules.iter().map(|rule| rule.regex.as_str()))
        .size_limit(64 << 20)
        .dfa_size_limit(16 << 20)
        .build()
        .map_err(|error| Failure::new(Code::Config, "redaction.patterns: too large together").because(error))
}

impl Rule {
    fn compile(name: &str, pattern: &str, replacement: &str) -> Result<Self, Failure> {
        let regex = compile(name, pattern)?;
        if regex.is_match("") {
            return Err(wrong(name, "it matches the empty text"));
        }
        Ok(Self { name: name.to_owned(), regex, replacement: replacement.to_owned() })
    }

    /// The text with every match replaced and how often that changed something; `None` when it did not.
    fn apply(&self, text: &str) -> Option<(String, u64)> {
        let mut clean = String::new();
        let mut piece = String::new();
        let (mut from, mut count): (usize, u64) = (0, 0);
        for groups in self.regex.captures_iter(text) {
            let Some(found) = groups.get(0).filter(|found| !found.is_empty()) else { continue };
            piece.clear();
            groups.expand(&self.replacement, &mut piece);
            if piece != found.as_str() {
                clean.push_str(text.get(from..found.start()).unwrap_or_default());
                clean.push_str(&piece);
                from = found.end();
                count = count.saturating_add(1);
            }
        }
        clean.push_str(text.get(from..).unwrap_or_default());
        (count > 0).then_some((clean, count))
    }
}

fn compile(name: &str, pattern: &str) -> Result<Regex, Failure> {
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(wrong(name, "a name has 1 to 64 visible ASCII characters"));
    }
    if pattern.len() > LONGEST_PATTERN {
        return Err(wrong(name, "it is too long"));
    }
    RegexBuilder::new(pattern)
        .size_limit(2 << 20)
        .build()
        .map_err(|error| wrong(name, "it is not a valid regular expression, or too large").because(error))
}

fn wrong(name: &str, why: &str) -> Failure {
    Failure::new(Code::Config, format!("redaction.patterns: `{}`: {why}", name.escape_debug()))
}

/// One walk over one value.
struct Walk<'a> {
    redactor: &'a Redactor,
    /// By rule, then by field, then for depth.
    counts: Vec<u64>,
    /// The keys above, in lower case.
    path: Vec<String>,
    depth: usize,
    /// How many more texts may be lines of a private key whose beginning was in an earlier text.
    key_lines: usize,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value) {
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.text(text),
            Value::Array(_) | Value::Object(_) if self.depth >= DEEPEST => {
                self.hide(value, self.counts.len().saturating_sub(1))
            }
            Value::Array(items) => {
                self.depth = self.depth.saturating_add(1);
                self.items(items);
                self.depth = self.depth.saturating_sub(1);
            }
            Value::Object(members) => {
                self.depth = self.depth.saturating_add(1);
                self.members(members);
                self.depth = self.depth.saturating_sub(1);
            }
        }
    }

    /// A list may be a command line: `["--password", "…"]`.
    fn items(&mut self, items: &mut [Value]) {
        let redactor = self.redactor;
        let slot = redactor.rules.iter().position(|rule| rule.name == ARGUMENT).unwrap_or_default();
        let mut follows_flag = false;
        for item in items {
            let secret = follows_flag && item.as_str().is_some_and(|text| !text.starts_with('-'));
            follows_flag = item.as_str().is_some_and(|text| {
                text.starts_with('-') && redactor.flag.as_ref().is_some_and(|flag| flag.is_match(text))
            });
            if secret { self.hide(item, slot) } else { self.value(item) }
        }
    }

    /// `{"name": "DB_PASSWORD", "value": "…"}` is as much a field as `{"DB_PASSWORD": "…"}`.
    fn members(&mut self, members: &mut serde_json::Map<String, Value>) {
        let named = members.get("value").and_then(|_| members.get("name").or_else(|| members.get("key")));
        let named = named.and_then(Value::as_str).map(str::to_owned);
        for (key, value) in members.iter_mut() {
            let mut field = self.field(key);
            if let (None, "value", Some(name)) = (field, key.as_str(), &named) {
                field = self.field(name);
            }
            match field {
                Some(field) if may_be_secret(value) => {
                    self.hide(value, self.redactor.rules.len().saturating_add(field))
                }
                _ => {
                    let above = self.path.len();
                    self.enter(key);
                    self.value(value);
                    self.path.truncate(above);
                }
            }
        }
    }

    /// The pattern that names the member `key` of the object at hand.
    fn field(&mut self, key: &str) -> Option<usize> {
        let above = self.path.len();
        self.enter(key);
        let found = self.redactor.fields.find(&self.path);
        self.path.truncate(above);
        found
    }

    fn enter(&mut self, key: &str) {
        self.path.extend(key.split('.').map(str::to_ascii_lowercase));
    }

    fn hide(&mut self, value: &mut Value, slot: usize) {
        if value.as_str() != Some(REDACTED) {
            *value = Value::from(REDACTED);
            self.count(slot, 1);
        }
    }

    fn text(&mut self, text: &mut String) {
        let redactor = self.redactor;
        if let Some(key) = redactor.key {
            if self.key_lines > 0 && is_key_line(text) {
                self.key_lines = self.key_lines.saturating_sub(1);
                REDACTED.clone_into(text);
                return self.count(key, 1);
            }
            if text.contains("PRIVATE KEY") {
                self.key_lines = if ends_within_key(text) { KEY_LINES } else { 0 };
            }
        }
        if !redactor.set.is_match(text) {
            return;
        }
        for _ in 0..PASSES {
            let concerned = redactor.set.matches(text);
            let mut changed = false;
            for (slot, rule) in redactor.rules.iter().enumerate() {
                // Once the text is another, what the set said of it no longer holds.
                if (changed || concerned.matched(slot))
                    && let Some((clean, count)) = rule.apply(text)
                {
                    *text = clean;
                    changed = true;
                    self.count(slot, count);
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn count(&mut self, slot: usize, more: u64) {
        if let Some(count) = self.counts.get_mut(slot) {
            *count = count.saturating_add(more);
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

fn ends_within_key(text: &str) -> bool {
    let begin = text.rfind("-----BEGIN ").filter(|at| text.get(*at..).is_some_and(|rest| rest.contains("PRIVATE KEY")));
    begin.is_some_and(|at| text.get(at..).is_some_and(|rest| !rest.contains("-----END ")))
}

/// Nothing but the base64 alphabet; the last line is short and made of whole groups of four (RFC 7468 section 3).
fn is_key_line(text: &str) -> bool {
    let text = text.trim();
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    (text.len() >= 16 || (!text.is_empty() && text.len().is_multiple_of(4)))
        && text.len() <= 128
        && text.bytes().all(base64)
}

#[cfg(test)]
mod tests;
