//! sshd_config(5) and ssh_config(5): files that include others, settings of which the first counts, blocks that hold for some.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::outside::below;
use super::query::Ask;
use crate::error::Failure;

/// How deep files include one another, as in OpenSSH.
const DEPTH: usize = 16;
/// Files that are read for one answer.
const FILES: usize = 200;
/// The largest file that is read.
const FILE_BYTES: usize = 1 << 20;
/// Settings that are taken in for one answer.
const SETTINGS: usize = 10_000;

/// What the files of one program say.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Configuration {
    /// The files that were read, in their order.
    pub(super) files: Vec<String>,
    /// Files that are there and could not be read.
    pub(super) unreadable: Vec<String>,
    /// Whether not all was read: too many files or settings, or files that include one another too deep.
    pub(super) truncated: bool,
    /// The settings in their order. Of two of one name that hold for the same connection the first counts, but for those
    /// that add up.
    pub(super) settings: Vec<Setting>,
}

/// A setting.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Setting {
    /// Its name, in lower case.
    pub(super) keyword: String,
    /// Its value as it is written.
    pub(super) value: String,
    /// For whom it holds: what stands behind Match or Host. Absent for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) only: Option<String>,
    /// The file, by its number in `files`, from 0.
    pub(super) file: usize,
    /// The line, from 1.
    pub(super) line: usize,
}

impl Configuration {
    /// The first value of a setting that holds for everybody.
    pub(super) fn global(&self, keyword: &str) -> Option<&str> {
        let of = |setting: &&Setting| setting.keyword == keyword && setting.only.is_none();
        self.settings.iter().find(of).map(|setting| setting.value.as_str())
    }
}

/// Reads the file at the absolute `path` and all that it includes.
///
/// # Errors
/// When nobody waits for the answer any more.
pub(super) fn read(ask: &Ask<'_>, path: &str) -> Result<Configuration, Failure> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut reading = Reading { ask, folder, open: HashSet::new(), found: Configuration::default() };
    reading.file(path, &mut None, DEPTH)?;
    Ok(reading.found)
}

struct Reading<'a> {
    ask: &'a Ask<'a>,
    /// Where names without a folder lie.
    folder: String,
    /// The files that are being read, so that none includes itself.
    open: HashSet<String>,
    found: Configuration,
}

impl Reading<'_> {
    /// `only` is the block that the including line stands in; a block that a file opens ends with it.
    fn file(&mut self, path: &str, only: &mut Option<String>, depth: usize) -> Result<(), Failure> {
        self.ask.go_on()?;
        if depth == 0 || self.found.files.len() >= FILES || !self.open.insert(path.to_owned()) {
            self.found.truncated = true;
            return Ok(());
        }
        match self.ask.host.text(below(path), FILE_BYTES) {
            Ok((text, more)) => {
                self.found.truncated |= more;
                let number = self.found.files.len();
                self.found.files.push(path.to_owned());
                self.lines(&text, number, only, depth)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => self.found.unreadable.push(path.to_owned()),
        }
        self.open.remove(path);
        Ok(())
    }

    fn lines(&mut self, text: &str, file: usize, only: &mut Option<String>, depth: usize) -> Result<(), Failure> {
        for (line, number) in text.lines().zip(1..) {
            let Some((keyword, value)) = setting(line) else { continue };
            match keyword.as_str() {
                "include" => {
                    for pattern in words(&value) {
                        self.include(&pattern, only, depth)?;
                    }
                }
                "match" | "host" => {
                    let all = matches!(value.to_lowercase().as_str(), "all" | "*");
                    *only = (!all).then(|| format!("{keyword} {value}"));
                }
                _ if self.found.settings.len() >= SETTINGS => {
                    self.found.truncated = true;
                    return Ok(());
                }
                _ => self.found.settings.push(Setting { keyword, value, only: only.clone(), file, line: number }),
            }
        }
        Ok(())
    }

    /// A pattern may have stars in its last part, as in `/etc/ssh/sshd_config.d/*.conf`.
    fn include(&mut self, pattern: &str, only: &Option<String>, depth: usize) -> Result<(), Failure> {
        let pattern = if pattern.starts_with('/') { pattern.to_owned() } else { format!("{}/{pattern}", self.folder) };
        let Some((folder, last)) = pattern.rsplit_once('/') else { return Ok(()) };
        let names = if last.contains(['*', '?']) {
            let all = self.ask.host.list(below(folder));
            // A star stands for no leading dot.
            all.into_iter()
                .filter(|name| (!name.starts_with('.') || last.starts_with('.')) && fits(last, name))
                .collect()
        } else {
            vec![last.to_owned()]
        };
        for name in names {
            self.file(&format!("{folder}/{name}"), &mut only.clone(), depth.saturating_sub(1))?;
        }
        Ok(())
    }
}

/// Name and value of a line: `Name value`, `Name=value`, with a comment or none.
fn setting(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at_checked(end)?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    Some((keyword.to_lowercase(), without_comment(rest).to_owned()))
}

fn without_comment(text: &str) -> &str {
    let (mut quoted, mut before) = (false, ' ');
    let comment = text.find(|c: char| {
        quoted ^= c == '"';
        let begins = c == '#' && !quoted && before.is_whitespace();
        before = c;
        begins
    });
    comment.and_then(|at| text.get(..at)).unwrap_or(text).trim_end()
}

/// Words, those in quotes whole.
pub(super) fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Whether `name` fits a pattern with `*` and `?`, in time that grows with the product of their lengths at most.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let mut reached = vec![false; name.len().saturating_add(1)];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let mut next = vec![false; reached.len()];
        let mut any = false;
        for (at, here) in reached.iter().enumerate() {
            any |= *here;
            if wanted == '*' {
                if let Some(place) = next.get_mut(at) {
                    *place = any;
                }
            } else if *here
                && name.get(at).is_some_and(|c| wanted == '?' || *c == wanted)
                && let Some(place) = next.get_mut(at.saturating_add(1))
            {
                *place = true;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_value() {
        let of = |line| setting(line).unwrap();
        assert_eq!(of("  PermitRootLogin no  # never"), ("permitrootlogin".into(), "no".into()));
        assert_eq!(of("Port=2222"), ("port".into(), "2222".into()));
        assert_eq!(of("Port = 22"), ("port".into(), "22".into()));
        assert_eq!(of("Banner \"/etc/a # b\" # c").1, "\"/etc/a # b\"");
        assert_eq!(of("Subsystem\tsftp internal-sftp").1, "sftp internal-sftp");
        assert_eq!((setting("# x"), setting("   ")), (None, None));
        assert_eq!(words("a \"b c\"  d"), ["a", "b c", "d"]);
    }

    #[test]
    fn a_pattern_has_stars_and_question_marks() {
        for (pattern, name) in
            [("*.conf", "10-a.conf"), ("*", ""), ("a?c*", "abcd"), ("*a*b*", "xaxxbx"), ("same", "same")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.conf", "a.conf~"), ("a?c", "ac"), ("", "x"), ("b*", "ab")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert!(!fits(&"*a".repeat(200), &"a".repeat(199)));
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|[A-Za-z]{0,9}[ =\t]{0,3}[\"# a]{0,9}", pattern in "[*?a]{0,9}", name in "[ab]{0,9}") {
            let _ = (setting(&line), words(&line), fits(&pattern, &name));
        }
    }
}
