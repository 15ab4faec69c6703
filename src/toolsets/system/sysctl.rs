//! `get_sysctl`: settings of the running kernel under `/proc/sys`, those that are asked for by name. What is a secret there
//! is not read at all.

use std::io::ErrorKind;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extent::{self, Extent};
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

const ROOT: &str = "proc/sys";

/// No value is read further.
const VALUE_BYTES: usize = 4096;

/// Folders below folders: the deepest name of a kernel has eight parts.
const DEPTH: usize = 10;

/// Names that are looked at in one answer.
const NAMES: usize = 100_000;

/// Reading it writes the counters of all processors back, and only root may.
const ACTS: [&str; 1] = ["vm.stat_refresh"];

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {
    /// A name with dots, and all below it: net.ipv4.tcp_syncookies, net.ipv4.conf, net.ipv4.tcp_*. A * stands for any
    /// signs within one part. A dot that belongs to a part, as in the name of a VLAN, is written as a slash.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[a-z][a-zA-Z0-9_.*/:@-]*$"))]
    name: String,
    /// Most settings to list.
    #[serde(default = "usual")]
    #[schemars(range(min = 1))]
    limit: usize,
}

fn usual() -> usize {
    extent::USUAL
}

/// Settings of the running kernel.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed; the total is of those that were looked at.
    #[serde(flatten)]
    extent: Extent,
    /// The settings, by name; of network settings those of the daemon's network namespace.
    settings: Vec<Setting>,
}

/// One setting.
#[derive(Serialize, JsonSchema)]
struct Setting {
    /// Its name with dots.
    name: String,
    /// Its value, as the kernel writes it: parts of a line by tabs or blanks, lines by line feeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_value: Option<NoValue>,
}

/// Why a setting has no value here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum NoValue {
    /// It is a secret, and never shown.
    Secret,
    /// The daemon may not read it.
    NotPermitted,
    /// It can only be written, or reading it would do something.
    NotReadable,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_sysctl",
            "Kernel settings",
            "Settings of the running kernel (sysctl) by name or prefix, such as vm.swappiness, net.ipv4.conf.all or \
             kernel.*_max. Secrets among them are named and not shown.",
            Impact::Medium,
        )
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        if ask.host.names(ROOT).is_err() {
            return Err(Failure::new(Code::ToolFailed, "this host does not show /proc/sys"));
        }
        let pattern = pattern(&args.name);
        let mut walk = Walk { ask, pattern: &pattern, looked: 0, found: Vec::new() };
        walk.descend(&mut Vec::new())?;
        let (looked, mut names) = (walk.looked, walk.found);
        if names.is_empty() {
            return Err(unknown("kernel setting", &args.name, beside(ask, &pattern)));
        }
        let extent = Extent::cut(&mut names, looked, args.limit.min(ask.limits.max_array_items))
            .narrow("raise limit, or give more of the name");
        let mut settings = Vec::with_capacity(names.len());
        for parts in names {
            ask.go_on()?;
            settings.push(read(ask, &parts));
        }
        Ok(Answer { extent, settings })
    }
}

/// The parts of a pattern; a dot parts them, and a slash stands for a dot within one, as sysctl(8) reads names.
fn pattern(name: &str) -> Vec<String> {
    name.split('.').filter(|part| !part.is_empty()).map(|part| part.replace('/', ".")).collect()
}

/// The names in the last folder that a pattern leads to.
fn beside(ask: &Ask<'_>, pattern: &[String]) -> Vec<String> {
    let mut above: Vec<String> = Vec::new();
    for part in pattern {
        let names = ask.host.list(&path(&above));
        if !names.contains(part) {
            break;
        }
        above.push(part.clone());
    }
    let names = ask.host.list(&path(&above));
    names.into_iter().map(|name| dotted(&[above.as_slice(), &[name]].concat())).collect()
}

/// As sysctl(8) writes a name.
fn dotted(parts: &[String]) -> String {
    parts.iter().map(|part| part.replace('.', "/")).collect::<Vec<_>>().join(".")
}

struct Walk<'a> {
    ask: &'a Ask<'a>,
    pattern: &'a [String],
    looked: usize,
    found: Vec<Vec<String>>,
}

impl Walk<'_> {
    /// Goes into a folder, as far as the pattern leads; below its last part everything fits.
    fn descend(&mut self, above: &mut Vec<String>) -> Result<(), Failure> {
        if above.len() >= DEPTH || self.looked >= NAMES {
            return Ok(());
        }
        for name in self.ask.host.list(&path(above)) {
            self.ask.go_on()?;
            // What is mounted there is no setting, and looking would mount it.
            let foreign = name == "binfmt_misc";
            if foreign || self.pattern.get(above.len()).is_some_and(|part| !fits(part.as_bytes(), name.as_bytes())) {
                continue;
            }
            let whole = above.len().saturating_add(1) >= self.pattern.len();
            above.push(name);
            // A folder that may not be read has no names; it is shown as a setting that is not permitted.
            match self.ask.host.names(&path(above)) {
                Ok(_) => self.descend(above)?,
                Err(_) if whole && self.looked < NAMES => {
                    self.looked = self.looked.saturating_add(1);
                    self.found.push(above.clone());
                }
                Err(_) => {}
            }
            above.pop();
        }
        Ok(())
    }
}

fn path(parts: &[String]) -> String {
    [&[ROOT.to_owned()], parts].concat().join("/")
}

fn read(ask: &Ask<'_>, parts: &[String]) -> Setting {
    let name = dotted(parts);
    let value = if is_secret(parts) {
        Err(NoValue::Secret)
    } else if ACTS.contains(&name.as_str()) {
        Err(NoValue::NotReadable)
    } else {
        ask.host.start(&path(parts), VALUE_BYTES).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => NoValue::NotPermitted,
            _ => NoValue::NotReadable,
        })
    };
    Setting {
        name,
        no_value: value.as_ref().err().copied(),
        value: value.ok().map(|(bytes, _)| String::from_utf8_lossy(&bytes).trim_end().to_owned()),
    }
}

/// The keys of IPv6 addresses and of TCP Fast Open, and whatever else is named like a secret.
fn is_secret(parts: &[String]) -> bool {
    parts.last().is_some_and(|name| name.contains("secret") || name.ends_with("_key") || name.contains("password"))
}

/// Whether `text` is what `pattern` says, a `*` in which stands for anything.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut next) = (0_usize, 0_usize);
    // Where the last star stood, and how far the text had been read then.
    let mut star: Option<(usize, usize)> = None;
    while let Some(sign) = text.get(next) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, next));
                at = at.saturating_add(1);
            }
            Some(wanted) if wanted == sign => {
                at = at.saturating_add(1);
                next = next.saturating_add(1);
            }
            _ => {
                let Some((place, read)) = star else { return false };
                next = read.saturating_add(1);
                star = Some((place, next));
                at = place.saturating_add(1);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|sign| *sign == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::Host;
    use super::super::query::ask;
    use super::*;

    fn settings(host: &str, name: &str) -> Value {
        ask::<Query>(&Host::fixture(host), json!({"name": name})).unwrap()["settings"].take()
    }

    #[test]
    fn a_virtual_machine_shows_what_is_asked_for_and_no_secret() {
        assert_eq!(settings("debian-vm", "vm.swappiness"), json!([{"name": "vm.swappiness", "value": "60"}]));
        assert_eq!(
            settings("debian-vm", "net.ipv4"),
            json!([
                {"name": "net.ipv4.conf.eth0/100.forwarding", "value": "1"},
                {"name": "net.ipv4.ip_forward", "value": "0"},
                {"name": "net.ipv4.ip_local_port_range", "value": "32768\t60999"},
                {"name": "net.ipv4.tcp_fastopen_key", "no_value": "secret"},
                {"name": "net.ipv4.tcp_syncookies", "value": "1"},
            ])
        );
        assert_eq!(
            settings("debian-vm", "net.ipv4.conf.eth0/100"),
            json!([
                {"name": "net.ipv4.conf.eth0/100.forwarding", "value": "1"},
            ])
        );
        assert_eq!(settings("debian-vm", "net.*.tcp_*").as_array().unwrap().len(), 2);
        assert_eq!(
            settings("debian-vm", "net.ipv6.conf.*.stable_secret"),
            json!([
                {"name": "net.ipv6.conf.eth0.stable_secret", "no_value": "secret"},
            ])
        );
        let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"name": "no.such"})).unwrap_err();
        assert_eq!(failure.public(), "there is no kernel setting no.such; there are kernel, net, vm");
    }

    #[test]
    fn a_board_shows_its_kernel() {
        assert_eq!(settings("rpi-arm", "kernel.ostype"), json!([{"name": "kernel.ostype", "value": "Linux"}]));
    }

    #[test]
    fn nothing_leads_out_and_everything_at_once_cannot_be_asked_for() {
        for name in ["*", "", "/etc", ".", "a b"] {
            let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"name": name})).unwrap_err();
            assert_eq!(failure.code(), Code::ArgumentsInvalid, "{name}");
        }
        for name in ["a/../..", "net./.", "vm..swappiness/..", "net.//"] {
            let failure = ask::<Query>(&Host::fixture("debian-vm"), json!({"name": name})).unwrap_err();
            assert!(failure.public().starts_with("there is no kernel setting"), "{name}: {failure}");
        }
    }

    #[test]
    fn the_real_kernel_says_what_it_is() {
        let answer = ask::<Query>(&Host::this(), json!({"name": "kernel.osrelease"})).unwrap();
        assert!(!answer["settings"][0]["value"].as_str().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn a_pattern_agrees_with_the_same_regular_expression(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            let expression = format!("^{}$", pattern.replace('*', ".*"));
            let wanted = regex::Regex::new(&expression).unwrap().is_match(&text);
            prop_assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), wanted);
        }
    }
}
