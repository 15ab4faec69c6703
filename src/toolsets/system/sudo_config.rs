//! `get_sudo_config`: who may do what as whom. Sensitive: it shows the ways to more rights. Only what is written is told;
//! rules from directory services are not there.

use std::collections::HashSet;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::accounts;
use super::extent::Extent;
use super::listing::{self, USUAL};
use super::outside::below;
use super::query::{Ask, HostQuery};
use super::sudoers::{self, AliasKind, Line};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// The file that sudo begins with.
const MAIN: &str = "/etc/sudoers";
/// Where distributions keep rules, and what their first file includes; the sandbox leaves these open.
const USUAL_PLACES: [&str; 6] = [
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/sudoers.local",
    "/usr/etc/sudoers",
    "/usr/etc/sudoers.d",
    "/usr/local/etc/sudoers.d",
];
/// How deep files include one another; sudo itself goes on to 128.
const DEPTH: usize = 16;
/// Files that are read for one answer.
const FILES: usize = 500;
/// The largest file that is read.
const FILE_BYTES: usize = 1 << 20;
/// Rules that are taken in for one answer.
const RULES: usize = 20_000;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only rules that name this account, a group it is in, an alias with either, or everybody. What a rule takes away
    /// again with `!` is not reckoned.
    #[schemars(length(min = 1, max = 128))]
    user: Option<String>,
    /// Rules to pass over, for going on where the last answer ended.
    offset: usize,
    /// Most rules to list.
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { user: None, offset: 0, limit: USUAL }
    }
}

/// Who may do what as whom.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The files that were read, in their order.
    files: Vec<String>,
    /// Files and folders that are there and could not be read: what they say is missing here.
    unreadable: Vec<String>,
    /// What opens them, where they lie outside of what the sandbox of the daemon leaves open.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// Whether not all was read: too many files or rules, or files that include one another too deep.
    truncated: bool,
    /// Settings.
    defaults: Vec<Defaults>,
    /// Names that stand for lists.
    aliases: Vec<Alias>,
    /// How many of the rules are listed.
    #[serde(flatten)]
    extent: Extent,
    /// The rules in their order, one a command; of those that fit a command the last one counts.
    rules: Vec<Rule>,
    /// Lines that were not understood.
    not_understood: Vec<Place>,
}

/// Settings of one line.
#[derive(Serialize, JsonSchema)]
struct Defaults {
    /// For whom they hold, with the sign before it: `@` a host, `:` a user, `!` a command, `>` as whom. Absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// The settings as they are written.
    settings: Vec<String>,
    /// Where it says so.
    place: Place,
}

/// A name that stands for a list.
#[derive(Serialize, JsonSchema)]
struct Alias {
    /// What it stands for.
    kind: AliasKind,
    /// The name.
    name: String,
    /// What it stands for, one by one; `!` takes away.
    members: Vec<String>,
    /// Where it says so.
    place: Place,
}

/// What one command of one line says.
#[derive(Serialize, JsonSchema)]
struct Rule {
    /// Who: accounts, `%` groups, `#` numbers, aliases; `!` takes away.
    users: Vec<String>,
    /// On which hosts.
    hosts: Vec<String>,
    /// As which users; absent for root. Empty for the caller himself.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_users: Option<Vec<String>>,
    /// With which groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_groups: Option<Vec<String>>,
    /// What, with its arguments; ALL is everything.
    command: String,
    /// Whether it is forbidden rather than allowed.
    denied: bool,
    /// Whether no password is asked for.
    no_password: bool,
    /// All tags, such as NOPASSWD and SETENV.
    tags: Vec<String>,
    /// Options, such as CWD=/tmp.
    options: Vec<String>,
    /// Where it says so.
    place: Place,
}

/// A line of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Place {
    /// The file, by its number in `files`, from 0.
    file: usize,
    /// The line, from 1.
    line: usize,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_sudo_config",
            "Sudo configuration",
            "Rules, aliases and settings of sudo, from /etc/sudoers and all that it includes: who may run which command as whom, \
             with or without a password.",
            Impact::Low,
        );
        ToolSpec { sensitive: true, ..spec }.better_with("CAP_DAC_READ_SEARCH").reading(USUAL_PLACES).reading([
            "/etc/group",
            "/etc/hostname",
            "/etc/passwd",
        ])
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        listing::bound(spec, limits, Some(USUAL));
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut reading = Reading { ask, open: HashSet::new(), answer: Answer::default() };
        reading.file(MAIN, DEPTH)?;
        let mut answer = reading.answer;
        if answer.files.is_empty() {
            let text = if answer.unreadable.is_empty() {
                "this host has no /etc/sudoers"
            } else {
                "the daemon may not read /etc/sudoers"
            };
            return Err(Failure::new(Code::ToolFailed, text));
        }
        answer.remedy = remedy(&answer.unreadable);
        let total = answer.rules.len();
        if let Some(user) = &args.user {
            let names = names(ask, user, &answer.aliases);
            answer.rules.retain(|rule| rule.users.iter().any(|user| names.contains(user)));
            let (users, _) = accounts::accounts(&ask.host.find("etc/passwd").unwrap_or_default());
            // One of a directory service is in no file here; a rule for it may be.
            if answer.rules.is_empty() && users.iter().all(|account| account.name != *user) {
                return Err(unknown("rule for, and no account", user, users.iter().map(|account| &account.name)));
            }
        }
        let page = (args.offset, args.limit);
        let (rules, extent) = listing::part(std::mem::take(&mut answer.rules), total, page, ask.limits);
        answer.extent = extent.narrow("go on with offset, raise limit, or name a user");
        answer.rules = rules;
        Ok(answer)
    }
}

struct Reading<'a> {
    ask: &'a Ask<'a>,
    /// The files that are being read, so that none includes itself.
    open: HashSet<String>,
    answer: Answer,
}

impl Reading<'_> {
    fn file(&mut self, path: &str, depth: usize) -> Result<(), Failure> {
        self.ask.go_on()?;
        let most = self.answer.files.len().saturating_add(self.answer.unreadable.len());
        if depth == 0 || most >= FILES || !self.open.insert(path.to_owned()) {
            self.answer.truncated = true;
            return Ok(());
        }
        match self.ask.host.text(below(path), FILE_BYTES) {
            Ok((text, more)) => {
                self.answer.truncated |= more;
                self.answer.files.push(path.to_owned());
                self.lines(path, &text, depth)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => self.answer.unreadable.push(path.to_owned()),
        }
        self.open.remove(path);
        Ok(())
    }

    fn lines(&mut self, path: &str, text: &str, depth: usize) -> Result<(), Failure> {
        let file = self.answer.files.len().saturating_sub(1);
        for (line, text) in sudoers::logical_lines(text) {
            let place = Place { file, line };
            match sudoers::parse(&text) {
                Ok(None) => {}
                Ok(Some(Line::Include { path: wanted, folder })) => {
                    let wanted = self.placed(path, &wanted);
                    if folder { self.folder(&wanted, depth)? } else { self.file(&wanted, depth.saturating_sub(1))? }
                }
                Ok(Some(Line::Defaults { scope, settings })) => {
                    self.answer.defaults.push(Defaults { scope, settings, place });
                }
                Ok(Some(Line::Aliases { kind, aliases })) => {
                    let aliases = aliases.into_iter().map(|(name, members)| Alias { kind, name, members, place });
                    self.answer.aliases.extend(aliases);
                }
                Ok(Some(Line::Rules(rules))) if self.answer.rules.len() < RULES => {
                    self.answer.rules.extend(rules.into_iter().map(|rule| Rule::of(rule, place)));
                }
                Ok(Some(Line::Rules(_))) => self.answer.truncated = true,
                Err(()) => self.answer.not_understood.push(place),
            }
        }
        Ok(())
    }

    /// In the order of names; those with a dot in them and the copies of editors are passed over, as sudo does.
    fn folder(&mut self, folder: &str, depth: usize) -> Result<(), Failure> {
        let names = match self.ask.host.names(below(folder)) {
            Ok(names) => names,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.answer.unreadable.push(folder.to_owned());
                }
                return Ok(());
            }
        };
        for name in names {
            if !name.contains('.') && !name.ends_with('~') {
                self.file(&format!("{}/{name}", folder.trim_end_matches('/')), depth.saturating_sub(1))?;
            }
        }
        Ok(())
    }

    /// A path without a folder lies beside the including file; `%h` is the short name of the host.
    fn placed(&self, including: &str, wanted: &str) -> String {
        let own = || self.ask.host.line("proc/sys/kernel/hostname").or_else(|| self.ask.host.line("etc/hostname"));
        let wanted = match wanted.contains("%h").then(own).flatten() {
            Some(host) => wanted.replace("%h", host.split('.').next().unwrap_or_default()),
            None => wanted.to_owned(),
        };
        match including.rsplit_once('/') {
            Some((folder, _)) if !wanted.starts_with('/') => format!("{folder}/{wanted}"),
            _ => wanted,
        }
    }
}

/// The key of the configuration that opens what lies elsewhere.
fn remedy(unreadable: &[String]) -> Option<String> {
    let usual = |path: &&String| USUAL_PLACES.iter().any(|usual| Path::new(path.as_str()).starts_with(usual));
    let others: Vec<&str> = unreadable.iter().filter(|path| !usual(path)).map(String::as_str).collect();
    (!others.is_empty()).then(|| format!("name in sandbox.read what is included from elsewhere: {}", others.join(", ")))
}

impl Rule {
    fn of(rule: sudoers::Rule, place: Place) -> Self {
        Self {
            users: rule.users,
            hosts: rule.hosts,
            run_as_users: rule.run_as_users,
            run_as_groups: rule.run_as_groups,
            command: rule.command,
            denied: rule.denied,
            no_password: rule.tags.iter().any(|tag| tag == "NOPASSWD"),
            tags: rule.tags,
            options: rule.options,
            place,
        }
    }
}

/// How rules can name an account: itself, its groups, its number, everybody, and aliases of these.
fn names(ask: &Ask<'_>, user: &str, aliases: &[Alias]) -> HashSet<String> {
    let mut names = HashSet::from([user.to_owned(), "ALL".to_owned()]);
    let (groups, _) = accounts::groups(&ask.host.find("etc/group").unwrap_or_default());
    let (users, _) = accounts::accounts(&ask.host.find("etc/passwd").unwrap_or_default());
    let own = users.iter().find(|account| account.name == user);
    names.extend(own.map(|account| format!("#{}", account.uid)));
    for group in groups {
        if own.is_some_and(|account| account.gid == group.gid) || group.members.iter().any(|member| member == user) {
            names.extend([format!("%{}", group.name), format!("%#{}", group.gid)]);
        }
    }
    // An alias may name others; each round finds those of one more step.
    for _ in 0..8 {
        let users = aliases.iter().filter(|alias| alias.kind == AliasKind::User);
        let more: Vec<String> = users
            .filter(|alias| alias.members.iter().any(|member| names.contains(member)))
            .map(|alias| alias.name.clone())
            .collect();
        names.extend(more);
    }
    names
}

#[cfg(test)]
mod tests;
