//! What the schema cannot say: keys that need or exclude one another, files that must be there, names that must exist.
//! Contradictions are always findings; what must exist is asked for the transport that uses it.

mod auth;
mod budgets;
mod files;
mod hosts;
mod queries;
mod sandbox;
mod socket;
mod syslog;
mod toolsets;
mod transport;

use std::path::Path;

use super::Config;
use super::load::Secrets;
use super::place::KeyPath;
use super::report::{Finding, Severity};
use super::tree::Node;
use crate::clock::Timestamp;
use crate::pki::file;
use crate::transport::TransportKind;

/// What there is to check.
pub(super) struct Given<'a> {
    pub(super) config: &'a Config,
    /// Where things are written.
    pub(super) tree: &'a Node,
    /// The names of the tools there are.
    pub(super) tools: &'a [&'a str],
    pub(super) secrets: &'a Secrets,
    /// When it is checked, for what runs out.
    pub(super) now: Timestamp,
    /// The values that did not fit the schema and so have their findings already.
    pub(super) left_out: &'a [KeyPath],
}

/// Checks everything.
pub(super) fn check(given: &Given<'_>) -> Vec<Finding> {
    let mut check = Check { given, config: given.config, findings: Vec::new() };
    check.transport();
    check.auth();
    check.queries();
    check.budgets();
    check.operator();
    check.sandbox();
    check.toolsets();
    check.findings
}

struct Check<'a> {
    given: &'a Given<'a>,
    config: &'a Config,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn https(&self) -> bool {
        self.config.transport.uses(TransportKind::Https)
    }

    fn unix(&self) -> bool {
        self.config.transport.uses(TransportKind::Unix)
    }

    /// Whether somebody wrote this key, rightly or wrongly.
    fn wrote(&self, key: &str) -> bool {
        self.given.tree.at(&KeyPath::from(key)).is_some_and(Node::says_something)
    }

    fn find(&mut self, key: &str, problem: impl Into<String>, advice: &str) {
        self.find_at(&KeyPath::from(key), problem, advice);
    }

    fn find_at(&mut self, path: &KeyPath, problem: impl Into<String>, advice: &str) {
        // A value that was left out is not missing: it is wrong, and that has been said.
        if self.given.left_out.iter().any(|out| path.is_within(out)) {
            return;
        }
        let finding = Finding::new(self.given.tree.place_of(path), path, problem);
        self.findings.push(if advice.is_empty() { finding } else { finding.advise(advice) });
    }

    fn note_at(&mut self, path: &KeyPath, problem: impl Into<String>) {
        self.findings.push(Finding::note(self.given.tree.place_of(path), path, problem));
    }

    /// A file that must be there to be read.
    fn file(&mut self, key: &str, path: &Path) {
        match files::readable(path) {
            Ok(()) => self.guarded(key, path),
            Err(problem) => self.find(key, problem, ""),
        }
    }

    /// A file that nobody else may change: what it says is believed.
    fn guarded(&mut self, key: &str, path: &Path) {
        if let Err(open) = file::guarded(path) {
            self.find(key, open.problem, &open.advice);
        }
    }

    /// Whether something that refuses was found at this key.
    fn found(&self, key: &str) -> bool {
        self.findings.iter().any(|finding| finding.severity() == Severity::Finding && finding.key() == key)
    }

    /// A file that must be there, and for nobody else to read.
    fn private_file(&mut self, key: &str, path: &Path) {
        match files::private(path) {
            Ok(()) => self.guarded(key, path),
            Err(files::Wrong::Unreadable(problem)) => self.find(key, problem, ""),
            Err(files::Wrong::Exposed(problem)) => {
                self.find(key, problem, &format!("chmod 600 {}", path.display()));
            }
        }
    }
}
