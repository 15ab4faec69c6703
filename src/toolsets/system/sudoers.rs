//! The grammar of sudoers(5): one logical line at a time. A line that is not understood is said to be one, never guessed at.

use schemars::JsonSchema;
use serde::Serialize;

/// A logical line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Include { path: String, folder: bool },
    Defaults { scope: Option<String>, settings: Vec<String> },
    Aliases { kind: AliasKind, aliases: Vec<(String, Vec<String>)> },
    Rules(Vec<Rule>),
}

/// Who may run what as whom: one command of a line.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) users: Vec<String>,
    pub(super) hosts: Vec<String>,
    /// `None` for root, or for what Defaults say.
    pub(super) run_as_users: Option<Vec<String>>,
    pub(super) run_as_groups: Option<Vec<String>>,
    pub(super) command: String,
    pub(super) denied: bool,
    pub(super) tags: Vec<String>,
    pub(super) options: Vec<String>,
}

/// What an alias stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AliasKind {
    /// Who may.
    User,
    /// As whom.
    RunAs,
    /// Where.
    Host,
    /// What.
    Command,
}

const TAGS: [&str; 18] = [
    "EXEC",
    "NOEXEC",
    "FOLLOW",
    "NOFOLLOW",
    "LOG_INPUT",
    "NOLOG_INPUT",
    "LOG_OUTPUT",
    "NOLOG_OUTPUT",
    "MAIL",
    "NOMAIL",
    "INTERCEPT",
    "NOINTERCEPT",
    "PASSWD",
    "NOPASSWD",
    "SETENV",
    "NOSETENV",
    "SUDOEDIT_FOLLOW",
    "NOSUDOEDIT_FOLLOW",
];
const OPTIONS: [&str; 10] =
    ["ROLE", "TYPE", "PRIVS", "LIMITPRIVS", "NOTBEFORE", "NOTAFTER", "TIMEOUT", "CWD", "CHROOT", "APPARMOR_PROFILE"];

/// Logical lines with the number of their first line, from 1; a line that ends with a backslash goes on in the next one.
pub(super) fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1..) {
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => whole.push_str(part),
            None => lines.push((number, part.to_owned())),
        }
        goes_on = more;
    }
    lines
}

/// What a logical line says: `Ok(None)` nothing.
///
/// # Errors
/// When it is not understood.
pub(super) fn parse(line: &str) -> Result<Option<Line>, ()> {
    let line = line.trim();
    for (word, folder) in [("include", false), ("includedir", true)] {
        let rest = line.strip_prefix(['#', '@']).and_then(|rest| rest.strip_prefix(word));
        if let Some(path) = rest.filter(|rest| rest.starts_with([' ', '\t'])) {
            let path = path.trim().trim_matches('"').replace("\\ ", " ");
            return Ok(Some(Line::Include { path, folder }));
        }
    }
    let line = without_comment(line).trim_end();
    if line.is_empty() {
        return Ok(None);
    }
    let mut scan = Scan(line);
    if let Some(rest) = line.strip_prefix("Defaults") {
        scan.0 = rest;
        return scan.defaults().map(Some).ok_or(());
    }
    let aliases = [
        ("User_Alias", AliasKind::User),
        ("Runas_Alias", AliasKind::RunAs),
        ("Host_Alias", AliasKind::Host),
        ("Cmnd_Alias", AliasKind::Command),
        ("Cmd_Alias", AliasKind::Command),
    ];
    for (word, kind) in aliases {
        if let Some(rest) = line.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t'])) {
            scan.0 = rest;
            return scan.aliases(kind).map(Some).ok_or(());
        }
    }
    scan.rules().map(Some).ok_or(())
}

/// A number sign begins a comment unless a number follows, it is in quotes, or it is escaped.
fn without_comment(line: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let number = chars.peek().is_some_and(|(_, next)| next.is_ascii_digit() || *next == '-');
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted && !number => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    line
}

/// What is left of a line.
struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip();
        match self.0.strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Up to the first of `ends` that is neither quoted nor escaped.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let (mut quoted, mut escaped) = (false, false);
        let end = self.0.find(|c: char| {
            if escaped {
                escaped = false;
                return false;
            }
            escaped = c == '\\';
            quoted ^= c == '"';
            !quoted && c != '"' && !escaped && ends(c)
        });
        let (word, rest) = self.0.split_at_checked(end.unwrap_or(self.0.len())).unwrap_or((self.0, ""));
        self.0 = rest;
        word
    }

    /// Names with commas between them, up to something else.
    fn list(&mut self) -> Option<Vec<String>> {
        let mut items = Vec::new();
        loop {
            let mut item = String::new();
            while self.eat('!') {
                item.push('!');
            }
            self.skip();
            let name = self.until(|c| c.is_whitespace() || ",=:()".contains(c));
            item.push_str(&plain(name));
            if name.is_empty() {
                return None;
            }
            items.push(item);
            if !self.eat(',') {
                return Some(items);
            }
        }
    }

    fn defaults(mut self) -> Option<Line> {
        let scope = match self.0.strip_prefix(['@', ':', '!', '>']) {
            Some(rest) => {
                let mark = self.0.get(..1).unwrap_or_default();
                self.0 = rest;
                self.skip();
                // A command has a path, the others are lists of names.
                Some(format!("{mark}{}", self.until(char::is_whitespace)))
            }
            None if self.0.starts_with(char::is_whitespace) => None,
            None => return None,
        };
        let mut settings = Vec::new();
        loop {
            self.skip();
            let setting = self.until(|c| c == ',').trim();
            if setting.is_empty() {
                return None;
            }
            settings.push(setting.to_owned());
            if !self.eat(',') {
                return Some(Line::Defaults { scope, settings });
            }
        }
    }

    fn aliases(mut self, kind: AliasKind) -> Option<Line> {
        let mut aliases = Vec::new();
        loop {
            self.skip();
            let name = self.until(|c| c.is_whitespace() || c == '=').to_owned();
            let named = name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
            if !named || !self.eat('=') {
                return None;
            }
            let members = match kind {
                AliasKind::Command => self.commands_of_alias()?,
                AliasKind::User | AliasKind::RunAs | AliasKind::Host => self.list()?,
            };
            aliases.push((name, members));
            if !self.eat(':') {
                self.skip();
                return self.0.is_empty().then_some(Line::Aliases { kind, aliases });
            }
        }
    }

    fn commands_of_alias(&mut self) -> Option<Vec<String>> {
        let mut members = Vec::new();
        loop {
            let denied = self.negations();
            let command = self.command()?;
            members.push(if denied { format!("!{command}") } else { command });
            if !self.eat(',') {
                return Some(members);
            }
        }
    }

    fn rules(mut self) -> Option<Line> {
        let users = self.list()?;
        let mut rules = Vec::new();
        loop {
            let hosts = self.list()?;
            if !self.eat('=') {
                return None;
            }
            // What is said of one command holds for those behind it too.
            let mut rule = Rule { users: users.clone(), hosts, ..Rule::default() };
            loop {
                self.before_command(&mut rule)?;
                rule.denied = self.negations();
                rule.command = self.command()?;
                rules.push(rule.clone());
                if !self.eat(',') {
                    break;
                }
            }
            if !self.eat(':') {
                self.skip();
                return self.0.is_empty().then_some(Line::Rules(rules));
            }
        }
    }

    fn negations(&mut self) -> bool {
        let mut denied = false;
        while self.eat('!') {
            denied = !denied;
        }
        denied
    }

    /// As whom, options and tags.
    fn before_command(&mut self, rule: &mut Rule) -> Option<()> {
        if self.eat('(') {
            let part = |scan: &mut Self| {
                scan.skip();
                let none = scan.0.starts_with([':', ')']);
                if none { Some(Vec::new()) } else { scan.list() }
            };
            let users = part(self)?;
            let groups = if self.eat(':') { Some(part(self)?) } else { None };
            if !self.eat(')') {
                return None;
            }
            rule.run_as_users = Some(users);
            rule.run_as_groups = groups;
        }
        loop {
            self.skip();
            let name_end = self.0.find(|c: char| !(c.is_ascii_uppercase() || c == '_')).unwrap_or(self.0.len());
            let (name, rest) = self.0.split_at_checked(name_end)?;
            let rest = rest.trim_start();
            if let Some(rest) = rest.strip_prefix(':').filter(|_| TAGS.contains(&name)) {
                let opposite = |tag: &String| tag.trim_start_matches("NO") == name.trim_start_matches("NO");
                rule.tags.retain(|tag| !opposite(tag));
                rule.tags.push(name.to_owned());
                self.0 = rest;
            } else if let Some(rest) = rest.strip_prefix('=').filter(|_| OPTIONS.contains(&name)) {
                self.0 = rest;
                self.skip();
                let value = self.until(char::is_whitespace);
                rule.options.push(format!("{name}={value}"));
            } else {
                return Some(());
            }
        }
    }

    /// A command with its arguments; a colon in a digest does not end it.
    fn command(&mut self) -> Option<String> {
        self.skip();
        let mut command = String::new();
        if ["sha224:", "sha256:", "sha384:", "sha512:"].iter().any(|digest| self.0.starts_with(digest)) {
            command.push_str(self.until(char::is_whitespace));
            command.push(' ');
            self.skip();
        }
        let text = self.until(|c| ",:=".contains(c)).trim_end();
        command.push_str(&plain(text));
        let named = text.starts_with(['/', '^'])
            || text.split_whitespace().next().is_some_and(|word| {
                matches!(word, "sudoedit" | "list")
                    || word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            });
        named.then_some(command)
    }
}

/// Without the backslashes that only the grammar needs, and without quotes around the whole.
fn plain(text: &str) -> String {
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escapes = c == '\\' && chars.peek().is_some_and(|next| ",:=\\#\"!()@ ".contains(*next));
        kept.extend(if escapes { chars.next() } else { Some(c) });
    }
    kept
}

#[cfg(test)]
mod tests;
