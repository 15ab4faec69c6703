//! `get_dns_config`: how this host finds addresses for names: what the C library reads, and systemd-resolved's own files.

use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::extent::{self, Extent};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;
use crate::guard::LimitsSection;

const RESOLV: &str = "etc/resolv.conf";

/// systemd-resolved writes the servers of the links here, whatever `/etc/resolv.conf` is.
const UPSTREAM: &str = "run/systemd/resolve/resolv.conf";

/// resolved.conf(5): where settings come from, the later ones before the earlier.
const RESOLVED: [&str; 3] = ["usr/lib/systemd", "run/systemd", "etc/systemd"];

/// Entries of the hosts file that are kept at most before they are cut to the limit asked for.
const ENTRIES: usize = 100_000;

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Of the hosts file, only entries with this in a name or as the address.
    #[schemars(length(min = 1, max = 253))]
    host: Option<String>,
    /// Most entries of the hosts file to list.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { host: None, limit: extent::USUAL }
    }
}

/// How names become addresses.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// What programs of this host ask: /etc/resolv.conf.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolver: Option<Resolver>,
    /// Where /etc/resolv.conf leads when it is a link, which says who writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolver_link: Option<String>,
    /// What systemd-resolved asks, where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<Resolver>,
    /// The settings of systemd-resolved that are written down; of one given twice the last holds, or they add up.
    resolved_settings: Vec<Setting>,
    /// The sources for host names in order, as in nsswitch.conf: files, dns and so on.
    host_sources: Vec<String>,
    /// The entries of /etc/hosts.
    hosts: Hosts,
}

/// One resolv.conf.
#[derive(PartialEq, Eq, Default, Debug, Serialize, JsonSchema)]
struct Resolver {
    /// The servers, in the order in which they are asked; the C library asks three at most.
    nameservers: Vec<String>,
    /// The domains that are tried behind a name.
    search: Vec<String>,
    /// Options such as ndots:2 or edns0.
    options: Vec<String>,
}

/// A setting of systemd-resolved.
#[derive(Serialize, JsonSchema)]
struct Setting {
    /// The file it stands in.
    file: String,
    /// Its name, such as DNS or DNSSEC.
    name: String,
    /// Its value.
    value: String,
}

/// Entries of /etc/hosts.
#[derive(Serialize, JsonSchema)]
struct Hosts {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The entries, in the order of the file.
    entries: Vec<Entry>,
}

/// One line of /etc/hosts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Entry {
    /// The address.
    address: String,
    /// The names for it, the first of which is the canonical one.
    names: Vec<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_dns_config",
            "Name resolution",
            "Name servers, search domains and options of the host, where names are looked up and in which order, the \
             settings of systemd-resolved, and the entries of the hosts file.",
            Impact::Low,
        )
        .reading(["/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf", "/run/systemd/resolve"])
        .reading(RESOLVED.map(|folder| format!("/{folder}/resolved.conf")))
        .reading(RESOLVED.map(|folder| format!("/{folder}/resolved.conf.d")))
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let resolver = |path| ask.host.find(path).map(|text| Resolver::parse(&text));
        let nsswitch = ask.host.find("etc/nsswitch.conf").unwrap_or_default();
        let hosts = hosts(ask, &args)?;
        Ok(Answer {
            resolver: resolver(RESOLV),
            resolver_link: ask.host.link(RESOLV),
            upstream: resolver(UPSTREAM),
            resolved_settings: settings(ask.host),
            host_sources: host_sources(&nsswitch),
            hosts,
        })
    }
}

impl Resolver {
    /// resolv.conf(5): of several search lists the last counts; options add up.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(key) = words.next() else { continue };
            match key {
                "nameserver" => found.nameservers.extend(words.next().map(str::to_owned)),
                "search" | "domain" => found.search = words.map(str::to_owned).collect(),
                "options" => found.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        found
    }
}

/// The words behind `hosts:`, conditions such as `[NOTFOUND=return]` among them.
fn host_sources(nsswitch: &str) -> Vec<String> {
    let line = nsswitch.lines().find_map(|line| line.trim_start().strip_prefix("hosts:"));
    let line = line.unwrap_or_default().split('#').next().unwrap_or_default();
    line.split_whitespace().map(str::to_owned).collect()
}

fn settings(host: &Host) -> Vec<Setting> {
    let mut files = Vec::new();
    for folder in RESOLVED {
        files.push(format!("{folder}/resolved.conf"));
        let parts = host.list(&format!("{folder}/resolved.conf.d"));
        let parts = parts.iter().filter(|name| name.ends_with(".conf"));
        files.extend(parts.map(|name| format!("{folder}/resolved.conf.d/{name}")));
    }
    let mut found = Vec::new();
    for file in files {
        for line in host.find(&file).unwrap_or_default().lines() {
            let line = line.trim();
            let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';'])) else { continue };
            found.push(Setting {
                file: format!("/{file}"),
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        }
    }
    found
}

fn hosts(ask: &Ask<'_>, args: &Args) -> Result<Hosts, Failure> {
    let wanted = args.host.as_ref().map(|part| part.to_lowercase());
    let (mut total, mut entries) = (0_usize, Vec::new());
    let mut stopped = Ok(());
    let whole = ask.host.each_line("etc/hosts", |line| {
        stopped = ask.go_on();
        if stopped.is_err() {
            return ControlFlow::Break(());
        }
        if let Some(entry) = Entry::parse(line) {
            total = total.saturating_add(1);
            if wanted.as_ref().is_none_or(|part| entry.has(part)) && entries.len() < ENTRIES {
                entries.push(entry);
            }
        }
        ControlFlow::Continue(())
    });
    stopped?;
    let extent = Extent::cut(&mut entries, total, args.limit.min(ask.limits.max_array_items))
        .narrow("raise limit, or narrow with host");
    // A host without the file has no entries.
    let extent = extent.of_whole(whole.unwrap_or(true));
    Ok(Hosts { extent, entries })
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split('#').next()?.split_whitespace().map(str::to_owned);
        let entry = Self { address: words.next()?, names: words.collect() };
        Some(entry).filter(|entry| !entry.names.is_empty())
    }

    /// Whether a name has `part` in it, in small letters, or the address is it.
    fn has(&self, part: &str) -> bool {
        self.address.to_lowercase() == part || self.names.iter().any(|name| name.to_lowercase().contains(part))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_asks_its_own_resolver() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap(),
            json!({
                "resolver": {"nameservers": ["127.0.0.53"], "search": ["example.org"], "options": ["edns0", "trust-ad"]},
                "resolver_link": "../run/systemd/resolve/stub-resolv.conf",
                "upstream": {"nameservers": ["10.0.2.3", "2001:db8::53"], "search": ["example.org"], "options": []},
                "resolved_settings": [
                    {"file": "/etc/systemd/resolved.conf", "name": "DNSSEC", "value": "allow-downgrade"},
                    {"file": "/etc/systemd/resolved.conf.d/servers.conf", "name": "DNS", "value": "10.0.2.3"},
                ],
                "host_sources": ["files", "resolve", "[!UNAVAIL=return]", "dns"],
                "hosts": {
                    "total": 3, "matching": 3, "returned": 3, "left_out": 0,
                    "entries": [
                        {"address": "127.0.0.1", "names": ["localhost"]},
                        {"address": "127.0.1.1", "names": ["vm.example.org", "vm"]},
                        {"address": "::1", "names": ["localhost", "ip6-localhost"]},
                    ],
                },
            })
        );
    }

    #[test]
    fn a_board_asks_its_router_and_the_hosts_file_is_searched() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({"host": "PRINTER"})).unwrap();
        assert_eq!(answer["resolver"]["nameservers"], json!(["192.168.178.1"]));
        assert_eq!((answer.get("resolver_link"), answer.get("upstream")), (None, None));
        assert_eq!(answer["host_sources"], json!(["files", "mdns4_minimal", "[NOTFOUND=return]", "dns"]));
        assert_eq!((&answer["hosts"]["total"], &answer["hosts"]["matching"]), (&json!(3), &json!(1)));
        assert_eq!(answer["hosts"]["entries"][0]["address"], "192.168.178.9");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|((nameserver|search|options|hosts:|#|;)? ?[a-z0-9.:#\\[\\]=!]{0,12}\n){0,5}") {
            let _ = (Resolver::parse(&text), host_sources(&text), Entry::parse(&text));
        }
    }
}
