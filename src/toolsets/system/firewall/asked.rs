//! Whom the kernel's rules are asked of. nft(8) knows all but those of the older iptables, which the kernel keeps apart and
//! whose tables it names in a file of its own; both are asked, for packets pass both.

use std::io;

use super::{Missing, Part, Table, Why, iptables, nftables};
use crate::error::Failure;
use crate::toolsets::system::Host;
use crate::toolsets::system::command::Silent;
use crate::toolsets::system::query::Ask;

/// capabilities(7): CAP_NET_ADMIN, without which the kernel shows nobody its rules.
const NET_ADMIN: u32 = 12;
/// CAP_NET_RAW, without which nobody has the socket that the older iptables asks through.
const NET_RAW: u32 = 13;

/// Bytes of the names of tables; there are five at most.
const NAMES: usize = 4096;

/// Where iptables says that its tables are those of nftables.
const OF_NFTABLES: &str = "(nf_tables)";

/// A protocol, and what belongs to it.
struct Family {
    name: &'static str,
    part: Part,
    /// The file with the names of its older tables, readable by root alone. It is there once the kernel can have any.
    names: &'static str,
    of_nftables: &'static str,
    legacy: &'static str,
    /// One of the two, as the host chose.
    chosen: &'static str,
}

const FAMILIES: [Family; 2] = [
    Family {
        name: "ip",
        part: Part::IptablesLegacy,
        names: "proc/net/ip_tables_names",
        of_nftables: "iptables-nft-save",
        legacy: "iptables-legacy-save",
        chosen: "iptables-save",
    },
    Family {
        name: "ip6",
        part: Part::Ip6tablesLegacy,
        names: "proc/net/ip6_tables_names",
        of_nftables: "ip6tables-nft-save",
        legacy: "ip6tables-legacy-save",
        chosen: "ip6tables-save",
    },
];

/// The rules, who told them, and what nobody told.
#[derive(Default)]
pub(super) struct Found {
    pub(super) told_by: Vec<&'static str>,
    pub(super) tables: Vec<Table>,
    pub(super) not_shown: Vec<Missing>,
}

/// Whether the kernel of this host can have tables of the older iptables.
pub(super) fn has_legacy(host: &Host) -> bool {
    FAMILIES.iter().any(|family| host.has(family.names))
}

/// All rules that can be known.
///
/// # Errors
/// As [`Ask::go_on`].
pub(super) fn ruleset(ask: &Ask<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    if may(ask.host, NET_ADMIN) {
        today(ask.host, &mut found);
    } else {
        found.lacks(Part::Nftables, Why::NotPermitted, Vec::new());
    }
    for family in &FAMILIES {
        ask.go_on()?;
        match tables(ask.host, family) {
            Ok(names) if names.is_empty() => {}
            Ok(names) => legacy(ask.host, family, names, &mut found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                found.lacks(family.part, Why::NotPermitted, Vec::new());
            }
            Err(_) => found.lacks(family.part, Why::Failed, Vec::new()),
        }
    }
    ask.go_on()?;
    Ok(found)
}

/// The tables of the older iptables that the kernel has.
fn tables(host: &Host, family: &Family) -> io::Result<Vec<String>> {
    let (text, _) = host.text(family.names, NAMES)?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// The tables of nftables; where there is no nft, those of them that iptables made.
fn today(host: &Host, found: &mut Found) {
    let why = match host.command("nft", &["-j", "list", "ruleset"]).map(|bytes| nftables::parse(&bytes)) {
        Ok(Some(mut tables)) => {
            FAMILIES.iter().for_each(|family| spell_out(host, family, &mut tables));
            found.add("nft", tables);
            return;
        }
        Err(Silent::NotInstalled) => Why::NotInstalled,
        Ok(None) | Err(Silent::Failed) => Why::Failed,
    };
    found.lacks(Part::Nftables, why, Vec::new());
    for family in &FAMILIES {
        for program in [family.of_nftables, family.chosen] {
            if let Ok(text) = save(host, program)
                && text.contains(OF_NFTABLES)
            {
                found.add(program, iptables::parse(family.name, program, &text));
                break;
            }
        }
    }
}

/// What iptables put into nftables, nft knows by name only where it is of a kind of its own; iptables has the words.
fn spell_out(host: &Host, family: &Family, tables: &mut [Table]) {
    let vague = |table: &Table| {
        let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
        table.family == family.name && rules.any(|rule| rule.text.contains("xt {"))
    };
    if !tables.iter().any(vague) {
        return;
    }
    let Ok(text) = save(host, family.of_nftables) else { return };
    let saved = iptables::parse(family.name, family.of_nftables, &text);
    for table in tables.iter_mut().filter(|table| vague(table)) {
        let Some(saved) = saved.iter().find(|saved| saved.name == table.name) else { continue };
        for chain in &mut table.chains {
            let same = saved.chains.iter().find(|saved| saved.name == chain.name);
            if let Some(same) = same.filter(|same| same.rules.len() == chain.rules.len()) {
                chain.rules.clone_from(&same.rules);
                table.told_by = family.of_nftables;
            }
        }
    }
}

/// The tables of the older iptables, of which the kernel names `names`.
fn legacy(host: &Host, family: &Family, names: Vec<String>, found: &mut Found) {
    if !may(host, NET_ADMIN) || !may(host, NET_RAW) {
        return found.lacks(family.part, Why::NotPermitted, names);
    }
    let mut why = Why::NotInstalled;
    for program in [family.legacy, family.chosen] {
        match save(host, program) {
            Ok(text) if !text.contains(OF_NFTABLES) => {
                return found.add(program, iptables::parse(family.name, program, &text));
            }
            Ok(_) | Err(Silent::NotInstalled) => {}
            Err(Silent::Failed) => why = Why::Failed,
        }
    }
    found.lacks(family.part, why, names);
}

fn save(host: &Host, program: &str) -> Result<String, Silent> {
    host.command(program, &["-c"]).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether this process has the capability; a host that does not say is asked.
fn may(host: &Host, capability: u32) -> bool {
    let status = host.find("proc/self/status").unwrap_or_default();
    let word = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = word.and_then(|word| u64::from_str_radix(word.trim(), 16).ok());
    mask.is_none_or(|mask| mask.checked_shr(capability).is_some_and(|rest| rest & 1 == 1))
}

impl Found {
    fn add(&mut self, program: &'static str, tables: Vec<Table>) {
        self.told_by.push(program);
        self.tables.extend(tables);
    }

    fn lacks(&mut self, part: Part, why: Why, tables: Vec<String>) {
        self.not_shown.push(Missing { part, why, tables });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::toolsets::system::firewall::Query;
    use crate::toolsets::system::query::{HostQuery as _, ask};

    const NFT: &str = r#"{"nftables": [{"table": {"family": "ip", "name": "filter"}},
        {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "prio": 0, "policy": "accept"}},
        {"rule": {"family": "ip", "table": "filter", "chain": "INPUT", "expr": [{"xt": {"type": "target", "name": "LOG"}}]}}]}"#;

    const LEGACY: &str = "# Generated by iptables-save v1.8.9\n*filter\n:INPUT DROP [0:0]\n[1:60] -A INPUT -j REJECT\n";

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let host = Host::folder(root.path());
        (root, host)
    }

    fn told(files: &[(&str, &str)]) -> Value {
        ask::<Query>(&host(files).1, json!({})).unwrap()
    }

    #[test]
    fn what_packets_meet_in_two_places_is_told_of_both() {
        let answer = told(&[
            ("commands/nft -j list ruleset", NFT),
            (
                "commands/iptables-nft-save -c",
                "# (nf_tables)\n*filter\n:INPUT ACCEPT [0:0]\n[2:9] -A INPUT -j LOG --log-prefix x\n",
            ),
            ("commands/iptables-legacy-save -c", LEGACY),
            ("proc/net/ip_tables_names", "filter\n"),
            ("proc/net/ip6_tables_names", ""),
        ]);
        assert_eq!(answer["told_by"], json!(["nft", "iptables-legacy-save"]));
        let row = |table: &Value| {
            let chain = &table["chains"][0];
            (table["told_by"].clone(), chain["policy"].clone(), chain["rules"][0]["text"].clone())
        };
        let rows: Vec<_> = answer["tables"].as_array().unwrap().iter().map(row).collect();
        assert_eq!(
            rows,
            [
                (json!("iptables-nft-save"), json!("accept"), json!("-j LOG --log-prefix x")),
                (json!("iptables-legacy-save"), json!("DROP"), json!("-j REJECT")),
            ]
        );
        assert_eq!(answer["not_shown"], json!([]));
    }

    #[test]
    fn tables_that_nobody_tells_are_named() {
        let there = [("commands/nft -j list ruleset", NFT), ("proc/net/ip6_tables_names", "mangle\nfilter\n")];
        let missing = |why: &str| json!([{"part": "ip6tables_legacy", "why": why, "tables": ["mangle", "filter"]}]);
        assert_eq!(told(&there)["not_shown"], missing("not_installed"));
        // The program that the host chose is the one of nftables, and tells nothing of the older one.
        let other = ("commands/ip6tables-save -c", "# Generated by ip6tables-save v1.8.9 (nf_tables)\n*filter\n");
        assert_eq!(told(&[there[0], there[1], other])["not_shown"], missing("not_installed"));
        let without_raw = ("proc/self/status", "CapEff:\t0000000000001000\n");
        let program = ("commands/ip6tables-legacy-save -c", LEGACY);
        assert_eq!(told(&[there[0], there[1], program, without_raw])["not_shown"], missing("not_permitted"));
        assert_eq!(told(&[there[0], there[1], program])["not_shown"], json!([]));
    }

    #[test]
    fn what_it_takes_is_asked_for_only_where_there_is_something_to_ask() {
        let needs = |host: &Host| {
            let mut spec = Query::spec();
            Query::reach(&mut spec, host);
            spec.needs.capabilities
        };
        assert_eq!(needs(&host(&[("proc/stat", "")]).1), ["CAP_NET_ADMIN"]);
        let legacy = host(&[("proc/net/ip_tables_names", "")]);
        assert_eq!(needs(&legacy.1), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_DAC_READ_SEARCH"]);
    }
}
