//! Where packets go. ip(8) tells routes whole; `/proc/net/route`, `/proc/net/ipv6_route` and `/proc/net/arp` tell them in
//! part, and what they do not tell is left open rather than guessed.

mod told;

use std::net::{Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::Serialize;

pub(super) use told::told;

/// linux/route.h and linux/ipv6_route.h.
const GATEWAY: u32 = 0x0002;
const REJECT: u32 = 0x0200;
const ADDRESS_CONFIGURED: u32 = 0x0004_0000;
const ANYCAST: u32 = 0x0010_0000;
const CACHED: u32 = 0x0100_0000;
const LOCAL: u32 = 0x8000_0000;

/// One route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Route {
    /// The network it leads to, with its prefix length; 0.0.0.0/0 and ::/0 are the default routes.
    pub(super) destination: String,
    /// What becomes of the packets.
    pub(super) kind: Kind,
    /// The table it is in; absent where that is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<String>,
    /// The ways that packets take, shared among them by weight; none of a route that sends nothing.
    pub(super) hops: Vec<Hop>,
    /// Of several routes to a network the one with the lowest metric is taken.
    pub(super) metric: u64,
    /// The address of this host that packets are sent from unless they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// Who made it, as far as that is told: kernel, boot, static, dhcp, bird and so on; ra for what a router announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) made_by: Option<String>,
}

/// What a route does with packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// It sends them on.
    Unicast,
    /// It drops them without a word.
    Blackhole,
    /// It refuses them: unreachable.
    Unreachable,
    /// It refuses them: prohibited.
    Prohibit,
    /// It ends the search in this table; the next rule is tried.
    Throw,
    /// One of the four above; which one is not told.
    NotSent,
    /// Something else, such as nat.
    Other,
}

/// One way of a route.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Hop {
    /// The router it goes through, which may be one of IPv6 for a route of IPv4; absent where the network is on the link itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<String>,
    /// There is a router, and which one is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway_not_told: Option<bool>,
    /// The interface it leaves by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<String>,
    /// Its share, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u64>,
    /// What is special about it: dead, linkdown, onlink.
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<Vec<String>>,
}

/// A route of the main table of IPv4. Columns: interface, destination, gateway, flags, counters, metric, mask; addresses
/// as the machine's own numbers. Of several ways only the first is there.
pub(super) fn ipv4(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let interface = words.next()?.to_owned();
    let mut number = || u32::from_str_radix(words.next()?, 16).ok();
    let (destination, gateway, flags) = (number()?, number()?, number()?);
    let metric = words.nth(2)?.parse().ok()?;
    let mask = u32::from_str_radix(words.next()?, 16).ok()?;
    let address = |number: u32| Ipv4Addr::from(number.to_ne_bytes());
    // A blackhole has no interface, and no flag that says so.
    let sends = flags & REJECT == 0 && interface != "*";
    let hop = Hop {
        gateway: (gateway != 0).then(|| address(gateway).to_string()),
        gateway_not_told: (gateway == 0 && flags & GATEWAY != 0).then_some(true),
        interface: Some(interface),
        ..Hop::default()
    };
    Some(Route {
        destination: format!("{}/{}", address(destination), mask.count_ones()),
        kind: if sends { Kind::Unicast } else { Kind::NotSent },
        table: Some("main".to_owned()),
        hops: if sends { vec![hop] } else { Vec::new() },
        metric,
        source: None,
        made_by: None,
    })
}

/// A route of IPv6 that is the host's own, unlike the kernel's entries for its addresses. Columns: destination and length,
/// source and length, gateway, metric, counters, flags, interface; all hexadecimal. Of several ways each has a line.
pub(super) fn ipv6(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let address = |word: &str| {
        let digits = Some(word).filter(|word| word.len() == 32)?;
        Some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?))
    };
    let number = |word: &str| u32::from_str_radix(word, 16).ok();
    let destination = address(words.next()?)?;
    let length = number(words.next()?).filter(|length| *length <= 128)?;
    let gateway = address(words.nth(2)?)?;
    let metric = number(words.next()?)?;
    let flags = number(words.nth(2)?)?;
    let interface = words.next()?.to_owned();
    let kernels = flags & (LOCAL | ANYCAST | CACHED) != 0 || destination.is_multicast();
    // What packets without any route meet.
    let last = metric == u32::MAX;
    let sends = flags & REJECT == 0;
    let hop = Hop {
        gateway: (!gateway.is_unspecified()).then(|| gateway.to_string()),
        interface: Some(interface),
        ..Hop::default()
    };
    (!kernels && !last).then(|| Route {
        destination: format!("{destination}/{length}"),
        kind: if sends { Kind::Unicast } else { Kind::NotSent },
        table: None,
        hops: if sends { vec![hop] } else { Vec::new() },
        metric: metric.into(),
        source: None,
        made_by: (flags & ADDRESS_CONFIGURED != 0).then(|| "ra".to_owned()),
    })
}

/// What a host on the link answers to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(super) struct Neighbour {
    /// Its address.
    pub(super) address: String,
    /// Its hardware address; absent while it has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mac_address: Option<String>,
    /// The interface it is behind.
    pub(super) interface: String,
    /// What is known of it, in the words of ip-neighbour(8), such as reachable, stale or failed. Where ip(8) cannot be
    /// asked, of IPv4: complete (its hardware address is known, be it still good or not), incomplete or permanent. An
    /// address that this host answers to in place of another is proxy.
    pub(super) state: String,
}

/// A neighbour of IPv4. Columns: address, kind, flags, hardware address, mask, interface.
pub(super) fn neighbour(line: &str) -> Option<Neighbour> {
    let mut words = line.split_whitespace();
    let address: Ipv4Addr = words.next()?.parse().ok()?;
    let flags = u32::from_str_radix(words.nth(1)?.strip_prefix("0x")?, 16).ok()?;
    let mac_address = words.next()?.to_owned();
    let (complete, permanent, published) = (flags & 0x2 != 0, flags & 0x4 != 0, flags & 0x8 != 0);
    let state = match (published, permanent, complete) {
        (true, ..) => "proxy",
        (false, true, _) => "permanent",
        (false, false, true) => "complete",
        (false, false, false) => "incomplete",
    };
    Some(Neighbour {
        address: address.to_string(),
        mac_address: (!published && (complete || permanent)).then_some(mac_address),
        interface: words.nth(1)?.to_owned(),
        state: state.to_owned(),
    })
}

/// The tables of IPv4 that hold routes, from the headings of `/proc/net/fib_trie`.
pub(super) fn table(line: &str) -> Option<String> {
    match line.strip_suffix(':')? {
        "Main" => Some("main".to_owned()),
        "Local" => Some("local".to_owned()),
        other => other.strip_prefix("Id ").map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn routes_are_read_in_the_kernels_numbers() {
        let route = ipv4("eth0\t00000000\t0202000A\t0003\t0\t0\t100\t00000000\t0\t0\t0").unwrap();
        assert_eq!(
            (route.destination.as_str(), route.hops[0].gateway.as_deref(), route.metric),
            ("0.0.0.0/0", Some("10.0.2.2"), 100)
        );
        // unreachable, and blackhole.
        for flags in ["0201", "0001"] {
            let refused = ipv4(&format!("*\t0000A8C0\t00000000\t{flags}\t0\t0\t0\t0000FFFF\t0\t0\t0")).unwrap();
            assert_eq!((refused.kind, refused.hops), (Kind::NotSent, Vec::new()));
        }
        // Through a router of IPv6.
        let route = ipv4("v0\t0000190A\t00000000\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0").unwrap();
        assert_eq!((route.hops[0].gateway_not_told, &route.hops[0].gateway), (Some(true), &None));
        assert_eq!(ipv4("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\tMTU"), None);
    }

    #[test]
    fn the_kernels_own_entries_of_ipv6_are_no_routes() {
        let zero = "0".repeat(32);
        let line = |address: &str, length: &str, gateway: &str, metric: &str, flags: &str| {
            format!("{address} {length} {zero} 00 {gateway} {metric} 00000001 00000000 {flags} eth0")
        };
        let router = "fe800000000000000000000000000002";
        let default = ipv6(&line(&zero, "00", router, "00000064", "00450003")).unwrap();
        assert_eq!((default.destination.as_str(), default.hops[0].gateway.as_deref()), ("::/0", Some("fe80::2")));
        assert_eq!((default.metric, default.made_by.as_deref()), (100, Some("ra")));
        let refused = ipv6(&line("fd210000000000000000000000000000", "20", &zero, "00000400", "00200200")).unwrap();
        assert_eq!((refused.kind, refused.hops), (Kind::NotSent, Vec::new()));
        for (address, metric, flags) in [
            ("20010db8000000000000000000000015", "00000000", "80200001"),
            ("ff000000000000000000000000000000", "00000100", "00000001"),
            (zero.as_str(), "ffffffff", "00200200"),
        ] {
            assert_eq!(ipv6(&line(address, "00", &zero, metric, flags)), None, "{address}");
        }
    }

    #[test]
    fn a_neighbour_that_does_not_answer_has_no_hardware_address() {
        let known = neighbour("10.0.2.2 0x1 0x2 52:55:0a:00:02:02 * eth0").unwrap();
        assert_eq!((known.mac_address.as_deref(), known.state.as_str()), (Some("52:55:0a:00:02:02"), "complete"));
        let silent = neighbour("10.0.2.9 0x1 0x0 00:00:00:00:00:00 * eth0").unwrap();
        assert_eq!((silent.mac_address, silent.interface.as_str()), (None, "eth0"));
        let proxy = neighbour("10.9.0.99        0x1         0xc         00:00:00:00:00:00     *        v0").unwrap();
        assert_eq!((proxy.state.as_str(), proxy.mac_address), ("proxy", None));
        assert_eq!(neighbour("IP address       HW type     Flags       HW address            Mask     Device"), None);
        assert_eq!(
            (table("Main:"), table("Id 200:"), table("  +-- 0.0.0.0/0")),
            (Some("main".into()), Some("200".into()), None)
        );
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in "\\PC*|([0-9a-f]{8} ?){0,9}|([0-9a-f]{32} [0-9a-f]{2} ){2}[0-9a-f]{32}( [0-9a-f]{1,9}){0,4} eth0") {
            let _ = (ipv4(&line), ipv6(&line), neighbour(&line), table(&line));
        }
    }
}
