//! `scopes`, `queries`, `redaction`, `audit`, `log`: what may be asked, what may leave, what is kept.

use std::path::{Component, Path};

use super::{Check, files};
use crate::audit::checkpoint::Signer;
use crate::audit::layout::Layout;
use crate::config::place::KeyPath;
use crate::config::spelling::nearest;
use crate::guard::{FieldPattern, Pattern, RedactionSection, Redactor};
use crate::pki::store;

impl Check<'_> {
    pub(super) fn queries(&mut self) {
        self.tool_names();
        self.app_logs();
        self.redaction();
        self.audit();
        if let Some(Err(problem)) = self.config.log.path.as_deref().map(files::writable) {
            self.find("log.path", problem, "");
        }
    }

    fn tool_names(&mut self) {
        let sensitive = &self.config.queries.sensitive;
        let mut lists = Vec::new();
        if self.wrote("scopes") {
            let root = KeyPath::from("scopes");
            lists.extend(self.config.scopes.0.iter().map(|(scope, tools)| (root.key(scope), tools)));
        }
        lists.push((KeyPath::from("queries.sensitive.allow"), &sensitive.allow));
        lists.push((KeyPath::from("queries.sensitive.deny"), &sensitive.deny));
        for (path, tools) in lists {
            for (index, tool) in tools.iter().enumerate() {
                if self.given.tools.contains(&tool.as_str()) {
                    continue;
                }
                let path = path.item(index);
                let advice = nearest(tool, self.given.tools.iter().copied());
                let advice = advice.map(|near| format!("did you mean {near}?")).unwrap_or_default();
                self.find_at(&path, "there is no such tool", &advice);
            }
        }
    }

    fn app_logs(&mut self) {
        let root = KeyPath::from("toolsets.system.app_logs");
        for (index, path) in self.config.toolsets.system.app_logs.iter().enumerate() {
            let names = path.components().filter(|part| matches!(part, Component::Normal(_))).count();
            let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::RootDir));
            if !path.is_absolute() || !plain || names == 0 {
                let advice = "write the directory from the root, without `..`: /var/log/nginx";
                self.find_at(&root.item(index), "is no absolute path of a directory below the root", advice);
            }
        }
    }

    fn redaction(&mut self) {
        let redaction = &self.config.redaction;
        // What is built in compiles, and takes its time.
        for (index, name) in redaction.without.iter().enumerate() {
            let known = Redactor::builtin_names();
            if !known.contains(name.as_str()) {
                let advice = nearest(name, known.into_iter());
                let advice = advice.map(|near| format!("did you mean {near}?")).unwrap_or_default();
                self.find_at(&KeyPath::from("redaction.without").item(index), "is not built in", &advice);
            }
        }
        if redaction.patterns.is_empty() && redaction.fields.is_empty() {
            return;
        }
        let Err(together) =
            compiles(redaction.patterns.clone(), redaction.fields.clone()).and_then(|()| plain(redaction))
        else {
            return;
        };
        let before = self.findings.len();
        for (index, pattern) in redaction.patterns.iter().enumerate() {
            let path = KeyPath::from("redaction.patterns").item(index);
            if pattern.name.is_empty() {
                self.find_at(&path.key("name"), "is empty", "the audit log names patterns by it");
            }
            if let Err(error) = regex::Regex::new(&pattern.pattern) {
                self.find_at(&path.key("pattern"), reason(&error), "look-around and back-references are not supported");
            } else if let Err(problem) = compiles(vec![pattern.clone()], Vec::new()) {
                self.find_at(&path, problem, "");
            }
        }
        for (index, field) in redaction.fields.iter().enumerate() {
            let path = KeyPath::from("redaction.fields").item(index);
            if !is_field_path(&field.0) {
                let advice = "write names with dots between them, such as *.password";
                self.find_at(&path, "is not a path of fields", advice);
            } else if let Err(problem) = compiles(Vec::new(), vec![field.clone()]) {
                self.find_at(&path, problem, "");
            }
        }
        // Each may be right, and all together too much or two of one name.
        if self.findings.len() == before {
            self.find("redaction", together, "");
        }
    }

    fn audit(&mut self) {
        let audit = &self.config.audit;
        if audit.enabled == Some(false) && self.https() {
            self.find("audit.enabled", "the audit log cannot be switched off over https", "remove the key");
        }
        let used = self.https() || self.unix() || audit.enabled == Some(true);
        if used
            && self.config.audits()
            && let Err(problem) = files::journal(&audit.path)
        {
            self.find("audit.path", problem, "");
        }
        if used && self.config.audits() {
            self.checkpoint_key();
        }
        self.syslog();
    }

    /// The key that signs checkpoints: private where it is, and where it is not it must be possible to make it.
    fn checkpoint_key(&mut self) {
        const KEY: &str = "audit.checkpoint.key";
        let audit = &self.config.audit;
        let written = audit.checkpoint.key.as_deref();
        let path = written.map_or_else(|| Layout::of(&audit.path).beside("key"), Path::to_owned);
        if path.symlink_metadata().is_ok() {
            self.private_file(KEY, &path);
            if !self.found(KEY)
                && let Err(failure) = store::signing_key(&path).and_then(Signer::new)
            {
                self.find(KEY, failure.cause().unwrap_or_else(|| failure.public().to_owned()), "");
            }
            return;
        }
        match files::writable(&path) {
            // Who can put a key there before the first start can sign.
            Ok(()) => self.guarded(KEY, &path),
            Err(problem) if written.is_some() => {
                self.find(KEY, problem, "it is made at the start where it is not there")
            }
            // Beside the log this was said of the log.
            Err(_) => {}
        }
    }
}

/// Whether every pattern has a name and is one, and every field is a path.
fn plain(section: &RedactionSection) -> Result<(), String> {
    let named = section.patterns.iter().all(|pattern| !pattern.name.is_empty());
    let compile = section.patterns.iter().all(|pattern| regex::Regex::new(&pattern.pattern).is_ok());
    let paths = section.fields.iter().all(|field| is_field_path(&field.0));
    if named && compile && paths { Ok(()) } else { Err("a pattern or a field is not valid".to_owned()) }
}

/// Whether the redactor itself takes these.
fn compiles(patterns: Vec<Pattern>, fields: Vec<FieldPattern>) -> Result<(), String> {
    Redactor::new(&RedactionSection { patterns, fields, ..RedactionSection::default() }).map(|_| ()).map_err(
        |failure| {
            let text = failure.public();
            let keys = ["redaction.patterns: ", "redaction.fields: ", "redaction: "];
            keys.into_iter().find_map(|key| text.strip_prefix(key)).unwrap_or(text).to_owned()
        },
    )
}

/// Names with dots between them, and not stars alone.
fn is_field_path(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty()) && !text.split('.').all(|part| part == "*")
}

/// The last line of a regex error says what is wrong; those before it draw a picture.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    format!("not a regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_path_has_names_in_it() {
        for good in ["*.password", "env.AWS_*", "a"] {
            assert!(is_field_path(good), "{good}");
        }
        for bad in ["", ".", "a.", "a..b", "*", "*.*"] {
            assert!(!is_field_path(bad), "{bad}");
        }
    }
}
