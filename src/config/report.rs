//! All that is wrong with a configuration, in one report: each finding with its place, its key, the problem, the way out.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::place::{KeyPath, Place};
use crate::error::{Code, Failure};

/// Whether something stops the configuration from being used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The configuration is refused.
    Finding,
    /// Worth knowing; nothing is refused for it.
    Note,
}

/// One thing to know about a configuration. It never repeats a value that could be a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    severity: Severity,
    #[serde(flatten)]
    place: Place,
    key: String,
    problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    pub(super) fn new(place: Place, key: &KeyPath, problem: impl Into<String>) -> Self {
        Self { severity: Severity::Finding, place, key: key.to_string(), problem: problem.into(), advice: None }
    }

    pub(super) fn note(place: Place, key: &KeyPath, problem: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::new(place, key, problem) }
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same about something within `path`.
    pub(super) fn within(mut self, path: &KeyPath) -> Self {
        self.key = if self.key.is_empty() { path.to_string() } else { format!("{path}.{}", self.key) };
        self
    }

    /// Whether it stops the configuration from being used.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Where to look.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The key's path, such as `auth.jwt.issuer`; empty when the whole text is meant.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to do about it, where that can be said.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

/// `config/doorward.yaml:12:5: auth.jwt.isuer: unknown key; did you mean auth.jwt.issuer?`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if self.severity == Severity::Note {
            f.write_str("note: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)?;
        self.advice.iter().try_for_each(|advice| write!(f, "; {advice}"))
    }
}

/// Everything that was found, in the order in which it is written down.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    #[serde(skip)]
    files: Vec<PathBuf>,
}

impl Report {
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|one, other| {
            (one.severity, &one.place, &one.key).cmp(&(other.severity, &other.place, &other.key))
        });
        findings.dedup();
        Self { findings, files: Vec::new() }
    }

    /// The same, with the files that were looked at.
    pub(super) fn about(self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// The files that were looked at, as far as they are known: a change of one of them may change the report.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Findings first, then notes.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many of them refuse the configuration.
    #[must_use]
    pub fn count(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Finding).count()
    }

    /// Whether the configuration is refused.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.count() > 0
    }
}

/// One line each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// For those who need a failure and not a list: the report is the cause.
impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        let (count, noun) = (report.count(), if report.count() == 1 { "finding" } else { "findings" });
        Self::new(Code::Config, format!("the configuration has {count} {noun}")).because(report)
    }
}
