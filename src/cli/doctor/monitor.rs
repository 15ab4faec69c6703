//! Whether something watches the directory of the configuration. That a program for it is set up says nothing: one of its
//! rules has to cover that very directory.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;

/// Bytes of a file that are looked at.
const MOST: u64 = 1 << 20;

/// Which directories a text has watched.
type Rules = fn(&str) -> Watched;

/// Where rules stand, and how they are written. Of a directory the files in it, in the order of their names.
const RULES: [(&str, Rules); 12] = [
    ("etc/audit/audit.rules", auditd),
    ("etc/audit/rules.d", auditd),
    ("etc/aide.conf", aide),
    ("etc/aide/aide.conf", aide),
    ("etc/aide/aide.conf.d", aide),
    ("etc/osquery/osquery.conf", osquery),
    ("etc/osquery/osquery.conf.d", osquery),
    ("etc/samhain/samhainrc", samhain),
    ("etc/samhainrc", samhain),
    ("etc/tripwire/twpol.txt", tripwire),
    ("var/ossec/etc/ossec.conf", ossec),
    ("var/ossec/etc/shared/agent.conf", ossec),
];

/// What was found.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Monitor {
    /// The file with the rule, and what the rule covers.
    pub(super) by: Option<(PathBuf, String)>,
    /// Files of rules that cannot be read by who asks.
    pub(super) shut: Vec<PathBuf>,
}

/// What rules say.
#[derive(Default)]
struct Watched {
    /// Directories with all that is in them.
    trees: Vec<String>,
    /// Expressions that the path of a file in it has to match from its beginning.
    patterns: Vec<String>,
    /// The same, of what is left out.
    without: Vec<String>,
}

impl Monitor {
    /// Looks for a rule on the machine below `root` that covers the directory of `config`.
    pub(super) fn look(root: &Path, config: &Path) -> Self {
        let mut found = Self::default();
        let Ok(config) = config.canonicalize() else { return found };
        let Some(folder) = config.parent() else { return found };
        for (place, rules) in RULES {
            for path in files(&root.join(place)) {
                match fs::read_to_string(&path) {
                    Ok(text) if found.by.is_none() => {
                        found.by = rules(&text).covers(folder, &config).map(|what| (path, what));
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => found.shut.push(path),
                    _ => {}
                }
            }
        }
        found
    }
}

/// The file, or those in the directory.
fn files(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place) else { return if is_small(place) { vec![place.to_owned()] } else { vec![] } };
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_small(path)).collect();
    files.sort();
    files
}

fn is_small(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MOST)
}

impl Watched {
    fn of_trees(trees: impl Iterator<Item = String>) -> Self {
        Self { trees: trees.collect(), ..Self::default() }
    }

    /// What covers the directory `folder` with the file `config` in it.
    fn covers(&self, folder: &Path, config: &Path) -> Option<String> {
        let tree = self.trees.iter().find(|tree| tree.starts_with('/') && folder.starts_with(tree.as_str()));
        let text = config.to_string_lossy();
        let matches =
            |pattern: &&String| Regex::new(&format!("^(?:{pattern})")).is_ok_and(|regex| regex.is_match(&text));
        let left_out = || self.without.iter().any(|pattern| matches(&pattern));
        tree.cloned().or_else(|| self.patterns.iter().find(matches).filter(|_| !left_out()).cloned())
    }
}

/// The lines that say something, each without what stands before `#` of a comment at its beginning.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// auditctl(8): `-w PATH -p wa`, or `-a always,exit -F dir=PATH -F perm=wa`. Who only notes reading does not notice a change.
fn auditd(text: &str) -> Watched {
    let rule = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |name: &str| words.iter().skip_while(|word| **word != name).nth(1).copied();
        let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let never = after("-a").or_else(|| after("-A")).is_some_and(|list| list.split(',').any(|word| word == "never"));
        let permissions = after("-p").or_else(|| field("perm="));
        let notices = permissions.is_none_or(|letters| letters.contains(['w', 'a']));
        let tree = after("-w").or_else(|| field("dir="))?;
        (!never && notices).then(|| tree.to_owned())
    };
    Watched::of_trees(lines(text).filter_map(rule))
}

/// aide.conf(5): an expression and its group, `!` before what is left out. One with `=` covers the directory itself alone.
fn aide(text: &str) -> Watched {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let chosen = lines(text).filter(|line| line.starts_with('/') && line.split_whitespace().count() > 1);
    let without = lines(text).filter_map(|line| line.strip_prefix('!'));
    Watched {
        trees: Vec::new(),
        patterns: chosen.filter_map(first).collect(),
        without: without.filter_map(first).collect(),
    }
}

/// The configuration of osquery: lists of paths below `file_paths`; `%%` at the end stands for all that is in a directory.
fn osquery(text: &str) -> Watched {
    let Ok(config) = serde_json::from_str::<Value>(text) else { return Watched::default() };
    let lists = config.get("file_paths").and_then(Value::as_object).into_iter().flat_map(|lists| lists.values());
    let paths = lists.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    Watched::of_trees(paths.filter_map(|path| path.strip_suffix("/%%")).map(str::to_owned))
}

/// samhainrc(5): `dir = 3/etc`, the number being the depth, in a section that is not for what is left out.
fn samhain(text: &str) -> Watched {
    let mut ignored = false;
    let mut trees = Vec::new();
    for line in lines(text) {
        if let Some(section) = line.strip_prefix('[') {
            ignored = section.to_lowercase().starts_with("ignore");
        } else if let Some(("dir", value)) = line.split_once('=').map(|(name, value)| (name.trim(), value.trim()))
            && !ignored
        {
            let depth = value.find('/').and_then(|at| value.get(..at)).unwrap_or_default();
            // The depth counts from that directory: 0 is for the directory itself.
            if depth != "0" {
                trees.push(value.get(depth.len()..).unwrap_or_default().trim_end_matches('/').to_owned());
            }
        }
    }
    Watched { trees, ..Watched::default() }
}

/// twpolicy(4): `/etc -> $(ReadOnly);`. A line that begins with `!` leaves out.
fn tripwire(text: &str) -> Watched {
    let path = |line: &str| line.split_once("->").map(|(path, _)| path.trim().trim_matches('"').to_owned());
    let without = lines(text).filter_map(|line| Some(line.strip_prefix('!')?.trim_end_matches(';').trim().to_owned()));
    let whole = |path: String| format!("{}(/|$)", regex::escape(path.trim_end_matches('/')));
    Watched {
        trees: Vec::new(),
        patterns: lines(text).filter_map(path).filter(|path| path.starts_with('/')).map(whole).collect(),
        without: without.map(whole).collect(),
    }
}

/// ossec.conf, that of Wazuh too: `<directories …>/etc,/usr/bin</directories>`, not within `<!-- -->`.
fn ossec(text: &str) -> Watched {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        plain.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let within = |name: &str| -> Vec<String> {
        let tag = format!("<{name}");
        let opened = plain.split(&tag).skip(1);
        let bodies = opened.filter_map(|part| part.split_once('>')?.1.split_once("</").map(|(body, _)| body));
        bodies.flat_map(|body| body.split(',')).map(|path| path.trim().trim_end_matches('/').to_owned()).collect()
    };
    let whole = |path: &String| format!("{}(/|$)", regex::escape(path));
    Watched {
        trees: Vec::new(),
        patterns: within("directories").iter().filter(|path| path.starts_with('/')).map(whole).collect(),
        without: within("ignore").iter().filter(|path| path.starts_with('/')).map(whole).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watches(rules: Rules, text: &str) -> bool {
        rules(text).covers(Path::new("/etc/doorward"), Path::new("/etc/doorward/doorward.yaml")).is_some()
    }

    #[test]
    fn a_rule_of_auditd_counts_that_notices_a_change_there() {
        for rule in [
            "-w /etc/doorward -p wa -k door",
            "-w /etc/doorward/ -p wa",
            "-w /etc",
            "  -a always,exit -F arch=b64 -F dir=/etc/doorward -F perm=wa -k door",
        ] {
            assert!(watches(auditd, rule), "{rule}");
        }
        for rule in [
            "# -w /etc/doorward -p wa",
            "-w /etc/door -p wa",
            "-w /etc/doorward-old -p wa",
            "-w /etc/doorward -p rx",
            "-a never,exit -F dir=/etc/doorward",
            "-w /etc/passwd -p wa -k /etc/doorward",
            "",
        ] {
            assert!(!watches(auditd, rule), "{rule}");
        }
    }

    #[test]
    fn rules_of_other_programs_count_that_cover_the_directory() {
        let yes: [(Rules, &str); 8] = [
            (aide, "/etc NORMAL"),
            (aide, "@@define X\n/etc/doorward$ R\n/etc/doorward/.*\\.yaml$ R"),
            (osquery, r#"{"file_paths": {"door": ["/etc/doorward/%%"]}}"#),
            (osquery, r#"{"file_paths": {"etc": ["/usr/%%", "/etc/%%"]}}"#),
            (samhain, "[ReadOnly]\ndir = 3/etc\n"),
            (tripwire, "/etc/doorward -> $(ReadOnly) (recurse=true);"),
            (ossec, "<syscheck><directories check_all=\"yes\">/usr/bin,/etc</directories></syscheck>"),
            (ossec, "<directories>/etc</directories><ignore>/etc/mtab</ignore>"),
        ];
        for (rules, text) in yes {
            assert!(watches(rules, text), "{text}");
        }
        let no: [(Rules, &str); 12] = [
            (aide, "# /etc NORMAL"),
            (aide, "/etc NORMAL\n!/etc/doorward"),
            (aide, "=/etc/doorward R"),
            (aide, "/etc/doorway R"),
            (osquery, r#"{"file_paths": {"door": ["/etc/door/%%"]}, "note": "/etc/doorward/%%"}"#),
            (osquery, "/etc/doorward/%%"),
            (samhain, "[IgnoreAll]\ndir = /etc\n"),
            (samhain, "# dir = 3/etc"),
            (tripwire, "/etc -> $(ReadOnly);\n!/etc/doorward;"),
            (ossec, "<!-- <directories>/etc</directories> -->"),
            (ossec, "<directories>/etc</directories><ignore>/etc/doorward</ignore>"),
            (ossec, "<directories>/etc/door</directories>"),
        ];
        for (rules, text) in no {
            assert!(!watches(rules, text), "{text}");
        }
    }

    #[test]
    fn that_a_program_is_there_is_not_enough() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("door/doorward.yaml", "");
        let config = root.path().join("door/doorward.yaml");
        let folder = config.canonicalize().unwrap().parent().unwrap().display().to_string();
        write("etc/aide/aide.conf", "database_in=file:/var/lib/aide/aide.db\n");
        write("etc/audit/rules.d/10-base.rules", &format!("# -w {folder} -p wa\n-w {folder}-old -p wa\n"));
        assert_eq!(Monitor::look(root.path(), &config), Monitor::default());
        write("etc/audit/rules.d/20-door.rules", &format!("-w {folder} -p wa\n"));
        let found = Monitor::look(root.path(), &config);
        assert_eq!(found.by, Some((root.path().join("etc/audit/rules.d/20-door.rules"), folder)));
        assert_eq!(Monitor::look(root.path(), Path::new("/no/such/file")), Monitor::default());
    }
}
