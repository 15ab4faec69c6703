//! `get_network_config`: interfaces, routes, rules and neighbours. The kernel tells them whole to ip(8), which is asked
//! where the host has it; its files have a part of the routes and of the neighbours of IPv4, and what they lack is said.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Host;
use super::command::Silent;
use super::extent::{self, Extent};
use super::link::Link;
use super::query::{Ask, HostQuery};
use super::routes::{self, Neighbour, Route};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// Routes and neighbours that are kept at most before they are cut to the limit asked for.
const KEPT: usize = 65_536;

/// How to see what is left out.
const NARROW: &str = "raise limit, or narrow with interface";

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only what concerns the interface of this name.
    #[schemars(length(min = 1, max = 64))]
    interface: Option<String>,
    /// Most routes, and most neighbours, to list.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { interface: None, limit: extent::USUAL }
    }
}

/// How the network is set up.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The interfaces in the daemon's network namespace; get_network_info has their addresses and counters.
    interfaces: Vec<Link>,
    /// Whether the host passes on packets of IPv4 that are for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwards_ipv4: Option<bool>,
    /// Whether the host passes on packets of IPv6 that are for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwards_ipv6: Option<bool>,
    /// The routes of all tables, without the kernel's own for the addresses of this host.
    routes: Routes,
    /// The tables of IPv4 that hold routes: numbers besides main and local need rules to come to bear.
    ipv4_tables: Vec<String>,
    /// The rules that choose a table, in the order in which they are tried; absent where ip(8) could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<Rule>>,
    /// The hosts on the links.
    neighbours: Neighbours,
    /// What could not be read, and why.
    not_shown: Vec<String>,
}

/// Routes.
#[derive(Serialize, JsonSchema)]
struct Routes {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The routes, those of IPv4 first.
    list: Vec<Route>,
}

/// Hosts on the links.
#[derive(Serialize, JsonSchema)]
struct Neighbours {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The hosts.
    list: Vec<Neighbour>,
}

/// One rule that chooses a table.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Rule {
    /// Whether it is for IPv6 rather than IPv4.
    ipv6: bool,
    /// Its place: the lowest is tried first.
    priority: u32,
    /// What the packet must be from; all for any.
    from: String,
    /// What the packet must be for, where that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// The table that is looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    /// What else it demands or does, in the words of ip-rule(8).
    other: Vec<String>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_network_config",
            "Network configuration",
            "How the host's network is set up: kinds of interfaces and what they are stacked upon, routes of IPv4 and \
             IPv6, the rules that choose routing tables, and the neighbours on the links.",
            Impact::Medium,
        )
        .starting_programs()
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let names = ask.host.list("sys/class/net");
        if names.is_empty() && !ask.host.has("proc/net/route") {
            return Err(Failure::new(Code::ToolFailed, "this host does not show its network"));
        }
        if let Some(interface) = args.interface.as_ref().filter(|&interface| !names.contains(interface)) {
            return Err(unknown("interface", interface, &names));
        }
        let wanted = |name: &str| args.interface.as_ref().is_none_or(|interface| interface == name);
        let mut interfaces = Vec::new();
        for name in names.iter().filter(|name| wanted(name)) {
            ask.go_on()?;
            interfaces.extend(Link::read(ask.host, name));
        }
        let mut not_shown = Vec::new();
        let (mut routes, whole) = routes(ask, &mut not_shown)?;
        let rules = rules(ask.host, &mut not_shown);
        ask.go_on()?;
        let mut neighbours = all_neighbours(ask, &mut not_shown)?;
        let limit = args.limit.min(ask.limits.max_array_items);
        let forwards = |path: &str| ask.host.number(path).map(|on: u8| on != 0);
        let tables: BTreeSet<String> = each(ask, "proc/net/fib_trie", routes::table)?.into_iter().collect();
        let (routes_total, neighbours_total) = (routes.len(), neighbours.len());
        let leaves = |route: &Route| route.hops.iter().any(|hop| hop.interface.as_deref().is_some_and(wanted));
        routes.retain(|route| args.interface.is_none() || leaves(route));
        neighbours.retain(|neighbour| wanted(&neighbour.interface));
        Ok(Answer {
            interfaces,
            forwards_ipv4: forwards("proc/sys/net/ipv4/ip_forward"),
            forwards_ipv6: forwards("proc/sys/net/ipv6/conf/all/forwarding"),
            routes: Routes {
                extent: Extent::cut(&mut routes, routes_total, limit).of_whole(whole).narrow(NARROW),
                list: routes,
            },
            ipv4_tables: tables.into_iter().collect(),
            rules,
            neighbours: Neighbours {
                extent: Extent::cut(&mut neighbours, neighbours_total, limit).narrow(NARROW),
                list: neighbours,
            },
            not_shown,
        })
    }
}

/// What `parse` makes of the lines of a file; nothing where there is none.
fn each<T>(ask: &Ask<'_>, path: &str, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    let (mut found, mut stopped) = (Vec::new(), Ok(()));
    let _ = ask.host.each_line(path, |line| {
        stopped = ask.go_on();
        found.extend(parse(line));
        if stopped.is_err() || found.len() >= KEPT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    stopped?;
    Ok(found)
}

/// The routes, and whether they are all that was told.
fn routes(ask: &Ask<'_>, not_shown: &mut Vec<String>) -> Result<(Vec<Route>, bool), Failure> {
    const ALL: [&str; 4] = ["route", "show", "table", "all"];
    let mut found = Vec::new();
    let of_ip = |family: &str| asked(ask.host, &[&["-json", "-details", family], &ALL[..]].concat());
    match of_ip("-4") {
        Ok(list) => found.extend(list.iter().take(KEPT).filter_map(|one| routes::told(one, false))),
        Err(why) => {
            found.extend(each(ask, "proc/net/route", routes::ipv4)?);
            not_shown.push(format!(
                "routes of IPv4: {why}; here are those of the main table only, of several ways the first only, and none of \
                 the ways that share a next hop object or go through a router of IPv6 whole"
            ));
        }
    }
    ask.go_on()?;
    match of_ip("-6") {
        Ok(list) => found.extend(list.iter().take(KEPT).filter_map(|one| routes::told(one, true))),
        // A kernel without IPv6 has no routes for it.
        Err(_) if !ask.host.has("proc/net/ipv6_route") => {}
        Err(why) => {
            found.extend(each(ask, "proc/net/ipv6_route", routes::ipv6)?);
            not_shown.push(format!("routes of IPv6: {why}; which tables these are in, and weights, are not known"));
        }
    }
    let whole = found.len() < KEPT;
    found.truncate(KEPT);
    Ok((found, whole))
}

/// What ip(8) says, as a list.
fn asked(host: &Host, arguments: &[&str]) -> Result<Vec<Value>, String> {
    match host.command("ip", arguments) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| "ip(8) says something that is no list".to_owned()),
        Err(Silent::NotInstalled) => Err("the kernel tells it to ip(8) only, and the host does not have it".to_owned()),
        Err(Silent::Failed) => Err("ip(8) failed".to_owned()),
    }
}

fn rules(host: &Host, not_shown: &mut Vec<String>) -> Option<Vec<Rule>> {
    let mut rules = Vec::new();
    for (ipv6, family) in [(false, "-4"), (true, "-6")] {
        match asked(host, &["-json", family, "rule", "show"]) {
            Ok(list) => rules.extend(list.iter().take(KEPT).filter_map(|rule| Rule::parse(rule, ipv6))),
            // A kernel without IPv6 has no rules for it.
            Err(_) if ipv6 && !rules.is_empty() => {}
            Err(why) => {
                not_shown.push(format!("rules: {why}"));
                return None;
            }
        }
    }
    Some(rules)
}

impl Rule {
    fn parse(rule: &Value, ipv6: bool) -> Option<Self> {
        let rule = rule.as_object()?;
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let with_length = |name: &str, length: &str| {
            let address = plain(rule.get(name)?);
            Some(rule.get(length).map_or(address.clone(), |length| format!("{address}/{length}")))
        };
        const SAID: [&str; 7] = ["priority", "src", "srclen", "dst", "dstlen", "table", "protocol"];
        let others = rule.iter().filter(|(name, _)| !SAID.contains(&name.as_str()));
        Some(Self {
            ipv6,
            priority: u32::try_from(rule.get("priority")?.as_u64()?).ok()?,
            from: with_length("src", "srclen")?,
            to: with_length("dst", "dstlen"),
            table: rule.get("table").map(plain),
            other: others
                .map(|(name, value)| if value.is_null() { name.clone() } else { format!("{name} {}", plain(value)) })
                .collect(),
        })
    }
}

/// The neighbours of both families, and the proxies.
fn all_neighbours(ask: &Ask<'_>, not_shown: &mut Vec<String>) -> Result<Vec<Neighbour>, Failure> {
    let mut found = Vec::new();
    for (family, name) in [("-4", "IPv4"), ("-6", "IPv6")] {
        match neighbours(ask.host, family) {
            Ok(of_family) => found.extend(of_family),
            Err(why) if family == "-4" => {
                let what = "of neighbours of IPv4 only whether they have a hardware address";
                not_shown.push(format!("{what}, not whether they still answer: {why}"));
                // Proxies are among these.
                found.extend(each(ask, "proc/net/arp", routes::neighbour)?);
                continue;
            }
            Err(why) => {
                not_shown.push(format!("neighbours of {name}: {why}"));
                continue;
            }
        }
        match proxies(ask.host, family) {
            Ok(of_family) => found.extend(of_family),
            Err(why) => not_shown.push(format!("proxies for neighbours of {name}: {why}")),
        }
    }
    Ok(found)
}

/// The neighbours of one family in the words of ip-neighbour(8).
fn neighbours(host: &Host, family: &str) -> Result<Vec<Neighbour>, String> {
    let parse = |one: &Value| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        let states = one.get("state").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let state = states.collect::<Vec<_>>().join(" ").to_lowercase();
        Some(Neighbour { address: text("dst")?, mac_address: text("lladdr"), interface: text("dev")?, state })
    };
    Ok(asked(host, &["-json", family, "neigh", "show"])?.iter().take(KEPT).filter_map(parse).collect())
}

/// The addresses of one family that this host answers to for others, which are not among the neighbours.
fn proxies(host: &Host, family: &str) -> Result<Vec<Neighbour>, String> {
    let parse = |one: &Value| {
        let text = |name: &str| one.get(name).and_then(Value::as_str).map(str::to_owned);
        let state = "proxy".to_owned();
        Some(Neighbour { address: text("dst")?, mac_address: None, interface: text("dev")?, state })
    };
    Ok(asked(host, &["-json", family, "neigh", "show", "proxy"])?.iter().take(KEPT).filter_map(parse).collect())
}

#[cfg(test)]
mod tests;
