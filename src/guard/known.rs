//! The built-in rules as they are compiled, and how a line is read by rules.

use std::collections::HashSet;
use std::sync::OnceLock;

use regex::{Regex, RegexSet, RegexSetBuilder};

use super::builtin::{self, ARGUMENT};
use super::commands;
use super::prefilter::Prefilter;
use super::rule::{Rule, compile};
use crate::error::{Code, Failure};

/// How often the patterns are applied to a text that they keep changing.
const PASSES: usize = 4;

/// Applies the rules that `set` says concern the text, until nothing changes any more.
pub(super) fn apply<'r, R: Iterator<Item = Option<&'r Rule>>>(
    set: &RegexSet,
    rules: impl Fn() -> R,
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
        for (slot, rule) in rules().enumerate() {
            // What holds of the text as it is now is asked in the next pass.
            if let Some(rule) = rule.filter(|_| concerned.matched(slot))
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

/// The built-in rules: the same for every configuration, and dear, so they are compiled once in a process.
pub(super) struct Builtin {
    pub(super) rules: Vec<Rule>,
    pub(super) set: RegexSet,
    pub(super) prefilter: Prefilter,
    /// Rules that go over several lines.
    pub(super) spanning: Vec<Spanning>,
    /// An argument whose successor is a secret.
    pub(super) flag: Regex,
}

/// A rule that goes over several lines.
pub(super) struct Spanning {
    pub(super) name: &'static str,
    literal: &'static str,
    pub(super) regex: Regex,
}

impl Spanning {
    /// Whether the text may have one, and the rule is in force.
    pub(super) fn active(&self, without: &HashSet<String>, text: &str) -> bool {
        text.contains(self.literal) && !without.contains(self.name)
    }
}

impl Builtin {
    /// # Errors
    /// [`Code::Config`], which a test keeps from happening.
    pub(super) fn get() -> Result<&'static Self, Failure> {
        static BUILTIN: OnceLock<Builtin> = OnceLock::new();
        match BUILTIN.get() {
            Some(builtin) => Ok(builtin),
            None => Self::compile().map(|builtin| BUILTIN.get_or_init(|| builtin)),
        }
    }

    fn compile() -> Result<Self, Failure> {
        let shapes = builtin::shapes();
        let words = shapes.iter().flat_map(|shape| shape.words).copied();
        let literals = shapes.iter().flat_map(|shape| shape.literals).copied();
        let prefilter = Prefilter::new(words, literals)?;
        let rules = shapes.into_iter().map(Rule::known).collect::<Result<Vec<_>, _>>()?;
        let spanning = builtin::spanning()
            .into_iter()
            .map(|(name, literal, pattern)| Ok(Spanning { name, literal, regex: compile(name, &pattern)? }))
            .collect::<Result<Vec<_>, Failure>>()?;
        Ok(Self {
            set: together(rules.iter())?,
            prefilter,
            spanning,
            flag: compile(ARGUMENT, &commands::flag())?,
            rules,
        })
    }
}

/// One automaton for all rules.
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
