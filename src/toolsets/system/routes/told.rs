//! A route as `ip -json -details route show` writes it.

use serde_json::Value;

use super::{Hop, Kind, Route};

/// What the kernel keeps for the host's own addresses, not for the way of packets to others.
const KERNELS: [&str; 4] = ["local", "broadcast", "anycast", "multicast"];

/// One route; `None` of the kernel's entries for addresses, and of what is no route.
pub(in crate::toolsets::system) fn told(route: &Value, ipv6: bool) -> Option<Route> {
    let text = |name: &str| word(route.get(name)?);
    let kind = text("type").unwrap_or_else(|| "unicast".to_owned());
    if KERNELS.contains(&kind.as_str()) {
        return None;
    }
    let kind = match kind.as_str() {
        "unicast" => Kind::Unicast,
        "blackhole" => Kind::Blackhole,
        "unreachable" => Kind::Unreachable,
        "prohibit" => Kind::Prohibit,
        "throw" => Kind::Throw,
        _ => Kind::Other,
    };
    let several = route.get("nexthops").and_then(Value::as_array).filter(|hops| !hops.is_empty());
    let hops = match (kind, several) {
        // The kernel gives some of them an interface, which nothing leaves by.
        (Kind::Blackhole | Kind::Unreachable | Kind::Prohibit | Kind::Throw, _) => Vec::new(),
        (_, Some(hops)) => hops.iter().map(hop).collect(),
        (_, None) => vec![hop(route)],
    };
    Some(Route {
        destination: network(&text("dst")?, ipv6),
        kind,
        table: text("table"),
        hops,
        metric: route.get("metric").and_then(Value::as_u64).unwrap_or(0),
        source: text("prefsrc"),
        made_by: text("protocol"),
    })
}

fn hop(value: &Value) -> Hop {
    let text = |pointer: &str| word(value.pointer(pointer)?);
    let flags = value.get("flags").and_then(Value::as_array).filter(|flags| !flags.is_empty());
    Hop {
        gateway: text("/gateway").or_else(|| text("/via/host")),
        gateway_not_told: None,
        interface: text("/dev"),
        weight: value.get("weight").and_then(Value::as_u64),
        flags: flags.map(|flags| flags.iter().filter_map(word).collect()),
    }
}

/// A text, or a number as text: tables are named either way.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// With its prefix length, which is left out of a single address.
fn network(text: &str, ipv6: bool) -> String {
    match (text, ipv6) {
        ("default", false) => "0.0.0.0/0".to_owned(),
        ("default", true) => "::/0".to_owned(),
        (text, _) if text.contains('/') => text.to_owned(),
        (text, false) => format!("{text}/32"),
        (text, true) => format!("{text}/128"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_of_route_is_told_as_what_it_is() {
        let kind =
            |name: &str| told(&json!({"type": name, "dst": "10.20.0.0/16", "dev": "lo"}), false).map(|one| one.kind);
        assert_eq!(kind("blackhole"), Some(Kind::Blackhole));
        assert_eq!(kind("unreachable"), Some(Kind::Unreachable));
        assert_eq!(kind("prohibit"), Some(Kind::Prohibit));
        assert_eq!(kind("throw"), Some(Kind::Throw));
        assert_eq!(kind("nat"), Some(Kind::Other));
        for kernels in KERNELS {
            assert_eq!(kind(kernels), None, "{kernels}");
        }
        assert!(told(&json!({"type": "throw", "dst": "fd24::/32", "dev": "lo"}), true).unwrap().hops.is_empty());
    }

    #[test]
    fn all_ways_are_there_with_their_shares_and_routers_of_the_other_protocol() {
        let route = told(
            &json!({"dst": "default", "table": 77, "metric": 5, "protocol": "static", "flags": [], "nexthops": [
                {"gateway": "10.9.0.2", "dev": "v0", "weight": 3, "flags": []},
                {"via": {"family": "inet6", "host": "fd09::2"}, "dev": "w0", "weight": 1, "flags": ["dead", "linkdown"]},
            ]}),
            false,
        )
        .unwrap();
        assert_eq!((route.destination.as_str(), route.table.as_deref(), route.metric), ("0.0.0.0/0", Some("77"), 5));
        let hops: Vec<_> = route
            .hops
            .iter()
            .map(|hop| (hop.gateway.as_deref(), hop.weight, hop.flags.as_ref().map_or(0, Vec::len)))
            .collect();
        assert_eq!(hops, [(Some("10.9.0.2"), Some(3), 0), (Some("fd09::2"), Some(1), 2)]);
        let alone = told(&json!({"dst": "10.0.0.1", "dev": "v0"}), false).unwrap();
        assert_eq!((alone.destination.as_str(), alone.hops.len()), ("10.0.0.1/32", 1));
        assert_eq!(told(&json!({"dst": "default"}), true).unwrap().destination, "::/0");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\{(\"(type|dst|table|metric|flags|nexthops|via|gateway)\": ?(1|-1|\"x\"|\\[\\{\\}\\]|null),?){0,4}\\}") {
            if let Ok(value) = serde_json::from_str(&text) {
                let _ = told(&value, true);
            }
        }
    }
}
