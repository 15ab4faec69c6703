//! `get_env_vars`: the environment of a process, or what the host gives every login. Sensitive: the names are always told,
//! but no value whose name says that it is a secret, whatever redaction is configured; the others pass redaction as all
//! output does.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listing;
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::sandbox::lookout;

/// The largest environment that is read; the kernel's own bound for arguments and environment together is larger than any
/// that is in use.
const ENVIRONMENT_BYTES: usize = 1 << 20;
/// The longest value that is shown, in bytes.
const VALUE_BYTES: usize = 4096;
/// Files of /etc/profile.d that are read.
const FILES: usize = 200;

pub(super) struct Query;

/// Whose environment.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Where to look.
    source: Source,
    /// The process, with `source: process`; 1 is the first of the host.
    #[schemars(range(min = 1))]
    pid: u32,
    /// Only variables with this in their name, in capitals or not.
    #[schemars(length(min = 1, max = 128))]
    name: Option<String>,
}

impl Default for Args {
    fn default() -> Self {
        Self { source: Source::Process, pid: 1, name: None }
    }
}

/// Where to look.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    /// What the process was started with; later changes are not seen.
    Process,
    /// What /etc/environment, /etc/profile and /etc/profile.d assign, unexpanded.
    Files,
}

/// An environment.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// What was read.
    read: Vec<String>,
    /// What is there and could not be read.
    unreadable: Vec<String>,
    /// Number of variables, without any filter.
    total: usize,
    /// Whether the environment is longer than what was read.
    truncated: bool,
    /// Values by name. Of files that assign the same name the last one counts.
    env: BTreeMap<String, String>,
    /// Names of variables whose value is not shown, because the name says that it is a secret.
    withheld: Vec<String>,
    /// Names of variables whose value is too long to be shown whole.
    cut: Vec<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        let spec = ToolSpec::query::<Args, Answer>(
            "get_env_vars",
            "Environment variables",
            "Environment variables of a process, or those that the host gives every login. Values of secrets are never shown, \
             their names are.",
            Impact::Low,
        );
        ToolSpec { sensitive: true, ..spec }.reading_environments().reading([
            "/etc/environment",
            "/etc/profile",
            "/etc/profile.d",
        ])
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut found = match args.source {
            Source::Process => of_process(ask, args.pid)?,
            Source::Files => of_files(ask)?,
        };
        let total = found.variables.len();
        let name = args.name.map(|name| name.to_lowercase());
        found.variables.retain(|own, _| listing::holds(own, name.as_deref()));
        let mut answer = Answer {
            read: found.read,
            unreadable: found.unreadable,
            total,
            truncated: found.truncated,
            env: BTreeMap::new(),
            withheld: Vec::new(),
            cut: Vec::new(),
        };
        for (name, mut value) in found.variables {
            if names_secret(&name) {
                answer.withheld.push(name);
                continue;
            }
            if value.len() > VALUE_BYTES {
                // Half a secret has no form any more.
                value = ask.redactor("env")?.clean(&value).into_owned();
                let end = value.floor_char_boundary(VALUE_BYTES);
                if end < value.len() {
                    value.truncate(end);
                    answer.cut.push(name.clone());
                }
            }
            answer.env.insert(name, value);
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct Found {
    read: Vec<String>,
    unreadable: Vec<String>,
    variables: BTreeMap<String, String>,
    truncated: bool,
}

fn of_process(ask: &Ask<'_>, pid: u32) -> Result<Found, Failure> {
    let path = format!("proc/{pid}/environ");
    let (text, truncated) = ask.host.text(&path, ENVIRONMENT_BYTES).map_err(|error| {
        let text = match error.kind() {
            _ if lookout::is_gone(&error) => lookout::GONE,
            std::io::ErrorKind::TimedOut => "it takes too long to look into it; try again",
            std::io::ErrorKind::PermissionDenied => "the daemon may not see the environment of this process",
            _ => "there is no such process, or it has gone; get_processes lists those there are",
        };
        Failure::new(Code::ToolFailed, format!("process {pid}: {text}")).because(error)
    })?;
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('=')).filter(|(name, _)| !name.is_empty());
    // Of two of one name programs see the first.
    let mut variables = BTreeMap::new();
    for (name, value) in pairs {
        variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    Ok(Found { read: vec![format!("/{path}")], unreadable: Vec::new(), variables, truncated })
}

fn of_files(ask: &Ask<'_>) -> Result<Found, Failure> {
    let mut paths = vec!["etc/environment".to_owned(), "etc/profile".to_owned()];
    let scripts = ask.host.list("etc/profile.d").into_iter().filter(|name| name.ends_with(".sh"));
    paths.extend(scripts.take(FILES).map(|name| format!("etc/profile.d/{name}")));
    let mut found = Found::default();
    for path in paths {
        ask.go_on()?;
        match ask.host.text(&path, ENVIRONMENT_BYTES) {
            Ok((text, truncated)) => {
                found.variables.extend(text.lines().filter_map(assignment));
                found.truncated |= truncated;
                found.read.push(format!("/{path}"));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(_) => found.unreadable.push(format!("/{path}")),
        }
    }
    if found.read.is_empty() {
        return Err(Failure::new(
            Code::ToolFailed,
            "this host shows none of /etc/environment, /etc/profile, /etc/profile.d",
        ));
    }
    Ok(found)
}

/// `NAME=value`, with or without export, quotes and indentation.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).trim_start().split_once('=')?;
    let plain =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    let value = value.trim();
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
    (plain && !name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// Words in names of secrets.
const SECRET: [&str; 24] = [
    "PASS",
    "PASSWD",
    "PASSWORD",
    "PASSPHRASE",
    "PASSCODE",
    "PWD",
    "PW",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
    "KEY",
    "KEYS",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DSN",
    "COOKIE",
    "PRIVATE",
    "AUTH",
    "SALT",
    "PIN",
    "SIGNATURE",
];
/// Last words of names that hold where something is, or what kind it is, and not the thing itself.
const WHERE: [&str; 9] = ["FILE", "PATH", "DIR", "SOCK", "HOME", "TYPE", "ID", "NAME", "METHOD"];

/// Whether a name such as `DB_PASSWORD`, `apiKey` or `AWS_SECRET_ACCESS_KEY` is one of a secret; `PWD` alone is the working
/// directory.
fn names_secret(name: &str) -> bool {
    if matches!(name, "PWD" | "OLDPWD") {
        return false;
    }
    let words = words(name);
    let holds = |word: &String| {
        SECRET.contains(&word.as_str())
            || ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "APIKEY"].iter().any(|end| word.ends_with(end))
    };
    let place = words.last().is_some_and(|last| WHERE.contains(&last.as_str()));
    // An access key id is half of a credential, and a cloud calls it a key.
    let id = words.last().is_some_and(|last| last == "ID") && words.iter().any(|word| word == "KEY");
    words.iter().any(holds) && (!place || id)
}

/// The words of a name, in capitals: parted by what is no letter and no digit, and where capitals begin.
fn words(name: &str) -> Vec<String> {
    let (mut words, mut word, mut small) = (Vec::new(), String::new(), false);
    for c in name.chars() {
        if !c.is_alphanumeric() || (small && c.is_uppercase()) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_uppercase());
        }
        small = c.is_lowercase();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests;
