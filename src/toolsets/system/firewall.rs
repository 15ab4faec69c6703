//! `get_firewall_rules`: what the kernel filters, as nft(8) and iptables-save(8) tell it, and what files would set up. Who may
//! not ask the kernel is told so, and gets the files.

mod asked;
mod iptables;
mod nftables;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::extent::{self, Extent};
use super::query::{Ask, HostQuery};
use super::unknown::unknown;
use crate::call::{Impact, ToolSpec};
use crate::error::{Code, Failure};
use crate::guard::LimitsSection;

/// Bytes of a file that are shown.
const FILE_BYTES: usize = 64 << 10;

/// Files that tools load their rules from.
const FILES: [&str; 10] = [
    "etc/nftables.conf",
    "etc/sysconfig/nftables.conf",
    "etc/iptables/rules.v4",
    "etc/iptables/rules.v6",
    "etc/sysconfig/iptables",
    "etc/sysconfig/ip6tables",
    "etc/ufw/ufw.conf",
    "etc/ufw/user.rules",
    "etc/ufw/user6.rules",
    "etc/firewalld/firewalld.conf",
];

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Only the table of this name, such as filter.
    #[schemars(length(min = 1, max = 128))]
    table: Option<String>,
    /// Only the chain of this name, such as INPUT.
    #[schemars(length(min = 1, max = 128))]
    chain: Option<String>,
    /// Also what stands in the files that rules are loaded from.
    files: bool,
    /// Most rules to list, in all chains together.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { table: None, chain: None, files: false, limit: extent::USUAL }
    }
}

/// The firewall.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// The programs that told the rules; none when the kernel's rules are not known.
    told_by: Vec<String>,
    /// What of the kernel's rules is not known, and why: there may be such rules, and packets may meet them.
    not_shown: Vec<Missing>,
    /// How many rules are listed.
    #[serde(flatten)]
    extent: Extent,
    /// The tables with their chains and rules.
    tables: Vec<Table>,
    /// Whether ufw is switched on, where the host has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ufw_enabled: Option<bool>,
    /// The zones that firewalld was given, where the host has it.
    firewalld_zones: Vec<String>,
    /// The files that rules are loaded from; what stands in them may not be in force.
    files: Vec<RuleFile>,
}

/// A part of the kernel's rules that is not known.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Missing {
    /// The part.
    part: Part,
    /// Why.
    why: Why,
    /// The tables that the kernel has there, as far as it says.
    tables: Vec<String>,
}

/// Where rules are kept. Packets pass all three.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// The tables of nftables, among them those that the iptables of today makes.
    Nftables,
    /// The tables of the older iptables, for IPv4.
    IptablesLegacy,
    /// The same for IPv6.
    Ip6tablesLegacy,
}

/// Why rules are not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Why {
    /// The daemon lacks capabilities: CAP_NET_ADMIN; for the older iptables also CAP_NET_RAW and, unless it runs as root,
    /// CAP_DAC_READ_SEARCH. The section sandbox.capabilities keeps them.
    NotPermitted,
    /// The host does not have the program that tells them.
    NotInstalled,
    /// The program failed, or told something that makes no sense.
    Failed,
}

/// A table.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Table {
    /// What it is for: ip, ip6, inet (both), arp, bridge, netdev.
    family: String,
    /// Its name.
    name: String,
    /// The program that told it. One of the older iptables may stand beside one of the same name that nft told: packets pass
    /// both.
    told_by: &'static str,
    /// Its chains.
    chains: Vec<Chain>,
    /// Its sets and maps, without what is in them.
    sets: Vec<Set>,
}

/// A chain of rules.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Chain {
    /// Its name.
    name: String,
    /// What it does: filter, nat, route; absent of one that only others jump to.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Where in the packet's way it stands: input, forward, output and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    hook: Option<String>,
    /// Its place among the chains there.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i64>,
    /// What becomes of a packet that no rule decides on: accept or drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    /// Its rules, in the order in which they are tried.
    rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, JsonSchema)]
struct Rule {
    /// What it demands and does, in the words of the program that told it.
    text: String,
    /// What its maker noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// Number of packets it met, where it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<u64>,
    /// Bytes of these packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// A set or a map.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct Set {
    /// Its name.
    name: String,
    /// What it holds, such as ipv4_addr.
    kind: String,
    /// Number of its elements.
    elements: usize,
}

/// A file that rules are loaded from.
#[derive(PartialEq, Eq, Debug, Serialize, JsonSchema)]
struct RuleFile {
    /// Its path.
    path: String,
    /// What stands in it, if asked for; at most its first 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Whether more stands in it than is shown.
    truncated: bool,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_firewall_rules",
            "Firewall rules",
            "The packet filter of the host: tables, chains with their policy, and rules with counters, from nftables and \
             iptables where the daemon may ask the kernel; and the files that rules are loaded from.",
            Impact::Medium,
        )
        .reading(FILES.map(|file| format!("/{file}")))
        .reading(["/etc/firewalld/zones"])
        .starting_programs()
        .better_with("CAP_NET_ADMIN")
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn reach(spec: &mut ToolSpec, host: &Host) {
        if asked::has_legacy(host) {
            spec.needs.capabilities.extend(["CAP_NET_RAW", "CAP_DAC_READ_SEARCH"]);
        }
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        if ask.host.names("proc").is_err() {
            return Err(Failure::new(Code::ToolFailed, "this host does not show its files"));
        }
        let asked::Found { told_by, mut tables, not_shown } = asked::ruleset(ask)?;
        let total = count(&tables);
        // What is not shown may have it.
        if !told_by.is_empty() && not_shown.is_empty() {
            known(&args, &tables)?;
        }
        tables.retain(|table| args.table.as_ref().is_none_or(|name| *name == table.name));
        for table in &mut tables {
            table.chains.retain(|chain| args.chain.as_ref().is_none_or(|name| *name == chain.name));
        }
        let matching = count(&tables);
        let mut left = args.limit.min(ask.limits.max_array_items);
        for chain in tables.iter_mut().flat_map(|table| &mut table.chains) {
            chain.rules.truncate(left);
            left = left.saturating_sub(chain.rules.len());
        }
        Ok(Answer {
            told_by: told_by.into_iter().map(str::to_owned).collect(),
            not_shown,
            extent: Extent::new(total, matching, count(&tables))
                .scattered()
                .narrow("raise limit, or narrow with table or chain"),
            tables,
            ufw_enabled: ufw_enabled(ask.host),
            firewalld_zones: zones(ask.host),
            files: files(ask.host, args.files),
        })
    }
}

/// Refuses names of a table and a chain that no table has.
fn known(args: &Args, tables: &[Table]) -> Result<(), Failure> {
    if let Some(wanted) = args.table.as_ref().filter(|&wanted| tables.iter().all(|table| table.name != *wanted)) {
        return Err(unknown("table", wanted, tables.iter().map(|table| &table.name)));
    }
    let within = tables.iter().filter(|table| args.table.as_ref().is_none_or(|wanted| *wanted == table.name));
    let chains: Vec<&String> = within.flat_map(|table| &table.chains).map(|chain| &chain.name).collect();
    match args.chain.as_ref().filter(|wanted| !chains.contains(wanted)) {
        Some(wanted) => Err(unknown("chain", wanted, chains)),
        None => Ok(()),
    }
}

fn count(tables: &[Table]) -> usize {
    tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).fold(0, usize::saturating_add)
}

fn ufw_enabled(host: &Host) -> Option<bool> {
    let text = host.find("etc/ufw/ufw.conf")?;
    let word = text.lines().find_map(|line| line.trim().strip_prefix("ENABLED="))?;
    Some(word.trim_matches('"').eq_ignore_ascii_case("yes"))
}

fn zones(host: &Host) -> Vec<String> {
    let names = host.list("etc/firewalld/zones");
    names.iter().filter_map(|name| name.strip_suffix(".xml")).map(str::to_owned).collect()
}

fn files(host: &Host, with_text: bool) -> Vec<RuleFile> {
    let mut found = Vec::new();
    for path in FILES {
        if !with_text {
            if host.has(path) {
                found.push(RuleFile { path: format!("/{path}"), text: None, truncated: false });
            }
        } else if let Ok((bytes, truncated)) = host.start(path, FILE_BYTES) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            found.push(RuleFile { path: format!("/{path}"), text: Some(text), truncated });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_shows_what_nftables_has() {
        let answer = ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap();
        assert_eq!(
            answer,
            json!({
                "told_by": ["nft"], "not_shown": [], "total": 4, "matching": 4, "left_out": 0,
                "tables": [{
                    "family": "inet", "name": "filter", "told_by": "nft",
                    "chains": [
                        {
                            "name": "input", "kind": "filter", "hook": "input", "priority": 0, "policy": "drop",
                            "rules": [
                                {"text": "ct state {established, related} accept"},
                                {
                                    "text": "tcp dport {22, 8000-8010} ip saddr 10.0.0.0/8 accept", "comment": "office",
                                    "packets": 12, "bytes": 720,
                                },
                                {"text": "iifname != \"lo\" jump strangers"},
                            ],
                        },
                        {"name": "strangers", "rules": [{"text": "log {\"prefix\":\"stranger \"} drop"}]},
                    ],
                    "sets": [{"name": "blocked", "kind": "ipv4_addr", "elements": 2}],
                }],
                "ufw_enabled": false, "firewalld_zones": [],
                "files": [
                    {"path": "/etc/nftables.conf", "truncated": false}, {"path": "/etc/ufw/ufw.conf", "truncated": false},
                ],
            })
        );
        let answer =
            ask::<Query>(&Host::fixture("debian-vm"), json!({"chain": "input", "limit": 1, "files": true})).unwrap();
        assert_eq!((&answer["matching"], &answer["left_out"]), (&json!(3), &json!(2)));
        assert!(answer["files"][0]["text"].as_str().unwrap().contains("flush ruleset"));
    }

    #[test]
    fn a_board_has_iptables() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        assert_eq!((&answer["told_by"], &answer["total"]), (&json!(["iptables-save"]), &json!(2)));
        assert_eq!(answer["tables"][0]["chains"][0]["policy"], "DROP");
        assert_eq!(answer["not_shown"], json!([{"part": "nftables", "why": "not_installed", "tables": []}]));
    }

    #[test]
    fn who_may_not_ask_is_told_so_and_what_is_not_there_too() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        let host = Host::folder(root.path());
        let not_shown = || ask::<Query>(&host, json!({})).unwrap()["not_shown"].clone();
        assert_eq!(not_shown(), json!([{"part": "nftables", "why": "not_installed", "tables": []}]));
        std::fs::write(root.path().join("proc/self/status"), "Name:\tx\nCapEff:\t0000000000000400\n").unwrap();
        assert_eq!(not_shown(), json!([{"part": "nftables", "why": "not_permitted", "tables": []}]));
        assert_eq!(ask::<Query>(&host, json!({})).unwrap()["told_by"], json!([]));
        std::fs::write(root.path().join("proc/self/status"), "CapEff:\t0000000000001000\n").unwrap();
        std::fs::create_dir_all(root.path().join("commands")).unwrap();
        std::fs::write(root.path().join("commands/nft -j list ruleset"), "{\"nftables\": 7").unwrap();
        assert_eq!(not_shown(), json!([{"part": "nftables", "why": "failed", "tables": []}]));
    }
}
