//! The built-in rules. What is asked of every text is made once in a process; a rule is compiled when the first line comes
//! that has its words, for most never do.

use std::collections::HashSet;
use std::sync::OnceLock;

use regex::{Regex, RegexSet, RegexSetBuilder};

use super::builtin::{self, ARGUMENT, Shape, Spans};
use super::prefilter::{Index, Prefilter};
use super::redact::REDACTED;
use super::rule::{Rule, compile};
use super::{blocks, commands};
use crate::error::{Code, Failure};

/// How often the patterns are applied to a text that they keep changing.
const PASSES: usize = 4;

/// Applies the rules of the configuration that `set` says concern the text, until nothing changes any more.
pub(super) fn apply<'r>(
    set: &RegexSet,
    rules: &'r [Rule],
    text: &str,
    found: &mut Vec<(&'r str, u64)>,
) -> Option<String> {
    if !set.is_match(text) {
        return None;
    }
    let mut clean: Option<String> = None;
    for _ in 0..PASSES {
        let concerned = set.matches(clean.as_deref().unwrap_or(text));
        let mut changed = false;
        for (slot, rule) in rules.iter().enumerate() {
            // What holds of the text as it is now is asked in the next pass.
            if concerned.matched(slot)
                && let Some((better, count)) = rule.apply(clean.as_deref().unwrap_or(text))
            {
                clean = Some(better);
                changed = true;
                found.push((&rule.name, count));
            }
        }
        if !changed {
            break;
        }
    }
    clean
}

/// The built-in rules: the same for every configuration.
pub(super) struct Builtin {
    pub(super) rules: Vec<Known>,
    index: Index,
    pub(super) prefilter: Prefilter,
    /// Rules that go over several lines.
    pub(super) spanning: Vec<Spanning>,
    flag: OnceLock<Option<Regex>>,
}

/// A rule that is compiled when it is first needed.
pub(super) struct Known {
    shape: Shape,
    rule: OnceLock<Option<Rule>>,
}

impl Known {
    pub(super) fn name(&self) -> &'static str {
        self.shape.name
    }

    /// `None` when it cannot be compiled, which a test keeps from happening.
    pub(super) fn rule(&self) -> Option<&Rule> {
        self.rule.get_or_init(|| Rule::known(&self.shape).ok()).as_ref()
    }

    fn may_match(&self, line: &str) -> bool {
        self.shape.also.is_empty() || self.shape.also.iter().any(|sign| line.contains(sign))
    }
}

/// A rule that goes over several lines.
pub(super) struct Spanning {
    spans: Spans,
    regex: OnceLock<Option<Regex>>,
}

impl Spanning {
    pub(super) fn name(&self) -> &'static str {
        self.spans.name
    }

    /// Its pattern, if the text may have one and the rule is in force.
    pub(super) fn regex(&self, without: &HashSet<String>, text: &str) -> Option<&Regex> {
        let active = self.spans.literals.iter().all(|any| any.iter().any(|literal| text.contains(literal)))
            && !without.contains(self.spans.name);
        active.then(|| self.regex.get_or_init(|| compile(self.spans.name, &self.spans.pattern).ok()).as_ref()).flatten()
    }
}

impl Builtin {
    /// # Errors
    /// [`Code::Internal`], which a test keeps from happening.
    pub(super) fn get() -> Result<&'static Self, Failure> {
        static BUILTIN: OnceLock<Builtin> = OnceLock::new();
        match BUILTIN.get() {
            Some(builtin) => Ok(builtin),
            None => Self::new().map(|builtin| BUILTIN.get_or_init(|| builtin)),
        }
    }

    fn new() -> Result<Self, Failure> {
        let shapes = builtin::shapes();
        let words = shapes.iter().flat_map(|shape| shape.words.iter().chain(shape.literals)).copied();
        let prefilter = Prefilter::new(words.chain(blocks::WORDS))?;
        let needed = |shape: &Shape| (shape.words.clone(), shape.literals.to_vec());
        let index = Index::new(shapes.iter().map(needed))?;
        let rules = shapes.into_iter().map(|shape| Known { shape, rule: OnceLock::new() }).collect();
        let spanning =
            builtin::spanning().into_iter().map(|spans| Spanning { spans, regex: OnceLock::new() }).collect();
        Ok(Self { rules, index, prefilter, spanning, flag: OnceLock::new() })
    }

    /// An argument whose successor is a secret.
    pub(super) fn is_flag(&self, argument: &str) -> bool {
        commands::may_be_flag(argument)
            && self
                .flag
                .get_or_init(|| compile(ARGUMENT, &commands::flag()).ok())
                .as_ref()
                .is_none_or(|flag| flag.is_match(argument))
    }

    /// The rules that may match in a line.
    pub(super) fn concerned(&self, line: &str) -> Vec<usize> {
        let mut rules = self.index.rules(line);
        rules.retain(|rule| self.rules.get(*rule).is_some_and(|rule| rule.may_match(line)));
        rules
    }

    /// Applies to a line the rules whose words it has, until nothing changes any more.
    pub(super) fn apply(&self, active: &[bool], line: &str, found: &mut Vec<(&str, u64)>) -> Option<String> {
        let mut clean: Option<String> = None;
        for _ in 0..PASSES {
            let mut changed = false;
            for slot in self.concerned(clean.as_deref().unwrap_or(line)) {
                let Some(known) = self.rules.get(slot).filter(|_| active.get(slot) == Some(&true)) else { continue };
                let better = match known.rule() {
                    Some(rule) => rule.apply(clean.as_deref().unwrap_or(line)),
                    // Nobody can tell what it would have taken out.
                    None => (clean.as_deref() != Some(REDACTED)).then(|| (REDACTED.to_owned(), 1)),
                };
                if let Some((better, count)) = better {
                    clean = Some(better);
                    changed = true;
                    found.push((known.name(), count));
                }
            }
            if !changed {
                break;
            }
        }
        clean
    }
}

/// One automaton for the rules of the configuration.
///
/// # Errors
/// [`Code::Config`] when it would be too large.
pub(super) fn together<'a>(rules: impl Iterator<Item = &'a Rule>) -> Result<RegexSet, Failure> {
    RegexSetBuilder::new(rules.map(|rule| rule.regex.as_str()))
        .size_limit(64 << 20)
        .dfa_size_limit(16 << 20)
        .build()
        .map_err(|error| Failure::new(Code::Config, "redaction.patterns: too large together").because(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_can_be_compiled() {
        let builtin = Builtin::get().unwrap();
        for known in &builtin.rules {
            let shape = &known.shape;
            assert!(Rule::known(shape).is_ok(), "{}: {}", shape.name, shape.pattern);
            assert!(!shape.words.is_empty() || !shape.literals.is_empty(), "{} is for every line", shape.name);
        }
        for spanning in &builtin.spanning {
            assert!(compile(spanning.spans.name, &spanning.spans.pattern).is_ok(), "{}", spanning.spans.pattern);
        }
        assert!(Regex::new(&commands::flag()).is_ok() && builtin.is_flag("--password") && !builtin.is_flag("--user"));
    }
}
