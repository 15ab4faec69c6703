//! Taking secrets out of values: by the names of fields and by the shape of text. What is taken out is never logged; only
//! how often, where, and by which rule.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use regex::RegexSet;
use serde_json::Value;

use super::RedactionSection;
use super::builtin::{self, ARGUMENT, PRIVATE_KEY};
use super::column::{Column, Span};
use super::fields::Fields;
use super::known::{Builtin, apply, together};
use super::leased::Leased;
use super::plain::Plain;
use super::rule::Rule;
use super::tally::{Redacted, Tally};
use super::walk::{Leaf, Walk};
use super::{blocks, disguise, keyblock};
use crate::error::{Code, Failure};

/// Stands where a secret was.
pub(super) const REDACTED: &str = "[REDACTED]";
/// Names what was leased for the call.
const LEASED: &str = "leased";
/// Forms within forms that are looked into: base64 within an address within base64.
const LAYERS: usize = 3;
/// Characters of a field that are told.
const PLACE: usize = 120;
const MOST_PATTERNS: usize = 256;

/// The compiled patterns.
pub struct Redactor {
    enabled: bool,
    builtin: &'static Builtin,
    /// Which of the built-in rules are in force, by their place.
    active: Vec<bool>,
    /// The built-in patterns and paths that are not.
    without: HashSet<String>,
    given: Vec<Rule>,
    given_set: Option<RegexSet>,
    fields: Fields,
    plain: Plain,
}

impl Redactor {
    /// Compiles the built-in rules and those of the configuration, which are applied first.
    ///
    /// # Errors
    /// [`Code::Config`] naming the pattern or field that is not valid, has a double, is too large or is not built in.
    pub fn new(section: &RedactionSection) -> Result<Self, Failure> {
        if section.patterns.len() > MOST_PATTERNS || section.fields.len() > MOST_PATTERNS {
            return Err(Failure::new(Code::Config, format!("redaction: more than {MOST_PATTERNS} patterns or fields")));
        }
        let mut names = HashSet::new();
        for pattern in &section.patterns {
            if !names.insert(pattern.name.as_str()) {
                let text = format!("redaction.patterns: two are named `{}`", pattern.name.escape_debug());
                return Err(Failure::new(Code::Config, text));
            }
        }
        let builtin = Builtin::get()?;
        let names = if section.without.is_empty() { BTreeSet::new() } else { Self::builtin_names() };
        for name in &section.without {
            if !names.contains(name.as_str()) {
                let text = format!("redaction.without: `{}` is not built in", name.escape_debug());
                return Err(Failure::new(Code::Config, text));
            }
        }
        let without = |name: &str| section.without.iter().any(|other| other == name);
        let given: Vec<Rule> = section
            .patterns
            .iter()
            .map(|pattern| Rule::given(&pattern.name, &pattern.pattern, &pattern.replacement))
            .collect::<Result<_, _>>()?;
        let given_set = if given.is_empty() { None } else { Some(together(given.iter())?) };
        let fields = builtin::FIELDS.into_iter().filter(|field| !without(field));
        let fields = fields.chain(section.fields.iter().map(|field| field.0.as_str()));
        Ok(Self {
            enabled: section.enabled,
            active: builtin.rules.iter().map(|rule| !without(rule.name())).collect(),
            builtin,
            without: section.without.iter().cloned().collect(),
            given,
            given_set,
            fields: Fields::compile(fields)?,
            plain: Plain::default(),
        })
    }

    /// What `redaction.without` may name: the built-in patterns and paths.
    #[must_use]
    pub fn builtin_names() -> BTreeSet<&'static str> {
        let spanning = builtin::spanning().into_iter().map(|spans| spans.name);
        let shapes = builtin::shapes().into_iter().map(|shape| shape.name);
        shapes.chain(spanning).chain([builtin::KUBERNETES]).chain(builtin::FIELDS).collect()
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Names that need no second look.
    pub(super) fn plain(&self) -> &Plain {
        &self.plain
    }

    /// Whether the argument behind `argument` is a secret.
    pub(super) fn is_flag(&self, argument: &str) -> bool {
        self.has(ARGUMENT) && self.builtin.is_flag(argument)
    }

    /// Whether a built-in rule is in force.
    pub(super) fn has(&self, name: &str) -> bool {
        !self.without.contains(name)
    }

    /// Redacts in place: first what was leased, by its value, and that even if redaction is switched off.
    pub(super) fn redact(&self, value: &mut Value, leased: Option<&Leased>) -> Vec<Redacted> {
        let mut told = Vec::new();
        if let Some(count) = leased.map(|leased| leased.redact(value)).filter(|count| *count > 0) {
            told.push(Redacted { by: LEASED.to_owned(), field: String::new(), count });
        }
        if !self.enabled {
            return told;
        }
        let mut walk = Walk::over(self, value);
        let mut leaves = std::mem::take(&mut walk.leaves);
        self.within(&mut leaves, &mut walk.tally);
        for ((by, place), count) in &walk.tally.0 {
            let field = walk.path(*place).chars().filter(|c| !c.is_control()).take(PLACE).collect();
            told.push(Redacted { by: (*by).to_owned(), field, count: *count });
        }
        told
    }

    /// One text, such as the message of a failure.
    pub(super) fn redact_text(&self, text: &str, leased: Option<&Leased>) -> String {
        let text = leased.and_then(|leased| leased.text(text)).map_or_else(|| text.to_owned(), |(clean, _)| clean);
        let clean = self.enabled.then(|| self.text(&text, 0, &mut Vec::new())).flatten();
        clean.unwrap_or(text)
    }

    /// What goes over more than one text of a column, or over several lines of one.
    fn across<'r>(&'r self, leaves: &mut [Leaf<'_>], tally: &mut Tally<'r>) {
        let mut columns: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, leaf) in leaves.iter().enumerate() {
            columns.entry(leaf.place).or_default().push(index);
        }
        for (place, indices) in columns {
            let column = Column::of(leaves, indices);
            let mut note = |by, count| tally.add(by, place, count);
            let spans = self.spans(&column.text, &mut note, &mut || true);
            column.apply(leaves, spans);
        }
    }

    /// Whether a rule of the configuration may go over several lines.
    fn may_span(&self) -> bool {
        self.given.iter().any(Rule::may_span)
    }

    /// What is to be taken out of `text` whatever line ends it holds. It is not all once `go_on` has said no.
    fn spans<'r>(
        &'r self,
        text: &str,
        note: &mut dyn FnMut(&'r str, u64),
        go_on: &mut dyn FnMut() -> bool,
    ) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for rule in self.given.iter().filter(|rule| rule.may_span()) {
            let found = rule.spans(text, go_on);
            if !found.is_empty() {
                note(&rule.name, u64::try_from(found.len()).unwrap_or(u64::MAX));
                spans.extend(found);
            }
        }
        if self.has(PRIVATE_KEY) && keyblock::is_possible(text) {
            let found = keyblock::find(text, go_on);
            if !found.is_empty() {
                note(PRIVATE_KEY, u64::try_from(found.len()).unwrap_or(u64::MAX));
                spans.extend(found.into_iter().map(|range| (range.start, range.end, REDACTED.to_owned())));
            }
        }
        let mut calling = self.builtin.prefilter.lines(text);
        calling.retain(|line| text.get(line.clone()).is_some_and(blocks::calls));
        for (range, name) in blocks::find(text, &calling).into_iter().filter(|(_, name)| self.has(name)) {
            note(name, 1);
            spans.push((range.start, range.end, REDACTED.to_owned()));
        }
        for spanning in &self.builtin.spanning {
            let Some(regex) = spanning.regex(&self.without, text) else { continue };
            for groups in regex.captures_iter(text).take_while(|_| go_on()) {
                let (Some(whole), Some(before)) = (groups.get(0), groups.get(1)) else { continue };
                let secret = groups.get(2).map_or(before.end()..whole.end(), |secret| secret.range());
                let bare = |secret: &str| secret.trim_matches(['"', ' ', '\n', '\r', '\t']) != REDACTED;
                if text.get(secret.clone()).is_some_and(bare) {
                    note(spanning.name(), 1);
                    spans.push((secret.start, secret.end, REDACTED.to_owned()));
                }
            }
        }
        spans.sort_by_key(|(start, end, _)| (*start, *end));
        spans
    }

    /// What goes over a part of a line. All texts are searched at once for what the rules need; few lines are looked at.
    fn within<'r>(&'r self, leaves: &mut [Leaf<'_>], tally: &mut Tally<'r>) {
        let mut found = Vec::new();
        let (mut search, mut changed) = (self.search(leaves), false);
        if search.spans || self.may_span() {
            self.across(leaves, tally);
            search = self.search(leaves);
        }
        if self.given_set.is_some() {
            for leaf in leaves.iter_mut() {
                if let Some(clean) = self.given(leaf.text, &mut found) {
                    *leaf.text = clean;
                    found.drain(..).for_each(|(by, count)| tally.add(by, leaf.place, count));
                    changed = true;
                }
            }
        }
        if changed {
            search = self.search(leaves);
        }
        for (index, lines) in search.lines {
            let Some(leaf) = leaves.get_mut(index) else { continue };
            if let Some(clean) = self.lines(leaf.text, &lines, 0, &mut found) {
                *leaf.text = clean;
                found.drain(..).for_each(|(by, count)| tally.add(by, leaf.place, count));
            }
        }
    }

    /// A whole text by all rules; `None` when there is nothing to take out.
    pub(super) fn text<'r>(&'r self, text: &str, layer: usize, found: &mut Vec<(&'r str, u64)>) -> Option<String> {
        let mut clean: Option<String> = None;
        let (mut lines, calls) = self.suspicious(text);
        if calls || self.may_span() {
            let spans = self.spans(text, &mut |by, count| found.push((by, count)), &mut || true);
            clean = super::column::cut(text, &spans);
        }
        if let Some(given) = self.given(clean.as_deref().unwrap_or(text), found) {
            clean = Some(given);
        }
        if let Some(clean) = &clean {
            lines = self.suspicious(clean).0;
        }
        self.lines(clean.as_deref().unwrap_or(text), &lines, layer, found).or(clean)
    }

    /// `text` with these of its lines clean; `None` when they were.
    fn lines<'r>(
        &'r self,
        text: &str,
        lines: &[Range<usize>],
        layer: usize,
        found: &mut Vec<(&'r str, u64)>,
    ) -> Option<String> {
        let mut clean: Option<String> = None;
        let mut from = 0;
        for line in lines {
            let Some(dirty) = text.get(line.clone()) else { continue };
            if let Some(better) = self.line(dirty, layer, found) {
                let all = clean.get_or_insert_with(|| String::with_capacity(text.len()));
                all.push_str(text.get(from..line.start).unwrap_or_default());
                all.push_str(&better);
                from = line.end;
            }
        }
        if let Some(all) = &mut clean {
            all.push_str(text.get(from..).unwrap_or_default());
        }
        clean
    }

    fn line<'r>(&'r self, line: &str, layer: usize, found: &mut Vec<(&'r str, u64)>) -> Option<String> {
        let mut clean = self.known(line, found);
        if layer >= LAYERS {
            return clean;
        }
        // A line that hides a secret is answered as it reads.
        if let Some(plain) = disguise::undone(clean.as_deref().unwrap_or(line))
            && let Some(plain) = self.text(&plain, layer.saturating_add(1), found)
        {
            clean = Some(plain);
        }
        if layer == 0
            && disguise::is_form(line)
            && let Some(plain) =
                self.text(&disguise::spaced(clean.as_deref().unwrap_or(line)), layer.saturating_add(1), found)
        {
            clean = Some(plain);
        }
        if let Some(bare) = self.in_base64(clean.as_deref().unwrap_or(line), layer, found) {
            clean = Some(bare);
        }
        clean
    }

    /// Without the runs of base64 that have a secret in them.
    fn in_base64<'r>(&'r self, line: &str, layer: usize, found: &mut Vec<(&'r str, u64)>) -> Option<String> {
        let (mut clean, mut copied, mut from) = (String::new(), 0, 0);
        while let Some(run) = disguise::run(line.as_bytes(), from) {
            from = run.end;
            for part in disguise::parts(line.as_bytes(), &run) {
                let inside = line.get(part.clone()).and_then(|part| disguise::decoded(part.as_bytes()));
                if inside.is_some_and(|inside| self.text(&inside, layer.saturating_add(1), found).is_some()) {
                    clean.push_str(line.get(copied..part.start).unwrap_or_default());
                    clean.push_str(REDACTED);
                    copied = part.end;
                }
            }
        }
        clean.push_str(line.get(copied..).unwrap_or_default());
        (copied > 0).then_some(clean)
    }

    /// By the built-in rules.
    fn known<'r>(&'r self, line: &str, found: &mut Vec<(&'r str, u64)>) -> Option<String> {
        self.builtin.apply(&self.active, line, found)
    }

    /// By the rules of the configuration.
    fn given<'r>(&'r self, text: &str, found: &mut Vec<(&'r str, u64)>) -> Option<String> {
        apply(self.given_set.as_ref()?, &self.given, text, found)
    }
}

mod before;
mod search;

pub use before::Before;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
