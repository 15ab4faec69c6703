//! What `iptables-save -c` writes.

use super::{Chain, Rule, Table};

/// The tables of one family as `told_by` writes them, in its order.
pub(super) fn parse(family: &str, told_by: &'static str, text: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            tables.push(Table {
                family: family.to_owned(),
                name: name.to_owned(),
                told_by,
                chains: Vec::new(),
                sets: Vec::new(),
            });
        }
        let Some(table) = tables.last_mut() else { continue };
        if let Some(chain) = line.strip_prefix(':') {
            table.chains.extend(self::chain(chain));
        } else if let Some((chain, rule)) = rule(line)
            && let Some(chain) = table.chains.iter_mut().find(|known| known.name == chain)
        {
            chain.rules.push(rule);
        }
    }
    tables
}

/// Such as `INPUT DROP [12:720]`; a chain that only others jump to has `-` for a policy.
fn chain(text: &str) -> Option<Chain> {
    let mut words = text.split_whitespace();
    let name = words.next()?.to_owned();
    let policy = words.next().filter(|policy| *policy != "-").map(str::to_owned);
    let hook = policy.as_ref().map(|_| name.to_lowercase());
    Some(Chain { name, kind: None, hook, priority: None, policy, rules: Vec::new() })
}

/// Such as `[12:720] -A INPUT -p tcp -j ACCEPT`: the chain and the rule.
fn rule(line: &str) -> Option<(String, Rule)> {
    let (counts, rest) = match line.strip_prefix('[').and_then(|line| line.split_once("] ")) {
        Some((counts, rest)) => (Some(counts), rest),
        None => (None, line),
    };
    let rest = rest.strip_prefix("-A ")?;
    let (chain, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let (packets, bytes) = counts.and_then(|counts| counts.split_once(':')).unzip();
    let number = |digits: Option<&str>| digits.and_then(|digits| digits.parse().ok());
    let comment = text.split_once("--comment ").map(|(_, rest)| quoted(rest));
    Some((chain.to_owned(), Rule { text: text.to_owned(), comment, packets: number(packets), bytes: number(bytes) }))
}

/// The first word, or what stands in quotes.
fn quoted(text: &str) -> String {
    let inner = text.strip_prefix('"').and_then(|text| text.split_once('"')).map(|(inner, _)| inner);
    inner.or_else(|| text.split_whitespace().next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_chains_and_rules_are_told_apart() {
        let tables = parse(
            "ip",
            "iptables-save",
            "# Generated\n*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT DROP [12:720]\n:mine - [0:0]\n\
             [3:180] -A INPUT -p tcp --dport 22 -m comment --comment \"from home\" -j ACCEPT\n-A mine\n-A gone -j DROP\nCOMMIT\n",
        );
        assert_eq!((tables.len(), tables[1].name.as_str(), tables[1].chains.len()), (2, "filter", 2));
        let input = &tables[1].chains[0];
        assert_eq!((input.policy.as_deref(), input.hook.as_deref()), (Some("DROP"), Some("input")));
        assert_eq!((input.rules[0].packets, input.rules[0].bytes), (Some(3), Some(180)));
        assert_eq!(input.rules[0].comment.as_deref(), Some("from home"));
        assert_eq!((tables[1].chains[1].policy.as_deref(), tables[1].chains[1].rules.len()), (None, 1));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|([*:]?[a-z]{1,4} ?(-|DROP)? ?(\\[[0-9]{0,22}:[0-9]{0,3}\\] )?(-A [a-z]{1,4})?( --comment \"?x)?\n){0,6}") {
            let _ = parse("ip", "iptables-save", &text);
        }
    }
}
